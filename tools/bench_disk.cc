#include <algorithm>

#include "base/clock.h"
#include "base/try.h"
#include "tools/bare_disk.h"
#include "tools/bench.h"
#include "tools/bench_report.h"
#include "tools/interrupt.h"

namespace duramen::tools {
namespace {

constexpr std::uint64_t kFileBytes = 256'000'000;  // of a WAL file, as by default
constexpr std::uint64_t kBatchBytesMax = 64 << 20;

Status Bench(const BenchDiskOptions& options, Terminal& terminal) {
  if (options.batch_bytes == 0 || options.batch_bytes > kBatchBytesMax) {
    return Error{ErrorCode::kInvalidArgument, "--batch-bytes is out of range", "1 to 67108864"};
  }
  const SyncMethod method = TRY(ParseSyncMethod(options.common.sync_method));
  const BenchDirectory directory =
      TRY(BenchDirectory::Make(options.common.dir, options.common.seed));
  if (method == SyncMethod::kAuto) {
    return Error{ErrorCode::kInvalidArgument, "auto is no method of its own",
                 "datasync, fsync, dsync or none"};
  }
  BareDisk disk = TRY(BareDisk::Create(
      directory.path(),
      {.size_bytes = kFileBytes,
       .method = method,
       .depth = static_cast<std::uint32_t>(std::max<std::uint64_t>(options.common.depth, 1))}));
  const SystemClock clock;
  const CpuTimer cpu;
  const std::int64_t begin_ns = clock.NowNs();
  const std::int64_t end_ns =
      begin_ns + static_cast<std::int64_t>(options.common.seconds) * 1'000'000'000;
  while (clock.NowNs() < end_ns && !Interrupted()) TRY(disk.Write(options.batch_bytes));
  const double seconds = static_cast<double>(clock.NowNs() - begin_ns) / 1e9;
  std::vector<Field> fields = CommonFields("disk", options.common, seconds, 0);
  const LatencyHistogram& latency = disk.latency();
  const std::vector<Field> measured = {
      {"cpu_user_s", ColumnType::kDecimal, cpu.user_seconds()},
      {"cpu_sys_s", ColumnType::kDecimal, cpu.system_seconds()},
      {"batch_bytes", ColumnType::kCount, options.batch_bytes},
      {"syncs_per_s", ColumnType::kDecimal, static_cast<double>(disk.syncs()) / seconds},
      {"bytes_per_s", ColumnType::kDecimal, static_cast<double>(disk.bytes()) / seconds},
      {"p50_us", ColumnType::kDecimal, latency.Microseconds(0.5)},
      {"p99_us", ColumnType::kDecimal, latency.Microseconds(0.99)},
      {"p999_us", ColumnType::kDecimal, latency.Microseconds(0.999)}};
  fields.insert(fields.end(), measured.begin(), measured.end());
  PrintBench(terminal, options.common.output, fields);
  return terminal.Flush();
}

}  // namespace

ExitCode RunBenchDisk(const BenchDiskOptions& options, Terminal& terminal) {
  return EndBench(Bench(options, terminal), terminal);
}

}  // namespace duramen::tools
