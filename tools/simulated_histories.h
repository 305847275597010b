// Histories of simulated clients as files that `duramen check-history` reads.
#pragma once

#include <cstdint>
#include <string>

#include "duramen/result.h"
#include "simulator/run.h"

namespace duramen::tools {

/// One file a cluster and kind of object into `dir`: seed-7-cluster-0-register.jsonl. Errors:
/// kInvalidArgument (no history), those of files.
Status WriteHistories(const std::string& dir, std::uint64_t seed, std::uint64_t clusters,
                      const simulator::Outcome& outcome);

}  // namespace duramen::tools
