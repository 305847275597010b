#include "tools/verify.h"

#include <iterator>
#include <map>
#include <optional>

#include "base/try.h"
#include "tools/findings.h"
#include "tools/lone_file.h"
#include "tools/progress.h"
#include "tools/server_names.h"
#include "tools/store_check.h"
#include "tools/text.h"
#include "tools/wal_walk.h"

namespace duramen::tools {
namespace {

/// Reads every record of what counts in the WAL. Whose damage is, is said by CheckStore; of a file
/// on its own only by what stands in it.
class Verifier final : public WalVisitor {
 public:
  Verifier(const WalImage& image, const ReadProgress& progress)
      : image_(image), progress_(progress) {
    if (image.whole) return;
    for (ImageFinding& found : FindingsOf(image)) {
      if (found.finding.kind == FindingKind::kDamage) {
        places_[found.finding.batch] = findings_.size();
      }
      findings_.push_back({std::move(found), {}});
    }
  }

  void OnBatch(const WalkedBatch& batch) override {
    ++batches_;
    bytes_ += batch.bytes;
    current_.reset();
    const auto place = places_.find(batch.number);
    if (!batch.intact && place != places_.end()) current_ = place->second;
  }

  void OnRun(const WalkedRun& walked) override {
    const wal::RunHeader& run = walked.run.header;
    if (walked.owner == nullptr) {
      if (image_.whole) return;
      return Fail(walked.batch, "a run in slot " + std::to_string(run.slot) +
                                    ", whose binding is lost: nothing says whose it is");
    }
    std::string bad_row;
    const std::uint64_t unreadable = ForEachRecord(walked, [&](const wal::RecordView& record) {
      ++records_;
      if (run.kind != wal::RunKind::kRows) return;
      const Result<DecodedRow> row = DecodeRowRecord(record);
      if (!row.ok()) bad_row = row.error().message;
    });
    if (!bad_row.empty()) Fail(walked.batch, "a row cannot be read: " + bad_row);
    if (unreadable > 0 && !walked.partial && !wal::IsMark(run.kind)) {
      Fail(walked.batch, "a record does not match its checksum though its batch does");
    }
  }

  void OnDamagedRun(const WalkedBatch&, const wal::DamagedRun& damage,
                    const wal::RecordOwner* owner) override {
    if (!current_ || owner == nullptr) return;
    const bool rows = damage.header.kind == wal::RunKind::kRows;
    if (rows && (damage.header.flags & wal::kRunRepeat) != 0) return;
    findings_[*current_].touched.push_back(
        {owner->uid, rows ? 0 : damage.first, rows ? 0 : damage.last, rows});
  }

  void OnSkipped(const WalkedBatch& batch, std::uint64_t, bool unattributed) override {
    if (image_.whole) return;
    if (!current_) return Fail(batch, "its lists do not fit its checksum");
    if (unattributed) {
      findings_[*current_].found.finding.sentence += "; nothing in it says whose they were";
    }
  }
  bool wants_more() const override { return !progress_.stopped(); }

  const std::vector<Attributed>& findings() const { return findings_; }
  bool interrupted() const { return progress_.stopped(); }
  std::uint64_t batches() const { return batches_; }
  std::uint64_t records() const { return records_; }
  std::uint64_t bytes() const { return bytes_; }

 private:
  void Fail(const WalkedBatch& batch, std::string sentence) {
    if (progress_.stopped()) return;  // For want of bytes.
    Finding finding{.kind = FindingKind::kDamage,
                    .file = image_.files[batch.file].name,
                    .offset_bytes = batch.offset,
                    .size_bytes = batch.bytes,
                    .batch = batch.number,
                    .sentence = std::move(sentence),
                    .touched = {}};
    findings_.push_back({{std::move(finding), true, true}, {}});
  }

  const WalImage& image_;
  const ReadProgress& progress_;
  std::vector<Attributed> findings_;
  std::map<std::uint64_t, std::size_t> places_;  // batch -> finding; of a file on its own
  std::optional<std::size_t> current_;           // of the damaged batch that is being read
  std::uint64_t batches_ = 0;
  std::uint64_t records_ = 0;
  std::uint64_t bytes_ = 0;
};

std::string RangeText(const wal::TouchedLog& touched) {
  if (touched.rows) return "rows (term, vote)";
  if (touched.last == 0) return "from " + std::to_string(touched.first);
  if (touched.first == touched.last) return "entry " + std::to_string(touched.first);
  return "entries " + std::to_string(touched.first) + " to " + std::to_string(touched.last);
}

std::string AcknowledgedText(const ImageFinding& found) {
  if (found.finding.kind == FindingKind::kUnprovenTail) return "unknown";
  return found.acknowledged ? "yes" : "no";
}

class Report {
 public:
  Report(const VerifyOptions& options, Terminal& terminal, const ServerNames& names,
         const std::optional<HalfRepair>& half)
      : options_(options),
        terminal_(terminal),
        names_(names),
        half_(half),
        sheet_(terminal, options.output, "finding",
               {{"finding", ColumnType::kText},
                {"file", ColumnType::kText},
                {"offset", ColumnType::kCount},
                {"bytes", ColumnType::kSize},
                {"batch", ColumnType::kCount},
                {"server", ColumnType::kText},
                {"uid", ColumnType::kText, false},
                {"first", ColumnType::kCount, false},
                {"last", ColumnType::kCount, false},
                {"rows", ColumnType::kFlag, false},
                {"range", ColumnType::kText},
                {"acknowledged", ColumnType::kText},
                {"sentence", ColumnType::kText}}) {}

  void Add(const Attributed& finding) {
    ++findings_;
    failed_ = failed_ || finding.found.failed_check;
    acknowledged_ = acknowledged_ || finding.found.acknowledged;
    unproven_ = unproven_ || finding.found.finding.kind == FindingKind::kUnprovenTail;
    if (finding.touched.empty()) AddRow(finding.found, nullptr);
    for (const wal::TouchedLog& touched : finding.touched) AddRow(finding.found, &touched);
  }

  ExitCode Finish(const Verifier& verifier, const WalImage& image, const CheckedStore& checked) {
    const bool failed = failed_ || half_ || (options_.strict && unproven_);
    std::string verdict = VerdictSentence(image);
    if (acknowledged_) verdict = "damage: acknowledged bytes are lost";
    if (failed && !acknowledged_) verdict = "a check failed; no acknowledged entry is lost";
    if (half_) verdict = VerdictSentence(*half_);
    const bool partial = verifier.interrupted();
    if (partial) verdict = "interrupted, and not all of it was read; so far " + verdict;
    const std::uint64_t files = image.files.size() + checked.lone_files;
    const Field summary[] = {{"files", ColumnType::kCount, files},
                             {"batches", ColumnType::kCount, verifier.batches()},
                             {"records", ColumnType::kCount, verifier.records()},
                             {"bytes", ColumnType::kSize, verifier.bytes()},
                             {"segment_entries", ColumnType::kCount, checked.segment_entries},
                             {"segment_bytes", ColumnType::kSize, checked.segment_bytes},
                             {"findings", ColumnType::kCount, findings_},
                             {"proven_batch", ColumnType::kCount, image.verdict.proven},
                             {"clean", ColumnType::kFlag, !failed && !partial},
                             HalfRepairField(half_),
                             {"verdict", ColumnType::kText, verdict}};
    sheet_.Finish(Plural(findings_, "finding") + " in " + Plural(verifier.records(), "record") +
                      ", " + Plural(verifier.batches(), "batch") + ", " + Plural(files, "file") +
                      InSegments(checked) + ": " + verdict,
                  summary);
    if (half_) next_ = {NextOf(*half_)};
    for (const std::string& next : next_) terminal_.Say("next: " + next);
    if (!half_ && acknowledged_ && image.whole) {
      terminal_.Say(
          "next: a start contains the damage to the logs above, marks them faulty and "
          "serves all others; recovery_mode = \"strict\" refuses to start instead");
    }
    return failed ? ExitCode::kDamage : ExitCode::kClean;
  }

 private:
  static std::string InSegments(const CheckedStore& checked) {
    if (checked.segment_entries == 0) return "";
    return ", " + Plural(checked.segment_entries, "entry") + " in segments";
  }

  void AddRow(const ImageFinding& found, const wal::TouchedLog* touched) {
    const Finding& finding = found.finding;
    std::vector<Cell> cells = {std::string(FindingKindName(finding.kind)),
                               finding.file,
                               finding.offset_bytes,
                               finding.size_bytes,
                               Cell{},
                               Cell{},
                               Cell{},
                               Cell{},
                               Cell{},
                               Cell{},
                               Cell{},
                               half_ ? std::string("unknown") : AcknowledgedText(found),
                               finding.sentence};
    if (finding.batch != 0) cells[4] = finding.batch;
    if (touched != nullptr) {
      cells[5] = names_.NameOf(touched->uid);
      cells[6] = touched->uid.ToString();
      if (touched->first != 0) cells[7] = touched->first;
      if (touched->last != 0) cells[8] = touched->last;
      cells[9] = touched->rows;
      cells[10] = RangeText(*touched);
      if (!touched->rows && next_.size() < 3) {
        std::string command =
            "duramen dump " + options_.path + " --all --server " + touched->uid.ToString();
        if (touched->first > 1) command += " --from " + std::to_string(touched->first - 1);
        if (touched->last != 0) command += " --to " + std::to_string(touched->last + 1);
        next_.push_back(command + "  # what is left around it");
      }
    }
    sheet_.Add(cells);
  }

  const VerifyOptions& options_;
  Terminal& terminal_;
  const ServerNames& names_;
  const std::optional<HalfRepair>& half_;
  Sheet sheet_;
  std::vector<std::string> next_;
  std::uint64_t findings_ = 0;
  bool failed_ = false;
  bool acknowledged_ = false;
  bool unproven_ = false;
};

/// What was looked at, whole or until the user had enough.
class Verification {
 public:
  Verification(const VerifyOptions& options, Terminal& terminal)
      : options_(options), terminal_(terminal), progress_(terminal) {}

  Result<ExitCode> Run() {
    const std::optional<LoneFile> lone = TRY(OpenLoneFile(options_.path));
    if (lone) {
      checked_ = TRY(CheckLone(*lone));
      const StoreImage none;
      return Conclude(none, lone->names, Verifier(none.wal, progress_));
    }
    StoreImage image = TRY(ReadStoreImage(options_.path, &progress_));
    checked_ = TRY(CheckStore(options_.path, image, &progress_));
    Verifier verifier(image.wal, progress_);
    progress_.Begin("records", BytesOfBatches(image.wal));
    const ServerNames names = ServerNames::Of(image, {}, &verifier);
    return Conclude(image, names, verifier);
  }

 private:
  static std::uint64_t BytesOfBatches(const WalImage& image) {
    std::uint64_t bytes = 0;
    for (const wal::JudgedBatch& batch : image.verdict.batches) bytes += batch.bytes;
    return bytes;
  }

  Result<ExitCode> Conclude(const StoreImage& image, const ServerNames& names,
                            const Verifier& verifier) {
    Report report(options_, terminal_, names, image.half_repair);
    for (const Attributed& finding : checked_.found) report.Add(finding);
    for (const Attributed& finding : verifier.findings()) report.Add(finding);
    const ExitCode exit = report.Finish(verifier, image.wal, checked_);
    SayOneDevice(image, terminal_);
    TRY(terminal_.Flush());
    return progress_.stopped() ? ExitCode::kInterrupted : exit;
  }

  const VerifyOptions& options_;
  Terminal& terminal_;
  ReadProgress progress_;
  CheckedStore checked_;
};

}  // namespace

ExitCode RunVerify(const VerifyOptions& options, Terminal& terminal) {
  const Result<ExitCode> exit = Verification(options, terminal).Run();
  if (exit.ok()) return *exit;
  terminal.Complain(exit.error());
  return ExitCodeOf(exit.error().code);
}

}  // namespace duramen::tools
