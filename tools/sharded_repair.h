// `duramen repair` of a system with several WAL shards: each is a store of its own, with a plan, a
// journal and an undo of its own, and one command is for all of them.
#pragma once

#include "tools/repair.h"

namespace duramen::tools {

/// As RunRepair. What is for one server or takes back one repair is done in the shard that has it:
/// kRefused where it is in several, kUsage where it is in none; everything else in all of them, one
/// after the other, and not in one that is of another system. Returns the highest exit code.
ExitCode RunShardedRepair(const RepairVerbOptions& options, Terminal& terminal);

}  // namespace duramen::tools
