#include <algorithm>
#include <chrono>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/rng.h"
#include "base/try.h"
#include "tools/bench.h"
#include "tools/bench_report.h"
#include "tools/interrupt.h"
#include "tools/store_filler.h"
#include "tools/store_metrics.h"

namespace duramen::tools {
namespace {

using std::chrono::steady_clock;

constexpr auto kPatience = std::chrono::seconds(60);
constexpr std::uint64_t kBurst = 1024;  // reads between two looks at the clock
constexpr std::uint64_t kBytesMax = 512 << 20;
constexpr std::uint64_t kRoomBytes = 32 << 20;  // of a WAL file
constexpr std::uint64_t kOverheadBytes = 64;    // of an entry, wherever it lies

struct Spent {
  std::uint64_t reads = 0;
  std::uint64_t bytes = 0;
  std::int64_t ns = 0;
  double user_s = 0;
  double system_s = 0;
  double packed_to = 1;  // of a byte that was to be compressed into a segment
};

/// Single entries of random logs at random places.
class Reader {
 public:
  Reader(const BenchReadOptions& options, const LogStore& store, const std::vector<LogRef>& logs)
      : options_(options), store_(store), logs_(logs), rng_(options.common.seed) {}

  /// Every entry once; how many that were.
  Result<std::uint64_t> ReadAll() {
    for (const LogRef log : logs_) {
      for (Index index = 1; index <= PerLog(); ++index) TRY(ReadOne(log, index));
    }
    return std::exchange(spent_, {}).reads;
  }

  Status Run() {
    const CpuTimer cpu;
    const std::int64_t begin_ns = clock_.NowNs();
    const auto wanted_ns = static_cast<std::int64_t>(options_.common.seconds) * 1'000'000'000;
    while (spent_.ns < wanted_ns && !Interrupted()) {
      for (std::uint64_t i = 0; i < kBurst; ++i) {
        TRY(ReadOne(logs_[rng_.Below(logs_.size())], 1 + rng_.Below(PerLog())));
      }
      spent_.ns = clock_.NowNs() - begin_ns;
    }
    spent_.user_s = cpu.user_seconds();
    spent_.system_s = cpu.system_seconds();
    return {};
  }
  const Spent& spent() const { return spent_; }

 private:
  std::uint64_t PerLog() const { return options_.entries / options_.servers; }

  Status ReadOne(LogRef log, Index index) {
    const Result<Pin> pin = store_.Read(log, index, index + 1, 1);
    if (!pin.ok()) return pin.error();
    ++spent_.reads;
    spent_.bytes += pin->entries().front().payload.size();
    return {};
  }

  const BenchReadOptions& options_;
  const LogStore& store_;
  const std::vector<LogRef>& logs_;
  const SystemClock clock_;
  Rng rng_;
  Spent spent_;
};

std::uint64_t BytesOf(const BenchReadOptions& options) {
  return options.entries * (options.entry_bytes + kOverheadBytes);
}

Status CheckRange(const BenchReadOptions& options) {
  const bool possible = options.servers >= 1 && options.servers <= 100'000 &&
                        options.entries >= options.servers && options.entries <= 100'000'000 &&
                        options.entry_bytes <= (1u << 20) && BytesOf(options) <= kBytesMax;
  if (!possible) {
    return Error{ErrorCode::kInvalidArgument, "a number is out of range",
                 "--servers 1 to 100000, --entries at least as many, --entry-bytes up to 1048576, "
                 "and all of it up to 512 MiB"};
  }
  if (options.hot != options.cold) return {};
  return Error{ErrorCode::kInvalidArgument, "either hot or cold", "--hot, or --cold"};
}

std::uint64_t RightReads(const BenchReadOptions& options, const StoreMetrics& used) {
  return options.hot ? used.read_memory_entries : used.read_segment_entries;
}

/// Reads all once, and again until all comes from where it is to come from: a start closes the file
/// that the one before wrote, and flushes it.
Status Settle(const BenchReadOptions& options, const LogStore& store, Reader& reader) {
  const auto deadline = steady_clock::now() + kPatience;
  while (!Interrupted()) {
    const StoreMetrics before = StoreMetrics::Of(store);
    const std::uint64_t reads = TRY(reader.ReadAll());
    if (RightReads(options, StoreMetrics::Of(store) - before) == reads) return {};
    if (steady_clock::now() > deadline) {
      return Error{ErrorCode::kTimeout, "the entries were not flushed within a minute", ""};
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return {};
}

Result<Spent> Measure(const BenchReadOptions& options, const LogStore& store,
                      const std::vector<LogRef>& logs) {
  Reader reader(options, store, logs);
  TRY(Settle(options, store, reader));
  const StoreMetrics before = StoreMetrics::Of(store);
  TRY(reader.Run());
  const std::uint64_t right = RightReads(options, StoreMetrics::Of(store) - before);
  if (right == reader.spent().reads) return reader.spent();
  return Error{ErrorCode::kIo,
               "of " + std::to_string(reader.spent().reads) + " reads " + std::to_string(right) +
                   " came from where they were to come from",
               "use fewer entries"};
}

/// What was not given: one file takes all of it, and no batch of it is too large for that file.
Result<LogStoreOptions> OptionsOf(const BenchReadOptions& options, const std::string& directory) {
  SettingStack stack = TRY(StackBench(options.common, options.settings));
  if (stack.origin.contains("wal_max_age")) {
    return Error{ErrorCode::kInvalidArgument, "wal_max_age is what makes this bench flush",
                 "leave it out"};
  }
  LogStoreOptions& store = stack.options;
  store.data_dir = directory + "/data";
  if (!stack.origin.contains("wal_max_size_bytes")) {
    store.wal_max_size_bytes = 2 * BytesOf(options) + kRoomBytes;
  }
  if (!stack.origin.contains("memory_budget")) store.memory_budget = 4 * kBytesMax;
  store.wal_max_age = 0;  // Until the second start, which flushes all.
  return store;
}

Result<Spent> Bench(const BenchReadOptions& options, LogStoreOptions store_options) {
  const std::uint64_t entries = options.entries / options.servers * options.servers;
  std::optional<Spent> spent;
  {
    LogStore store = TRY(LogStore::Open(store_options));
    {
      StoreFiller filler = TRY(StoreFiller::Make(store, {.servers = options.servers,
                                                         .entry_bytes = options.entry_bytes,
                                                         .seed = options.common.seed}));
      TRY(filler.Add(entries));
      // While its Writer lives: with that the memory of the entries goes.
      if (options.hot) spent = TRY(Measure(options, store, filler.logs()));
    }
    TRY(store.Close(steady_clock::now() + kPatience));
  }
  if (spent) return *spent;
  // What a start copies of a small file into the newest one is flushed too.
  store_options.wal_max_age = 1;
  LogStore store = TRY(LogStore::Open(store_options));
  std::vector<LogRef> logs;
  for (const LogInfo& info : store.Logs()) logs.push_back(info.log);
  spent = TRY(Measure(options, store, logs));
  const StoreMetrics flushed = StoreMetrics::Of(store);
  if (flushed.flush_packed_from_bytes > 0) {
    spent->packed_to = static_cast<double>(flushed.flush_packed_to_bytes) /
                       static_cast<double>(flushed.flush_packed_from_bytes);
  }
  return *spent;
}

Status Run(const BenchReadOptions& options, Terminal& terminal) {
  TRY(CheckRange(options));
  const BenchDirectory directory =
      TRY(BenchDirectory::Make(options.common.dir, options.common.seed));
  LogStoreOptions store_options = TRY(OptionsOf(options, directory.path()));
  const std::vector<BenchDirectory> wal_directories =
      TRY(UseOwnWalDirectories(options.common.seed, store_options));
  const Spent spent = TRY(Bench(options, store_options));
  const double seconds = static_cast<double>(spent.ns) / 1e9;
  const auto reads = static_cast<double>(std::max<std::uint64_t>(spent.reads, 1));
  std::vector<Field> fields =
      CommonFields("read", WithMethod(options.common, store_options), seconds, options.entry_bytes);
  const std::vector<Field> measured = {
      {"cpu_user_s", ColumnType::kDecimal, spent.user_s},
      {"cpu_sys_s", ColumnType::kDecimal, spent.system_s},
      {"servers", ColumnType::kCount, options.servers},
      {"entries", ColumnType::kCount, options.entries},
      {"from", ColumnType::kText,
       std::string(options.hot ? "memory" : "segments, page cache warm")},
      {"packed_to", ColumnType::kDecimal, spent.packed_to},
      {"reads", ColumnType::kCount, spent.reads},
      {"ns_per_read", ColumnType::kDecimal, static_cast<double>(spent.ns) / reads},
      {"bytes_per_s", ColumnType::kDecimal, static_cast<double>(spent.bytes) / seconds}};
  fields.insert(fields.end(), measured.begin(), measured.end());
  PrintBench(terminal, options.common.output, fields);
  return terminal.Flush();
}

}  // namespace

ExitCode RunBenchRead(const BenchReadOptions& options, Terminal& terminal) {
  return EndBench(Run(options, terminal), terminal);
}

}  // namespace duramen::tools
