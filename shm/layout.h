// What a client and the WAL process have in common in memory: fixed layout, no pointers, no lock,
// so that either may die at any instruction. A word that the other side may write is read once and
// judged before it is used.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/bytes.h"
#include "base/counters.h"
#include "base/handshake.h"
#include "base/ring.h"
#include "wal/notice_table.h"
#include "wal/status.h"

namespace duramen::shm {

inline constexpr std::size_t kPageBytes = 4096;
inline constexpr std::uint64_t kStatusMagic = 0x5453'4C41'5752'5544ULL;

/// What the WAL has done since it began. Its thread writes them, before notices and positions.
struct Totals {
  Counter batches, entries, rows, bytes, syncs, rolls;
};

/// Of the WAL process, which alone writes it; clients map it for reading.
struct StatusPage {
  std::uint64_t magic = kStatusMagic;
  wal::WalStatus wal;
  /// The WAL's thread sleeps, or is about to: who has put something into a ring rings the bell.
  alignas(64) SleepSign asleep;
  /// A successor is there: who is let go goes on with that one, and nobody need know.
  std::atomic<std::uint32_t> hands_over{0};
  alignas(64) Totals totals;
};
static_assert(sizeof(StatusPage) <= kPageBytes);

/// Of a client; both write it. All that the WAL process does by it is to wake that client.
struct ControlPage {
  SharedBell progress;                    // something may have changed
  std::atomic<std::uint32_t> listens{0};  // somebody looks at the doorbell too
  /// Counts what was put into rings, so that each look at StatusPage::asleep is behind it.
  alignas(64) std::atomic<std::uint32_t> posted{0};
};
static_assert(sizeof(ControlPage) <= kPageBytes);

/// A Writer's memory: its ring, and behind it the notices of its logs.
constexpr std::size_t NoticesAt(std::size_t ring_bytes) { return RoundUp(ring_bytes, kPageBytes); }
constexpr std::size_t RingMemoryBytes(std::size_t ring_bytes) {
  return NoticesAt(ring_bytes) + RoundUp(sizeof(wal::NoticeMemory), kPageBytes);
}

}  // namespace duramen::shm
