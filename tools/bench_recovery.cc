#include <algorithm>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/posix_io.h"
#include "base/try.h"
#include "tools/bench.h"
#include "tools/bench_report.h"
#include "tools/interrupt.h"
#include "tools/store_filler.h"
#include "tools/store_metrics.h"

namespace duramen::tools {
namespace {

using std::chrono::steady_clock;

constexpr std::uint64_t kWalBytesMax = 8ULL << 30;
constexpr std::uint64_t kRoomBytes = 32 << 20;  // for rows, and what is on its way at the end
constexpr std::uint64_t kBurst = 4096;          // entries between two looks at the WAL
constexpr auto kPatience = std::chrono::seconds(60);

/// Reads all files once, spares and their unwritten space too, so that the disk is not measured.
Status Warm(const std::string& wal_path) {
  PosixFileSystem file_system;
  const std::unique_ptr<Directory> directory = TRY(file_system.Open(wal_path));
  std::vector<std::byte> buffer(1 << 20);
  for (const DirectoryEntry& entry : TRY(directory->List())) {
    if (!entry.is_regular) continue;
    const std::unique_ptr<File> file = TRY(directory->Open(entry.name, OpenFor::kRead));
    for (std::uint64_t at = 0; at < entry.size_bytes; at += buffer.size()) {
      TRY(file->Read(at, buffer));
    }
  }
  return {};
}

Status CheckRange(const BenchRecoveryOptions& options) {
  const bool possible = options.servers >= 1 && options.servers <= 100'000 &&
                        options.entry_bytes <= (1u << 20) && options.wal_bytes <= kWalBytesMax;
  if (possible) return {};
  return Error{ErrorCode::kInvalidArgument, "a number is out of range",
               "--servers 1 to 100000, --entry-bytes up to 1048576, --wal-bytes up to 8589934592"};
}

Status Bench(const BenchRecoveryOptions& options, Terminal& terminal) {
  TRY(CheckRange(options));
  const BenchDirectory directory =
      TRY(BenchDirectory::Make(options.common.dir, options.common.seed));
  LogStoreOptions store_options;
  store_options.data_dir = directory.path() + "/data";
  store_options.wal_sync_method = TRY(ParseSyncMethod(options.common.sync_method));
  // One file, so that nothing is flushed.
  store_options.wal_max_size_bytes =
      RoundUp(options.wal_bytes + options.wal_bytes / 4 + kRoomBytes, 4096);
  std::uint64_t entries = 0;
  std::uint64_t wal_bytes = 0;
  {
    LogStore store = TRY(LogStore::Open(store_options));
    {
      StoreFiller filler = TRY(StoreFiller::Make(store, {.servers = options.servers,
                                                         .entry_bytes = options.entry_bytes,
                                                         .seed = options.common.seed}));
      while (StoreMetrics::Of(store).bytes < options.wal_bytes && !Interrupted()) {
        TRY(filler.Add(kBurst));
      }
      entries = filler.entries();
    }
    wal_bytes = StoreMetrics::Of(store).bytes;
    TRY(store.Close(steady_clock::now() + kPatience));
  }
  TRY(Warm(store_options.data_dir + "/wal"));
  const SystemClock clock;
  const CpuTimer cpu;
  const std::int64_t begin_ns = clock.NowNs();
  LogStore store = TRY(LogStore::Open(store_options));
  const double seconds = static_cast<double>(clock.NowNs() - begin_ns) / 1e9;
  std::vector<Field> fields =
      CommonFields("recovery", options.common, seconds, options.entry_bytes);
  const std::vector<Field> measured = {
      {"cpu_user_s", ColumnType::kDecimal, cpu.user_seconds()},
      {"cpu_sys_s", ColumnType::kDecimal, cpu.system_seconds()},
      {"servers", ColumnType::kCount, options.servers},
      {"entries", ColumnType::kCount, store.recovery_report().entries},
      {"wal_bytes", ColumnType::kCount, wal_bytes},
      {"bytes_per_s", ColumnType::kDecimal, static_cast<double>(wal_bytes) / seconds}};
  fields.insert(fields.end(), measured.begin(), measured.end());
  if (store.recovery_report().entries != entries) {
    return Error{ErrorCode::kCorruption,
                 "the start found " + std::to_string(store.recovery_report().entries) +
                     " entries, but " + std::to_string(entries) + " were written",
                 ""};
  }
  TRY(store.Close(steady_clock::now() + kPatience));
  PrintBench(terminal, options.common.output, fields);
  return terminal.Flush();
}

}  // namespace

ExitCode RunBenchRecovery(const BenchRecoveryOptions& options, Terminal& terminal) {
  return EndBench(Bench(options, terminal), terminal);
}

}  // namespace duramen::tools
