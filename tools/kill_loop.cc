#include "tools/kill_loop.h"

#include <algorithm>
#include <optional>

#include "base/rng.h"
#include "base/try.h"
#include "tools/child.h"
#include "tools/exit_code.h"
#include "tools/interrupt.h"
#include "tools/text.h"

namespace duramen::tools {
namespace {

/// The number behind `word ` in "posted 12 from 1 batches 3".
std::uint64_t NumberAfter(std::string_view line, std::string_view word) {
  const std::size_t at = line.find(word);
  if (at == std::string_view::npos) return 0;
  std::string_view rest = line.substr(at + word.size());
  rest = rest.substr(0, rest.find(' '));
  return ParseCount(rest).value_or(0);
}

/// Listens to one `load` and decides when it has to die.
class LoadListener final : public Child::Listener {
 public:
  /// `kill_after`: acknowledgements of this run; nothing: it may live.
  LoadListener(std::optional<std::uint64_t> kill_after, std::uint64_t outstanding_min)
      : kill_after_(kill_after), outstanding_min_(outstanding_min) {}

  void OnOut(std::string_view line) override {
    if (!line.starts_with("ack ")) return;
    const std::uint64_t number = ParseCount(line.substr(4)).value_or(0);
    // One Writer acknowledges in the order of the lines.
    if (last_ack_ != 0 && number != last_ack_ + 1) out_of_order_ = true;
    last_ack_ = number;
    ++acks_;
  }
  void OnErr(std::string_view line) override {
    if (line.starts_with("posted ")) {
      posted_in_all_ = NumberAfter(line, "posted ");
      if (!dying_) posted_ = posted_in_all_;
      first_posted_ = NumberAfter(line, " from ");
      used_.batches = NumberAfter(line, " batches ");
      used_.syncs = NumberAfter(line, " syncs ");
      used_.rolls = NumberAfter(line, " rolls ");
    } else if (line.starts_with("recovered ")) {
      recovered_ = line.substr(10);
    } else if (const std::optional<LoadSummary> summary = ParseLoadSummary(line)) {
      used_ = *summary;
    } else {
      complaint_ = line;
    }
  }
  bool WantsKill() override {
    dying_ = dying_ || (kill_after_ && acks_ >= *kill_after_ && outstanding() >= outstanding_min_);
    return dying_;
  }

  std::uint64_t outstanding() const {
    const std::uint64_t done = std::max(last_ack_, first_posted_ == 0 ? 0 : first_posted_ - 1);
    return posted_ > done ? posted_ - done : 0;
  }
  std::uint64_t last_ack() const { return last_ack_; }
  /// Asked at the end: the two streams are not read in the order in which they were written.
  bool out_of_order() const { return out_of_order_ || last_ack_ > posted_in_all_; }
  const std::string& recovered() const { return recovered_; }
  const std::string& complaint() const { return complaint_; }
  const LoadSummary& used() const { return used_; }

 private:
  std::optional<std::uint64_t> kill_after_;
  std::uint64_t outstanding_min_;
  std::uint64_t acks_ = 0;
  std::uint64_t last_ack_ = 0;
  std::uint64_t posted_ = 0;  // before the kill was sent
  std::uint64_t posted_in_all_ = 0;
  std::uint64_t first_posted_ = 0;
  bool dying_ = false;
  bool out_of_order_ = false;
  std::string recovered_;
  std::string complaint_;
  LoadSummary used_;
};

class LastLine final : public Child::Listener {
 public:
  void OnOut(std::string_view line) override { out_ = line; }
  void OnErr(std::string_view) override {}
  /// What follows the last colon: the judgement.
  std::string verdict() const {
    const std::size_t colon = out_.rfind(": ");
    return colon == std::string::npos ? out_ : out_.substr(colon + 2);
  }

 private:
  std::string out_;
};

class DumpListener final : public Child::Listener {
 public:
  explicit DumpListener(ReadBack& lines) : lines_(lines) {}
  void OnOut(std::string_view line) override { lines_.Add(line); }
  void OnErr(std::string_view) override {}

 private:
  ReadBack& lines_;
};

class KillLoop {
 public:
  KillLoop(const KillLoopOptions& options, const InputText& input,
           const std::function<void(const KillRound&)>& on_round)
      : options_(options), input_(input), on_round_(on_round), rng_(options.seed) {}

  Result<KillLoopResult> Run() {
    do {
      ++result_.passes;
      TRY(Pass());
    } while (result_.problem.empty() && WantsKills() && !Interrupted());
    return std::move(result_);
  }

 private:
  /// A text without the lines that a kill needs is loaded once.
  bool WantsKills() const {
    const std::uint64_t tries = result_.kills + result_.other_kills + result_.passes;
    return result_.kills < options_.kills && tries < options_.kills * 10 + 20 &&
           input_.line_count() > options_.outstanding_min * 2;
  }

  Status Pass() {
    dir_ = options_.dir + "/pass-" + std::to_string(result_.passes);
    acked_ = 0;
    for (std::uint64_t round = 0; result_.problem.empty() && !Interrupted(); ++round) {
      std::optional<std::uint64_t> kill_after;
      if (WantsKills()) {
        // The first child of a pass dies as soon as there is something to lose.
        const std::uint64_t left = input_.line_count() - acked_;
        kill_after = round == 0 ? 0 : rng_.Below(std::max<std::uint64_t>(left / 4, 2));
      }
      const bool finished = TRY(Round(kill_after));
      if (finished) return {};
    }
    return {};
  }

  Result<bool> Round(std::optional<std::uint64_t> kill_after) {
    LoadListener listener(kill_after, options_.outstanding_min);
    Child child = TRY(Child::Start(LoadCommand()));
    const Child::Exit exit = TRY(child.Run(listener));
    if (Interrupted()) return true;  // So was the child: its end proves nothing.
    if (!exit.killed && exit.code != 0) {
      return Error{
          ErrorCode::kIo,
          "load ended with exit " + std::to_string(exit.code) + ": " + listener.complaint(),
          "duramen verify " + dir_};
    }
    acked_ = std::max(acked_, listener.last_ack());
    KillRound round{.pass = result_.passes,
                    .killed = exit.killed,
                    .acked = acked_,
                    .outstanding = exit.killed ? listener.outstanding() : 0,
                    .recovered = listener.recovered(),
                    .verdict = {},
                    .used = listener.used()};
    if (exit.killed) {
      ++(round.outstanding >= options_.outstanding_min ? result_.kills : result_.other_kills);
    } else {
      acked_ = input_.line_count();
    }
    if (listener.out_of_order()) result_.problem = "acknowledgements came out of order";
    TRY(Check(round));
    if (Interrupted()) return true;
    result_.used.entries += round.used.entries;
    result_.used.batches += round.used.batches;
    result_.used.syncs += round.used.syncs;
    result_.used.rolls += round.used.rolls;
    result_.rounds.push_back(round);
    if (on_round_) on_round_(round);
    return !exit.killed;
  }

  std::vector<std::string> LoadCommand() const {
    std::vector<std::string> command = {options_.program,
                                        "load",
                                        dir_,
                                        options_.input_path,
                                        "--servers",
                                        std::to_string(options_.servers),
                                        "--in-flight",
                                        std::to_string(options_.in_flight),
                                        "--acks",
                                        "--resume",
                                        "--events"};
    command.insert(command.end(), options_.load_flags.begin(), options_.load_flags.end());
    return command;
  }

  /// From the files alone, before anything starts on them again.
  Status Check(KillRound& round) {
    LastLine verdict;
    Child verify = TRY(Child::Start({options_.program, "verify", dir_}));
    const Child::Exit verified = TRY(verify.Run(verdict));
    round.verdict = verdict.verdict();
    ReadBack lines;
    const int dumped = TRY(DumpInChild(options_.program, dir_, lines));
    if (Interrupted()) return {};  // So were the children: what they have not shown may be there.
    // A child that died before its directory was complete has left nothing, and promised nothing.
    const bool nothing_yet = dumped == static_cast<int>(ExitCode::kUnreadable) && acked_ == 0;
    if (nothing_yet) {
      round.verdict = "nothing created yet";
      return {};
    }
    std::string problem = lines.Compare(input_, acked_);
    round.lines_on_disk = lines.count();
    if (problem.empty() && dumped != 0) problem = "dump ended with exit " + std::to_string(dumped);
    if (problem.empty() && verified.code != 0) {
      problem = "verify ended with exit " + std::to_string(verified.code) + ": " + round.verdict;
    }
    if (result_.problem.empty()) result_.problem = problem;
    return {};
  }

  const KillLoopOptions& options_;
  const InputText& input_;
  const std::function<void(const KillRound&)>& on_round_;
  Rng rng_;
  KillLoopResult result_;
  std::string dir_;
  std::uint64_t acked_ = 0;
};

}  // namespace

Result<KillLoopResult> RunKillLoop(const KillLoopOptions& options, const InputText& input,
                                   const std::function<void(const KillRound&)>& on_round) {
  return KillLoop(options, input, on_round).Run();
}

Result<int> DumpInChild(const std::string& program, const std::string& path, ReadBack& lines) {
  DumpListener listener(lines);
  Child dump = TRY(Child::Start({program, "dump", path, "--format", "jsonl", "--kind", "entry"}));
  return TRY(dump.Run(listener)).code;
}

}  // namespace duramen::tools
