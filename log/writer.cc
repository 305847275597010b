// The appending side of a log store: one Writer, its ring and arena. See
// include/duramen/log_store.h.
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>

#include "base/bytes.h"
#include "base/check.h"
#include "base/kill_step.h"
#include "base/planted.h"
#include "base/try.h"
#include "log/shards.h"
#include "log/shared_wal.h"
#include "log/store.h"

namespace duramen {
inline namespace v1 {
namespace {

constexpr std::uint64_t kHeldShare = 4;  // of the ring may be held, one in so many

Error Stale() {
  return {ErrorCode::kStaleRef, "the log was deleted or belongs to another store",
          "open it again by its name"};
}

Error OtherShard(std::uint32_t own, std::uint32_t stride, LogRef ref) {
  const std::string other = std::to_string(ref.slot % stride);
  return {ErrorCode::kWrongWriter,
          "the log is in WAL shard " + other + ", and the Writer writes to shard " +
              std::to_string(own),
          "append through the Writer that opened it, one of NewWriter(" + other + ")"};
}

}  // namespace

Writer::Impl::Impl(LogStore::Impl& store_ref, SharedMemory ring)
    : store(store_ref), ring_memory(std::move(ring)) {
  RingCreate(ring_memory.bytes(), store.tuning.ring_records);
  producer = RingProducer::Attach(ring_memory.bytes()).value();
  consumer = RingConsumer::Attach(ring_memory.bytes()).value();
  event_fd = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  callback = new WriterCallback;
  port.ring = &consumer;
  port.notices = &notices;
  port.argument = this;
  port.notify = [](void* argument) noexcept { static_cast<Impl*>(argument)->Notify(); };
  port.resolve = [](void* argument, const wal::Descriptor& descriptor) -> const std::byte* {
    const auto* self = static_cast<const Impl*>(argument);
    const std::byte* entry =
        self->arena->Resolve(descriptor.chunk, descriptor.offset, descriptor.payload_bytes);
    return entry == nullptr ? nullptr : entry + memtable::kArenaEntryHeaderBytes;
  };
}

Writer::Impl::~Impl() {
  callback->Detach();
  if (event_fd >= 0) ::close(event_fd);
}

/// WAL thread.
void Writer::Impl::Notify() noexcept {
  if (fd_asked.fetch_add(0) != 0) RingFd();
  callback->Notify();
}

void Writer::Impl::RingFd() noexcept {
  if (fd_rung.exchange(true)) return;
  const std::uint64_t one = 1;
  (void)!::write(event_fd, &one, sizeof one);
}

void WriterCallback::Notify() noexcept {
  Executor* target = nullptr;
  {
    const std::lock_guard lock(mutex);
    if (executor == nullptr || run == nullptr || posted) return;
    posted = true;
    target = executor;
    owners.fetch_add(1);
  }
  target->Post(
      [](void* raw) noexcept {
        auto* self = static_cast<WriterCallback*>(raw);
        void (*call)(void*, Writer&) noexcept = nullptr;
        void* call_argument = nullptr;
        Writer* target_writer = nullptr;
        {
          const std::lock_guard lock(self->mutex);
          self->posted = false;
          call = self->run;
          call_argument = self->argument;
          target_writer = self->writer;
        }
        if (call != nullptr && target_writer != nullptr) call(call_argument, *target_writer);
        self->Release();
      },
      this);
}

void WriterCallback::Release() noexcept {
  if (owners.fetch_sub(1) == 1) delete this;
}

void WriterCallback::Detach() noexcept {
  {
    const std::lock_guard lock(mutex);
    run = nullptr;
    writer = nullptr;
  }
  Release();
}

Result<log::ServerLog*> Writer::Impl::Own(LogRef ref) {
  if (store.closed.load(std::memory_order_relaxed)) {
    return Error{ErrorCode::kClosed, "the store is closed", ""};
  }
  if (store.Forked()) return LogStore::Impl::ForkedError();
  if (store.stride != 1) {
    if (ref.slot % store.stride != store.shard) return OtherShard(store.shard, store.stride, ref);
    ref.slot /= store.stride;
  }
  log::ServerLog* log = store.At(ref.slot);
  if (log == nullptr || log->generation.load(std::memory_order_acquire) != ref.generation ||
      log->deleted.load(std::memory_order_relaxed)) {
    return Stale();
  }
  if (log->arena.load(std::memory_order_relaxed) != arena) {
    return Error{ErrorCode::kWrongWriter, "the log belongs to another Writer",
                 "append through the Writer that opened it"};
  }
  if (log->stopped.load(std::memory_order_relaxed)) {
    const std::lock_guard lock(log->mutex);
    return log->stopped_by;
  }
  return log;
}

/// Takes what the WAL said since the last call.
void Writer::Impl::Process() {
  const std::uint64_t released = producer.released();
  const bool flushed = store.port->flushed_upto() != seen_flushed;
  if (released == seen_released && !store.port->HasNotices(*this) && !flushed) return;
  if (store.Forked()) return;  // What it would lock may never be given back.
  seen_released = released;
  // The file is read behind the position: it is at or behind every file that those landed in [A11].
  arena->NoteDurable(released, store.port->current_file());
  // A notice is published before the position that it speaks of.
  store.port->TakeNotices(*this, taken);
  for (const wal::Notice& notice : taken) OnNotice(notice);
  Landed(released);
  Pass(KillStep::kNoticesApplied);
  std::erase_if(deleting, [&](const auto& pending) {
    if (pending.first > released) return false;
    if (!pending.second->stopped.load(std::memory_order_relaxed)) Finish(*pending.second);
    return true;
  });
  FreeMemory();
}

void Writer::Impl::OnNotice(const wal::Notice& notice) {
  log::ServerLog* log = store.At(notice.slot);
  if (log == nullptr) return;
  if (notice.refused && !log->stopped.load(std::memory_order_relaxed)) {
    const std::lock_guard lock(log->mutex);
    log->stopped_by = {
        notice.refusal,
        "a record of log '" + log->name + "' changed in memory before it was written",
        "the log is stopped; restart the process"};
    log->refused_position = notice.refused_position;
    log->stopped.store(true, std::memory_order_release);
  }
  if (store.shared != nullptr) {
    const std::lock_guard lock(log->mutex);
    log->acked = {notice.epoch, notice.end, notice.row_sequence};
  }
  if (log->deleted.load(std::memory_order_relaxed)) return;
  const bool moved = log->OnNotice(notice);
  if (log->identity_unposted) {  // Only a planted bug leaves it so long.
    log->identity_unposted = false;
    const meta::IdentityRow identity{log->owner.uid, log->name, "", log->owner.cluster_id,
                                     log->incarnation};
    (void)PostRow(*log, identity, Durability::kSynced);
  }
  if (!moved) return;
  const Index end = log->written_end.load(std::memory_order_relaxed);
  const Written news_of_log{.log = log->ref(),
                            .epoch = notice.epoch,
                            .term = log->table.TermAt(end - 1).value_or(0),
                            .end = end};
  if (log->news_round == news_round) {
    fresh[log->news_place] = news_of_log;
    return;
  }
  log->news_round = news_round;
  log->news_place = fresh.size();
  fresh.push_back(news_of_log);
}

/// Calls that are through: durable, or refused.
void Writer::Impl::Landed(std::uint64_t released) {
  while (!in_flight.empty() && in_flight.front().position <= released) {
    const InFlight& call = in_flight.front();
    if (call.log->stopped.load(std::memory_order_relaxed) &&
        call.position >= call.log->refused_position) {
      const std::lock_guard lock(call.log->mutex);
      failures.push_back({.ticket = call.position, .error = call.log->stopped_by});
    }
    in_flight_bytes -= call.bytes;
    call.log->in_flight_bytes -= call.bytes;
    call.log->in_flight_records -= call.records;
    in_flight.pop_front();
  }
}

/// A failed call answers its own ticket always, and a later one once.
Status Writer::Impl::FailureAt(Ticket ticket) {
  for (Failure& failure : failures) {
    if (failure.ticket > ticket || (failure.reported && failure.ticket != ticket)) continue;
    failure.reported = true;
    return failure.error;
  }
  return {};
}

/// The tombstone is durable: the name may be registered again.
void Writer::Impl::Finish(log::ServerLog& log) {
  if (store.shared != nullptr) return store.FinishRemote(log);
  store.port->CloseSlot(log.slot);
  const std::lock_guard lock(store.mutex_);
  store.ForgetName(log);
}

/// Chunks that segments hold always; under pressure also those that a WAL file holds.
void Writer::Impl::FreeMemory() {
  ForgetFlushed();
  memtable::FreeRequest request{.recycled_file = store.port->flushed_upto()};
  const bool pressed = store.budget.AboveHighWater();
  if (pressed) request.evict_to_bytes = arena->live_bytes() / 2;
  (void)arena->Free(request);
  if (!pressed || !store.budget.AboveHighWater()) return;
  // What is left a flush frees, and only a roll brings one [B1].
  if (store.siblings != nullptr) store.siblings->WakeWals();
  // The index of evicted entries is what is left to give.
  const std::lock_guard lock(store.mutex_);
  for (const auto& log : store.owned_logs) {
    if (log->arena.load(std::memory_order_relaxed) != arena) continue;
    const memtable::TableBounds bounds = log->table.Bounds();
    const Index written = log->written_end.load(std::memory_order_relaxed);
    log->table.ForgetSlots(std::clamp(written, bounds.begin, bounds.end));
  }
}

/// The index of what a flush took: only a read of cold entries needs it again, and finds it on
/// disk.
void Writer::Impl::ForgetFlushed() {
  const std::uint64_t flushed = store.port->flushed_upto();
  if (flushed == seen_flushed) return;
  seen_flushed = flushed;
  if (store.shared != nullptr) return store.ForgetFreed(*this);
  const std::lock_guard lock(store.mutex_);
  for (const auto& log : store.owned_logs) {
    if (log->arena.load(std::memory_order_relaxed) != arena) continue;
    const memtable::TableBounds bounds = log->table.Bounds();
    // What was cut since, durable or not, is above every written entry that is left.
    const Index written = log->written_end.load(std::memory_order_relaxed);
    const Index end = std::min(written, store.landed.FlushedEnd(log->slot));
    if (end > bounds.in_memory_begin) log->table.ForgetSlots(std::min(end, bounds.end));
  }
}

Status Writer::Impl::CheckGroup(log::ServerLog& log, std::span<const EntryView> entries) const {
  if (log.faulty.load(std::memory_order_relaxed) && !mends && !log.repaired) {
    const std::lock_guard lock(log.mutex);
    return Error{ErrorCode::kFaulty, "log '" + log.name + "' is faulty: " + log.fault.reason,
                 "run `duramen verify` on the directory; it stays readable around the damage"};
  }
  const memtable::TableBounds bounds = log.table.Bounds();
  const Index first = entries.front().index;
  if (first > bounds.end) {
    return Error{ErrorCode::kGap,
                 "index " + std::to_string(first) + " does not follow the log's last, " +
                     std::to_string(bounds.end - 1),
                 "resend from " + std::to_string(bounds.end)};
  }
  if (first < bounds.begin) {
    return Error{ErrorCode::kOutOfRange,
                 "index " + std::to_string(first) + " lies below the log's begin, " +
                     std::to_string(bounds.begin),
                 "entries below the begin are gone; append from there"};
  }
  Term before = log.table.TermAt(first - 1).value_or(0);
  Index expected = first;
  for (const EntryView& entry : entries) {
    if (entry.index != expected) {
      return Error{ErrorCode::kGap, "indexes of a group are not consecutive",
                   "expected " + std::to_string(expected)};
    }
    if (entry.term < before || entry.term == 0) {
      return Error{ErrorCode::kTermBelowPredecessor,
                   "entry " + std::to_string(entry.index) + " has term " +
                       std::to_string(entry.term) + ", the one before it " + std::to_string(before),
                   "terms begin at 1 and never go down along a log"};
    }
    if (entry.kind < kFirstUserKind && !mends) {
      return Error{ErrorCode::kInvalidArgument,
                   "kind " + std::to_string(entry.kind) + " is Duramen's own", "use 128 to 255"};
    }
    if (entry.payload.size() > store.entry_bytes_max) return TooLarge(entry.payload.size());
    before = entry.term;
    ++expected;
  }
  return {};
}

/// Copies the bytes once and makes the checksum once; everything later verifies it.
Status Writer::Impl::StoreEntries(log::ServerLog& log, std::span<const EntryView> entries) {
  const Index end = log.table.Bounds().end;
  descriptors.clear();
  slots.clear();
  terms.clear();
  for (const EntryView& entry : entries) {
    const std::uint64_t checksum =
        EntryChecksum({log.owner.cluster_id, entry.term, entry.index, entry.kind}, entry.payload);
    Result<memtable::ArenaSpan> span = arena->Store(checksum, entry.payload, BudgetUse::kEntries);
    if (!span.ok()) return std::move(span).error();
    const auto bytes = static_cast<std::uint32_t>(entry.payload.size());
    slots.push_back({span->chunk, span->offset, bytes, entry.kind});
    if (terms.empty() || terms.back().term != entry.term)
      terms.push_back({entry.index, entry.term});
    const bool overwrites = entry.index == entries.front().index && entry.index < end;
    descriptors.push_back(
        {.index = entry.index,
         .term = entry.term,
         .entry_checksum = checksum,
         .slot = log.slot,
         .chunk = span->chunk,
         .offset = span->offset,
         .payload_bytes = bytes,
         .kind = entry.kind,
         .run_kind = overwrites ? wal::RunKind::kOverwrite : wal::RunKind::kNext});
  }
  Pass(KillStep::kPayloadStored);
  return {};
}

Result<Ticket> Writer::Impl::AppendGroup(const LogAppend& group) {
  log::ServerLog* log = TRY(Own(group.log));
  if (group.entries.empty()) return Ticket{producer.committed()};
  TRY(CheckGroup(*log, group.entries));
  std::uint64_t bytes = 0;
  for (const EntryView& entry : group.entries) bytes += entry.payload.size();
  TRY(Admit(*log, group.entries.size(), bytes));
  Status stored = StoreEntries(*log, group.entries);
  if (!stored.ok()) {
    // Freed in between, a chunk could be one that the group is already in: so all of it again.
    FreeMemory();
    stored = StoreEntries(*log, group.entries);
  }
  if (!stored.ok()) return std::move(stored).error();
  const Index first = group.entries.front().index;
  const bool overwrites = descriptors.front().run_kind == wal::RunKind::kOverwrite;
  TRY(log->table.Append(first, slots, terms));
  const std::uint64_t epoch =
      overwrites ? log->OpenEpoch(first) : log->epoch.load(std::memory_order_relaxed);
  for (wal::Descriptor& descriptor : descriptors) descriptor.epoch = epoch;
  return Push(*log, bytes);
}

/// The WAL has something to do; what is held is told once.
void Writer::Impl::Wake() {
  if (producer.holds()) {
    wake_due = true;
  } else {
    store.port->Wake();
  }
}

void Writer::Impl::Publish() {
  producer.Publish();
  if (std::exchange(wake_due, false)) store.port->Wake();
}

/// And what comes is held again.
void Writer::Impl::PublishHeld() {
  if (!producer.holds()) return;
  Publish();
  producer.Hold();
}

/// Requires: the ring has room for `descriptors`; `call_ns` is set.
Ticket Writer::Impl::Push(log::ServerLog& log, std::uint64_t payload_bytes) {
  for (wal::Descriptor& descriptor : descriptors) descriptor.enqueued_ns = call_ns;
  if (store.shared != nullptr) NameChunks();
  const std::vector<wal::Descriptor>& records = store.shared == nullptr ? descriptors : shared_;
  const std::optional<std::uint64_t> last = producer.Push(std::as_bytes(std::span(records)));
  CHECK(last.has_value());
  std::uint64_t position = *last - descriptors.size();
  for (const wal::Descriptor& descriptor : descriptors) {
    ++position;
    if (descriptor.chunk != memtable::kNoChunk) arena->NotePosition(descriptor.chunk, position);
  }
  if (Planted(PlantedBug::kArenaFreedByTag)) arena->NoteDurable(*last, store.port->current_file());
  in_flight.push_back({*last, payload_bytes, descriptors.size(), &log});
  in_flight_bytes += payload_bytes;
  log.in_flight_bytes += payload_bytes;
  log.in_flight_records += descriptors.size();
  // The WAL works meanwhile, and room comes back.
  if (producer.held() > store.tuning.ring_records / kHeldShare) PublishHeld();
  return *last;
}

/// As the WAL process knows them.
void Writer::Impl::NameChunks() {
  shared_ = descriptors;
  for (wal::Descriptor& descriptor : shared_) {
    if (descriptor.chunk == memtable::kNoChunk) continue;
    descriptor.chunk = store.shared->ChunkAt(arena->Resolve(descriptor.chunk, 0, 0));
  }
}

Result<wal::Descriptor> Writer::Impl::StoreRow(log::ServerLog& log, const meta::Row& row) {
  TRY(meta::ValidateRow(row));
  const std::vector<std::byte> payload = log::RowPayload(log.row_sequence + 1, row);
  const auto kind = static_cast<std::uint8_t>(meta::KindOf(row));
  const std::uint64_t checksum = EntryChecksum({log.owner.cluster_id, 0, 0, kind}, payload);
  const memtable::ArenaSpan span = TRY(arena->Store(checksum, payload, BudgetUse::kReserve));
  ++log.row_sequence;
  return wal::Descriptor{.index = log.row_sequence,
                         .epoch = log.epoch.load(std::memory_order_relaxed),
                         .entry_checksum = checksum,
                         .slot = log.slot,
                         .chunk = span.chunk,
                         .offset = span.offset,
                         .payload_bytes = static_cast<std::uint32_t>(payload.size()),
                         .kind = kind,
                         .run_kind = wal::RunKind::kRows};
}

Result<Ticket> Writer::Impl::PostRow(log::ServerLog& log, const meta::Row& row,
                                     Durability durability) {
  const bool vote = meta::KindOf(row) == meta::RowKind::kVote;
  if (const auto refused = store.port->refuses_rows(); refused && !vote) {
    return RefusedBy(*refused);
  }
  TRY(MarksAdmitted());
  call_ns = store.clock->NowNs();
  descriptors.assign(1, TRY(StoreRow(log, row)));
  const Ticket ticket = Push(log, 0);
  if (durability == Durability::kSynced) Wake();
  return ticket;
}

Result<Ticket> Writer::Impl::PostMark(log::ServerLog& log, const wal::Descriptor& mark) {
  call_ns = store.clock->NowNs();
  descriptors.assign(1, mark);
  const Ticket ticket = Push(log, 0);
  Wake();
  return ticket;
}

Writer::~Writer() {
  if (impl_ != nullptr) impl_->store.ReleaseWriter(impl_);
}

Result<Ticket> Writer::Append(std::span<const LogAppend> groups) {
  impl_->Process();
  impl_->call_ns = impl_->store.clock->NowNs();
  Ticket ticket = impl_->producer.committed();
  bool posted = false;
  for (const LogAppend& group : groups) {
    Result<Ticket> result = impl_->AppendGroup(group);
    if (!result.ok()) {
      impl_->store.TellRefused(result.error().code);
      if (posted) impl_->Wake();
      return result;
    }
    posted = posted || *result != ticket;
    ticket = *result;
  }
  if (posted) impl_->Wake();
  return ticket;
}

Result<Ticket> Writer::TruncatePrefix(LogRef ref, Index new_begin) {
  impl_->Process();
  log::ServerLog* log = TRY(impl_->Own(ref));
  const memtable::TableBounds bounds = log->table.Bounds();
  if (new_begin <= bounds.begin) return Ticket{impl_->producer.committed()};
  if (new_begin > bounds.end) {
    return Error{ErrorCode::kOutOfRange,
                 "the log ends at " + std::to_string(bounds.end) + ", so it cannot begin at " +
                     std::to_string(new_begin),
                 "use Reset to begin behind the end"};
  }
  TRY(impl_->MarksAdmitted());
  const Term term = log->table.TermAt(new_begin - 1).value_or(0);
  const Ticket ticket =
      TRY(impl_->PostMark(*log, {.index = new_begin,
                                 .term = term,
                                 .epoch = log->epoch.load(std::memory_order_relaxed),
                                 .slot = log->slot,
                                 .run_kind = wal::RunKind::kFloor}));
  log->table.CutPrefix(new_begin);
  if (Planted(PlantedBug::kFloorBeforeDurable)) {
    const wal::LandedIndex::Change floor{.kind = wal::LandedIndex::Change::Kind::kFloor,
                                         .slot = log->slot,
                                         .index = new_begin,
                                         .run = {}};
    impl_->store.landed.Apply({&floor, 1});
  }
  return ticket;
}

Result<Ticket> Writer::TruncateSuffix(LogRef ref, Index new_end) {
  impl_->Process();
  log::ServerLog* log = TRY(impl_->Own(ref));
  const memtable::TableBounds bounds = log->table.Bounds();
  if (new_end < bounds.begin || new_end > bounds.end) {
    return Error{ErrorCode::kOutOfRange,
                 "the log is [" + std::to_string(bounds.begin) + ", " + std::to_string(bounds.end) +
                     "), so it cannot end at " + std::to_string(new_end),
                 "cut inside the log, or use Reset"};
  }
  if (new_end == bounds.end) return Ticket{impl_->producer.committed()};
  TRY(impl_->MarksAdmitted());
  const Term term = log->table.TermAt(new_end - 1).value_or(0);
  log->table.CutSuffix(new_end);
  const std::uint64_t epoch = log->OpenEpoch(new_end);
  return impl_->PostMark(*log, {.index = new_end,
                                .term = term,
                                .epoch = epoch,
                                .slot = log->slot,
                                .run_kind = wal::RunKind::kTruncateSuffix});
}

Result<Ticket> Writer::Reset(LogRef ref, Index begin, Term term_before_begin) {
  impl_->Process();
  log::ServerLog* log = TRY(impl_->Own(ref));
  if (begin == 0 || (begin == 1 && term_before_begin != 0)) {
    return Error{ErrorCode::kInvalidArgument, "a log begins at 1 or later, and before 1 is term 0",
                 ""};
  }
  TRY(impl_->MarksAdmitted());
  log->table.Reset(begin, term_before_begin);
  const std::uint64_t epoch = log->OpenEpoch(begin);
  log->written_end.store(begin, std::memory_order_release);
  return impl_->PostMark(*log, {.index = begin,
                                .term = term_before_begin,
                                .epoch = epoch,
                                .slot = log->slot,
                                .run_kind = wal::RunKind::kReset});
}

void Writer::Hold() noexcept { impl_->producer.Hold(); }

void Writer::Release() noexcept { impl_->Publish(); }

Ticket Writer::durable() const noexcept { return impl_->producer.released(); }

std::span<const Written> Writer::Poll() noexcept {
  if (impl_->fd_asked.load() != 0) {
    std::uint64_t count = 0;
    (void)!::read(impl_->event_fd, &count, sizeof count);
    impl_->fd_rung.exchange(false);  // What was published before is taken now.
  }
  impl_->Process();
  impl_->news.swap(impl_->fresh);
  impl_->fresh.clear();
  ++impl_->news_round;
  return impl_->news;
}

int Writer::written_fd() const noexcept {
  impl_->store.port->Listens();
  // In this order: what is published from now on rings, and what was before is seen here.
  if (impl_->event_fd < 0 || impl_->fd_asked.exchange(1) != 0) return impl_->event_fd;
  if (impl_->store.port->HasNotices(*impl_) || !impl_->fresh.empty()) impl_->RingFd();
  return impl_->event_fd;
}

void Writer::OnWritten(Executor& executor, void (*callback)(void*, Writer&) noexcept,
                       void* argument) {
  impl_->store.port->Listens();
  WriterCallback& shared = *impl_->callback;
  const std::lock_guard lock(shared.mutex);
  shared.executor = callback == nullptr ? nullptr : &executor;
  shared.run = callback;
  shared.argument = argument;
  shared.writer = this;
}

Writer::Writer(Writer&& other) noexcept : impl_(std::exchange(other.impl_, nullptr)) {
  if (impl_ == nullptr) return;
  const std::lock_guard lock(impl_->callback->mutex);
  impl_->callback->writer = this;  // A callback gets the Writer where it lies now.
}

Status Writer::Wait(Ticket ticket, Deadline deadline) {
  struct Waiting {
    const Impl* impl;
    Ticket ticket;
  } waiting{impl_, ticket};
  if (impl_->store.Forked()) return LogStore::Impl::ForkedError();
  if (ticket > impl_->producer.committed()) {
    return Error{ErrorCode::kInvalidArgument, "no such ticket of this Writer", ""};
  }
  const auto done = [](void* argument) {
    const auto* self = static_cast<Waiting*>(argument);
    return self->impl->producer.released() >= self->ticket ||
           self->impl->store.port->ended() ||
           self->impl->store.closed.load();
  };
  if (impl_->producer.released() < ticket) {
    impl_->PublishHeld();
    impl_->store.port->Wake();  // Lazy rows are due.
    (void)impl_->store.executor->Await(done, &waiting, deadline);
  }
  impl_->Process();
  TRY(impl_->FailureAt(ticket));
  if (impl_->producer.released() >= ticket) return {};
  if (impl_->store.port->ended()) {
    return impl_->RefusedBy(ErrorCode::kWalDown);
  }
  return Error{ErrorCode::kTimeout, "the deadline passed; whether it is durable is unknown",
               "wait again for the same ticket"};
}

}  // namespace v1
}  // namespace duramen
