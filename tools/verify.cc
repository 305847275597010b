#include "tools/verify.h"

#include <algorithm>
#include <map>
#include <optional>

#include "base/check.h"
#include "tools/findings.h"
#include "tools/interrupt.h"
#include "tools/server_names.h"
#include "tools/system_check.h"
#include "tools/text.h"
#include "tools/wal_walk.h"
#include "wal/replay.h"

namespace duramen::tools {
namespace {

struct Touched {
  ServerUid uid;
  Index first = 0;
  Index last = 0;
  bool rows = false;
};

/// A finding with the logs it touches, still by uid.
struct Attributed {
  ImageFinding found;
  std::vector<Touched> touched;
};

/// Reads every record of what counts, as a start would.
class Verifier final : public WalVisitor {
 public:
  explicit Verifier(const WalImage& image) : image_(image) {
    for (ImageFinding& found : FindingsOf(image)) {
      const Finding& finding = found.finding;
      if (finding.kind == FindingKind::kDamage) {
        places_[{finding.file, finding.batch}] = findings_.size();
      }
      findings_.push_back({std::move(found), {}});
    }
  }

  void OnBatch(const WalkedBatch& batch) override {
    ++batches_;
    bytes_ += batch.bytes;
    if (batch.intact) {
      current_.reset();
      return;
    }
    const auto place = places_.find({image_.files[batch.file].name, batch.number});
    CHECK(place != places_.end());  // Both come from the same verdict.
    current_ = place->second;
  }

  void OnRun(const WalkedRun& walked) override {
    const wal::RunHeader& run = walked.run.header;
    if (walked.owner == nullptr) {
      unattributed_.push_back(findings_.size());
      replay_.OnUnattributedLoss();
      replay_.OnRowsUnattributed();
      return Fail(walked.batch, "a run in slot " + std::to_string(run.slot) +
                                    ", whose binding is lost: nothing says whose it is");
    }
    const std::uint64_t file = image_.summaries[walked.batch.file].number;
    if (run.kind == wal::RunKind::kRows) {
      replay_.SlotOf(*walked.owner);
    } else if (!walked.partial) {
      replay_.OnRun(walked.run, *walked.owner, file);
    }
    std::string bad_row;
    const std::uint64_t unreadable = ForEachRecord(walked, [&](const wal::RecordView& record) {
      ++records_;
      if (run.kind != wal::RunKind::kRows) return;
      const Result<DecodedRow> row = DecodeRowRecord(record);
      if (!row.ok()) bad_row = row.error().message;
      if (row.ok()) replay_.OnReadableRow(*walked.owner, row->sequence);
    });
    if (!bad_row.empty()) Fail(walked.batch, "a row cannot be read: " + bad_row);
    if (unreadable > 0 && !walked.partial && !wal::IsMark(run.kind)) {
      Fail(walked.batch, "a record does not match its checksum though its batch does");
    }
  }

  void OnDamagedRun(const WalkedBatch& batch, const wal::DamagedRun& damage,
                    const wal::RecordOwner* owner) override {
    if (owner == nullptr) return replay_.OnUnattributedLoss();
    if (damage.header.kind == wal::RunKind::kRows) {
      if ((damage.header.flags & wal::kRunRepeat) != 0) return;
      replay_.OnDamagedRows(*owner, damage.header);
      findings_[*current_].touched.push_back({.uid = owner->uid, .rows = true});
      return;
    }
    findings_[*current_].touched.push_back({owner->uid, damage.first, damage.last, false});
    replay_.OnDamagedRun(damage, *owner, image_.summaries[batch.file].number, damage.offset);
  }

  void OnSkipped(const WalkedBatch& batch, std::uint64_t, bool unattributed) override {
    if (!current_) return Fail(batch, "its lists do not fit its checksum");
    if (!unattributed) return;
    findings_[*current_].found.finding.sentence += "; nothing in it says whose they were";
    unattributed_.push_back(*current_);
    replay_.OnUnattributedLoss();
    if (!RowsRepeatedAfter(batches_ - 1)) replay_.OnRowsUnattributed();
  }
  bool wants_more() const override { return !Interrupted(); }

  /// What only the end of the log can decide.
  void Finish() {
    replay_.Finish();
    for (Attributed& finding : findings_) DropRepeatedRows(finding);
    AttributeSuspicions();
  }

  std::vector<Attributed>& findings() { return findings_; }
  std::uint64_t batches() const { return batches_; }
  std::uint64_t records() const { return records_; }
  std::uint64_t bytes() const { return bytes_; }

 private:
  /// Rows stand again in the next batch, or in the one after where the next one opened a file in
  /// the same round. A stretch of several lost batches may have held both copies.
  bool RowsRepeatedAfter(std::size_t judged) const {
    const std::vector<wal::JudgedBatch>& batches = image_.verdict.batches;
    if (batches[judged].last_number != batches[judged].number || batches[judged].bytes == 0) {
      return false;
    }
    if (judged + 1 >= batches.size() || !batches[judged + 1].intact) return false;
    if (batches[judged + 1].file == batches[judged].file) return true;
    return judged + 2 < batches.size() && batches[judged + 2].intact;
  }

  void Fail(const WalkedBatch& batch, std::string sentence) {
    Finding finding{.kind = FindingKind::kDamage,
                    .file = image_.files[batch.file].name,
                    .offset_bytes = batch.offset,
                    .size_bytes = batch.bytes,
                    .batch = batch.number,
                    .sentence = std::move(sentence),
                    .touched = {}};
    findings_.push_back({{std::move(finding), true, true}, {}});
  }

  /// Rows stand in two batches; what the other one still has is not lost.
  void DropRepeatedRows(Attributed& finding) {
    std::erase_if(finding.touched, [&](const Touched& touched) {
      const wal::ReplayedLog* log = touched.rows ? replay_.Find(touched.uid) : nullptr;
      return log != nullptr && !log->rows_lost;
    });
  }

  /// Holes and suspicions that no summary explains belong to the first stretch of which nothing
  /// says whose it was.
  void AttributeSuspicions() {
    if (unattributed_.empty()) return;
    Attributed& finding = findings_[unattributed_.front()];
    for (const wal::ReplayedLog& log : replay_.logs()) {
      for (const IndexRange& hole : log.holes) {
        if (!Explained(log.owner.uid, hole)) {
          finding.touched.push_back({log.owner.uid, hole.begin, hole.end - 1, log.rows_lost});
        }
      }
      if (log.suspect) {
        finding.touched.push_back({log.owner.uid, log.bounds.end, 0, log.rows_lost});
      }
    }
  }

  bool Explained(const ServerUid& uid, const IndexRange& hole) const {
    for (const Attributed& finding : findings_) {
      for (const Touched& touched : finding.touched) {
        if (touched.uid == uid && touched.first <= hole.begin && touched.last + 1 >= hole.end) {
          return true;
        }
      }
    }
    return false;
  }

  const WalImage& image_;
  wal::Replay replay_;
  std::vector<Attributed> findings_;
  std::map<std::pair<std::string, std::uint64_t>, std::size_t> places_;  // file, batch -> finding
  std::optional<std::size_t> current_;  // of the damaged batch that is being read
  std::vector<std::size_t> unattributed_;
  std::uint64_t batches_ = 0;
  std::uint64_t records_ = 0;
  std::uint64_t bytes_ = 0;
};

std::string RangeText(const Touched& touched) {
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
  Report(const VerifyOptions& options, Terminal& terminal, const ServerNames& names)
      : options_(options), terminal_(terminal), names_(names),
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
    for (const Touched& touched : finding.touched) AddRow(finding.found, &touched);
  }

  ExitCode Finish(const Verifier& verifier, const WalImage& image) {
    const bool failed = failed_ || (options_.strict && unproven_);
    std::string verdict = VerdictSentence(image);
    if (acknowledged_) verdict = "damage: acknowledged bytes are lost";
    if (failed && !acknowledged_) verdict = "a check failed; no acknowledged entry is lost";
    const Field summary[] = {
        {"files", ColumnType::kCount, std::uint64_t{image.files.size()}},
        {"batches", ColumnType::kCount, verifier.batches()},
        {"records", ColumnType::kCount, verifier.records()},
        {"bytes", ColumnType::kSize, verifier.bytes()},
        {"findings", ColumnType::kCount, findings_},
        {"proven_batch", ColumnType::kCount, image.verdict.proven},
        {"clean", ColumnType::kFlag, !failed},
        {"verdict", ColumnType::kText, verdict}};
    sheet_.Finish(Plural(findings_, "finding") + " in " + Plural(verifier.records(), "record") +
                      ", " + Plural(verifier.batches(), "batch") + ", " +
                      Plural(image.files.size(), "file") + ": " + verdict,
                  summary);
    for (const std::string& next : next_) terminal_.Say("next: " + next);
    if (acknowledged_ && image.whole) {
      terminal_.Say("next: a start contains the damage to the logs above, marks them faulty and "
                    "serves all others; recovery_mode = \"strict\" refuses to start instead");
    }
    return failed ? ExitCode::kDamage : ExitCode::kClean;
  }

 private:
  void AddRow(const ImageFinding& found, const Touched* touched) {
    const Finding& finding = found.finding;
    std::vector<Cell> cells = {std::string(FindingKindName(finding.kind)), finding.file,
                               finding.offset_bytes, finding.size_bytes, Cell{}, Cell{}, Cell{},
                               Cell{}, Cell{}, Cell{}, Cell{}, AcknowledgedText(found),
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
        std::string command = "duramen dump " + options_.path + " --all --server " +
                              touched->uid.ToString();
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
  Sheet sheet_;
  std::vector<std::string> next_;
  std::uint64_t findings_ = 0;
  bool failed_ = false;
  bool acknowledged_ = false;
  bool unproven_ = false;
};

}  // namespace

ExitCode RunVerify(const VerifyOptions& options, Terminal& terminal) {
  const Result<WalImage> image = ReadWalImage(options.path);
  if (!image.ok()) {
    terminal.Complain(image.error());
    return ExitCodeOf(image.error().code);
  }
  const ServerNames names = ServerNames::Of(*image, {});
  Verifier verifier(*image);
  WalkWal(*image, {}, verifier);
  verifier.Finish();
  Report report(options, terminal, names);
  for (ImageFinding& found : CheckSystemFiles(options.path, *image)) {
    report.Add({std::move(found), {}});
  }
  for (const Attributed& finding : verifier.findings()) report.Add(finding);
  const ExitCode exit = report.Finish(verifier, *image);
  const Status flushed = terminal.Flush();
  if (!flushed.ok()) {
    terminal.Complain(flushed.error());
    return ExitCodeOf(flushed.error().code);
  }
  return Interrupted() ? ExitCode::kInterrupted : exit;
}

}  // namespace duramen::tools
