#include "log/hosted.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/check.h"
#include "base/checksum.h"
#include "base/try.h"

namespace duramen::log {
namespace {

/// So far ahead of what is known here may an incarnation be that was given out by a WAL process
/// which died before it was durable.
constexpr std::uint64_t kIncarnationsAhead = 1 << 24;

Error InUse(const ServerLog& log) {
  if (log.holder == nullptr) {
    return {ErrorCode::kInUse, "log '" + log.name + "' is open in the WAL process itself", ""};
  }
  const std::string pid = std::to_string(log.holder->pid);
  if (log.holder->Gone()) {
    return {ErrorCode::kTimeout,
            "log '" + log.name + "' was open in process " + pid +
                ", which is gone; what that had committed is not durable yet",
            "try again; see the state of the WAL process"};
  }
  return {ErrorCode::kInUse, "log '" + log.name + "' is open in process " + pid,
          "a log belongs to one process at a time; close it there"};
}

Error Contradicts(const Reclaim& reclaim, const std::string& what) {
  return {ErrorCode::kCorruption,
          "log '" + reclaim.name + "' in the WAL process contradicts what was acknowledged: " +
              what,
          "was another data_dir, or an older copy of it, started in its place?"};
}

Error BadRow(const std::string& what) {
  return {ErrorCode::kCorruption, "a row that breaks the rules: " + what, ""};
}

}  // namespace

/// Under the store's lock. A tombstone may be forgotten before its log's holder says that it is
/// done with it: to take that log for one that was never registered would give its uid again.
Hosting::Rows Hosting::RowsOf(const ServerUid& uid) const {
  Rows rows = store_.rows.With([&](const meta::Table& table) {
    Rows found;
    const meta::ServerRows* server = table.Find(uid);
    if (server == nullptr) return found;
    found.registered = server->has(meta::RowKind::kIdentity);
    found.deleted = server->deleted();
    found.rows = *server;
    return found;
  });
  for (const ServerUid& one : store_.rows.TakeForgotten()) store_.forgotten.push_back(one);
  rows.deleted = rows.deleted || std::ranges::find(store_.forgotten, uid) != store_.forgotten.end();
  return rows;
}

Result<HostedLog> Hosting::Claim(const LogHolder& holder, std::string_view name, OpenMode mode) {
  TRY(CheckLogName(name));
  const std::lock_guard lock(store_.mutex_);
  auto found = store_.names.find(std::string(name));
  if (found != store_.names.end()) {
    ServerLog& log = *store_.At(found->second);
    const bool ours = log.holder == &holder || log.writer == nullptr;
    if (ours && RowsOf(log.owner.uid).deleted) {
      FinishDeletion(log);
      found = store_.names.end();
    }
  }
  if (found == store_.names.end()) {
    if (mode != OpenMode::kOpen) {
      return Create(holder, name, {store_.rng.NextUid(), Checksum(AsBytes(name), 0)});
    }
    return Error{ErrorCode::kNotFound, "no log is named '" + std::string(name) + "'",
                 "create it, or list what there is with `duramen names`"};
  }
  ServerLog& log = *store_.At(found->second);
  if (log.deleted.load(std::memory_order_relaxed)) {
    return LogStore::Impl::DeletionUnderWay(name);
  }
  if (mode == OpenMode::kCreate) {
    return Error{ErrorCode::kAlreadyExists, "a log named '" + std::string(name) + "' exists",
                 "open it instead"};
  }
  // Its identity found no room in the ring.
  const bool begun = log.holder == &holder && !RowsOf(log.owner.uid).registered;
  if (log.writer != nullptr && !begun) return InUse(log);
  HostedLog hosted = Take(holder, log);
  hosted.created = begun;
  return hosted;
}

Result<HostedLog> Hosting::Create(const LogHolder& holder, std::string_view name,
                                  const wal::RecordOwner& owner) {
  if (const auto refused = store_.port->refuses_entries()) {
    return Error{*refused, "no log can be created now: " + store_.port->state_reason(),
                 "move the floors of logs with TruncatePrefix, or free space"};
  }
  if (store_.free_slots.empty() && store_.slot_count >= LogStore::Impl::kSlotsMax) {
    return Error{ErrorCode::kOverloaded, "the WAL process holds as many logs as it can",
                 "delete logs"};
  }
  ServerLog& log = store_.InitLog(name, owner);
  store_.slot_of[owner.uid] = log.slot;
  store_.names[log.name] = log.slot;
  store_.stats->state.logs.Set(store_.names.size());
  log.deleted.store(false, std::memory_order_release);
  HostedLog hosted = Take(holder, log);
  hosted.created = true;
  return hosted;
}

/// What it was when it was last given back, or at the start.
HostedLog Hosting::Take(const LogHolder& holder, ServerLog& log) {
  const Rows rows = RowsOf(log.owner.uid);
  const memtable::TableBounds bounds = log.table.Bounds();
  HostedLog hosted{.slot = log.slot, .owner = log.owner, .name = log.name};
  hosted.incarnation = log.incarnation;
  hosted.bounds = {.begin = bounds.begin,
                   .end = bounds.end,
                   .term_before_begin = bounds.term_before_begin,
                   .last_term = bounds.last_term,
                   .epoch = log.epoch.load(std::memory_order_acquire)};
  hosted.terms = log.table.TermRuns();
  hosted.row_sequence = std::max(log.row_sequence, rows.rows.highest_sequence);
  const std::lock_guard lock(log.mutex);
  hosted.vote = log.vote;
  hosted.last_applied = log.last_applied;
  hosted.values = {log.values.begin(), log.values.end()};
  hosted.fault = log.fault;
  store_.follower.Follow(log.slot, {hosted.bounds, hosted.terms});
  store_.port->OpenSlot(log.slot, log.owner);
  log.table.Reset(1, 0);
  log.written_end.store(1, std::memory_order_release);
  log.writer = const_cast<LogHolder*>(&holder);
  log.holder = &holder;
  return hosted;
}

Result<HostedLog> Hosting::ClaimAgain(const LogHolder& holder, const Reclaim& reclaim) {
  TRY(CheckLogName(reclaim.name));
  const std::lock_guard lock(store_.mutex_);
  const Rows rows = RowsOf(reclaim.owner.uid);
  const auto found = store_.slot_of.find(reclaim.owner.uid);
  ServerLog* log = found == store_.slot_of.end() ? nullptr : store_.At(found->second);
  if (rows.deleted) {
    if (log != nullptr && log->writer == nullptr) FinishDeletion(*log);
    HostedLog gone{.owner = reclaim.owner, .name = reclaim.name};
    gone.gone = true;
    return gone;
  }
  if (!rows.registered && reclaim.deleted && reclaim.row_sequence > 0) {
    HostedLog gone{.owner = reclaim.owner, .name = reclaim.name};
    gone.gone = true;  // Its tombstone is forgotten already.
    return gone;
  }
  if (log == nullptr || !rows.registered) {
    if (log != nullptr && log->writer != nullptr) return InUse(*log);
    return CreateAgain(holder, reclaim);
  }
  if (log->writer != nullptr) return InUse(*log);
  if (log->owner.cluster_id != reclaim.owner.cluster_id || log->name != reclaim.name) {
    return Contradicts(reclaim, "it has another identity");
  }
  const Index end = log->table.Bounds().end;
  const std::uint64_t epoch = log->epoch.load(std::memory_order_acquire);
  if (epoch < reclaim.epoch || (epoch == reclaim.epoch && end < reclaim.end)) {
    return Contradicts(reclaim, "it ends at " + std::to_string(end) + " of epoch " +
                                    std::to_string(epoch) + ", and " +
                                    std::to_string(reclaim.end) + " of epoch " +
                                    std::to_string(reclaim.epoch) + " was durable");
  }
  if (rows.rows.highest_sequence < reclaim.row_sequence) {
    return Contradicts(reclaim, "row " + std::to_string(reclaim.row_sequence) +
                                    " was durable, and the last one is " +
                                    std::to_string(rows.rows.highest_sequence));
  }
  return Take(holder, *log);
}

/// Nothing of it had become durable, so its identity is still in its owner's ring.
Result<HostedLog> Hosting::CreateAgain(const LogHolder& holder, const Reclaim& reclaim) {
  if (reclaim.row_sequence != 0 || reclaim.end > 1 || reclaim.epoch != 0) {
    return Contradicts(reclaim, "there is no log of its uid");
  }
  if (store_.names.contains(reclaim.name)) {
    return Error{ErrorCode::kAlreadyExists,
                 "log '" + reclaim.name + "' was created by another process meanwhile",
                 "nothing of this one was acknowledged; open the log again"};
  }
  const std::uint64_t known = store_.common.incarnation.load();
  if (reclaim.owner.uid.is_nil() || reclaim.incarnation > known + kIncarnationsAhead) {
    return Contradicts(reclaim, "no such incarnation was given out");
  }
  HostedLog hosted = TRY(Create(holder, reclaim.name, reclaim.owner));
  hosted.incarnation = reclaim.incarnation;
  store_.At(hosted.slot)->incarnation = reclaim.incarnation;
  store_.common.incarnation.store(std::max(known, reclaim.incarnation));
  return hosted;
}

bool Hosting::DropDeleted(const LogHolder& holder, const HostedLog& hosted) {
  const std::lock_guard lock(store_.mutex_);
  ServerLog& log = *store_.At(hosted.slot);
  if (log.holder != &holder || log.owner.uid != hosted.owner.uid) return false;
  if (!RowsOf(hosted.owner.uid).deleted) return false;
  FinishDeletion(log);
  return true;
}

void Hosting::GiveBack(const LogHolder& holder, std::uint32_t slot) {
  const std::lock_guard lock(store_.mutex_);
  ServerLog& log = *store_.At(slot);
  if (log.holder != &holder) return;
  const Rows rows = RowsOf(log.owner.uid);
  if (rows.deleted) return FinishDeletion(log);
  if (!rows.registered) return Unregister(log);
  Restore(log, rows);
}

void Hosting::FinishDeletion(ServerLog& log) {
  store_.follower.Forget(log.slot);
  store_.port->CloseSlot(log.slot);
  store_.ForgetName(log);
  log.deleted.store(true, std::memory_order_release);
  log.generation.fetch_add(1, std::memory_order_acq_rel);
  log.writer = nullptr;
  log.holder = nullptr;
}

/// Nothing on disk speaks of it.
void Hosting::Unregister(ServerLog& log) {
  FinishDeletion(log);
  store_.slot_of.erase(log.owner.uid);
  store_.free_slots.push_back(log.slot);
}

void Hosting::Restore(ServerLog& log, const Rows& rows) {
  const std::optional<FollowedLog> followed = store_.follower.Find(log.slot);
  CHECK(followed.has_value());
  store_.follower.Forget(log.slot);
  const wal::SlotBounds& bounds = followed->bounds;
  log.table.Restore({.begin = bounds.begin, .end = bounds.end}, followed->terms);
  log.epoch.store(bounds.epoch, std::memory_order_release);
  log.written_end.store(bounds.end, std::memory_order_release);
  log.row_sequence = rows.rows.highest_sequence;
  {
    const std::lock_guard lock(log.mutex);
    log.vote = {rows.rows.vote.term, rows.rows.vote.voted_for};
    log.last_applied = std::min(rows.rows.last_applied.index, bounds.end - 1);
    log.values.clear();
    for (const auto& [key, value] : rows.rows.values) {
      if (!value.value.empty()) log.values[key] = value.value;
    }
    log.fault = rows.rows.faulty;
  }
  store_.SetFaulty(log, log.fault.faulty());
  log.writer = nullptr;
  log.holder = nullptr;
}

Status Hosting::Read(std::uint32_t slot, IndexRange range, std::size_t max_bytes,
                     Pin::Impl& pin) const {
  const ServerLog* log = store_.At(slot);
  if (log == nullptr) return Error{ErrorCode::kStaleRef, "there is no such log", ""};
  LogStore::Impl::Reading to{pin, std::max<std::size_t>(max_bytes, 1)};
  constexpr int kTries = 100;
  Status status;
  for (int attempt = 0; attempt < kTries; ++attempt) {
    bool moved = false;
    status = store_.ReadFile(*log, range, to, moved);
    if (status.ok() || !moved || !pin.entries.empty()) break;
  }
  return status;
}

/// It counts from here on, durable or not: a lost vote that is on its way is not taken back either.
Status Hosting::JudgeFault(ServerLog& log, const meta::FaultyRow& fault) {
  {
    const std::lock_guard lock(log.mutex);
    if (log.fault.rows_lost && !fault.rows_lost) return BadRow("it takes back that a vote is lost");
    log.fault = fault;
  }
  store_.SetFaulty(log, fault.faulty());
  return {};
}

Status Hosting::JudgeRow(const wal::RingGrant& grant, std::uint8_t kind, Bytes payload) {
  const Result<meta::Row> row =
      meta::DecodeRow(kind, payload.subspan(sizeof(std::uint64_t)));
  if (!row.ok()) return BadRow(row.error().message);
  switch (meta::KindOf(*row)) {
    case meta::RowKind::kVote:
    case meta::RowKind::kLastApplied:
    case meta::RowKind::kValue:
    case meta::RowKind::kTombstone:
      return {};
    case meta::RowKind::kIdentity:
      break;
    case meta::RowKind::kFaulty:
      return JudgeFault(*store_.At(grant.slot), *std::get_if<meta::FaultyRow>(&*row));
    default:
      return BadRow(std::string("it is of kind ") + meta::RowKindName(meta::KindOf(*row)));
  }
  const ServerLog& log = *store_.At(grant.slot);
  const std::lock_guard lock(log.mutex);
  const meta::IdentityRow due{grant.owner.uid, log.name, "", grant.owner.cluster_id,
                              log.incarnation};
  if (*std::get_if<meta::IdentityRow>(&*row) == due) return {};
  return BadRow("it is the identity of another log");
}

}  // namespace duramen::log
