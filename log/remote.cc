// A store whose WAL is another process: it has Writers, arenas, mem tables and indexes as any other
// has, but no directory. See log/shared_wal.h and log/store.h.
#include <algorithm>

#include "base/check.h"
#include "base/kill_step.h"
#include "base/try.h"
#include "log/shards.h"
#include "log/shared_wal.h"
#include "log/store.h"

namespace duramen {
inline namespace v1 {
namespace {

constexpr std::uint64_t kEntryShare = 4;   // of the budget: a larger entry might never find room
constexpr std::size_t kForgetStep = 64;    // slots that are looked at together

}  // namespace

Status LogStore::Impl::OpenShared(const log::StorageEnvironment& environment,
                                  std::unique_ptr<log::SharedWal> wal_process) {
  WatchForks();
  fork_generation = ForkGeneration();
  file_system = &environment.file_system;
  clock = &environment.clock;
  executor = &environment.executor;
  make_stat_memory = environment.stat_memory;
  shared = wal_process.get();
  port = std::move(wal_process);
  const log::SharedLimits limits = shared->limits();
  payload_bytes_max = limits.payload_bytes_max;
  row_bytes_max = limits.row_bytes_max;
  entry_bytes_max = std::min(payload_bytes_max, options.memory_budget / kEntryShare);
  report.boot = limits.boot;
  MakeStats(limits.boot);
  shards = std::make_unique<log::Shards>(*this);
  shards->OpenShared();
  started = true;
  return {};
}

Result<LogRef> LogStore::Impl::OpenRemote(Writer::Impl& writer, std::string_view name,
                                          OpenMode mode) {
  TRY(log::CheckLogName(name));
  while (true) {
    const std::uint64_t asked = shared->link();
    Result<LogRef> log = TryOpenRemote(writer, name, mode);
    const bool gone = !log.ok() && log.error().code == ErrorCode::kWalDown;
    if (!gone || !shared->AwaitNext(asked)) return log;
  }
}

/// Under open_mutex_, so that two Writers do not claim the same log.
Result<LogRef> LogStore::Impl::TryOpenRemote(Writer::Impl& writer, std::string_view name,
                                             OpenMode mode) {
  const std::lock_guard open_lock(open_mutex_);
  writer.Process();
  std::uint32_t number = 0;
  {
    const std::lock_guard lock(mutex_);
    const auto found = names.find(std::string(name));
    if (found != names.end()) return OpenKnown(writer, *At(found->second), mode);
    if (free_slots.empty() && slot_count >= wal::kNoticeCells) {
      return Error{ErrorCode::kOverloaded,
                   "a process has at most " + std::to_string(wal::kNoticeCells) + " logs open",
                   "use more processes"};
    }
    number = TakeSlot();
    MakeSlot(number);
  }
  if (writer.producer.Free() == 0) {
    GiveSlot(number);
    return Error{ErrorCode::kOverloaded, "the Writer's ring is full",
                 "wait for an earlier ticket and try again"};
  }
  Result<log::HostedLog> claimed = shared->Claim(writer, number, name, mode);
  if (!claimed.ok()) {
    GiveSlot(number);
    return std::move(claimed).error();
  }
  return Install(writer, number, *claimed);
}

void LogStore::Impl::GiveSlot(std::uint32_t number) {
  const std::lock_guard lock(mutex_);
  free_slots.push_back(number);
}

/// Under both locks.
Result<LogRef> LogStore::Impl::OpenKnown(Writer::Impl& writer, log::ServerLog& log,
                                         OpenMode mode) {
  if (log.deleted.load(std::memory_order_relaxed)) return DeletionUnderWay(log.name);
  if (mode == OpenMode::kCreate) {
    return Error{ErrorCode::kAlreadyExists, "a log named '" + log.name + "' exists",
                 "open it instead"};
  }
  if (log.writer == &writer) return log.ref();
  if (log.writer != nullptr) {
    return Error{ErrorCode::kInUse, "log '" + log.name + "' is open in another Writer",
                 "a log belongs to one Writer; use that one or destroy it"};
  }
  if (log.stopped.load(std::memory_order_relaxed)) {
    const std::lock_guard log_lock(log.mutex);
    return log.stopped_by;
  }
  TRY(shared->Assign(writer, log.slot));
  log.repaired = false;
  log.writer = &writer;
  log.news_round = 0;
  log.arena.store(writer.arena, std::memory_order_release);
  return log.ref();
}

/// What the WAL process said of a log becomes a log here.
Result<LogRef> LogStore::Impl::Install(Writer::Impl& writer, std::uint32_t number,
                                       const log::HostedLog& hosted) {
  log::ServerLog& log = *At(number);
  log.owner = hosted.owner;
  log.incarnation = hosted.incarnation;
  log.row_sequence = hosted.row_sequence;
  log.cuts.clear();
  log.repaired = false;
  log.news_round = 0;
  log.epoch.store(hosted.bounds.epoch, std::memory_order_release);
  log.written_end.store(hosted.bounds.end, std::memory_order_release);
  log.stopped.store(false, std::memory_order_relaxed);
  {
    const std::lock_guard lock(log.mutex);
    log.name = hosted.name;
    log.vote = hosted.vote;
    log.last_applied = hosted.last_applied;
    log.values = {hosted.values.begin(), hosted.values.end()};
    log.fault = hosted.fault;
    log.acked = {hosted.bounds.epoch, hosted.bounds.end, hosted.created ? 0 : hosted.row_sequence};
  }
  SetFaulty(log, hosted.fault.faulty());
  std::vector<memtable::TermRun> terms = hosted.terms;
  if (terms.empty()) terms.push_back({hosted.bounds.begin - 1, hosted.bounds.term_before_begin});
  log.table.Restore({.begin = hosted.bounds.begin, .end = hosted.bounds.end}, terms);
  if (hosted.created) {
    const Result<Ticket> posted = writer.PostRow(
        log, meta::IdentityRow{log.owner.uid, log.name, "", log.owner.cluster_id, log.incarnation},
        Durability::kSynced);
    if (!posted.ok()) {
      shared->Drop(number);
      GiveSlot(number);
      return posted.error();
    }
    Pass(KillStep::kLogInstalled);
  }
  const std::lock_guard lock(mutex_);
  names[log.name] = log.slot;
  stats->state.logs.Set(names.size());
  log.writer = &writer;
  log.arena.store(writer.arena, std::memory_order_release);
  log.deleted.store(false, std::memory_order_release);
  return log.ref();
}

std::vector<LogStore::Impl::ClaimedLog> LogStore::Impl::ClaimedLogs() const {
  std::vector<ClaimedLog> claimed;
  const std::lock_guard lock(mutex_);
  for (const auto& log : owned_logs) {
    const auto named = names.find(log->name);
    if (named == names.end() || named->second != log->slot) continue;
    const std::lock_guard log_lock(log->mutex);
    claimed.push_back({.number = log->slot,
                       .writer = static_cast<Writer::Impl*>(log->writer),
                       .reclaim = {.name = log->name,
                                   .owner = log->owner,
                                   .incarnation = log->incarnation,
                                   .deleted = log->deleted.load(std::memory_order_acquire),
                                   .epoch = log->acked.epoch,
                                   .end = log->acked.end,
                                   .row_sequence = log->acked.row_sequence}});
  }
  return claimed;
}

/// What the next WAL process says of a log; what it contradicts is never mended here.
void LogStore::Impl::OnReclaimed(std::uint32_t number, const Result<log::HostedLog>& hosted) {
  log::ServerLog& log = *At(number);
  const std::lock_guard lock(log.mutex);
  if (hosted.ok()) {
    if (hosted->gone) return;
    log.fault = hosted->fault;
    return SetFaulty(log, hosted->fault.faulty());
  }
  log_.Write(LogLevel::kError, "shm.log_refused", hosted.error().message, {{"log", log.name}});
  log.stopped_by = hosted.error();
  log.refused_position = 0;
  log.stopped.store(true, std::memory_order_release);
}

/// The tombstone is durable, and nobody here speaks of the slot any more.
void LogStore::Impl::FinishRemote(log::ServerLog& log) {
  shared->Drop(log.slot);
  const std::lock_guard lock(mutex_);
  ForgetName(log);
  log.writer = nullptr;
  free_slots.push_back(log.slot);
}

/// As ReadFile, of entries that are not in memory.
Status LogStore::Impl::ReadRemote(const log::ServerLog& log, IndexRange range, Reading& to,
                                  bool& moved) const {
  const std::size_t before = to.pin.entries.size();
  Status status = shared->Read(log, range, to.left, to.pin);
  for (std::size_t i = before; i < to.pin.entries.size(); ++i) {
    const EntryView& entry = to.pin.entries[i];
    // What was overwritten meanwhile is not what was asked for.
    moved = moved || entry.term != log.table.TermAt(entry.index).value_or(0);
    to.left -= std::min<std::uint64_t>(to.left, entry.payload.size());
  }
  if (status.ok() && to.pin.entries.size() == before) return Lost(log, range.begin);
  return status;
}

/// The index of entries whose chunks are gone: they are read from the WAL process.
void LogStore::Impl::ForgetFreed(const Writer::Impl& writer) {
  const std::lock_guard lock(mutex_);
  for (const auto& log : owned_logs) {
    if (log->arena.load(std::memory_order_relaxed) != writer.arena) continue;
    const memtable::TableBounds bounds = log->table.Bounds();
    const Index written = std::min(log->written_end.load(std::memory_order_relaxed), bounds.end);
    memtable::EntryLocation places[kForgetStep];
    Index kept = bounds.in_memory_begin;
    bool freed = true;
    while (freed && kept < written) {
      const memtable::Located located = log->table.Locate({kept, written}, places);
      if (located.range.empty()) break;
      for (Index index = located.range.begin; freed && index < located.range.end; ++index) {
        const memtable::ChunkPin pin(*writer.arena, places[index - located.range.begin].slot.chunk);
        freed = !pin.held();
        if (freed) kept = index + 1;
      }
    }
    if (kept > bounds.in_memory_begin) log->table.ForgetSlots(kept);
  }
}

Status LogStore::Impl::CloseRemote(Deadline deadline) {
  const auto drained = [](void* argument) {
    auto* self = static_cast<Impl*>(argument);
    if (self->port->ended()) return true;
    const std::lock_guard guard(self->mutex_);
    return std::all_of(self->writers.begin(), self->writers.end(), [](const Writer::Impl* writer) {
      return writer->producer.released() >= writer->producer.committed();
    });
  };
  port->Wake();
  const bool all = executor->Await(drained, this, deadline);
  const bool down = port->ended();
  closed.store(true);
  const std::string reason = port->state_reason();
  shared->Leave(all && !down);
  started = false;
  executor->Progress();
  stat_memory->Withdraw();
  if (down) {
    return Error{ErrorCode::kWalDown, "the WAL could not write: " + reason,
                 "what was not acknowledged may be gone"};
  }
  if (all) return {};
  return Error{ErrorCode::kTimeout, "not everything accepted was durable before the deadline",
               "what was not acknowledged may be gone"};
}

}  // namespace v1
}  // namespace duramen
