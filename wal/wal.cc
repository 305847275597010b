#include "wal/wal.h"

#include <algorithm>
#include <cstring>

#include "base/bytes.h"
#include "base/check.h"
#include "base/kill_step.h"
#include "base/planted.h"
#include "wal/ring_guard.h"

namespace duramen::wal {
namespace {

constexpr std::uint64_t kFastBatchBytes = 1 << 20;
constexpr std::int64_t kSlowDeviceNs = 4'000'000;    // for a batch, usually
constexpr std::int64_t kProbeQuickNs = 500'000'000;  // where no write is given up for its slowness
constexpr std::uint32_t kBindTimes = 2;              // per file, in two batches

std::uint64_t UsableBytes(std::uint64_t file_size_bytes) {
  const std::uint64_t kept = kFirstBatchOffset + kSealReserveBytes;
  return file_size_bytes > kept ? file_size_bytes - kept : 0;
}

}  // namespace

std::uint64_t MaxBatchBytes(std::uint64_t file_size_bytes) {
  const std::uint64_t quarter = UsableBytes(file_size_bytes) / 4 / kBlockBytes * kBlockBytes;
  return std::clamp(quarter, kBlockBytes, kPlannedBytesMax);
}

std::uint64_t MaxPayloadBytes(std::uint64_t file_size_bytes) {
  const std::uint64_t overhead = BatchBytes(RecordBytes(0), 1, 1);
  const std::uint64_t fixed = kBatchHeaderBytes + kBindingBytes + kRunHeaderBytes + RecordBytes(0) +
                              ClosingBytes(1, 1) + kSectorBytes;
  const std::uint64_t batch = MaxBatchBytes(file_size_bytes);
  CHECK(batch >= overhead && batch > fixed);
  return (batch - fixed) / kRecordAlign * kRecordAlign;
}

Wal::Wal(const WalOptions& options, const Environment& environment, Recovery& recovery, Rng rng)
    : options_(options),
      environment_(environment),
      rng_(rng),
      return_policy_(options.failover_ns > 0 ? options.failover_ns / 2 : kProbeQuickNs),
      status_(environment.status),
      counters_(environment.stats),
      telling_(environment_.stats, environment_.clock, environment_.log, options.stall_ns) {
  const std::vector<LiveFile> live = recovery.TakeLiveFiles();
  CHECK(!live.empty());
  for (const LiveFile& file : live) {
    files_.push_back(file);
    environment_.landed.AddFile(
        file.number, {file.file, FileContext::Of(options_.system, file.number, file.life),
                      file.size_bytes, file.place});
  }
  environment_.landed.Apply(recovery.replay().TakeChanges());
  written_ = durable_ = recovery.position();
  current_.live = files_.back();
  committed_file_ = highest_file_ = current_.live.number;
  current_.context = FileContext::Of(options_.system, current_.live.number, current_.live.life);
  current_.offset = written_.offset;
  current_.zeroed = current_.live.zeroed_bytes;
  const bool copied = written_.offset > kFirstBatchOffset;
  base_ = recovery.base();
  written_file_ = copied ? current_.live.number : base_.file;
  durable_file_ = written_file_;
  current_.first_record_ns = copied ? environment_.clock.NowNs() : 0;
  durable_upto_ = durable_.batch;  // Recovery synced it, whatever the method.
  for (RowCopy& row : recovery.TakeRepeats()) repeats_.push_back({std::move(row), 0});
  MakeQueue();
  Result<std::shared_ptr<File>> writer = WriterOf(current_.live);
  current_.writer = writer.ok() ? *writer : current_.live.file;
  if (!writer.ok()) failure_ = writer.error();
  sealed_ = !copied;
  for (const ReplayedLog& log : recovery.replay().logs()) {
    Slot slot{
        .owner = log.owner, .planned = log.bounds, .encoded = log.bounds, .durable = log.bounds};
    slot.bound_file = recovery.bound().contains(log.slot) ? current_.live.number : 0;
    slot.bound_times = 1;
    slot.open = true;
    CHECK(log.slot == slots_.size());
    slot_of_[log.owner.uid] = log.slot;
    slots_.push_back(slot);
  }
  CloseBase(recovery);
  status_.current_file.store(current_.live.number, std::memory_order_release);
  status_.recycled_upto.store(files_.front().number - 1, std::memory_order_release);
  if (EntriesFull()) SetState(WalState::kDiskFull, FullReason());  // The pool has looked.
  UpdateAdmission();
}

/// What earlier boots left is a closed generation from the start: a loop of kills would otherwise
/// pile up files that nobody flushes [B4].
void Wal::CloseBase(const Recovery& recovery) {
  const std::vector<SlotBounds>* bounds = recovery.base_bounds();
  if (environment_.sink == nullptr || bounds == nullptr) return;
  ClosedGeneration closed;
  closed.end = base_;
  for (const LiveFile& file : files_) {
    if (file.number == base_.file) closed.place = file.place;
  }
  for (std::size_t slot = 0; slot < bounds->size(); ++slot) {
    closed.logs.push_back({slots_[slot].owner, (*bounds)[slot], slots_[slot].open});
  }
  closed_file_ = base_.file;
  environment_.sink->OnClosed(std::move(closed));
}

void Wal::OpenSlot(std::uint32_t slot, const RecordOwner& owner) {
  Post({.kind = Message::Kind::kOpenSlot, .slot = slot, .owner = owner});
}

void Wal::CloseSlot(std::uint32_t slot) {
  Post({.kind = Message::Kind::kCloseSlot, .slot = slot, .owner = {}});
}

void Wal::Retire(std::uint64_t file) {
  Post({.kind = Message::Kind::kRetire, .owner = {}, .file = file});
}

void Wal::ForceRoll() { Post({.kind = Message::Kind::kRoll, .owner = {}}); }

void Wal::SetMethod(SyncMethod method) {
  CHECK(method != SyncMethod::kAuto);
  Post({.kind = Message::Kind::kMethod, .owner = {}, .method = method});
}

void Wal::AddRing(const RingPort* port) {
  Post({.kind = Message::Kind::kAddRing, .owner = {}, .port = port});
}

void Wal::EndRing(const RingPort* port) {
  CHECK(port->guard != nullptr);
  Post({.kind = Message::Kind::kEndRing, .owner = {}, .port = port});
}

void Wal::RemoveRing(const RingPort* port) {
  Post({.kind = Message::Kind::kRemoveRing, .owner = {}, .port = port});
  struct Waiting {
    Wal* wal;
    const RingPort* port;
  } waiting{this, port};
  const auto removed = [](void* argument) {
    auto* self = static_cast<Waiting*>(argument);
    const std::lock_guard lock(self->wal->mailbox_mutex_);
    const auto& registered = self->wal->registered_;
    return std::find(registered.begin(), registered.end(), self->port) == registered.end();
  };
  (void)environment_.executor.Await(removed, &waiting, Deadline::max());
}

void Wal::Post(const Message& message) {
  {
    const std::lock_guard lock(mailbox_mutex_);
    mailbox_.push_back(message);
    if (message.kind == Message::Kind::kAddRing) registered_.push_back(message.port);
    if (message.kind == Message::Kind::kRemoveRing) ring_leaves_ = true;
    has_mail_.store(true, std::memory_order_release);
  }
  const bool soon = message.kind == Message::Kind::kRemoveRing ||
                    message.kind == Message::Kind::kEndRing ||
                    message.kind == Message::Kind::kRetire ||
                    message.kind == Message::Kind::kRoll || message.kind == Message::Kind::kMethod;
  if (soon) environment_.executor.Wake(*this);
}

/// False: all waits until nothing is in flight. Plans name rings by their places, so none goes
/// while a plan is under way; and one that wants to go may say so at any moment before this look.
bool Wal::ReadMailbox() {
  if (!has_mail_.load(std::memory_order_acquire)) return true;
  std::vector<Message> messages;
  {
    const std::lock_guard lock(mailbox_mutex_);
    if (ring_leaves_ && !flight_.empty()) return false;
    messages.swap(mailbox_);
    ring_leaves_ = false;
    has_mail_.store(false, std::memory_order_release);
  }
  bool removed = false;
  for (const Message& message : messages) {
    Handle(message);
    removed = removed || message.kind == Message::Kind::kRemoveRing;
  }
  if (removed) environment_.executor.Progress();
  return true;
}

void Wal::Handle(const Message& message) {
  switch (message.kind) {
    case Message::Kind::kOpenSlot: {
      if (message.slot >= slots_.size()) slots_.resize(message.slot + 1);
      Slot& slot = slots_[message.slot];
      if (slot.open && slot.owner.uid == message.owner.uid) {
        slot.stopped = false;  // Who was refused is gone.
        break;                 // Known from recovery.
      }
      slot_of_.erase(slot.owner.uid);
      // A tombstone that is forgotten already need not be written again.
      std::erase_if(repeats_,
                    [&](const Repeat& repeat) { return repeat.row.owner.uid == slot.owner.uid; });
      slot = Slot{.owner = message.owner};
      slot.open = true;
      slot_of_[message.owner.uid] = message.slot;
      break;
    }
    case Message::Kind::kCloseSlot:
      CHECK(message.slot < slots_.size());
      slots_[message.slot].open = false;
      break;
    case Message::Kind::kAddRing:
      rings_.push_back({.port = message.port,
                        .taken = message.port->ring->released(),
                        .committed = message.port->ring->released(),
                        .news = {}});
      RingsChanged();
      // Records may stand in it already, and the wake for them was the one that led here.
      environment_.executor.Wake(*this);
      break;
    case Message::Kind::kEndRing:
      for (Ring& ring : rings_) {
        if (ring.port != message.port || ring.end) continue;
        SnapshotForeign(ring);
        EndAt(ring, ring.committed);
      }
      environment_.executor.Progress();  // Somebody may wait for just that.
      break;
    case Message::Kind::kRemoveRing: {
      std::erase_if(rings_, [&](const Ring& ring) { return ring.port == message.port; });
      RingsChanged();
      const std::lock_guard lock(mailbox_mutex_);
      std::erase(registered_, message.port);
      break;
    }
    case Message::Kind::kRetire:
      retired_upto_ = std::max(retired_upto_, message.file);
      RecycleRetired();
      UpdateAdmission();
      break;
    case Message::Kind::kRoll:
      roll_asked_ = true;
      break;
    case Message::Kind::kMethod:
      wanted_method_.reset();
      if (message.method == options_.sync_method) break;
      wanted_method_ = message.method;
      roll_asked_ = true;
      break;
  }
}

/// Read before the mailbox: a slot is opened before its first record is committed.
void Wal::SnapshotRings() {
  for (Ring& ring : rings_) {
    if (ring.port->guard != nullptr) {
      SnapshotForeign(ring);
      continue;
    }
    const Result<std::uint64_t> committed = ring.port->ring->Committed();
    CHECK(committed.ok());  // Ours, in this process: a broken word is our bug.
    ring.committed = *committed;
  }
}

bool Wal::RingsEmpty() const {
  return std::all_of(rings_.begin(), rings_.end(),
                     [](const Ring& ring) { return ring.taken == ring.committed; });
}

std::uint64_t Wal::RecordsWaiting() const {
  std::uint64_t records = 0;
  for (const Ring& ring : rings_) records += ring.committed - ring.taken;
  return records;
}

void Wal::StartPlan(Plan& plan) {
  plan.id = ++plan_counter_;
  plan.submitted = plan.done = plan.failed = plan.published = false;
  plan.records.clear();
  plan.runs.clear();
  plan.touched.clear();
  plan.bindings.clear();
  plan.repeats.clear();
  plan.record_bytes = 0;
  plan.entry_count = 0;
  plan.seal = plan.closes = plan.opens_file = plan.full = plan.skipped = false;
  plan.rows.clear();
  plan.changes.clear();
  plan.followed.clear();
  plan.file.reset();
  plan.trace.Reset();
}

std::uint64_t Wal::PlanBytes(const Plan& plan) const {
  return BatchBytes(plan.record_bytes, plan.runs.size() + plan.repeats.size(),
                    plan.bindings.size());
}

void Wal::PlanRecords(Plan& plan, std::uint64_t room) {
  stranded_ = false;
  turns_.Run([&](std::size_t ring, std::uint64_t bytes) {
    const Turns::Taken taken = TakeFrom(ring, {.plan = plan, .room = room, .bytes = bytes});
    if (rings_[ring].port->bytes != nullptr) rings_[ring].port->bytes->Add(taken.bytes);
    return taken;
  });
  status_.strands.store(stranded_ && pool().failure().has_value(), std::memory_order_release);
}

Turns::Taken Wal::TakeFrom(std::size_t ring_number, const Taking& taking) {
  Plan& plan = taking.plan;
  Ring& ring = rings_[ring_number];
  std::uint64_t taken = 0;
  while (ring.taken < ring.committed && taken < taking.bytes) {
    if (plan.records.size() >= options_.max_batch_records) return {taken, true};
    Descriptor descriptor;
    ring.port->ring->Copy(ring.taken + 1,
                          std::as_writable_bytes(std::span<Descriptor, 1>(&descriptor, 1)));
    if (ring.port->guard != nullptr) {
      Pass(KillStep::kSlotCopied);
      const Judged judged = Judge(ring, descriptor);
      Pass(KillStep::kRecordJudged);
      if (judged == Judged::kCutOff) break;
      if (judged == Judged::kSkip) {
        ++ring.taken;
        plan.skipped = true;
        continue;
      }
    }
    if (!TakesHere(descriptor)) {
      stranded_ = true;
      break;
    }
    const auto number = static_cast<std::uint32_t>(ring_number);
    if (!PlanRecord(plan, number, descriptor, taking.room)) return {taken, true};
    ++ring.taken;
    taken += RecordBytes(descriptor.payload_bytes);
  }
  return {taken, false};
}

void Wal::RingsChanged() {
  std::vector<const void*> owners;
  for (const Ring& ring : rings_) owners.push_back(ring.port->owner);
  turns_.Reset(owners);
}

/// On a fast device large batches give no more throughput, but each Writer waits for all of one,
/// and while all fill the next one at once, the device waits for them.
std::uint64_t Wal::BatchBytesMax() const {
  const std::uint64_t max =
      std::min(options_.batch_bytes_max, MaxBatchBytes(current_.live.size_bytes));
  return usual_durable_ns_ > kSlowDeviceNs ? max : std::min(max, kFastBatchBytes);
}

/// False when the record does not fit any more.
bool Wal::PlanRecord(Plan& plan, std::uint32_t ring_number, const Descriptor& descriptor,
                     std::uint64_t room) {
  CHECK(descriptor.slot < slots_.size());
  Slot& slot = slots_[descriptor.slot];
  const bool extends =
      slot.plan == plan.id && slot.run != UINT32_MAX && Extends(plan.runs[slot.run], descriptor);
  const std::uint64_t bytes =
      IsMark(descriptor.run_kind) ? 0 : RecordBytes(descriptor.payload_bytes);
  const std::uint64_t after = BatchBytes(plan.record_bytes + bytes,
                                         plan.runs.size() + plan.repeats.size() + (extends ? 0 : 1),
                                         plan.bindings.size() + (IsBound(slot) ? 0 : 1));
  const bool file_full = options_.max_entries != 0 && IsEntries(descriptor.run_kind) &&
                         current_.entries + plan.entry_count >= options_.max_entries;
  if (after > room || file_full) {
    plan.full = true;
    return false;
  }
  // A record larger than a usual batch goes alone.
  if (after > BatchBytesMax() && !plan.records.empty()) return false;
  Touch(plan, descriptor.slot);
  slot.ring = ring_number;
  if (rings_[ring_number].port->guard == nullptr) slot.told_as = descriptor.slot;
  const std::uint64_t position = rings_[ring_number].taken + 1;
  if (!Accepts(slot, descriptor)) {
    Refuse(descriptor.slot, ErrorCode::kGap, position);
    return true;  // Taken from the ring and refused; the notice says so.
  }
  if (!extends) {
    slot.run = static_cast<std::uint32_t>(plan.runs.size());
    plan.runs.push_back({.header = {.slot = descriptor.slot,
                                    .first = descriptor.index,
                                    .term = descriptor.term,
                                    .epoch = descriptor.epoch,
                                    .kind = descriptor.run_kind}});
  }
  plan.trace.OnRecord(descriptor.enqueued_ns);
  PlannedRun& run = plan.runs[slot.run];
  const auto place = static_cast<std::uint32_t>(plan.records.size());
  plan.records.push_back({.descriptor = descriptor, .ring = ring_number, .position = position});
  if (run.first == UINT32_MAX) run.first = place;
  if (run.last != UINT32_MAX) plan.records[run.last].next = place;
  run.last = place;
  if (!IsMark(descriptor.run_kind)) ++run.header.count;
  if (IsEntries(descriptor.run_kind)) ++plan.entry_count;
  plan.record_bytes += bytes;
  Advance(slot.planned, {.slot = descriptor.slot,
                         .count = IsMark(descriptor.run_kind) ? 0u : 1u,
                         .first = descriptor.index,
                         .term = descriptor.term,
                         .epoch = descriptor.epoch,
                         .kind = descriptor.run_kind});
  if (descriptor.run_kind == RunKind::kRows) {
    slot.planned_rows = descriptor.index;
  }
  return true;
}

bool Wal::Extends(const PlannedRun& run, const Descriptor& descriptor) const {
  if (descriptor.run_kind == RunKind::kRows) return run.header.kind == RunKind::kRows;
  return descriptor.run_kind == RunKind::kNext && IsEntries(run.header.kind) &&
         run.header.kind != RunKind::kSparse && run.header.term == descriptor.term &&
         run.header.epoch == descriptor.epoch &&
         run.header.first + run.header.count == descriptor.index;
}

/// A record that does not fit its kind is never written [C3]; log/ has checked it already, so this
/// catches what changed on the way.
bool Wal::Accepts(const Slot& slot, const Descriptor& descriptor) const {
  if (slot.stopped) return false;
  const SlotBounds& bounds = slot.planned;
  if (descriptor.epoch < bounds.epoch) return false;
  switch (descriptor.run_kind) {
    case RunKind::kNext:
      return descriptor.index == bounds.end;
    case RunKind::kOverwrite:
      return descriptor.index < bounds.end && descriptor.index >= bounds.begin;
    case RunKind::kTruncateSuffix:
      return descriptor.index <= bounds.end;
    default:
      return true;
  }
}

void Wal::Refuse(std::uint32_t slot_number, ErrorCode code, std::uint64_t position) {
  Slot& slot = slots_[slot_number];
  counters_.refused_records.Add(1);
  if (slot.stopped) return;
  environment_.log.Write(LogLevel::kError, "wal.refused",
                         "a record was refused and its log is stopped",
                         {{"uid", slot.owner.uid.ToString()}, {"reason", ErrorCodeName(code)}});
  slot.stopped = true;
  slot.stop_code = code;
  slot.refused_position = position;
}

Wal::Slot& Wal::Touch(Plan& plan, std::uint32_t slot_number) {
  Slot& slot = slots_[slot_number];
  if (slot.plan != plan.id) {
    slot.plan = plan.id;
    slot.run = UINT32_MAX;
    plan.touched.push_back({.slot = slot_number, .bounds = {}});
  }
  Bind(plan, slot_number);
  return slot;
}

void Wal::Bind(Plan& plan, std::uint32_t slot_number) {
  Slot& slot = slots_[slot_number];
  if (IsBound(slot) || slot.bound_plan == plan.id) return;
  slot.bound_times = slot.bound_file == current_.live.number ? slot.bound_times + 1 : 1;
  slot.bound_file = current_.live.number;
  slot.bound_plan = plan.id;
  plan.bindings.push_back({slot_number, slot.owner.cluster_id, slot.owner.uid});
}

bool Wal::IsBound(const Slot& slot) const {
  return slot.bound_file == current_.live.number && slot.bound_times >= kBindTimes;
}

/// Freezes the state behind the plan: a second plan may go on before this one is durable.
void Wal::FinishPlan(Plan& plan) {
  for (Touched& touched : plan.touched) {
    touched.bounds = slots_[touched.slot].planned;
    touched.rows = slots_[touched.slot].planned_rows;
    touched.refused = slots_[touched.slot].stopped;
  }
  plan.ring_taken.clear();
  for (const Ring& ring : rings_) plan.ring_taken.push_back(ring.taken);
}

/// Rows are written twice, in different blocks: at commit and again in the next batch [A1].
void Wal::PlanRepeats(Plan& plan, std::uint64_t room) {
  for (const Repeat& repeat : repeats_) {
    const RowCopy& row = repeat.row;
    plan.repeats.push_back(repeat);
    plan.record_bytes += RecordBytes(row.payload.size());
    Bind(plan, SlotForCopy(row.owner.uid));
    if (PlanBytes(plan) > room) {
      plan.record_bytes -= RecordBytes(row.payload.size());
      plan.repeats.pop_back();
      break;
    }
  }
}

std::uint64_t Wal::RepeatBytes() const {
  std::uint64_t bytes = 0;
  for (const Repeat& repeat : repeats_) {
    bytes += RecordBytes(repeat.row.payload.size()) + kRunHeaderBytes + kRunSummaryBytes +
             2 * kBindingBytes;
  }
  return bytes;
}

/// A log keeps its slot until its tombstone is forgotten, so whoever has rows has one.
std::uint32_t Wal::SlotForCopy(const ServerUid& uid) const {
  const auto found = slot_of_.find(uid);
  CHECK(found != slot_of_.end());
  return found->second;
}

/// Tells each Writer how far its logs are, and gives its ring the room back.
void Wal::AnswerRings(const Plan& plan) {
  for (const Touched& touched : plan.touched) {
    Slot& slot = slots_[touched.slot];
    slot.durable = touched.bounds;
    slot.durable_rows = touched.rows;
    if (slot.ring >= rings_.size()) continue;
    rings_[slot.ring].news.push_back({.slot = slot.told_as,
                                      .epoch = touched.bounds.epoch,
                                      .end = touched.bounds.end,
                                      .row_sequence = touched.rows,
                                      .refused = touched.refused,
                                      .refusal = slot.stop_code,
                                      .refused_position = slot.refused_position});
  }
  for (std::size_t i = 0; i < rings_.size() && i < plan.ring_taken.size(); ++i) {
    Ring& ring = rings_[i];
    RingGuard* const guard = ring.port->guard;
    if (guard != nullptr) {
      guard->Publish(ring.news);
      if (!ring.news.empty()) Pass(KillStep::kNoticesPublished);
    } else if (!ring.news.empty()) {
      ring.port->notices->Publish(ring.news);
    }
    const bool news = !ring.news.empty() || plan.ring_taken[i] > ring.port->ring->released();
    ring.news.clear();
    if (plan.ring_taken[i] > ring.port->ring->released()) {
      if (ring.port->records != nullptr) {
        ring.port->records->Add(plan.ring_taken[i] - ring.port->ring->released());
      }
      ring.port->ring->Release(plan.ring_taken[i]);
      Pass(KillStep::kRingReleased);
    }
    if (guard != nullptr && ring.end) EndAt(ring, *ring.end);
    if (news) ring.port->notify(ring.port->argument);
  }
  environment_.executor.Progress();
}

}  // namespace duramen::wal
