// What thousands of servers cost that do nothing: to make, to keep, to start again, to elect.
#include <malloc.h>

#include <fstream>

#include "base/clock.h"
#include "base/try.h"
#include "duramen/machines.h"
#include "tools/bench_systems.h"
#include "tools/interrupt.h"

namespace duramen::tools {
namespace {

constexpr std::uint64_t kServersMax = 1'000'000;
constexpr std::uint64_t kMembersMax = 7;
constexpr std::int64_t kRestNs = 3'000'000'000;  // of last_applied, which is lazy
constexpr std::int64_t kFlushNs = 120'000'000'000;  // at most

/// Of this process, as the kernel counts pages.
std::uint64_t ResidentBytes() {
  ::malloc_trim(0);
  std::ifstream statm("/proc/self/statm");
  std::uint64_t total = 0;
  std::uint64_t resident = 0;
  statm >> total >> resident;
  return resident * 4096;
}

class ServerBench {
 public:
  ServerBench(const BenchServersOptions& options, BenchSystems& systems)
      : options_(options), systems_(systems) {}

  Status Run() {
    std::int64_t begin_ns = clock_.NowNs();
    TRY(systems_.Open());
    TRY(systems_.StartClusters());
    TRY(systems_.AwaitLeaders());
    made_ns_ = clock_.NowNs() - begin_ns;
    TRY(systems_.Close());
    const std::uint64_t before_bytes = ResidentBytes();
    begin_ns = clock_.NowNs();
    TRY(systems_.Open());
    opened_ns_ = clock_.NowNs() - begin_ns;
    TRY(systems_.AwaitLeaders());
    elected_ns_ = clock_.NowNs() - begin_ns;
    start_syncs_ = Sum("wal_syncs");
    AwaitFlushes();
    PassTime(clock_, kRestNs);
    const std::uint64_t after_bytes = ResidentBytes();
    bytes_ = after_bytes > before_bytes ? after_bytes - before_bytes : 0;
    const CpuTimer cpu;
    begin_ns = clock_.NowNs();
    PassTime(clock_, static_cast<std::int64_t>(options_.common.seconds) * 1'000'000'000);
    idle_ns_ = clock_.NowNs() - begin_ns;
    idle_cpu_s_ = cpu.user_seconds() + cpu.system_seconds();
    return systems_.Close();
  }

  std::vector<Field> Fields() const {
    const auto in_seconds = [](std::int64_t ns) { return static_cast<double>(ns) / 1e9; };
    const BenchOptions common = WithMethod(options_.common, systems_.storage());
    std::vector<Field> fields = CommonFields("servers", common, in_seconds(idle_ns_), 0);
    const std::uint64_t servers = options_.clusters * options_.members;
    const std::vector<Field> measured = {
        {"members", ColumnType::kCount, options_.members},
        {"clusters", ColumnType::kCount, options_.clusters},
        {"made_s", ColumnType::kDecimal, in_seconds(made_ns_)},
        {"opened_s", ColumnType::kDecimal, in_seconds(opened_ns_)},
        {"elected_s", ColumnType::kDecimal, in_seconds(elected_ns_)},
        {"start_syncs", ColumnType::kCount, start_syncs_},
        {"bytes_per_server", ColumnType::kSize, servers == 0 ? 0 : bytes_ / servers},
        {"idle_cpu_percent", ColumnType::kDecimal,
         idle_ns_ == 0 ? 0 : 100 * idle_cpu_s_ / in_seconds(idle_ns_)}};
    fields.insert(fields.end(), measured.begin(), measured.end());
    return fields;
  }

 private:
  std::uint64_t Sum(std::string_view metric_name) const {
    struct Adding {
      std::string_view name;
      std::uint64_t sum;
    } adding{metric_name, 0};
    for (const System& system : systems_.systems()) {
      const auto add = [](void* raw, const Metric& metric) {
        auto* self = static_cast<Adding*>(raw);
        if (metric.name == self->name) self->sum += static_cast<std::uint64_t>(metric.value);
      };
      system.VisitStoreMetrics(add, &adding);
    }
    return adding.sum;
  }

  /// A start hands what it found in WAL files to segments: work, but not of idle servers.
  void AwaitFlushes() {
    const std::int64_t end_ns = clock_.NowNs() + kFlushNs;
    while (Sum("flush_waiting_files") > 0 && !Interrupted() && clock_.NowNs() < end_ns)
      PassTime(clock_, 100'000'000);
  }

  const BenchServersOptions& options_;
  BenchSystems& systems_;
  SystemClock clock_;
  std::int64_t made_ns_ = 0;
  std::int64_t opened_ns_ = 0;
  std::int64_t elected_ns_ = 0;
  std::int64_t idle_ns_ = 0;
  std::uint64_t start_syncs_ = 0;
  std::uint64_t bytes_ = 0;
  double idle_cpu_s_ = 0;
};

Result<std::vector<Field>> MeasureServers(const BenchServersOptions& options) {
  const bool fits = options.clusters >= 1 && options.members >= 1 &&
                    options.members <= kMembersMax &&
                    options.clusters <= kServersMax / options.members;
  if (!fits) {
    return Error{ErrorCode::kInvalidArgument,
                 std::to_string(options.clusters) + " clusters of " +
                     std::to_string(options.members) + " members",
                 "at least one of each, at most " + std::to_string(kMembersMax) +
                     " members and a million servers"};
  }
  BenchSystems systems =
      TRY(BenchSystems::Make(options.common, options.settings,
                             {.members = options.members,
                              .clusters = options.clusters,
                              .machine = CounterMachine()}));
  ServerBench bench(options, systems);
  TRY(bench.Run());
  return bench.Fields();
}

}  // namespace

ExitCode RunBenchServers(const BenchServersOptions& options, Terminal& terminal) {
  return FinishBench(MeasureServers(options), options.common.output, terminal);
}

}  // namespace duramen::tools
