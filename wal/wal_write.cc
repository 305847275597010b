// How a planned batch gets to disk and what happens when it does not; see wal/wal.h.
#include <algorithm>
#include <cstdlib>

#include "base/bytes.h"
#include "base/check.h"
#include "base/kill_step.h"
#include "base/planted.h"
#include "base/try.h"
#include "base/zeros.h"
#include "wal/ring_guard.h"
#include "wal/wal.h"

namespace duramen::wal {
namespace {

constexpr std::int64_t kRetryNs = 1'000'000'000;
constexpr std::uint64_t kZeroAheadBytes = kZeroBytesMax;
constexpr std::uint64_t kLargeBatchBytes = 256 << 10;

}  // namespace

std::int64_t Wal::Step() {
  const std::int64_t next = StepOnce();
  return HasAway() ? std::min(next, Watch()) : next;
}

std::int64_t Wal::StepOnce() {
  const std::int64_t now = environment_.clock.NowNs();
  CountWait(now);
  SnapshotRings();
  TakeDone();
  if (HasAway()) LookAround();
  if (!FailedBack()) return kIdle;
  if (!ReadMailbox()) return kIdle;
  if ((state() == WalState::kDown || failures_ >= 2) && now < retry_at_ns_) return retry_at_ns_;
  const std::int64_t next = Round();
  const std::int64_t end = environment_.clock.NowNs();
  counters_.busy_ns.Add(static_cast<std::uint64_t>(end - now));
  if (next == kIdle && InFlight()) waiting_since_ns_ = end;
  return next;
}

std::int64_t Wal::Round() {
  if (!MayPlan()) return kIdle;  // A completion wakes us.
  must_roll_ = must_roll_ || environment_.clock.NowNs() >= RollDue();
  bool wrote = false;
  if (HasAway()) ChoosePlace();
  ChooseFile();
  if (current_.rows_only) roll_asked_ = false;  // It never becomes a generation.
  // A file without a batch is no generation: it gets a seal first.
  const bool sealed_first = roll_asked_ && written_file_ != current_.live.number;
  if (roll_asked_ && !sealed_first) {
    must_roll_ = true;
    roll_asked_ = false;
  }
  const bool was_full = full_;
  const Status status = WriteRound(sealed_first, wrote);
  if (!status.ok() && !failure_) failure_ = status.error();
  if (failure_) {
    if (!FailedBack()) return kIdle;
    return failures_ >= 2 ? retry_at_ns_ : kAgain;
  }
  if (wrote || (full_ && !was_full)) return kAgain;  // The next one may begin with a roll.
  return Idle(environment_.clock.NowNs());
}

/// Nothing is waiting: the one seal of this idle period, or a roll because of the file's age.
std::int64_t Wal::Idle(std::int64_t now_ns) {
  if (!flight_.empty()) return kIdle;
  const bool waiting = must_roll_ || !RingsEmpty();
  if (state() == WalState::kDown && (waiting || now_ns < retry_at_ns_)) return retry_at_ns_;
  const bool was_refused = state() == WalState::kDown || state() == WalState::kDiskFull;
  if (was_refused && !waiting && !EntriesFull()) {
    // Entries are refused, so no write will ever find out that there is space again [G9].
    status_.blocked.store(false, std::memory_order_release);
    SetState(WalState::kUp, "");
    UpdateAdmission();
  }
  if (!must_roll_ && now_ns >= RollDue()) {
    must_roll_ = true;
    return kAgain;
  }
  if (status_.blocked.load(std::memory_order_relaxed) || state() == WalState::kWaitingForFile) {
    return kIdle;
  }
  if (sealed_ || options_.sync_method == SyncMethod::kNone) return RollDue();
  if (now_ns - last_write_ns_ < options_.seal_after_ns) {
    return last_write_ns_ + options_.seal_after_ns;
  }
  bool wrote = false;
  const Status status = WriteRound(true, wrote);
  if (!status.ok() && !failure_) failure_ = status.error();
  if (failure_) {
    if (!FailedBack()) return kIdle;
    return failures_ >= 2 ? retry_at_ns_ : kAgain;
  }
  if (!wrote) sealed_ = true;  // No room; the next file's header proves as much.
  return kAgain;               // Something may have arrived meanwhile; the next step finds out.
}

/// A generation that nobody closes would keep its entries out of segments for ever. Nor may memory
/// wait for a file to fill while entries wait for memory: at its high water a flush is due, unless
/// one is on its way [B1].
std::int64_t Wal::RollDue() const {
  if (current_.first_record_ns == 0 || must_roll_) return kIdle;
  if (current_.rows_only) return kIdle;  // It holds no entries.
  const bool flushing = files_.size() > 1;
  if (!flushing && environment_.budget.AboveHighWater()) {
    return current_.first_record_ns;
  }
  if (options_.max_age_ns == 0) return kIdle;
  return current_.first_record_ns + options_.max_age_ns;
}

Status Wal::WriteRound(bool seal, bool& wrote) {
  if (draft_ == nullptr) draft_ = NextPlan();
  Plan& plan = *draft_;
  StartPlan(plan);
  bool rolled = false;
  if (must_roll_ || (full_ && !seal)) {
    TRY(Roll(plan, rolled));
    if (must_roll_) return {};  // There is no next file yet.
  }
  full_ = false;
  if (seal && !rolled) {
    const std::uint64_t room = current_.live.size_bytes - current_.offset;
    if (room < kBlockBytes) return {};  // The next file's header proves as much.
    PlanRepeats(plan, room);
    plan.seal = plan.closes = true;
  } else {
    const std::uint64_t room = Room();
    if (!RingsEmpty()) PlanRecords(plan, room - std::min(RepeatBytes(), room / 2));
    // Last, because repeats alone make no batch; they are encoded first.
    if (!plan.empty() || rolled) PlanRepeats(plan, room);
    plan.seal = rolled && plan.empty();
  }
  full_ = plan.full;
  FinishPlan(plan);
  if (plan.empty()) {
    AbandonPlan(std::move(draft_));
    return {};
  }
  const Status encoded = EncodePlan(plan);
  if (!encoded.ok()) {  // What it took is given back with what else is forgotten.
    plan.done = plan.failed = true;
    flight_.push_back(std::move(draft_));
    return encoded;
  }
  wrote = true;
  sealed_ = false;
  Send(std::move(draft_));
  return {};
}

std::uint64_t Wal::Room() const {
  const std::uint64_t used = current_.offset + kSealReserveBytes;
  return current_.live.size_bytes > used ? current_.live.size_bytes - used : 0;
}

Status Wal::EncodePlan(Plan& plan) {
  telling_.OnPlanned(plan.trace, RecordsWaiting());
  const std::uint64_t front = plan.opens_file ? kFirstBatchOffset : 0;
  MakeRoom(plan, front + PlanBytes(plan) + kBlockBytes);
  BatchEncoder encoder(current_.context, current_.offset,
                       {plan.buffer.get() + front, plan.buffer_bytes - front},
                       std::move(batch_lists_));
  if (options_.pack_bytes_min != 0) {
    // What it makes of a run is smaller than the run.
    packer_bytes_.Set(packer_.held_bytes(PlanBytes(plan)));
    encoder.PackWith(packer_);
  }
  for (const Binding& binding : plan.bindings) encoder.AddBinding(binding);
  EncodeRepeats(plan, encoder);
  for (PlannedRun& run : plan.runs) EncodeRun(plan, run, encoder);
  for (Touched& touched : plan.touched) {  // What was refused while encoding is not durable.
    if (slots_[touched.slot].stopped) touched.bounds = slots_[touched.slot].planned;
    touched.refused = slots_[touched.slot].stopped;
  }
  const auto repeated = static_cast<std::ptrdiff_t>(plan.repeats.size());
  repeats_.erase(repeats_.begin(), repeats_.begin() + repeated);
  for (const RowCopy& row : plan.rows) repeats_.push_back({row, plan.id});
  BatchHeader header{.flags = static_cast<std::uint16_t>(plan.seal ? kBatchSeal : 0)};
  header.number = written_.next_batch;
  header.durable_upto = Planted(PlantedBug::kProofRunsAhead) ? written_.batch : durable_upto_;
  header.previous_checksum = written_.checksum;
  header.boot = options_.boot;
  const Bytes bytes = encoder.Finish(header);
  batch_lists_ = encoder.TakeLists();
  packer_bytes_.Set(packer_.held_bytes());
  counters_.packed_from_bytes.Set(packer_.packed_from_bytes());
  counters_.packed_to_bytes.Set(packer_.packed_to_bytes());
  NoteBatchSize(plan.closes ? 0 : bytes.size());
  TRY(ZeroAhead(current_.offset + bytes.size()));
  plan.file = current_.writer;
  plan.file_number = current_.live.number;
  plan.write_offset = current_.offset - front;
  plan.bytes = {plan.buffer.get(), front + bytes.size()};
  const std::int64_t encoded =
      telling_.OnEncoded(plan.trace, {header.number, plan.file_number, plan.bytes.size()});
  current_.offset += bytes.size();
  current_.entries += plan.entry_count;
  if (current_.first_record_ns == 0 && !plan.seal) current_.first_record_ns = encoded;
  written_ = {.batch = header.number,
              .checksum = header.checksum,
              .next_batch = header.number + 1,
              .offset = current_.offset};
  written_file_ = current_.live.number;
  plan.position = written_;
  return {};
}

/// Rows come before what was appended after them, so that a replay in order sees the newest last.
void Wal::EncodeRepeats(const Plan& plan, BatchEncoder& encoder) {
  for (const Repeat& repeat : plan.repeats) EncodeRowCopy(repeat.row, kRunRepeat, encoder);
}

void Wal::EncodeRowCopy(const RowCopy& row, std::uint8_t flags, BatchEncoder& encoder) {
  const RunHeader run{.slot = SlotForCopy(row.owner.uid),
                      .first = LoadLe<std::uint64_t>(row.payload.data()),
                      .kind = RunKind::kRows,
                      .flags = flags};
  encoder.BeginRun(run, row.owner.uid);
  const EntryIdentity identity{row.owner.cluster_id, 0, 0, row.kind};
  const bool added =
      encoder.AddRecord({.identity = identity,
                         .payload = row.payload.data(),
                         .payload_bytes = static_cast<std::uint32_t>(row.payload.size()),
                         .entry_checksum = EntryChecksum(identity, row.payload)});
  CHECK(added);
  (void)encoder.EndRun();
}

void Wal::EncodeRun(Plan& plan, PlannedRun& run, BatchEncoder& encoder) {
  Slot& slot = slots_[run.header.slot];
  encoder.BeginRun(run.header, slot.owner.uid);
  const bool is_entries = IsEntries(run.header.kind);
  const std::uint64_t offset = encoder.run_offset();
  std::uint32_t added = 0;
  for (std::uint32_t at = run.first; at != UINT32_MAX && run.header.count > 0;
       at = plan.records[at].next) {
    const PlannedRecord& record = plan.records[at];
    const Descriptor& descriptor = record.descriptor;
    Ring& ring = rings_[record.ring];
    const std::byte* payload = ring.port->resolve(ring.port->argument, descriptor);
    const RecordSource source{
        .identity = {slot.owner.cluster_id, is_entries ? descriptor.term : 0,
                     is_entries ? descriptor.index : 0, descriptor.kind},
        .payload = payload,
        .payload_bytes = descriptor.payload_bytes,
        .entry_checksum = descriptor.entry_checksum};
    const bool good = !slot.stopped && payload != nullptr &&
                      (ring.port->guard == nullptr
                           ? encoder.AddRecord(source)
                           : AddForeign(ring, source, descriptor, encoder));
    if (!good) {  // Changed in memory [C10]: refused with all behind it, the others go on.
      Refuse(run.header.slot, ErrorCode::kCorruption, record.position);
      break;
    }
    ++added;
    if (run.header.kind == RunKind::kRows) {
      const Bytes copy = encoder.last_payload();  // The source can still be written by its owner.
      plan.rows.push_back({slot.owner, descriptor.kind, {copy.begin(), copy.end()}});
    }
  }
  if (slot.stopped && added == 0) {  // Marks behind a refused record go with it.
    encoder.AbandonRun();
    slot.planned = slot.encoded;
    return;
  }
  const RunHeader written = encoder.EndRun();
  Advance(slot.encoded, written);
  if (slot.stopped) slot.planned = slot.encoded;
  using Kind = LandedIndex::Change::Kind;
  const std::uint32_t slot_number = written.slot;
  const bool foreign = slot.ring < rings_.size() && rings_[slot.ring].port->guard != nullptr;
  if (foreign && written.kind != RunKind::kRows) plan.followed.push_back(written);
  switch (written.kind) {
    case RunKind::kOverwrite:
    case RunKind::kTruncateSuffix:
      plan.changes.push_back({Kind::kCut, slot_number, written.first, {}});
      break;
    case RunKind::kJump:
    case RunKind::kReset:
      plan.changes.push_back({Kind::kReset, slot_number, written.first, {}});
      break;
    case RunKind::kFloor:
      plan.changes.push_back({Kind::kFloor, slot_number, written.first, {}});
      break;
    default:
      break;
  }
  if (!is_entries || written.kind == RunKind::kSparse) return;
  plan.changes.push_back({Kind::kAdd,
                          slot_number,
                          0,
                          {.file = current_.live.number,
                           .offset = offset,
                           .first = written.first,
                           .count = written.count,
                           .bytes = written.bytes,
                           .term = written.term}});
}

/// Nothing of the plan is written: what it bound is not bound, and what it refused is answered when
/// what was planned before it is through.
void Wal::AbandonPlan(std::unique_ptr<Plan> plan) {
  for (const Binding& binding : plan->bindings) slots_[binding.slot].bound_file = 0;
  plan->bindings.clear();
  if (plan->touched.empty() && !plan->skipped) return Shelve(std::move(plan));
  plan->done = true;
  flight_.push_back(std::move(plan));
  Land();
}

/// Large batches carry the cost of blocks that were never written more easily than a second write
/// of all their bytes, here or in the pool, where it competes with them for the device. 0: the WAL
/// is idle.
void Wal::NoteBatchSize(std::uint64_t bytes) {
  usual_batch_bytes_ = bytes == 0 ? 0 : usual_batch_bytes_ - usual_batch_bytes_ / 8 + bytes / 8;
  pool().set_zeroes(usual_batch_bytes_ < kLargeBatchBytes);
}

/// Only a first start has blocks that were never written; see FilePool.
Status Wal::ZeroAhead(std::uint64_t end_offset) {
  if (end_offset <= current_.zeroed || HasAway()) return {};
  if (usual_batch_bytes_ >= kLargeBatchBytes) {
    current_.zeroed = end_offset;
    return {};
  }
  const std::uint64_t end = std::min(end_offset + kZeroAheadBytes, current_.live.size_bytes);
  if (end > end_offset) {
    // By the same kind of I/O as the batches [C6]; where that is the page cache, their syncs do.
    const bool direct = How() == MadeDurable::kDirect;
    const WriteDone done = queue_->Run({.file = current_.writer.get(),
                                        .offset = end_offset,
                                        .bytes = ZeroBytes(end - end_offset),
                                        .how = direct ? MadeDurable::kDirect : MadeDurable::kNot});
    TRY(Status(done.status));
  }
  current_.zeroed = end;
  return {};
}

/// At most one header is on its way to the disk: a chain with a gap in it could not be told from a
/// damaged one.
bool Wal::MayRoll() const {
  return flight_.empty() || durable_file_ == current_.live.number ||
         committed_file_ == current_.live.number;
}

/// The service header goes out with the file's first batch: one sync makes both durable [C4].
Status Wal::Roll(Plan& plan, bool& rolled) {
  if (!MayRoll()) return {};
  if (wanted_method_ && !flight_.empty()) return {};  // The old file is finished first [C6].
  // What a row file holds is said again, once all of it is durable.
  if (current_.rows_only && !flight_.empty()) return {};
  // Each directory has a queue of its own.
  if (place_ != queue_place_ && !flight_.empty()) return {};
  FilePool& pool = this->pool();
  const std::optional<Error> failure = pool.failure();
  std::optional<PoolFile> taken = TakeFile(failure);
  if (!taken) {
    CannotRoll(failure);
    return {};
  }
  took_file_ = true;
  const Status changed = ChangeMethod();
  if (!changed.ok()) {
    pool.Remove(taken->number);
    return changed;
  }
  if (place_ != queue_place_) {
    queue_place_ = place_;
    queue_.reset();
    MakeQueue();
  }
  taken = TRY(pool.NumberAbove(*taken, highest_file_));
  highest_file_ = taken->number;
  const LiveFile live{.number = taken->number,
                      .life = rng_.Next() | 1,
                      .size_bytes = taken->size_bytes,
                      .zeroed_bytes = taken->zeroed_bytes,
                      .rows_only = taken->rows_only,
                      .place = taken->place,
                      .file = taken->file};
  Result<std::shared_ptr<File>> writer = WriterOf(live);
  if (!writer.ok()) {
    pool.Remove(taken->number);
    return std::move(writer).error();
  }
  rolled = true;
  if (LeavesRowFile()) {
    const Carried carried = CollectCarried();
    if (FitsFile(carried, live.size_bytes)) return Supersede(carried, live, std::move(*writer));
  }
  FileHeader header = HeaderFor(live);
  if (written_file_ != 0) {
    header.predecessor_number = written_file_;
    header.predecessor_life = LifeOf(written_file_);
    header.predecessor_end = written_.batch;
    header.predecessor_checksum = written_.checksum;
  }
  PutIntoService(live, std::move(*writer));
  MakeRoom(plan, kFirstBatchOffset);
  plan.opens_file = true;
  EncodeHeaders(header, {plan.buffer.get(), kFirstBatchOffset});
  return {};
}

void Wal::CannotRoll(const std::optional<Error>& failure) {
  if (failure && failure->code == ErrorCode::kDiskFull) {
    SetState(WalState::kDiskFull, failure->message);
  } else if (failure) {
    SetState(WalState::kDown, failure->message);
    retry_at_ns_ = environment_.clock.NowNs() + kRetryNs;
    Notify();
  } else if (state() != WalState::kDown && failures_ < 2) {
    SetState(WalState::kWaitingForFile, "the next file is not ready");
  }
  // Rows and marks wait for a row file that is on its way; nobody is told that they cannot be
  // taken.
  const bool row_comes = failure && failure->code == ErrorCode::kDiskFull && current_.rows_only &&
                         pool().RowFileComing();
  status_.blocked.store(failure.has_value() && !row_comes, std::memory_order_release);
  UpdateAdmission();
  if (failure) Notify();
}

/// Without a predecessor.
FileHeader Wal::HeaderFor(const LiveFile& live) const {
  return {.version = options_.pack_bytes_min != 0 ? kPackedVersion : kFormatVersion,
          .system = options_.system,
          .life = live.life,
          .number = live.number,
          .size_bytes = live.size_bytes,
          .boot = options_.boot,
          .oldest_live = files_.front().number,
          .first_batch = written_.next_batch,
          .durable_upto = durable_upto_,
          .sync_method = static_cast<std::uint32_t>(options_.sync_method),
          .unix_ms = environment_.clock.UnixMs()};
}

std::uint64_t Wal::LifeOf(std::uint64_t number) const {
  for (const LiveFile& file : files_) {
    if (file.number == number) return file.life;
  }
  if (number == row_base_.end.file) return row_base_.end.life;
  CHECK(number == base_.file);
  return base_.life;
}

void Wal::PutIntoService(const LiveFile& live, std::shared_ptr<File> writer) {
  const FileContext context = FileContext::Of(options_.system, live.number, live.life);
  files_.push_back(live);
  environment_.landed.AddFile(live.number, {live.file, context, live.size_bytes, live.place});
  current_ = {.live = live,
              .writer = std::move(writer),
              .context = context,
              .zeroed = live.zeroed_bytes,
              .rows_only = live.rows_only};
  status_.current_file.store(live.number, std::memory_order_release);
  must_roll_ = false;
  counters_.place.Set(static_cast<std::uint64_t>(live.place));
  counters_.rolls.Add(1);
  if (live.rows_only) counters_.row_rolls.Add(1);
}

void Wal::EncodeHeaders(const FileHeader& header, std::span<std::byte> blocks) {
  for (std::uint64_t copy = 0; copy < kHeaderCopies; ++copy) {
    EncodeFileHeader(header, copy, blocks.subspan(copy * kBlockBytes).first<kBlockBytes>());
  }
}

void Wal::Publish(Plan& plan) {
  plan.published = true;
  durable_plan_ = plan.id;
  if (!plan.submitted) return AnswerRings(plan);  // All of it was refused.
  if (plan.file_number != durable_file_ && current_.rows_only) NoteRowBase();
  if (plan.file_number != durable_file_ && durable_file_ != 0) CloseGeneration();
  durable_ = plan.position;
  durable_file_ = plan.file_number;
  if (options_.sync_method != SyncMethod::kNone) durable_upto_ = plan.position.batch;
  environment_.landed.Apply(plan.changes);
  if (!plan.followed.empty() && environment_.follower != nullptr) {
    environment_.follower->OnDurable(plan.followed);
    Pass(KillStep::kBatchFollowed);
  }
  for (const Repeat& repeat : plan.repeats) {
    // Unless its log was forgotten meanwhile.
    const RowCopy& row = repeat.row;
    if (!slot_of_.contains(row.owner.uid)) continue;
    environment_.keeper.OnRow(row.owner, row.kind, row.payload, plan.file_number);
  }
  for (const RowCopy& row : plan.rows) {
    environment_.keeper.OnRow(row.owner, row.kind, row.payload, plan.file_number);
  }
  counters_.entries.Add(plan.entry_count);
  counters_.rows.Add(plan.rows.size());
  if (plan.seal) counters_.seals.Add(1);
  if (plan.closes && plan.id == newest_plan_) sealed_ = true;
  AnswerRings(plan);
  telling_.OnNotified(plan.trace);
}

/// Poison for ever, write elsewhere: a failed sync is never retried on the same file, because the
/// kernel may have marked its pages clean. Requires: nothing is in flight.
void Wal::Fail(const Error& error) {
  ++failures_;
  environment_.log.Write(LogLevel::kError, "wal.poisoned",
                         "a write or sync failed; the file is not written again",
                         {{"file", FileName(current_.live.number)}, {"error", error.message}});
  LeaveFile();
  const Place other = Other(queue_place_);
  if (HasAway() && place_ != other && Usable(other)) GoTo(other, error.message);
  if (failures_ < 2) return;
  // A file system that gives space only when it is written to says so here.
  const bool full = error.code == ErrorCode::kDiskFull;
  SetState(full ? WalState::kDiskFull : WalState::kDown, error.message);
  retry_at_ns_ = environment_.clock.NowNs() + kRetryNs;
  UpdateAdmission();
  Notify();
  if (options_.on_wal_down == OnWalDown::kExit) {
    std::_Exit(full ? 10 : 12);
  }
}

/// Nothing that is on its way counts, and nothing more goes to the files where it was to stand.
void Wal::LeaveFile() {
  counters_.poisoned_files.Add(1);
  for (const std::unique_ptr<Plan>& plan : flight_) {
    if (plan->submitted && !plan->published) poisoned_.push_back(plan->file_number);
  }
  poisoned_.push_back(current_.live.number);
  ForgetPlans();
  // A poisoned file without a durable batch holds nothing that counts.
  for (std::size_t i = files_.size(); i-- > 1 && files_[i].number > durable_file_;) {
    environment_.landed.RemoveFile(files_[i].number);
    // Recovery's file holds no batch yet, but its header is what let older files go: it stays until
    // another header is durable.
    if (files_[i].number == committed_file_) {
      doomed_.push_back(files_[i]);
    } else {
      Discard(files_[i]);
    }
    files_.pop_back();
  }
  must_roll_ = true;
}

/// Everything that is not durable goes back to where it came from, in order.
void Wal::ForgetPlans() {
  std::deque<Repeat> repeats;
  const auto keep = [&](const Repeat& repeat) {
    if (repeat.plan <= durable_plan_ && slot_of_.contains(repeat.row.owner.uid)) {
      repeats.push_back(repeat);
    }
  };
  for (std::unique_ptr<Plan>& plan : flight_) {
    telling_.OnFailed(plan->trace);
    for (const Touched& touched : plan->touched) {
      Slot& slot = slots_[touched.slot];
      slot.planned = slot.encoded = slot.durable;
      slot.planned_rows = slot.durable_rows;
    }
    for (const Repeat& repeat : plan->repeats) keep(repeat);
    const bool in_flight = plan->submitted && !plan->done;
    if (in_flight) {
      stalled_.back().plans.push_back(std::move(plan));
    } else {
      Shelve(std::move(plan));
    }
  }
  flight_.clear();
  for (const Repeat& repeat : repeats_) keep(repeat);
  repeats_ = std::move(repeats);
  for (Ring& ring : rings_) {
    counters_.resent_records.Add(ring.taken - ring.port->ring->released());
    ring.taken = ring.port->ring->released();
  }
  const std::uint64_t next_batch = written_.next_batch;
  if (!(Planted(PlantedBug::kEndRunsAhead) && !stalled_.empty())) written_ = durable_;
  written_.next_batch = next_batch + 1;  // The failed batch may have drawn its number already.
  written_file_ = durable_file_;
}

void Wal::Notify() {
  for (const Ring& ring : rings_) ring.port->notify(ring.port->argument);
  environment_.executor.Progress();
}

/// The batch that is about to be published stands in another file than the last durable one, so
/// nothing is added to that one any more. Slots still say what was durable before it.
void Wal::CloseGeneration() {
  if (environment_.sink == nullptr || durable_file_ <= closed_file_) return;
  ClosedGeneration closed;
  closed.end = {.file = durable_file_, .batch = durable_.batch, .checksum = durable_.checksum};
  for (const LiveFile& file : files_) {
    if (file.number != durable_file_) continue;
    closed.end.life = file.life;
    closed.place = file.place;
  }
  if (closed.end.life == 0) return;  // Recovery's, and the flusher has had it.
  closed_file_ = durable_file_;
  closed.logs.reserve(slots_.size());
  for (const Slot& slot : slots_) closed.logs.push_back({slot.owner, slot.durable, slot.open});
  environment_.sink->OnClosed(std::move(closed));
  UpdateAdmission();
}

/// In number order [A10]; never the file that the next header has to name.
void Wal::RecycleRetired() {
  if (durable_file_ == current_.live.number) {
    for (const LiveFile& file : doomed_) Discard(file);
    doomed_.clear();
  }
  std::uint64_t recycled = 0;
  while (files_.size() > 1 && files_.front().number <= retired_upto_ &&
         files_.front().number < durable_file_) {
    const LiveFile file = files_.front();
    CHECK(!InFlightIn(file.number));  // [A14]
    files_.pop_front();
    recycled = file.number;
    environment_.landed.RemoveFile(file.number);
    const auto poisoned = std::find(poisoned_.begin(), poisoned_.end(), file.number);
    if (poisoned != poisoned_.end() && !Planted(PlantedBug::kStalledFileRecycled)) {
      poisoned_.erase(poisoned);
      Discard(file);
    } else {
      environment_.pool.At(file.place).Recycle(file.number, file.file, file.size_bytes);
      counters_.recycled_files.Add(1);
    }
  }
  if (recycled == 0) return;
  environment_.executor.Wake(environment_.pool);
  status_.recycled_upto.store(recycled, std::memory_order_release);
  UpdateAdmission();
  environment_.executor.Progress();
}

void Wal::Detach() {
  SnapshotRings();
  (void)ReadMailbox();
  {
    const std::lock_guard lock(mailbox_mutex_);
    registered_.clear();
  }
  environment_.executor.Progress();
}

Status Wal::Finish() {
  queue_->Drain();
  TakeDone();
  if (failure_) {
    const Error error = *failure_;
    (void)FailedBack();
    return error;
  }
  const bool writes = state() == WalState::kUp || (current_.rows_only && !stuck());
  if (sealed_ || must_roll_ || !writes) return {};
  if (options_.sync_method == SyncMethod::kNone) return {};
  bool wrote = false;
  TRY(WriteRound(true, wrote));
  queue_->Drain();
  TakeDone();
  return failure_ ? Status(*failure_) : Status();
}

}  // namespace duramen::wal
