// The one memory budget of a store: how many bytes arenas, index blocks, rings, batches, flushes
// and pinned reads may take together.
//
// Owned by the store; every call on any thread, none blocks. A part of it is a reserve that entries
// never take (rule B1): rows and marks free memory, so they must not wait for memory. What recovery
// finds on disk is never refused (rule B2): it is counted, above the limit if need be, and makes
// the budget tight until memory is freed.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/counters.h"

namespace duramen {

/// What the bytes are for, and so how far they may go.
enum class BudgetUse : std::uint8_t {
  kEntries,  // up to limit - reserve
  kReserve,  // rows and marks: up to limit
  kForced,   // recovery: always granted, always counted
};

class MemoryBudget {
 public:
  /// Requires: reserve_bytes <= limit_bytes.
  MemoryBudget(std::uint64_t limit_bytes, std::uint64_t reserve_bytes);
  MemoryBudget(const MemoryBudget&) = delete;
  MemoryBudget& operator=(const MemoryBudget&) = delete;

  /// Goes on counting there; both outlive it. Requires: nobody else counts meanwhile.
  void CountIn(Counter& used, Counter& pinned) noexcept;
  /// Counts `bytes` if they fit; false, and nothing counted, if not.
  [[nodiscard]] bool TryReserve(std::uint64_t bytes, BudgetUse use) noexcept;
  /// Gives back what TryReserve counted.
  void Release(std::uint64_t bytes) noexcept;

  /// Of what is counted, `bytes` cannot be given back because a reader holds them; or can again.
  void AddPinned(std::uint64_t bytes) noexcept { pinned_->AddShared(bytes); }
  void SubtractPinned(std::uint64_t bytes) noexcept { pinned_->SubShared(bytes); }
  std::uint64_t pinned_bytes() const noexcept { return pinned_->value(); }
  /// Readers hold an eighth of all: they copy what they read from here on, because a small entry
  /// holds a whole chunk (rule B1).
  bool ManyPinned() const noexcept { return pinned_bytes() > limit_bytes_ / 8; }

  std::uint64_t used_bytes() const noexcept { return used_->value(); }
  std::uint64_t limit_bytes() const noexcept { return limit_bytes_; }
  std::uint64_t reserve_bytes() const noexcept { return reserve_bytes_; }
  /// Three quarters of what entries may take are in use: time to evict, and to roll (rule B1).
  bool AboveHighWater() const noexcept;

 private:
  Counter own_;
  Counter* used_ = &own_;
  friend class CountedBytes;
  std::atomic<std::uint64_t> held_{0};  // of what is used, by CountedBytes
  Counter own_pinned_;
  Counter* pinned_ = &own_pinned_;
  const std::uint64_t limit_bytes_;
  const std::uint64_t reserve_bytes_;
};

/// What one owner holds, counted as it is and never refused: it is needed to free memory. It keeps
/// entries out, but not rows and marks, which free memory too (rule B1). `told` has the same. Both
/// outlive it; the owner's thread.
class CountedBytes {
 public:
  CountedBytes(MemoryBudget& budget, Counter& told) : budget_(budget), told_(told) {}
  ~CountedBytes() { Set(0); }
  CountedBytes(const CountedBytes&) = delete;
  CountedBytes& operator=(const CountedBytes&) = delete;
  void Set(std::uint64_t bytes) noexcept;

 private:
  MemoryBudget& budget_;
  Counter& told_;
  std::uint64_t bytes_ = 0;
};

}  // namespace duramen
