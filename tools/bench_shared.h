// `duramen bench wal --shared`: services on one WAL process beside the same load embedded.
#pragma once

#include <string>
#include <vector>

#include "tools/bench.h"

namespace duramen::tools {

struct BenchSharedOptions {
  BenchLoadOptions load;  // of all clients together
  std::uint64_t clients = 4;
  std::uint64_t upgrades = 0;  // of the WAL process, in RunBenchTakeover
};

/// Errors: kInvalidArgument.
Status CheckShared(const BenchSharedOptions& options);
/// What the WAL process is started with, of the settings.
std::vector<std::string> WalFlags(const BenchLoadOptions& load);

/// In turns, three rounds: the load in one process, then split over so many clients of one WAL
/// process; then one small append at a time, both ways. Each part is a process of its own.
ExitCode RunBenchShared(const BenchSharedOptions& options, Terminal& terminal);

}  // namespace duramen::tools
