#include "tools/top.h"

#include <poll.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>

#include "base/clock.h"
#include "tools/interrupt.h"
#include "tools/text.h"

namespace duramen::tools {
namespace {

constexpr std::size_t kBatchesShown = 8;
constexpr std::size_t kClientsShown = 16;
constexpr double kIntervalMax = 3600;

/// Keys come one by one and are not shown, for as long as it lives.
class KeyMode {
 public:
  KeyMode() {
    if (::isatty(STDIN_FILENO) == 0 || ::tcgetattr(STDIN_FILENO, &before_) != 0) return;
    termios keys = before_;
    keys.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    keys.c_cc[VMIN] = 0;
    keys.c_cc[VTIME] = 0;
    on_ = ::tcsetattr(STDIN_FILENO, TCSANOW, &keys) == 0;
  }
  ~KeyMode() {
    if (on_) (void)::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  }
  KeyMode(const KeyMode&) = delete;
  KeyMode& operator=(const KeyMode&) = delete;
  bool on() const { return on_; }

 private:
  termios before_{};
  bool on_ = false;
};

/// False: the user has had enough.
bool WaitFor(double seconds, bool keys) {
  const SystemClock clock;
  const std::int64_t end_ns = clock.NowNs() + static_cast<std::int64_t>(seconds * 1e9);
  while (!Interrupted()) {
    const std::int64_t left_ms = (end_ns - clock.NowNs() + 999'999) / 1'000'000;
    if (left_ms <= 0) return true;
    pollfd key{.fd = keys ? STDIN_FILENO : -1, .events = POLLIN, .revents = 0};
    if (::poll(&key, 1, static_cast<int>(std::min<std::int64_t>(left_ms, 200))) <= 0) continue;
    char letter = 0;
    const ssize_t got = ::read(STDIN_FILENO, &letter, 1);
    if (got > 0 && (letter == 'q' || letter == 'Q')) return false;
    if (got == 0) keys = false;  // Nobody is there any more.
  }
  return false;
}

class Difference {
 public:
  Difference(const LiveStats& before, const LiveStats& now, double seconds)
      : before_(before), now_(now), seconds_(seconds) {
    const StatIdentity& a = before.page.identity;
    const StatIdentity& b = now.page.identity;
    same_ = a.pid == b.pid && a.boot == b.boot && a.started_ns == b.started_ns;
  }
  double Rate(std::string_view name) const { return static_cast<double>(Count(name)) / seconds_; }
  std::uint64_t Count(std::string_view name) const {
    const std::uint64_t value = now_.Value(name);
    return same_ ? value - std::min(value, before_.Value(name)) : value;
  }
  HistogramCounts Of(std::string_view name) const {
    const HistogramCounts counts = now_.Histogram(name);
    return same_ ? counts.Since(before_.Histogram(name)) : counts;
  }

 private:
  const LiveStats& before_;
  const LiveStats& now_;
  double seconds_;
  bool same_ = true;
};

double Microseconds(std::uint64_t ns) { return static_cast<double>(ns) / 1000; }

ExitCode RunOnce(const TopOptions& options, Terminal& terminal) {
  Result<LiveStats> before = ReadLive(options.path);
  if (!before.ok()) return RefuseLive(terminal, before.error());
  LiveStats start;
  if (options.interval_s > 0) {
    // Nothing more comes from one that is gone: what it did in all its life is told instead.
    if (before->running && !WaitFor(options.interval_s, false)) return ExitCode::kInterrupted;
    if (before->running) start = *before;
  }
  const Result<LiveStats> now = ReadLive(options.path);
  if (!now.ok()) return RefuseLive(terminal, now.error());
  const bool since = start.now_ns != 0;
  const std::int64_t from_ns = since ? start.now_ns : now->page.identity.started_ns;
  const double seconds = std::max(static_cast<double>(now->now_ns - from_ns) / 1e9, 1e-3);
  PrintFacts(terminal, options.output, "top", TopFields(start, *now, seconds));
  return ExitCode::kClean;
}

/// "client 3, process 77 of user 0: 1,200 records/s, 1.2 MiB/s, 40 logs, 12 MiB of 8 GiB".
std::string ClientText(const ClientRecord& client, const LiveStats& before, double seconds) {
  ClientRecord was;
  for (const ClientRecord& one : before.page.clients) {
    if (one.ordinal == client.ordinal && one.pid == client.pid) was = one;
  }
  const auto rate = [seconds](std::uint64_t now, std::uint64_t then) {
    return static_cast<std::uint64_t>(static_cast<double>(now - std::min(now, then)) / seconds);
  };
  return "client " + std::to_string(client.ordinal) + ", process " + std::to_string(client.pid) +
         " of user " + std::to_string(client.uid) + ": " +
         Grouped(rate(client.records, was.records)) + " records/s, " +
         HumanBytes(rate(client.bytes, was.bytes)) + "/s, " + Plural(client.logs, "log") + ", " +
         HumanBytes(client.memory_bytes) + " of " + HumanBytes(client.memory_bytes_max);
}

/// Those that are there, in the order in which they came.
void DrawClients(Terminal& terminal, const LiveStats& before, const LiveStats& now,
                 double seconds) {
  std::size_t shown = 0;
  for (const ClientRecord& client : now.page.clients) {
    if (client.state != ClientState::kAttached || ++shown > kClientsShown) continue;
    terminal.Out(CutToWidth(ClientText(client, before, seconds), terminal.width()) + "\n");
  }
  if (shown > kClientsShown) {
    terminal.Out("and " + Plural(shown - kClientsShown, "client") +
                 " more: duramen stat DIR --live --by client\n");
  }
  if (shown > 0) terminal.Out("\n");
}

void Draw(const TopOptions& options, Terminal& terminal, const LiveStats& now,
          const LiveStats& before) {
  const double seconds =
      std::max(static_cast<double>(now.now_ns - before.now_ns) / 1e9, 1e-3);
  terminal.Out("\033[H\033[J");  // From the top left corner, on an empty screen.
  PrintFacts(terminal, options.output, "top", TopFields(before, now, seconds));
  terminal.Out("\n");
  DrawClients(terminal, before, now, seconds);
  const std::vector<BatchRecord>& batches = now.page.batches;
  const std::size_t first = batches.size() - std::min(batches.size(), kBatchesShown);
  for (std::size_t i = first; i < batches.size(); ++i) {
    terminal.Out(CutToWidth(batches[i].ToText(), terminal.width()) + "\n");
  }
  terminal.Out("q ends it\n");
  (void)terminal.Flush();
}

}  // namespace

std::vector<Field> TopFields(const LiveStats& before, const LiveStats& now, double seconds) {
  const Difference in(before, now, seconds);
  const HistogramCounts queue = in.Of("wal_queue_wait_ns");
  const HistogramCounts commit = in.Of("wal_commit_ns");
  const HistogramCounts sync = in.Of("wal_sync_ns");
  const HistogramCounts records = in.Of("wal_batch_records");
  const auto decimal = [](std::string_view name, double value) {
    return Field{name, ColumnType::kDecimal, value};
  };
  const auto count = [&](std::string_view name, std::string_view metric) {
    return Field{name, ColumnType::kCount, now.Value(metric)};
  };
  const auto size = [&](std::string_view name) {
    return Field{name, ColumnType::kSize, now.Value(name)};
  };
  return {{"sentence", ColumnType::kText, now.Sentence()},
          {"running", ColumnType::kFlag, now.running},
          {"pid", ColumnType::kCount, now.page.identity.pid},
          decimal("seconds", seconds),
          decimal("entries_per_s", in.Rate("wal_entries")),
          decimal("wal_bytes_per_s", in.Rate("wal_bytes")),
          decimal("batches_per_s", in.Rate("wal_batches")),
          decimal("syncs_per_s", in.Rate("wal_syncs")),
          {"batch_records_p50", ColumnType::kCount, records.Quantile(0.5)},
          decimal("queue_p50_us", Microseconds(queue.Quantile(0.5))),
          decimal("queue_p99_us", Microseconds(queue.Quantile(0.99))),
          decimal("commit_p50_us", Microseconds(commit.Quantile(0.5))),
          decimal("commit_p99_us", Microseconds(commit.Quantile(0.99))),
          decimal("sync_p50_us", Microseconds(sync.Quantile(0.5))),
          decimal("sync_p99_us", Microseconds(sync.Quantile(0.99))),
          decimal("in_flight_ms", Microseconds(now.Value("wal_in_flight_ns")) / 1000),
          count("stalls", "wal_stalls"),
          count("queue_records", "wal_queue_records"),
          decimal("overloaded_per_s", in.Rate("append_overloaded")),
          count("wal_files", "wal_files"),
          decimal("flush_lag_s", Microseconds(now.Value("flush_lag_ns")) / 1e6),
          decimal("flush_bytes_per_s", in.Rate("flush_bytes")),
          decimal("reads_per_s", in.Rate("read_calls")),
          size("memory_used_bytes"),
          size("memory_limit_bytes"),
          size("segment_bytes"),
          count("logs", "logs"),
          count("faulty_logs", "faulty_logs"),
          count("clients", "clients")};
}

Status CheckUsage(const TopOptions& options) {
  const bool zero = options.interval_s == 0 && options.once;
  if (zero || (options.interval_s >= 0.1 && options.interval_s <= kIntervalMax)) return {};
  return Error{ErrorCode::kInvalidArgument,
               "--interval " + Decimal(options.interval_s, 3) + " is not possible",
               "0.1 to 3600 seconds; 0 with --once: since the process started"};
}

ExitCode RunTop(const TopOptions& options, Terminal& terminal) {
  const Status usage = CheckUsage(options);
  if (!usage.ok()) return RefuseLive(terminal, usage.error());
  if (options.once) return RunOnce(options, terminal);
  if (options.output.format != Format::kTable || terminal.width() == 0) {
    return RefuseLive(terminal, {ErrorCode::kInvalidArgument, "top draws on a terminal",
                                 "duramen top " + options.path + " --once"});
  }
  Result<LiveStats> before = ReadLive(options.path);
  if (!before.ok()) return RefuseLive(terminal, before.error());
  const KeyMode keys;
  while (before->running && WaitFor(options.interval_s, keys.on())) {
    Result<LiveStats> now = ReadLive(options.path);
    if (!now.ok()) return RefuseLive(terminal, now.error());
    Draw(options, terminal, *now, *before);
    before = std::move(now);
  }
  if (!before->running) terminal.Say(before->Sentence());
  return ExitCode::kClean;
}

}  // namespace duramen::tools
