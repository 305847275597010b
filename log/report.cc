// What a store says of itself: the recovery report as text, and the metrics.
#include <algorithm>

#include "log/store.h"

namespace duramen {
inline namespace v1 {

const char* FindingKindName(FindingKind kind) noexcept {
  switch (kind) {
    case FindingKind::kTornTail:
      return "torn_tail";
    case FindingKind::kUnprovenTail:
      return "unproven_tail";
    case FindingKind::kDamage:
      return "damage";
    case FindingKind::kOrphanFile:
      return "orphan_file";
    case FindingKind::kHeaderCopy:
      return "header_copy";
    case FindingKind::kMissingFile:
      return "missing_file";
    case FindingKind::kUnusedSpare:
      return "unused_spare";
    case FindingKind::kLeftover:
      return "leftover";
    case FindingKind::kSalvaged:
      return "salvaged";
  }
  return "unknown";
}

bool RecoveryReport::damaged() const noexcept {
  return std::any_of(findings.begin(), findings.end(), [](const Finding& finding) {
    return finding.kind == FindingKind::kDamage || finding.kind == FindingKind::kMissingFile;
  });
}

std::string RecoveryReport::ToText() const {
  if (created) return "a new store was created";
  std::string text = "start " + std::to_string(boot) + ": " + std::to_string(batches) +
                     " batches in " + std::to_string(wal_files) + " WAL files, " +
                     std::to_string(entries) + " entries, proven up to batch " +
                     std::to_string(proven_batch) + ", " + std::to_string(copied_batches) +
                     " batches copied forward";
  for (const Finding& finding : findings) {
    text += "; " + std::string(FindingKindName(finding.kind)) + " in " + finding.file +
            " at offset " + std::to_string(finding.offset_bytes) + ": " + finding.sentence;
    for (const TouchedRange& touched : finding.touched) {
      text += " [" + touched.log;
      if (touched.first != 0) {
        text += " " + std::to_string(touched.first) + ".." +
                (touched.last == 0 ? std::string("?") : std::to_string(touched.last));
      }
      if (touched.rows) text += " rows";
      text += "]";
    }
    if (!finding.kept_in.empty()) text += "; kept in " + finding.kept_in;
  }
  return text;
}

void LogStore::VisitMetrics(void (*visit)(void* argument, const Metric& metric),
                            void* argument) const {
  const wal::WalCounters& wal = impl_->wal->counters();
  const auto told = [&](const CounterSpec& spec, std::uint64_t value) {
    visit(argument, {spec.name, spec.unit, spec.help, value});
  };
  told({"wal_batches", "batches", "batches made durable"}, wal.batches.value());
  told({"wal_entries", "entries", "entries made durable"}, wal.entries.value());
  told({"wal_rows", "rows", "metadata rows made durable"}, wal.rows.value());
  told({"wal_bytes", "bytes", "bytes written to WAL files"}, wal.bytes.value());
  told({"wal_syncs", "syncs", "syncs of WAL files"}, wal.syncs.value());
  told({"wal_rolls", "files", "WAL files put into service"}, wal.rolls.value());
  told({"wal_seals", "batches", "seals of an idle WAL"}, wal.seals.value());
  told({"wal_recycled_files", "files", "WAL files recycled"}, wal.recycled_files.value());
  told({"wal_poisoned_files", "files", "WAL files given up after an error"},
       wal.poisoned_files.value());
  told({"wal_refused_records", "records", "records refused by the WAL"},
       wal.refused_records.value());
  told({"wal_files", "files", "WAL files that are live"}, wal.files.value());
  told({"wal_encode_ns", "ns", "time spent encoding"}, wal.encode_ns.value());
  told({"wal_write_ns", "ns", "time spent writing"}, wal.write_ns.value());
  told({"wal_sync_ns", "ns", "time spent in syncs"}, wal.sync_ns.value());
  told({"wal_busy_ns", "ns", "time spent in rounds"}, wal.busy_ns.value());
  told({"wal_wait_ns", "ns", "time in which the WAL had nothing to do but to wait for a write"},
       wal.wait_ns.value());
  const log::FlusherCounters& flush = impl_->flusher->counters();
  told({"flush_rounds", "rounds", "generations taken to segments"}, flush.rounds.value());
  told({"flush_entries", "entries", "entries written to segments"}, flush.entries.value());
  told({"flush_bytes", "bytes", "bytes written to segments"}, flush.bytes.value());
  told({"flush_syncs", "syncs", "syncs of the flush"}, flush.syncs.value());
  told({"flush_failures", "failures", "writes and syncs of the flush that failed"},
       flush.failures.value());
  told({"checkpoints", "checkpoints", "checkpoints of rows written"}, flush.checkpoints.value());
  told({"segments_removed", "files", "segment files removed"}, flush.segments_removed.value());
  told({"memory_used_bytes", "bytes", "of memory_budget in use"}, impl_->budget.used_bytes());
  told({"memory_limit_bytes", "bytes", "memory_budget"}, impl_->budget.limit_bytes());
  told({"memory_pinned_bytes", "bytes", "of memory_used_bytes, in chunks that readers hold"},
       impl_->budget.pinned_bytes());
  told({"memory_index_bytes", "bytes", "of memory_used_bytes, where entries are in memory"},
       impl_->block_pool.mapped_bytes());
  told({"memory_landed_bytes", "bytes", "of memory_used_bytes, where entries are in WAL files"},
       impl_->landed.bytes());
}

}  // namespace v1
}  // namespace duramen
