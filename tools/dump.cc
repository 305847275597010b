#include "tools/dump.h"

#include <algorithm>
#include <array>
#include <map>

#include "base/bytes.h"
#include "tools/findings.h"
#include "tools/interrupt.h"
#include "tools/server_names.h"
#include "tools/text.h"
#include "tools/wal_walk.h"

namespace duramen::tools {
namespace {

constexpr std::array<std::string_view, 3> kClasses = {"entry", "row", "mark"};

const char* ClassOf(wal::RunKind kind) {
  if (wal::IsEntries(kind)) return "entry";
  return kind == wal::RunKind::kRows ? "row" : "mark";
}

/// Which records are wanted; the strings of the options, parsed once.
class Filter {
 public:
  Filter(const DumpOptions& options, const ServerNames& names) : options_(options) {
    if (!options.server.empty()) servers_ = names.Find(options.server);
    entry_kind_ = ParseCount(options.kind);
  }
  bool WantsRun(const WalkedRun& walked) const {
    const wal::RunHeader& run = walked.run.header;
    if (!options_.server.empty() &&
        (walked.owner == nullptr || servers_.count(walked.owner->uid) == 0)) {
      return false;
    }
    const bool has_index = run.kind != wal::RunKind::kRows;
    if ((options_.from || options_.to || options_.term) && !has_index) return false;
    return !options_.term || run.term == *options_.term;
  }
  bool WantsIndex(Index index) const {
    return (!options_.from || index >= *options_.from) && (!options_.to || index <= *options_.to);
  }
  bool WantsKind(wal::RunKind run, std::uint8_t kind) const {
    if (options_.kind.empty() || options_.kind == ClassOf(run)) return true;
    if (options_.kind == wal::RunKindName(run)) return true;
    if (wal::IsEntries(run)) return entry_kind_ && *entry_kind_ == kind;
    return run == wal::RunKind::kRows &&
           options_.kind == meta::RowKindName(static_cast<meta::RowKind>(kind));
  }
  bool found_server() const { return options_.server.empty() || !servers_.empty(); }
  static bool KnownKind(const std::string& kind) {
    if (kind.empty() || ParseCount(kind).value_or(256) < 256) return true;
    if (std::find(kClasses.begin(), kClasses.end(), kind) != kClasses.end()) return true;
    for (std::uint8_t run = 1; run <= 9; ++run) {
      if (kind == wal::RunKindName(static_cast<wal::RunKind>(run))) return true;
    }
    for (std::uint8_t row = meta::kFirstRowKind; row <= meta::kLastRowKind; ++row) {
      if (kind == meta::RowKindName(static_cast<meta::RowKind>(row))) return true;
    }
    return false;
  }

 private:
  const DumpOptions& options_;
  std::set<ServerUid> servers_;
  std::optional<std::uint64_t> entry_kind_;
};

std::vector<Column> DumpColumns() {
  return {{"file", ColumnType::kText},
          {"offset", ColumnType::kCount},
          {"batch", ColumnType::kCount},
          {"standing", ColumnType::kText, false},
          {"server", ColumnType::kText},
          {"uid", ColumnType::kText, false},
          {"slot", ColumnType::kCount},
          {"run", ColumnType::kText},
          {"flags", ColumnType::kText, false},
          {"epoch", ColumnType::kCount},
          {"index", ColumnType::kCount},
          {"term", ColumnType::kCount},
          {"record", ColumnType::kText, false},
          {"entry_kind", ColumnType::kText},
          {"bytes", ColumnType::kSize},
          {"text", ColumnType::kText, false},
          {"data", ColumnType::kPayload}};
}

std::string FlagsText(std::uint8_t flags) {
  std::string text;
  if ((flags & wal::kRunRepeat) != 0) text = "repeat";
  if ((flags & wal::kRunCarried) != 0) text += text.empty() ? "carried" : ",carried";
  return text;
}

struct Totals {
  std::uint64_t records = 0;
  std::uint64_t entries = 0;
  std::uint64_t rows = 0;
  std::uint64_t marks = 0;
  std::uint64_t payload_bytes = 0;
  std::uint64_t batches = 0;
  std::uint64_t seals = 0;
  std::uint64_t batch_bytes = 0;
  std::uint64_t skipped_bytes = 0;
  std::map<std::string, std::pair<std::uint64_t, std::uint64_t>> by_kind;  // records, bytes
};

class Printer final : public WalVisitor {
 public:
  Printer(const DumpOptions& options, const WalImage& image, const ServerNames& names,
          Terminal& terminal)
      : options_(options), image_(image), names_(names), filter_(options, names),
        terminal_(terminal), cells_(DumpColumns().size()) {
    if (!options.stats) sheet_.emplace(terminal, options.output, "record", DumpColumns());
  }

  void OnBatch(const WalkedBatch& batch) override {
    ++totals_.batches;
    totals_.batch_bytes += batch.bytes;
    if ((batch.flags & wal::kBatchSeal) != 0) ++totals_.seals;
  }
  void OnRun(const WalkedRun& walked) override {
    if (!filter_.WantsRun(walked)) return;
    const wal::RunHeader& run = walked.run.header;
    if (wal::IsMark(run.kind)) {
      if (filter_.WantsIndex(run.first) && filter_.WantsKind(run.kind, 0)) PrintMark(walked);
      return;
    }
    ForEachRecord(walked, [&](const wal::RecordView& record) {
      const bool has_index = wal::IsEntries(run.kind);
      if (has_index && !filter_.WantsIndex(record.index)) return;
      if (filter_.WantsKind(run.kind, record.kind)) PrintRecord(walked, record);
    });
  }
  void OnSkipped(const WalkedBatch& batch, std::uint64_t bytes, bool) override {
    totals_.skipped_bytes += bytes;
    terminal_.Say("skipped: " + HumanBytes(bytes) + " of batch " + std::to_string(batch.number) +
                  " in " + image_.files[batch.file].name + " at offset " +
                  std::to_string(batch.offset));
  }
  void OnRecycled(const WalkedBatch& batch) override {
    terminal_.Say("note: a running store recycled " + image_.files[batch.file].name +
                  " while it was read");
  }
  bool wants_more() const override { return !Interrupted(); }

  void Finish() {
    if (options_.stats) return PrintStats();
    std::string verdict = Plural(totals_.records, "record") + " in " +
                          Plural(totals_.batches, "batch") + " of " +
                          Plural(image_.files.size(), "file") + ": " + VerdictSentence(image_);
    if (totals_.skipped_bytes > 0) verdict += ", " + HumanBytes(totals_.skipped_bytes) + " skipped";
    sheet_->Finish(verdict);
  }
  const Totals& totals() const { return totals_; }

 private:
  void Fill(const WalkedRun& walked, std::uint64_t offset) {
    std::fill(cells_.begin(), cells_.end(), Cell{});
    const wal::RunHeader& run = walked.run.header;
    cells_[0] = image_.files[walked.batch.file].name;
    cells_[1] = offset;
    cells_[2] = walked.batch.number;
    cells_[3] = std::string(StandingName(walked.batch.standing));
    if (walked.owner != nullptr) {
      cells_[4] = names_.NameOf(walked.owner->uid);
      cells_[5] = walked.owner->uid.ToString();
    }
    cells_[6] = std::uint64_t{run.slot};
    cells_[7] = std::string(wal::RunKindName(run.kind));
    cells_[8] = FlagsText(run.flags);
    cells_[9] = run.epoch;
    cells_[12] = std::string(ClassOf(run.kind));
  }

  void PrintRecord(const WalkedRun& walked, const wal::RecordView& record) {
    const wal::RunHeader& run = walked.run.header;
    const bool entry = wal::IsEntries(run.kind);
    Count(entry ? "entry " + std::to_string(record.kind)
          : run.kind == wal::RunKind::kRows
              ? "row " + std::string(meta::RowKindName(static_cast<meta::RowKind>(record.kind)))
              : "mark " + std::string(wal::RunKindName(run.kind)),
          record.payload.size());
    ++(entry ? totals_.entries : run.kind == wal::RunKind::kRows ? totals_.rows : totals_.marks);
    if (!sheet_) return;
    Fill(walked, record.offset);
    cells_[14] = std::uint64_t{record.payload.size()};
    if (entry) {
      cells_[10] = record.index;
      cells_[11] = run.term;
      cells_[13] = std::to_string(record.kind);
    } else {
      FillRowText(walked, record);
    }
    const bool table = options_.output.format == Format::kTable;
    const bool as_text = table && options_.output.payload == PayloadForm::kText;
    if (!entry && (as_text || options_.output.format == Format::kRaw)) {
      // A row says more in words than in bytes.
      const auto* text = std::get_if<std::string>(&cells_[15]);
      if (table && text != nullptr) cells_[16] = *text;
    } else {
      cells_[16] = record.payload;
    }
    sheet_->Add(cells_);
  }

  void FillRowText(const WalkedRun& walked, const wal::RecordView& record) {
    if (walked.run.header.kind == wal::RunKind::kBounds) {
      cells_[10] = walked.run.header.first;
      cells_[11] = walked.run.header.term;
      cells_[13] = std::string("bounds");
      if (record.payload.size() >= 16) {
        cells_[15] =
            "begin=" + std::to_string(walked.run.header.first) +
            " end=" + std::to_string(LoadLe<std::uint64_t>(record.payload.data())) +
            " last_term=" + std::to_string(LoadLe<std::uint64_t>(record.payload.data() + 8));
      }
      return;
    }
    cells_[13] = std::string(meta::RowKindName(static_cast<meta::RowKind>(record.kind)));
    const Result<DecodedRow> row = DecodeRowRecord(record);
    cells_[15] = row.ok() ? RowText(row->row) : "unreadable: " + row.error().message;
  }

  void PrintMark(const WalkedRun& walked) {
    const wal::RunHeader& run = walked.run.header;
    Count("mark " + std::string(wal::RunKindName(run.kind)), 0);
    ++totals_.marks;
    if (!sheet_) return;
    Fill(walked, walked.run.offset);
    cells_[10] = run.first;
    cells_[11] = run.term;
    sheet_->Add(cells_);
  }

  void Count(const std::string& kind, std::uint64_t bytes) {
    ++totals_.records;
    totals_.payload_bytes += bytes;
    if (!options_.stats) return;
    auto& [records, kind_bytes] = totals_.by_kind[kind];
    ++records;
    kind_bytes += bytes;
  }

  void PrintStats() {
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
        batches == 0 ? 0 : static_cast<double>(totals_.records) / static_cast<double>(batches);
    const Field summary[] = {{"files", ColumnType::kCount, std::uint64_t{image_.files.size()}},
                             {"batches", ColumnType::kCount, totals_.batches},
                             {"seals", ColumnType::kCount, totals_.seals},
                             {"batch_bytes", ColumnType::kSize, totals_.batch_bytes},
                             {"records", ColumnType::kCount, totals_.records},
                             {"entries", ColumnType::kCount, totals_.entries},
                             {"payload_bytes", ColumnType::kSize, totals_.payload_bytes},
                             {"records_per_batch", ColumnType::kDecimal, per_batch},
                             {"skipped_bytes", ColumnType::kSize, totals_.skipped_bytes}};
    sheet.Finish(Plural(totals_.records, "record") + " in " + Plural(totals_.batches, "batch") +
                     " (" + Decimal(per_batch, 1) + " each without seals), " +
                     HumanBytes(totals_.payload_bytes) + " of payload in " +
                     HumanBytes(totals_.batch_bytes) + ": " + VerdictSentence(image_),
                 summary);
  }

  const DumpOptions& options_;
  const WalImage& image_;
  const ServerNames& names_;
  Filter filter_;
  Terminal& terminal_;
  std::optional<Sheet> sheet_;
  std::vector<Cell> cells_;
  Totals totals_;
};

ExitCode Refuse(Terminal& terminal, const Error& error) {
  terminal.Complain(error);
  return ExitCodeOf(error.code);
}

}  // namespace

ExitCode RunDump(const DumpOptions& options, Terminal& terminal) {
  if (!Filter::KnownKind(options.kind)) {
    return Refuse(terminal,
                  {ErrorCode::kInvalidArgument, "no record is of kind '" + options.kind + "'",
                   "entry, row, mark, a run kind such as overwrite, a row kind such as "
                   "vote, or the number of an entry kind"});
  }
  const Result<WalImage> image = ReadWalImage(options.path);
  if (!image.ok()) return Refuse(terminal, image.error());
  const WalkOptions walk{.all = options.all};
  const ServerNames names = ServerNames::Of(*image, walk);
  if (!options.server.empty() && names.Find(options.server).empty()) {
    const std::string nearest = names.Nearest(options.server);
    return Refuse(terminal,
                  {ErrorCode::kInvalidArgument, "no record of a server '" + options.server + "'",
                   (nearest.empty() ? "" : "did you mean " + nearest + "? ") +
                       std::string("duramen names ") + options.path + " lists them"});
  }
  Printer printer(options, *image, names, terminal);
  WalkWal(*image, walk, printer);
  printer.Finish();
  for (const ImageFinding& found : FindingsOf(*image)) {
    terminal.Say("note: " + SentenceOf(found.finding));
  }
  const Status flushed = terminal.Flush();
  if (!flushed.ok()) return Refuse(terminal, flushed.error());
  if (Interrupted()) return ExitCode::kInterrupted;
  const bool whole = printer.totals().skipped_bytes == 0 && !image->damaged();
  return whole ? ExitCode::kClean : ExitCode::kDamage;
}

}  // namespace duramen::tools
