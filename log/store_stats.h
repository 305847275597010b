// Everything that a store counts, in one block of fixed layout without pointers: the values of its
// statistics page. Owned by the store, which makes it in the page; each part says who writes it.
#pragma once

#include <span>

#include "base/client_table.h"
#include "base/counters.h"
#include "base/histogram.h"
#include "base/stat_page.h"
#include "wal/telling.h"

namespace duramen::log {

/// The flusher's thread; `lag_since` and `waiting_files` under its lock.
struct alignas(64) FlusherStats {
  Counter rounds, logs, entries, bytes, packed_from_bytes, packed_to_bytes, segments, syncs;
  Counter checkpoints, checkpoint_bytes, failures, segments_removed;
  Counter lost_entries, throttled_ns;
  // As it is now.
  Counter lag_since, waiting_files, segment_files, segment_bytes, open_files, rate;
  Histogram round_ns;
};

/// Any thread.
struct alignas(64) ReadStats {
  Counter calls, memory_entries, wal_entries, segment_entries, corrupt_calls;
};

/// Any thread.
struct alignas(64) StoreState {
  Counter memory_used_bytes, memory_limit_bytes, memory_ring_bytes, memory_read_bytes;
  Counter memory_pinned_bytes, memory_index_bytes, memory_landed_bytes, memory_flush_bytes;
  Counter logs, faulty_logs, writers;
  Counter append_overloaded, append_disk_full, append_wal_down;
  // Of a WAL process.
  Counter clients, clients_attached, clients_cut_off, clients_refused;
  // Of the start.
  Counter boot, start_ns, start_entries, start_damaged, start_unproven, start_torn, start_other;
};

struct StoreStats {
  wal::WalStats wal;
  FlusherStats flush;
  ReadStats read;
  StoreState state;
  alignas(64) ClientTable clients;
};

/// Every metric, in the order in which they are shown.
std::span<const StatSpec> StoreStatSpecs();
inline StatLayout StoreStatLayout() { return {StoreStatSpecs(), sizeof(StoreStats)}; }

}  // namespace duramen::log
