// How a planned batch gets to disk and what happens when it does not; see wal/wal.h.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "base/bytes.h"
#include "base/check.h"
#include "base/planted.h"
#include "base/try.h"
#include "wal/wal.h"

namespace duramen::wal {
namespace {

constexpr std::int64_t kRetryNs = 1'000'000'000;
constexpr std::uint64_t kZeroAheadBytes = 4 << 20;
constexpr std::uint64_t kReserveFiles = 2;  // above max_files, for rows and marks [B1]

}  // namespace

std::int64_t Wal::Step() {
  const std::int64_t now = environment_.clock.NowNs();
  SnapshotRings();
  ReadMailbox();
  if (state() == WalState::kDown && now < retry_at_ns_) return retry_at_ns_;
  const std::int64_t next = Round();
  counters_.busy_ns.Add(static_cast<std::uint64_t>(environment_.clock.NowNs() - now));
  return next;
}

std::int64_t Wal::Round() {
  bool wrote = false;
  // A file without a durable batch is no generation yet: it gets a seal first.
  const bool sealed_first = roll_asked_ && durable_file_ != current_.live.number;
  if (roll_asked_ && !sealed_first) {
    must_roll_ = true;
    roll_asked_ = false;
  }
  const Status status = WriteRound(sealed_first, wrote);
  if (!status.ok()) {
    Fail(status.error());
    return state() == WalState::kDown ? retry_at_ns_ : kAgain;
  }
  const std::int64_t now = environment_.clock.NowNs();
  if (wrote) {
    failures_ = 0;
    last_write_ns_ = now;
    blocked_.store(false, std::memory_order_release);
    const bool out_of_files = OutOfFiles();
    SetState(out_of_files ? WalState::kDiskFull : WalState::kUp,
             out_of_files ? "no next WAL file can be made" : "");
    RecycleRetired();
    UpdateAdmission();
    must_roll_ = must_roll_ || now >= RollDue();
    if (took_file_) environment_.executor.Wake(environment_.pool);
    took_file_ = false;
    return kAgain;
  }
  return Idle(now);
}

/// Nothing is waiting: the one seal of this idle period, or a roll because of the file's age.
std::int64_t Wal::Idle(std::int64_t now_ns) {
  const bool waiting = must_roll_ || !RingsEmpty();
  if (state() == WalState::kDown && (waiting || now_ns < retry_at_ns_)) return retry_at_ns_;
  const bool was_refused = state() == WalState::kDown || state() == WalState::kDiskFull;
  if (was_refused && !waiting && !OutOfFiles()) {
    // Entries are refused, so no write will ever find out that there is space again [G9].
    blocked_.store(false, std::memory_order_release);
    SetState(WalState::kUp, "");
    UpdateAdmission();
  }
  if (!must_roll_ && now_ns >= RollDue()) {
    must_roll_ = true;
    return kAgain;
  }
  if (blocked_.load(std::memory_order_relaxed) || state() == WalState::kWaitingForFile) {
    return kIdle;
  }
  if (sealed_ || options_.sync_method == SyncMethod::kNone) return RollDue();
  if (now_ns - last_write_ns_ < options_.seal_after_ns) {
    return last_write_ns_ + options_.seal_after_ns;
  }
  bool wrote = false;
  const Status status = WriteRound(true, wrote);
  if (!status.ok()) {
    Fail(status.error());
    return state() == WalState::kDown ? retry_at_ns_ : kAgain;
  }
  sealed_ = true;
  return kAgain;  // Something may have arrived meanwhile; the next step finds out.
}

/// A generation that nobody closes would keep its entries out of segments for ever. Nor may memory
/// wait for a file to fill while entries wait for memory: at its high water a flush is due, unless
/// one is on its way [B1].
std::int64_t Wal::RollDue() const {
  if (current_.first_record_ns == 0 || must_roll_) return kIdle;
  const bool flushing = files_.size() > 1;
  if (!flushing && environment_.budget.AboveHighWater()) {
    return current_.first_record_ns;
  }
  if (options_.max_age_ns == 0) return kIdle;
  return current_.first_record_ns + options_.max_age_ns;
}

/// What is left are the spares, which are not for entries [B4].
bool Wal::OutOfFiles() const {
  const std::optional<Error> failure = environment_.pool.failure();
  return failure && failure->code == ErrorCode::kDiskFull && environment_.pool.Exhausted();
}

Status Wal::WriteRound(bool seal, bool& wrote) {
  Plan& first = plans_[0];
  Plan& second = plans_[1];
  StartPlan(first);
  StartPlan(second);
  if (!must_roll_ && seal) {
    const std::uint64_t room = current_.live.size_bytes - current_.offset;
    if (room < kBlockBytes) return {};  // The next file's header proves as much.
    PlanRepeats(first, room);
    first.seal = true;
  } else if (!must_roll_) {
    const std::uint64_t room = Room();
    const std::uint64_t rest = room - std::min(RepeatBytes(), room / 2);
    if (!RingsEmpty()) PlanRecords(first, rest);
    // Last, because repeats alone make no batch; they are encoded first.
    if (!first.empty()) PlanRepeats(first, room);
  }
  FinishPlan(first);
  if (first.empty()) {
    AbandonPlan(first);
  } else {
    TRY(WritePlan(first));
  }
  if (must_roll_ || first.full) {
    bool rolled = false;
    TRY(Roll(rolled));
    if (rolled) {
      PlanRecords(second, Room() - std::min(RepeatBytes(), Room() / 2));
      if (first.empty()) PlanRepeats(second, Room());
      second.seal = second.empty();
      FinishPlan(second);
      TRY(WritePlan(second));
    } else if (first.empty()) {
      return {};
    }
  }
  if (!first.empty()) TRY(SyncAndPublish(first));
  if (!second.empty()) TRY(SyncAndPublish(second));
  wrote = !first.empty() || !second.empty();
  sealed_ = wrote ? false : sealed_;
  return {};
}

std::uint64_t Wal::Room() const {
  const std::uint64_t used = current_.offset + kSealReserveBytes;
  return current_.live.size_bytes > used ? current_.live.size_bytes - used : 0;
}

Status Wal::WritePlan(Plan& plan) {
  const std::int64_t begin = environment_.clock.NowNs();
  const std::uint64_t bytes_max = PlanBytes(plan) + kBlockBytes;
  if (plan.buffer_bytes < bytes_max) {
    plan.buffer_bytes = RoundUp(std::max(bytes_max, 2 * plan.buffer_bytes), kBlockBytes);
    plan.buffer = std::make_unique_for_overwrite<std::byte[]>(plan.buffer_bytes);
  }
  BatchEncoder encoder(current_.context, current_.offset, {plan.buffer.get(), plan.buffer_bytes});
  for (const Binding& binding : plan.bindings) encoder.AddBinding(binding);
  EncodeRepeats(plan, encoder);
  for (PlannedRun& run : plan.runs) EncodeRun(plan, run, encoder);
  for (Touched& touched : plan.touched) {  // What was refused while encoding is not durable.
    if (slots_[touched.slot].stopped) touched.bounds = slots_[touched.slot].planned;
  }
  BatchHeader header{.flags = static_cast<std::uint16_t>(plan.seal ? kBatchSeal : 0)};
  header.number = written_.next_batch;
  header.durable_upto = durable_upto_;
  header.previous_checksum = written_.checksum;
  header.boot = options_.boot;
  const Bytes bytes = encoder.Finish(header);
  TRY(ZeroAhead(current_.offset + bytes.size()));
  const std::int64_t encoded = environment_.clock.NowNs();
  plan.file = current_.live.file;
  plan.file_number = current_.live.number;
  TRY(current_.live.file->Write(current_.offset, bytes));
  counters_.encode_ns.Add(static_cast<std::uint64_t>(encoded - begin));
  counters_.write_ns.Add(static_cast<std::uint64_t>(environment_.clock.NowNs() - encoded));
  current_.offset += bytes.size();
  current_.entries += plan.entry_count;
  if (current_.first_record_ns == 0 && !plan.seal) current_.first_record_ns = encoded;
  written_ = {.batch = header.number,
              .checksum = header.checksum,
              .next_batch = header.number + 1,
              .offset = current_.offset};
  written_file_ = current_.live.number;
  plan.position = written_;
  counters_.bytes.Add(bytes.size());
  return {};
}

/// Rows come before what was appended after them, so that a replay in order sees the newest last.
void Wal::EncodeRepeats(const Plan& plan, BatchEncoder& encoder) {
  for (const RowCopy& row : plan.repeats) {
    const RunHeader run{.slot = SlotForCopy(row.owner.uid),
                        .first = LoadLe<std::uint64_t>(row.payload.data()),
                        .kind = RunKind::kRows,
                        .flags = kRunRepeat};
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
    const RingPort& port = *rings_[record.ring].port;
    const std::byte* payload = port.resolve(port.argument, descriptor);
    const bool good =
        !slot.stopped && payload != nullptr &&
        encoder.AddRecord({.identity = {slot.owner.cluster_id, is_entries ? descriptor.term : 0,
                                        is_entries ? descriptor.index : 0, descriptor.kind},
                           .payload = payload,
                           .payload_bytes = descriptor.payload_bytes,
                           .entry_checksum = descriptor.entry_checksum});
    if (!good) {  // Changed in memory [C10]: refused with all behind it, the others go on.
      Refuse(run.header.slot, ErrorCode::kCorruption, record.position);
      break;
    }
    ++added;
    if (run.header.kind == RunKind::kRows) {
      plan.rows.push_back(
          {slot.owner, descriptor.kind, {payload, payload + descriptor.payload_bytes}});
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

/// Nothing of the plan is written: what it bound is not bound, and what it refused is answered now.
void Wal::AbandonPlan(Plan& plan) {
  for (const Binding& binding : plan.bindings) slots_[binding.slot].bound_file = 0;
  plan.bindings.clear();
  if (plan.touched.empty()) return;
  AnswerRings(plan);
  plan.touched.clear();
}

/// Only a first start has blocks that were never written; see FilePool.
Status Wal::ZeroAhead(std::uint64_t end_offset) {
  if (end_offset <= current_.zeroed) return {};
  const std::uint64_t end = std::min(end_offset + kZeroAheadBytes, current_.live.size_bytes);
  if (end > end_offset) {
    const std::vector<std::byte> zeros(end - end_offset);
    TRY(current_.live.file->Write(end_offset, zeros));
  }
  current_.zeroed = end;
  return {};
}

/// The service header goes out with the file's first batch: one sync makes both durable [C4].
Status Wal::Roll(bool& rolled) {
  const std::optional<Error> failure = environment_.pool.failure();
  // Without space a spare goes to what frees space: marks.
  const std::uint64_t kept = !failure ? UINT64_MAX : 1;
  std::optional<PoolFile> taken = environment_.pool.Take(kept);
  if (!taken) {
    if (failure && failure->code == ErrorCode::kDiskFull) {
      SetState(WalState::kDiskFull, failure->message);
    } else if (failure) {
      SetState(WalState::kDown, failure->message);
      retry_at_ns_ = environment_.clock.NowNs() + kRetryNs;
      Notify();
    } else if (state() != WalState::kDown) {
      SetState(WalState::kWaitingForFile, "the next file is not ready");
    }
    blocked_.store(failure.has_value(), std::memory_order_release);
    UpdateAdmission();
    if (failure) Notify();
    return {};
  }
  took_file_ = true;
  LiveFile live{.number = taken->number,
                .life = rng_.Next() | 1,
                .size_bytes = taken->size_bytes,
                .zeroed_bytes = taken->zeroed_bytes,
                .file = taken->file};
  FileHeader header{.system = options_.system,
                    .life = live.life,
                    .number = live.number,
                    .size_bytes = live.size_bytes,
                    .boot = options_.boot,
                    .oldest_live = live.number,
                    .first_batch = written_.next_batch,
                    .durable_upto = durable_upto_,
                    .sync_method = static_cast<std::uint32_t>(options_.sync_method),
                    .unix_ms = environment_.clock.UnixMs()};
  header.oldest_live = files_.front().number;
  if (written_file_ != 0) {
    const auto predecessor = std::find_if(files_.begin(), files_.end(), [&](const LiveFile& file) {
      return file.number == written_file_;
    });
    CHECK(predecessor != files_.end() || written_file_ == base_.file);
    header.predecessor_number = written_file_;
    header.predecessor_life = predecessor != files_.end() ? predecessor->life : base_.life;
    header.predecessor_end = written_.batch;
    header.predecessor_checksum = written_.checksum;
  }
  const FileContext context = FileContext::Of(options_.system, live.number, live.life);
  files_.push_back(live);
  environment_.landed.AddFile(live.number, {live.file, context, live.size_bytes});
  current_ = {.live = live, .context = context, .zeroed = live.zeroed_bytes};
  current_file_.store(live.number, std::memory_order_release);
  must_roll_ = false;
  rolled = true;
  std::vector<std::byte> blocks(kHeaderCopies * kBlockBytes);
  for (std::uint64_t copy = 0; copy < kHeaderCopies; ++copy) {
    EncodeFileHeader(header, copy,
                     std::span(blocks).subspan(copy * kBlockBytes).first<kBlockBytes>());
  }
  counters_.rolls.Add(1);
  return live.file->Write(0, blocks);
}

Status Wal::Sync(File& file) {
  if (options_.sync_method == SyncMethod::kNone || Planted(PlantedBug::kNoSyncBeforeAck)) {
    return {};
  }
  const std::int64_t begin = environment_.clock.NowNs();
  Status status = options_.sync_method == SyncMethod::kFsync ? file.SyncAll() : file.SyncData();
  counters_.sync_ns.Add(static_cast<std::uint64_t>(environment_.clock.NowNs() - begin));
  counters_.syncs.Add(1);
  return status;
}

Status Wal::SyncAndPublish(Plan& plan) {
  TRY(Sync(*plan.file));
  Publish(plan);
  return {};
}

void Wal::Publish(Plan& plan) {
  if (plan.file_number != durable_file_ && durable_file_ != 0) CloseGeneration();
  durable_ = plan.position;
  durable_file_ = plan.file_number;
  if (options_.sync_method != SyncMethod::kNone) durable_upto_ = plan.position.batch;
  environment_.landed.Apply(plan.changes);
  for (const RowCopy& row : plan.repeats) {
    environment_.keeper.OnRow(row.owner, row.kind, row.payload, plan.file_number);
  }
  for (const RowCopy& row : plan.rows) {
    environment_.keeper.OnRow(row.owner, row.kind, row.payload, plan.file_number);
  }
  const auto repeated = static_cast<std::ptrdiff_t>(plan.repeats.size());
  repeats_.erase(repeats_.begin(), repeats_.begin() + repeated);
  counters_.batches.Add(1);
  counters_.entries.Add(plan.entry_count);
  counters_.rows.Add(plan.rows.size());
  if (plan.seal) counters_.seals.Add(1);
  repeats_.insert(repeats_.end(), std::make_move_iterator(plan.rows.begin()),
                  std::make_move_iterator(plan.rows.end()));
  AnswerRings(plan);
}

/// Tells each Writer how far its logs are, and gives its ring the room back.
void Wal::AnswerRings(const Plan& plan) {
  for (const Touched& touched : plan.touched) {
    Slot& slot = slots_[touched.slot];
    slot.durable = touched.bounds;
    slot.durable_rows = touched.rows;
    if (slot.ring >= rings_.size()) continue;
    rings_[slot.ring].news.push_back({.slot = touched.slot,
                                      .epoch = touched.bounds.epoch,
                                      .end = touched.bounds.end,
                                      .row_sequence = touched.rows,
                                      .refused = slot.stopped,
                                      .refusal = slot.stop_code,
                                      .refused_position = slot.refused_position});
  }
  for (std::size_t i = 0; i < rings_.size() && i < plan.ring_taken.size(); ++i) {
    Ring& ring = rings_[i];
    if (!ring.news.empty()) ring.port->notices->Publish(ring.news);
    const bool news = !ring.news.empty() || plan.ring_taken[i] > ring.port->ring->released();
    ring.news.clear();
    if (plan.ring_taken[i] > ring.port->ring->released()) {
      ring.port->ring->Release(plan.ring_taken[i]);
    }
    if (news) ring.port->notify(ring.port->argument);
  }
  environment_.executor.Progress();
}

/// Poison for ever, write elsewhere: a failed sync is never retried on the same file, because the
/// kernel may have marked its pages clean.
void Wal::Fail(const Error& error) {
  ++failures_;
  counters_.poisoned_files.Add(1);
  environment_.log.Write(LogLevel::kError, "wal.poisoned",
                         "a write or sync failed; the file is not written again",
                         {{"file", FileName(current_.live.number)}, {"error", error.message}});
  for (const Plan& plan : plans_) {
    if (plan.file != nullptr && plan.position.batch > durable_.batch) {
      poisoned_.push_back(plan.file_number);
    }
  }
  poisoned_.push_back(current_.live.number);
  ForgetPlans();
  // A poisoned file without a durable batch holds nothing that counts.
  for (std::size_t i = files_.size(); i-- > 1 && files_[i].number > durable_file_;) {
    environment_.landed.RemoveFile(files_[i].number);
    // Recovery's file holds no batch yet, but its header is what let older files go: it stays until
    // another header is durable.
    if (files_[i].number == committed_file_) {
      doomed_.push_back(files_[i].number);
    } else {
      environment_.pool.Remove(files_[i].number);
    }
    files_.pop_back();
  }
  must_roll_ = true;
  if (failures_ < 2) return;
  SetState(WalState::kDown, error.message);
  retry_at_ns_ = environment_.clock.NowNs() + kRetryNs;
  UpdateAdmission();
  Notify();
  if (options_.on_wal_down == OnWalDown::kExit) {
    std::_Exit(error.code == ErrorCode::kDiskFull ? 10 : 12);
  }
}

/// Everything that is not durable goes back to where it came from, in order.
void Wal::ForgetPlans() {
  for (Plan& plan : plans_) {
    for (const Touched& touched : plan.touched) {
      Slot& slot = slots_[touched.slot];
      slot.planned = slot.encoded = slot.durable;
      slot.planned_rows = slot.durable_rows;
    }
    StartPlan(plan);
  }
  for (Ring& ring : rings_) ring.taken = ring.port->ring->released();
  const std::uint64_t next_batch = written_.next_batch;
  written_ = durable_;
  written_.next_batch = next_batch + 1;  // The failed batch may have drawn its number already.
  written_file_ = durable_file_;
}

void Wal::Notify() {
  for (const Ring& ring : rings_) ring.port->notify(ring.port->argument);
  environment_.executor.Progress();
}

void Wal::SetState(WalState state, const std::string& reason) {
  if (this->state() == state) return;
  {
    const std::lock_guard lock(mailbox_mutex_);
    state_reason_ = reason;
  }
  state_.store(state, std::memory_order_release);
  if (state == WalState::kWaitingForFile) return;
  const bool up = state == WalState::kUp;
  environment_.log.Write(up ? LogLevel::kInfo : LogLevel::kError, up ? "wal.up" : "wal.state",
                         up ? "the WAL writes again" : "the WAL cannot write",
                         {{"reason", reason}});
}

std::string Wal::state_reason() const {
  const std::lock_guard lock(mailbox_mutex_);
  return state_reason_;
}

/// The batch that is about to be published stands in another file than the last durable one, so
/// nothing is added to that one any more. Slots still say what was durable before it.
void Wal::CloseGeneration() {
  if (environment_.sink == nullptr || durable_file_ <= closed_file_) return;
  closed_file_ = durable_file_;
  ClosedGeneration closed;
  closed.end = {.file = durable_file_, .batch = durable_.batch, .checksum = durable_.checksum};
  for (const LiveFile& file : files_) {
    if (file.number == durable_file_) closed.end.life = file.life;
  }
  if (closed.end.life == 0) return;  // Recovery's, and the flusher has had it.
  closed.logs.reserve(slots_.size());
  for (const Slot& slot : slots_) closed.logs.push_back({slot.owner, slot.durable, slot.open});
  environment_.sink->OnClosed(std::move(closed));
}

/// In number order [A10]; never the file that the next header has to name.
void Wal::RecycleRetired() {
  if (durable_file_ == current_.live.number) {
    for (const std::uint64_t number : doomed_) environment_.pool.Remove(number);
    doomed_.clear();
  }
  std::uint64_t recycled = 0;
  while (files_.size() > 1 && files_.front().number <= retired_upto_ &&
         files_.front().number < durable_file_) {
    const LiveFile file = files_.front();
    files_.pop_front();
    recycled = file.number;
    environment_.landed.RemoveFile(file.number);
    const auto poisoned = std::find(poisoned_.begin(), poisoned_.end(), file.number);
    if (poisoned != poisoned_.end()) {
      poisoned_.erase(poisoned);
      environment_.pool.Remove(file.number);
    } else {
      environment_.pool.Recycle(file.number, file.file, file.size_bytes);
      counters_.recycled_files.Add(1);
    }
  }
  if (recycled == 0) return;
  environment_.executor.Wake(environment_.pool);
  recycled_upto_.store(recycled, std::memory_order_release);
  UpdateAdmission();
  environment_.executor.Progress();
}

void Wal::UpdateAdmission() {
  counters_.files.Set(files_.size());
  const bool up =
      (state() == WalState::kUp || state() == WalState::kWaitingForFile) && !OutOfFiles();
  entries_admitted_.store(up && files_.size() <= options_.max_files, std::memory_order_release);
  rows_admitted_.store(files_.size() <= options_.max_files + kReserveFiles,
                       std::memory_order_release);
}

std::optional<ErrorCode> Wal::refuses_entries() const {
  if (entries_admitted_.load(std::memory_order_acquire)) return std::nullopt;
  switch (state()) {
    case WalState::kDown:
      return ErrorCode::kWalDown;
    case WalState::kDiskFull:
      return ErrorCode::kDiskFull;
    default:
      return ErrorCode::kOverloaded;
  }
}

std::optional<ErrorCode> Wal::refuses_rows() const {
  if (state() == WalState::kDown) return ErrorCode::kWalDown;
  if (rows_admitted_.load(std::memory_order_acquire)) return std::nullopt;
  return ErrorCode::kOverloaded;
}

std::optional<ErrorCode> Wal::refuses_marks() const {
  if (state() == WalState::kDown) return ErrorCode::kWalDown;
  return std::nullopt;
}

void Wal::Detach() {
  SnapshotRings();
  ReadMailbox();
  {
    const std::lock_guard lock(mailbox_mutex_);
    registered_.clear();
  }
  environment_.executor.Progress();
}

Status Wal::Finish() {
  if (sealed_ || must_roll_ || state() != WalState::kUp) return {};
  if (options_.sync_method == SyncMethod::kNone) return {};
  bool wrote = false;
  return WriteRound(true, wrote);
}

}  // namespace duramen::wal
