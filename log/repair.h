// A repair as a whole: what a contained start, a flush of everything and the requests of MendStore
// make of a store, worked out on a copy and put in place by a journal.
//
//   1. the directory's lock; a repair that was interrupted is finished first
//   2. SYSTEM and IDENTITY from what is left of them; MendStore; all on an overlay, so that nothing
//      of the store has changed yet
//   3. originals of all that changes are copied into quarantine/ID, and synced
//   4. the journal's PENDING file: the commit. From here on the next start finishes what a kill
//      interrupts.
//   5. file by file, each in one rename
// One thread; the store must not be running (kInUse).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "log/mend.h"
#include "log/repair_journal.h"
#include "log/storage.h"

namespace duramen::log {

struct RepairOptions {
  std::string data_dir;  // absolute, without links
  std::string wal_dir;   // only where SYSTEM cannot tell; empty: inside data_dir
  SystemUuid system;     // as the WAL files name it; nil: they do not
  MendOptions mend;
  LogSink log_sink;
};

struct RepairOutcome {
  std::string id;  // of the journal, for RepairUndo; empty: nothing had to change
  std::uint64_t files = 0;
  std::uint64_t bytes_kept = 0;  // of originals, in quarantine/
  std::vector<UnreadableOriginal> unreadable;
  MendReport mend;
};

/// Errors: kInUse, kDiskFull (nothing of the store has changed), kIo, kUnknownVersion,
/// kConfiguration (the WAL directory is another system's), kCorruption (nothing tells which system
/// it is), where SYSTEM is lost those of CountLostShards, and those of MendStore.
Result<RepairOutcome> RepairStore(const RepairOptions& options, StorageEnvironment environment);

/// Puts every byte back. Returns the id of the repair that keeps what was written since, where the
/// store has changed since; else nothing. Errors: kInUse, kNotFound (no such id), kRefused (it has
/// changed, and not `force`, or the old files cannot come back), kDiskFull, kIo.
Result<std::string> UndoRepair(const std::string& data_dir, const std::string& id, bool force,
                               FileSystem& file_system);

}  // namespace duramen::log
