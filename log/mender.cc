#include "log/mender.h"

#include <algorithm>

#include "base/check.h"
#include "base/try.h"
#include "log/mend.h"

namespace duramen::log {
namespace {

constexpr std::string_view kReasonFront = "a salvage of ";
constexpr std::string_view kReasonBack = " is not finished";
constexpr std::uint64_t kReadBytes = 256 << 10;
constexpr int kAttempts = 3;  // of what was overloaded and had to wait

/// Says that the entry cannot be read, now or later.
bool Unreadable(ErrorCode code) {
  return code == ErrorCode::kFaulty || code == ErrorCode::kCorruption ||
         code == ErrorCode::kNotFound;
}

Error Stuck(const wal::Wal& wal) {
  const bool full = wal.state() == wal::WalState::kDiskFull;
  return {full ? ErrorCode::kDiskFull : ErrorCode::kWalDown,
          "the WAL cannot go on: " + wal.state_reason(),
          "free space or mend the device, and try again"};
}

}  // namespace

std::string UnfinishedReason(const ServerUid& old_uid) {
  return std::string(kReasonFront) + old_uid.ToString() + std::string(kReasonBack);
}

std::optional<ServerUid> UnfinishedSalvage(const meta::FaultyRow& fault) {
  std::string_view text = fault.reason;
  if (!fault.faulty() || !text.starts_with(kReasonFront) || !text.ends_with(kReasonBack)) {
    return std::nullopt;
  }
  text.remove_prefix(kReasonFront.size());
  text.remove_suffix(std::min(text.size(), kReasonBack.size()));
  const Result<Uid128> uid = Uid128::Parse(text);
  if (!uid.ok()) return std::nullopt;
  return ServerUid{*uid};
}

Mender::Mender(LogStore::Impl& store, Writer::Impl& writer) : store_(store), writer_(writer) {
  writer_.mends = true;
}

void Mender::Own(ServerLog& log) {
  const std::lock_guard lock(store_.mutex_);
  log.writer = &writer_;
  log.news_round = 0;
  log.arena.store(writer_.arena, std::memory_order_release);
  writer_.SkipRowsOf(log);
}

Status Mender::Wait() {
  const auto done = [](void* argument) {
    const auto* self = static_cast<const Mender*>(argument);
    return self->writer_.producer.released() >= self->last_ || self->store_.wal->stuck();
  };
  store_.executor->Wake(*store_.wal);
  (void)store_.executor->Await(done, this, Deadline::max());
  writer_.Process();
  TRY(writer_.FailureAt(last_));
  if (writer_.producer.released() >= last_) return {};
  return Stuck(*store_.wal);
}

/// Success: the call that failed may be tried again.
Status Mender::Again(const Error& error, int attempt) {
  if (error.code != ErrorCode::kOverloaded || attempt >= kAttempts) return error;
  TRY(Wait());
  // Too many files: they go as they are flushed.
  const auto admitted = [](void* argument) {
    const LogStore::Impl& store = static_cast<const Mender*>(argument)->store_;
    const bool failed = store.flusher == nullptr || store.flusher->failure().has_value();
    return !store.wal->refuses_entries() || store.wal->stuck() || failed;
  };
  (void)store_.executor->Await(admitted, this, Deadline::max());
  if (!store_.wal->refuses_entries()) return {};
  if (store_.wal->stuck() || store_.flusher == nullptr) return Stuck(*store_.wal);
  return store_.flusher->failure().value_or(error);
}

Status Mender::Put(ServerLog& log, const meta::Row& row) {
  for (int attempt = 0;; ++attempt) {
    writer_.Process();
    const Result<Ticket> ticket = writer_.PostRow(log, row, Durability::kSynced);
    if (ticket.ok()) {
      last_ = *ticket;
      return {};
    }
    TRY(Again(ticket.error(), attempt));
  }
}

Status Mender::StoreIdentity(ServerLog& log) {
  Own(log);
  last_ = TRY(writer_.PostRow(
      log, meta::IdentityRow{log.owner.uid, log.name, "", log.owner.cluster_id, log.incarnation},
      Durability::kSynced));
  return Wait();
}

Status Mender::Append(ServerLog& log, std::span<const EntryView> entries) {
  const std::size_t group_max = store_.tuning.ring_records / 4;
  while (!entries.empty()) {
    const LogAppend group{log.ref(), entries.first(std::min(entries.size(), group_max))};
    for (int attempt = 0;; ++attempt) {
      writer_.Process();
      const Result<Ticket> ticket = writer_.AppendGroup(group);
      if (ticket.ok()) {
        last_ = *ticket;
        break;
      }
      TRY(Again(ticket.error(), attempt));
    }
    entries = entries.subspan(group.entries.size());
  }
  return {};
}

Status Mender::Mark(ServerLog& log, const wal::Descriptor& mark) {
  if (writer_.producer.Free() == 0) TRY(Wait());
  last_ = TRY(writer_.PostMark(log, mark));
  return {};
}

Status Mender::Delete(ServerLog& log) {
  Own(log);
  if (writer_.producer.Free() < 2) TRY(Wait());
  last_ = TRY(writer_.Delete(log));
  return {};
}

Result<Index> Mender::IntactEnd(const ServerLog& log, Index end) const {
  Index next = log.table.Bounds().begin;
  while (next < end) {
    const Result<Pin> pin = store_.Read(log.ref(), {next, end}, kReadBytes);
    if (!pin.ok() && Unreadable(pin.error().code)) return next;
    if (!pin.ok()) return pin.error();
    next = pin->entries().back().index + 1;
  }
  return end;
}

Status Mender::CutAt(ServerLog& log, Index index) {
  if (index == log.table.Bounds().end) return {};
  Own(log);
  const Term term = log.table.TermAt(index - 1).value_or(0);
  log.table.CutSuffix(index);
  const std::uint64_t epoch = log.OpenEpoch(index);
  return Mark(log, {.index = index,
                    .term = term,
                    .epoch = epoch,
                    .slot = log.slot,
                    .run_kind = wal::RunKind::kTruncateSuffix});
}

Status Mender::SetFault(ServerLog& log, const meta::FaultyRow& fault) {
  Own(log);
  TRY(Put(log, fault));
  const std::lock_guard lock(log.mutex);
  log.fault = fault;
  store_.SetFaulty(log, fault.faulty());
  return {};
}

Status Mender::EndFault(ServerLog& log) {
  Vote vote;
  bool lost = false;
  {
    const std::lock_guard lock(log.mutex);
    lost = log.fault.rows_lost;
    vote = log.vote;
  }
  if (lost) {
    Own(log);
    const Term last = log.table.Bounds().last_term;
    const meta::VoteRow row{std::max(vote.term, last) + kLostVoteTerms, ""};
    TRY(Put(log, row));
    const std::lock_guard lock(log.mutex);
    log.vote = {row.term, ""};
  }
  return SetFault(log, {});
}

std::vector<ServerLog*> Mender::Incarnations(const std::string& name) const {
  std::vector<ServerLog*> found;
  const std::lock_guard lock(store_.mutex_);
  for (const auto& log : store_.owned_logs) {
    if (!log->deleted.load(std::memory_order_relaxed) && log->name == name) {
      found.push_back(log.get());
    }
  }
  std::sort(found.begin(), found.end(),
            [](const ServerLog* a, const ServerLog* b) { return a->incarnation < b->incarnation; });
  return found;
}

/// The fault stands before the identity: with one of them alone the log is faulty either way. It is
/// as wide as a fault can be, so that no later damage takes the place of its reason.
Result<ServerLog*> Mender::Begin(const ServerLog& old) {
  ServerLog* log = nullptr;
  {
    const std::lock_guard lock(store_.mutex_);
    log = &store_.InitLog(old.name, {store_.rng.NextUid(), old.owner.cluster_id});
    store_.slot_of[log->owner.uid] = log->slot;
    store_.names[log->name] = log->slot;
    log->deleted.store(false, std::memory_order_release);
  }
  TRY(SetFault(*log, {.from = 1, .rows_lost = true, .reason = UnfinishedReason(old.owner.uid)}));
  TRY(Put(*log, meta::IdentityRow{log->owner.uid, log->name, "", log->owner.cluster_id,
                                  log->incarnation}));
  const memtable::TableBounds bounds = old.table.Bounds();
  if (bounds.begin == 1) return log;
  log->table.Reset(bounds.begin, bounds.term_before_begin);
  const std::uint64_t epoch = log->OpenEpoch(bounds.begin);
  log->written_end.store(bounds.begin, std::memory_order_release);
  TRY(Mark(*log, {.index = bounds.begin,
                  .term = bounds.term_before_begin,
                  .epoch = epoch,
                  .slot = log->slot,
                  .run_kind = wal::RunKind::kReset}));
  return log;
}

/// Returns where what could be read ends.
Result<Index> Mender::Copy(const ServerLog& from, ServerLog& to, Index end) {
  const std::uint64_t bytes = std::min(kReadBytes, store_.tuning.ring_bytes / 2);
  Index next = from.table.Bounds().begin;
  while (next < end) {
    const Result<Pin> pin = store_.Read(from.ref(), {next, end}, bytes);
    if (!pin.ok() && Unreadable(pin.error().code)) break;
    if (!pin.ok()) return pin.error();
    TRY(Append(to, pin->entries()));
    next = pin->entries().back().index + 1;
  }
  return next;
}

Result<Mender::Outcome> Mender::Rejoin(ServerLog& old) {
  const memtable::TableBounds bounds = old.table.Bounds();
  Index end = bounds.end;
  {
    const std::lock_guard lock(old.mutex);
    if (old.fault.from != 0) end = std::clamp(old.fault.from, bounds.begin, end);
  }
  ServerLog* log = TRY(Begin(old));
  end = TRY(Copy(old, *log, end));
  TRY(SetFault(*log, {}));
  TRY(Delete(old));
  TRY(Wait());
  std::string sentence = "log '" + log->name + "' begins anew as " + log->owner.uid.ToString() +
                         " with entries [" + std::to_string(bounds.begin) + ", " +
                         std::to_string(end) + "); " + old.owner.uid.ToString() + " is deleted";
  if (end < bounds.end) {
    sentence += ", and with it what is left of [" + std::to_string(end) + ", " +
                std::to_string(bounds.end) + ")";
  }
  return Outcome{log, true, std::move(sentence)};
}

/// Nothing where it is deleted.
ServerLog* Mender::Find(const ServerUid& uid) const {
  const std::lock_guard lock(store_.mutex_);
  const auto found = store_.slot_of.find(uid);
  ServerLog* log = found == store_.slot_of.end() ? nullptr : store_.At(found->second);
  return log == nullptr || log->deleted.load(std::memory_order_relaxed) ? nullptr : log;
}

/// Not by its name: a crash may have left one without an identity.
std::vector<ServerLog*> Mender::UnfinishedOf(const ServerUid& uid) const {
  std::vector<ServerLog*> found;
  const std::lock_guard lock(store_.mutex_);
  for (const auto& log : store_.owned_logs) {
    if (log->deleted.load(std::memory_order_relaxed)) continue;
    if (UnfinishedSalvage(log->fault) == uid) found.push_back(log.get());
  }
  return found;
}

Result<Mender::Outcome> Mender::Salvage(ServerLog& named) {
  ServerLog* old = &named;
  if (const std::optional<ServerUid> uid = UnfinishedSalvage(named.fault)) {
    old = Find(*uid);
    if (old == nullptr) {
      return Outcome{&named, false,
                     "log '" + named.name + "' is what an interrupted salvage has left, but " +
                         uid->ToString() + ", of which it was made, is gone; it stays faulty"};
    }
  }
  for (ServerLog* log : UnfinishedOf(old->owner.uid)) TRY(Delete(*log));
  ServerLog* newer = Incarnations(old->name).back();
  if (newer == old) return Rejoin(*old);
  // Its registration says that this one was given up.
  TRY(Delete(*old));
  TRY(Wait());
  return Outcome{newer, false,
                 old->owner.uid.ToString() + " of log '" + old->name +
                     "' is deleted; it was given up for " + newer->owner.uid.ToString()};
}

Status Mender::FlushAll(FlushRepairs repairs) {
  TRY(Wait());
  struct Waiting {
    LogStore::Impl& store;
    std::uint64_t file;
  } waiting{store_, store_.wal->current_file()};
  repairs.file = waiting.file;
  store_.flusher->Repair(std::move(repairs));
  store_.wal->ForceRoll();
  const auto done = [](void* argument) {
    const auto* self = static_cast<const Waiting*>(argument);
    const wal::Wal& wal = *self->store.wal;
    const bool full = wal.state() == wal::WalState::kDiskFull;
    return wal.recycled_upto() >= self->file || wal.stuck() || full ||
           self->store.flusher->failure().has_value();
  };
  (void)store_.executor->Await(done, &waiting, Deadline::max());
  writer_.Process();
  if (store_.wal->recycled_upto() >= waiting.file) return {};
  if (const std::optional<Error> failure = store_.flusher->failure()) return *failure;
  return Stuck(*store_.wal);
}

}  // namespace duramen::log
