// What benches of clusters share: systems of this process on nodes of their own, and clusters with
// a member on each of them.
//
// One thread's, but for what System allows. The directory goes with it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "duramen/system.h"
#include "tools/bench_report.h"

namespace duramen::tools {

struct BenchOfSystems {
  std::uint64_t members = 1;
  std::uint64_t clusters = 1;
  MachineType machine;
};

class BenchSystems {
 public:
  /// In a directory of its own. Errors: those of StackBench and BenchDirectory::Make,
  /// kConfiguration.
  static Result<BenchSystems> Make(const BenchOptions& common, const SettingSources& settings,
                                   const BenchOfSystems& bench);

  Status Open();
  /// A member on every node; until interrupted.
  Status StartClusters();
  /// Until the first node knows who leads each of them.
  Status AwaitLeaders();
  Status Close();

  System& first() { return systems_.front(); }
  const std::vector<System>& systems() const { return systems_; }
  const LogStoreOptions& storage() const { return storage_; }
  static std::string NameOf(std::uint64_t cluster) { return "cluster-" + std::to_string(cluster); }

 private:
  BenchSystems(BenchDirectory directory, LogStoreOptions storage, const BenchOfSystems& bench)
      : directory_(std::move(directory)), storage_(std::move(storage)), bench_(bench) {}

  BenchDirectory directory_;
  LogStoreOptions storage_;
  BenchOfSystems bench_;
  std::shared_ptr<LocalNetwork> network_ = std::make_shared<LocalNetwork>();
  std::vector<std::string> nodes_;
  std::vector<System> systems_;
};

/// Lets that much time go by, or less if interrupted.
void PassTime(Clock& clock, std::int64_t ns);

/// What was measured is printed, and an error is complained about.
ExitCode FinishBench(const Result<std::vector<Field>>& fields, const OutputOptions& output,
                     Terminal& terminal);

}  // namespace duramen::tools
