// A single-producer, single-consumer ring of fixed-size records with a fixed layout and no
// pointers, so that the same bytes serve two threads or two processes. It lies in memory that
// base/shared_memory.h maps.
//
// Positions count records from 1 and never wrap (64 bits); record p lies in slot
// (p - 1) % capacity.
//   released <= taken (the consumer's own, not in the ring) <= committed <= released + capacity
// The producer commits a group of records, or several groups, by one release store; a producer
// killed before that store has added nothing. The consumer releases only what it is done with for
// good, so a consumer that is replaced finds everything from released + 1 on, in order (this is how
// the WAL resends).
//
// Distrust: the consumer copies a record out and bounds-checks the committed word before use; a
// committed word outside [released, released + capacity] is reported, never followed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/atomics.h"
#include "base/check.h"
#include "duramen/result.h"

namespace duramen {

inline constexpr std::size_t kRingRecordBytes = 64;

/// The words at the front of a ring; each on its own cache line.
struct RingHeader {
  std::uint64_t magic;
  std::uint32_t version;
  std::uint32_t capacity;                       // records; a power of two
  alignas(64) Atomic<std::uint64_t> committed;  // producer: last record added
  alignas(64) Atomic<std::uint64_t> released;   // consumer: last record done with
};
static_assert(Atomic<std::uint64_t>::is_always_lock_free);
static_assert(sizeof(RingHeader) == 192);

/// Bytes of memory that a ring of `capacity` records needs.
constexpr std::size_t RingBytes(std::uint32_t capacity) {
  return sizeof(RingHeader) + capacity * kRingRecordBytes;
}

/// Makes an empty ring in zeroed memory. Requires: 64-byte aligned, RingBytes(capacity) long,
/// capacity a power of two.
void RingCreate(std::span<std::byte> memory, std::uint32_t capacity);

/// The producing side. One thread.
class RingProducer {
 public:
  /// Errors: kCorruption when `memory` holds no ring of this version, or its words contradict.
  static Result<RingProducer> Attach(std::span<std::byte> memory);
  /// How many records fit now.
  std::uint64_t Free() const;
  /// Adds all of `records` (each kRingRecordBytes) or none; returns the position of the last, or
  /// nothing when they do not fit. Requires: a whole number of records, at least one.
  std::optional<std::uint64_t> Push(std::span<const std::byte> records);
  /// What is pushed from here on has its position, and is committed by Publish, all at once.
  void Hold() { holds_ = true; }
  /// Ends a Hold.
  void Publish();
  bool holds() const { return holds_; }
  /// Records that the consumer cannot see yet.
  std::uint64_t held() const { return committed_ - published_; }
  /// Of the last record pushed.
  std::uint64_t committed() const { return committed_; }
  std::uint64_t released() const { return header_->released.load(std::memory_order_acquire); }

 private:
  RingHeader* header_ = nullptr;
  std::byte* slots_ = nullptr;
  std::uint64_t committed_ = 0;
  std::uint64_t published_ = 0;
  std::uint32_t capacity_ = 0;
  bool holds_ = false;
};

/// The consuming side. One thread.
class RingConsumer {
 public:
  static Result<RingConsumer> Attach(std::span<std::byte> memory);
  /// Last committed position. Errors: kCorruption when the producer's word is out of bounds.
  Result<std::uint64_t> Committed() const;
  /// Copies the record at `position` to `out`. Requires: released < position <= Committed().
  void Copy(std::uint64_t position, std::span<std::byte, kRingRecordBytes> out) const;
  std::uint64_t released() const { return released_; }
  /// Everything up to `position` may be overwritten by the producer.
  void Release(std::uint64_t position);

 private:
  RingHeader* header_ = nullptr;
  const std::byte* slots_ = nullptr;
  std::uint64_t released_ = 0;
  std::uint32_t capacity_ = 0;
};

}  // namespace duramen
