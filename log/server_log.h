// One log: its mem table, its watermark, its rows. Owned by the store, at its slot until the store
// closes; the slot's memory is given to another log only after the deleted one's tombstone is
// forgotten, so a late reader finds another generation, never freed memory.
//
// Written by the thread that uses its Writer; read by any. What is atomic or in the mem table is
// read without a lock; rows and names under `mutex`.
#pragma once

#include <atomic>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "duramen/log_store.h"
#include "memtable/mem_table.h"
#include "meta/row.h"
#include "segments/segment_list.h"
#include "wal/port.h"

namespace duramen::log {

class LogHolder;

/// Errors: kInvalidArgument, with the byte that is wrong.
Status CheckLogName(std::string_view name);

class ServerLog {
 public:
  ServerLog(std::uint32_t slot_number, std::uint32_t ref_slot_number, memtable::BlockPool& pool)
      : slot(slot_number), ref_slot(ref_slot_number), table(pool) {}

  const std::uint32_t slot;      // in its WAL shard
  const std::uint32_t ref_slot;  // in LogRef, where no other shard has it
  std::atomic<std::uint32_t> generation{1};
  std::atomic<memtable::Arena*> arena{nullptr};  // of its Writer; where its slots point
  std::atomic<Index> written_end{1};
  std::atomic<std::uint64_t> epoch{0};
  std::atomic<bool> faulty{false};   // damage on disk; readable around it
  std::atomic<bool> stopped{false};  // takes no record any more in this process; see stopped_by
  std::atomic<bool> deleted{false};  // or never created
  memtable::MemTable table;
  /// What segments hold; replaced as a whole by the flusher.
  segments::SegmentList Segments() const {
    const std::lock_guard lock(mutex);
    return segments;
  }

  // Fixed while the generation lasts.
  wal::RecordOwner owner;
  std::uint64_t incarnation = 0;

  // Writer thread only.
  /// Each overwrite, truncation and reset opens an epoch; those not yet seen durable [C2].
  struct EpochCut {
    std::uint64_t epoch = 0;
    Index cut = 0;
  };
  std::vector<EpochCut> cuts;
  std::uint64_t row_sequence = 0;
  std::uint64_t in_flight_bytes = 0;    // of payload, in its Writer's ring
  std::uint64_t in_flight_records = 0;  // in that ring
  std::uint64_t refused_position = 0;   // in the ring, once stopped
  std::uint64_t news_round = 0;         // of its Writer's Poll in which news_place holds
  std::size_t news_place = 0;
  bool repaired = false;  // by its Writer: it takes entries though it is faulty
  bool identity_unposted = false;  // see PlantedBug::kRegistrationAfterFirstAck

  // Under `mutex`.
  mutable std::mutex mutex;
  std::string name;
  Vote vote;
  Index last_applied = 0;
  std::map<std::string, std::string, std::less<>> values;
  meta::FaultyRow fault;
  segments::SegmentList segments;
  Error stopped_by;
  void* writer = nullptr;  // the Writer::Impl, or the LogHolder, that it belongs to
  const LogHolder* holder = nullptr;  // of another process; under the store's lock
  /// Of a log whose WAL is another process: what is known to be durable.
  struct Acked {
    std::uint64_t epoch = 0;
    Index end = 1;
    std::uint64_t row_sequence = 0;
  } acked;

  LogRef ref() const { return {ref_slot, generation.load(std::memory_order_acquire)}; }

  /// Writer thread. A cut at `index` opens the next epoch; returns it.
  std::uint64_t OpenEpoch(Index index);
  /// Writer thread. What a notice makes of the watermark; true if it moved. An older epoch raises
  /// it at most to the lowest cut of the epochs since [C2].
  bool OnNotice(const wal::Notice& notice);
  /// An index that damage took. Any thread.
  bool InHole(Index index) const;
};

}  // namespace duramen::log
