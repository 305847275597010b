#include "log/flusher.h"

#include <algorithm>
#include <map>

#include "base/check.h"
#include "base/planted.h"
#include "base/try.h"
#include "segments/scan.h"

namespace duramen::log {
namespace {

constexpr std::size_t kLogsPerStep = 64;
constexpr std::size_t kHandedOutMax = 64;  // logs, where there are helpers
constexpr std::int64_t kRetryNs = 1'000'000'000;
constexpr std::int64_t kLookAgainNs = 50'000'000;
constexpr std::int64_t kAllWaitNsMax = 60'000'000'000;
constexpr std::int64_t kPauseNsMax = 50'000'000;  // of a paced flush, before it looks who waits

// The rows, those that are written, and the same as bytes.
constexpr std::uint64_t kCheckpointCopies = 3;

std::uint64_t BytesOf(const std::vector<meta::CheckpointServer>& servers) {
  std::uint64_t bytes = servers.capacity() * sizeof(meta::CheckpointServer);
  for (const meta::CheckpointServer& server : servers) {
    for (const auto& [key, value] : server.rows.values) bytes += key.size() + value.value.size();
  }
  return bytes;
}

std::uint64_t BytesOf(const wal::ClosedGeneration& generation) {
  return generation.logs.capacity() * sizeof(wal::ClosedLog);
}

}  // namespace

Flusher::Flusher(const FlushOptions& options, const Environment& environment, DurableState& state,
                 Rng rng)
    : options_(options),
      environment_(environment),
      state_(state),
      filling_since_ns_(environment.clock.NowNs()),
      round_bytes_(environment.budget, environment.memory_bytes),
      waiting_bytes_(environment.budget, environment.memory_bytes),
      counters_(environment.stats),
      pool_({.threads = options.threads, .executor = environment.executor, .owner = *this},
            {.system = options.system,
             .limits = options.limits,
             .servers_dir = environment.servers_dir,
             .landed = environment.landed,
             .rows = environment.rows,
             .files = environment.files,
             .budget = environment.budget,
             .memory_bytes = environment.memory_bytes,
             .patience = *this},
            rng) {
  TellSegments();
}

/// Two wait at most: a later one holds all that the one before it did.
void Flusher::OnClosed(wal::ClosedGeneration generation) {
  {
    const std::lock_guard lock(mutex_);
    const std::int64_t now_ns = environment_.clock.NowNs();
    if (waiting_.size() == 2) {
      waiting_[1].since_ns = waiting_[0].since_ns;
      waiting_[1].count += waiting_[0].count;
      waiting_.pop_front();
    }
    newest_closed_[static_cast<std::size_t>(generation.place)] = generation.end.file;
    waiting_.push_back({std::move(generation), now_ns, now_ns, 1});
    CountWaiting();
    if (counters_.lag_since.value() == 0) counters_.lag_since.SetTime(now_ns);
    counters_.waiting_files.Set(counters_.waiting_files.value() + 1);
    idle_.store(false, std::memory_order_release);
  }
  environment_.executor.Wake(*this);
}

void Flusher::Repair(FlushRepairs repairs) {
  const std::lock_guard lock(mutex_);
  repairs_ = std::move(repairs);
}

std::optional<Error> Flusher::failure() const {
  const std::lock_guard lock(mutex_);
  return failure_;
}

std::int64_t Flusher::Step() {
  if (stage_ != Stage::kIdle && environment_.clock.NowNs() < retry_at_ns_) return retry_at_ns_;
  switch (stage_) {
    case Stage::kIdle:
      return Begin();
    case Stage::kInspect:
      return Inspect();
    case Stage::kWrite:
      return Write();
    case Stage::kSync:
      return Sync();
    case Stage::kCheckpoint:
      return Checkpoint();
    case Stage::kHandOver:
      return HandOver();
  }
  return kIdle;
}

std::int64_t Flusher::Begin() {
  round_ = {};
  round_.names_changed = !names_durable_;
  {
    const std::lock_guard lock(mutex_);
    if (waiting_.empty()) {
      idle_.store(true, std::memory_order_release);
      return kIdle;
    }
    const std::int64_t now_ns = environment_.clock.NowNs();
    const std::int64_t due_ns = DueNs();
    if (now_ns < due_ns) return std::min(due_ns, now_ns + kLookAgainNs);  // Memory may fill.
    round_.generation = std::move(waiting_.front().generation);
    round_.closed_ns = waiting_.front().closed_ns;
    round_.generations = waiting_.front().count;
    waiting_.pop_front();
    CountWaiting();
    silent_since_ = {};
    all_wait_since_ns_.reset();
    if (repairs_ && repairs_->file <= round_.generation.end.file) {
      round_.repairs = std::exchange(repairs_, std::nullopt);
    }
  }
  round_.begun_ns = environment_.clock.NowNs();
  // Only what is durable is in there, so no floor is used before its mark is written [A9].
  wal::LandedIndex::Due due = environment_.landed.DueUpTo(round_.generation.end.file);
  round_.todo = std::move(due.slots);
  round_.bytes = due.bytes;
  std::reverse(round_.todo.begin(), round_.todo.end());
  CountRound(0);
  SetPace();
  stage_ = round_.repairs ? Stage::kInspect : Stage::kWrite;
  return kAgain;
}

/// When the first that waits is flushed. A queue's entries are truncated soon after they are
/// written: those that are gone by then cost no segment file, whose making and removing is most of
/// a flush of many logs. Requires: the lock, and one that waits.
std::int64_t Flusher::DueNs() const {
  const bool pressed = waiting_.size() > 1 || repairs_ || environment_.store.FlushIsUrgent();
  return waiting_.front().since_ns + (pressed ? 0 : options_.delay_ns);
}

/// Logs whose segments are written anew take part in the round whatever the WAL holds of them.
std::int64_t Flusher::Inspect() {
  const std::vector<wal::ClosedLog>& logs = round_.generation.logs;
  for (std::size_t done = 0; done < kLogsPerStep; ++done) {
    if (round_.inspected == logs.size()) {
      stage_ = Stage::kWrite;
      return kAgain;
    }
    const std::uint32_t slot = round_.inspected;
    const Result<bool> needed = NeedsRewrite(logs[slot]);
    if (!needed.ok()) return Retry("the inspection of segments", needed.error());
    ++round_.inspected;
    if (!*needed) continue;
    round_.rewrite.insert(slot);
    if (std::ranges::find(round_.todo, slot) == round_.todo.end()) round_.todo.push_back(slot);
  }
  return kAgain;
}

/// A log without a row of its segments keeps them as they are: nobody knows what counts [A18].
Result<bool> Flusher::NeedsRewrite(const wal::ClosedLog& log) const {
  const ServerUid& uid = log.owner.uid;
  if (!log.open || environment_.rows.Deleted(uid)) return false;
  const bool has_entries = log.bounds.begin < log.bounds.end;
  if (has_entries && round_.repairs->fill.contains(uid)) return true;
  if (!round_.repairs->rewrite_damaged) return false;
  const auto found = state_.servers.find(uid);
  if (found == state_.servers.end()) {  // It has no directory; should it have one?
    return environment_.rows.With([&](const meta::Table& table) {
      const meta::ServerRows* server = table.Find(uid);
      return server != nullptr && server->has(meta::RowKind::kFlushed);
    });
  }
  const ServerSegments& server = found->second;
  if (server.flushed.segment == 0) return false;
  const std::unique_ptr<Directory> directory =
      TRY(environment_.servers_dir.OpenDirectory(uid.ToString()));
  const segments::ScanRequest request{.directory = *directory,
                                      .identity = server.identity,
                                      .authority = server.flushed,
                                      .begin = log.bounds.begin};
  const segments::ScanResult scan = TRY(segments::ScanServer(request));
  const bool wrong =
      std::any_of(scan.findings.begin(), scan.findings.end(), [](const segments::Finding& finding) {
        return finding.kind == segments::FindingKind::kDamage ||
               finding.kind == segments::FindingKind::kHarmless;
      });
  if (wrong) return true;
  const segments::VerifyResult verified = TRY(segments::VerifyServer(request, scan.list));
  return !verified.findings.empty();
}

/// What a round holds of the budget, so that it is known where memory is.
void Flusher::CountRound(std::uint64_t checkpoint_bytes) {
  round_bytes_.Set(BytesOf(round_.generation) + checkpoint_bytes);
}

/// Under the lock.
void Flusher::CountWaiting() {
  std::uint64_t bytes = 0;
  for (const Waiting& one : waiting_) bytes += BytesOf(one.generation);
  waiting_bytes_.Set(bytes);
}

void Flusher::SetPace() {
  const std::int64_t filled_in_ns = round_.closed_ns - filling_since_ns_;
  filling_since_ns_ = round_.closed_ns;
  std::uint64_t rate = options_.bytes_per_s;
  if (rate == 0) rate = FollowingRate(round_.bytes, filled_in_ns);
  pace_.SetRate(rate);
  counters_.rate.Set(rate);
}

/// From when on another log may be begun.
std::int64_t Flusher::ReadyNs(std::int64_t now_ns) {
  const std::int64_t ready_ns = pace_.ReadyNs();
  if (ready_ns <= now_ns) return now_ns;
  // A flush that is paced must never be what writers wait for.
  const bool many = counters_.waiting_files.value() >= (options_.wal_files_max + 1) / 2;
  if (many || round_.repairs || environment_.store.FlushIsUrgent()) {
    pace_.Forgive();
    return now_ns;
  }
  return std::min(ready_ns, now_ns + kPauseNsMax);
}

std::int64_t Flusher::Write() {
  if (throttled_since_ns_ != 0) {
    const std::int64_t ns = environment_.clock.NowNs() - throttled_since_ns_;
    counters_.throttled_ns.Add(static_cast<std::uint64_t>(ns));
    throttled_since_ns_ = 0;
  }
  // With helpers one at a time: what the others do meanwhile is for the executor to say.
  std::size_t left = pool_.has_helpers() ? 1 : kLogsPerStep;
  std::int64_t ready_ns = kIdle;
  bool ran = true;
  for (; left > 0 && ran; --left) {
    Collect();
    if (round_.files_open >= options_.files_open_max && pool_.unfinished() == 0) {
      if (round_.singly || !file_system_syncs_) {
        stage_ = Stage::kSync;  // It comes back for the rest.
        return kAgain;
      }
      // One sync of the file system covers closed files too; the kernel remembers their errors.
      CloseFiles();
    }
    ready_ns = HandOut();
    ran = pool_.RunOne();
  }
  Collect();
  if (ran) return kAgain;
  if (pool_.unfinished() > 0) {
    if (Planted(PlantedBug::kSyncedWhileWriting) && round_.todo.empty() && !round_.synced_early) {
      round_.synced_early = environment_.servers_dir.SyncFileSystem().ok();
    }
    return ready_ns;
  }
  if (round_.todo.empty()) {
    stage_ = Stage::kSync;
    return kAgain;
  }
  if (ready_ns == kIdle) return kAgain;
  throttled_since_ns_ = environment_.clock.NowNs();
  return ready_ns;
}

/// As many logs as may be under way at once. Returns when the next one may be: kIdle, if that is
/// not a question of time.
std::int64_t Flusher::HandOut() {
  const std::size_t handed_out_max = pool_.has_helpers() ? kHandedOutMax : 1;
  while (!round_.todo.empty() && pool_.unfinished() < handed_out_max &&
         round_.files_open + pool_.unfinished() < options_.files_open_max) {
    const std::int64_t now_ns = environment_.clock.NowNs();
    const std::int64_t ready_ns = ReadyNs(now_ns);
    if (ready_ns > now_ns) return ready_ns;
    const std::uint32_t slot = round_.todo.back();
    round_.todo.pop_back();
    // As late as can be: what was cut meanwhile need not be written.
    wal::LandedIndex::Survivors survivors =
        environment_.landed.SurvivorsOf(slot, round_.generation.end.file);
    if (survivors.runs.empty() && !round_.rewrite.contains(slot)) continue;
    pace_.Take(now_ns, survivors.LiveBytes());
    pool_.Submit(JobOf(std::move(survivors)));
  }
  return kIdle;
}

/// A log that was deleted since the generation was closed has nothing left to flush.
FlushJob Flusher::JobOf(wal::LandedIndex::Survivors survivors) {
  const std::uint32_t slot = survivors.slot;
  CHECK(slot < round_.generation.logs.size());
  const wal::ClosedLog& log = round_.generation.logs[slot];
  const ServerUid& uid = log.owner.uid;
  ServerSegments& server = state_.servers[uid];
  const bool rewrite = round_.rewrite.contains(slot);
  return {.survivors = std::move(survivors),
          .log = &log,
          .server = &server,
          .name_trusted = server.flushed.segment != 0 || round_.named.contains(uid),
          .may_append = server.may_append && !round_.singly && !rewrite,
          .begin_write_back = pace_.rate() != 0,
          .rewrite = rewrite,
          .fill = rewrite && round_.repairs->fill.contains(uid)};
}

void Flusher::Collect() {
  pool_.Take(done_);
  for (FlushJob& job : done_) {
    const ServerUid& uid = job.log->owner.uid;
    round_.names_changed = round_.names_changed || job.names_changed;
    if (job.named) round_.named.insert(uid);
    if (job.missing) round_.lost.erase(uid);  // Of an attempt that failed.
    const bool lost = job.missing && !job.missing->empty();
    if (lost && !(job.fill && round_.repairs->fill.at(uid))) {
      round_.lost[uid] = std::move(*job.missing);
    }
    if (!job.status.ok()) {
      OnFailed(job);
      continue;
    }
    counters_.logs.Add(1);
    counters_.segments.Add(job.result.files.size());
    counters_.entries.Add(job.entries);
    counters_.bytes.Add(job.result.bytes);
    counters_.packed_from_bytes.Add(job.result.packed_from_bytes);
    counters_.packed_to_bytes.Add(job.result.packed_to_bytes);
    round_.files += job.result.files.size();
    round_.files_open += job.result.files.size();
    round_.written.push_back({job.survivors.slot, std::move(job.result), std::move(job.directory)});
  }
  done_.clear();
}

void Flusher::OnFailed(const FlushJob& job) {
  counters_.failures.Add(1);
  environment_.log.Write(LogLevel::kError, "flush.failed",
                         "a log's segments could not be written; it is tried again",
                         {{"error", job.status.error().message}});
  round_.failed.push_back(job.survivors.slot);
  round_.error = job.status.error();
}

/// Only until the WAL has closed another file on that device; one on the other says nothing of it.
/// It may never do so: the device is dead, or no file is closed because no log's entries are taken
/// any more. For a minute all wait for the logs that have entries there, and not for ever [B1].
bool Flusher::Waits(wal::Place place) {
  const auto at = static_cast<std::size_t>(place);
  const bool all_wait = environment_.store.EntriesWaitForFlush();
  const std::int64_t now_ns = environment_.clock.NowNs();
  const std::lock_guard lock(mutex_);
  if (!all_wait) all_wait_since_ns_.reset();
  if (all_wait && !all_wait_since_ns_) all_wait_since_ns_ = now_ns;
  if (all_wait && now_ns - *all_wait_since_ns_ >= kAllWaitNsMax) return false;
  if (!silent_since_[at]) silent_since_[at] = newest_closed_[at];
  return newest_closed_[at] <= *silent_since_[at];
}

void Flusher::CloseFiles() {
  for (; round_.closed < round_.written.size(); ++round_.closed) {
    Written& written = round_.written[round_.closed];
    written.result.files.clear();
    written.directory.reset();
  }
  round_.files_open = 0;
}

std::int64_t Flusher::Sync() {
  // A closed file can only be synced with the file system.
  const bool many = round_.closed > 0 || round_.files > options_.files_synced_singly;
  if (many && !round_.singly && !Planted(PlantedBug::kNoSegmentSync) && !round_.synced_early) {
    counters_.syncs.Add(1);
    const Status synced = environment_.servers_dir.SyncFileSystem();
    if (!synced.ok() && synced.error().code == ErrorCode::kUnsupported) {
      round_.singly = true;
      return kAgain;
    }
    if (!synced.ok()) {
      // It may have been any of them, and says success the next time.
      WriteAgain();
      return Retry("the sync of the file system", synced.error());
    }
    OnNamesDurable();
    file_system_syncs_ = true;
  } else {
    for (Written& written : round_.written) {
      const Status synced = SyncSingly(written);
      if (synced.ok()) continue;
      state_.servers[round_.generation.logs[written.slot].owner.uid].may_append = false;
      round_.failed.push_back(written.slot);
      round_.error = synced.error();
      written.given_up = true;
      RemoveCreated(written);
    }
    std::erase_if(round_.written, [](const Written& written) { return written.given_up; });
    const Status synced = SyncNames();
    if (!synced.ok()) return Retry("the sync of servers/", synced.error());
  }
  for (Written& written : round_.written) {
    written.result.files.clear();
    written.directory.reset();
    round_.synced.push_back(std::move(written));
  }
  round_.written.clear();
  round_.files = round_.files_open = round_.closed = 0;
  if (!round_.todo.empty()) {
    stage_ = Stage::kWrite;
    return kAgain;
  }
  if (!round_.failed.empty()) {
    stage_ = Stage::kWrite;
    return RetryFailed();
  }
  if (Planted(PlantedBug::kRetiredBeforeCheckpoints)) {
    environment_.store.OnRetired(round_.generation.end.file);
  }
  stage_ = Stage::kCheckpoint;
  return kAgain;
}

/// Floors may have moved meanwhile, which is a way out for a log that cannot be written.
std::int64_t Flusher::RetryFailed() {
  for (const std::uint32_t slot : round_.failed) {
    const bool left =
        !environment_.landed.SurvivorsOf(slot, round_.generation.end.file).runs.empty();
    if (left || round_.rewrite.contains(slot)) round_.todo.push_back(slot);
  }
  round_.failed.clear();
  if (round_.todo.empty()) return kAgain;
  RemoveDead(true);  // A full disk needs what floors have freed since.
  return Retry("the flush of a log", round_.error);
}

Status Flusher::SyncSingly(Written& written) {
  if (Planted(PlantedBug::kNoSegmentSync) || round_.synced_early) return {};
  bool created = false;
  for (const segments::WrittenFile& file : written.result.files) {
    counters_.syncs.Add(1);
    TRY(file.file->SyncData());
    created = created || file.created;
  }
  if (!created) return {};
  counters_.syncs.Add(1);
  return written.directory->Sync();
}

/// Into new files, with a sync for each [B8].
void Flusher::WriteAgain() {
  for (const Written& written : round_.written) {
    state_.servers[round_.generation.logs[written.slot].owner.uid].may_append = false;
    round_.todo.push_back(written.slot);
    RemoveCreated(written);
  }
  round_.written.clear();
  round_.named.clear();  // Their names were lost with the rest.
  round_.files = round_.files_open = round_.closed = 0;
  round_.singly = true;
  stage_ = Stage::kWrite;
}

Status Flusher::SyncNames() {
  if (!round_.names_changed || Planted(PlantedBug::kNoServersSync)) return {};
  if (round_.names_lost) {
    for (const ServerUid& uid : round_.named)
      TRY(SegmentFlush::MakeName(environment_.servers_dir, uid));
  }
  counters_.syncs.Add(1);
  const Status synced = environment_.servers_dir.Sync();
  round_.names_lost = !synced.ok();
  if (synced.ok()) OnNamesDurable();
  return synced;
}

void Flusher::OnNamesDurable() {
  round_.names_changed = false;
  round_.named.clear();
  names_durable_ = true;
}

std::int64_t Flusher::Retry(const char* what, const Error& error) {
  counters_.failures.Add(1);
  {
    const std::lock_guard lock(mutex_);
    failure_ = error;
  }
  environment_.executor.Progress();
  environment_.log.Write(LogLevel::kError, "flush.retry",
                         std::string(what) + " failed; WAL files stay until it succeeds",
                         {{"error", error.message}});
  retry_at_ns_ = environment_.clock.NowNs() + kRetryNs;
  return retry_at_ns_;
}

/// Rows are at least as new as the generation's end, bounds exactly of it.
std::vector<meta::CheckpointServer> Flusher::CheckpointServers() const {
  std::map<ServerUid, const wal::ClosedLog*> logs;
  for (const wal::ClosedLog& log : round_.generation.logs) {
    if (log.open) logs[log.owner.uid] = &log;
  }
  std::map<ServerUid, segments::Flushed> flushed;
  for (const Written& written : round_.synced) {
    flushed[round_.generation.logs[written.slot].owner.uid] = written.result.flushed;
  }
  std::vector<meta::CheckpointServer> servers;
  environment_.rows.With([&](const meta::Table& table) {
    for (const auto& [uid, rows] : table.servers()) {
      meta::CheckpointServer server{uid, rows};
      const auto log = logs.find(uid);
      if (!rows.deleted() && log != logs.end()) {
        const wal::SlotBounds& bounds = log->second->bounds;
        SetBounds(server.rows, {bounds.begin, bounds.term_before_begin, bounds.end,
                                bounds.last_term, bounds.epoch});
        const auto now = flushed.find(uid);
        const auto before = state_.servers.find(uid);
        if (now != flushed.end()) {
          SetFlushed(server.rows, now->second);
        } else if (before != state_.servers.end()) {
          // What was cut since, by a record that the WAL still has, is not in segments any more.
          segments::Flushed kept = before->second.flushed;
          const auto slot = static_cast<std::uint32_t>(log->second - round_.generation.logs.data());
          kept.end = std::min(kept.end, environment_.landed.FlushedEnd(slot));
          SetFlushed(server.rows, kept);
        }
      }
      if (Planted(PlantedBug::kFaultNotInCheckpoint)) {
        server.rows.faulty = {};
        server.rows.stamp(meta::RowKind::kFaulty) = {};
      }
      servers.push_back(std::move(server));
    }
    return 0;
  });
  return servers;
}

/// Durable with the checkpoints of this round, so before the only trace of the damage goes [A3].
void Flusher::RecordLosses() {
  for (const auto& [uid, ranges] : round_.lost) {
    for (const IndexRange& range : ranges) {
      counters_.lost_entries.Add(range.size());
      const meta::FaultyRow fault =
          environment_.rows.AddFault(uid, range, round_.generation.end.file);
      environment_.log.Write(LogLevel::kError, "flush.lost",
                             "acknowledged entries cannot be read from their WAL file any more",
                             {{"uid", uid.ToString()},
                              {"first", std::to_string(range.begin)},
                              {"last", std::to_string(range.end - 1)}});
      environment_.store.OnFault(uid, fault);
    }
  }
  round_.lost.clear();
}

std::int64_t Flusher::Checkpoint() {
  RecordLosses();
  const wal::FileEnd& end = round_.generation.end;
  if (round_.checkpoints == 0) {
    round_.rows = CheckpointServers();
    CountRound(kCheckpointCopies * BytesOf(round_.rows));
  }
  meta::CheckpointContent content{
      .covers = {end.file, end.batch, end.checksum, end.life},
      .created_unix_ms = environment_.clock.UnixMs(),
      .highest_incarnation = environment_.rows.With(
          [](const meta::Table& table) { return table.highest_incarnation(); }),
      .servers = round_.rows};
  counters_.syncs.Add(1);
  const Result<meta::WrittenCheckpoint> written = state_.checkpoints->Write(std::move(content));
  if (!written.ok()) return Retry("a checkpoint", written.error());
  counters_.checkpoints.Add(1);
  counters_.checkpoint_bytes.Add(written->size_bytes);
  if (Planted(PlantedBug::kRetiredAfterOneCheckpoint)) environment_.store.OnRetired(end.file);
  if (Planted(PlantedBug::kTombstoneForgottenEarly)) environment_.rows.OnRetired(end.file);
  if (++round_.checkpoints < 2) return kAgain;
  round_.rows.clear();
  stage_ = Stage::kHandOver;
  return kAgain;
}

std::int64_t Flusher::HandOver() {
  const std::uint64_t file = round_.generation.end.file;
  for (Written& written : round_.synced) {
    const ServerUid uid = round_.generation.logs[written.slot].owner.uid;
    ServerSegments& server = state_.servers[uid];
    if (round_.rewrite.contains(written.slot)) LeaveOldFiles(written);
    server.list = written.result.list;
    server.flushed = written.result.flushed;
    server.may_append = true;
    // The list first: a reader that finds no landed run looks into it.
    environment_.store.OnSegments(written.slot, uid, server.list);
    environment_.landed.OnFlushed(written.slot, file, server.flushed.end);
  }
  round_.synced.clear();
  RemoveDead(false);
  const std::uint64_t covered = state_.checkpoints->covered_file();
  const Result<std::set<ServerUid>> stay = RemoveDeleted(covered);
  if (!stay.ok()) return Retry("the removal of a deleted log", stay.error());
  environment_.rows.OnRetired(covered, *stay);
  environment_.store.OnRetired(covered);
  counters_.rounds.Add(1);
  counters_.round_ns.AddNs(environment_.clock.NowNs() - round_.begun_ns);
  TellSegments();
  const std::uint64_t generations = round_.generations;
  round_ = {};
  round_bytes_.Set(0);
  stage_ = Stage::kIdle;
  retry_at_ns_ = 0;
  const std::lock_guard lock(mutex_);
  counters_.lag_since.SetTime(waiting_.empty() ? 0 : waiting_.front().since_ns);
  counters_.waiting_files.Set(counters_.waiting_files.value() - generations);
  failure_.reset();
  return kAgain;
}

}  // namespace duramen::log
