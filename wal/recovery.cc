#include "wal/recovery.h"

#include <algorithm>
#include <cstring>

#include "base/bytes.h"
#include "base/check.h"
#include "base/planted.h"
#include "base/try.h"
#include "wal/scan.h"
#include "wal/scan.h"

namespace duramen::wal {
namespace {

constexpr int kFilesTried = 3;

}  // namespace

struct Recovery::Source {
  std::shared_ptr<File> file;
  FileWindow window;
  explicit Source(std::shared_ptr<File> opened, std::uint64_t size_bytes)
      : file(std::move(opened)), window(*file, size_bytes) {}
};

Recovery::Recovery(Directory& directory, const RecoveryOptions& options, Clock& clock, Rng& rng)
    : directory_(directory), options_(options), clock_(clock), rng_(rng) {}

Recovery::~Recovery() = default;

Status Recovery::Scan(RowKeeper& keeper) {
  TRY(OpenFiles());
  verdict_ = JudgeTail(files_);
  for (const FileSummary& file : files_) {
    if (file.header) boot_ = std::max(boot_, file.header->boot + 1);
    boot_ = std::max(boot_, file.highest_boot + 1);
    bytes_read_ += file.bytes_read;
  }
  JudgeFindings();
  for (std::size_t i = 0; i < verdict_.batches.size(); ++i) {
    const JudgedBatch& batch = verdict_.batches[i];
    const std::size_t before = unattributed_.size();
    if (batch.missing_file && !verdict_.oldest_live_known) continue;
    ReplayBatch(batch, keeper);
    if (unattributed_.size() > before && !RowsRepeatedAfter(i)) replay_.OnRowsUnattributed();
  }
  replay_.Finish();
  AttributeSuspicions();
  first_copied_ = FirstCopied();
  return {};
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
  for (const DirectoryEntry& entry : TRY(directory_.List())) {
    const std::optional<std::uint64_t> number = ParseFileName(entry.name);
    if (number && entry.is_regular) numbers.emplace_back(*number, entry.size_bytes);
  }
  std::sort(numbers.begin(), numbers.end());
  for (const auto& [number, size_bytes] : numbers) {
    std::shared_ptr<File> file = TRY(directory_.Open(FileName(number), OpenFor::kReadWrite));
    auto source = std::make_unique<Source>(std::move(file), size_bytes);
    FileSummary summary = ScanHeaders(source->window, number, options_.system);
    if (summary.unknown_version) return *summary.unknown_version;
    ScanBatches(source->window, options_.system, summary);
    files_.push_back(std::move(summary));
    sources_.push_back(std::move(source));
  }
  return {};
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
  }
  for (const std::size_t orphan : verdict_.orphans) {
    findings_.push_back({.kind = FindingKind::kOrphanFile,
                         .file = files_[orphan].number,
                         .sentence = "the file is off the chain and does not count"});
  }
  for (const std::size_t spare : verdict_.spares) {
    if (files_[spare].size_bytes == options_.file_size_bytes) continue;
    findings_.push_back({.kind = FindingKind::kUnusedSpare,
                         .file = files_[spare].number,
                         .bytes = files_[spare].size_bytes,
                         .sentence = "the file was never in service"});
  }
  if (verdict_.cut.kind != CutKind::kNone) FindingForCut();
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
  CHECK(header.ok());  // The scan found it intact a moment ago.
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
  } else if (owner->second.uid != options_.left_out || options_.left_out.is_nil()) {
    replay_.OnRun(run, owner->second, file);
  }
}

void Recovery::ReplayDamagedRun(const DamagedRun& damage, const JudgedBatch& batch,
                                WalFinding& finding) {
  const SlotTable& slots = slot_tables_[batch.file];
  const auto owner = slots.find(damage.header.slot);
  if (owner == slots.end()) {
    replay_.OnUnattributedLoss();
    return;
  }
  if (damage.header.kind == RunKind::kRows) {
    if ((damage.header.flags & kRunRepeat) != 0) return;
    replay_.OnDamagedRows(owner->second, damage.header);
    finding.touched.push_back({.uid = owner->second.uid, .rows = true});
    return;
  }
  finding.touched.push_back({owner->second.uid, damage.first, damage.last, false});
  if (owner->second.uid == options_.left_out) return;
  replay_.OnDamagedRun(damage, owner->second, files_[batch.file].number, damage.offset);
}

void Recovery::ReplayRows(const RunView& run, const RecordOwner& owner, std::uint64_t file,
                          RowKeeper& keeper) {
  const FileContext context = files_[FileIndex(file)].Context(options_.system);
  RecordReader reader(run, context, owner);
  while (!reader.AtEnd() && reader.resumable()) {
    const Result<RecordView> record = reader.Next();
    if (!record.ok()) continue;
    keeper.OnRow(owner, record->kind, record->payload, file);
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
    if (DecodeRecordHeader(run.records, seed).ok()) return log.owner;
  }
  return std::nullopt;
}

void Recovery::OnOrphanRun(const RunView& run, const JudgedBatch& batch) {
  if (IsEntries(run.header.kind)) replay_.OnUnattributedLoss();
  if (run.header.kind == RunKind::kRows) replay_.OnRowsUnattributed();
  if (!orphan_slots_.insert({batch.file, run.header.slot}).second) return;  // Said already.
  unattributed_.push_back(findings_.size());
  findings_.push_back({.kind = FindingKind::kDamage,
                       .file = files_[batch.file].number,
                       .offset = run.offset,
                       .bytes = kRunHeaderBytes + run.header.bytes,
                       .batch = batch.number,
                       .sentence = "a run whose log's binding was lost; nothing says whose it is"});
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
    replay_.OnUnattributedLoss();
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
      bool known = false;
      for (const WalFinding& other : findings_) {
        for (const TouchedLog& touched : other.touched) {
          known = known || (touched.uid == log.owner.uid && touched.first <= hole.begin &&
                            touched.last + 1 >= hole.end);
        }
      }
      if (!known) {
        finding.touched.push_back({log.owner.uid, hole.begin, hole.end - 1, log.rows_lost});
      }
    }
    if (log.suspect) finding.touched.push_back({log.owner.uid, log.bounds.end, 0, log.rows_lost});
    if (log.rows_lost && !RowsNamed(log.owner.uid)) {
      finding.touched.push_back({.uid = log.owner.uid, .rows = true});
    }
  }
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
    pool.Adopt(files_[spare].number, files_[spare].size_bytes);
  }
  for (const std::size_t orphan : verdict_.orphans) {
    if (NeverCommitted(orphan)) pool.Adopt(files_[orphan].number, files_[orphan].size_bytes);
  }
}

/// What a recovery that died before its header left: copies of what still stands elsewhere.
bool Recovery::NeverCommitted(std::size_t orphan) const {
  const FileSummary& file = files_[orphan];
  if (file.header || !ChainWhole()) return false;
  return std::all_of(file.batches.begin(), file.batches.end(),
                     [&](const BatchSummary& batch) { return batch.number > verdict_.proven; });
}

/// Everything past the last proof; and before it whole small files, as long as nothing in them is
/// damaged, so that a hundred restarts leave no hundred files [B4].
std::size_t Recovery::FirstCopied() const {
  const std::vector<JudgedBatch>& batches = verdict_.batches;
  std::size_t first = batches.size();
  while (first > 0 && batches[first - 1].number > verdict_.proven) --first;
  std::uint64_t bytes = 0;
  for (std::size_t i = first; i < batches.size(); ++i) bytes += batches[i].bytes;
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

Status Recovery::Commit(FilePool& pool, const std::vector<RowCopy>& extra_rows, RowKeeper& keeper) {
  TRY(SettleChain(pool));
  const std::uint64_t needed = CopyBytes(extra_rows);
  const std::uint64_t size = std::max(options_.file_size_bytes, needed);
  PoolFile made = TRY(pool.Now(size));
  Status filled = FillFile(made, extra_rows);
  for (int attempt = 1; attempt < kFilesTried && !filled.ok(); ++attempt) {
    pool.Remove(made.number);  // A bad spot in one spare must not keep the system down.
    made = TRY(pool.Now(size));
    filled = FillFile(made, extra_rows);
  }
  if (!filled.ok()) return filled;
  for (const auto& [old_place, landed] : relocated_) {
    for (const RowCopy& row : landed.rows) {
      keeper.OnRow(row.owner, row.kind, row.payload, made.number);
    }
  }
  for (const RowCopy& row : extra_rows) {
    keeper.OnRow(row.owner, row.kind, row.payload, made.number);
  }
  for (const auto& [uid, file] : copied_bounds_) replay_.SetBoundsFile(uid, file);
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
  const std::size_t kept = first_copied_ > 0 ? verdict_.batches[first_copied_ - 1].file : newest;
  if (kept != newest) TRY(RenewHeader(kept));
  for (const std::size_t orphan : verdict_.orphans) {
    if (Superseded(orphan)) pool.Adopt(files_[orphan].number, files_[orphan].size_bytes);
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
  copied_bounds_.clear();
  bound_.clear();
  repeats_.clear();
  copied_batches_ = 0;
  position_ = {};
  new_life_ = rng_.Next() | 1;  // 0 means "not known"
  const FileContext context = FileContext::Of(options_.system, made.number, new_life_);
  const JudgedBatch* kept = first_copied_ > 0 ? &verdict_.batches[first_copied_ - 1] : nullptr;
  position_.batch = kept != nullptr ? kept->last_number : 0;
  position_.checksum = kept != nullptr ? kept->checksum : 0;
  position_.next_batch = verdict_.highest_batch + 1;
  const FileHeader header = MakeHeader(made, new_life_);
  if (Planted(PlantedBug::kHeaderBeforeCopiedTail)) TRY(WriteHeader(*made.file, header));
  for (std::size_t i = first_copied_; i < verdict_.batches.size(); ++i) {
    TRY(CopyBatch(verdict_.batches[i], *made.file, context));
  }
  if (!extra_rows.empty()) TRY(WriteExtraRows(extra_rows, *made.file, context));
  if (position_.offset > kFirstBatchOffset) TRY(SyncFile(*made.file));
  FileHeader final_header = header;
  final_header.durable_upto = position_.batch;
  return WriteHeader(*made.file, final_header);
}

FileHeader Recovery::MakeHeader(const PoolFile& made, std::uint64_t life) const {
  FileHeader header{.system = options_.system,
                    .life = life,
                    .number = made.number,
                    .size_bytes = made.size_bytes,
                    .boot = boot_,
                    .oldest_live = made.number,
                    .first_batch = verdict_.highest_batch + 1,
                    .durable_upto = verdict_.proven,
                    .sync_method = static_cast<std::uint32_t>(options_.sync_method),
                    .unix_ms = clock_.UnixMs()};
  if (first_copied_ > 0) {
    const JudgedBatch& kept = verdict_.batches[first_copied_ - 1];
    header.predecessor_number = files_[kept.file].number;
    header.predecessor_life = files_[kept.file].life;
    header.predecessor_end = kept.last_number;
    header.predecessor_checksum = kept.checksum;
    header.oldest_live = std::max(verdict_.oldest_live, files_[verdict_.chain[0].file].number);
  }
  return header;
}

std::uint64_t Recovery::CopyBytes(const std::vector<RowCopy>& extra_rows) const {
  std::uint64_t bytes = kFirstBatchOffset + kSealReserveBytes;
  for (std::size_t i = first_copied_; i < verdict_.batches.size(); ++i) {
    // The bindings of another file may all have to be written again.
    bytes += RoundUp(verdict_.batches[i].bytes * 8 / 5, kBlockBytes);
  }
  if (extra_rows.empty()) return bytes;
  std::uint64_t record_bytes = 0;
  for (const RowCopy& row : extra_rows) record_bytes += RecordBytes(row.payload.size());
  return bytes + BatchBytes(record_bytes, extra_rows.size(), extra_rows.size());
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
    encoder.BeginRun(copy, owner->second.uid);
    Relocated& place = relocated_[{old_file.number, run.offset}];
    place.offset = encoder.run_offset();
    if (copy.kind == RunKind::kBounds) copied_bounds_[owner->second.uid] = new_file_number_;
    RecordReader reader(run, old_context, owner->second);
    bool abandoned = false;
    while (!reader.AtEnd()) {
      const Result<RecordView> read = reader.Next();
      if (!read.ok()) {  // Hostile, under good container checksums: the run stays behind.
        abandoned = true;
        break;
      }
      const RecordView& record = *read;
      const bool is_entry = IsEntries(copy.kind);
      const bool added =
          encoder.AddRecord({.identity = {owner->second.cluster_id, is_entry ? copy.term : 0,
                                          is_entry ? record.index : 0, record.kind},
                             .payload = record.payload.data(),
                             .payload_bytes = static_cast<std::uint32_t>(record.payload.size()),
                             .entry_checksum = record.entry_checksum});
      CHECK(added);
      if (copy.kind != RunKind::kRows) continue;
      place.rows.push_back(CopyOf(record, owner->second));
      if ((copy.flags & kRunRepeat) == 0) repeats_.push_back(CopyOf(record, owner->second));
    }
    if (abandoned) {
      encoder.AbandonRun();
      relocated_.erase({old_file.number, run.offset});
    } else {
      (void)encoder.EndRun();
    }
  }
  BatchHeader header{.flags = static_cast<std::uint16_t>(old_header.flags | kBatchCopied)};
  ++copied_batches_;
  return WriteBatch(file, encoder, header);
}

RowCopy Recovery::CopyOf(const RecordView& record, const RecordOwner& owner) {
  return {owner, record.kind, {record.payload.begin(), record.payload.end()}};
}

Status Recovery::WriteExtraRows(const std::vector<RowCopy>& rows, File& file,
                                const FileContext& context) {
  std::uint64_t record_bytes = 0;
  for (const RowCopy& row : rows) record_bytes += RecordBytes(row.payload.size());
  std::vector<std::byte> buffer(BatchBytes(record_bytes, rows.size(), rows.size()));
  BatchEncoder encoder(context, position_.offset, buffer);
  std::set<std::uint32_t> bound_here;
  for (const RowCopy& row : rows) {
    const std::uint32_t slot = replay_.SlotOf(row.owner);
    bound_.emplace(slot, row.owner);
    if (!bound_here.insert(slot).second) continue;
    encoder.AddBinding({slot, row.owner.cluster_id, row.owner.uid});
  }
  for (const RowCopy& row : rows) {
    encoder.BeginRun({.slot = replay_.SlotOf(row.owner), .kind = RunKind::kRows}, row.owner.uid);
    const EntryIdentity identity{row.owner.cluster_id, 0, 0, row.kind};
    CHECK(encoder.AddRecord({.identity = identity,
                             .payload = row.payload.data(),
                             .payload_bytes = static_cast<std::uint32_t>(row.payload.size()),
                             .entry_checksum = EntryChecksum(identity, row.payload)}));
    (void)encoder.EndRun();
    repeats_.push_back(row);
  }
  BatchHeader header{.flags = kBatchCopied};
  return WriteBatch(file, encoder, header);
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

void Recovery::KeepOldFiles() {
  oldest_live_ = new_file_number_;
  if (first_copied_ == 0) return;
  const std::size_t last_kept = verdict_.batches[first_copied_ - 1].file;
  for (const ChainFile& chain : verdict_.chain) {
    const FileSummary& file = files_[chain.file];
    live_files_.push_back({.number = file.number,
                           .life = file.life,
                           .size_bytes = file.size_bytes,
                           .zeroed_bytes = file.size_bytes,
                           .file = sources_[chain.file]->file});
    if (chain.file == last_kept) break;
  }
  oldest_live_ = live_files_.front().number;
}

void Recovery::RetireOldFiles(FilePool& pool) {
  for (std::size_t i = 0; i < files_.size(); ++i) {
    const bool live =
        std::any_of(live_files_.begin(), live_files_.end(),
                    [&](const LiveFile& kept) { return kept.number == files_[i].number; });
    const bool spare =
        std::find(verdict_.spares.begin(), verdict_.spares.end(), i) != verdict_.spares.end();
    const bool orphan =
        std::find(verdict_.orphans.begin(), verdict_.orphans.end(), i) != verdict_.orphans.end();
    if (live || spare || (orphan && (NeverCommitted(i) || Superseded(i)))) continue;
    // With a hole in the chain an orphan may be what is missing: it is kept for `repair`.
    if (orphan && !ChainWhole()) continue;
    pool.Adopt(files_[i].number, files_[i].size_bytes);
  }
}

}  // namespace duramen::wal
