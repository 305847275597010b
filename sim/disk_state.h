// A disk with a page cache in front of it: what programs see, what is durable, and every change in
// between that a power loss may or may not keep.
//
// The fault model, in prose.
//  - A write, allocation, truncation or directory change is visible at once and pending until a
//  sync
//    covers it. fdatasync and fsync cover what was done to that file; a directory sync covers what
//    was done to names in that directory, and nothing else; a sync of the file system covers all.
//    Closing a file syncs nothing.
//  - Process kill: the page cache survives; all that is visible stays visible and pending.
//  - Power loss: pending changes survive in part, as crash_states.h says for each profile; a sector
//  of
//    512 bytes is written whole or not at all.
//  - A sync that fails marks the file's dirty pages clean: they stay readable, no later sync writes
//    them, and a power loss may keep any part of them. A later sync reports success.
//    A failed sync of the file system does so for every file below the directory that it was asked
//    through.
//  - A direct write is in flight from its submission to its end: programs do not see it yet, and a
//    power loss keeps any of its sectors, whatever became of others in flight. When it has ended
//    well it is visible and durable; when it failed, any sector of it may show up after the next
//    power loss. Pending bytes of a buffered write below it may still come after it [C6]. A kill
//    leaves each of them done or not begun, as settled by SettleFlight.
//  - Durable bytes rot, and sectors become unreadable, only where a test says so. A sector that is
//    written over can be read again.
//
// A value, cheap to copy. One thread at a time. What stays true: replaying the same operations on
// the same state gives the same state.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "sim/disk_image.h"

namespace duramen::sim {

enum class OpKind : std::uint8_t {
  kCreate,
  kMakeDirectory,
  kWrite,
  kAllocate,
  kTruncate,
  kRename,
  kRemove,
  kRemoveDirectory,
  kSyncData,
  kSyncAll,
  kSyncDirectory,
  kSyncFileSystem,
  kWriteDirect,  // in flight from here on
  kDirectDone,   // the flight that has the same number ends
};
const char* OpKindName(OpKind kind);

/// One operation of the trace. It is recorded before it takes effect, failed ones included.
struct Op {
  OpKind kind = OpKind::kWrite;
  Node node = 0;          // the file, or the directory that is made or synced
  Node directory = 0;     // where the names live
  std::string name = {};  // in `directory`
  std::string to = {};    // of a rename
  std::uint64_t offset = 0;
  std::uint64_t size_bytes = 0;  // of an allocation or truncation
  std::uint64_t flight = 0;      // of a direct write and its end
  std::shared_ptr<const std::vector<std::byte>> bytes = {};
  bool failed = false;       // answered with an error; a failed sync has marked pages clean
  std::uint32_t site = 0;    // index into SiteTable
  std::uint64_t moment = 0;  // what the observer said when the operation began
};

/// A change that is visible and not durable.
struct Pending {
  Op op;
  std::uint64_t size_before_bytes = 0;  // visible size of the file when the change was made
  bool journaled = false;               // a later journal commit (profile ext4) has made it durable
  bool clean = false;                   // its sync failed: no later sync writes it
  bool in_flight = false;               // a direct write under way; not visible
  std::vector<bool> overwritten;        // per sector of a clean write: durable bytes lie above it
};

class DiskState {
 public:
  DiskState() = default;
  /// A disk after power loss: all that `image` shows is durable.
  explicit DiskState(const Image& image) : visible_(image), durable_(image) {}

  const Image& visible() const { return visible_; }
  const Image& durable() const { return durable_; }
  const std::vector<Pending>& pending() const { return pending_; }
  /// Files that were removed, oldest first: their blocks may show up in what grows next.
  const std::vector<Node>& removed() const { return removed_; }
  Node NextNode() const { return std::max(visible_.end_node(), durable_.end_node()); }

  /// Does what `op` does; a failed sync marks pages clean, any other failed operation is as if only
  /// its bytes (a short write) had been asked for.
  void Apply(const Op& op);
  /// The process was killed, and the system lets go of it when nothing is in flight any more: of
  /// the direct writes under way, bit i of `done` says whether the i-th was carried out.
  void SettleFlight(std::uint64_t done);
  std::size_t in_flight() const;
  /// A byte changes, in the cache and on the disk.
  void Rot(Node file, std::uint64_t offset, std::byte value);
  /// The sectors of [begin, end) in `file` cannot be read.
  void MakeBad(Node file, std::uint64_t begin, std::uint64_t end);
  void RestoreBad() { bad_.clear(); }
  /// Is one of the sectors of [begin, end) bad?
  bool IsBad(Node file, std::uint64_t begin, std::uint64_t end) const;
  /// From here on a failed sync of a directory, or of the file system, lets go of the changes of
  /// names that it was for: no later sync makes them durable.
  void LoseNamesOnFailedSync() { loses_names_ = true; }

 private:
  void SyncFile(const Op& op);
  void SyncDirectory(Node directory);
  void SyncFileSystem(const Op& op);
  bool IsBelow(Node directory, Node node) const;
  void CommitJournal();
  void MakeDurable(const Op& op);
  void Begin(const Op& op);
  void Land(const Op& op);
  void HideBelow(const Op& op);
  Image visible_;
  Image durable_;
  std::vector<Pending> pending_;
  std::vector<Node> removed_;
  std::set<std::pair<Node, std::uint64_t>> bad_;  // file and number of the sector
  bool loses_names_ = false;
};

/// Applies the visible effect of a change (not a sync) to `image`.
void ApplyChange(Image& image, const Op& op);
bool IsDataChange(OpKind kind);
bool IsNameChange(OpKind kind);
bool IsSync(OpKind kind);
/// A change of bytes: buffered or direct.
bool IsWrite(OpKind kind);
/// One operation, for people.
std::string Describe(const Op& op);
/// Number of 512-byte sectors that a write touches.
std::size_t SectorCount(const Op& op);

}  // namespace duramen::sim
