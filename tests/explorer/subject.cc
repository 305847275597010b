#include "tests/explorer/subject.h"

#include <algorithm>
#include <chrono>

#include "base/check.h"
#include "base/rng.h"
#include "base/try.h"

namespace duramen::explorer {
namespace {

LogSink watcher;

// Small enough that a run of a few dozen calls fills batches, rings and files.
log::StorageTuning Tuning(const SubjectSizes& sizes) {
  log::StorageTuning tuning;
  tuning.ring_records = 128;
  tuning.ring_bytes = 32u << 10;
  tuning.chunk_bytes = 8u << 10;
  tuning.batch_bytes_max = 16u << 10;
  tuning.alone_bytes_max = sizes.alone_bytes_max;
  tuning.depth_adapts = false;
  tuning.files_synced_singly = sizes.files_synced_singly;
  tuning.files_open_max = sizes.files_open_max;
  if (sizes.compresses) tuning.pack_run_bytes_min = tuning.pack_block_bytes_min = 200;
  if (sizes.large) {
    tuning.ring_bytes = 1u << 20;
    tuning.chunk_bytes = 512u << 10;
    tuning.batch_bytes_max = 300u << 10;
  }
  return tuning;
}

// Reads [state.begin, end) into `state`; returns what is wrong with it.
std::string ReadEntries(const LogStore& store, LogRef log, Index end, LogState& state) {
  Index next = state.begin;
  while (next < end) {
    const Result<Pin> pin = store.Read(log, next, end, 16u << 10);
    if (!pin.ok()) {
      return "read of entry " + std::to_string(next) + " failed: " + pin.error().message;
    }
    if (pin->entries().empty()) {
      return "read of entry " + std::to_string(next) + " returned nothing";
    }
    for (const EntryView& entry : pin->entries()) {
      if (entry.index != next) {
        return "entry " + std::to_string(next) + " was read as " + std::to_string(entry.index);
      }
      const Result<Term> term = store.TermAt(log, next);
      if (!term.ok() || *term != entry.term) {
        return "entry " + std::to_string(next) + " has term " + std::to_string(entry.term) +
               ", but TermAt says " + (term.ok() ? std::to_string(*term) : term.error().message);
      }
      state.entries.push_back({entry.term, EntryHash(entry.kind, entry.payload)});
      ++next;
    }
  }
  return "";
}

// Durable rows of last_applied are there; what a truncation took may not count as applied (M5).
std::string JudgeApplied(const Observation& observed, const AdmissibleWriter& writer) {
  for (const LogNumber log : writer.logs) {
    const LogState& seen = observed.logs[log];
    if (!seen.exists || log >= writer.applied.size()) continue;
    const Index least = std::min(writer.applied[log], seen.end() - 1);
    if (seen.last_applied >= least) continue;
    return LogName(log) + " says that " + std::to_string(seen.last_applied) +
           " was applied last, expected at least " + std::to_string(least);
  }
  return "";
}

}  // namespace

Subject::Subject(sim::SimFileSystem& machine, std::uint64_t seed, const SubjectSizes& sizes)
    : machine_(machine), sizes_(sizes), seed_(seed), executor_(Rng(seed ^ 0x65786563), clock_) {}

Subject::~Subject() { Destroy(); }

void Subject::SetLogSink(LogSink sink) { watcher = sink; }

Status Subject::Open() {
  machine_.SeedFlight(seed_ ^ 0x666C79);
  LogStoreOptions options;
  options.log_sink = watcher;
  options.data_dir = kDataDir;
  options.wal_max_size_bytes = sizes_.wal_file_bytes;
  options.wal_max_files = sizes_.wal_files_max;
  options.memory_budget = sizes_.memory_budget;
  options.flush_delay = 0;
  options.wal_sync_method = sizes_.sync_method;
  options.wal_pipeline_depth = sizes_.pipeline_depth;
  options.wal_dir = sizes_.wal_dir;
  if (sizes_.fails_over) options.wal_failover_dir = kFailoverDir;
  if (sizes_.leaves_failover) options.wal_failover_dir = "none";
  options.wal_failover_after = 100;  // ms of a clock that only jumps
  options.recovery_mode = sizes_.recovery_mode;
  options.segment_max_entries = sizes_.segment_entries;
  options.flush_threads = sizes_.flush_threads;
  options.wal_shards = sizes_.shards;
  if (sizes_.compresses) {
    options.wal_compression = options.segment_compression = Compression::kZstd;
  }
  const log::StorageEnvironment environment{machine_, clock_, executor_, Rng(seed_)};
  while (true) {
    Result<LogStore> opened = log::OpenLogStore(options, environment, Tuning(sizes_));
    if (opened.ok()) {
      store_.emplace(std::move(opened).value());
      return {};
    }
    // Of logs, or of WAL files that a fault kept from being copied to quarantine.
    const std::string& why = opened.error().message;
    const bool holds =
        opened.error().code == ErrorCode::kConfiguration &&
        (why.find("holds logs") != why.npos || why.find("it keeps WAL files") != why.npos);
    if (!holds || options.wal_shards >= kShardsMost) return std::move(opened).error();
    options.wal_shards = kShardsMost;
  }
}

Status Subject::MakeWriters(std::size_t count) {
  while (writers_.size() < count) writers_.push_back(TRY(store_->NewWriter()));
  return {};
}

Status Subject::TakesEntries() {
  constexpr std::int64_t kPatienceNs = 10'000'000'000;
  TRY(MakeWriters(store_->shards()));
  for (Writer& writer : writers_) {
    for (const LogInfo& info : store_->Logs()) {
      const Result<LogRef> log = store_->OpenLog(writer, info.name, OpenMode::kOpen);
      if (!log.ok()) continue;  // It is in another shard.
      TRY(writer.WaitForRoom(*log, 1, 100, DeadlineIn(kPatienceNs)));
      break;
    }
  }
  return {};
}

Deadline Subject::DeadlineIn(std::int64_t ns) const {
  return Deadline(std::chrono::nanoseconds(clock_.NowNs() + ns));
}

std::uint64_t Subject::Metric(std::string_view part) const {
  struct Sum {
    std::string_view part;
    std::uint64_t value = 0;
  } sum{part};
  store_->VisitMetrics(
      [](void* argument, const duramen::Metric& metric) {
        Sum& into = *static_cast<Sum*>(argument);
        if (metric.name.find(into.part) != std::string_view::npos) into.value += metric.value;
      },
      &sum);
  return sum.value;
}

std::string Subject::StateText() const {
  std::string text = "pressure=" + std::to_string(static_cast<int>(store_->pressure()));
  store_->VisitMetrics(
      [](void* argument, const duramen::Metric& metric) {
        if (metric.value == 0 || metric.unit == "ns") return;
        *static_cast<std::string*>(argument) +=
            " " + std::string(metric.name) + "=" + std::to_string(metric.value);
      },
      &text);
  return text;
}

void Subject::Destroy() {
  machine_.Crash();
  writers_.clear();
  store_.reset();
}

LogState ReadLog(const LogStore& store, LogRef log, std::string& problem) {
  LogState state;
  state.exists = true;
  const Result<Bounds> bounds = store.BoundsOf(log);
  const Result<Vote> vote = store.VoteOf(log);
  const Result<Index> last_applied = store.LastAppliedOf(log);
  if (!bounds.ok() || !vote.ok() || !last_applied.ok()) {
    problem = "a log answers no questions about itself";
    return state;
  }
  state.begin = bounds->begin;
  state.term_before_begin = bounds->term_before_begin;
  state.vote_term = vote->term;
  state.voted_for = vote->voted_for;
  state.last_applied = *last_applied;
  for (char key = 'a'; key < 'e'; ++key) {
    const Result<std::string> value = store.Get(log, std::string(1, key));
    if (value.ok()) state.values[std::string(1, key)] = *value;
  }
  const Result<Term> before = store.TermAt(log, state.begin - 1);
  if (state.begin > 1 && before.ok() && *before != state.term_before_begin) {
    problem = "TermAt knows another term before the first entry";
  }
  const std::string entries = ReadEntries(store, log, bounds->end, state);
  if (!entries.empty()) problem = entries;
  return state;
}

Observation Observe(const LogStore& store, std::size_t logs_expected) {
  Observation observed;
  observed.logs.resize(logs_expected);
  for (const Finding& finding : store.recovery_report().findings) {
    const bool damage =
        finding.kind == FindingKind::kDamage || finding.kind == FindingKind::kMissingFile;
    if (damage) observed.problem = "false damage: " + finding.sentence;
  }
  if (store.recovery_report().damaged()) observed.problem += " (the report says damaged)";
  for (const LogInfo& info : store.Logs()) {
    const LogNumber number = ParseLogName(info.name);
    if (number == UINT32_MAX || number > 10'000) {
      observed.problem = "a log that nobody made: '" + info.name + "'";
      continue;
    }
    if (number >= observed.logs.size()) observed.logs.resize(number + 1);
    std::string problem;
    if (observed.logs[number].exists) problem = "is there twice";
    observed.logs[number] = ReadLog(store, info.log, problem);
    if (problem.empty() && observed.logs[number].last_applied >= observed.logs[number].end()) {
      problem = "last_applied is at or above the end (M5)";
    }
    if (info.faulty) {
      const LogState& seen = observed.logs[number];
      problem = "is faulty without damage, [" + std::to_string(seen.begin) + ", " +
                std::to_string(seen.end()) + ") readable" + (problem.empty() ? "" : "; " + problem);
    }
    if (!problem.empty()) observed.problem = info.name + ": " + problem;
  }
  return observed;
}

std::string Judge(const Observation& observed, const Admissible& admissible) {
  if (!observed.problem.empty()) return observed.problem;
  std::vector<bool> known(observed.logs.size(), false);
  for (const AdmissibleWriter& writer : admissible) {
    for (const LogNumber log : writer.logs) known[log] = true;
    const std::uint64_t digest = DigestOf(writer.logs, observed.logs);
    if (std::find(writer.digests.begin(), writer.digests.end(), digest) != writer.digests.end()) {
      const std::string applied = JudgeApplied(observed, writer);
      if (!applied.empty()) return applied;
      continue;
    }
    std::string text =
        "no admissible state (" + std::to_string(writer.digests.size()) + ") matches;";
    for (const LogNumber log : writer.logs) {
      const std::string old = observed.logs[log].Difference(writer.acknowledged[log]);
      const std::string young = observed.logs[log].Difference(writer.submitted[log]);
      if (old.empty() || young.empty()) continue;
      text += " " + LogName(log) + " against the acknowledged state: " + old +
              "; against the submitted state: " + young + ".";
    }
    return text;
  }
  for (LogNumber log = 0; log < observed.logs.size(); ++log) {
    if (!known[log] && observed.logs[log].exists) return LogName(log) + " exists without a creator";
  }
  return "";
}

}  // namespace duramen::explorer
