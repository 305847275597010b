// What the WAL and those who write through it agree on: the ring record, the notices that come
// back, and the callbacks for rows. `log` implements the ports; the WAL knows nothing of logs.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "base/counters.h"
#include "base/ring.h"
#include "base/types.h"
#include "duramen/result.h"
#include "wal/format.h"
#include "wal/place.h"
#include "wal/replay.h"

namespace duramen::wal {

class RingGuard;

/// One ring record: an entry, a row or a mark. Fixed layout, no pointers.
struct Descriptor {
  std::uint64_t index = 0;  // RunKind's `first`; for rows the row sequence
  std::uint64_t term = 0;
  std::uint64_t epoch = 0;
  std::uint64_t entry_checksum = 0;  // of {identity, payload}
  std::uint32_t slot = 0;
  std::uint32_t chunk = 0;  // arena chunk and place of the payload
  std::uint32_t offset = 0;
  std::uint32_t payload_bytes = 0;
  std::uint8_t kind = 0;  // of the entry or row
  RunKind run_kind = RunKind::kNext;
  std::uint16_t reserved16 = 0;
  std::uint32_t reserved32 = 0;
  std::int64_t enqueued_ns = 0;  // Clock::NowNs of the call; only told, never relied on
};
static_assert(sizeof(Descriptor) == kRingRecordBytes);

/// News of one log, coalesced: everything below `end` of `epoch` is durable, and rows up to
/// `row_sequence`. `refused` is set when the WAL took a record back; the log is then stopped.
struct Notice {
  std::uint32_t slot = 0;
  std::uint64_t epoch = 0;
  Index end = 0;
  std::uint64_t row_sequence = 0;
  bool refused = false;
  ErrorCode refusal = ErrorCode::kCorruption;
  std::uint64_t refused_position = 0;  // in the ring, of the first record refused
};

/// Notices on their way from the WAL thread to one Writer; at most one per slot waits, so it is
/// bounded by the number of logs. Locked once per batch and once per poll, never per entry.
class NoticeBoard {
 public:
  void Publish(std::span<const Notice> notices);
  /// Moves what waits into `out`, which is emptied first.
  void Take(std::vector<Notice>& out);
  /// Without the lock: every call of a Writer asks.
  bool empty() const { return empty_.load(std::memory_order_acquire); }

 private:
  std::atomic<bool> empty_{true};
  std::mutex mutex_;  // guards all below
  std::vector<Notice> waiting_;
  std::vector<std::uint32_t> place_;  // slot -> position in waiting_ + 1
};

/// One Writer, as the WAL sees it. Outlives its registration with the WAL.
struct RingPort {
  RingConsumer* ring = nullptr;  // the WAL thread owns it while registered
  /// The payload at {chunk, offset}; chunks with undurable entries are never freed.
  const std::byte* (*resolve)(void* argument, const Descriptor& descriptor) = nullptr;
  /// Called after notices were published and the ring released; cheap, never blocks.
  void (*notify)(void* argument) noexcept = nullptr;
  void* argument = nullptr;
  NoticeBoard* notices = nullptr;
  /// Null: the ring is ours. Else of another process: `ring` and what `resolve` gives lie in memory
  /// that it writes, and notices go through the guard.
  RingGuard* guard = nullptr;
  const void* owner = nullptr;  // whoever writes the ring; null: this process
  // What is counted of it, by the WAL's thread; null: nothing.
  Counter* records = nullptr;  // made durable
  Counter* bytes = nullptr;    // taken, as they stand in WAL files
};

/// Who keeps what becomes durable of logs that another process writes. WAL thread.
class RunFollower {
 public:
  virtual ~RunFollower() = default;
  /// Entries and marks, in order, before their notice. RunHeader::slot is the WAL's.
  virtual void OnDurable(std::span<const RunHeader> runs) = 0;
};

/// A row to write again before its file is let go.
struct CarriedRow {
  ServerUid uid;
  std::uint8_t kind = 0;
  std::vector<std::byte> payload;  // {row sequence u64, row}
};
/// WAL files [begin, end) by number.
struct FileRange {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  bool older_stay = false;  // files before them stay, with older copies of what ended
};

/// One log as all batches up to the end of a file left it.
struct ClosedLog {
  RecordOwner owner;
  SlotBounds bounds;
  bool open = false;  // false: nobody's slot, or its log is deleted
};
/// What the WAL holds up to the end of one file. Nothing is added to it any more, and it is
/// durable.
struct ClosedGeneration {
  FileEnd end;
  Place place = Place::kHome;   // of that file
  std::vector<ClosedLog> logs;  // by slot
};
/// Who flushes them. Called on the WAL thread.
class GenerationSink {
 public:
  virtual ~GenerationSink() = default;
  virtual void OnClosed(ClosedGeneration generation) = 0;
};

/// Who keeps the durable rows. Called on the WAL thread (and during recovery, before it starts).
class RowKeeper {
 public:
  virtual ~RowKeeper() = default;
  /// `payload` is {row sequence u64, row}; `file` is where this copy of it stands.
  virtual void OnRow(const RecordOwner& owner, std::uint8_t kind, Bytes payload,
                     std::uint64_t file) = 0;
  /// Rows whose newest copy stands in a file of `files` (half-open numbers); nothing, if they are
  /// more than `rows_max`.
  virtual std::optional<std::vector<CarriedRow>> RowsToCarry(FileRange files,
                                                             std::uint64_t rows_max) = 0;
  /// There is a tombstone of it.
  virtual bool Deleted(const ServerUid& uid) const = 0;
};

}  // namespace duramen::wal
