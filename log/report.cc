// What a store says of itself: the recovery report as text, and the metrics.
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <new>
#include <system_error>

#include "log/shards.h"
#include "log/shared_wal.h"
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

/// Without a page that others can read it goes on all the same: nobody's data is worth less.
void LogStore::Impl::MakeStats(std::uint64_t boot) {
  const StatLayout layout = log::StoreStatLayout();
  const std::size_t bytes = StatPageBytes(layout);
  if (make_stat_memory != nullptr) {
    Result<StatMemory> made = make_stat_memory(options.data_dir, bytes);
    if (made.ok()) stat_memory.emplace(std::move(*made));
    if (!made.ok()) {
      log_.Write(LogLevel::kWarning, "store.stats",
                 "no statistics page can be made: `duramen stat --live` and `top` see nothing",
                 {{"error", made.error().message}});
    }
  }
  if (!stat_memory) stat_memory.emplace(StatMemory::Private(bytes));
  const std::span<std::byte> page = stat_memory->bytes();
  stats = new (page.data() + StatValuesAt(layout)) log::StoreStats;
  std::error_code ignored;
  StatPageWrite(page, layout,
                {.system = system,
                 .boot = boot,
                 .pid = static_cast<std::uint64_t>(::getpid()),
                 .started_unix_ms = clock->UnixMs(),
                 .started_ns = clock->NowNs(),
                 .data_dir = std::filesystem::absolute(options.data_dir, ignored).string()});
  // The budget is one for all shards, and told by the first.
  if (shard == 0) {
    budget.CountIn(stats->state.memory_used_bytes, stats->state.memory_pinned_bytes);
    stats->state.memory_limit_bytes.Set(budget.limit_bytes());
  }
  block_pool.CountIn(stats->state.memory_index_bytes);
  landed.CountIn(stats->state.memory_landed_bytes);
}

/// What the file systems below mean for the data.
void LogStore::Impl::TellFileSystems() const {
  const auto tell = [this](const Directory& directory) {
    const FileSystemKind kind = directory.Kind();
    const std::string meaning = MeaningOf(kind, directory.path());
    if (meaning.empty()) return;
    log_.Write(LogLevel::kWarning, "store.file_system", meaning,
               {{"path", directory.path()}, {"file_system", kind.name}});
  };
  tell(*data_dir);
  // That of the usual wal_dir was just said, unless something is mounted there.
  if (!options.wal_dir.empty() || wal_dir->Kind().name != data_dir->Kind().name) tell(*wal_dir);
  if (failover_dir != nullptr) tell(*failover_dir);
}

void LogStore::Impl::TellStart() {
  log::StoreState& told = stats->state;
  told.boot.Set(report.boot);
  told.start_ns.SetTime(report.nanoseconds);
  told.start_entries.Set(report.entries);
  for (const Finding& finding : report.findings) {
    switch (finding.kind) {
      case FindingKind::kDamage:
      case FindingKind::kMissingFile:
        told.start_damaged.AddShared(1);
        break;
      case FindingKind::kUnprovenTail:
        told.start_unproven.AddShared(1);
        break;
      case FindingKind::kTornTail:
        told.start_torn.AddShared(1);
        break;
      default:
        told.start_other.AddShared(1);
    }
  }
}

void LogStore::Impl::TellRefused(ErrorCode code) {
  log::StoreState& told = stats->state;
  if (code == ErrorCode::kOverloaded) told.append_overloaded.AddShared(1);
  if (code == ErrorCode::kDiskFull) told.append_disk_full.AddShared(1);
  if (code == ErrorCode::kWalDown) told.append_wal_down.AddShared(1);
}

void LogStore::Impl::SetFaulty(log::ServerLog& log, bool faulty) {
  if (log.faulty.exchange(faulty, std::memory_order_acq_rel) == faulty) return;
  if (faulty) stats->state.faulty_logs.AddShared(1);
  if (!faulty) stats->state.faulty_logs.SubShared(1);
}

namespace {

/// What the WAL process did stands where an own WAL would count it.
void TellTotals(const log::WalTotals& totals, wal::WalStats& stats) {
  stats.batches.Set(totals.batches);
  stats.entries.Set(totals.entries);
  stats.rows.Set(totals.rows);
  stats.bytes.Set(totals.bytes);
  stats.syncs.Set(totals.syncs);
  stats.rolls.Set(totals.rolls);
}

}  // namespace

void LogStore::VisitMetrics(void (*visit)(void* argument, const Metric& metric),
                            void* argument) const {
  for (const Impl* one : impl_->shards->all()) one->VisitMetrics(visit, argument);
}

void LogStore::Impl::VisitMetrics(void (*visit)(void* argument, const Metric& metric),
                                  void* argument) const {
  if (shared != nullptr) TellTotals(shared->totals(), stats->wal);
  const auto* values = reinterpret_cast<const std::byte*>(stats);
  const std::int64_t now_ns = clock->NowNs();
  for (const StatSpec& spec : log::StoreStatSpecs()) {
    if (spec.kind == StatKind::kBatches || spec.kind == StatKind::kClients) continue;
    Metric metric{.name = spec.name, .unit = spec.unit, .help = spec.help};
    metric.shard = shard;
    if (spec.kind == StatKind::kHistogram) {
      const auto& histogram = *reinterpret_cast<const Histogram*>(values + spec.offset);
      const HistogramCounts counts = histogram.Read();
      metric.kind = MetricKind::kHistogram;
      metric.value = counts.sum;
      metric.count = counts.count;
      metric.p50 = counts.Quantile(0.5);
      metric.p99 = counts.Quantile(0.99);
      metric.p999 = counts.Quantile(0.999);
      metric.max = counts.max;
    } else {
      const std::uint64_t value = reinterpret_cast<const Counter*>(values + spec.offset)->value();
      metric.kind = spec.kind == StatKind::kCounter ? MetricKind::kCounter : MetricKind::kGauge;
      metric.value = StatValue(spec.kind, value, now_ns);
    }
    visit(argument, metric);
  }
}

}  // namespace v1
}  // namespace duramen
