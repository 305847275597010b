#include "tools/dump_printer.h"

#include <algorithm>

#include "base/bytes.h"
#include "tools/interrupt.h"
#include "tools/text.h"

namespace duramen::tools {
namespace {

enum At : std::size_t {
  kFile,
  kOffset,
  kBatch,
  kStanding,
  kServer,
  kUid,
  kSlot,
  kRun,
  kFlags,
  kEpoch,
  kIndex,
  kTerm,
  kRecord,
  kEntryKind,
  kBytes,
  kText,
  kSource,
  kData,
};

std::vector<Column> DumpColumns() {
  return {{"file", ColumnType::kText},          {"offset", ColumnType::kCount},
          {"batch", ColumnType::kCount},        {"standing", ColumnType::kText, false},
          {"server", ColumnType::kText},        {"uid", ColumnType::kText, false},
          {"slot", ColumnType::kCount},         {"run", ColumnType::kText},
          {"flags", ColumnType::kText, false},  {"epoch", ColumnType::kCount},
          {"index", ColumnType::kCount},        {"term", ColumnType::kCount},
          {"record", ColumnType::kText, false}, {"entry_kind", ColumnType::kText},
          {"bytes", ColumnType::kSize},         {"text", ColumnType::kText, false},
          {"source", ColumnType::kText, false}, {"data", ColumnType::kPayload}};
}

const char* ClassOf(wal::RunKind kind) {
  if (wal::IsEntries(kind)) return "entry";
  return kind == wal::RunKind::kRows ? "row" : "mark";
}

const char* RowName(std::uint8_t kind) {
  return meta::RowKindName(static_cast<meta::RowKind>(kind));
}

std::string FlagsText(std::uint8_t flags) {
  std::string text;
  if ((flags & wal::kRunRepeat) != 0) text = "repeat";
  if ((flags & wal::kRunCarried) != 0) text += text.empty() ? "carried" : ",carried";
  if ((flags & wal::kRunPacked) != 0) text += text.empty() ? "packed" : ",packed";
  return text;
}

DumpCandidate CandidateOf(const WalkedRun& walked, const wal::RecordView* record) {
  const wal::RunHeader& run = walked.run.header;
  const bool rows = run.kind == wal::RunKind::kRows;
  const bool entries = wal::IsEntries(run.kind);
  DumpCandidate candidate{.uid = walked.owner == nullptr ? nullptr : &walked.owner->uid,
                          .record = ClassOf(run.kind),
                          .run = wal::RunKindName(run.kind)};
  if (!rows) candidate.index = entries && record != nullptr ? record->index : run.first;
  if (!rows) candidate.term = run.term;
  if (rows && record != nullptr) candidate.row = RowName(record->kind);
  if (entries && record != nullptr) candidate.entry_kind = record->kind;
  return candidate;
}

}  // namespace

DumpPrinter::DumpPrinter(const DumpOptions& options, const ServerNames& names, Terminal& terminal,
                         const WalImage* wal)
    : options_(options),
      names_(names),
      wal_(wal),
      filter_(options, names),
      terminal_(terminal),
      cells_(DumpColumns().size()) {
  if (!options.stats) sheet_.emplace(terminal, options.output, "record", DumpColumns());
}

void DumpPrinter::OnBatch(const WalkedBatch& batch) {
  ++totals_.batches;
  totals_.batch_bytes += batch.bytes;
  if ((batch.flags & wal::kBatchSeal) != 0) ++totals_.seals;
}

void DumpPrinter::OnRun(const WalkedRun& walked) {
  const ServerUid* uid = walked.owner == nullptr ? nullptr : &walked.owner->uid;
  if (!filter_.WantsServer(uid)) return;
  if (wal::IsMark(walked.run.header.kind)) {
    if (filter_.Wants(CandidateOf(walked, nullptr))) PrintMark(walked);
    return;
  }
  ForEachRecord(walked, [&](const wal::RecordView& record) {
    if (filter_.Wants(CandidateOf(walked, &record))) PrintRecord(walked, record);
  });
}

void DumpPrinter::OnFileSkipped(const std::string& file, std::uint64_t bytes,
                                const std::string& why) {
  ++totals_.skipped_files;
  totals_.skipped_bytes += bytes;
  terminal_.Say("skipped: all of " + file + ", " + HumanBytes(bytes) + ": " + why);
}

void DumpPrinter::Skipped(const std::string& what, std::uint64_t bytes) {
  if (Interrupted()) return;  // For want of bytes.
  totals_.skipped_bytes += bytes;
  terminal_.Say("skipped: " + HumanBytes(bytes) + " of " + what);
}

void DumpPrinter::OnSkipped(const WalkedBatch& batch, std::uint64_t bytes, bool) {
  Skipped("batch " + std::to_string(batch.number) + " in " + wal_->files[batch.file].name +
              " at offset " + std::to_string(batch.offset),
          bytes);
}

void DumpPrinter::OnRecycled(const WalkedBatch& batch) {
  recycled_ = true;
  terminal_.Say("note: a running store recycled " + wal_->files[batch.file].name +
                " while it was read");
}

void DumpPrinter::OnSegmentSkipped(const std::string& file, std::uint64_t offset,
                                   std::uint64_t bytes) {
  Skipped(file + " at offset " + std::to_string(offset), bytes);
}

void DumpPrinter::OnSegmentGone(const std::string& file) {
  terminal_.Say("note: a running store removed " + file + " while it was read");
}

bool DumpPrinter::wants_more() const { return !Interrupted(); }

void DumpPrinter::SetServer(const ServerUid& uid) {
  cells_[kServer] = names_.NameOf(uid);
  cells_[kUid] = uid.ToString();
}

void DumpPrinter::Fill(const WalkedRun& walked, std::uint64_t offset) {
  std::fill(cells_.begin(), cells_.end(), Cell{});
  const wal::RunHeader& run = walked.run.header;
  cells_[kFile] = wal_->files[walked.batch.file].name;
  cells_[kOffset] = offset;
  cells_[kBatch] = walked.batch.number;
  cells_[kStanding] = std::string(StandingName(walked.batch.standing));
  if (walked.owner != nullptr) SetServer(walked.owner->uid);
  cells_[kSlot] = std::uint64_t{run.slot};
  cells_[kRun] = std::string(wal::RunKindName(run.kind));
  cells_[kFlags] = FlagsText(run.flags);
  cells_[kEpoch] = run.epoch;
  cells_[kRecord] = std::string(ClassOf(run.kind));
  cells_[kSource] = std::string("wal");
}

void DumpPrinter::PrintRecord(const WalkedRun& walked, const wal::RecordView& record) {
  const wal::RunHeader& run = walked.run.header;
  const bool entry = wal::IsEntries(run.kind);
  Count(entry                             ? "entry " + std::to_string(record.kind)
        : run.kind == wal::RunKind::kRows ? "row " + std::string(RowName(record.kind))
                                          : "mark " + std::string(wal::RunKindName(run.kind)),
        record.payload.size());
  totals_.entries += entry ? 1 : 0;
  ++totals_.wal_records;
  if (!sheet_) return;
  Fill(walked, record.offset);
  cells_[kBytes] = std::uint64_t{record.payload.size()};
  if (entry) {
    cells_[kIndex] = record.index;
    cells_[kTerm] = run.term;
    cells_[kEntryKind] = std::to_string(record.kind);
  } else {
    FillRowText(walked, record);
  }
  SetContent(record.payload, entry);
  sheet_->Add(cells_);
}

void DumpPrinter::SetContent(Bytes payload, bool entry) {
  const bool table = options_.output.format == Format::kTable;
  const bool as_text = table && options_.output.payload == PayloadForm::kText;
  if (!entry && (as_text || options_.output.format == Format::kRaw)) {
    // A row says more in words than in bytes.
    const auto* text = std::get_if<std::string>(&cells_[kText]);
    if (table && text != nullptr) cells_[kData] = *text;
  } else {
    cells_[kData] = payload;
  }
}

void DumpPrinter::FillRowText(const WalkedRun& walked, const wal::RecordView& record) {
  const wal::RunHeader& run = walked.run.header;
  if (run.kind == wal::RunKind::kBounds) {
    cells_[kIndex] = run.first;
    cells_[kTerm] = run.term;
    cells_[kEntryKind] = std::string("bounds");
    if (record.payload.size() >= 16) {
      cells_[kText] =
          "begin=" + std::to_string(run.first) +
          " end=" + std::to_string(LoadLe<std::uint64_t>(record.payload.data())) +
          " last_term=" + std::to_string(LoadLe<std::uint64_t>(record.payload.data() + 8));
    }
    return;
  }
  cells_[kEntryKind] = std::string(RowName(record.kind));
  const Result<DecodedRow> row = DecodeRowRecord(record);
  cells_[kText] = row.ok() ? RowText(row->row) : "unreadable: " + row.error().message;
}

void DumpPrinter::PrintMark(const WalkedRun& walked) {
  const wal::RunHeader& run = walked.run.header;
  Count("mark " + std::string(wal::RunKindName(run.kind)), 0);
  ++totals_.wal_records;
  if (!sheet_) return;
  Fill(walked, walked.run.offset);
  cells_[kIndex] = run.first;
  cells_[kTerm] = run.term;
  sheet_->Add(cells_);
}

void DumpPrinter::OnSegmentRecord(const SegmentRecord& found) {
  const bool sparse = found.run.kind == segments::RunKind::kSparse;
  const segments::RecordHeader& record = found.record;
  const std::string run = sparse ? "sparse" : "append";
  if (!filter_.Wants({.uid = &found.uid,
                      .record = "entry",
                      .run = run,
                      .row = {},
                      .entry_kind = record.kind,
                      .index = record.index,
                      .term = record.term})) {
    return;
  }
  Count("entry " + std::to_string(record.kind), found.payload.size());
  ++totals_.entries;
  if (!sheet_) return;
  std::fill(cells_.begin(), cells_.end(), Cell{});
  cells_[kFile] = found.file;
  cells_[kOffset] = found.offset;
  cells_[kStanding] = std::string(StandingName(found.standing));
  SetServer(found.uid);
  cells_[kRun] = run;
  cells_[kFlags] = std::string();
  cells_[kEpoch] = found.run.epoch;
  cells_[kIndex] = record.index;
  cells_[kTerm] = record.term;
  cells_[kRecord] = std::string("entry");
  cells_[kEntryKind] = std::to_string(record.kind);
  cells_[kBytes] = std::uint64_t{found.payload.size()};
  cells_[kSource] = std::string("segment");
  SetContent(found.payload, /*entry=*/true);
  sheet_->Add(cells_);
}

void DumpPrinter::OnCheckpoint(const std::string& file, const CheckpointImage& image) {
  for (const meta::CheckpointDamage& damage : image.content.damage) {
    if (damage.row_lost)
      Skipped(file + " at offset " + std::to_string(damage.offset), damage.bytes);
  }
  for (const meta::CheckpointServer& server : image.content.servers) {
    if (!filter_.WantsServer(&server.uid)) continue;
    std::fill(cells_.begin(), cells_.end(), Cell{});
    cells_[kFile] = file;
    const auto place = image.offsets.find(server.uid);
    if (place != image.offsets.end()) cells_[kOffset] = place->second;
    cells_[kStanding] = std::string("live");
    SetServer(server.uid);
    cells_[kRun] = std::string("rows");
    cells_[kFlags] = std::string();
    cells_[kRecord] = std::string("row");
    cells_[kSource] = std::string("checkpoint");
    for (const CheckpointRow& row : RowsOf(server.rows)) PrintRow(server.uid, row);
  }
}

void DumpPrinter::PrintRow(const ServerUid& uid, const CheckpointRow& row) {
  const std::string name = meta::RowKindName(meta::KindOf(row.row));
  if (!filter_.Wants({.uid = &uid, .record = "row", .run = "rows", .row = name})) return;
  const std::vector<std::byte> bytes = meta::EncodeRow(row.row);
  Count("row " + name, bytes.size());
  if (!sheet_) return;
  cells_[kEntryKind] = name;
  cells_[kBytes] = std::uint64_t{bytes.size()};
  cells_[kText] = RowText(row.row);
  cells_[kData] = Cell{};
  SetContent(bytes, /*entry=*/false);
  sheet_->Add(cells_);
}

void DumpPrinter::Count(const std::string& kind, std::uint64_t bytes) {
  ++totals_.records;
  totals_.payload_bytes += bytes;
  if (!options_.stats) return;
  auto& [records, kind_bytes] = totals_.by_kind[kind];
  ++records;
  kind_bytes += bytes;
}

void DumpPrinter::Finish(const std::string& verdict, const std::vector<Field>& more) {
  const std::uint64_t files = wal_ == nullptr ? 0 : wal_->files.size();
  std::vector<Field> summary = {{"files", ColumnType::kCount, files},
                                {"segments", ColumnType::kCount, totals_.segments},
                                {"batches", ColumnType::kCount, totals_.batches},
                                {"seals", ColumnType::kCount, totals_.seals},
                                {"batch_bytes", ColumnType::kSize, totals_.batch_bytes},
                                {"records", ColumnType::kCount, totals_.records},
                                {"entries", ColumnType::kCount, totals_.entries},
                                {"payload_bytes", ColumnType::kSize, totals_.payload_bytes},
                                {"skipped_bytes", ColumnType::kSize, totals_.skipped_bytes}};
  summary.insert(summary.end(), more.begin(), more.end());
  std::string sentence = verdict;
  if (skipped_any()) sentence += ", " + HumanBytes(totals_.skipped_bytes) + " skipped";
  if (options_.stats) return PrintStats(sentence, summary);
  std::string last = Plural(totals_.records, "record") + " in " + Plural(totals_.batches, "batch") +
                     " of " + Plural(files, "file");
  if (totals_.segments > 0) last += ", " + Plural(totals_.segments, "segment");
  sheet_->Finish(last + ": " + sentence, summary);
}

void DumpPrinter::PrintStats(const std::string& verdict, std::span<const Field> summary) {
  Sheet sheet(terminal_, options_.output, "dump_stat",
              {{"record", ColumnType::kText},
               {"count", ColumnType::kCount},
               {"payload_bytes", ColumnType::kSize}});
  for (const auto& [kind, count] : totals_.by_kind) {
    const Cell row[] = {kind, count.first, count.second};
    sheet.Add(row);
  }
  const std::uint64_t batches = totals_.batches - totals_.seals;
  const double per_batch =
      batches == 0 ? 0 : static_cast<double>(totals_.wal_records) / static_cast<double>(batches);
  std::vector<Field> all(summary.begin(), summary.end());
  all.insert(all.begin() + 8, {"records_per_batch", ColumnType::kDecimal, per_batch});
  sheet.Finish(Plural(totals_.records, "record") + " in " + Plural(totals_.batches, "batch") +
                   " (" + Decimal(per_batch, 1) + " each without seals), " +
                   HumanBytes(totals_.payload_bytes) + " of payload in " +
                   HumanBytes(totals_.batch_bytes) + ": " + verdict,
               all);
}

}  // namespace duramen::tools
