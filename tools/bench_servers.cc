// What thousands of servers cost that do nothing: to make, to keep, to start again, to elect.
#include <malloc.h>

#include <fstream>
#include <thread>

#include "base/clock.h"
#include "base/settings.h"
#include "base/try.h"
#include "duramen/machines.h"
#include "duramen/system.h"
#include "tools/bench_report.h"
#include "tools/interrupt.h"

namespace duramen::tools {
namespace {

using std::chrono::seconds;

constexpr seconds kPatience{120};
constexpr std::uint64_t kServersMax = 1'000'000;
constexpr std::uint64_t kMembersMax = 7;
constexpr std::int64_t kRestNs = 3'000'000'000;  // of last_applied, which is lazy

Deadline In(seconds patience) { return std::chrono::steady_clock::now() + patience; }

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
  ServerBench(const BenchServersOptions& options, const LogStoreOptions& storage,
              const std::string& directory)
      : options_(options), storage_(storage), directory_(directory) {}

  Status Run() {
    std::int64_t begin_ns = clock_.NowNs();
    TRY(Open());
    for (std::uint64_t at = 0; at < options_.clusters && !Interrupted(); ++at) {
      const ClusterOptions one{.name = NameOf(at), .machine = "counter", .nodes = nodes_};
      TRY(systems_.front().StartCluster(one, In(kPatience)));
    }
    TRY(AwaitLeaders());
    made_ns_ = clock_.NowNs() - begin_ns;
    TRY(Close());
    const std::uint64_t before_bytes = ResidentBytes();
    begin_ns = clock_.NowNs();
    TRY(Open());
    opened_ns_ = clock_.NowNs() - begin_ns;
    TRY(AwaitLeaders());
    elected_ns_ = clock_.NowNs() - begin_ns;
    start_syncs_ = Sum("wal_syncs");
    AwaitFlushes();
    Pass(kRestNs);
    const std::uint64_t after_bytes = ResidentBytes();
    bytes_ = after_bytes > before_bytes ? after_bytes - before_bytes : 0;
    const CpuTimer cpu;
    begin_ns = clock_.NowNs();
    Pass(static_cast<std::int64_t>(options_.common.seconds) * 1'000'000'000);
    idle_ns_ = clock_.NowNs() - begin_ns;
    idle_cpu_s_ = cpu.user_seconds() + cpu.system_seconds();
    return Close();
  }

  std::vector<Field> Fields() const {
    const auto in_seconds = [](std::int64_t ns) { return static_cast<double>(ns) / 1e9; };
    std::vector<Field> fields = CommonFields("servers", WithMethod(options_.common, storage_),
                                             in_seconds(idle_ns_), 0);
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
  static std::string NameOf(std::uint64_t cluster) { return "cluster-" + std::to_string(cluster); }

  Status Open() {
    nodes_.clear();
    for (std::uint64_t member = 0; member < options_.members; ++member) {
      SystemOptions system;
      system.storage = storage_;
      system.node = "node-" + std::to_string(member);
      system.storage.data_dir = directory_ + "/" + system.node;
      system.network = network_;
      system.machines = {CounterMachine()};
      nodes_.push_back(system.node);
      systems_.push_back(TRY(System::Open(system)));
    }
    return {};
  }

  Status AwaitLeaders() {
    for (std::uint64_t at = 0; at < options_.clusters && !Interrupted(); ++at)
      TRY(systems_.front().AwaitLeader(NameOf(at), In(kPatience)));
    return {};
  }

  Status Close() {
    for (System& system : systems_) TRY(system.Close(In(kPatience)));
    systems_.clear();
    return {};
  }

  std::uint64_t Sum(std::string_view metric_name) const {
    struct Adding {
      std::string_view name;
      std::uint64_t sum;
    } adding{metric_name, 0};
    for (const System& system : systems_) {
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
    const Deadline deadline = In(kPatience);
    while (Sum("flush_waiting_files") > 0 && !Interrupted() &&
           std::chrono::steady_clock::now() < deadline)
      Pass(100'000'000);
  }

  void Pass(std::int64_t ns) {
    const std::int64_t end_ns = clock_.NowNs() + ns;
    while (clock_.NowNs() < end_ns && !Interrupted())
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }

  const BenchServersOptions& options_;
  const LogStoreOptions& storage_;
  const std::string& directory_;
  SystemClock clock_;
  std::shared_ptr<LocalNetwork> network_ = std::make_shared<LocalNetwork>();
  std::vector<System> systems_;
  std::vector<std::string> nodes_;
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
  SettingStack stack = TRY(StackBench(options.common, options.settings));
  const BenchDirectory directory =
      TRY(BenchDirectory::Make(options.common.dir, options.common.seed));
  stack.options.data_dir = directory.path();
  TRY(ValidateOptions(stack.options));
  ServerBench bench(options, stack.options, directory.path());
  TRY(bench.Run());
  return bench.Fields();
}

}  // namespace

ExitCode RunBenchServers(const BenchServersOptions& options, Terminal& terminal) {
  const Result<std::vector<Field>> fields = MeasureServers(options);
  if (fields.ok()) PrintBench(terminal, options.common.output, *fields);
  return EndBench(fields.ok() ? Status() : Status(fields.error()), terminal);
}

}  // namespace duramen::tools
