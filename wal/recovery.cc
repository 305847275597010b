#include "wal/recovery.h"

#include <algorithm>
#include <cstring>

#include "base/bytes.h"
#include "base/check.h"
#include "base/planted.h"
#include "base/try.h"
#include "wal/scan.h"

namespace duramen::wal {
Recovery::Recovery(Directory& directory, const RecoveryOptions& options, Clock& clock, Rng& rng)
    : directory_(directory), options_(options), clock_(clock), rng_(rng) {}

Recovery::~Recovery() = default;

Status Recovery::Scan(RowKeeper& keeper) {
  TRY(options_.scanned != nullptr ? OpenScanned() : OpenFiles());
  if (options_.seeds != nullptr) {
    for (const LogSeed& seed : *options_.seeds) replay_.Seed(seed);
  }
  verdict_ = JudgeTail(files_, options_.covered);
  for (const FileSummary& file : files_) {
    if (file.header) boot_ = std::max(boot_, file.header->boot + 1);
    boot_ = std::max(boot_, file.highest_boot + 1);
    bytes_read_ += file.bytes_read;
  }
  JudgeFindings();
  if (!verdict_.reaches_covered && !Unsynced()) OnMissingStart();
  rows_from_ = FirstRowsOnly();
  base_batches_ = FirstCopied();
  for (std::size_t i = 0; i < verdict_.batches.size(); ++i) {
    const JudgedBatch& batch = verdict_.batches[i];
    if (i == base_batches_) base_bounds_ = replay_.BoundsNow();
    if (i == rows_from_) rows_bounds_ = replay_.BoundsNow();
    const std::size_t before = unattributed_.size();
    if (batch.missing_file && !verdict_.oldest_live_known) continue;
    ReplayBatch(batch, keeper);
    if (unattributed_.size() > before && !RowsRepeatedAfter(i)) {
      replay_.OnRowsUnattributed(files_[batch.file].number);
    }
  }
  if (base_batches_ == verdict_.batches.size()) base_bounds_ = replay_.BoundsNow();
  if (changed_in_ != 0) {
    return Error{ErrorCode::kIo, FileName(changed_in_) + " changed while it was read",
                 "is another process writing to the directory?"};
  }
  replay_.Finish();
  AttributeSuspicions();
  return {};
}

/// Under `none` the WAL behind a checkpoint may never have been durable [C14].
bool Recovery::Unsynced() const {
  if (options_.sync_method == SyncMethod::kNone) return true;
  constexpr auto kNone = static_cast<std::uint32_t>(SyncMethod::kNone);
  return std::any_of(verdict_.covered.begin(), verdict_.covered.end(), [&](std::size_t file) {
    return files_[file].header && files_[file].header->sync_method == kNone;
  });
}

/// Rule A2: rows that the WAL does not go on from are not "old but good".
void Recovery::OnMissingStart() {
  const std::uint64_t file =
      verdict_.chain.empty() ? options_.covered.file : files_[verdict_.chain.front().file].number;
  unattributed_.push_back(findings_.size());
  findings_.push_back(
      {.kind = FindingKind::kDamage,
       .file = file,
       .sentence = "what followed the checkpoint is gone; nothing says whose it was"});
  replay_.OnUnattributedLoss(UINT64_MAX);
  replay_.OnRowsUnattributed(UINT64_MAX);
}

/// Rows stand again in the next batch, or in the one after where the next one opened a file in the
/// same round. A stretch of several lost batches may have held both copies.
bool Recovery::RowsRepeatedAfter(std::size_t judged) const {
  const std::vector<JudgedBatch>& batches = verdict_.batches;
  if (batches[judged].last_number != batches[judged].number || batches[judged].missing_file) {
    return false;
  }
  if (judged + 1 >= batches.size() || !batches[judged + 1].intact) return false;
  if (batches[judged + 1].file == batches[judged].file) return true;
  return judged + 2 < batches.size() && batches[judged + 2].intact;
}

Status Recovery::OpenFiles() {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> numbers;
  std::vector<DirectoryEntry> entries = TRY(directory_.List());
  if (options_.away != nullptr) {
    const std::vector<DirectoryEntry> away = TRY(options_.away->List());
    entries.insert(entries.end(), away.begin(), away.end());
  }
  for (const DirectoryEntry& entry : entries) {
    const std::optional<std::uint64_t> number = ParseFileName(entry.name);
    if (number) highest_name_ = std::max(highest_name_, *number);
    if (number && entry.is_regular) numbers.emplace_back(*number, entry.size_bytes);
  }
  std::sort(numbers.begin(), numbers.end());
  for (const auto& [number, size_bytes] : numbers) {
    if (!files_.empty() && files_.back().number == number) {
      return Error{ErrorCode::kCorruption,
                   "'" + directory_.path() + "' and '" + options_.away->path() + "' both hold " +
                       FileName(number),
                   "no such pair is ever written: put back what was copied from one to the other"};
    }
    std::unique_ptr<Source> source = TRY(OpenSource(number, size_bytes));
    FileSummary summary = ScanHeaders(source->window, number, options_.system);
    if (summary.unknown_version) return *summary.unknown_version;
    files_.push_back(std::move(summary));
    sources_.push_back(std::move(source));
  }
  return ScanFiles();
}

Status Recovery::ScanFiles() {
  const std::vector<FileSummary> headers = files_;
  if (options_.after == nullptr || !ScanAfter(*options_.after)) {
    files_ = headers;
    for (std::size_t file = 0; file < files_.size(); ++file) {
      if (files_[file].number > options_.covered.file) ScanWhole(file);
    }
  }
  for (const std::unique_ptr<Source>& source : sources_) {
    if (source->window.refused()) return *source->window.refused();
  }
  return {};
}

void Recovery::ScanWhole(std::size_t file) {
  ScanBatches(sources_[file]->window, options_.system, files_[file]);
}

/// The newest file is read to its end, and what was never in service is not read. Whoever said so
/// wrote these files and saw its last sync succeed, so nothing that counts is elsewhere. False: the
/// files are not as it says, perhaps because somebody had the directory in between, and all of them
/// have to be read.
bool Recovery::ScanAfter(const WalEnd& end) {
  bool found = false;
  for (std::size_t file = 0; file < files_.size(); ++file) {
    const FileSummary& summary = files_[file];
    const std::uint64_t number = summary.number;
    if (number <= options_.covered.file) continue;
    if (number > end.file && summary.header) return false;
    if (number == end.file) {
      if (!ScanLast(end, file)) return false;
      found = true;
    } else if (summary.header || std::ranges::count(end.live, number) > 0) {
      ScanWhole(file);
    }
  }
  return found;
}

bool Recovery::ScanLast(const WalEnd& end, std::size_t file) {
  FileSummary& summary = files_[file];
  if (!summary.header || summary.life != end.life) return false;
  // With the block behind the end, in which no batch may begin.
  ScanBatches(sources_[file]->window, options_.system, summary, end.end_offset + kBlockBytes);
  if (summary.end_offset != end.end_offset) return false;
  if (end.batch == 0) return summary.batches.empty();
  if (summary.batches.empty()) return false;
  const BatchSummary& last = summary.batches.back();
  return last.intact && last.number == end.batch && last.checksum == end.checksum;
}

Status Recovery::OpenScanned() {
  for (const FileSummary& scanned : *options_.scanned) {
    sources_.push_back(TRY(OpenSource(scanned.number, scanned.size_bytes)));
    files_.push_back(scanned);
  }
  return {};
}

/// Wherever it lies.
Result<std::unique_ptr<Recovery::Source>> Recovery::OpenSource(std::uint64_t number,
                                                               std::uint64_t size_bytes) const {
  Result<std::unique_ptr<File>> file = directory_.Open(FileName(number), OpenFor::kReadWrite);
  Place place = Place::kHome;
  if (!file.ok() && file.error().code == ErrorCode::kNotFound && options_.away != nullptr) {
    file = options_.away->Open(FileName(number), OpenFor::kReadWrite);
    place = Place::kAway;
  }
  if (!file.ok()) return std::move(file).error();
  return std::make_unique<Source>(std::move(*file), place, size_bytes);
}

/// To the pool of the directory in which it lies.
void Recovery::GiveTo(FilePool& pool, std::size_t file) const {
  pool.At(sources_[file]->place).Adopt(files_[file].number, files_[file].size_bytes);
}

void Recovery::JudgeFindings() {
  for (const std::uint64_t number : verdict_.missing) {
    findings_.push_back({.kind = FindingKind::kMissingFile,
                         .file = number,
                         .sentence = "a WAL file that is still needed is missing"});
  }
  for (const ChainFile& chain : verdict_.chain) {
    const FileSummary& file = files_[chain.file];
    for (std::uint64_t copy = 0; copy < kHeaderCopies; ++copy) {
      if (file.copy_ok[copy]) continue;
      findings_.push_back(
          {.kind = FindingKind::kHeaderCopy,
           .file = file.number,
           .offset = copy * kBlockBytes,
           .bytes = kBlockBytes,
           .sentence = "a copy of the file header cannot be read; nothing is lost"});
    }
    FindingForShortFile(file);
  }
  for (const std::size_t orphan : verdict_.orphans) {
    findings_.push_back({.kind = FindingKind::kOrphanFile,
                         .file = files_[orphan].number,
                         .sentence = "the file is off the chain and does not count"});
  }
  for (const std::size_t spare : verdict_.spares) {
    const std::uint64_t bytes = files_[spare].size_bytes;
    if (bytes == options_.file_size_bytes || bytes == options_.row_file_bytes) continue;
    findings_.push_back({.kind = FindingKind::kUnusedSpare,
                         .file = files_[spare].number,
                         .bytes = bytes,
                         .sentence = "the file was never in service"});
  }
  if (verdict_.cut.kind != CutKind::kNone) FindingForCut();
}

/// A file has its whole size, durable, before it is in service, so no crash leaves a shorter one.
/// What stood in the rest, if anything, no proof names [C14].
void Recovery::FindingForShortFile(const FileSummary& file) {
  if (!file.header || file.file_bytes >= file.header->size_bytes) return;
  if (file.number <= options_.covered.file) return;
  findings_.push_back({.kind = FindingKind::kUnprovenTail,
                       .file = file.number,
                       .offset = file.file_bytes,
                       .sentence = "the file was cut: it lacks " +
                                   std::to_string(file.header->size_bytes - file.file_bytes) +
                                   " bytes of its size; what stood there is gone"});
}

void Recovery::FindingForCut() {
  const Cut& cut = verdict_.cut;
  WalFinding finding{.file = files_[cut.file].number,
                     .offset = cut.offset,
                     .bytes = cut.bytes,
                     .batch = cut.number};
  if (cut.kind == CutKind::kTorn) {
    finding.kind = FindingKind::kTornTail;
    finding.sentence = "the batch was never completed and nothing of it was acknowledged; cut";
  } else {
    finding.kind = FindingKind::kUnprovenTail;
    finding.sentence = "the batch is incomplete and nothing proves that it was ever durable; cut";
    Source& source = *sources_[cut.file];
    const FileContext context = files_[cut.file].Context(options_.system);
    const BatchContents contents = ReadDamagedBatch(
        source.window.At(cut.offset, cut.bytes), options_.system, context, cut.offset, SlotTable{});
    for (const Binding& binding : contents.bindings) {
      finding.touched.push_back({.uid = binding.uid});
    }
  }
  findings_.push_back(std::move(finding));
}

void Recovery::ReplayBatch(const JudgedBatch& batch, RowKeeper& keeper) {
  Source& source = *sources_[batch.file];
  if (batch.intact) {
    ReplayIntact(batch, source, keeper);
  } else {
    ReplayDamaged(batch, source, keeper);
  }
}

void Recovery::ReplayIntact(const JudgedBatch& batch, Source& source, RowKeeper& keeper) {
  const Bytes bytes = source.window.At(batch.offset, batch.bytes);
  const FileSummary& file = files_[batch.file];
  const FileContext file_context = file.Context(options_.system);
  const Result<BatchHeader> header =
      DecodeBatchHeader(bytes, options_.system, file_context, batch.offset);
  if (!header.ok()) {
    // The scan found it intact a moment ago: somebody writes here, or the device is not to be
    // trusted.
    changed_in_ = file.number;
    return;
  }
  const FileContext context = ContextOf(*header, options_.system, file_context);
  const Result<BatchContents> contents = ReadIntactBatch(*header, bytes, context, batch.offset);
  SlotTable& slots = slot_tables_[batch.file];
  if (!contents.ok()) {  // Under good checksums: not what we write.
    findings_.push_back({.kind = FindingKind::kDamage,
                         .file = file.number,
                         .offset = batch.offset,
                         .bytes = batch.bytes,
                         .batch = batch.number,
                         .sentence = "the batch contradicts itself: " + contents.error().message});
    return;
  }
  for (const Binding& binding : contents->bindings) {
    slots[binding.slot] = {binding.uid, binding.cluster_id};
  }
  ResolveSlots(contents->runs, batch);
  for (const RunView& run : contents->runs) ReplayRun(run, batch, keeper);
}

/// Slots bound in a batch that is gone [C7]: a run with records says whose it is, and the marks of
/// the same slot follow it.
void Recovery::ResolveSlots(const std::vector<RunView>& runs, const JudgedBatch& batch) {
  SlotTable& slots = slot_tables_[batch.file];
  for (const RunView& run : runs) {
    if (slots.contains(run.header.slot)) continue;
    const std::optional<RecordOwner> guessed =
        GuessOwner(run, files_[batch.file].Context(options_.system));
    if (guessed) slots.emplace(run.header.slot, *guessed);
  }
}

void Recovery::ReplayRun(const RunView& run, const JudgedBatch& batch, RowKeeper& keeper) {
  const SlotTable& slots = slot_tables_[batch.file];
  const auto owner = slots.find(run.header.slot);
  if (owner == slots.end()) return OnOrphanRun(run, batch);
  const std::uint64_t file = files_[batch.file].number;
  if (options_.note != nullptr) options_.note(options_.note_argument, owner->second.uid);
  if (run.header.kind == RunKind::kRows) {
    replay_.SlotOf(owner->second);
    ReplayRows(run, owner->second, file, keeper);
  } else if (LeavesOut(owner->second)) {
    // Bounds that are merely stated again are nobody's to keep. A covered file may be one that a
    // round covered while the log was left out.
    if ((run.header.flags & kRunCarried) == 0) left_out_files_.insert(file);
  } else {
    replay_.OnRun(run, owner->second, file);
  }
}

bool Recovery::LeavesOut(const RecordOwner& owner) const {
  return !options_.left_out.is_nil() && owner.uid == options_.left_out;
}

void Recovery::ReplayDamagedRun(const DamagedRun& damage, const JudgedBatch& batch,
                                WalFinding& finding) {
  const SlotTable& slots = slot_tables_[batch.file];
  const auto owner = slots.find(damage.header.slot);
  const std::uint64_t file = files_[batch.file].number;
  if (owner == slots.end()) {
    replay_.OnUnattributedLoss(file);
    return;
  }
  if (replay_.Covers(owner->second.uid, file)) return;
  if (damage.header.kind == RunKind::kRows) {
    if ((damage.header.flags & kRunRepeat) != 0) return;
    replay_.OnDamagedRows(owner->second, damage.header);
    finding.touched.push_back({.uid = owner->second.uid, .rows = true});
    return;
  }
  finding.touched.push_back({owner->second.uid, damage.first, damage.last, false});
  if (LeavesOut(owner->second)) {
    left_out_files_.insert(file);
    return;
  }
  replay_.OnDamagedRun(damage, owner->second, file, damage.offset);
}

void Recovery::ReplayRows(const RunView& run, const RecordOwner& owner, std::uint64_t file,
                          RowKeeper& keeper) {
  const FileContext context = files_[FileIndex(file)].Context(options_.system);
  RecordReader reader(run, context, owner);
  // A repeat alone is no copy to rely on, as damage to it is no loss: the file before it is let go
  // only when the row was written once more.
  const bool repeat = (run.header.flags & kRunRepeat) != 0;
  const std::uint64_t stands_in = repeat ? FileBefore(file) : file;
  while (!reader.AtEnd() && reader.resumable()) {
    const Result<RecordView> record = reader.Next();
    if (!record.ok()) continue;
    keeper.OnRow(owner, record->kind, record->payload, stands_in);
    if (record->payload.size() >= sizeof(std::uint64_t)) {
      replay_.OnReadableRow(owner, LoadLe<std::uint64_t>(record->payload.data()));
    }
  }
}

/// A record's own checksum is seeded with its log's uid, so each known one can be tried.
std::optional<RecordOwner> Recovery::GuessOwner(const RunView& run,
                                                const FileContext& context) const {
  for (const ReplayedLog& log : replay_.logs()) {
    const std::uint64_t seed =
        RecordSeed(context.seed, run.offset + kRunHeaderBytes, log.owner.uid);
    if (RunIsOf(run.header, run.records, seed)) return log.owner;
  }
  return std::nullopt;
}

void Recovery::OnOrphanRun(const RunView& run, const JudgedBatch& batch) {
  const std::uint64_t file = files_[batch.file].number;
  if (IsEntries(run.header.kind)) replay_.OnUnattributedLoss(file);
  if (run.header.kind == RunKind::kRows) replay_.OnRowsUnattributed(file);
  if (!orphan_slots_.insert({batch.file, run.header.slot}).second) return;  // Said already.
  unattributed_.push_back(findings_.size());
  findings_.push_back({.kind = FindingKind::kDamage,
                       .file = file,
                       .offset = run.offset,
                       .bytes = kRunHeaderBytes + run.header.bytes,
                       .batch = batch.number,
                       .sentence = "a run whose log's binding was lost; nothing says whose it is"});
}

/// The file before `number` in the chain; `number` itself in the oldest one.
std::uint64_t Recovery::FileBefore(std::uint64_t number) const {
  std::uint64_t before = number;
  for (const ChainFile& chain : verdict_.chain) {
    if (files_[chain.file].number == number) break;
    before = files_[chain.file].number;
  }
  return before;
}

std::size_t Recovery::FileIndex(std::uint64_t number) const {
  const auto found = std::find_if(files_.begin(), files_.end(),
                                  [&](const FileSummary& file) { return file.number == number; });
  CHECK(found != files_.end());
  return static_cast<std::size_t>(found - files_.begin());
}

void Recovery::ReplayDamaged(const JudgedBatch& batch, Source& source, RowKeeper& keeper) {
  const FileSummary& file = files_[batch.file];
  const FileContext context = file.Context(options_.system);
  SlotTable& slots = slot_tables_[batch.file];
  const Bytes bytes = source.window.At(batch.offset, batch.bytes);
  const BatchContents contents =
      ReadDamagedBatch(bytes, options_.system, context, batch.offset, slots);
  for (const Binding& binding : contents.bindings) {
    slots[binding.slot] = {binding.uid, binding.cluster_id};
  }
  for (const Binding& binding : contents.unverified) {
    const ReplayedLog* known = replay_.Find(binding.uid);  // A wrong bit would name nobody.
    if (known != nullptr) slots.emplace(binding.slot, known->owner);
  }
  WalFinding finding{.kind = FindingKind::kDamage,
                     .file = file.number,
                     .offset = batch.offset,
                     .bytes = batch.bytes,
                     .batch = batch.number,
                     .sentence = "acknowledged bytes of the batch cannot be read"};
  ResolveSlots(contents.runs, batch);
  // In the order in which they were written, or a later run would look like a gap.
  std::size_t next_damaged = 0;
  for (const RunView& run : contents.runs) {
    while (next_damaged < contents.damaged.size() &&
           contents.damaged[next_damaged].offset < run.offset) {
      ReplayDamagedRun(contents.damaged[next_damaged++], batch, finding);
    }
    ReplayRun(run, batch, keeper);
  }
  while (next_damaged < contents.damaged.size()) {
    ReplayDamagedRun(contents.damaged[next_damaged++], batch, finding);
  }
  for (const RunView& run : contents.partial) {
    const auto owner = slots.find(run.header.slot);
    if (owner != slots.end() && run.header.kind == RunKind::kRows) {
      ReplayRows(run, owner->second, file.number, keeper);
    }
  }
  if (contents.unattributed || batch.last_number != batch.number || batch.missing_file) {
    finding.sentence += "; nothing says whose they were";
    unattributed_.push_back(findings_.size());
    replay_.OnUnattributedLoss(file.number);
  }
  findings_.push_back(std::move(finding));
}

/// Holes and suspicions that no summary explains belong to the stretch without attribution; rows
/// that a repeat brought back were not lost.
void Recovery::AttributeSuspicions() {
  for (WalFinding& finding : findings_) {
    std::erase_if(finding.touched, [&](const TouchedLog& touched) {
      if (!touched.rows) return false;
      const ReplayedLog* log = replay_.Find(touched.uid);
      return log != nullptr && !log->rows_lost;
    });
  }
  if (unattributed_.empty()) return;
  WalFinding& finding = findings_[unattributed_.front()];
  for (const ReplayedLog& log : replay_.logs()) {
    for (const IndexRange& hole : log.holes) {
      const IndexRange lost = WalPartOf(log.owner.uid, hole);
      if (lost.begin >= lost.end || IsNamed(log.owner.uid, lost)) continue;
      finding.touched.push_back({log.owner.uid, lost.begin, lost.end - 1, log.rows_lost});
    }
    if (log.suspect) finding.touched.push_back({log.owner.uid, log.bounds.end, 0, log.rows_lost});
    if (log.rows_lost && !RowsNamed(log.owner.uid)) {
      finding.touched.push_back({.uid = log.owner.uid, .rows = true});
    }
  }
}

bool Recovery::IsNamed(const ServerUid& uid, const IndexRange& range) const {
  for (const WalFinding& finding : findings_) {
    for (const TouchedLog& touched : finding.touched) {
      if (touched.uid == uid && touched.first <= range.begin && touched.last + 1 >= range.end) {
        return true;
      }
    }
  }
  return false;
}

/// Without what is missing in segments: that is not the WAL's fault.
IndexRange Recovery::WalPartOf(const ServerUid& uid, IndexRange hole) const {
  if (options_.seeds == nullptr) return hole;
  for (const LogSeed& seed : *options_.seeds) {
    if (seed.owner.uid != uid) continue;
    for (const IndexRange& there : seed.holes) {
      const Index end = std::min(there.end, seed.flushed_end);
      if (there.begin <= hole.begin) hole.begin = std::max(hole.begin, end);
      if (there.begin > hole.begin && end >= hole.end) hole.end = there.begin;
    }
  }
  return hole;
}

bool Recovery::ChainWhole() const {
  return verdict_.missing.empty() && verdict_.headerless.empty();
}

bool Recovery::RowsNamed(const ServerUid& uid) const {
  for (const WalFinding& finding : findings_) {
    for (const TouchedLog& touched : finding.touched) {
      if (touched.rows && touched.uid == uid) return true;
    }
  }
  return false;
}

void Recovery::OfferSpares(FilePool& pool) const {
  for (const std::size_t spare : verdict_.spares) {
    GiveTo(pool, spare);
  }
  for (const std::size_t orphan : verdict_.orphans) {
    if (NeverCommitted(orphan)) GiveTo(pool, orphan);
  }
}

/// What a recovery that died before its header left: copies of what still stands elsewhere.
bool Recovery::NeverCommitted(std::size_t orphan) const {
  const FileSummary& file = files_[orphan];
  if (file.header || !ChainWhole()) return false;
  return std::all_of(file.batches.begin(), file.batches.end(),
                     [&](const BatchSummary& batch) { return batch.number > verdict_.proven; });
}

}  // namespace duramen::wal
