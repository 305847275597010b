// Histories of simulated clients as files that `duramen check-history` reads.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "duramen/result.h"
#include "simulator/client.h"

namespace duramen::tools {

/// One file a cluster and kind of object into `dir`: seed-7-cluster-0-register.jsonl. Errors:
/// kInvalidArgument (no history), those of files.
Status WriteHistories(const std::string& dir, std::uint64_t seed, std::uint64_t clusters,
                      const std::vector<simulator::Record>& records);

}  // namespace duramen::tools
