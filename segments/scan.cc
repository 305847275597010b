#include "segments/scan.h"

#include <algorithm>
#include <map>
#include <memory>
#include <utility>

#include "base/planted.h"
#include "base/try.h"
#include "segments/run_walk.h"

namespace duramen::segments {
namespace {

struct FoundFile {
  std::uint64_t number = 0;
  std::uint64_t size_bytes = 0;
  std::uint64_t limit_bytes = 0;  // that count
  std::optional<FileHeader> header;
  std::string header_sentence;  // what is wrong with it
};

class Scan {
 public:
  explicit Scan(const ScanRequest& request)
      : request_(request), edit_(SegmentList()), end_(request.begin) {}

  Result<ScanResult> Run() {
    TRY(FindFiles());
    DropLeftovers();
    for (const FoundFile& file : files_) {
      if (file.header && file.header->previous_number != 0) {
        const auto [told, first] =
            live_begins_.emplace(file.header->previous_number, file.header->previous.begin);
        if (!first) told->second = std::min(told->second, file.header->previous.begin);
      }
    }
    if (request_.authority && request_.authority->segment_begin != 0) {
      live_begins_[request_.authority->segment] = request_.authority->segment_begin;
    }
    for (const FoundFile& file : files_) TRY(ScanFile(file));
    if (request_.authority) HoldAgainstAuthority(*request_.authority);
    return Conclude();
  }

 private:
  /// Indexes that were there and cannot be read, and why; cut by later runs like entries.
  struct LostPiece {
    IndexRange range;
    std::size_t finding = 0;
  };

  Status FindFiles() {
    for (const DirectoryEntry& entry : TRY(request_.directory.List())) {
      const auto number = ParseFileName(entry.name);
      if (!number || !entry.is_regular) continue;
      result_.next_number = std::max(result_.next_number, *number + 1);
      FoundFile file{.number = *number, .size_bytes = entry.size_bytes};
      file.limit_bytes = file.size_bytes;
      if (request_.authority && !CountsIn(*request_.authority, file)) continue;
      const auto opened = TRY(request_.directory.Open(entry.name, OpenFor::kRead));
      const std::vector<std::byte> bytes = TRY(ReadUpTo(*opened, 0, kFileHeaderBytes));
      const auto header = DecodeFileHeader(bytes, request_.identity, *number);
      if (!header.ok() && header.error().code == ErrorCode::kUnknownVersion) {
        return Error{ErrorCode::kUnknownVersion, PathOf(*number) + ": " + header.error().message,
                     header.error().hint};
      }
      if (header.ok()) file.header = *header;
      if (!header.ok()) file.header_sentence = header.error().message;
      files_.push_back(std::move(file));
    }
    return {};
  }

  /// What rounds that failed wrote before a later one went on in another file.
  void DropLeftovers() {
    for (std::size_t at = files_.size(); at-- > 0;) {
      if (!files_[at].header) continue;
      const FileHeader header = *files_[at].header;
      while (at > 0 && files_[at - 1].number > header.last_number) {
        --at;
        Report(FindingKind::kLeftoverFile, files_[at].number, {0, files_[at].size_bytes},
               "begun by a flush that was not finished");
        files_.erase(files_.begin() + static_cast<std::ptrdiff_t>(at));
      }
      if (at == 0 || files_[at - 1].number != header.last_number) continue;
      FoundFile& last = files_[at - 1];
      if (last.limit_bytes <= header.last_bytes) continue;
      Report(FindingKind::kLeftoverBytes, last.number, {header.last_bytes, last.limit_bytes},
             "appended by a flush that was not finished");
      last.limit_bytes = header.last_bytes;
    }
  }

  std::string PathOf(std::uint64_t number) const {
    return request_.directory.path() + "/" + FileName(number);
  }

  std::size_t Report(FindingKind kind, std::uint64_t number, IndexRange at_bytes,
                     std::string sentence) {
    result_.findings.push_back({.kind = kind,
                                .file = FileName(number),
                                .offset = at_bytes.begin,
                                .bytes = at_bytes.size(),
                                .sentence = std::move(sentence)});
    return result_.findings.size() - 1;
  }

  bool CountsIn(const Flushed& authority, FoundFile& file) {
    if (file.number > authority.segment) {
      Report(FindingKind::kLeftoverFile, file.number, {0, file.size_bytes},
             "begun by a flush that was not finished");
      return false;
    }
    if (file.number == authority.segment && file.size_bytes > authority.bytes &&
        !Planted(PlantedBug::kLeftoverBytesCount)) {
      file.limit_bytes = authority.bytes;
      Report(FindingKind::kLeftoverBytes, file.number, {authority.bytes, file.size_bytes},
             "appended by a flush that was not finished");
    }
    return true;
  }

  Status ScanFile(const FoundFile& file) {
    if (file.header) {
      CheckPrevious(*file.header);
    } else {
      Report(FindingKind::kHarmless, file.number,
             {0, std::min<std::uint64_t>(kFileHeaderBytes, file.size_bytes)},
             file.header_sentence + "; its runs are read without it");
    }
    RunTable table{.context = {.number = file.number}};
    if (file.header) {
      table.context = FileContext::Of(request_.identity, file.number, file.header->life);
    }
    const auto opened = TRY(request_.directory.Open(FileName(file.number), OpenFor::kRead));
    TRY(NameUnknown(WalkRuns(*opened, request_.identity, file.limit_bytes, table),
                    PathOf(file.number)));
    edit_.AddFile(file.number, table.context.life, file.limit_bytes);
    last_number_ = file.number;
    last_clean_ = file.header.has_value() && table.gaps.empty();
    auto gap = table.gaps.begin();
    for (std::size_t at = 0; at <= table.runs.size(); ++at) {
      for (; gap != table.gaps.end() && gap->before_run == at; ++gap) OnGap(file.number, *gap);
      if (at < table.runs.size()) OnRun(file, table.context.life, table.runs[at]);
    }
    return {};
  }

  /// The file before this one has to be there, as long as it was when this one was begun.
  void CheckPrevious(const FileHeader& header) {
    // What was lost behind it held nothing any more that this file did not cut.
    if (suspect_ && suspect_number_ > header.previous_number) suspect_.reset();
    if (header.previous_number == 0) return;
    const bool there = std::ranges::any_of(
        files_, [&](const FoundFile& file) { return file.number == header.previous_number; });
    if (there && header.previous.end <= end_ && header.previous_epoch <= epoch_) {
      // Nothing that counted when this file was begun is missing: what cannot be read there was
      // replaced before, or somebody has put it back since [A3].
      suspect_.reset();
      return;
    }
    if (last_number_ == 0 && request_.begin == 0) {
      end_ = std::max(end_, header.previous.end);  // A tool cannot tell what was below the floor.
      return;
    }
    if (!suspect_ || suspect_number_ != header.previous_number) {
      Suspect(header.previous_number,
              Report(FindingKind::kDamage, header.previous_number, {},
                     there ? "it ends before the entries that it held" : "the file is gone"));
    }
    Resolve(header.previous.end, header.previous_epoch);
  }

  void OnGap(std::uint64_t number, const RunGap& gap) {
    const std::size_t finding =
        Report(FindingKind::kDamage, number, {gap.offset, gap.offset + gap.bytes},
               "no run can be read in these bytes");
    result_.findings[finding].sparse_suspect = true;
    Suspect(number, finding);
  }

  void OnRun(const FoundFile& file, std::uint64_t life, const RunPlace& run) {
    const RunHeader& header = run.header;
    if (run.header_lost) {
      Report(FindingKind::kHarmless, file.number, {run.offset, run.offset + kRunHeaderBytes},
             "a run header is damaged; its copy was read");
    }
    if (header.kind == RunKind::kAppend) {
      if (end_ == 0 && !suspect_) end_ = header.cut;
      Resolve(header.cut, header.epoch);
      CutLost(header.cut);
    }
    epoch_ = std::max(epoch_, header.epoch);
    if (header.kind == RunKind::kAppend) AddTerm(header);
    RunSummary summary{.number = file.number,
                       .life = life,
                       .bytes_end = file.limit_bytes,
                       .kind = header.kind,
                       .cut = header.cut,
                       .first = header.first,
                       .last = header.last,
                       .epoch = header.epoch,
                       .count = header.count};
    if (header.kind == RunKind::kAppend) end_ = header.end();
    if (!run.cut_short) {
      edit_.Apply(summary);
      return;
    }
    last_clean_ = false;
    OnCutShort(file, run);
    summary.last = run.readable_end - 1;
    if (run.readable_end > header.first) {
      edit_.Apply(summary);
    } else if (header.kind == RunKind::kAppend) {
      edit_.CutAt(header.cut);
    }
  }

  void AddTerm(const RunHeader& run) {
    std::vector<TermRun>& terms = result_.terms;
    while (!terms.empty() && terms.back().first >= run.cut) terms.pop_back();
    if (terms.empty() || terms.back().term != run.term) terms.push_back({run.first, run.term});
  }

  void OnCutShort(const FoundFile& file, const RunPlace& run) {
    const std::uint64_t run_end = run.offset + RunBytes(run.header);
    const std::size_t finding = Report(FindingKind::kDamage, file.number,
                                       {file.limit_bytes, run_end}, "the file ends inside a run");
    if (run.header.kind == RunKind::kSparse) {
      result_.findings[finding].sparse_suspect = run.readable_end < run.header.end();
    } else if (run.readable_end < run.header.end()) {
      lost_.push_back({{run.readable_end, run.header.end()}, finding});
    }
    // What the row says stood behind this run is missing too.
    const bool all = request_.authority && request_.authority->segment == file.number &&
                     request_.authority->bytes == run_end;
    if (request_.authority && request_.authority->segment == file.number && !all) {
      Suspect(file.number, finding);
    }
    explained_ = all;
  }

  /// Bytes were lost that may have held runs; what they held shows when the next run is seen.
  void Suspect(std::uint64_t number, std::size_t finding) {
    const auto told = live_begins_.find(number);
    const Index bound = told == live_begins_.end() ? request_.begin : told->second;
    suspect_bound_ = suspect_ ? std::min(suspect_bound_, bound) : bound;
    suspect_number_ = suspect_ ? std::min(suspect_number_, number) : number;
    suspect_ = finding;
  }

  /// Entries up to `cut` were there when something of `epoch` was written.
  void Resolve(Index cut, std::uint64_t epoch) {
    if (!suspect_ && end_ >= cut) return;
    if (!suspect_) {
      Suspect(last_number_,
              Report(FindingKind::kDamage, last_number_, {}, "entries behind its last are gone"));
    }
    // Every cut raises the epoch. In the same one nothing was cut, so what was lost follows what is
    // there; in another it may have cut as far down as the file that is damaged reached.
    const Index low = std::max<Index>(epoch == epoch_ ? end_ : std::min(end_, suspect_bound_), 1);
    if (low < cut) {
      edit_.CutAt(low);
      CutLost(low);
      lost_.push_back({{low, cut}, *suspect_});
      end_ = cut;
    }
    epoch_ = std::max(epoch_, epoch);
    suspect_.reset();
  }

  void CutLost(Index cut) {
    for (LostPiece& piece : lost_) piece.range.end = std::min(piece.range.end, cut);
  }

  void HoldAgainstAuthority(const Flushed& authority) {
    if (authority.segment == 0) return;
    result_.next_number = std::max(result_.next_number, authority.segment + 1);
    const FoundFile* last = files_.empty() ? nullptr : &files_.back();
    const bool there = last != nullptr && last->number == authority.segment;
    if (!there) {
      Suspect(authority.segment, Report(FindingKind::kDamage, authority.segment,
                                        {0, authority.bytes}, "the last file is gone"));
    } else if (last->size_bytes < authority.bytes && !explained_ && !suspect_) {
      Suspect(authority.segment,
              Report(FindingKind::kDamage, authority.segment, {last->size_bytes, authority.bytes},
                     "the last file is too short"));
    }
    Resolve(authority.end, authority.epoch);
    if (authority.end > 0 && end_ > authority.end) {
      edit_.CutAt(authority.end);  // Truncated since, and the row knows.
      CutLost(authority.end);
    }
    result_.may_append =
        there && last_clean_ &&
        (last->size_bytes == authority.bytes || Planted(PlantedBug::kLeftoverAppendedTo));
  }

  ScanResult Conclude() {
    result_.list = edit_.Build();
    for (LostPiece& piece : lost_) {
      piece.range.begin = std::max(piece.range.begin, request_.begin);
      if (piece.range.empty()) continue;
      IndexRange& lost = result_.findings[piece.finding].lost;
      lost = lost.empty() ? piece.range
                          : IndexRange{std::min(lost.begin, piece.range.begin),
                                       std::max(lost.end, piece.range.end)};
      result_.lost.push_back(piece.range);
    }
    std::ranges::sort(result_.lost, {}, &IndexRange::begin);
    std::vector<IndexRange> merged;
    for (const IndexRange& range : result_.lost) {
      if (!merged.empty() && merged.back().end >= range.begin) {
        merged.back().end = std::max(merged.back().end, range.end);
      } else {
        merged.push_back(range);
      }
    }
    result_.lost = std::move(merged);
    // A file that is gone and held nothing of use was removed as such.
    std::erase_if(result_.findings, [&](const Finding& one) {
      const bool gone = std::ranges::none_of(
          files_, [&](const FoundFile& file) { return FileName(file.number) == one.file; });
      return one.kind == FindingKind::kDamage && one.lost.empty() && gone;
    });
    for (Finding& one : result_.findings) {
      const bool costs_nothing = one.lost.empty() && !one.sparse_suspect;
      if (one.kind == FindingKind::kDamage && costs_nothing) one.kind = FindingKind::kHarmless;
    }
    return std::move(result_);
  }

  const ScanRequest& request_;
  ScanResult result_;
  SegmentListEdit edit_;
  std::vector<FoundFile> files_;
  std::map<std::uint64_t, Index> live_begins_;  // of a file's entries, by who came after it
  std::vector<LostPiece> lost_;
  std::uint64_t last_number_ = 0;
  bool last_clean_ = false;
  Index end_;                           // of what is known to have been there, lost or not
  std::uint64_t epoch_ = 0;             // newest seen
  std::optional<std::size_t> suspect_;  // the finding that something may be missing for
  std::uint64_t suspect_number_ = 0;    // in this file or behind it
  Index suspect_bound_ = 0;             // which cannot have cut below it
  bool explained_ = false;              // the last run is cut short by exactly what is missing
};

}  // namespace

Result<ScanResult> ScanServer(const ScanRequest& request) { return Scan(request).Run(); }

Result<ClusterId> LearnClusterId(const Directory& directory, const ServerIdentity& server) {
  for (const DirectoryEntry& entry : TRY(directory.List())) {
    const std::optional<std::uint64_t> number = ParseFileName(entry.name);
    if (!number || !entry.is_regular) continue;
    const Result<std::unique_ptr<File>> file = directory.Open(entry.name, OpenFor::kRead);
    if (!file.ok()) continue;
    const Result<std::vector<std::byte>> front = ReadUpTo(**file, 0, kFileHeaderBytes);
    if (!front.ok()) continue;
    ServerIdentity named = server;
    named.cluster_id = NamedClusterId(*front);
    if (DecodeFileHeader(*front, named, *number).ok()) return named.cluster_id;
  }
  return ClusterId{0};
}

}  // namespace duramen::segments
