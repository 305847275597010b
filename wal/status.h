// What the WAL lets Writers know before and behind each of their calls: whether it takes what they
// have, and how far its files are. Words of fixed layout, each written whole, so that they may lie
// in a page that other processes map for reading.
//
// Written by the WAL's thread, `flushed_upto` by the flusher's; read by any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>

#include "duramen/result.h"

namespace duramen::wal {

enum class WalState : std::uint8_t { kUp, kWaitingForFile, kDiskFull, kDown };

struct WalStatus {
  std::atomic<WalState> state{WalState::kUp};
  std::atomic<bool> blocked{false};  // a file is needed and none can be made
  std::atomic<bool> entries_admitted{true};
  std::atomic<bool> rows_admitted{true};
  std::atomic<bool> strands{false};  // entries wait for a file, and only row files can be had [B3]
  std::atomic<std::uint64_t> current_file{0};
  std::atomic<std::uint64_t> recycled_upto{0};
  std::atomic<std::uint64_t> flushed_upto{0};  // WAL file; what landed up to it is in segments

  /// Nothing: new entries are admitted. kOverloaded, kDiskFull, kWalDown otherwise.
  std::optional<ErrorCode> RefusesEntries() const;
  /// The same for rows, which keep a reserve [B1].
  std::optional<ErrorCode> RefusesRows() const;
  /// The same for votes and for what frees space: floors, truncations, deletions.
  std::optional<ErrorCode> RefusesMarks() const;
  /// Nothing can become durable until something outside changes.
  bool Stuck() const {
    return state.load(std::memory_order_acquire) == WalState::kDown ||
           blocked.load(std::memory_order_acquire);
  }
};
static_assert(std::atomic<WalState>::is_always_lock_free);
static_assert(std::atomic<bool>::is_always_lock_free);

}  // namespace duramen::wal
