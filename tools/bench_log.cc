// What a log store does in the steady state: entries come, are flushed, are read, and go.
#include <sys/resource.h>

#include <algorithm>
#include <thread>

#include "base/clock.h"
#include "base/settings.h"
#include "base/try.h"
#include "tools/bench_load.h"
#include "tools/interrupt.h"
#include "tools/store_metrics.h"
#include "wal/format.h"

namespace duramen::tools {
namespace {

using std::chrono::milliseconds;

constexpr std::int64_t kSecondNs = 1'000'000'000;
constexpr std::int64_t kLookNs = 5'000'000;          // between two looks at the metrics
constexpr std::int64_t kWarmNsMax = 20 * kSecondNs;  // until the first flush
constexpr std::uint64_t kDiskSlices = 3;             // seconds of the bare disk, at the end
constexpr std::uint64_t kFilesKept = 2;              // WAL files' worth that logs keep
constexpr std::uint64_t kFloorStep = 256;            // entries by which a floor may stay behind

std::uint64_t PeakRssBytes() {
  struct rusage usage = {};
  return ::getrusage(RUSAGE_SELF, &usage) == 0 ? static_cast<std::uint64_t>(usage.ru_maxrss) << 10
                                               : 0;
}

class LogBench {
 public:
  LogBench(const BenchLogOptions& options, std::uint64_t keep, BenchStore& bench)
      : options_(options),
        common_(WithMethod(options.load.common, bench.options)),
        keep_(keep),
        store_(bench.store),
        disk_(*bench.disk),
        load_(options.load, {.keep = keep, .step = kFloorStep}, bench.store),
        rng_(options.load.common.seed) {}

  /// What is measured begins with the second flush: the first one makes all directories.
  Status Run() {
    TRY(load_.Open());
    CpuTimer cpu;
    Look();
    StoreMetrics before = now_;
    std::int64_t begin_ns = clock_.NowNs();
    const std::int64_t warm_until_ns = begin_ns + kWarmNsMax;
    while (clock_.NowNs() < warm_until_ns && now_.flush_rounds == 0 && !Interrupted()) TRY(Turn());
    if (!Interrupted()) {  // Else it is all that there is to tell.
      load_.Forget();
      read_latency_ = {};
      reads_ = peak_budget_bytes_ = batch_bytes_ = batches_ = 0;
      cpu = CpuTimer();
      Look();
      before = now_;
      begin_ns = clock_.NowNs();
    }
    const std::int64_t end_ns =
        begin_ns + static_cast<std::int64_t>(options_.load.common.seconds) * kSecondNs;
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
    const std::uint64_t owed =
        load_.entries() * (options_.load.entry_bytes + wal::kRecordHeaderBytes);
    std::vector<Field> fields = CommonFields("log", common_, seconds, options_.load.entry_bytes);
    const std::vector<Field> measured = {
        {"cpu_user_s", ColumnType::kDecimal, cpu_user_s_},
        {"cpu_sys_s", ColumnType::kDecimal, cpu_system_s_},
        {"servers", ColumnType::kCount, options_.load.servers},
        {"in_flight", ColumnType::kCount, options_.load.in_flight},
        {"writers", ColumnType::kCount, options_.load.writers},
        {"keep_entries", ColumnType::kCount, keep_},
        {"entries_per_s", ColumnType::kDecimal, rate(load_.entries())},
        {"bytes_per_s", ColumnType::kDecimal, rate(load_.entries() * options_.load.entry_bytes)},
        {"wal_bytes_per_s", ColumnType::kDecimal, rate(used_.bytes)},
        {"syncs_per_s", ColumnType::kDecimal, rate(used_.syncs)},
        {"entries_per_batch", ColumnType::kDecimal, share(load_.entries(), used_.batches)},
        {"p50_us", ColumnType::kDecimal, load_.latency().Microseconds(0.5)},
        {"p99_us", ColumnType::kDecimal, load_.latency().Microseconds(0.99)},
        {"p999_us", ColumnType::kDecimal, load_.latency().Microseconds(0.999)},
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
  Status Turn() {
    TRY(load_.Refill());
    TRY(ReadSome());
    TRY(load_.TakeNews());
    if (clock_.NowNs() >= looked_ns_ + kLookNs) Look();
    return {};
  }

  /// Single entries, anywhere in a log: from memory, WAL files and segments.
  Status ReadSome() {
    for (; reads_ * 1000 < load_.entries() * options_.reads_per_1000; ++reads_) {
      const BenchLoad::Log& log = load_.AnyLog(rng_);
      if (log.begin >= log.written_end) return {};
      const Index index = log.begin + rng_.Below(log.written_end - log.begin);
      const std::int64_t begin_ns = clock_.NowNs();
      const Result<Pin> pin = store_.Read(log.ref, index, index + 1, SIZE_MAX);
      if (!pin.ok() && pin.error().code == ErrorCode::kOverloaded) return {};
      TRY(pin.ok() ? Status{} : Status(pin.error()));
      read_latency_.Add(clock_.NowNs() - begin_ns);
      if (pin->entries().size() != 1 ||
          !std::ranges::equal(pin->entries()[0].payload, load_.payload())) {
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
        static_cast<std::int64_t>(std::min(kDiskSlices, options_.load.common.seconds)) * kSecondNs;
    while (clock_.NowNs() - begin_ns < slices_ns && !Interrupted()) {
      TRY(disk_.Write(batch_bytes_ / batches_));
    }
    disk_bytes_per_s_ = static_cast<double>(disk_.bytes() - bytes_before) * 1e9 /
                        static_cast<double>(clock_.NowNs() - begin_ns);
    return {};
  }

  const BenchLogOptions& options_;
  const BenchOptions common_;
  const std::uint64_t keep_;
  LogStore& store_;
  BareDisk& disk_;
  BenchLoad load_;
  SystemClock clock_;
  Rng rng_;
  StoreMetrics now_;
  std::int64_t looked_ns_ = 0;
  // What is measured.
  LatencyHistogram read_latency_;
  StoreMetrics used_;
  std::int64_t measured_ns_ = 0;
  std::uint64_t reads_ = 0;
  std::uint64_t batches_ = 0;
  std::uint64_t batch_bytes_ = 0;
  std::uint64_t peak_budget_bytes_ = 0;
  std::uint64_t peak_rss_bytes_ = 0;
  double cpu_user_s_ = 0;
  double cpu_system_s_ = 0;
  double disk_bytes_per_s_ = 0;
};

}  // namespace

ExitCode RunBenchLog(const BenchLogOptions& options, Terminal& terminal) {
  if (options.reads_per_1000 > 1'000'000) {
    return EndBench(Error{ErrorCode::kInvalidArgument, "--reads is out of range", "up to 1000000"},
                    terminal);
  }
  const auto measure = [&](BenchStore& store) -> Result<std::vector<Field>> {
    if (store.disk == nullptr) {
      return Error{ErrorCode::kConfiguration, "the flush is the WAL process's, not seen from here",
                   "leave wal_process out; `duramen bench wal` takes it"};
    }
    const std::uint64_t record_bytes = options.load.entry_bytes + wal::kRecordHeaderBytes;
    const std::uint64_t kept =
        kFilesKept * WalFileBytes(store.options) / record_bytes / options.load.servers + 1;
    LogBench bench(options, options.keep.value_or(kept), store);
    TRY(bench.Run());
    return bench.Fields();
  };
  return RunOnStore(options.load, terminal, measure);
}

}  // namespace duramen::tools
