// What a log store does in the steady state: entries come, are flushed, are read, and go.
#include <sys/resource.h>

#include <algorithm>
#include <deque>
#include <thread>

#include "base/clock.h"
#include "base/rng.h"
#include "base/settings.h"
#include "base/try.h"
#include "tools/bare_disk.h"
#include "tools/bench.h"
#include "tools/bench_report.h"
#include "tools/interrupt.h"
#include "tools/latency.h"
#include "tools/line_entry.h"
#include "tools/store_metrics.h"
#include "wal/format.h"

namespace duramen::tools {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::int64_t kSecondNs = 1'000'000'000;
constexpr std::int64_t kLookNs = 5'000'000;          // between two looks at the metrics
constexpr std::int64_t kWarmNsMax = 20 * kSecondNs;  // until the first flush
constexpr std::uint64_t kDiskSlices = 3;             // seconds of the bare disk, at the end
constexpr std::uint64_t kFilesKept = 2;              // WAL files' worth that logs keep
constexpr std::uint64_t kFloorStep = 256;            // entries by which a floor may stay behind
constexpr std::uint64_t kDiskFileBytes = 256'000'000;
constexpr auto kCloseMax = std::chrono::seconds(60);

/// Records that were posted together.
struct Posted {
  Index end = 1;  // of the log behind them
  std::int64_t at_ns = 0;
};

struct Log {
  LogRef ref;
  Index begin = 1;
  Index written_end = 1;
  Index end = 1;
  std::deque<Posted> posted;
};

/// The logs of one Writer.
struct Lane {
  Writer writer;
  std::vector<Log> logs;
  std::vector<std::uint32_t> log_of_slot;
  Ticket newest = 0;
};

std::uint64_t PeakRssBytes() {
  struct rusage usage = {};
  return ::getrusage(RUSAGE_SELF, &usage) == 0 ? static_cast<std::uint64_t>(usage.ru_maxrss) << 10
                                               : 0;
}

class LogBench {
 public:
  LogBench(const BenchLogOptions& options, std::uint64_t keep, LogStore& store, BareDisk& disk)
      : options_(options),
        keep_(keep),
        store_(store),
        disk_(disk),
        rng_(options.common.seed),
        payload_(options.entry_bytes) {
    for (std::byte& byte : payload_) byte = static_cast<std::byte>(rng_.Below(256));
  }

  Status Prepare() {
    for (std::uint64_t i = 0; i < options_.writers; ++i) {
      lanes_.push_back({TRY(store_.NewWriter()), {}, {}, 0});
    }
    for (std::uint64_t i = 0; i < options_.servers; ++i) {
      Lane& lane = lanes_[i % lanes_.size()];
      Log log;
      log.ref = TRY(Open(lane.writer, ServerName(i)));
      if (lane.log_of_slot.size() <= log.ref.slot) lane.log_of_slot.resize(log.ref.slot + 1);
      lane.log_of_slot[log.ref.slot] = static_cast<std::uint32_t>(lane.logs.size());
      lane.logs.push_back(std::move(log));
    }
    return {};
  }

  /// What is measured begins with the second flush: the first one makes all directories.
  Status Run() {
    const std::int64_t warm_until_ns = clock_.NowNs() + kWarmNsMax;
    Look();
    while (clock_.NowNs() < warm_until_ns && now_.flush_rounds == 0 && !Interrupted()) TRY(Turn());
    latency_ = read_latency_ = {};
    entries_ = reads_ = peak_budget_bytes_ = batch_bytes_ = batches_ = 0;
    const CpuTimer cpu;
    Look();
    const StoreMetrics before = now_;
    const std::int64_t begin_ns = clock_.NowNs();
    const std::int64_t end_ns =
        begin_ns + static_cast<std::int64_t>(options_.common.seconds) * kSecondNs;
    while (clock_.NowNs() < end_ns && !Interrupted()) TRY(Turn());
    measured_ns_ = clock_.NowNs() - begin_ns;
    Look();
    used_ = now_ - before;
    cpu_user_s_ = cpu.user_seconds();
    cpu_system_s_ = cpu.system_seconds();
    peak_rss_bytes_ = PeakRssBytes();
    return MeasureDisk();
  }

  std::vector<Field> Fields() const {
    const double seconds = static_cast<double>(measured_ns_) / 1e9;
    const auto rate = [&](std::uint64_t count) { return static_cast<double>(count) / seconds; };
    const auto share = [](std::uint64_t part, std::uint64_t whole) {
      return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
    };
    const std::uint64_t written = used_.bytes + used_.flush_bytes + used_.checkpoint_bytes;
    const std::uint64_t owed = entries_ * (options_.entry_bytes + wal::kRecordHeaderBytes);
    std::vector<Field> fields = CommonFields("log", options_.common, seconds, options_.entry_bytes);
    const std::vector<Field> measured = {
        {"cpu_user_s", ColumnType::kDecimal, cpu_user_s_},
        {"cpu_sys_s", ColumnType::kDecimal, cpu_system_s_},
        {"servers", ColumnType::kCount, options_.servers},
        {"in_flight", ColumnType::kCount, options_.in_flight},
        {"writers", ColumnType::kCount, options_.writers},
        {"keep_entries", ColumnType::kCount, keep_},
        {"entries_per_s", ColumnType::kDecimal, rate(entries_)},
        {"bytes_per_s", ColumnType::kDecimal, rate(entries_ * options_.entry_bytes)},
        {"wal_bytes_per_s", ColumnType::kDecimal, rate(used_.bytes)},
        {"syncs_per_s", ColumnType::kDecimal, rate(used_.syncs)},
        {"entries_per_batch", ColumnType::kDecimal, share(entries_, used_.batches)},
        {"p50_us", ColumnType::kDecimal, latency_.Microseconds(0.5)},
        {"p99_us", ColumnType::kDecimal, latency_.Microseconds(0.99)},
        {"p999_us", ColumnType::kDecimal, latency_.Microseconds(0.999)},
        {"disk_bytes_per_s", ColumnType::kDecimal, disk_bytes_per_s_},
        {"ratio_to_disk", ColumnType::kDecimal,
         disk_bytes_per_s_ == 0 ? 0 : rate(used_.bytes) / disk_bytes_per_s_},
        {"device_wait_share", ColumnType::kDecimal,
         share(used_.wait_ns, static_cast<std::uint64_t>(measured_ns_))},
        {"reads_per_s", ColumnType::kDecimal, rate(reads_)},
        {"read_p50_us", ColumnType::kDecimal, read_latency_.Microseconds(0.5)},
        {"read_p99_us", ColumnType::kDecimal, read_latency_.Microseconds(0.99)},
        {"write_amplification", ColumnType::kDecimal, share(written, owed)},
        {"flush_rounds", ColumnType::kCount, used_.flush_rounds},
        {"flush_syncs", ColumnType::kCount, used_.flush_syncs},
        {"flush_bytes_per_s", ColumnType::kDecimal, rate(used_.flush_bytes)},
        {"flush_round_s", ColumnType::kDecimal,
         share(used_.flush_round_ns, used_.flush_rounds) / 1e9},
        {"flush_throttled_share", ColumnType::kDecimal,
         share(used_.flush_throttled_ns, static_cast<std::uint64_t>(measured_ns_))},
        {"overloaded", ColumnType::kCount, used_.overloaded},
        {"peak_memory_bytes", ColumnType::kCount, peak_rss_bytes_},
        {"peak_budget_bytes", ColumnType::kCount, peak_budget_bytes_}};
    fields.insert(fields.end(), measured.begin(), measured.end());
    return fields;
  }

 private:
  Result<LogRef> Open(Writer& writer, const std::string& name) {
    for (int attempt = 0;; ++attempt) {
      Result<LogRef> log = store_.OpenLog(writer, name, OpenMode::kOpenOrCreate);
      if (log.ok() || log.error().code != ErrorCode::kOverloaded || attempt > 20'000) return log;
      std::this_thread::sleep_for(milliseconds(1));  // Registrations on their way to the WAL.
    }
  }

  Status Turn() {
    for (Lane& lane : lanes_) TRY(Refill(lane));
    TRY(ReadSome());
    for (Lane& lane : lanes_) TRY(Wait(lane));
    if (clock_.NowNs() >= looked_ns_ + kLookNs) Look();
    return {};
  }

  /// Keeps `in_flight` entries outstanding in every log, and `keep` behind them.
  Status Refill(Lane& lane) {
    const std::int64_t now_ns = clock_.NowNs();
    for (Log& log : lane.logs) {
      const Index end = log.written_end + options_.in_flight;
      if (log.end >= end) continue;
      scratch_.clear();
      for (Index index = log.end; index < end; ++index) {
        scratch_.push_back({index, 1, kLineKind, payload_});
      }
      const LogAppend group{log.ref, scratch_};
      const Result<Ticket> ticket = lane.writer.Append(std::span(&group, 1));
      if (!ticket.ok()) return OrOverloaded(ticket.error());
      log.end = end;
      log.posted.push_back({end, now_ns});
      lane.newest = *ticket;
      if (log.written_end < log.begin + keep_ + kFloorStep) continue;
      const Result<Ticket> floor = lane.writer.TruncatePrefix(log.ref, log.written_end - keep_);
      if (!floor.ok()) return OrOverloaded(floor.error());
      log.begin = log.written_end - keep_;
      lane.newest = *floor;
    }
    return {};
  }

  static Status OrOverloaded(const Error& error) {
    return error.code == ErrorCode::kOverloaded ? Status{} : error;
  }

  Status Wait(Lane& lane) {
    // One more than what is durable: returns with the next batch.
    const Ticket next = std::min(lane.writer.durable() + 1, lane.newest);
    if (next > lane.writer.durable()) {
      const Status waited = lane.writer.Wait(next, steady_clock::now() + milliseconds(100));
      if (!waited.ok() && waited.error().code != ErrorCode::kTimeout) return waited;
    } else if (!lane.logs.empty()) {  // All is durable, and there was no room for more.
      const Status room = lane.writer.WaitForRoom(lane.logs.front().ref, options_.in_flight,
                                                  options_.in_flight * options_.entry_bytes,
                                                  steady_clock::now() + milliseconds(10));
      if (!room.ok()) TRY(OrOverloaded(room.error()));
    }
    const std::int64_t now_ns = clock_.NowNs();
    for (const Written& written : lane.writer.Poll()) {
      Log& log = lane.logs[lane.log_of_slot[written.log.slot]];
      while (!log.posted.empty() && log.posted.front().end <= written.end) {
        const std::uint64_t entries = log.posted.front().end - log.written_end;
        latency_.Add(now_ns - log.posted.front().at_ns, entries);
        entries_ += entries;
        log.written_end = log.posted.front().end;
        log.posted.pop_front();
      }
    }
    return {};
  }

  /// Single entries, anywhere in a log: from memory, WAL files and segments.
  Status ReadSome() {
    for (; reads_ * 1000 < entries_ * options_.reads_per_1000; ++reads_) {
      Lane& lane = lanes_[rng_.Below(lanes_.size())];
      const Log& log = lane.logs[rng_.Below(lane.logs.size())];
      if (log.begin >= log.written_end) return {};
      const Index index = log.begin + rng_.Below(log.written_end - log.begin);
      const std::int64_t begin_ns = clock_.NowNs();
      const Result<Pin> pin = store_.Read(log.ref, index, index + 1, SIZE_MAX);
      if (!pin.ok() && pin.error().code == ErrorCode::kOverloaded) return {};
      TRY(pin.ok() ? Status{} : Status(pin.error()));
      read_latency_.Add(clock_.NowNs() - begin_ns);
      if (pin->entries().size() != 1 ||
          !std::ranges::equal(pin->entries()[0].payload, Bytes(payload_))) {
        return Error{ErrorCode::kCorruption,
                     "entry " + std::to_string(index) + " is not what was appended", ""};
      }
    }
    return {};
  }

  void Look() {
    const StoreMetrics seen = StoreMetrics::Of(store_);
    const StoreMetrics since = seen - now_;
    batches_ += since.batches;
    batch_bytes_ += since.bytes;
    now_ = seen;
    looked_ns_ = clock_.NowNs();
    peak_budget_bytes_ = std::max(peak_budget_bytes_, seen.memory_bytes);
  }

  /// Batches of the mean size, on the bare disk, when all is quiet.
  Status MeasureDisk() {
    if (batches_ == 0) return {};
    for (std::int64_t until_ns = clock_.NowNs() + kWarmNsMax;
         now_.flush_waiting_files > 0 && clock_.NowNs() < until_ns && !Interrupted(); Look()) {
      std::this_thread::sleep_for(milliseconds(10));
    }
    disk_.LimitDepth(now_.depth);
    const std::uint64_t bytes_before = disk_.bytes();
    const std::int64_t begin_ns = clock_.NowNs();
    const auto slices_ns =
        static_cast<std::int64_t>(std::min(kDiskSlices, options_.common.seconds)) * kSecondNs;
    while (clock_.NowNs() - begin_ns < slices_ns && !Interrupted()) {
      TRY(disk_.Write(batch_bytes_ / batches_));
    }
    disk_bytes_per_s_ = static_cast<double>(disk_.bytes() - bytes_before) * 1e9 /
                        static_cast<double>(clock_.NowNs() - begin_ns);
    return {};
  }

  const BenchLogOptions& options_;
  const std::uint64_t keep_;
  LogStore& store_;
  BareDisk& disk_;
  SystemClock clock_;
  Rng rng_;
  std::vector<std::byte> payload_;
  std::vector<Lane> lanes_;
  std::vector<EntryView> scratch_;
  StoreMetrics now_;
  std::int64_t looked_ns_ = 0;
  // What is measured.
  LatencyHistogram latency_;
  LatencyHistogram read_latency_;
  StoreMetrics used_;
  std::int64_t measured_ns_ = 0;
  std::uint64_t entries_ = 0;
  std::uint64_t reads_ = 0;
  std::uint64_t batches_ = 0;
  std::uint64_t batch_bytes_ = 0;
  std::uint64_t peak_budget_bytes_ = 0;
  std::uint64_t peak_rss_bytes_ = 0;
  double cpu_user_s_ = 0;
  double cpu_system_s_ = 0;
  double disk_bytes_per_s_ = 0;
};

Status CheckRange(const BenchLogOptions& options) {
  const bool possible = options.servers >= 1 && options.servers <= 100'000 &&
                        options.in_flight >= 1 && options.in_flight <= 100'000 &&
                        options.entry_bytes <= (16u << 20) && options.writers >= 1 &&
                        options.writers <= std::min<std::uint64_t>(options.servers, 64) &&
                        options.reads_per_1000 <= 1'000'000;
  if (possible) return {};
  return Error{ErrorCode::kInvalidArgument, "a number is out of range",
               "--servers and --in-flight 1 to 100000, --entry-bytes up to 16777216, --writers 1 "
               "to 64 and no more than servers, --reads up to 1000000"};
}

Status Bench(const BenchLogOptions& options, Terminal& terminal) {
  TRY(CheckRange(options));
  SettingSources sources = options.settings;
  sources.flags.emplace_back("wal_sync_method", options.common.sync_method);
  if (options.common.depth != 0) {
    sources.flags.emplace_back("wal_pipeline_depth", std::to_string(options.common.depth));
  }
  SettingStack stack = TRY(StackSettings(sources));
  const BenchDirectory directory =
      TRY(BenchDirectory::Make(options.common.dir, options.common.seed));
  stack.options.data_dir = directory.path() + "/data";
  const std::uint64_t record_bytes = options.entry_bytes + wal::kRecordHeaderBytes;
  const std::uint64_t kept =
      kFilesKept * WalFileBytes(stack.options) / record_bytes / options.servers + 1;
  LogStore store = TRY(LogStore::Open(stack.options));
  BareDisk disk = TRY(BareDisk::Create(
      directory.path(), {.size_bytes = std::min(WalFileBytes(stack.options), kDiskFileBytes),
                         .method = static_cast<SyncMethod>(StoreMetrics::Of(store).sync_method),
                         .depth = static_cast<std::uint32_t>(stack.options.wal_pipeline_depth)}));
  std::vector<Field> fields;
  Status status;
  {
    LogBench bench(options, options.keep.value_or(kept), store, disk);
    status = bench.Prepare();
    if (status.ok()) status = bench.Run();
    if (status.ok()) fields = bench.Fields();
  }
  const Status closed = store.Close(steady_clock::now() + kCloseMax);
  TRY(Status(status));
  TRY(Status(closed));
  PrintBench(terminal, options.common.output, fields);
  return terminal.Flush();
}

}  // namespace

ExitCode RunBenchLog(const BenchLogOptions& options, Terminal& terminal) {
  const Status status = Bench(options, terminal);
  if (status.ok()) return Interrupted() ? ExitCode::kInterrupted : ExitCode::kClean;
  terminal.Complain(status.error());
  return ExitCodeOf(status.error().code);
}

}  // namespace duramen::tools
