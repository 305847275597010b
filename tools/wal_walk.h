// Every readable run of a WAL image, in order, with whose it is: what dump, verify, stat and names
// are built on. Damage is stepped over and counted; nothing is trusted that a checksum does not
// cover.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tools/wal_image.h"
#include "wal/batch.h"

namespace duramen::tools {

/// Whether a batch takes part in a recovery.
enum class Standing : std::uint8_t {
  kLive,
  kCut,      // behind a torn tail, or cut by what was written later
  kOrphan,   // in a file off the chain
  kCovered,  // folded into checkpoints and segments
};
const char* StandingName(Standing standing) noexcept;

struct WalkedBatch {
  std::size_t file = 0;
  std::uint64_t number = 0;
  std::uint64_t last_number = 0;  // above number: a stretch of damage without borders
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
  std::uint16_t flags = 0;
  bool intact = false;
  Standing standing = Standing::kLive;
};

/// Borrows from the walk until the call returns.
struct WalkedRun {
  const WalkedBatch& batch;
  const wal::RunView& run;
  const wal::FileContext& context;
  const wal::RecordOwner* owner = nullptr;  // nullptr: no readable batch binds the slot
  bool partial = false;                     // some of its records cannot be read
};

class WalVisitor {
 public:
  virtual ~WalVisitor() = default;
  virtual void OnBatch(const WalkedBatch&) {}
  virtual void OnRun(const WalkedRun& run) = 0;
  /// Part of a damaged batch: unreadable records of one run. `owner` as in WalkedRun.
  virtual void OnDamagedRun(const WalkedBatch&, const wal::DamagedRun&, const wal::RecordOwner*) {}
  /// `bytes` of the batch could not be read. `unattributed`: nothing says whose they were.
  virtual void OnSkipped(const WalkedBatch& batch, std::uint64_t bytes, bool unattributed) = 0;
  /// A running store put the file to another use while it was read; said once per file.
  virtual void OnRecycled(const WalkedBatch&) {}
  /// False ends the walk.
  virtual bool wants_more() const { return true; }
};

struct WalkOptions {
  bool all = false;  // also what was cut, and files off the chain
};

void WalkWal(const WalImage& image, const WalkOptions& options, WalVisitor& visitor);

/// Calls `visit(record)` for each readable record of a run with an owner; returns the bytes of
/// records that could not be read.
template <typename Visit>
std::uint64_t ForEachRecord(const WalkedRun& walked, Visit visit) {
  if (walked.owner == nullptr) return walked.run.header.bytes;
  std::uint64_t read = 0;
  std::uint64_t lost = 0;
  wal::RecordReader reader(walked.run, walked.context, *walked.owner);
  while (!reader.AtEnd() && reader.resumable()) {
    const Result<wal::RecordView> record = reader.Next();
    if (!record.ok()) {
      ++lost;
      continue;
    }
    read += wal::RecordBytes(record->payload.size());
    visit(*record);
  }
  if ((walked.run.header.flags & wal::kRunPacked) != 0) {
    // What its frames are in the file says nothing of what each of their records would be.
    // One that hides all behind it is counted by that alone.
    if (!reader.resumable()) --lost;
    lost += walked.run.header.first + walked.run.header.count - reader.next_index();
    return walked.run.header.bytes * lost / walked.run.header.count;
  }
  return walked.run.header.bytes > read ? walked.run.header.bytes - read : 0;
}

}  // namespace duramen::tools
