#include "tools/line_feed.h"

#include <algorithm>
#include <memory>

#include "base/bytes.h"
#include "base/try.h"
#include "tools/text.h"

namespace duramen::tools {
namespace {

using std::chrono::milliseconds;

constexpr std::int64_t kMillisecondNs = 1'000'000;
constexpr std::int64_t kPauseNs = 20 * kMillisecondNs;  // before a line is sent again
constexpr milliseconds kWait{20};

class LineKeeper final : public Machine {
 public:
  void Apply(std::span<const Command> commands, Effects& effects) override {
    for (std::size_t at = 0; at < commands.size(); ++at) {
      lines_ += AsText(commands[at].payload);
      lines_ += '\n';
      ++count_;
      if (effects.wants_reply(at)) effects.Reply(at, std::to_string(count_));
    }
  }
  Status Query(Bytes, std::string& answer) const override {
    answer = lines_;
    return {};
  }

 private:
  std::string lines_;
  std::uint64_t count_ = 0;
};

Deadline In(milliseconds patience) { return std::chrono::steady_clock::now() + patience; }

}  // namespace

MachineType LineMachine() {
  return {.name = "lines", .make = [] { return std::make_unique<LineKeeper>(); }};
}

std::string CompareLines(std::string_view expected, std::string_view found) {
  if (expected == found) return {};
  const auto wanted = static_cast<std::uint64_t>(std::ranges::count(expected, '\n'));
  const auto there = static_cast<std::uint64_t>(std::ranges::count(found, '\n'));
  if (wanted != there) return "it has " + Plural(there, "line") + " of " + Grouped(wanted);
  const auto differ = std::ranges::mismatch(expected, found).in1;
  const auto line = std::count(expected.begin(), differ, '\n') + 1;
  return "its line " + Grouped(static_cast<std::uint64_t>(line)) + " is another";
}

LineFeed::LineFeed(System& system, const InputText& input, std::uint64_t clusters)
    : system_(system), input_(input), client_(system.NewClient()), lanes_(clusters) {
  for (std::uint64_t cluster = 0; cluster < clusters; ++cluster) {
    Lane& lane = lanes_[cluster];
    lane.name = NameOf(cluster);
    lane.lines = (input.line_count() + clusters - cluster) / clusters;
    if (cluster == 0) --lane.lines;  // Lines are numbered from 1.
  }
}

std::string LineFeed::NameOf(std::uint64_t cluster) { return "lines-" + std::to_string(cluster); }

std::string_view LineFeed::LineOf(std::uint64_t cluster, std::uint64_t position) const {
  const std::uint64_t first = cluster == 0 ? lanes_.size() : cluster;
  return input_.line(first + position * lanes_.size());
}

std::string LineFeed::LinesOf(std::uint64_t cluster) const {
  std::string text;
  for (std::uint64_t position = 0; position < lanes_[cluster].lines; ++position) {
    text += LineOf(cluster, position);
    text += '\n';
  }
  return text;
}

Status LineFeed::OpenSessions(milliseconds patience) {
  for (Lane& lane : lanes_) lane.session = TRY(system_.OpenSession(lane.name, In(patience)));
  return {};
}

void LineFeed::LetTo(std::uint64_t part, std::uint64_t parts) {
  for (Lane& lane : lanes_) lane.limit = lane.lines * part / parts;
  news_ns_ = clock_.NowNs();
}

bool LineFeed::resting() const { return std::ranges::all_of(lanes_, &Lane::rests); }

Status LineFeed::Fill() {
  const std::int64_t now_ns = clock_.NowNs();
  for (std::uint64_t cluster = 0; cluster < lanes_.size(); ++cluster) {
    const Lane& lane = lanes_[cluster];
    if (lane.under_way || lane.rests() || lane.not_before_ns > now_ns) continue;
    TRY(Send(cluster));
  }
  return {};
}

Status LineFeed::Step(milliseconds patience) {
  TRY(Fill());
  (void)client_.Wait(In(kWait));  // Without news there may be something to send again by now.
  for (const Outcome& outcome : client_.Poll()) TRY(Take(outcome));
  if (clock_.NowNs() - news_ns_ < patience.count() * kMillisecondNs || resting()) return {};
  return Error{ErrorCode::kTimeout,
               "no line was acknowledged for " + std::to_string(patience.count() / 1000) +
                   " s, with " + Plural(under_way_, "command") + " under way",
               "look at the load of this machine and at its disk: duramen tune ."};
}

void LineFeed::Mark() {
  for (Lane& lane : lanes_) lane.marked = lane.acknowledged;
}

bool LineFeed::all_went_on() const {
  return std::ranges::all_of(
      lanes_, [](const Lane& lane) { return lane.rests() || lane.acknowledged > lane.marked; });
}

Status LineFeed::Send(std::uint64_t cluster) {
  Lane& lane = lanes_[cluster];
  const std::string_view line = LineOf(cluster, lane.acknowledged);
  const SendOptions options{.place = InSession{.session = lane.session,
                                               .sequence = lane.acknowledged + 1,
                                               .acknowledged = lane.acknowledged}};
  // Never used again, and says whose it is.
  const std::uint64_t correlation = ++attempts_ * lanes_.size() + cluster;
  const Status sent = client_.Send(lane.name, correlation, AsBytes(line), options);
  if (!sent.ok()) return Again(lane, sent.error());
  if (lane.unknown) ++sent_again_;
  lane.unknown = false;
  lane.under_way = true;
  ++under_way_;
  return {};
}

Status LineFeed::Take(const Outcome& outcome) {
  Lane& lane = lanes_[outcome.correlation % lanes_.size()];
  lane.under_way = false;
  --under_way_;
  if (outcome.error) return Again(lane, *outcome.error);
  if (outcome.answer != std::to_string(lane.acknowledged + 1)) {
    return Error{ErrorCode::kCorruption,
                 "cluster " + lane.name + " has " + outcome.answer + " lines after its line " +
                     std::to_string(lane.acknowledged + 1),
                 "a line was lost, or stands there twice"};
  }
  ++lane.acknowledged;
  ++acknowledged_;
  lane.last = {outcome.index, outcome.term};
  news_ns_ = clock_.NowNs();
  return {};
}

Status LineFeed::Again(Lane& lane, const Error& error) {
  const bool unknown = error.code == ErrorCode::kTimeout || error.code == ErrorCode::kClosed;
  const bool nothing = error.code == ErrorCode::kNotLeader || error.code == ErrorCode::kOverloaded;
  if (!unknown && !nothing) {
    return Error{error.code, "cluster " + lane.name + ": " + error.message, error.hint};
  }
  lane.unknown = lane.unknown || unknown;
  lane.not_before_ns = clock_.NowNs() + kPauseNs;
  return {};
}

}  // namespace duramen::tools
