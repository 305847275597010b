// Between the WAL and a ring that lies in memory which another process writes [C12]. Every record
// is copied to private memory once, judged there, and made the WAL's own; its payload is copied
// into the batch, where its checksum is verified over the copy. A record that breaks a rule cuts
// off who wrote it, with the reason, and nobody else.
//
// The other process names a log by a number of its own, below kNoticeCells, which stands for a slot
// of the WAL once that was granted.
//
// Owned by who serves that process; one for each ring. Grants come from its thread, under a lock
// that the WAL thread takes for a moment per record; the rest is the WAL thread's.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <span>
#include <string>
#include <unordered_map>

#include "base/ring.h"
#include "wal/notice_table.h"
#include "wal/port.h"
#include "wal/replay.h"

namespace duramen::wal {

/// What a log of that ring is, here.
struct RingGrant {
  std::uint32_t slot = 0;
  RecordOwner owner;
  std::uint64_t row_sequence = 0;  // of its last durable row; later ones are higher
  bool skip = false;  // it is gone, or refused: what the ring has of it is passed over
};

/// Judges the rows of other processes. WAL thread.
class RowJudge {
 public:
  virtual ~RowJudge() = default;
  /// `payload` is {row sequence u64, row}, a private copy. Errors: kCorruption, with the reason.
  virtual Status JudgeRow(const RingGrant& grant, std::uint8_t kind, Bytes payload) = 0;
};

class RingGuard {
 public:
  struct Environment {
    /// Where payloads lie: chunk C of a descriptor begins at page C - 1.
    Bytes region;
    /// False: pages of it were lost, so nothing that was read of it counts. Null: none can be.
    bool (*intact)(const void* argument) = nullptr;
    const void* argument = nullptr;
    std::uint64_t payload_bytes_max = 0;
    RowJudge& judge;
    NoticeMemory& notices;
  };
  static constexpr std::uint64_t kPageBytes = 4096;
  /// Indexes, terms and epochs stay below it, so that they overflow nowhere.
  static constexpr std::uint64_t kNumberMax = 1ULL << 62;

  explicit RingGuard(const Environment& environment);

  // Any thread.
  void Grant(std::uint32_t number, const RingGrant& grant);
  void Revoke(std::uint32_t number);
  bool cut_off() const { return cut_off_.load(std::memory_order_acquire); }
  std::string reason() const;
  /// All that was committed when Wal::EndRing was called is durable, or cut off.
  bool drained() const { return drained_.load(std::memory_order_acquire); }

  // WAL thread.
  /// Judges by itself a copied record, and puts in its slot. Errors: kCorruption.
  Result<RingGrant> Translate(Descriptor& descriptor) const;
  /// Whether it may follow what its log has. Errors: kCorruption.
  static Status CheckOrder(const Descriptor& descriptor, const SlotBounds& bounds,
                           std::uint64_t last_row);
  const std::byte* Resolve(const Descriptor& descriptor) const;
  bool Copy(std::byte* to, const std::byte* from, std::size_t bytes) const;
  Status JudgeRow(const Descriptor& descriptor, Bytes payload) const;
  void CutOff(const std::string& reason);
  /// Notice::slot is the other side's number.
  void Publish(std::span<const Notice> notices) { source_.Publish(notices); }
  void SetDrained() { drained_.store(true, std::memory_order_release); }

 private:
  Status CheckEntry(const Descriptor& descriptor) const;
  Status CheckPayload(const Descriptor& descriptor) const;

  Environment environment_;
  NoticeSource source_;
  mutable std::mutex mutex_;  // guards the two below and reason_
  std::unordered_map<std::uint32_t, RingGrant> grants_;
  std::unordered_map<std::uint32_t, RingGrant> by_slot_;
  std::string reason_;
  std::atomic<bool> cut_off_{false};
  std::atomic<bool> drained_{false};
};

/// How far a ring is durable already, by what is known of its logs. For a ring that comes back
/// after the death of who took from it [B10]: a WAL keeps a prefix of each ring.
class RingResume {
 public:
  struct Known {
    SlotBounds bounds;
    std::uint64_t row_sequence = 0;
    bool gone = false;  // its tombstone is durable
  };
  explicit RingResume(const std::unordered_map<std::uint32_t, Known>& logs) : logs_(logs) {}
  /// Whether that record, the next one, is durable. Descriptor::slot is the other side's number.
  bool IsDone(const Descriptor& descriptor) const;
  /// The position behind which nothing of the ring is durable.
  std::uint64_t DoneUpto(const RingConsumer& ring, std::uint64_t committed) const;

 private:
  const std::unordered_map<std::uint32_t, Known>& logs_;
};

}  // namespace duramen::wal
