// Whoever looks after the disk of one machine while its store does not run: verifies it, repairs
// it, and takes a repair back, by the code that `duramen verify` and `duramen repair` stand on.
//
// One thread. The disk is what a DiskState shows; nothing is kept in between.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/loop_executor.h"
#include "base/rng.h"
#include "log/mend.h"
#include "sim/sim_file_system.h"

namespace duramen::simulator {

/// What a start would find, by reading alone.
struct Inspection {
  std::vector<std::string> damage;       // that cost what was acknowledged
  std::map<ServerUid, IndexRange> logs;  // begin and end of each that is not deleted
  std::vector<ServerUid> lacking;        // of these: entries of them are lost
  std::uint64_t segment_entries = 0;     // that were read and are what was appended
  bool left_out = false;  // a log that starts died on: its entries are not looked at [B9]
};

/// What an operator works with; all of it outlives the call.
struct Bench {
  LoopExecutor& executor;
  ManualClock& clock;
  Rng& rng;
};

/// "/data", and the directories of its other shards.
std::vector<std::string> RootsOf(const sim::DiskState& disk);
/// Every checksum of one shard, and that checkpoints, segments and WAL describe one state of each
/// log. Errors: SYSTEM cannot be read, and those of reading.
Result<Inspection> Inspect(const sim::DiskState& disk, const std::string& root);

struct RepairJob {
  std::string root;
  log::MendOptions mend;
  std::uint64_t die_after = UINT64_MAX;  // operations on the disk: the machine stops there
};
/// Returns the id, empty where nothing had to change. `disk` becomes what it leaves behind.
Result<std::string> RepairDisk(sim::DiskState& disk, const RepairJob& job, const Bench& bench);
Status UndoOn(sim::DiskState& disk, const std::string& root, const std::string& id, bool force);
/// What a power loss leaves of it.
void LosePowerOf(sim::DiskState& disk, Rng& rng);

}  // namespace duramen::simulator
