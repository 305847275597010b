#include "tools/store_metrics.h"

#include <utility>

namespace duramen::tools {
namespace {

constexpr std::pair<std::string_view, std::uint64_t StoreMetrics::*> kNames[] = {
    {"wal_batches", &StoreMetrics::batches},
    {"wal_syncs", &StoreMetrics::syncs},
    {"wal_bytes", &StoreMetrics::bytes},
    {"wal_rolls", &StoreMetrics::rolls},
    {"wal_write_ns", &StoreMetrics::write_ns},
    {"wal_sync_ns", &StoreMetrics::sync_ns},
    {"wal_busy_ns", &StoreMetrics::busy_ns},
    {"wal_wait_ns", &StoreMetrics::wait_ns},
    {"read_memory_entries", &StoreMetrics::read_memory_entries},
    {"read_segment_entries", &StoreMetrics::read_segment_entries},
    {"flush_rounds", &StoreMetrics::flush_rounds},
    {"flush_syncs", &StoreMetrics::flush_syncs},
    {"flush_bytes", &StoreMetrics::flush_bytes},
    {"flush_round_ns", &StoreMetrics::flush_round_ns},
    {"flush_throttled_ns", &StoreMetrics::flush_throttled_ns},
    {"flush_packed_from_bytes", &StoreMetrics::flush_packed_from_bytes},
    {"flush_packed_to_bytes", &StoreMetrics::flush_packed_to_bytes},
    {"checkpoint_bytes", &StoreMetrics::checkpoint_bytes},
    {"append_overloaded", &StoreMetrics::overloaded},
    {"flush_waiting_files", &StoreMetrics::flush_waiting_files},
    {"memory_used_bytes", &StoreMetrics::memory_bytes},
    {"wal_depth", &StoreMetrics::depth},
    {"wal_sync_method", &StoreMetrics::sync_method}};

}  // namespace

StoreMetrics StoreMetrics::Of(const LogStore& store) {
  StoreMetrics metrics;
  store.VisitMetrics(
      [](void* argument, const Metric& metric) {
        for (const auto& [name, field] : kNames) {
          if (metric.name != name) continue;
          std::uint64_t& value = static_cast<StoreMetrics*>(argument)->*field;
          // Of several WAL shards the sum; what is no amount is that of the last.
          const bool amount = name != "wal_sync_method" && name != "wal_depth";
          value = amount ? value + metric.value : metric.value;
        }
      },
      &metrics);
  return metrics;
}

StoreMetrics StoreMetrics::operator-(const StoreMetrics& earlier) const {
  StoreMetrics difference;
  for (const auto& [name, field] : kNames) difference.*field = this->*field - earlier.*field;
  return difference;
}

}  // namespace duramen::tools
