// The numbers of a LogStore that the tools show, read at one moment.
#pragma once

#include <cstdint>

#include "duramen/log_store.h"

namespace duramen::tools {

struct StoreMetrics {
  std::uint64_t batches = 0;
  std::uint64_t syncs = 0;
  std::uint64_t bytes = 0;
  std::uint64_t rolls = 0;
  std::uint64_t write_ns = 0;
  std::uint64_t sync_ns = 0;
  std::uint64_t busy_ns = 0;
  std::uint64_t wait_ns = 0;
  std::uint64_t read_memory_entries = 0;
  std::uint64_t read_segment_entries = 0;
  std::uint64_t flush_rounds = 0;
  std::uint64_t flush_syncs = 0;
  std::uint64_t flush_bytes = 0;
  std::uint64_t flush_round_ns = 0;
  std::uint64_t flush_throttled_ns = 0;
  std::uint64_t flush_packed_from_bytes = 0;
  std::uint64_t flush_packed_to_bytes = 0;
  std::uint64_t checkpoint_bytes = 0;
  std::uint64_t overloaded = 0;           // calls
  std::uint64_t flush_waiting_files = 0;  // at this moment
  std::uint64_t memory_bytes = 0;         // of the budget, at this moment
  std::uint64_t depth = 0;                // at this moment
  std::uint64_t sync_method = 0;          // as a number; a difference means nothing

  static StoreMetrics Of(const LogStore& store);
  StoreMetrics operator-(const StoreMetrics& earlier) const;
};

}  // namespace duramen::tools
