// What is durable of logs that other processes write: bounds, epoch and terms, taken from what the
// WAL has written before it is acknowledged. So whoever claims such a log next gets the truth, even
// if the process that wrote it is gone. Rows are in DurableRows.
//
// Owned by the store; the WAL's thread adds, any thread asks.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "memtable/mem_table.h"
#include "wal/port.h"
#include "wal/replay.h"

namespace duramen::log {

/// One log, as it is on disk.
struct FollowedLog {
  wal::SlotBounds bounds;
  /// The first begins at or below bounds.begin - 1.
  std::vector<memtable::TermRun> terms;
};

class DurableFollower final : public wal::RunFollower {
 public:
  /// Before the first record of it that somebody else writes.
  void Follow(std::uint32_t slot, FollowedLog log);
  /// As it is now; nothing: it is not followed.
  std::optional<FollowedLog> Find(std::uint32_t slot) const;
  void Forget(std::uint32_t slot);

  // wal::RunFollower
  void OnDurable(std::span<const wal::RunHeader> runs) override;

 private:
  static void Apply(FollowedLog& log, const wal::RunHeader& run);
  mutable std::mutex mutex_;  // guards all below
  std::map<std::uint32_t, FollowedLog> logs_;  // by slot
};

}  // namespace duramen::log
