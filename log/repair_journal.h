// How a repair changes a store: as a whole or not at all, and back again byte for byte.
//
//   quarantine/PENDING      a repair or an undo that has begun: every start finishes it first
//   quarantine/ID/new/      what the repair puts in place; staging of log/overlay.h; then empty
//   quarantine/ID/old/      what it replaced or removed
//   quarantine/ID/plan      what is to be done; written before PENDING. No PENDING, no repair
//   quarantine/ID/journal   the plan once its repair has begun: it can be undone
//   quarantine/ID/undone    the journal once it was undone
//
// Before PENDING is durable nothing in the store has changed: a crash leaves a bundle that the next
// Begin removes. After it the steps are repeated until all are done, each of them safe to repeat.
//
// One thread; the caller holds the store's lock. Bytes: FORMAT.md.
// Errors of all: those of base/io.h. kDiskFull before the commit: the bundle is gone, and nothing
// in the store has changed; after it: free space, then start or repeat.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/io.h"
#include "log/overlay.h"
#include "log/quarantine.h"
#include "log/repair_format.h"

namespace duramen::log {

/// One repair that the quarantine knows.
struct RepairBundle {
  enum class State : std::uint8_t { kApplied, kUndone, kApplying, kUndoing, kUnreadable };
  std::string id;
  State state = State::kUnreadable;
  std::int64_t created_unix_ms = 0;
  std::uint64_t steps = 0;
};

/// An original that the device does not give in part: its copy has zeros there.
struct UnreadableOriginal {
  std::string path;  // "wal/3.wal"; below another root it is whole
  std::uint64_t bytes = 0;
};

class RepairJournal {
 public:
  /// `data_dir` is the store's. Both outlive it.
  RepairJournal(FileSystem& file_system, Directory& data_dir)
      : file_system_(file_system), data_dir_(data_dir) {}

  /// Makes the bundle, durable, and returns its new/: the staging directory of the overlay. Removes
  /// what repairs that never committed have left.
  /// Errors: kInvalidArgument (id: 1 to 64 of a-z A-Z 0-9 - _), kAlreadyExists, kInUse (PENDING).
  Result<std::unique_ptr<Directory>> Begin(const std::string& id);

  struct Plan {
    std::string id;
    std::string wal_dir;  // where it lies outside of data_dir: root 1 of the changes; else empty
    std::int64_t created_unix_ms = 0;
    std::vector<OverlayChange> changes;
  };
  /// Keeps every original that changes or goes, then commits. On success the repair is decided and
  /// Finish() carries it out. On an error nothing in the store has changed and the bundle is gone,
  /// unless PENDING could not be taken back: then the message says that the next start decides.
  Status Commit(const Plan& plan);

  /// Of the last Commit.
  const std::vector<UnreadableOriginal>& unreadable() const { return unreadable_; }

  /// Removes a bundle that was not committed.
  Status Discard(const std::string& id);

  /// Carries out what PENDING says, a repair or an undo; nothing is pending: success at once.
  /// Errors: kCorruption (PENDING, the journal or a copy cannot be read; the hint says the way
  /// out), kUnknownVersion.
  Status Finish();

  /// Puts every byte back. Finishes first what is pending. Where the store was started or changed
  /// since, `force` makes it a repair of its own, which keeps what was written since: its id is
  /// returned, else nothing.
  /// Errors: kNotFound (no such repair; it was undone), kRefused (changed since, without `force`;
  /// as PlanRollback), kCorruption (a copy in old/ is damaged; nothing has changed).
  Result<std::string> Undo(const std::string& id, bool force);

  /// In order of id; bundles that were never committed are left out.
  Result<std::vector<RepairBundle>> List();

 private:
  Result<std::string> RollBack(const RepairRecord& record, const Directory& old);

  FileSystem& file_system_;
  Directory& data_dir_;
  std::vector<UnreadableOriginal> unreadable_;
};

/// RepairJournal::Finish; called by every start right after it has the lock.
Status FinishPendingRepair(FileSystem& file_system, Directory& data_dir);

}  // namespace duramen::log
