// How recovery makes durable what it shows, and lets go of what is not needed; see wal/recovery.h.
#include <algorithm>
#include <functional>

#include "base/bytes.h"
#include "base/check.h"
#include "base/planted.h"
#include "base/try.h"
#include "wal/carried_marks.h"
#include "wal/recovery.h"

namespace duramen::wal {
namespace {

constexpr int kFilesTried = 3;
constexpr std::uint64_t kBoundsPayloadBytes = 16;

}  // namespace

/// Behind the last entry, where the rows and marks of a full disk, say, are too much to be copied:
/// the newest rows and what was cut since are less [B3, B4].
std::size_t Recovery::FirstRowsOnly() const {
  const std::vector<JudgedBatch>& batches = verdict_.batches;
  const std::size_t none = batches.size();
  if (options_.merge_bytes_max == 0 || !options_.left_out.is_nil()) return none;
  if (!ChainWhole() || !verdict_.reaches_covered) return none;
  if (!std::all_of(batches.begin(), batches.end(),
                   [](const JudgedBatch& batch) { return batch.intact; })) {
    return none;
  }
  std::size_t first = none;
  std::uint64_t bytes = 0;
  while (first > 0 && !HoldsEntries(batches[first - 1])) bytes += batches[--first].bytes;
  if (bytes <= options_.merge_bytes_max) return none;
  // What a checkpoint says of a log may be newer than what is in front of them, and that checkpoint
  // may be gone with the power: the marks are needed then [A5].
  const std::uint64_t file = files_[batches[first].file].number;
  const bool ahead = options_.seeds != nullptr &&
                     std::any_of(options_.seeds->begin(), options_.seeds->end(),
                                 [&](const LogSeed& seed) { return seed.covered_file >= file; });
  return ahead ? none : first;
}

bool Recovery::HoldsEntries(const JudgedBatch& batch) const {
  const Bytes bytes = sources_[batch.file]->window.At(batch.offset, batch.bytes);
  const FileContext context = files_[batch.file].Context(options_.system);
  const Result<BatchHeader> header =
      DecodeBatchHeader(bytes, options_.system, context, batch.offset);
  if (!header.ok()) return true;
  const FileContext own = ContextOf(*header, options_.system, context);
  const Result<BatchContents> contents = ReadIntactBatch(*header, bytes, own, batch.offset);
  if (!contents.ok()) return true;
  return std::any_of(contents->runs.begin(), contents->runs.end(),
                     [](const RunView& run) { return IsEntries(run.header.kind); });
}

/// Everything past the last proof; and before it whole small files, as long as nothing in them is
/// damaged, so that a hundred restarts leave no hundred files [B4].
std::size_t Recovery::FirstCopied() const {
  const std::vector<JudgedBatch>& batches = verdict_.batches;
  std::size_t first = rows_from_;
  while (first > 0 && batches[first - 1].number > verdict_.proven) --first;
  std::uint64_t bytes = 0;
  for (std::size_t i = first; i < rows_from_; ++i) bytes += batches[i].bytes;
  std::size_t chain = verdict_.chain.size();
  while (chain-- > 0) {
    const std::size_t file = verdict_.chain[chain].file;
    std::size_t begin = first;
    bool damaged = false;
    while (begin > 0 && batches[begin - 1].file == file) {
      --begin;
      bytes += batches[begin].bytes;
      damaged = damaged || !batches[begin].intact;
    }
    if (damaged || bytes > options_.merge_bytes_max) break;
    first = begin;
  }
  return first;
}

/// What is let go: the batches before the first one with a live entry. Their newest rows are
/// carried, and bounds are stated for every log, as the WAL does before it recycles a file; so a
/// loop of kills costs no more files than what lives. After damage nothing is let go but by the
/// WAL: what was lost is judged in the order in which it was written.
void Recovery::PlanCopy(RowKeeper& keeper) {
  first_copied_ = FirstCopied();
  first_kept_ = 0;
  carried_.clear();
  carried_bounds_.clear();
  carried_marks_.clear();
  if (rows_from_ < verdict_.batches.size()) return CarryRowFiles(keeper);
  if (!MayLetGo()) return;
  const std::vector<JudgedBatch>& batches = verdict_.batches;
  std::size_t kept = FirstLive();
  std::uint64_t bytes = 0;
  for (std::size_t i = kept; i < batches.size(); ++i) bytes += batches[i].bytes;
  const bool fits = bytes <= options_.merge_bytes_max;
  // What is not copied stays as whole files.
  while (!fits && kept > 0 && batches[kept - 1].file == batches[kept].file) --kept;
  if (kept == 0 || !Carry(files_[batches[kept - 1].file].number, keeper)) return;
  first_kept_ = kept;
  first_copied_ = fits ? kept : std::max(first_copied_, kept);
}

/// As the WAL does when it leaves a row file; see wal_rows.cc. Rows in front of them in the same
/// file are repeated with them.
void Recovery::CarryRowFiles(RowKeeper& keeper) {
  const std::vector<JudgedBatch>& batches = verdict_.batches;
  const FileRange files{files_[batches[rows_from_].file].number,
                        files_[batches.back().file].number + 1, true};
  const auto rows = keeper.RowsToCarry(files, UINT64_MAX);
  for (const CarriedRow& row : *rows) {
    const ReplayedLog* log = replay_.Find(row.uid);
    if (log == nullptr) continue;  // A checkpoint has it, and no WAL file.
    carried_.push_back({log->owner, row.kind, row.payload});
  }
  for (const ReplayedLog& log : replay_.logs()) {
    const SlotBounds before =
        log.slot < rows_bounds_.size() ? rows_bounds_[log.slot] : SlotBounds{};
    if (log.bounds.epoch == before.epoch && log.bounds.begin == before.begin) continue;
    if (!keeper.Deleted(log.owner.uid)) AppendMarks(log.slot, before, log.bounds, carried_marks_);
  }
}

bool Recovery::MayLetGo() const {
  if (options_.merge_bytes_max == 0 || !options_.left_out.is_nil()) return false;
  // A checkpoint speaks of the state at its generation's end, and the WAL has to go on from there.
  if (options_.covered.file != 0) return false;
  if (!ChainWhole() || !verdict_.oldest_live_known) return false;
  const auto damaged = [](const WalFinding& finding) {
    return finding.kind == FindingKind::kDamage || finding.kind == FindingKind::kMissingFile;
  };
  if (std::any_of(findings_.begin(), findings_.end(), damaged)) return false;
  return std::all_of(replay_.logs().begin(), replay_.logs().end(), [](const ReplayedLog& log) {
    return log.holes.empty() && !log.suspect && !log.rows_lost;
  });
}

/// The first batch that holds a live entry, or is past the last proof.
std::size_t Recovery::FirstLive() const {
  const std::vector<JudgedBatch>& batches = verdict_.batches;
  std::size_t first = batches.size();
  while (first > 0 && batches[first - 1].number > verdict_.proven) --first;
  LandedIndex landed;
  landed.Apply(replay_.changes());
  std::pair<std::uint64_t, std::uint64_t> oldest{UINT64_MAX, UINT64_MAX};
  for (const ReplayedLog& log : replay_.logs()) {
    if (const auto place = landed.OldestOf(log.slot)) oldest = std::min(oldest, *place);
  }
  for (std::size_t i = 0; i < first; ++i) {
    const JudgedBatch& batch = batches[i];
    const std::uint64_t end = batch.offset + batch.bytes;
    if (std::pair(files_[batch.file].number, end) > oldest) return i;
  }
  return first;
}

/// Collects what has to be written again before files up to `file_max` go. False, and nothing is
/// collected, when that is too much for one start.
bool Recovery::Carry(std::uint64_t file_max, RowKeeper& keeper) {
  const std::uint64_t rows_max = options_.merge_bytes_max / kRunHeaderBytes;
  // What the checkpoint has need not be carried.
  const std::optional<std::vector<CarriedRow>> rows =
      keeper.RowsToCarry({options_.covered.file + 1, file_max + 1}, rows_max);
  if (!rows) return false;
  for (const CarriedRow& row : *rows) {
    const ReplayedLog* log = replay_.Find(row.uid);
    CHECK(log != nullptr);  // Replay knows every log of which a row was read.
    carried_.push_back({log->owner, row.kind, row.payload});
  }
  for (const ReplayedLog& log : replay_.logs()) {
    // Behind the tombstone of a deleted log nothing may name it again.
    if (log.has_records && !keeper.Deleted(log.owner.uid)) carried_bounds_.push_back(log.slot);
  }
  if (ExtraBytes({}) <= options_.merge_bytes_max) return true;
  carried_.clear();
  carried_bounds_.clear();
  return false;
}

std::uint64_t Recovery::OldestKept() const {
  const std::size_t oldest =
      first_kept_ > 0 ? verdict_.batches[first_kept_].file : verdict_.chain[0].file;
  return files_[oldest].number;
}

Status Recovery::Commit(FilePool& pool, const std::vector<RowCopy>& extra_rows, RowKeeper& keeper) {
  PlanCopy(keeper);
  TRY(SettleChain(pool));
  const std::uint64_t needed = CopyBytes(extra_rows);
  const std::uint64_t size = std::max(options_.file_size_bytes, needed);
  PoolFile made = TRY(pool.Now(size, needed));
  Status filled = FillFile(made, extra_rows);
  for (int attempt = 1; attempt < kFilesTried && !filled.ok(); ++attempt) {
    pool.Remove(made.number);  // A bad spot in one spare must not keep the system down.
    made = TRY(pool.Now(size, needed));
    filled = FillFile(made, extra_rows);
  }
  if (!filled.ok()) return filled;
  for (const auto& [old_place, landed] : relocated_) {
    for (const RowCopy& row : landed.rows) {
      keeper.OnRow(row.owner, row.kind, row.payload, made.number);
    }
  }
  for (const auto& rows : {std::cref(carried_), std::cref(extra_rows)}) {
    for (const RowCopy& row : rows.get()) {
      keeper.OnRow(row.owner, row.kind, row.payload, made.number);
    }
  }
  replay_.Relocate([this](std::uint64_t file, std::uint64_t offset) {
    const auto found = relocated_.find({file, offset});
    return found == relocated_.end()
               ? std::pair<std::uint64_t, std::uint64_t>{file, offset}
               : std::pair<std::uint64_t, std::uint64_t>{new_file_number_, found->second.offset};
  });
  KeepOldFiles();
  live_files_.push_back({.number = made.number,
                         .life = new_life_,
                         .size_bytes = made.size_bytes,
                         .zeroed_bytes = made.zeroed_bytes,
                         .file = made.file});
  RetireOldFiles(pool);
  return {};
}

/// A header that was read may be in the page cache only: of an earlier start that was killed
/// between writing and syncing it. Written again, because a mere sync would report nothing after
/// one that failed [A5, W24].
Status Recovery::RenewHeader(std::size_t file) {
  if (!files_[file].header) return {};
  return WriteHeader(*sources_[file]->file, *files_[file].header);
}

/// Before anything depends on the chain as it was read: the new header, or the reuse of files that
/// the newest one made superfluous. Without that reuse a loop of kills would pile files up [B4].
Status Recovery::SettleChain(FilePool& pool) {
  if (verdict_.chain.empty()) return {};
  const std::size_t newest = verdict_.chain.back().file;
  TRY(RenewHeader(newest));
  const std::size_t kept = keeps_files() ? verdict_.batches[first_copied_ - 1].file : newest;
  if (kept != newest) TRY(RenewHeader(kept));
  for (const std::size_t orphan : verdict_.orphans) {
    if (Superseded(orphan)) GiveTo(pool, orphan);
  }
  return {};
}

bool Recovery::Superseded(std::size_t orphan) const {
  return ChainWhole() && files_[orphan].header &&
         files_[orphan].number < files_[verdict_.chain.back().file].number;
}

Status Recovery::FillFile(PoolFile& made, const std::vector<RowCopy>& extra_rows) {
  new_file_number_ = made.number;
  relocated_.clear();
  bound_.clear();
  repeats_.clear();
  copied_packed_ = false;
  copied_batches_ = 0;
  position_ = {};
  new_life_ = rng_.Next() | 1;  // 0 means "not known"
  const FileContext context = FileContext::Of(options_.system, made.number, new_life_);
  const JudgedBatch* kept = keeps_files() ? &verdict_.batches[first_copied_ - 1] : nullptr;
  base_ = options_.covered;
  if (kept != nullptr) {
    base_ = {.file = files_[kept->file].number,
             .life = files_[kept->file].life,
             .batch = kept->last_number,
             .checksum = kept->checksum};
  }
  position_.batch = base_.batch;
  position_.checksum = base_.checksum;
  position_.next_batch = verdict_.highest_batch + 1;
  const FileHeader header = MakeHeader(made, new_life_);
  if (Planted(PlantedBug::kHeaderBeforeCopiedTail)) TRY(WriteHeader(*made.file, header));
  for (std::size_t i = first_copied_; i < rows_from_; ++i) {
    // Of a file that is gone nothing is left to copy, proven or not: faults say what was lost.
    if (verdict_.batches[i].missing_file) continue;
    TRY(CopyBatch(verdict_.batches[i], *made.file, context));
  }
  TRY(WriteExtraRows(extra_rows, *made.file, context));
  if (position_.offset > kFirstBatchOffset) TRY(SyncFile(*made.file));
  FileHeader final_header = header;
  final_header.durable_upto = position_.batch;
  if (copied_packed_) final_header.version = kPackedVersion;  // Also of a file without a header.
  return WriteHeader(*made.file, final_header);
}

FileHeader Recovery::MakeHeader(const PoolFile& made, std::uint64_t life) const {
  // What is copied may be packed.
  const bool packed =
      options_.packs || std::any_of(files_.begin(), files_.end(), [](const FileSummary& file) {
        return file.header && file.header->version == kPackedVersion;
      });
  FileHeader header{.version = packed ? kPackedVersion : kFormatVersion,
                    .system = options_.system,
                    .life = life,
                    .number = made.number,
                    .size_bytes = made.size_bytes,
                    .boot = boot_,
                    .oldest_live = made.number,
                    .first_batch = verdict_.highest_batch + 1,
                    .durable_upto = verdict_.proven,
                    .sync_method = static_cast<std::uint32_t>(options_.sync_method),
                    .unix_ms = clock_.UnixMs()};
  header.predecessor_number = base_.file;
  header.predecessor_life = base_.life;
  header.predecessor_end = base_.batch;
  header.predecessor_checksum = base_.checksum;
  const auto covered = std::find_if(verdict_.covered.begin(), verdict_.covered.end(),
                                    [&](std::size_t file) { return !LetGoBefore(file); });
  if (covered != verdict_.covered.end()) {
    header.oldest_live = files_[*covered].number;
  } else if (keeps_files()) {
    header.oldest_live = std::max(verdict_.oldest_live, OldestKept());
  }
  return header;
}

/// An earlier header did without it, and perhaps without files behind it: two pools rename what
/// they were given in no order between them.
bool Recovery::LetGoBefore(std::size_t file) const {
  return files_[file].number < verdict_.oldest_live;
}

std::uint64_t Recovery::CopyBytes(const std::vector<RowCopy>& extra_rows) const {
  std::uint64_t bytes = kFirstBatchOffset + kSealReserveBytes;
  for (std::size_t i = first_copied_; i < rows_from_; ++i) {
    // The bindings of another file may all have to be written again.
    bytes += RoundUp(verdict_.batches[i].bytes * 8 / 5, kBlockBytes);
  }
  return bytes + ExtraBytes(extra_rows);
}

/// Of the batch with carried rows, new rows and carried bounds; 0 when there is none.
std::uint64_t Recovery::ExtraBytes(const std::vector<RowCopy>& extra_rows) const {
  const std::uint64_t runs =
      carried_.size() + extra_rows.size() + carried_bounds_.size() + carried_marks_.size();
  if (runs == 0) return 0;
  std::uint64_t record_bytes = carried_bounds_.size() * RecordBytes(kBoundsPayloadBytes);
  for (const RowCopy& row : carried_) record_bytes += RecordBytes(row.payload.size());
  for (const RowCopy& row : extra_rows) record_bytes += RecordBytes(row.payload.size());
  return BatchBytes(record_bytes, runs, runs);
}

Status Recovery::CopyBatch(const JudgedBatch& batch, File& file, const FileContext& context) {
  const FileSummary& old_file = files_[batch.file];
  const Bytes bytes = sources_[batch.file]->window.At(batch.offset, batch.bytes);
  const FileContext file_context = old_file.Context(options_.system);
  const BatchHeader old_header =
      TRY(DecodeBatchHeader(bytes, options_.system, file_context, batch.offset));
  const FileContext old_context = ContextOf(old_header, options_.system, file_context);
  const BatchContents contents = TRY(ReadIntactBatch(old_header, bytes, old_context, batch.offset));
  if (contents.runs.empty()) return {};  // A seal has nothing to copy.
  const SlotTable& slots = slot_tables_[batch.file];
  std::vector<std::byte> buffer(
      RoundUp(batch.bytes + contents.runs.size() * 2 * kBindingBytes, kBlockBytes) + kBlockBytes);
  BatchEncoder encoder(context, position_.offset, buffer);
  std::set<std::uint32_t> bound_here;  // In every batch, so that the loss of one loses no binding.
  for (const RunView& run : contents.runs) {
    const auto owner = slots.find(run.header.slot);
    if (owner == slots.end()) continue;
    const std::uint32_t slot = replay_.SlotOf(owner->second);
    bound_.emplace(slot, owner->second);
    if (!bound_here.insert(slot).second) continue;
    encoder.AddBinding({slot, owner->second.cluster_id, owner->second.uid});
  }
  repeats_.clear();
  for (const RunView& run : contents.runs) {
    const auto owner = slots.find(run.header.slot);
    if (owner == slots.end()) continue;
    RunHeader copy = run.header;
    copy.slot = replay_.SlotOf(owner->second);
    if (LeavesOut(owner->second) && left_out_files_.contains(old_file.number)) {
      left_out_files_.insert(new_file_number_);
    }
    encoder.BeginRun(copy, owner->second.uid);
    Relocated place{.offset = encoder.run_offset()};
    if (CopyRecords({run, old_context, owner->second, copy}, encoder, place)) {
      (void)encoder.EndRun();
      relocated_[{old_file.number, run.offset}] = std::move(place);
    } else {  // Hostile, under good container checksums: the run stays behind.
      encoder.AbandonRun();
    }
  }
  BatchHeader header{.flags = static_cast<std::uint16_t>(old_header.flags | kBatchCopied)};
  ++copied_batches_;
  return WriteBatch(file, encoder, header);
}

/// False: they cannot all be read.
bool Recovery::CopyRecords(const CopiedRun& from, BatchEncoder& encoder, Relocated& place) {
  const auto& [run, context, owner, copy] = from;
  const bool packed = (copy.flags & kRunPacked) != 0;
  copied_packed_ = copied_packed_ || packed;
  const bool is_entry = IsEntries(copy.kind);
  RecordReader reader(run, context, owner);
  while (!reader.AtEnd()) {
    const Result<RecordView> read = reader.Next();
    if (!read.ok()) return false;
    if (packed) continue;  // As they are, once all of them were read.
    const RecordView& record = *read;
    const bool added =
        encoder.AddRecord({.identity = {owner.cluster_id, is_entry ? copy.term : 0,
                                        is_entry ? record.index : 0, record.kind},
                           .payload = record.payload.data(),
                           .payload_bytes = static_cast<std::uint32_t>(record.payload.size()),
                           .entry_checksum = record.entry_checksum});
    CHECK(added);
    if (copy.kind != RunKind::kRows || (copy.flags & kRunRepeat) != 0) continue;
    place.rows.push_back(CopyOf(record, owner));
    repeats_.push_back(CopyOf(record, owner));
  }
  return !packed || encoder.AddFrames(run, context);
}

RowCopy Recovery::CopyOf(const RecordView& record, const RecordOwner& owner) {
  return {owner, record.kind, {record.payload.begin(), record.payload.end()}};
}

/// Rows that stood in what is let go, rows that record damage, and at last the bounds, because they
/// state what is true behind everything that was copied.
Status Recovery::WriteExtraRows(const std::vector<RowCopy>& extra_rows, File& file,
                                const FileContext& context) {
  std::vector<std::byte> buffer(ExtraBytes(extra_rows));
  if (buffer.empty()) return {};
  BatchEncoder encoder(context, position_.offset, buffer);
  std::set<std::uint32_t> bound_here;
  const auto bind = [&](const RecordOwner& owner) {
    const std::uint32_t slot = replay_.SlotOf(owner);
    bound_.emplace(slot, owner);
    if (bound_here.insert(slot).second) encoder.AddBinding({slot, owner.cluster_id, owner.uid});
  };
  for (const RowCopy& row : carried_) bind(row.owner);
  for (const RowCopy& row : extra_rows) bind(row.owner);
  for (const std::uint32_t slot : carried_bounds_) bind(replay_.logs()[slot].owner);
  for (const RunHeader& mark : carried_marks_) bind(replay_.logs()[mark.slot].owner);
  repeats_.clear();
  for (const RowCopy& row : carried_) EncodeRow(row, kRunCarried, encoder);
  for (const RowCopy& row : extra_rows) EncodeRow(row, 0, encoder);
  for (const std::uint32_t slot : carried_bounds_) EncodeBounds(slot, encoder);
  for (const RunHeader& mark : carried_marks_) {
    encoder.BeginRun(mark, replay_.logs()[mark.slot].owner.uid);
    (void)encoder.EndRun();
  }
  BatchHeader header{.flags = kBatchCopied};
  return WriteBatch(file, encoder, header);
}

void Recovery::EncodeRow(const RowCopy& row, std::uint8_t flags, BatchEncoder& encoder) {
  const RunHeader run{.slot = replay_.SlotOf(row.owner),
                      .first = LoadLe<std::uint64_t>(row.payload.data()),
                      .kind = RunKind::kRows,
                      .flags = flags};
  encoder.BeginRun(run, row.owner.uid);
  const EntryIdentity identity{row.owner.cluster_id, 0, 0, row.kind};
  CHECK(encoder.AddRecord({.identity = identity,
                           .payload = row.payload.data(),
                           .payload_bytes = static_cast<std::uint32_t>(row.payload.size()),
                           .entry_checksum = EntryChecksum(identity, row.payload)}));
  (void)encoder.EndRun();
  repeats_.push_back(row);
}

void Recovery::EncodeBounds(std::uint32_t slot, BatchEncoder& encoder) const {
  const ReplayedLog& log = replay_.logs()[slot];
  encoder.BeginRun({.slot = slot,
                    .first = log.bounds.begin,
                    .term = log.bounds.term_before_begin,
                    .epoch = log.bounds.epoch,
                    .kind = RunKind::kBounds,
                    .flags = kRunCarried},
                   log.owner.uid);
  std::byte payload[kBoundsPayloadBytes];
  StoreLe(payload, log.bounds.end);
  StoreLe(payload + 8, log.bounds.last_term);
  const EntryIdentity identity{log.owner.cluster_id, 0, 0, 0};
  CHECK(encoder.AddRecord({.identity = identity,
                           .payload = payload,
                           .payload_bytes = sizeof payload,
                           .entry_checksum = EntryChecksum(identity, payload)}));
  (void)encoder.EndRun();
}

Status Recovery::WriteBatch(File& file, BatchEncoder& encoder, BatchHeader& header) {
  header.number = position_.next_batch;
  header.durable_upto = verdict_.proven;  // Not itself: the header is the commit [A5].
  header.previous_checksum = position_.checksum;
  header.boot = boot_;
  const Bytes bytes = encoder.Finish(header);
  TRY(file.Write(position_.offset, bytes));
  position_.offset += bytes.size();
  position_.batch = header.number;
  position_.checksum = header.checksum;
  position_.next_batch = header.number + 1;
  return {};
}

Status Recovery::WriteHeader(File& file, const FileHeader& header) {
  std::vector<std::byte> blocks(kHeaderCopies * kBlockBytes);
  for (std::uint64_t copy = 0; copy < kHeaderCopies; ++copy) {
    EncodeFileHeader(header, copy,
                     std::span(blocks).subspan(copy * kBlockBytes).first<kBlockBytes>());
  }
  TRY(file.Write(0, blocks));
  return SyncFile(file);
}

Status Recovery::SyncFile(File& file) const {
  // Also under `none`: what recovery moves may have been durable where it stood.
  return options_.sync_method == SyncMethod::kFsync ? file.SyncAll() : file.SyncData();
}

/// Covered ones stay until both checkpoints are known to cover them.
void Recovery::KeepOldFiles() {
  const auto keep = [this](std::size_t index) {
    const FileSummary& file = files_[index];
    live_files_.push_back({.number = file.number,
                           .life = file.life,
                           .size_bytes = file.size_bytes,
                           .zeroed_bytes = file.size_bytes,
                           .place = sources_[index]->place,
                           .file = sources_[index]->file});
  };
  for (const std::size_t covered : verdict_.covered) {
    if (!LetGoBefore(covered)) keep(covered);
  }
  if (!keeps_files()) return;
  const std::size_t last_kept = verdict_.batches[first_copied_ - 1].file;
  for (const ChainFile& chain : verdict_.chain) {
    if (files_[chain.file].number >= OldestKept()) keep(chain.file);
    if (chain.file == last_kept) break;
  }
}

void Recovery::RetireOldFiles(FilePool& pool) {
  for (std::size_t i = 0; i < files_.size(); ++i) {
    const bool away = sources_[i]->place == Place::kAway;
    const bool live =
        std::any_of(live_files_.begin(), live_files_.end(),
                    [&](const LiveFile& kept) { return kept.number == files_[i].number; });
    const bool spare =
        std::find(verdict_.spares.begin(), verdict_.spares.end(), i) != verdict_.spares.end();
    const bool orphan =
        std::find(verdict_.orphans.begin(), verdict_.orphans.end(), i) != verdict_.orphans.end();
    // With a hole in the chain an orphan may be what is missing: it is kept for `repair`.
    const bool perhaps = orphan && !ChainWhole();
    away_counts_ = away_counts_ || (away && (live || perhaps));
    if (live || spare || (orphan && (NeverCommitted(i) || Superseded(i)))) continue;
    if (perhaps) continue;
    GiveTo(pool, i);
  }
}

}  // namespace duramen::wal
