#include <algorithm>
#include <deque>
#include <thread>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/rng.h"
#include "base/settings.h"
#include "base/try.h"
#include "tools/bare_disk.h"
#include "tools/bench.h"
#include "tools/bench_report.h"
#include "tools/interrupt.h"
#include "tools/line_entry.h"
#include "tools/store_metrics.h"

namespace duramen::tools {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::int64_t kSliceNs = 1'000'000'000;
constexpr std::int64_t kSampleNs = 1'000'000;
constexpr std::uint64_t kFloorStepMax = 256;       // entries by which a floor may stay behind
constexpr std::uint64_t kFloorStepMin = 4;
constexpr std::uint64_t kFloorsBehindMax = 64'000;  // all of them together, if that is less
constexpr std::uint64_t kDiskFileBytes = 256'000'000;
constexpr auto kCloseMax = std::chrono::seconds(60);

struct Posted {
  Index end = 1;  // of the log after this post
  std::uint64_t entries = 0;
  std::int64_t at_ns = 0;
};

struct Log {
  LogRef ref;
  Index end = 1;
  Index written_end = 1;
  Index floor = 1;
  std::deque<Posted> posted;
};

/// The logs of one Writer, driven by the one thread of the bench.
struct Lane {
  Writer writer;
  std::vector<Log> logs;
  std::vector<std::uint32_t> log_of_slot;  // slot -> position in logs
  Ticket newest = 0;
};

struct Slice {
  double wal_bytes_per_s = 0;
  double disk_bytes_per_s = 0;
};

double Median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

class WalBench {
 public:
  WalBench(const BenchWalOptions& options, LogStore& store, BareDisk& disk)
      : options_(options),
        store_(store),
        disk_(disk),
        floor_step_(
            std::clamp(kFloorsBehindMax / options.servers, kFloorStepMin, kFloorStepMax)),
        payload_(options.entry_bytes) {
    Rng rng(options.common.seed);
    for (std::byte& byte : payload_) byte = static_cast<std::byte>(rng.Below(256));
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

  Status Run() {
    // Files are made ready in the background at first; nobody measures that.
    TRY(RunWalSlice());
    Forget();
    for (std::uint64_t second = 0; second < options_.common.seconds && !Interrupted(); ++second) {
      TRY(RunWalSlice());
      TRY(RunDiskSlice());
    }
    return {};
  }

  std::vector<Field> Fields() const {
    const double seconds = static_cast<double>(wal_ns_) / 1e9;
    const auto rate = [&](std::uint64_t count) { return static_cast<double>(count) / seconds; };
    std::vector<double> ratios;
    std::vector<double> disk_rates;
    for (const Slice& slice : slices_) {
      if (slice.disk_bytes_per_s <= 0) continue;
      disk_rates.push_back(slice.disk_bytes_per_s);
      ratios.push_back(slice.wal_bytes_per_s / slice.disk_bytes_per_s);
    }
    const auto [low, high] = std::minmax_element(ratios.begin(), ratios.end());
    const double spread = ratios.empty() ? 0 : *high - *low;
    std::vector<Field> fields = CommonFields("wal", options_.common, seconds, options_.entry_bytes);
    const std::vector<Field> measured = {
        {"cpu_user_s", ColumnType::kDecimal, cpu_user_s_},
        {"cpu_sys_s", ColumnType::kDecimal, cpu_system_s_},
        {"servers", ColumnType::kCount, options_.servers},
        {"in_flight", ColumnType::kCount, options_.in_flight},
        {"writers", ColumnType::kCount, options_.writers},
        {"entries_per_s", ColumnType::kDecimal, rate(entries_)},
        {"bytes_per_s", ColumnType::kDecimal, rate(entries_ * options_.entry_bytes)},
        {"wal_bytes_per_s", ColumnType::kDecimal, rate(total_.bytes)},
        {"syncs_per_s", ColumnType::kDecimal, rate(total_.syncs)},
        {"entries_per_batch", ColumnType::kDecimal,
         static_cast<double>(entries_) /
             static_cast<double>(std::max<std::uint64_t>(total_.batches, 1))},
        {"p50_us", ColumnType::kDecimal, latency_.Microseconds(0.5)},
        {"p99_us", ColumnType::kDecimal, latency_.Microseconds(0.99)},
        {"p999_us", ColumnType::kDecimal, latency_.Microseconds(0.999)},
        {"disk_bytes_per_s", ColumnType::kDecimal, Median(disk_rates)},
        {"ratio_to_disk", ColumnType::kDecimal, Median(ratios)},
        {"ratio_spread", ColumnType::kDecimal, spread},
        {"device_wait_share", ColumnType::kDecimal,
         wal_ns_ == 0 ? 0 : static_cast<double>(total_.wait_ns) / static_cast<double>(wal_ns_)}};
    fields.insert(fields.end(), measured.begin(), measured.end());
    return fields;
  }

 private:
  void Forget() {
    slices_.clear();
    latency_ = {};
    total_ = {};
    cpu_user_s_ = cpu_system_s_ = 0;
    wal_ns_ = 0;
    entries_ = 0;
  }

  Result<LogRef> Open(Writer& writer, const std::string& name) {
    for (int attempt = 0;; ++attempt) {
      Result<LogRef> log = store_.OpenLog(writer, name, OpenMode::kOpenOrCreate);
      if (log.ok() || log.error().code != ErrorCode::kOverloaded || attempt > 20'000) return log;
      std::this_thread::sleep_for(milliseconds(1));  // Registrations on their way to the WAL.
    }
  }

  /// One second under load, then what is outstanding is waited for: a slice owes nothing.
  Status RunWalSlice() {
    const CpuTimer cpu;
    const StoreMetrics before = StoreMetrics::Of(store_);
    sampled_ = before;
    const std::int64_t begin_ns = clock_.NowNs();
    sizes_.clear();
    while (clock_.NowNs() - begin_ns < kSliceNs && !Interrupted()) {
      for (Lane& lane : lanes_) TRY(Refill(lane));
      TRY(WaitForNews());
      Sample();
    }
    while (outstanding_ > 0) {
      TRY(WaitForNews());
      Sample();
    }
    const std::int64_t ns = clock_.NowNs() - begin_ns;
    const StoreMetrics used = StoreMetrics::Of(store_) - before;
    wal_ns_ += ns;
    cpu_user_s_ += cpu.user_seconds();
    cpu_system_s_ += cpu.system_seconds();
    total_.batches += used.batches;
    total_.syncs += used.syncs;
    total_.bytes += used.bytes;
    total_.wait_ns += used.wait_ns;
    slices_.push_back({static_cast<double>(used.bytes) * 1e9 / static_cast<double>(ns), 0});
    return {};
  }

  /// The same batches, in the same order, over and over for one second.
  Status RunDiskSlice() {
    if (sizes_.empty()) return {};
    disk_.LimitDepth(StoreMetrics::Of(store_).depth);  // As deep as the WAL is now.
    const std::uint64_t bytes_before = disk_.bytes();
    const std::int64_t begin_ns = clock_.NowNs();
    std::size_t at = 0;
    while (clock_.NowNs() - begin_ns < kSliceNs && !Interrupted()) {
      TRY(disk_.Write(sizes_[at]));
      at = at + 1 == sizes_.size() ? 0 : at + 1;
    }
    const auto ns = static_cast<double>(clock_.NowNs() - begin_ns);
    slices_.back().disk_bytes_per_s = static_cast<double>(disk_.bytes() - bytes_before) * 1e9 / ns;
    return {};
  }

  /// Keeps `in_flight` entries outstanding in every log and lets the floors follow.
  Status Refill(Lane& lane) {
    const std::int64_t now_ns = clock_.NowNs();
    for (Log& log : lane.logs) {
      const std::uint64_t outstanding = log.end - log.written_end;
      if (outstanding >= options_.in_flight) continue;
      entries_scratch_.clear();
      for (Index index = log.end; index < log.written_end + options_.in_flight; ++index) {
        entries_scratch_.push_back({index, 1, kLineKind, payload_});
      }
      const LogAppend group{log.ref, entries_scratch_};
      const Result<Ticket> ticket = lane.writer.Append(std::span(&group, 1));
      if (!ticket.ok()) {
        if (ticket.error().code == ErrorCode::kOverloaded) return {};
        return ticket.error();
      }
      log.end += entries_scratch_.size();
      log.posted.push_back({log.end, entries_scratch_.size(), now_ns});
      outstanding_ += entries_scratch_.size();
      lane.newest = *ticket;
      if (log.written_end < log.floor + floor_step_) continue;
      const Result<Ticket> floor = lane.writer.TruncatePrefix(log.ref, log.written_end);
      if (floor.ok()) {
        log.floor = log.written_end;
        lane.newest = *floor;
      }
      if (!floor.ok() && floor.error().code != ErrorCode::kOverloaded) return floor.error();
    }
    return {};
  }

  Status WaitForNews() {
    for (Lane& lane : lanes_) {
      // One more than what is durable: returns with the next batch.
      const Ticket next = std::min(lane.writer.durable() + 1, lane.newest);
      const Status waited = lane.writer.Wait(next, steady_clock::now() + milliseconds(100));
      if (!waited.ok() && waited.error().code != ErrorCode::kTimeout) return waited;
      TakeNews(lane);
    }
    return {};
  }

  void TakeNews(Lane& lane) {
    const std::int64_t now_ns = clock_.NowNs();
    for (const Written& written : lane.writer.Poll()) {
      Log& log = lane.logs[lane.log_of_slot[written.log.slot]];
      log.written_end = std::max(log.written_end, written.end);
      while (!log.posted.empty() && log.posted.front().end <= written.end) {
        latency_.Add(now_ns - log.posted.front().at_ns, log.posted.front().entries);
        entries_ += log.posted.front().entries;
        outstanding_ -= log.posted.front().entries;
        log.posted.pop_front();
      }
    }
  }

  /// Sizes of the batches since the last look, which costs as much as many appends.
  void Sample() {
    const std::int64_t now_ns = clock_.NowNs();
    if (now_ns - sampled_at_ns_ < kSampleNs) return;
    sampled_at_ns_ = now_ns;
    const StoreMetrics now = StoreMetrics::Of(store_);
    const StoreMetrics since = now - sampled_;
    if (since.batches == 0) return;
    sampled_ = now;
    const std::uint64_t size = since.bytes / since.batches;
    for (std::uint64_t i = 0; i < since.batches; ++i) sizes_.push_back(size);
  }

  const BenchWalOptions& options_;
  LogStore& store_;
  BareDisk& disk_;
  const std::uint64_t floor_step_;
  SystemClock clock_;
  std::vector<std::byte> payload_;
  std::vector<Lane> lanes_;
  std::vector<EntryView> entries_scratch_;
  std::vector<std::uint64_t> sizes_;
  std::vector<Slice> slices_;
  LatencyHistogram latency_;
  StoreMetrics total_;
  StoreMetrics sampled_;
  std::int64_t sampled_at_ns_ = 0;
  double cpu_user_s_ = 0;
  double cpu_system_s_ = 0;
  std::int64_t wal_ns_ = 0;
  std::uint64_t entries_ = 0;
  std::uint64_t outstanding_ = 0;
};

Status CheckRange(const BenchWalOptions& options) {
  const bool possible = options.servers >= 1 && options.servers <= 100'000 &&
                        options.in_flight >= 1 && options.in_flight <= 100'000 &&
                        options.entry_bytes <= (16u << 20) && options.writers >= 1 &&
                        options.writers <= std::min<std::uint64_t>(options.servers, 64);
  if (possible) return {};
  return Error{ErrorCode::kInvalidArgument, "a number is out of range",
               "--servers and --in-flight 1 to 100000, --entry-bytes up to 16777216, --writers 1 "
               "to 64 and no more than servers"};
}

Status Bench(const BenchWalOptions& options, Terminal& terminal) {
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
  LogStore store = TRY(LogStore::Open(stack.options));
  // What `auto` came to, and as many in flight as the WAL may have.
  BareDisk disk = TRY(BareDisk::Create(
      directory.path(), {.size_bytes = std::min(WalFileBytes(stack.options), kDiskFileBytes),
                         .method = static_cast<SyncMethod>(StoreMetrics::Of(store).sync_method),
                         .depth = static_cast<std::uint32_t>(stack.options.wal_pipeline_depth)}));
  std::vector<Field> fields;
  Status status;
  {
    WalBench bench(options, store, disk);
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

ExitCode RunBenchWal(const BenchWalOptions& options, Terminal& terminal) {
  const Status status = Bench(options, terminal);
  if (status.ok()) return Interrupted() ? ExitCode::kInterrupted : ExitCode::kClean;
  terminal.Complain(status.error());
  return ExitCodeOf(status.error().code);
}

}  // namespace duramen::tools
