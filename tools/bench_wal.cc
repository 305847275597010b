#include <algorithm>

#include "base/clock.h"
#include "base/try.h"
#include "tools/bench_load.h"
#include "tools/interrupt.h"
#include "tools/store_metrics.h"

namespace duramen::tools {
namespace {

constexpr std::int64_t kSliceNs = 1'000'000'000;
constexpr std::int64_t kSampleNs = 1'000'000;
constexpr std::uint64_t kFloorStepMax = 256;  // entries by which a floor may stay behind
constexpr std::uint64_t kFloorStepMin = 4;
constexpr std::uint64_t kFloorsBehindMax = 64'000;  // all of them together, if that is less
constexpr std::uint64_t kBytesBehindMax = 16'000'000;

/// The flush has next to nothing to do, and the floors themselves cost next to nothing.
std::uint64_t FloorStep(const BenchLoadOptions& options) {
  const std::uint64_t behind =
      std::min(kFloorsBehindMax, kBytesBehindMax / std::max<std::uint64_t>(options.entry_bytes, 1));
  return std::clamp(behind / options.servers, kFloorStepMin, kFloorStepMax);
}

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
  WalBench(const BenchLoadOptions& options, BenchStore& bench)
      : options_(options),
        common_(WithMethod(options.common, bench.options)),
        store_(bench.store),
        disk_(bench.disk.get()),
        load_(options, {.step = FloorStep(options)}, bench.store) {}

  Status Run() {
    TRY(load_.Open());
    // Files are made ready in the background at first; nobody measures that.
    TRY(RunWalSlice());
    if (Interrupted()) return {};  // Then it is all that there is to tell.
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
    std::vector<Field> fields = CommonFields("wal", common_, seconds, options_.entry_bytes);
    const std::vector<Field> measured = {
        {"cpu_user_s", ColumnType::kDecimal, cpu_user_s_},
        {"cpu_sys_s", ColumnType::kDecimal, cpu_system_s_},
        {"servers", ColumnType::kCount, options_.servers},
        {"in_flight", ColumnType::kCount,
         options_.rate == 0 ? Cell{options_.in_flight} : Cell{}},  // Nothing bounds it.
        {"writers", ColumnType::kCount, options_.writers},
        {"rate", ColumnType::kCount, options_.rate},
        {"entries_per_s", ColumnType::kDecimal, rate(load_.entries())},
        {"bytes_per_s", ColumnType::kDecimal, rate(load_.entries() * options_.entry_bytes)},
        {"wal_bytes_per_s", ColumnType::kDecimal, rate(total_.bytes)},
        {"syncs_per_s", ColumnType::kDecimal, rate(total_.syncs)},
        {"entries_per_batch", ColumnType::kDecimal,
         static_cast<double>(load_.entries()) /
             static_cast<double>(std::max<std::uint64_t>(total_.batches, 1))},
        {"p50_us", ColumnType::kDecimal, load_.latency().Microseconds(0.5)},
        {"p99_us", ColumnType::kDecimal, load_.latency().Microseconds(0.99)},
        {"p999_us", ColumnType::kDecimal, load_.latency().Microseconds(0.999)},
        {"disk_p99_us", ColumnType::kDecimal,
         disk_ == nullptr ? Cell{} : Cell{disk_->latency().Microseconds(0.99)}},
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
    load_.Forget();
    total_ = {};
    cpu_user_s_ = cpu_system_s_ = 0;
    wal_ns_ = 0;
  }

  /// One second under load, then what is outstanding is waited for: a slice owes nothing.
  Status RunWalSlice() {
    const CpuTimer cpu;
    const StoreMetrics before = StoreMetrics::Of(store_);
    sampled_ = before;
    const std::int64_t begin_ns = clock_.NowNs();
    sizes_.clear();
    if (options_.rate != 0) TRY(load_.RunPaced(kSliceNs, [this] { Sample(); }));
    while (clock_.NowNs() - begin_ns < kSliceNs && !Interrupted()) {
      TRY(load_.Refill());
      TRY(load_.TakeNews());
      Sample();
    }
    while (load_.outstanding() > 0 && !Interrupted()) {
      TRY(load_.TakeNews());
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
    if (sizes_.empty() || disk_ == nullptr) return {};
    disk_->LimitDepth(StoreMetrics::Of(store_).depth);  // As deep as the WAL is now.
    const std::uint64_t bytes_before = disk_->bytes();
    const std::int64_t begin_ns = clock_.NowNs();
    std::size_t at = 0;
    while (clock_.NowNs() - begin_ns < kSliceNs && !Interrupted()) {
      TRY(disk_->Write(sizes_[at]));
      at = at + 1 == sizes_.size() ? 0 : at + 1;
    }
    const auto ns = static_cast<double>(clock_.NowNs() - begin_ns);
    slices_.back().disk_bytes_per_s = static_cast<double>(disk_->bytes() - bytes_before) * 1e9 / ns;
    return {};
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

  const BenchLoadOptions& options_;
  const BenchOptions common_;
  LogStore& store_;
  BareDisk* disk_;  // null: a WAL process has it
  BenchLoad load_;
  SystemClock clock_;
  std::vector<std::uint64_t> sizes_;
  std::vector<Slice> slices_;
  StoreMetrics total_;
  StoreMetrics sampled_;
  std::int64_t sampled_at_ns_ = 0;
  double cpu_user_s_ = 0;
  double cpu_system_s_ = 0;
  std::int64_t wal_ns_ = 0;
};

}  // namespace

ExitCode RunBenchWal(const BenchLoadOptions& options, Terminal& terminal) {
  return RunOnStore(options, terminal, [&](BenchStore& store) -> Result<std::vector<Field>> {
    WalBench bench(options, store);
    TRY(bench.Run());
    return bench.Fields();
  });
}

}  // namespace duramen::tools
