#include "tools/bench_systems.h"

#include <algorithm>
#include <thread>

#include "base/settings.h"
#include "base/try.h"
#include "tools/interrupt.h"

namespace duramen::tools {
namespace {

constexpr std::chrono::seconds kPatience{120};

Deadline Soon() { return std::chrono::steady_clock::now() + kPatience; }

}  // namespace

Result<BenchSystems> BenchSystems::Make(const BenchOptions& common, const SettingSources& settings,
                                        const BenchOfSystems& bench) {
  SettingStack stack = TRY(StackBench(common, settings));
  BenchDirectory directory = TRY(BenchDirectory::Make(common.dir, common.seed));
  stack.options.data_dir = directory.path();
  TRY(ValidateOptions(stack.options));
  return BenchSystems(std::move(directory), std::move(stack.options), bench);
}

Status BenchSystems::Open() {
  nodes_.clear();
  for (std::uint64_t member = 0; member < bench_.members; ++member) {
    SystemOptions system;
    system.storage = storage_;
    system.node = "node-" + std::to_string(member);
    system.storage.data_dir = directory_.path() + "/" + system.node;
    system.network = network_;
    system.machines = {bench_.machine};
    nodes_.push_back(system.node);
    systems_.push_back(TRY(System::Open(system)));
  }
  return {};
}

Status BenchSystems::StartClusters() {
  for (std::uint64_t at = 0; at < bench_.clusters && !Interrupted(); ++at) {
    const ClusterOptions one{.name = NameOf(at), .machine = bench_.machine.name, .nodes = nodes_};
    TRY(first().StartCluster(one, Soon()));
  }
  return {};
}

Status BenchSystems::AwaitLeaders() {
  for (std::uint64_t at = 0; at < bench_.clusters && !Interrupted(); ++at)
    TRY(first().AwaitLeader(NameOf(at), Soon()));
  return {};
}

Status BenchSystems::Close() {
  for (System& system : systems_) TRY(system.Close(Soon()));
  systems_.clear();
  return {};
}

void PassTime(Clock& clock, std::int64_t ns) {
  constexpr std::int64_t kStepNs = 100'000'000;  // Idle systems are measured meanwhile.
  const std::int64_t end_ns = clock.NowNs() + ns;
  for (std::int64_t left = ns; left > 0 && !Interrupted(); left = end_ns - clock.NowNs())
    std::this_thread::sleep_for(std::chrono::nanoseconds(std::min(left, kStepNs)));
}

ExitCode FinishBench(const Result<std::vector<Field>>& fields, const OutputOptions& output,
                     Terminal& terminal) {
  if (fields.ok()) PrintBench(terminal, output, *fields);
  return EndBench(fields.ok() ? Status() : Status(fields.error()), terminal);
}

}  // namespace duramen::tools
