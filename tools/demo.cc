#include "tools/demo.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/try.h"
#include "tools/child.h"
#include "tools/demo_frame.h"
#include "tools/demo_repair.h"
#include "tools/interrupt.h"
#include "tools/kill_loop.h"
#include "tools/text.h"

namespace duramen::tools {
namespace {

constexpr std::uint64_t kWalBytesMin = 64 << 10;

/// So small that the WAL rolls and is flushed while the text is loaded, and as many as it may need.
std::vector<std::string> WalFlags(std::uint64_t text_bytes) {
  const std::uint64_t size =
      std::clamp<std::uint64_t>(RoundUp(text_bytes / 16, 4096), kWalBytesMin, 64 << 20);
  return {"--wal-max-size-bytes", std::to_string(size), "--wal-max-files", "4096"};
}

class Demo {
 public:
  Demo(const DemoOptions& options, Terminal& terminal) : options_(options), terminal_(terminal) {}

  Result<ExitCode> Run() {
    const std::int64_t begin_ns = clock_.NowNs();
    DemoText text = TRY(ReadDemoText(options_.file, kDemoLinesMin));
    if (text.copies > 1) {
      terminal_.Say("the text is short: loading it " + Plural(text.copies, "time"));
    }
    const InputText input(std::move(text.text));
    dir_ = TRY(MakeDemoDirectory(options_.dir));
    TRY(WriteDemoFile(dir_, "input", input.text()));
    terminal_.Say(Plural(input.line_count(), "line") + " (" + HumanBytes(input.text().size()) +
                  ") into " + Plural(options_.servers, "log") + " on one WAL in " + dir_ + ", " +
                  Plural(options_.kills, "SIGKILL") + " on the way, seed " +
                  std::to_string(options_.seed));
    KillLoopOptions loop{.program = Child::OwnPath(),
                         .dir = dir_,
                         .input_path = dir_ + "/input",
                         .servers = options_.servers,
                         .kills = options_.kills,
                         .seed = options_.seed,
                         .load_flags = WalFlags(input.text().size())};
    if (options_.kills > 40) loop.in_flight = 200;  // Shorter lives: more deaths in one text.
    Sheet rounds(terminal_, options_.output, "demo_run",
                 {{"run", ColumnType::kCount},
                  {"end", ColumnType::kText},
                  {"recovered", ColumnType::kText},
                  {"acked", ColumnType::kCount},
                  {"unacked", ColumnType::kCount},
                  {"on_disk", ColumnType::kCount},
                  {"files_afterwards", ColumnType::kText}});
    std::uint64_t run = 0;
    const KillLoopResult result = TRY(RunKillLoop(loop, input, [&](const KillRound& round) {
      const Cell row[] = {++run,
                          std::string(round.killed ? "SIGKILL" : "finished"),
                          Recovered(round.recovered),
                          round.acked,
                          round.outstanding,
                          round.lines_on_disk,
                          round.verdict};
      rounds.Add(row);
    }));
    DemoRepair repair{.good = true, .sentence = "not shown"};
    if (result.problem.empty() && !Interrupted()) {
      repair = TRY(ShowRepair(dir_ + "/pass-" + std::to_string(result.passes), dir_ + "/damaged",
                              options_.seed));
    }
    seconds_ = static_cast<double>(clock_.NowNs() - begin_ns) / 1e9;
    return Conclude(input, result, rounds, repair);
  }

  /// What it made; empty: nothing yet.
  const std::string& dir() const { return dir_; }

 private:
  /// "boot=2 entries=100 copied=1 damaged=no findings=torn tail" in fewer words.
  static std::string Recovered(const std::string& line) {
    const std::size_t findings = line.find("findings=");
    const std::size_t entries = line.find("entries=");
    if (findings == std::string::npos || entries == std::string::npos) return "-";
    const std::string count = line.substr(entries + 8, line.find(' ', entries) - entries - 8);
    const std::string found = line.substr(findings + 9);
    return Plural(ParseCount(count).value_or(0), "entry") + ", " +
           (found == "none" ? "clean" : found);
  }

  /// A problem that was found before counts all the same.
  static std::string Interruption(const std::string& problem) {
    return problem.empty() ? "interrupted" : "interrupted; before that: " + problem;
  }

  ExitCode Conclude(const InputText& input, const KillLoopResult& result, Sheet& rounds,
                    const DemoRepair& repair) {
    const bool killed_enough = result.kills >= options_.kills || input.line_count() < kDemoLinesMin;
    const bool good = result.problem.empty() && killed_enough && !Interrupted() && repair.good;
    const std::string verdict =
        Interrupted()             ? Interruption(result.problem)
        : !result.problem.empty() ? result.problem
        : !killed_enough          ? "too few kills found 100 lines unacknowledged"
        : !repair.good            ? repair.sentence
                                  : "every acknowledged line was there after every kill; the text "
                                    "read back is the text that went in, byte for byte";
    const double per_sync = static_cast<double>(input.line_count() * result.passes) /
                            static_cast<double>(std::max<std::uint64_t>(result.used.syncs, 1));
    const Field summary[] = {{"lines", ColumnType::kCount, input.line_count()},
                             {"bytes", ColumnType::kSize, std::uint64_t{input.text().size()}},
                             {"servers", ColumnType::kCount, options_.servers},
                             {"passes", ColumnType::kCount, result.passes},
                             {"batches", ColumnType::kCount, result.used.batches},
                             {"syncs", ColumnType::kCount, result.used.syncs},
                             {"lines_per_sync", ColumnType::kDecimal, per_sync},
                             {"rolls", ColumnType::kCount, result.used.rolls},
                             {"kills", ColumnType::kCount, result.kills},
                             {"other_kills", ColumnType::kCount, result.other_kills},
                             {"seed", ColumnType::kCount, options_.seed},
                             {"repair", ColumnType::kText, repair.sentence},
                             {"seconds", ColumnType::kDecimal, seconds_},
                             {"good", ColumnType::kFlag, good},
                             {"verdict", ColumnType::kText, verdict}};
    if (options_.output.format == Format::kTable) {
      rounds.Finish(Plural(result.rounds.size(), "run") + ", " + Plural(result.kills, "kill") +
                    " with 100 or more lines unacknowledged");
      terminal_.Out("\n");
      PrintFacts(terminal_, options_.output, "demo", summary);
    } else {
      rounds.Finish("", summary);
    }
    if (Interrupted()) return ExitCode::kInterrupted;
    return good ? ExitCode::kClean : ExitCode::kDamage;
  }

  const DemoOptions& options_;
  Terminal& terminal_;
  SystemClock clock_;
  std::string dir_;
  double seconds_ = 0;
};

}  // namespace

ExitCode RunDemo(const DemoOptions& options, Terminal& terminal) {
  if (options.servers == 0 || options.servers > 100'000) {
    terminal.Complain({ErrorCode::kInvalidArgument, "--servers is out of range", "1 to 100000"});
    return ExitCode::kUsage;
  }
  Demo demo(options, terminal);
  const ExitCode code = EndDemo(demo.Run(), terminal);
  CleanUpDemo(demo.dir(), code != ExitCode::kClean || !options.dir.empty(), terminal);
  return code;
}

}  // namespace duramen::tools
