#include "tools/load.h"

#include <poll.h>

#include <algorithm>
#include <deque>
#include <optional>
#include <thread>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/try.h"
#include "tools/device_facts.h"
#include "tools/interrupt.h"
#include "tools/latency.h"
#include "tools/line_entry.h"
#include "tools/line_reader.h"
#include "tools/store_metrics.h"
#include "tools/text.h"

namespace duramen::tools {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::uint64_t kBurstLines = 64;  // posted before acknowledgements are looked at
constexpr auto kCloseMax = std::chrono::seconds(60);
constexpr std::uint64_t kInFlightMax = 1 << 20;
constexpr std::string_view kWalProcess = "unix:";  // before the path of its socket

struct Pending {
  Ticket ticket = 0;
  std::uint64_t line = 0;
  std::int64_t posted_ns = 0;
};

/// One Writer and what it has not made durable yet.
struct Lane {
  Writer writer;
  std::deque<Pending> pending;
};

struct Target {
  LogRef log;
  std::size_t lane = 0;
  std::uint64_t lines = 0;    // of the input so far
  std::uint64_t durable = 0;  // entries found at the start
  std::string last_payload;   // of the last of those
};

Error OtherInput(std::uint64_t line) {
  return {ErrorCode::kConfiguration,
          "line " + std::to_string(line) + " of the input is not what the directory holds of it",
          "--resume needs the same FILE and the same --servers as before"};
}

class Loader {
 public:
  Loader(const LoadOptions& options, Terminal& terminal, LogStore& store, LineReader& reader)
      : options_(options), terminal_(terminal), store_(store), reader_(reader) {}

  Status Prepare() {
    // One for each WAL shard at least: a log that is there is written where it is.
    const std::uint32_t shards = store_.shards();
    for (std::uint64_t i = 0; i < std::max<std::uint64_t>(options_.writers, shards); ++i) {
      TRY(OpenLane(static_cast<std::uint32_t>(i % shards)));
    }
    for (std::uint64_t i = 0; i < options_.servers; ++i) TRY(OpenTarget(i));
    started_ns_ = clock_.NowNs();
    if (resumed_ > 0 && !options_.resume) {
      return Error{ErrorCode::kRefused, options_.dir + " already holds " + Plural(resumed_, "line"),
                   "add --resume to go on after them, or name a new directory"};
    }
    return {};
  }

  Status Run() {
    while (!done_ && !Interrupted()) {
      TRY(PostBurst());
      TRY(CollectAndWait());
      ShowProgress();
    }
    while (outstanding_ > 0) {
      TRY(WaitForOldest(milliseconds(1000)));
      TRY(Collect());
    }
    return Interrupted() ? Status{} : CheckNothingIsLeftOver();
  }

  void PrintSummary() {
    const StoreMetrics metrics = StoreMetrics::Of(store_);
    const double seconds = static_cast<double>(clock_.NowNs() - started_ns_) / 1e9;
    const double entries = static_cast<double>(durable_);
    const double syncs = static_cast<double>(std::max<std::uint64_t>(metrics.syncs, 1));
    const Field fields[] = {
        {"lines", ColumnType::kCount, line_},
        {"resumed_after", ColumnType::kCount, resumed_},
        {"entries", ColumnType::kCount, durable_},
        {"servers", ColumnType::kCount, options_.servers},
        {"batches", ColumnType::kCount, metrics.batches},
        {"syncs", ColumnType::kCount, metrics.syncs},
        {"entries_per_sync", ColumnType::kDecimal, entries / syncs},
        {"rolls", ColumnType::kCount, metrics.rolls},
        {"bytes", ColumnType::kSize, payload_bytes_},
        {"wal_bytes", ColumnType::kSize, metrics.bytes},
        {"seconds", ColumnType::kDecimal, seconds},
        {"entries_per_s", ColumnType::kDecimal, seconds > 0 ? entries / seconds : 0},
        {"p50_us", ColumnType::kDecimal, latency_.Microseconds(0.5)},
        {"p99_us", ColumnType::kDecimal, latency_.Microseconds(0.99)}};
    // With --acks standard output belongs to the acknowledgements.
    if (options_.acks) {
      terminal_.Say(JsonObject("load", fields));
    } else {
      PrintFacts(terminal_, options_.output, "load", fields);
    }
  }

 private:
  /// Tries again as long as what stands in the way may pass.
  template <typename Try>
  auto Patiently(const Try& attempt) {
    const auto give_up = steady_clock::now() + milliseconds(options_.overloaded_ms);
    while (true) {
      auto result = attempt();
      if (result.ok() || !Passes(result.error()) || Interrupted() ||
          steady_clock::now() > give_up) {
        return result;
      }
      std::this_thread::sleep_for(milliseconds(1));
    }
  }

  Status OpenLane(std::uint32_t shard) {
    lanes_.push_back({TRY(Patiently([&] { return store_.NewWriter(shard); })), {}});
    return {};
  }

  /// Each registration is a record on its way to the WAL, and there may be many.
  Status OpenTarget(std::uint64_t number) {
    Target target = TRY(Patiently([&] { return TryTarget(number); }));
    resumed_ += target.durable;
    targets_.push_back(std::move(target));
    return {};
  }

  Result<Target> TryTarget(std::uint64_t number) {
    Target target;
    target.lane = number % lanes_.size();
    const std::string name = options_.log_prefix + ServerName(number);
    const Result<std::uint32_t> shard = store_.ShardOf(name);
    while (shard.ok() && target.lane % store_.shards() != *shard) {
      target.lane = (target.lane + 1) % lanes_.size();
    }
    target.log = TRY(store_.OpenLog(lanes_[target.lane].writer, name, OpenMode::kOpenOrCreate));
    const Bounds bounds = TRY(store_.BoundsOf(target.log));
    target.durable = bounds.end - 1;
    if (target.durable > 0) {
      const Pin pin = TRY(store_.Read(target.log, bounds.end - 1, bounds.end, SIZE_MAX));
      target.last_payload = AsText(pin.entries().front().payload);
    }
    return target;
  }

  Status PostBurst() {
    const std::int64_t now_ns = clock_.NowNs();
    bool posted = false;
    for (std::uint64_t i = 0; i < kBurstLines && outstanding_ < options_.in_flight; ++i) {
      // What is on its way must be acknowledged even if no further line comes.
      if (outstanding_ > 0 && !reader_.Ready()) break;
      const Result<std::optional<std::string_view>> line = reader_.Next();
      if (!line.ok() && Interrupted()) break;
      if (!line.ok()) return line.error();
      done_ = !line->has_value();
      if (done_) break;
      ++line_;
      posted = TRY(Take(**line, now_ns)) || posted;
    }
    if (posted && options_.events) SayPosted();
    return {};
  }

  /// False: the line was durable already.
  Result<bool> Take(std::string_view text, std::int64_t now_ns) {
    Target& target = targets_[ServerOfLine(line_, options_.servers)];
    ++target.lines;
    EncodeLine(line_, text, payload_);
    if (target.lines <= target.durable) {
      const bool last = target.lines == target.durable;
      if (last && payload_ != target.last_payload) return OtherInput(line_);
      return false;
    }
    const EntryView entry{
        .index = target.lines, .term = 1, .kind = kLineKind, .payload = AsBytes(payload_)};
    const Ticket ticket = TRY(Append(target, entry));
    lanes_[target.lane].pending.push_back({ticket, line_, now_ns});
    if (first_posted_ == 0) first_posted_ = line_;
    ++outstanding_;
    payload_bytes_ += payload_.size();
    return true;
  }

  /// An overload passes, and a WAL process that is gone is followed by another.
  bool Passes(const Error& error) const {
    const bool shared = options_.dir.starts_with(kWalProcess);
    return error.code == ErrorCode::kOverloaded || (shared && error.code == ErrorCode::kWalDown);
  }

  /// Waits while the store is overloaded, as long as that helps.
  Result<Ticket> Append(const Target& target, const EntryView& entry) {
    Lane& lane = lanes_[target.lane];
    const LogAppend group{target.log, std::span(&entry, 1)};
    auto give_up = steady_clock::now() + milliseconds(options_.overloaded_ms);
    while (true) {
      Result<Ticket> ticket = lane.writer.Append(std::span(&group, 1));
      if (ticket.ok() || !Passes(ticket.error())) return ticket;
      const std::uint64_t before = outstanding_;
      if (outstanding_ > 0) {
        TRY(WaitForOldest(milliseconds(10)));
        TRY(Collect());
      } else {
        std::this_thread::sleep_for(milliseconds(1));
      }
      if (outstanding_ < before)
        give_up = steady_clock::now() + milliseconds(options_.overloaded_ms);
      if (Interrupted() || steady_clock::now() < give_up) continue;
      if (ticket.error().code == ErrorCode::kWalDown) return ticket;
      return Error{ErrorCode::kOverloaded,
                   "line " + std::to_string(line_) +
                       " does not fit: the WAL's files are full, and "
                       "load moves no floor (" +
                       ticket.error().message + ")",
                   "raise --wal-max-files or --wal-max-size-bytes and go on with --resume"};
    }
  }

  Status CollectAndWait() {
    TRY(Collect());
    if (outstanding_ == 0) return {};
    if (done_ || outstanding_ >= options_.in_flight) return WaitForOldest(milliseconds(1000));
    if (reader_.Ready()) return {};
    // Whichever comes first: more input, or an acknowledgement.
    const int written_fd = lanes_.size() == 1 ? lanes_.front().writer.written_fd() : -1;
    if (written_fd < 0) return WaitForOldest(milliseconds(1));
    pollfd waits[] = {{reader_.fd(), POLLIN, 0}, {written_fd, POLLIN, 0}};
    (void)::poll(waits, 2, 100);
    (void)lanes_.front().writer.Poll();
    return {};
  }

  Status WaitForOldest(milliseconds patience) {
    for (Lane& lane : lanes_) {
      if (lane.pending.empty()) continue;
      const Status status =
          lane.writer.Wait(lane.pending.front().ticket, steady_clock::now() + patience);
      if (!status.ok() && status.error().code != ErrorCode::kTimeout) return status;
    }
    return {};
  }

  /// Acknowledges what became durable, in the order of each Writer.
  Status Collect() {
    std::string acks;
    const std::int64_t now_ns = clock_.NowNs();
    for (Lane& lane : lanes_) {
      (void)lane.writer.Poll();
      const Ticket durable = lane.writer.durable();
      while (!lane.pending.empty() && lane.pending.front().ticket <= durable) {
        const Pending& pending = lane.pending.front();
        latency_.Add(now_ns - pending.posted_ns);
        if (options_.acks) acks += "ack " + std::to_string(pending.line) + "\n";
        lane.pending.pop_front();
        --outstanding_;
        ++durable_;
      }
    }
    if (acks.empty()) return {};
    terminal_.Out(acks);
    return terminal_.Flush();
  }

  /// The directory may hold more lines than the input has: then it is another input.
  Status CheckNothingIsLeftOver() const {
    for (const Target& target : targets_) {
      if (target.lines < target.durable) return OtherInput(line_ + 1);
    }
    return {};
  }

  void SayPosted() {
    const StoreMetrics metrics = StoreMetrics::Of(store_);
    terminal_.Say("posted " + std::to_string(line_) + " from " + std::to_string(first_posted_) +
                  " batches " + std::to_string(metrics.batches) + " syncs " +
                  std::to_string(metrics.syncs) + " rolls " + std::to_string(metrics.rolls));
  }

  void ShowProgress() {
    if (!options_.progress || !terminal_.shows_progress()) return;
    const std::int64_t now_ns = clock_.NowNs();
    if (now_ns - shown_ns_ < 200'000'000) return;
    shown_ns_ = now_ns;
    const double seconds = static_cast<double>(now_ns - started_ns_) / 1e9;
    const double rate = seconds > 0 ? static_cast<double>(reader_.bytes()) / seconds : 0;
    std::string text = Plural(durable_, "line") + " durable, " +
                       HumanBytes(static_cast<std::uint64_t>(rate)) + "/s";
    const std::optional<std::uint64_t> total = reader_.total_bytes();
    if (total && rate > 0) {
      const double left = static_cast<double>(*total - std::min(*total, reader_.bytes())) / rate;
      text += ", " + Decimal(left, 0) + " s left";
    }
    terminal_.Progress(text);
  }

  const LoadOptions& options_;
  Terminal& terminal_;
  LogStore& store_;
  LineReader& reader_;
  SystemClock clock_;
  std::vector<Lane> lanes_;
  std::vector<Target> targets_;
  std::string payload_;
  LatencyHistogram latency_;
  std::int64_t started_ns_ = 0;
  std::int64_t shown_ns_ = 0;
  std::uint64_t line_ = 0;
  std::uint64_t first_posted_ = 0;
  std::uint64_t outstanding_ = 0;
  std::uint64_t durable_ = 0;
  std::uint64_t resumed_ = 0;
  std::uint64_t payload_bytes_ = 0;
  bool done_ = false;
};

/// One line, for `demo`: "recovered boot=2 entries=100 copied=1 findings=torn tail".
std::string RecoveredLine(const RecoveryReport& report) {
  std::string findings;
  for (const Finding& finding : report.findings) {
    if (finding.kind == FindingKind::kUnusedSpare) continue;
    findings += std::string(findings.empty() ? "" : ",") + FindingKindName(finding.kind);
  }
  return "recovered boot=" + std::to_string(report.boot) +
         " entries=" + std::to_string(report.entries) +
         " copied=" + std::to_string(report.copied_batches) +
         " damaged=" + (report.damaged() ? "yes" : "no") +
         " findings=" + (findings.empty() ? "none" : findings);
}

ExitCode Refuse(Terminal& terminal, const Error& error) {
  terminal.Complain(error);
  return ExitCodeOf(error.code);
}

Status CheckOptions(const LoadOptions& options) {
  const auto between = [](std::string_view flag, std::uint64_t value, std::uint64_t max) -> Status {
    if (value >= 1 && value <= max) return {};
    return Error{ErrorCode::kInvalidArgument,
                 std::string(flag) + " " + std::to_string(value) + " is not possible",
                 "1 to " + std::to_string(max)};
  };
  TRY(between("--servers", options.servers, 100'000));
  TRY(between("--writers", options.writers, std::min<std::uint64_t>(options.servers, 64)));
  return between("--in-flight", options.in_flight, kInFlightMax);
}

}  // namespace

/// What a faulty log held may be what the lines to skip are counted by.
Status CheckHealth(const LoadOptions& options, const LogStore& store) {
  const std::vector<LogInfo> logs = store.Logs();
  const auto faulty = std::ranges::count(logs, true, &LogInfo::faulty);
  if (faulty == 0) return {};
  return Error{ErrorCode::kFaulty,
               Plural(static_cast<std::uint64_t>(faulty), "faulty log") + " in " + options.dir +
                   ": which lines they held is not known",
               "run `duramen verify " + options.dir + "`, or load into a new directory"};
}

ExitCode RunLoad(const LoadOptions& options, Terminal& terminal) {
  const Status possible = CheckOptions(options);
  if (!possible.ok()) return Refuse(terminal, possible.error());
  Result<SettingStack> stack = StackSettings(options.settings);
  if (!stack.ok()) return Refuse(terminal, stack.error());
  for (const std::string& warning : stack->warnings) terminal.Say("warning: " + warning);
  const bool shared = options.dir.starts_with(kWalProcess);
  (shared ? stack->options.wal_process : stack->options.data_dir) = options.dir;
  Result<LineReader> reader = LineReader::Open(options.file);
  if (!reader.ok()) return Refuse(terminal, reader.error());
  Result<LogStore> store = LogStore::Open(stack->options);
  if (!store.ok()) return Refuse(terminal, store.error());
  if (!shared) {
    const std::string& wal_dir = stack->options.wal_dir;
    WarnOfFileSystems({options.dir, wal_dir.empty() ? options.dir + "/wal" : wal_dir}, terminal);
  }
  const RecoveryReport& report = store->recovery_report();
  if (options.events) {
    terminal.Say(RecoveredLine(report));
  } else if (!report.created) {
    terminal.Say(report.ToText());
  }
  Status status = CheckHealth(options, *store);
  if (status.ok()) {
    Loader loader(options, terminal, *store, *reader);
    status = loader.Prepare();
    if (status.ok()) {
      status = loader.Run();
      loader.PrintSummary();
    }
  }
  const Status closed = store->Close(steady_clock::now() + kCloseMax);
  if (status.ok()) status = closed;
  if (status.ok()) status = terminal.Flush();
  if (!status.ok()) return Refuse(terminal, status.error());
  return Interrupted() ? ExitCode::kInterrupted : ExitCode::kClean;
}

}  // namespace duramen::tools
