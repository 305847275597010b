// Opening, recovering and closing a store: the composition root of storage. See log/store.h.
#include "duramen/log_store.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/check.h"
#include "base/directories.h"
#include "base/fork_guard.h"
#include "base/posix_io.h"
#include "base/settings.h"
#include "base/thread_executor.h"
#include "base/try.h"
#include "log/quarantine.h"
#include "log/shards.h"
#include "log/store.h"
#include "log/sync_choice.h"
#include "log/system_file.h"

namespace duramen {
inline namespace v1 {
namespace {

constexpr std::uint64_t kMergeBytesMax = 16 << 20;
constexpr std::uint64_t kRowFileBytesMax = 16 << 20;
constexpr std::uint64_t kRecordOverhead = 256;  // of what a small record takes in a WAL file
constexpr std::uint64_t kReserveShare = 16;     // of the budget, for rows and marks [B1]
constexpr std::uint64_t kEntryShare = 4;  // of the budget: a larger entry might never find room
constexpr std::uint64_t kIdleShare = 16;  // of the budget, for buffers that wait for a batch
constexpr std::uint64_t kFlushBufferBytesMax = 1 << 20;
constexpr std::uint64_t kFlushShare = 64;  // of the budget, for a buffer of a flush

segments::SegmentLimits SegmentLimitsOf(const LogStoreOptions& options,
                                        const log::StorageTuning& tuning) {
  return {.entries_max = options.segment_max_entries,
          .bytes_max = options.segment_max_size_bytes,
          .buffer_bytes = std::min(kFlushBufferBytesMax, options.memory_budget / kFlushShare),
          .compression = options.segment_compression,
          .pack_bytes_min = tuning.pack_block_bytes_min};
}

}  // namespace

LogStore::Impl::Impl(const LogStoreOptions& store_options, const log::StorageTuning& store_tuning,
                     Rng store_rng, log::Common* others)
    : options(store_options),
      tuning(store_tuning),
      rng(store_rng),
      log_(store_options.log_sink),
      own_common(others != nullptr ? nullptr
                                   : std::make_unique<log::Common>(store_options.memory_budget)),
      common(others != nullptr ? *others : *own_common),
      budget(common.budget),
      block_pool(budget) {
  options.wal_max_size_bytes = RoundUp(WalFileBytes(options), wal::kBlockBytes);
}

LogStore::Impl::~Impl() {
  shards.reset();  // They count in the budget of this one.
  if (ForkGeneration() != fork_generation) {
    // The threads stayed in the parent: there is nothing to stop and nothing to write.
    (void)own_executor.release();
    (void)flusher.release();
    (void)wal.release();
    (void)pool.release();
    (void)away_pool.release();
    (void)port.release();
    return;
  }
  CHECK(writers.empty());
  CHECK(pins.load() == 0);
  if (started) (void)Close(Deadline::max());
}

log::StorageEnvironment LogStore::Impl::Environment() const {
  return {*file_system, *clock, *executor, rng, make_stat_memory};
}

Status LogStore::Impl::Open(log::StorageEnvironment environment) {
  TRY(OpenFiles(environment));
  shards = std::make_unique<log::Shards>(*this);
  return shards->Open();
}

Status LogStore::Impl::OpenFiles(log::StorageEnvironment environment) {
  WatchForks();
  fork_generation = ForkGeneration();
  file_system = &environment.file_system;
  clock = &environment.clock;
  executor = &environment.executor;
  make_stat_memory = environment.stat_memory;
  TRY(OpenDirectories());
  TRY(OpenSystem());
  TRY(MakeFolders());
  TellFileSystems();
  sync_method = TRY(Resolve(options.wal_sync_method));
  return {};
}

Status LogStore::Impl::Recover() {
  const std::int64_t begin = clock->NowNs();
  const std::uint64_t file_size = options.wal_max_size_bytes;
  log::AttemptFile attempt(*data_dir);
  const bool left_out = !attempt.left_out().is_nil();
  TRY(state.Load(*data_dir, system, rows, &attempt));
  const wal::RecoveryOptions recovery_options{
      .system = system,
      .file_size_bytes = file_size,
      .row_file_bytes = std::min(file_size, kRowFileBytesMax),
      .spare_files = tuning.spare_files,
      .sync_method = sync_method.load(),
      .packs = options.wal_compression != Compression::kNone,
      // What is left out would not be copied, so nothing is moved then.
      .merge_bytes_max = left_out ? 0 : std::min(file_size / 4, kMergeBytesMax),
      .covered = state.covered,
      .seeds = &state.seeds,
      .after = wal_before ? &*wal_before : nullptr,
      .away = failover_dir.get(),
      .left_out = attempt.left_out(),
      .note = [](void* argument,
                 const ServerUid& uid) { static_cast<log::AttemptFile*>(argument)->Note(uid); },
      .note_argument = &attempt};
  wal::Recovery recovery(*wal_dir, recovery_options, *clock, rng);
  TRY(recovery.Scan(rows));
  for (const ServerUid& uid : state.FindLost(rows, recovery.replay())) {
    (void)recovery.replay().SlotOf({.uid = uid, .cluster_id = 0});
  }
  state.DropHealed(rows, recovery.replay());
  payload_bytes_max = wal::MaxPayloadBytes(file_size);
  entry_bytes_max = std::min(payload_bytes_max, options.memory_budget / kEntryShare);
  TRY(CheckRowsFit());
  if (stride == 1) TRY(CheckSalvage());  // Else another may have what this one has not.
  const bool left_out_known = recovery.replay().Find(attempt.left_out()) != nullptr;
  // One that was deleted since has nothing live.
  const bool left_out_lives = left_out && left_out_known && !rows.Deleted(attempt.left_out());
  if (mending && left_out_lives) {
    return Error{ErrorCode::kRefused,
                 "recovery died twice on log '" + NameOf(attempt.left_out()) +
                     "', which is left out since; what of it is live is not known, so nothing can "
                     "be moved",
                 "start once with recovery_mode salvage and salvage_servers naming it: it begins "
                 "anew, empty"};
  }
  std::vector<wal::RowCopy> extra;
  TRY(Judge(recovery, attempt.left_out(), extra));
  ReportFindings(recovery);
  const std::set<std::uint64_t> kept = log::KeepDamage(
      {*data_dir, *wal_dir, failover_dir.get(), state.meta_dir.get(), recovery.files()},
      report.findings);
  MakePools(recovery.next_file_number());
  for (const std::uint64_t number : kept) KeepFile(number);
  if (left_out_lives) TellLeftOut(recovery, attempt.left_out());
  recovery.OfferSpares(*pool);
  TRY(recovery.Commit(*pool, extra, rows));
  const Status prepared = pool->Prepare();
  // A store that cannot have them begins with a disk that is full [B3]; one that has begun goes on.
  if (!prepared.ok() && report.created) return prepared;
  if (left_out_lives) {  // And the new one, if it has a copy.
    for (const std::uint64_t number : recovery.left_out_files()) KeepFile(number);
  }
  TRY(LeaveFailover(recovery.away_counts() || !kept.empty() || left_out_lives));
  FillReport(recovery, clock->NowNs() - begin);
  StartThreads(recovery);
  if (left_out && !left_out_known) attempt.ForgetLeftOut();
  attempt.Done();
  return {};
}

void LogStore::Impl::MakePools(std::uint64_t next_number) {
  const std::uint64_t file_size = options.wal_max_size_bytes;
  pool = std::make_unique<wal::FilePool>(
      wal::FilePoolOptions{.system = system,
                           .file_size_bytes = file_size,
                           .spare_files = tuning.spare_files,
                           .row_file_bytes = std::min(file_size, kRowFileBytesMax),
                           .row_files = tuning.row_files,
                           .next_number = next_number},
      wal::FilePool::Environment{*wal_dir, *executor, *clock, log_});
  if (failover_dir != nullptr) {
    away_pool = std::make_unique<wal::FilePool>(
        wal::FilePoolOptions{
            .system = system, .file_size_bytes = file_size, .spare_files = 0, .home = pool.get()},
        wal::FilePool::Environment{*failover_dir, *executor, *clock, log_});
    pool->set_away(away_pool.get());
  }
}

/// Rows are written again before their file is recycled, so the largest must fit into a new one.
Status LogStore::Impl::CheckRowsFit() const {
  const std::size_t largest = rows.With([](const meta::Table& table) {
    std::size_t bytes = 0;
    for (const auto& [uid, server] : table.servers()) {
      for (const auto& [key, value] : server.values) {
        bytes = std::max(bytes, key.size() + value.value.size());
      }
    }
    return bytes;
  });
  constexpr std::size_t kRowOverheadBytes = 64;
  if (largest + kRowOverheadBytes <= payload_bytes_max) return {};
  return Error{ErrorCode::kConfiguration,
               "wal_max_size_bytes of " + std::to_string(options.wal_max_size_bytes) + " allows " +
                   std::to_string(payload_bytes_max) + " bytes a record, but a stored value has " +
                   std::to_string(largest),
               "raise wal_max_size_bytes to at least " +
                   std::to_string(RoundUp((largest + 4096) * 4 + 65536, wal::kBlockBytes))};
}

std::string LogStore::Impl::NameOf(const ServerUid& uid) const {
  return rows.With([&](const meta::Table& table) {
    const meta::ServerRows* server = table.Find(uid);
    return server != nullptr && server->has(meta::RowKind::kIdentity) ? server->identity.name
                                                                      : uid.ToString();
  });
}

Status LogStore::Impl::RefuseDamage(const wal::Recovery& recovery) const {
  const auto refusal = [](const std::string& file, std::uint64_t offset, const std::string& why) {
    return Error{ErrorCode::kCorruption, file + ", offset " + std::to_string(offset) + ": " + why,
                 "recovery_mode strict refuses to start on damage; run `duramen verify`, or "
                 "start with recovery_mode contain"};
  };
  const auto refused = [](FindingKind kind) {
    return kind == FindingKind::kDamage || kind == FindingKind::kMissingFile ||
           kind == FindingKind::kUnprovenTail;
  };
  for (const wal::WalFinding& finding : recovery.findings()) {
    if (!refused(finding.kind)) continue;
    return refusal(wal::FileName(finding.file), finding.offset, finding.sentence);
  }
  for (const Finding& finding : state.findings) {
    if (refused(finding.kind)) return refusal(finding.file, finding.offset_bytes, finding.sentence);
  }
  return {};
}

/// Who is faulty from now on; durable before the new header hides the damage [A3].
Status LogStore::Impl::Judge(wal::Recovery& recovery, const ServerUid& left_out,
                             std::vector<wal::RowCopy>& extra) {
  if (options.recovery_mode == RecoveryMode::kStrict) TRY(RefuseDamage(recovery));
  for (const wal::ReplayedLog& log : recovery.replay().logs()) {
    const auto [fault, sequence, known] = rows.With([&](const meta::Table& table) {
      const meta::ServerRows* server = table.Find(log.owner.uid);
      if (server == nullptr) return std::tuple(meta::FaultyRow{}, std::uint64_t{0}, false);
      const bool there = server->has(meta::RowKind::kIdentity) || server->deleted();
      // A deleted log has nothing left to lose.
      meta::FaultyRow row = server->deleted() ? meta::FaultyRow{1, 0, true, ""} : server->faulty;
      return std::tuple(row, server->highest_sequence, there);
    });
    meta::FaultyRow found;
    if (!log.holes.empty()) {
      found.from = log.holes.front().begin;
      found.to = log.holes.back().end - 1;
    }
    if (log.suspect) {
      found.from = found.from == 0 ? log.bounds.end : found.from;
      found.to = 0;
    }
    const bool lost = state.lost.contains(log.owner.uid);
    if (lost) {  // Not even where it ended is known.
      found.from = 1;
      found.to = 0;
    }
    found.rows_lost = log.rows_lost || !known || lost;
    const bool poison = !left_out.is_nil() && log.owner.uid == left_out;
    if (poison) found.from = 1;
    // Nobody repairs it under its own uid: the next start would leave out what it was given, too.
    found.rows_lost = found.rows_lost || fault.rows_lost || poison;
    if (fault.from != 0) {
      const bool unknown = fault.to == 0 || (found.from != 0 && found.to == 0);
      found.to = unknown ? 0 : std::max(found.to, fault.to);
      found.from = found.from == 0 ? fault.from : std::min(found.from, fault.from);
    }
    const bool news =
        found.from != fault.from || found.to != fault.to || found.rows_lost != fault.rows_lost;
    if (!found.faulty() || !news) continue;
    found.reason = known ? "acknowledged records were lost to damage on disk"
                         : "its registration was lost to damage on disk";
    if (poison) found.reason = "recovery died on it twice, so it was left out";
    extra.push_back({.owner = log.owner,
                     .kind = static_cast<std::uint8_t>(meta::RowKind::kFaulty),
                     .payload = log::RowPayload(sequence + 1, found)});
  }
  return {};
}

void LogStore::Impl::ReportFindings(const wal::Recovery& recovery) {
  report.findings.insert(report.findings.end(), state.findings.begin(), state.findings.end());
  for (const wal::WalFinding& finding : recovery.findings()) {
    Finding told{.kind = finding.kind,
                 .file = wal::FileName(finding.file),
                 .offset_bytes = finding.offset,
                 .size_bytes = finding.bytes,
                 .batch = finding.batch,
                 .sentence = finding.sentence,
                 .touched = {}};
    for (const wal::TouchedLog& touched : finding.touched) {
      told.touched.push_back({NameOf(touched.uid), touched.first, touched.last, touched.rows});
    }
    report.findings.push_back(std::move(told));
  }
}

void LogStore::Impl::FillReport(wal::Recovery& recovery, std::int64_t nanoseconds) {
  report.boot = recovery.boot();
  report.wal_files = recovery.verdict().chain.size();
  report.batches = recovery.verdict().batches.size();
  report.entries = recovery.replay().entries();
  report.proven_batch = recovery.verdict().proven;
  report.copied_batches = recovery.copied_batches();
  report.bytes_read = recovery.bytes_read();
  report.nanoseconds = nanoseconds;
  log_.Write(report.damaged() ? LogLevel::kWarning : LogLevel::kInfo, "store.recovered",
             report.ToText(), {});
}

/// What is live of it is not known, so the WAL files that hold any of it are put aside when they
/// are retired, and not written over: the others go on, and what it had is there for people [B9].
void LogStore::Impl::TellLeftOut(const wal::Recovery& recovery, const ServerUid& uid) {
  Finding finding{.kind = FindingKind::kDamage,
                  .file = std::string(log::kServersName) + "/" + uid.ToString(),
                  .sentence =
                      "recovery died on the log twice, so it is left out and faulty; "
                      "recovery_mode salvage begins it anew, empty",
                  .touched = {{NameOf(uid), 1, 0, false}}};
  report.findings.push_back(finding);
  for (const std::uint64_t number : recovery.left_out_files()) {
    KeepFile(number);
    finding.file = wal::FileName(number);
    finding.sentence =
        "holds entries or marks of a log that is left out; the file is not recycled, and is "
        "renamed when nothing else needs it";
    finding.kept_in = wal::KeptFileName(number);
    report.findings.push_back(finding);
  }
}

/// In whichever directory it lies.
void LogStore::Impl::KeepFile(std::uint64_t number) {
  pool->Keep(number);
  if (away_pool != nullptr) away_pool->Keep(number);
}

void LogStore::Impl::StartThreads(wal::Recovery& recovery) {
  MakeStats(recovery.boot());
  const wal::WalOptions wal_options{
      .system = system,
      .boot = recovery.boot(),
      .max_entries = options.wal_max_entries,
      .max_files = options.wal_max_files,
      .max_batch_records = options.wal_max_batch_size,
      .batch_bytes_max = tuning.batch_bytes_max,
      .ring_bytes_max = tuning.ring_bytes + kRecordOverhead * tuning.ring_records,
      .alone_bytes_max = tuning.alone_bytes_max,
      .idle_bytes_max = options.memory_budget / kIdleShare / options.wal_shards,
      .sync_method = sync_method.load(),
      .pack_bytes_min =
          options.wal_compression == Compression::kNone ? 0 : tuning.pack_run_bytes_min,
      .pipeline_depth = static_cast<std::uint32_t>(options.wal_pipeline_depth),
      .depth_adapts = tuning.depth_adapts,
      .seal_after_ns = tuning.seal_after_ns,
      .stall_ns = static_cast<std::int64_t>(options.wal_stall_threshold) * 1'000'000,
      .failover_ns = static_cast<std::int64_t>(options.wal_failover_after) * 1'000'000,
      .max_age_ns = static_cast<std::int64_t>(options.wal_max_age) * 1'000'000'000,
      .on_wal_down = options.on_wal_down};
  segment_files = std::make_unique<segments::OpenFiles>(*state.servers_dir);
  flusher = std::make_unique<log::Flusher>(
      log::FlushOptions{.system = system,
                        .limits = SegmentLimitsOf(options, tuning),
                        .files_synced_singly = tuning.files_synced_singly,
                        .files_open_max = tuning.files_open_max,
                        .delay_ns = static_cast<std::int64_t>(options.flush_delay) * 1'000'000,
                        .threads = static_cast<std::uint32_t>(options.flush_threads),
                        .bytes_per_s = options.flush_bytes_per_s,
                        .wal_files_max = options.wal_max_files},
      log::Flusher::Environment{*state.servers_dir, *executor, *clock, landed, rows, *this,
                                *segment_files, log_, stats->flush, budget,
                                stats->state.memory_flush_bytes},
      state, Rng(rng.Next()));
  std::vector<const FileLock*> locks = {data_lock.get(), wal_lock.get()};
  if (failover_lock != nullptr) locks.push_back(failover_lock.get());
  wal = std::make_unique<wal::Wal>(wal_options,
                                   wal::Wal::Environment{.clock = *clock,
                                                         .executor = *executor,
                                                         .file_system = *file_system,
                                                         .directory = *wal_dir,
                                                         .locks = std::move(locks),
                                                         .pool = *pool,
                                                         .away = failover_dir.get(),
                                                         .probe = probe_file.get(),
                                                         .landed = landed,
                                                         .keeper = rows,
                                                         .sink = flusher.get(),
                                                         .budget = budget,
                                                         .log = log_,
                                                         .stats = stats->wal,
                                                         .status = *wal_status,
                                                         .follower = &follower,
                                                         .asleep = wal_asleep},
                                   recovery, Rng(rng.Next()));
  BuildLogs(recovery);
  TellStart();
  for (wal::FilePool* one : {pool.get(), away_pool.get()}) {
    if (one == nullptr) continue;
    one->set_waiter(wal.get());
    executor->Start(*one);
    executor->Wake(*one);
  }
  flusher->StartHelpers();
  executor->Start(*flusher);
  executor->Start(*wal);
  started = true;
}

void LogStore::Impl::OnSegments(std::uint32_t slot, const ServerUid& uid,
                                const segments::SegmentList& list) {
  log::ServerLog& log = *At(slot);
  const std::lock_guard guard(log.mutex);
  if (log.owner.uid == uid) log.segments = list;
}

void LogStore::Impl::OnFault(const ServerUid& uid, const meta::FaultyRow& fault) {
  const std::lock_guard guard(mutex_);
  const auto found = slot_of.find(uid);
  if (found == slot_of.end()) return;
  log::ServerLog& log = *At(found->second);
  const std::lock_guard log_guard(log.mutex);
  log.fault = fault;
  SetFaulty(log, true);
}

void LogStore::Impl::OnRetired(std::uint64_t file) {
  wal_status->flushed_upto.store(file, std::memory_order_release);
  wal->Retire(file);
}

bool LogStore::Impl::FlushIsUrgent() const {
  if (flush_now.load(std::memory_order_relaxed)) return true;
  return budget.AboveHighWater() || wal->refuses_entries().has_value();
}

bool LogStore::Impl::EntriesWaitForFlush() const {
  return wal->refuses_entries() == ErrorCode::kOverloaded;
}

void LogStore::Impl::BuildLogs(wal::Recovery& recovery) {
  port = std::make_unique<log::OwnWal>(*wal, *executor, *pool);
  row_bytes_max = wal->large_row_bytes();
  const std::lock_guard guard(mutex_);
  for (const wal::ReplayedLog& replayed : recovery.replay().logs()) {
    slot_count = std::max(slot_count, replayed.slot + 1);
    slot_of[replayed.owner.uid] = replayed.slot;
    RestoreLog(replayed);
  }
  const std::uint64_t highest =
      rows.With([](const meta::Table& table) { return table.highest_incarnation(); });
  common.incarnation = std::max(common.incarnation.load(), highest);
  stats->state.logs.Set(names.size());
}

void LogStore::Impl::RestoreLog(const wal::ReplayedLog& replayed) {
  log::ServerLog& log = MakeSlot(replayed.slot);
  log.owner = replayed.owner;
  const bool deleted = rows.With([&](const meta::Table& table) {
    const meta::ServerRows* server = table.Find(replayed.owner.uid);
    if (server == nullptr) return false;
    log.name = server->identity.name;
    log.incarnation = server->identity.incarnation;
    log.vote = {server->vote.term, server->vote.voted_for};
    log.last_applied = std::min(server->last_applied.index, replayed.bounds.end - 1);
    log.row_sequence = server->highest_sequence;
    log.fault = server->faulty;
    const auto flushed = state.servers.find(replayed.owner.uid);
    if (flushed != state.servers.end()) log.segments = flushed->second.list;
    for (const auto& [key, value] : server->values) {
      if (!value.value.empty()) log.values[key] = value.value;
    }
    return server->deleted();
  });
  if (deleted) {
    const wal::LandedIndex::Change drop{
        wal::LandedIndex::Change::Kind::kReset, replayed.slot, 1, {}};
    landed.Apply({&drop, 1});
    wal->CloseSlot(replayed.slot);
    return;
  }
  if (log.name.empty()) log.name = replayed.owner.uid.ToString();
  SetFaulty(log, log.fault.faulty());
  log.epoch.store(replayed.bounds.epoch, std::memory_order_release);
  log.written_end.store(replayed.bounds.end, std::memory_order_release);
  const wal::SlotBounds& bounds = replayed.bounds;
  std::vector<memtable::TermRun> runs{{bounds.begin - 1, bounds.term_before_begin}};
  for (const wal::TermRun& run : replayed.terms) {
    const Index first = std::max(run.first, bounds.begin);
    if (first >= bounds.end) break;
    if (runs.back().first == first) {
      runs.back().term = run.term;
    } else {
      runs.push_back({first, run.term});
    }
  }
  log.table.Restore({.begin = bounds.begin, .end = bounds.end}, runs);
  log.deleted.store(false, std::memory_order_release);
  // Of two incarnations of a name the newest wins [C9].
  const auto [named, added] = names.try_emplace(log.name, replayed.slot);
  if (!added && At(named->second)->incarnation < log.incarnation) named->second = replayed.slot;
}

Status LogStore::Impl::Close(Deadline deadline) {
  if (!started) return {};
  if (shared != nullptr) return CloseRemote(deadline);
  struct Draining {
    Impl* impl;
  } draining{this};
  const auto drained = [](void* argument) {
    Impl* self = static_cast<Draining*>(argument)->impl;
    if (self->wal->stuck()) return true;
    const std::lock_guard guard(self->mutex_);
    return std::all_of(self->writers.begin(), self->writers.end(), [](const Writer::Impl* writer) {
      return writer->producer.released() >= writer->producer.committed();
    });
  };
  executor->Wake(*wal);
  const bool all = executor->Await(drained, &draining, deadline);
  const bool down = wal->stuck();
  closed.store(true);
  executor->Stop(*wal);
  executor->Stop(*flusher);
  flusher->StopHelpers();
  executor->Stop(*pool);
  if (away_pool != nullptr) executor->Stop(*away_pool);
  const Status sealed = wal->Finish();
  if (sealed.ok()) wal_end = wal->End();
  wal->Detach();
  started = false;
  executor->Progress();
  if (down) {
    return Error{ErrorCode::kWalDown, "the WAL could not write: " + wal->state_reason(),
                 "what was not acknowledged may be gone"};
  }
  if (!all) {
    return Error{ErrorCode::kTimeout, "not everything accepted was durable before the deadline",
                 "what was not acknowledged may be gone"};
  }
  stat_memory->Withdraw();  // Else it is there to be looked at.
  return sealed;
}

/// What `wanted` comes to on this device.
Result<SyncMethod> LogStore::Impl::Resolve(SyncMethod wanted) const {
  if (wanted == SyncMethod::kAuto) {
    const log::MethodFile method = TRY(log::ChooseMethod({*wal_dir, *clock, system}, log_));
    const bool both = method.method != SyncMethod::kDsync || failover_dir == nullptr ||
                      failover_dir->Open(log::kIdentityName, OpenFor::kDirect).ok();
    return both ? method.method : SyncMethod::kDatasync;
  }
  if (wanted != SyncMethod::kDsync) return wanted;
  auto direct = wal_dir->Open(log::kIdentityName, OpenFor::kDirect);
  if (direct.ok() && failover_dir != nullptr) {
    direct = failover_dir->Open(log::kIdentityName, OpenFor::kDirect);
  }
  if (direct.ok()) return wanted;
  if (direct.error().code != ErrorCode::kUnsupported) return direct.error();
  return Error{ErrorCode::kConfiguration, "wal_sync_method is dsync, but " + direct.error().message,
               "set wal_sync_method to datasync or auto, or move wal_dir to a file system with "
               "direct I/O"};
}

Status LogStore::Impl::SetSyncMethod(SyncMethod wanted) {
  if (!started) return Error{ErrorCode::kRefused, "the store is closed", ""};
  if (shared != nullptr) {
    return Error{ErrorCode::kConfiguration, "the WAL is another process, which has its own method",
                 "set wal_sync_method there"};
  }
  const SyncMethod method = TRY(Resolve(wanted));
  sync_method = method;
  wal->SetMethod(method);
  return {};
}

LogStore::LogStore(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
LogStore::LogStore(LogStore&& other) noexcept = default;
LogStore::~LogStore() = default;

Status LogStore::Close(Deadline deadline) { return impl_->shards->Close(deadline); }

Status LogStore::SetSyncMethod(SyncMethod method) { return impl_->shards->SetSyncMethod(method); }

Result<Writer> LogStore::NewWriter() { return Writer(TRY(impl_->shards->MakeWriter())); }

Result<Writer> LogStore::NewWriter(std::uint32_t shard) {
  return Writer(TRY(impl_->shards->MakeWriter(shard)));
}

std::uint32_t LogStore::shards() const noexcept {
  return static_cast<std::uint32_t>(impl_->shards->all().size());
}

Result<std::uint32_t> LogStore::ShardOf(std::string_view name) const {
  return impl_->shards->ShardOf(name);
}

Result<LogRef> LogStore::OpenLog(Writer& writer, std::string_view name, OpenMode mode) {
  return impl_->shards->OpenLog(*writer.impl_, name, mode);
}

Pressure LogStore::pressure() const noexcept {
  for (const Impl* one : impl_->shards->all()) {
    if (one->port->refuses_entries()) return Pressure::kOverloaded;
  }
  return impl_->budget.AboveHighWater() ? Pressure::kHigh : Pressure::kNone;
}

const RecoveryReport& LogStore::recovery_report() const noexcept { return impl_->shards->report(); }

}  // namespace v1

namespace log {

Common::Common(std::uint64_t budget_bytes) : budget(budget_bytes, budget_bytes / kReserveShare) {}

Status ValidateStoreOptions(const LogStoreOptions& options, const StorageTuning& tuning) {
  const MemoryNeeds needs{.ring_bytes = RingBytes(tuning.ring_records),
                          .in_flight_bytes = tuning.ring_bytes,
                          .chunk_bytes = tuning.chunk_bytes};
  return ValidateOptions(options, needs);
}

Result<LogStore> OpenEmbedded(const LogStoreOptions& options) {
  TRY(ValidateOptions(options));
  TRY(CheckDirectories(WithRealPaths(options)));
  auto impl = std::make_unique<LogStore::Impl>(options, StorageTuning{}, Rng::FromSystem());
  impl->own_file_system = std::make_unique<PosixFileSystem>();
  impl->own_clock = std::make_unique<SystemClock>();
  impl->own_executor = std::make_unique<ThreadExecutor>();
  TRY(impl->Open({*impl->own_file_system, *impl->own_clock, *impl->own_executor, impl->rng,
                  &StatMemory::Shared}));
  return LogStore(std::move(impl));
}

Result<LogStore> OpenLogStore(const LogStoreOptions& options, StorageEnvironment environment,
                              const StorageTuning& tuning) {
  TRY(ValidateStoreOptions(options, tuning));
  auto impl = std::make_unique<LogStore::Impl>(options, tuning, environment.rng);
  TRY(impl->Open(environment));
  return LogStore(std::move(impl));
}

}  // namespace log
}  // namespace duramen
