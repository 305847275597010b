// The two checkpoint files of a system, "checkpoint-a" and "checkpoint-b", written in turns.
//
// Owned by one actor; one thread. What stays true:
//  - While one file is overwritten, the other is whole, and durable by a sync of this process. What
//    a start finds may be in the page cache alone [A5], so the first write makes the other file
//    durable again (the same bytes, then a sync), or goes to a new file.
//  - One sync makes a checkpoint. Its parts may reach the disk in any order and number: every part
//    verifies under the life of its own checkpoint only (meta/checkpoint.h), so a mixture is never
//    whole, and each row of it that verifies is true as of its Covers.
//  - Files are allocated with room to grow and rewritten in place, so that a full disk stops no
//    checkpoint that fits [B3].
//  - A file with a failed write or sync is not written again; it is replaced by a new one, which is
//    synced under another name first.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/io.h"
#include "base/types.h"
#include "meta/checkpoint.h"
#include "meta/checkpoint_merge.h"

namespace duramen::meta {

inline constexpr const char* kCheckpointNames[] = {"checkpoint-a", "checkpoint-b"};
inline constexpr std::uint64_t kCheckpointGrainBytes = 64u << 10;

/// What is wrong with one of the files.
struct CheckpointFinding {
  std::string file;  // its name
  CheckpointDamage damage;
};

struct LoadedCheckpoints {
  std::array<CheckpointFile, 2> files;  // as kCheckpointNames; MergeCheckpoints takes them
  std::vector<CheckpointFinding> findings;
};

struct WrittenCheckpoint {
  std::string file;
  std::uint64_t sequence = 0;
  std::uint64_t size_bytes = 0;
  bool in_place = false;
};

class CheckpointFiles {
 public:
  /// Requires: the directory outlives this.
  CheckpointFiles(Directory& directory, const SystemUuid& system);

  /// Reads both files. Before the first Write; once. What is damaged or absent is no error.
  /// Errors: kUnknownVersion, kPermission, kIo (one cannot be opened; bytes that cannot be read are
  /// damage).
  Result<LoadedCheckpoints> Load();

  /// Makes a checkpoint durable. `content.sequence` is chosen here: never one that was used.
  /// A tombstone has to be in two checkpoints that succeed before it may be left out.
  /// Errors: kDiskFull, kIo, kPermission; the other file is as it was, and the next Write tries
  /// the same one again.
  Result<WrittenCheckpoint> Write(CheckpointContent content);

  /// The file that the next Write goes to: one that is not whole, else the older.
  const char* next_file() const { return slots_[Next()].name; }
  /// WAL files up to this number are covered by both files, durably, as far as this process has
  /// made sure of it: they may be recycled [A2]. 0: none.
  std::uint64_t covered_file() const;

 private:
  struct Slot {
    const char* name;
    bool present = false;
    bool whole = false;     // all rows can be read
    bool durable = false;   // by a sync of this process
    bool poisoned = false;  // a write or sync failed, or reading did: not to be written again
    std::uint64_t sequence = 0;
    std::uint64_t size_bytes = 0;  // of the content
    std::uint64_t file_bytes = 0;  // with the room behind it
    Covers covers;
  };
  Result<CheckpointFile> LoadSlot(Slot& slot, std::vector<CheckpointFinding>& findings);
  std::size_t Next() const;
  bool MayOverwrite(const Slot& slot, Slot& other);
  Status MakeDurable(const Slot& slot);
  Status Overwrite(Slot& slot, Bytes bytes);
  Status Replace(Slot& slot, Bytes bytes);

  Directory& directory_;
  const SystemUuid system_;
  std::array<Slot, 2> slots_;
  std::uint64_t next_sequence_ = 1;
};

}  // namespace duramen::meta
