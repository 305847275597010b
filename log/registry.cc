// Logs by slot and name, and the Writers that own them. See log/store.h.

#include <algorithm>
#include <unordered_set>

#include "base/bytes.h"
#include "base/check.h"
#include "base/planted.h"
#include "base/try.h"
#include "log/mender.h"
#include "log/shards.h"
#include "log/shared_wal.h"
#include "log/store.h"

namespace duramen {
inline namespace v1 {
namespace {

constexpr std::size_t kNameBytesMax = 255;

/// Length of the UTF-8 sequence at the front, 0 when it is none.
std::size_t Utf8Length(std::string_view text, std::uint32_t& code) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const std::uint8_t first = byte(0);
  if (first < 0x80) {
    code = first;
    return 1;
  }
  const std::size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || text.size() < length) return 0;
  code = first & (0x7Fu >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
    code = code << 6 | (byte(i) & 0x3F);
  }
  constexpr std::uint32_t kLowest[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
  return code < kLowest[length] || code > 0x10FFFF || surrogate ? 0 : length;
}

}  // namespace
}  // namespace v1

Status log::CheckLogName(std::string_view name) {
  const auto bad = [](const std::string& why) {
    return Error{ErrorCode::kInvalidArgument, "not a name of a log: " + why,
                 "names are 1 to 255 bytes of UTF-8 without control characters"};
  };
  if (name.empty()) return bad("it is empty");
  if (name.size() > kNameBytesMax) return bad(std::to_string(name.size()) + " bytes are too many");
  for (std::size_t at = 0; at < name.size();) {
    std::uint32_t code = 0;
    const std::size_t length = Utf8Length(name.substr(at), code);
    if (length == 0) return bad("byte " + std::to_string(at) + " is not UTF-8");
    if (code < 0x20 || (code >= 0x7F && code < 0xA0)) {
      return bad("byte " + std::to_string(at) + " is a control character");
    }
    at += length;
  }
  return {};
}

inline namespace v1 {

log::ServerLog* LogStore::Impl::At(std::uint32_t slot) const {
  if (slot >= kSlotsMax) return nullptr;
  const Segment* segment = segments[slot / kSegmentSlots].load(std::memory_order_acquire);
  if (segment == nullptr) return nullptr;
  return (*segment)[slot % kSegmentSlots].load(std::memory_order_acquire);
}

Error LogStore::Impl::ForkedError() {
  return {ErrorCode::kForked, "a log store does not survive fork()",
          "open the store in the child, in another directory"};
}

Result<log::ServerLog*> LogStore::Impl::Find(LogRef ref) const {
  if (closed.load(std::memory_order_relaxed)) {
    return Error{ErrorCode::kClosed, "the store is closed", ""};
  }
  if (Forked()) return ForkedError();
  log::ServerLog* log = nullptr;
  if (stride == 1) {  // Spares most a division.
    log = At(ref.slot);
  } else if (ref.slot % stride == shard) {
    log = At(ref.slot / stride);
  }
  if (log == nullptr || log->generation.load(std::memory_order_acquire) != ref.generation ||
      log->deleted.load(std::memory_order_acquire)) {
    return Error{ErrorCode::kStaleRef, "the log was deleted or belongs to another store",
                 "open it again by its name"};
  }
  return log;
}

/// Under the lock.
log::ServerLog& LogStore::Impl::MakeSlot(std::uint32_t slot) {
  CHECK(slot < kSlotsMax);
  std::atomic<Segment*>& segment = segments[slot / kSegmentSlots];
  if (segment.load(std::memory_order_relaxed) == nullptr) {
    owned_segments.push_back(std::make_unique<Segment>());
    segment.store(owned_segments.back().get(), std::memory_order_release);
  }
  std::atomic<log::ServerLog*>& place =
      (*segment.load(std::memory_order_relaxed))[slot % kSegmentSlots];
  if (place.load(std::memory_order_relaxed) == nullptr) {
    owned_logs.push_back(std::make_unique<log::ServerLog>(slot, slot * stride + shard, block_pool));
    owned_logs.back()->deleted.store(true, std::memory_order_relaxed);
    place.store(owned_logs.back().get(), std::memory_order_release);
  }
  return *place.load(std::memory_order_relaxed);
}

/// Under the lock. A slot is given again once nothing on disk speaks of its former log.
std::uint32_t LogStore::Impl::TakeSlot() {
  for (const ServerUid& uid : rows.TakeForgotten()) forgotten.push_back(uid);
  std::erase_if(forgotten, [&](const ServerUid& uid) {
    const auto found = slot_of.find(uid);
    if (found == slot_of.end()) return true;
    // Its former Writer has not been called since; it still has to finish the deletion.
    const auto named = names.find(At(found->second)->name);
    if (named != names.end() && named->second == found->second) return false;
    free_slots.push_back(found->second);
    slot_of.erase(found);
    return true;
  });
  if (free_slots.empty()) return slot_count++;
  const std::uint32_t slot = free_slots.back();
  free_slots.pop_back();
  return slot;
}

/// Under the lock. Another incarnation may have taken the name meanwhile.
void LogStore::Impl::ForgetName(const log::ServerLog& log) {
  const auto named = names.find(log.name);
  if (named != names.end() && named->second == log.slot) names.erase(named);
  SetFaulty(*At(log.slot), false);
  stats->state.logs.Set(names.size());
}

Result<LogRef> LogStore::Impl::OpenLog(Writer::Impl& writer, std::string_view name, OpenMode mode) {
  if (closed.load(std::memory_order_relaxed)) {
    return Error{ErrorCode::kClosed, "the store is closed", ""};
  }
  if (shared != nullptr) return OpenRemote(writer, name, mode);
  TRY(log::CheckLogName(name));
  writer.Process();
  const std::unique_lock lock(mutex_);
  const auto found = names.find(std::string(name));
  if (found == names.end()) {
    if (mode == OpenMode::kOpen) {
      return Error{ErrorCode::kNotFound, "no log is named '" + std::string(name) + "'",
                   "create it, or list what there is with `duramen names`"};
    }
    return CreateLog(writer, name);
  }
  log::ServerLog& log = *At(found->second);
  if (log.deleted.load(std::memory_order_relaxed)) return DeletionUnderWay(name);
  if (mode == OpenMode::kCreate) {
    return Error{ErrorCode::kAlreadyExists, "a log named '" + std::string(name) + "' exists",
                 "open it instead"};
  }
  if (log.writer != nullptr && log.writer != &writer) {
    const bool process = log.holder != nullptr;
    return Error{ErrorCode::kInUse,
                 "log '" + std::string(name) + "' is open in another " +
                     (process ? "process" : "Writer"),
                 "a log belongs to one Writer; use that one or destroy it"};
  }
  if (log.writer == nullptr) log.repaired = false;
  log.writer = &writer;
  log.news_round = 0;
  log.arena.store(writer.arena, std::memory_order_release);
  return log.ref();
}

/// Under the lock. The identity row precedes every record of the log in the ring, so no
/// acknowledgement can come before it is durable.
Result<LogRef> LogStore::Impl::CreateLog(Writer::Impl& writer, std::string_view name) {
  if (const auto refused = port->refuses_entries()) {
    return Error{*refused, "no log can be created now: " + port->state_reason(),
                 "move the floors of logs with TruncatePrefix, or free space"};
  }
  if (writer.producer.Free() == 0) {
    return Error{ErrorCode::kOverloaded, "the Writer's ring is full",
                 "wait for an earlier ticket and try again"};
  }
  if (free_slots.empty() && slot_count >= kSlotsMax) {
    return Error{ErrorCode::kOverloaded, "a WAL shard holds at most 4,194,304 logs",
                 "delete logs, or use more shards"};
  }
  log::ServerLog& log = InitLog(name, {rng.NextUid(), Checksum(AsBytes(name), 0)});
  const wal::RecordOwner& owner = log.owner;
  if (Planted(PlantedBug::kRegistrationAfterFirstAck)) {
    log.identity_unposted = true;
  } else {
    const Result<Ticket> posted = writer.PostRow(
        log, meta::IdentityRow{owner.uid, log.name, "", owner.cluster_id, log.incarnation},
        Durability::kSynced);
    if (!posted.ok()) {
      port->CloseSlot(log.slot);
      free_slots.push_back(log.slot);
      return posted.error();
    }
  }
  slot_of[owner.uid] = log.slot;
  names[log.name] = log.slot;
  stats->state.logs.Set(names.size());
  log.writer = &writer;
  log.arena.store(writer.arena, std::memory_order_release);
  log.deleted.store(false, std::memory_order_release);
  return log.ref();
}

/// Under the lock. A log of which nothing on disk speaks yet, and that nobody finds.
log::ServerLog& LogStore::Impl::InitLog(std::string_view name, const wal::RecordOwner& owner) {
  const std::uint32_t slot = TakeSlot();
  log::ServerLog& log = MakeSlot(slot);
  log.owner = owner;
  log.incarnation = ++common.incarnation;
  log.row_sequence = 0;
  log.cuts.clear();
  log.repaired = false;
  log.news_round = 0;
  log.epoch.store(0, std::memory_order_relaxed);
  log.written_end.store(1, std::memory_order_relaxed);
  SetFaulty(log, false);
  log.stopped.store(false, std::memory_order_relaxed);
  log.table.Reset(1, 0);
  {
    const std::lock_guard log_lock(log.mutex);
    log.name = name;
    log.vote = {};
    log.last_applied = 0;
    log.values.clear();
    log.fault = {};
    log.segments = {};
  }
  port->OpenSlot(slot, owner);
  return log;
}

Result<Ticket> LogStore::DeleteLog(Writer& writer, LogRef ref) {
  writer.impl_->Process();
  return writer.impl_->Delete(*TRY(writer.impl_->Own(ref)));
}

Result<Ticket> Writer::Impl::Delete(log::ServerLog& log) {
  TRY(MarksAdmitted());
  if (producer.Free() < 2) {
    return Error{ErrorCode::kOverloaded, "the Writer's ring is full",
                 "wait for an earlier ticket and try again"};
  }
  wal::Descriptor tombstone = TRY(StoreRow(log, meta::TombstoneRow{}));
  const std::uint64_t epoch = log.OpenEpoch(1);
  // The tombstone first: a crash between the two must not leave a log that is there and empty.
  descriptors = {tombstone,
                 {.index = 1, .epoch = epoch, .slot = log.slot, .run_kind = wal::RunKind::kReset}};
  call_ns = store.clock->NowNs();
  const Ticket ticket = Push(log, 0);
  log.deleted.store(true, std::memory_order_release);
  log.generation.fetch_add(1, std::memory_order_acq_rel);
  log.table.Reset(1, 0);
  deleting.emplace_back(ticket, &log);
  Wake();
  return ticket;
}

Result<Writer::Impl*> LogStore::Impl::MakeWriter() {
  if (closed.load(std::memory_order_relaxed)) {
    return Error{ErrorCode::kClosed, "the store is closed", ""};
  }
  const std::size_t ring_bytes = RingBytes(tuning.ring_records);
  if (!budget.TryReserve(ring_bytes, BudgetUse::kReserve)) {
    return Error{ErrorCode::kOverloaded, "memory_budget has no room for another Writer's ring",
                 "raise memory_budget or use fewer Writers"};
  }
  Result<SharedMemory> memory = port->RingMemory(ring_bytes);
  if (!memory.ok()) {
    budget.Release(ring_bytes);
    return std::move(memory).error();
  }
  auto writer = std::make_unique<Writer::Impl>(*this, std::move(*memory));
  writer->arena = TakeArena();
  Status added = port->AddRing(*writer);
  const std::lock_guard lock(mutex_);
  if (!added.ok()) {
    idle_arenas.push_back(writer->arena);
    budget.Release(ring_bytes);
    return std::move(added).error();
  }
  writers.push_back(writer.get());
  stats->state.writers.Set(writers.size());
  stats->state.memory_ring_bytes.AddShared(ring_bytes);
  return writer.release();
}

memtable::Arena* LogStore::Impl::TakeArena() {
  const std::lock_guard lock(mutex_);
  if (idle_arenas.empty()) {
    arenas.push_back(std::make_unique<memtable::Arena>(
        budget, memtable::ArenaOptions{
                    .chunk_bytes = tuning.chunk_bytes,
                    .source = shared == nullptr ? nullptr : &shared->chunks()}));
    idle_arenas.push_back(arenas.back().get());
  }
  memtable::Arena* arena = idle_arenas.back();
  idle_arenas.pop_back();
  return arena;
}

void LogStore::Impl::ReleaseWriter(Writer::Impl* writer) {
  if (Forked()) return;  // The parent's; its memory is only a copy.
  writer->Publish();
  // Space may never come: who wants to wait for it does so in Wait.
  const auto durable = [](void* argument) {
    const auto* self = static_cast<const Writer::Impl*>(argument);
    const log::WalPort& its = *self->store.port;
    return self->producer.released() >= self->producer.committed() || its.stuck() ||
           its.strands() || !self->store.started.load();
  };
  if (started) {
    port->Wake();
    (void)executor->Await(durable, writer, Deadline::max());
  }
  writer->Process();
  if (started) port->RemoveRing(*writer);
  const bool lost = writer->producer.released() < writer->producer.committed();
  const std::lock_guard lock(mutex_);
  for (const auto& log : owned_logs) {
    if (log->writer != writer) continue;
    const memtable::TableBounds bounds = log->table.Bounds();
    if (lost) {  // Any of them may have accepted what never became durable.
      const std::lock_guard log_lock(log->mutex);
      log->stopped_by = {ErrorCode::kWalDown,
                         "the WAL was down when the log's Writer was destroyed",
                         "restart the process"};
      log->stopped.store(true, std::memory_order_release);
      const bool registered = shared != nullptr || rows.With([&](const meta::Table& table) {
        const meta::ServerRows* server = table.Find(log->owner.uid);
        return server != nullptr && server->has(meta::RowKind::kIdentity);
      });
      if (!registered) {  // As far as is known there is no such log on disk.
        log->deleted.store(true, std::memory_order_release);
        // The next start may find it: nothing is made here until then, but in another WAL it could
        // be, and be acknowledged. So the name stays taken.
        if (stride == 1) {
          port->CloseSlot(log->slot);
          ForgetName(*log);
        }
      }
      log->table.CutSuffix(std::clamp(log->written_end.load(), bounds.begin, bounds.end));
    }
    log->table.ForgetSlots(log->table.Bounds().end);
    log->arena.store(nullptr, std::memory_order_release);
    log->writer = nullptr;
  }
  (void)writer->arena->Free({.recycled_file = UINT64_MAX, .evict_to_bytes = 0});
  if (writer->arena->AllLanded()) idle_arenas.push_back(writer->arena);
  std::erase(writers, writer);
  stats->state.writers.Set(writers.size());
  stats->state.memory_ring_bytes.SubShared(RingBytes(tuning.ring_records));
  budget.Release(RingBytes(tuning.ring_records));
  delete writer;
}

std::size_t LogStore::Impl::WriterCount() const {
  const std::lock_guard lock(mutex_);
  return writers.size();
}

std::optional<bool> LogStore::Impl::FindLive(std::string_view name) const {
  const std::lock_guard lock(mutex_);
  const auto found = names.find(std::string(name));
  if (found == names.end()) return std::nullopt;
  return !At(found->second)->deleted.load(std::memory_order_relaxed);
}

Error LogStore::Impl::DeletionUnderWay(std::string_view name) {
  return {ErrorCode::kInUse, "the deletion of log '" + std::string(name) + "' is not durable yet",
          "wait for the ticket of DeleteLog and try again; if its WAL went down, restart"};
}

/// Those without a name too.
std::vector<std::string> LogStore::Impl::LiveLogs() const {
  std::vector<std::string> live;
  const std::lock_guard lock(mutex_);
  for (const auto& log : owned_logs) {
    if (!log->deleted.load(std::memory_order_relaxed)) live.push_back(log->name);
  }
  return live;
}

std::vector<std::pair<std::string, std::uint64_t>> LogStore::Impl::NamedIncarnations() const {
  std::vector<std::pair<std::string, std::uint64_t>> named;
  const std::lock_guard lock(mutex_);
  for (const auto& [name, slot] : names) named.emplace_back(name, At(slot)->incarnation);
  return named;
}

/// It is known by its uid from then on, so that it can be read and deleted. That is durable when
/// this returns: else it would have the name again once the log that has it is deleted. Before
/// anybody has a Writer.
Status LogStore::Impl::LoseName(const std::string& name) {
  log::ServerLog* log = nullptr;
  {
    const std::lock_guard lock(mutex_);
    const auto found = names.find(name);
    CHECK(found != names.end());
    log = At(found->second);
    names.erase(found);
    log->name = log->owner.uid.ToString();
    names.emplace(log->name, log->slot);
    stats->state.logs.Set(names.size());
  }
  Writer::Impl* writer = TRY(MakeWriter());
  const Writer owner(writer);
  return log::Mender(*this, *writer).StoreIdentity(*log);
}

LogInfo LogStore::Impl::InfoOf(const log::ServerLog& log) const {
  return {log.ref(), log.name, log.owner.uid.ToString(),
          log.faulty.load(std::memory_order_relaxed), shard};
}

void LogStore::Impl::AddLogsTo(std::vector<LogInfo>& logs) const {
  const std::lock_guard lock(mutex_);
  for (const auto& [name, slot] : names) {
    const log::ServerLog& log = *At(slot);
    if (!log.deleted.load(std::memory_order_relaxed)) logs.push_back(InfoOf(log));
  }
}

/// Of the WAL process, those that are not open here.
void LogStore::Impl::AddOthersTo(std::vector<LogInfo>& logs) const {
  Result<std::vector<LogInfo>> list = shared->List();
  if (!list.ok()) return;
  std::unordered_set<std::string> known;
  for (const LogInfo& log : logs) known.insert(log.uid);
  for (LogInfo& log : *list) {
    if (!known.contains(log.uid)) logs.push_back(std::move(log));
  }
}

std::vector<LogInfo> LogStore::Logs() const {
  std::vector<LogInfo> logs;
  if (impl_->Forked()) return logs;
  for (const Impl* one : impl_->shards->all()) one->AddLogsTo(logs);
  if (impl_->shared != nullptr) impl_->AddOthersTo(logs);
  std::sort(logs.begin(), logs.end(),
            [](const LogInfo& a, const LogInfo& b) { return a.name < b.name; });
  return logs;
}

Result<LogInfo> LogStore::InfoOf(LogRef ref) const {
  const Impl& shard = impl_->shards->Of(ref);
  const log::ServerLog* log = TRY(shard.Find(ref));
  const std::lock_guard lock(shard.mutex_);
  return shard.InfoOf(*log);
}

}  // namespace v1
}  // namespace duramen
