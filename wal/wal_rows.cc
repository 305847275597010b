// What the WAL does without space for another file [B3]; see wal/wal.h.
//
// Entries are refused, what was accepted of them goes into the current file, and then the WAL goes
// to one of two row files, which were written to their last block when there was space. A row file
// takes rows and marks, and holds no entry, ever. So whatever the flush waits for, it need not be
// kept: who leaves it says again, in front of the next file, which rows are the newest and what was
// cut, and that file's header names the same predecessor as the one before it did. A row file is
// only ever the newest of the chain; two of them go on for ever in the space that they have. The
// order is that of a recovery: what is carried, a sync, the header, a sync [A5]; a crash before the
// last leaves the one before it as the newest.
//
// Entries that were accepted when none was refused yet and do not fit any more take one of the
// spares. Where that is gone too, their ring waits, and the others go on.
#include <algorithm>
#include <set>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "base/planted.h"
#include "base/try.h"
#include "wal/carried_marks.h"
#include "wal/wal.h"

namespace duramen::wal {
namespace {

constexpr std::uint64_t kSparesForStarts = 1;  // of the spares; the others go to stranded entries

}  // namespace

/// Before a round: is this the file for it?
void Wal::ChooseFile() {
  const FilePool& pool = this->pool();
  if (current_.rows_only) {
    must_roll_ = must_roll_ || !pool.Exhausted() || (stranded_ && pool.ready() > kSparesForStarts);
    return;
  }
  if (!EntriesFull()) return;
  if (state() == WalState::kUp) {
    SetState(WalState::kDiskFull, FullReason());
    UpdateAdmission();
  }
  // The sooner it is closed, the sooner it is flushed, if that still finds some space.
  if (!must_roll_ && pool.row_files_ready() > 0 && !EntriesWait()) roll_asked_ = true;
}

/// No further entry is accepted: a row file takes none, a start needs a spare [B4], or what the
/// Writers have in flight needs the room that is left.
bool Wal::EntriesFull() const {
  if (current_.rows_only) return true;
  if (!OutOfFiles()) return false;
  return pool().SparesMissing() || Room() < rings_.size() * options_.ring_bytes_max;
}

std::string Wal::FullReason() const {
  const std::optional<Error> failure = pool().failure();
  return failure ? failure->message : "no next WAL file can be made";
}

std::uint64_t Wal::large_row_bytes() const {
  const FilePool& pool = environment_.pool;  // A row file is always at home.
  return MaxPayloadBytes(pool.row_file_bytes() != 0 ? pool.row_file_bytes()
                                                    : pool.file_size_bytes());
}

bool Wal::TakesHere(const Descriptor& descriptor) const {
  if (!current_.rows_only || Planted(PlantedBug::kRowFileTakesEntries)) return true;
  if (IsMark(descriptor.run_kind)) return true;
  return !IsEntries(descriptor.run_kind) && descriptor.payload_bytes <= large_row_bytes();
}

/// Something that no row file takes.
bool Wal::EntriesWait() const {
  for (const Ring& ring : rings_) {
    for (std::uint64_t at = ring.taken; at < ring.committed; ++at) {
      Descriptor descriptor;
      ring.port->ring->Copy(at + 1,
                            std::as_writable_bytes(std::span<Descriptor, 1>(&descriptor, 1)));
      if (IsEntries(descriptor.run_kind)) return true;
    }
  }
  return false;
}

/// The next file for a roll: an ordinary one, or what there is instead.
std::optional<PoolFile> Wal::TakeFile(const std::optional<Error>& failure) {
  if (homecoming_ && place_ == Place::kHome) return std::exchange(homecoming_, std::nullopt);
  FilePool& pool = this->pool();
  // One sequence of numbers for two directories; within one they only grow but for row files.
  const std::uint64_t above = HasAway() ? highest_file_ : 0;
  std::optional<PoolFile> taken = pool.Take(UINT64_MAX, above);
  if (taken || !failure) return taken;
  const bool full = failure->code == ErrorCode::kDiskFull;
  // What was accepted before anything was refused, or a disk that fails otherwise.
  if (!full || EntriesWait()) taken = pool.Take(kSparesForStarts, above);
  if (taken || !full) return taken;
  if (LeavesRowFile() && !FitsFile(CollectCarried(), pool.row_file_bytes())) return std::nullopt;
  return pool.TakeRow();
}

/// What it holds is said again in the next file.
bool Wal::LeavesRowFile() const {
  return current_.rows_only && durable_file_ == current_.live.number;
}

/// As the first half of it: its rows are written twice [A1].
bool Wal::FitsFile(const Carried& carried, std::uint64_t size_bytes) {
  return carried.bytes <= (size_bytes - kFirstBatchOffset - kSealReserveBytes) / 2;
}

/// The first batch of a row file is about to be published; slots still say what was before it.
void Wal::NoteRowBase() {
  row_base_.end = {.file = durable_file_, .batch = durable_.batch, .checksum = durable_.checksum};
  row_base_.end.life = durable_file_ == 0 ? 0 : LifeOf(durable_file_);
  row_base_.logs.clear();
  for (const Slot& slot : slots_) row_base_.logs.push_back({slot.owner, slot.durable, slot.open});
}

Wal::Carried Wal::CollectCarried() const {
  Carried carried;
  const std::uint64_t rows_max = current_.live.size_bytes / kRunHeaderBytes;
  const std::optional<std::vector<CarriedRow>> rows = environment_.keeper.RowsToCarry(
      {row_base_.end.file + 1, current_.live.number + 1, true}, rows_max);
  if (!rows) {
    carried.bytes = UINT64_MAX;
    return carried;
  }
  std::uint64_t record_bytes = 0;
  std::set<std::uint32_t> bound;
  for (const CarriedRow& row : *rows) {
    const std::uint32_t slot = SlotForCopy(row.uid);
    carried.rows.push_back({slots_[slot].owner, row.kind, row.payload});
    record_bytes += RecordBytes(row.payload.size());
    bound.insert(slot);
  }
  for (std::uint32_t slot = 0; slot < slots_.size(); ++slot) CarryMarks(slot, carried);
  for (const RunHeader& mark : carried.marks) bound.insert(mark.slot);
  const std::uint64_t runs = carried.rows.size() + carried.marks.size();
  carried.bytes = BatchBytes(record_bytes, runs, bound.size());
  return carried;
}

/// From what the log was behind the file before the row files.
void Wal::CarryMarks(std::uint32_t slot_number, Carried& carried) const {
  const Slot& slot = slots_[slot_number];
  if (!slot.open || Planted(PlantedBug::kMarksNotCarried)) return;
  const std::vector<ClosedLog>& logs = row_base_.logs;
  const bool known = slot_number < logs.size() && logs[slot_number].owner.uid == slot.owner.uid;
  const SlotBounds before = known ? logs[slot_number].bounds : SlotBounds{};
  if (slot.durable.epoch == before.epoch && slot.durable.begin == before.begin) return;
  if (environment_.keeper.Deleted(slot.owner.uid)) return;
  AppendMarks(slot_number, before, slot.durable, carried.marks);
}

/// The current row file is renewed once this one says the same. Requires: nothing is in flight.
Status Wal::Supersede(const Carried& carried, const LiveFile& live, std::shared_ptr<File> writer) {
  CHECK(flight_.empty());
  Result<WalPosition> position = WriteCarried(carried, live);
  const Status committed =
      position.ok() ? CommitCarried(live, *position) : Status(position.error());
  if (!committed.ok()) {
    // Its header may be on the disk, and says what the current file does; nothing is added to that
    // one either, because the next has a higher number than both.
    Discard(live);
    return committed;
  }
  const LiveFile left = files_.back();
  CHECK(left.number == current_.live.number);
  files_.pop_back();
  environment_.landed.RemoveFile(left.number);
  if (std::erase(poisoned_, left.number) > 0) {
    Discard(left);
  } else {
    environment_.pool.At(left.place).Recycle(left.number, left.file, left.size_bytes);
  }
  PutIntoService(live, std::move(writer));
  current_.offset = position->offset;
  current_.first_record_ns = environment_.clock.NowNs();
  written_ = durable_ = *position;
  written_file_ = durable_file_ = live.number;
  if (options_.sync_method != SyncMethod::kNone) durable_upto_ = position->batch;
  repeats_.clear();
  for (const RowCopy& row : carried.rows) {
    environment_.keeper.OnRow(row.owner, row.kind, row.payload, live.number);
    repeats_.push_back({row, 0});
  }
  return {};
}

/// One batch behind the place of the header.
Result<WalPosition> Wal::WriteCarried(const Carried& carried, const LiveFile& live) {
  WalPosition position{.batch = row_base_.end.batch,
                       .checksum = row_base_.end.checksum,
                       .next_batch = written_.next_batch,
                       .offset = kFirstBatchOffset};
  if (carried.rows.empty() && carried.marks.empty()) return position;
  CountedBytes counted(environment_.budget, counters_.memory_bytes);
  counted.Set(carried.bytes);
  std::vector<std::byte> buffer(carried.bytes);
  const FileContext context = FileContext::Of(options_.system, live.number, live.life);
  BatchEncoder encoder(context, kFirstBatchOffset, buffer);
  std::set<std::uint32_t> bound;
  for (const RowCopy& row : carried.rows) bound.insert(SlotForCopy(row.owner.uid));
  for (const RunHeader& mark : carried.marks) bound.insert(mark.slot);
  for (const std::uint32_t slot : bound) {
    encoder.AddBinding({slot, slots_[slot].owner.cluster_id, slots_[slot].owner.uid});
    slots_[slot].bound_file = live.number;
    slots_[slot].bound_times = 1;
  }
  for (const RowCopy& row : carried.rows) EncodeRowCopy(row, kRunCarried, encoder);
  for (const RunHeader& mark : carried.marks) {
    encoder.BeginRun(mark, slots_[mark.slot].owner.uid);
    (void)encoder.EndRun();
  }
  BatchHeader header{.number = position.next_batch,
                     .durable_upto = durable_upto_,
                     .previous_checksum = position.checksum,
                     .boot = options_.boot};
  const Bytes bytes = encoder.Finish(header);
  TRY(live.file->Write(kFirstBatchOffset, bytes));
  position = {.batch = header.number,
              .checksum = header.checksum,
              .next_batch = header.number + 1,
              .offset = kFirstBatchOffset + bytes.size()};
  // Whatever the method: the copy that goes may have been durable.
  if (!Planted(PlantedBug::kRowHeaderFirst)) TRY(live.file->SyncData());
  return position;
}

Status Wal::CommitCarried(const LiveFile& live, const WalPosition& position) {
  FileHeader header = HeaderFor(live);
  // Of those that stay; the one that goes is the last.
  if (files_.size() == 1) header.oldest_live = live.number;
  header.predecessor_number = row_base_.end.file;
  header.predecessor_life = row_base_.end.life;
  header.predecessor_end = row_base_.end.batch;
  header.predecessor_checksum = row_base_.end.checksum;
  if (options_.sync_method != SyncMethod::kNone) header.durable_upto = position.batch;
  std::vector<std::byte> blocks(kFirstBatchOffset);
  EncodeHeaders(header, blocks);
  TRY(live.file->Write(0, blocks));
  return live.file->SyncData();
}

}  // namespace duramen::wal
