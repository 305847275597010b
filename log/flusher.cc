#include "log/flusher.h"

#include <algorithm>
#include <map>

#include "base/check.h"
#include "base/checksum.h"
#include "base/planted.h"
#include "base/try.h"
#include "segments/reader.h"
#include "segments/scan.h"
#include "wal/run_reader.h"

namespace duramen::log {
namespace {

constexpr std::size_t kLogsPerStep = 64;
constexpr std::int64_t kRetryNs = 1'000'000'000;
constexpr std::int64_t kLookAgainNs = 50'000'000;

}  // namespace

Flusher::Flusher(const FlushOptions& options, const Environment& environment, DurableState& state,
                 Rng rng)
    : options_(options),
      environment_(environment),
      state_(state),
      rng_(rng),
      counters_(environment.stats) {
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
    waiting_.push_back({std::move(generation), now_ns, 1});
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
    round_.generations = waiting_.front().count;
    waiting_.pop_front();
    if (repairs_ && repairs_->file <= round_.generation.end.file) {
      round_.repairs = std::exchange(repairs_, std::nullopt);
    }
  }
  round_.begun_ns = environment_.clock.NowNs();
  // Only what is durable is in there, so no floor is used before its mark is written [A9].
  round_.survivors = environment_.landed.SurvivorsUpTo(round_.generation.end.file);
  for (std::size_t i = round_.survivors.size(); i-- > 0;) round_.todo.push_back(i);
  stage_ = round_.repairs ? Stage::kInspect : Stage::kWrite;
  return kAgain;
}

/// When the first that waits is flushed. A queue's entries are truncated soon after they are
/// written: those that are gone by then cost no segment file, whose making and removing is most of
/// a flush of many logs. Requires: the lock, and one that waits.
std::int64_t Flusher::DueNs() const {
  const bool pressed = waiting_.size() > 1 || repairs_ || environment_.budget.AboveHighWater();
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
    const bool there =
        std::any_of(round_.survivors.begin(), round_.survivors.end(),
                    [&](const wal::LandedIndex::Survivors& one) { return one.slot == slot; });
    if (there) continue;
    round_.survivors.push_back(environment_.landed.SurvivorsOf(slot, round_.generation.end.file));
    round_.todo.push_back(round_.survivors.size() - 1);
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

std::int64_t Flusher::Write() {
  for (std::size_t done = 0; done < kLogsPerStep && !round_.todo.empty(); ++done) {
    const bool full = round_.files >= options_.files_open_max;
    if (full && (round_.singly || !file_system_syncs_)) {
      stage_ = Stage::kSync;  // It comes back for the rest.
      return kAgain;
    }
    // One sync of the file system covers closed files too; the kernel remembers their errors.
    if (full) CloseFiles();
    const std::size_t number = round_.todo.back();
    round_.todo.pop_back();
    const Status status = WriteLog(number);
    if (status.ok()) continue;
    counters_.failures.Add(1);
    environment_.log.Write(LogLevel::kError, "flush.failed",
                           "a log's segments could not be written; it is tried again",
                           {{"error", status.error().message}});
    round_.failed.push_back(number);
    round_.error = status.error();
  }
  if (round_.todo.empty()) stage_ = Stage::kSync;
  return kAgain;
}

void Flusher::CloseFiles() {
  for (; round_.closed < round_.written.size(); ++round_.closed) {
    Written& written = round_.written[round_.closed];
    written.result.files.clear();
    written.directory.reset();
  }
}

/// What is written anew follows nothing: files that stood there before are left over from then on.
segments::WriterSetup Flusher::SetupFor(const wal::LandedIndex::Survivors& survivors,
                                        ServerSegments& server, Directory& directory) {
  const bool rewrite = round_.rewrite.contains(survivors.slot);
  if (rewrite) {
    const ServerUid& uid = round_.generation.logs[survivors.slot].owner.uid;
    const std::uint64_t last = environment_.rows.With([&](const meta::Table& table) {
      const meta::ServerRows* rows = table.Find(uid);
      return rows == nullptr ? 0 : rows->flushed.segment;
    });
    server.next_number =
        std::max({server.next_number, server.flushed.segment + 1, last + 1});  // Never twice.
  }
  return {.directory = directory,
          .identity = server.identity,
          .limits = options_.limits,
          .list = rewrite ? segments::SegmentList() : server.list,
          .flushed = rewrite ? segments::Flushed{} : server.flushed,
          .next_number = server.next_number,
          .may_append = server.may_append && !round_.singly && !rewrite,
          .rng = rng_};
}

/// A log that was deleted since the generation was closed has nothing left to flush.
Status Flusher::WriteLog(std::size_t number) {
  const wal::LandedIndex::Survivors& survivors = round_.survivors[number];
  CHECK(survivors.slot < round_.generation.logs.size());
  const auto& [owner, bounds, open] = round_.generation.logs[survivors.slot];
  ServerSegments& server = state_.servers[owner.uid];
  server.identity = {options_.system, owner.uid, owner.cluster_id};
  Written written;
  written.survivors = number;
  written.directory = TRY(OpenDirectory(owner.uid));
  segments::SegmentWriter writer(SetupFor(survivors, server, *written.directory));
  const bool rewrite = round_.rewrite.contains(survivors.slot);
  const bool fill = rewrite && round_.repairs->fill.contains(owner.uid);
  SegmentFeed feed({.writer = writer,
                    .cluster_id = owner.cluster_id,
                    .epoch = bounds.epoch,
                    .segments_end = rewrite ? bounds.begin : survivors.segments_end,
                    .term_before = bounds.term_before_begin,
                    .fill = fill});
  const Status status = FeedLog(survivors, server, feed);
  round_.lost[owner.uid] = feed.missing();
  if (fill && round_.repairs->fill.at(owner.uid)) round_.lost.erase(owner.uid);
  Result<segments::WrittenRound> finished =
      status.ok() ? writer.Finish() : Result<segments::WrittenRound>(status.error());
  server.next_number = writer.next_number();
  if (!finished.ok()) {
    server.may_append = false;  // What stands behind the last good byte is not known.
    writer.Abandon();
    return std::move(finished).error();
  }
  written.result = std::move(*finished);
  written.result.flushed.end = std::max<Index>(feed.segments_end(), 1);
  counters_.logs.Add(1);
  counters_.segments.Add(written.result.files.size());
  counters_.entries.Add(feed.entries());
  counters_.bytes.Add(written.result.bytes);
  round_.files += written.result.files.size();
  round_.written.push_back(std::move(written));
  return {};
}

/// What cannot be read is left out, or filled; its log is faulty there before the only trace of it
/// goes [A3].
Status Flusher::FeedLog(const wal::LandedIndex::Survivors& survivors, const ServerSegments& server,
                        SegmentFeed& feed) {
  const wal::ClosedLog& log = round_.generation.logs[survivors.slot];
  const bool rewrite = round_.rewrite.contains(survivors.slot);
  if (rewrite) {
    TRY(FeedSegments(server, {log.bounds.begin, survivors.segments_end}, feed));
  }
  for (const wal::LandedRun& run : survivors.runs) {
    if (!rewrite) feed.StartAt(run.live_begin);  // Gaps between runs are known from before.
    TRY(FeedRun({run, survivors.slot, log.owner}, feed));
  }
  if (rewrite) TRY(feed.Reach(log.bounds.end));
  return feed.Flush();
}

/// Checksums are made anew here: a read has just held the payload against the old one.
Status Flusher::FeedSegments(const ServerSegments& server, IndexRange range, SegmentFeed& feed) {
  Index next = range.begin;
  while (next < range.end) {
    const segments::SegmentSummary* segment = server.list.Find(next);
    if (segment == nullptr) {
      Index behind = range.end;
      for (const segments::SegmentSummary& one : server.list.segments()) {
        if (one.live.begin > next && !one.live.empty()) behind = std::min(behind, one.live.begin);
      }
      next = behind;
      continue;
    }
    const IndexRange wanted{next, std::min(range.end, segment->live.end)};
    const segments::ReadPlan plan =
        segments::PlanRange(server.list, server.identity, wanted, segments::kReadBytesMax);
    segments::ReadEntries read;
    const Status status = segments::ExecutePlan(plan, environment_.files, read);
    for (const EntryView& entry : read.entries) {
      const EntryIdentity identity{server.identity.cluster_id, entry.term, entry.index, entry.kind};
      TRY(feed.Put({.index = entry.index,
                    .term = entry.term,
                    .kind = entry.kind,
                    .entry_checksum = EntryChecksum(identity, entry.payload),
                    .payload = entry.payload}));
      next = entry.index + 1;
    }
    TRY(feed.Flush());
    if (!read.entries.empty()) continue;
    const bool damaged = status.ok() || status.error().code == ErrorCode::kCorruption ||
                         status.error().code == ErrorCode::kNotFound;
    if (!damaged) return status;
    ++next;
  }
  return {};
}

Status Flusher::FeedRun(const wal::OwnedRun& owned, SegmentFeed& feed) {
  const wal::LandedRun& run = owned.run;
  const std::optional<wal::OpenWalFile> file = environment_.landed.FindFile(run.file);
  CHECK(file.has_value());  // Not retired before this round is over.
  buffer_.resize(std::max<std::size_t>(buffer_.size(), wal::RunReader::BufferBytes(run)));
  wal::RunReader reader = TRY(wal::RunReader::Open(*file, owned, buffer_));
  if (reader.silent()) TRY(CheckAnswers(*file));
  while (!reader.AtEnd() && reader.next_index() < run.live_end) {
    const Result<wal::RecordView> record = reader.Next();
    if (!record.ok() || record->index < run.live_begin) continue;
    TRY(feed.Put({.index = record->index,
                  .term = run.term,
                  .kind = record->kind,
                  .entry_checksum = record->entry_checksum,
                  .payload = record->payload}));
  }
  TRY(feed.Reach(run.live_end));
  return feed.Flush();
}

/// A device that is away gives nothing of a file, and all of it when it is back: its entries are
/// not lost, and wait. Only until the WAL has closed another file there, for what is waited for
/// then has all logs wait [B1].
Status Flusher::CheckAnswers(const wal::OpenWalFile& file) {
  constexpr std::uint64_t kProbes = 64;
  std::uint64_t newest = round_.generation.end.file;
  {
    const std::lock_guard lock(mutex_);
    if (!waiting_.empty()) newest = waiting_.back().generation.end.file;
  }
  if (round_.silent_since == 0) round_.silent_since = newest;
  if (newest > round_.silent_since) return {};
  // A few may be answered from memory.
  std::uint64_t answered = 0;
  Error error;
  for (std::uint64_t probe = 0; probe < kProbes; ++probe) {
    std::byte byte{};
    const Result<std::size_t> read =
        file.file->Read(file.size_bytes / kProbes * probe, std::span(&byte, 1));
    if (!read.ok()) error = read.error();
    answered += read.ok() ? 1 : 0;
  }
  if (answered >= kProbes / 2) return {};
  return error;
}

/// A name that a row speaks of was durable before that row. Any other may be one whose sync has
/// failed, in this life or an earlier one, so it is made again before anything stands below it.
Result<std::unique_ptr<Directory>> Flusher::OpenDirectory(const ServerUid& uid) {
  const bool trusted = state_.servers[uid].flushed.segment != 0 || round_.named.contains(uid);
  if (trusted) {
    Result<std::unique_ptr<Directory>> opened =
        environment_.servers_dir.OpenDirectory(uid.ToString());
    if (opened.ok() || opened.error().code != ErrorCode::kNotFound) return opened;
  }
  TRY(MakeName(uid));
  round_.named.insert(uid);
  return environment_.servers_dir.OpenDirectory(uid.ToString());
}

/// A change that no sync has been asked for yet. A sync that failed has let go of those before it,
/// and says success the next time.
Status Flusher::MakeName(const ServerUid& uid) {
  round_.names_changed = true;
  const std::string name = uid.ToString();
  const Status away = environment_.servers_dir.Rename(name, name + kAsideSuffix);
  if (!away.ok() && away.error().code != ErrorCode::kNotFound) return away;
  // Also what an attempt that failed has left there.
  const Status back = environment_.servers_dir.Rename(name + kAsideSuffix, name);
  if (back.ok() || back.error().code != ErrorCode::kNotFound) return back;
  return environment_.servers_dir.CreateDirectory(name);
}

std::int64_t Flusher::Sync() {
  // A closed file can only be synced with the file system.
  const bool many = round_.closed > 0 || round_.files > options_.files_synced_singly;
  if (many && !round_.singly && !Planted(PlantedBug::kNoSegmentSync)) {
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
      state_.servers[round_.generation.logs[round_.survivors[written.survivors].slot].owner.uid]
          .may_append = false;
      round_.failed.push_back(written.survivors);
      round_.error = synced.error();
      written.survivors = SIZE_MAX;
      RemoveCreated(written);
    }
    std::erase_if(round_.written,
                  [](const Written& written) { return written.survivors == SIZE_MAX; });
    const Status synced = SyncNames();
    if (!synced.ok()) return Retry("the sync of servers/", synced.error());
  }
  for (Written& written : round_.written) {
    written.result.files.clear();
    written.directory.reset();
    round_.synced.push_back(std::move(written));
  }
  round_.written.clear();
  round_.files = round_.closed = 0;
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
  for (const std::size_t number : round_.failed) {
    wal::LandedIndex::Survivors& survivors = round_.survivors[number];
    survivors = environment_.landed.SurvivorsOf(survivors.slot, round_.generation.end.file);
    const bool rewrite = round_.rewrite.contains(survivors.slot);
    if (rewrite || !survivors.runs.empty()) round_.todo.push_back(number);
  }
  round_.failed.clear();
  if (round_.todo.empty()) return kAgain;
  RemoveDead(true);  // A full disk needs what floors have freed since.
  return Retry("the flush of a log", round_.error);
}

Status Flusher::SyncSingly(Written& written) {
  if (Planted(PlantedBug::kNoSegmentSync)) return {};
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
    const std::uint32_t slot = round_.survivors[written.survivors].slot;
    state_.servers[round_.generation.logs[slot].owner.uid].may_append = false;
    round_.todo.push_back(written.survivors);
    RemoveCreated(written);
  }
  round_.written.clear();
  round_.named.clear();  // Their names were lost with the rest.
  round_.files = round_.closed = 0;
  round_.singly = true;
  stage_ = Stage::kWrite;
}

Status Flusher::SyncNames() {
  if (!round_.names_changed || Planted(PlantedBug::kNoServersSync)) return {};
  if (round_.names_lost) {
    for (const ServerUid& uid : round_.named) TRY(MakeName(uid));
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
    const std::uint32_t slot = round_.survivors[written.survivors].slot;
    flushed[round_.generation.logs[slot].owner.uid] = written.result.flushed;
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
  if (round_.checkpoints == 0) round_.rows = CheckpointServers();
  meta::CheckpointContent content{
      .covers = {end.file, end.batch, end.checksum, end.life},
      .created_unix_ms = environment_.clock.UnixMs(),
      .highest_incarnation = environment_.rows.With(
          [](const meta::Table& table) { return table.highest_incarnation(); }),
      .servers = round_.rows};
  counters_.syncs.Add(1);
  const Result<meta::WrittenCheckpoint> written = state_.checkpoints->Write(content);
  if (!written.ok()) return Retry("a checkpoint", written.error());
  counters_.checkpoints.Add(1);
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
    const wal::LandedIndex::Survivors& survivors = round_.survivors[written.survivors];
    const ServerUid uid = round_.generation.logs[survivors.slot].owner.uid;
    ServerSegments& server = state_.servers[uid];
    if (round_.rewrite.contains(survivors.slot)) LeaveOldFiles(written);
    server.list = written.result.list;
    server.flushed = written.result.flushed;
    server.may_append = true;
    // The list first: a reader that finds no landed run looks into it.
    environment_.store.OnSegments(survivors.slot, uid, server.list);
    environment_.landed.OnFlushed(survivors.slot, file, server.flushed.end);
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
  stage_ = Stage::kIdle;
  retry_at_ns_ = 0;
  const std::lock_guard lock(mutex_);
  counters_.lag_since.SetTime(waiting_.empty() ? 0 : waiting_.front().since_ns);
  counters_.waiting_files.Set(counters_.waiting_files.value() - round_.generations);
  failure_.reset();
  return kAgain;
}

}  // namespace duramen::log
