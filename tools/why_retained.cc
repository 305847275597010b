#include "tools/why_retained.h"

#include <algorithm>
#include <vector>

#include "base/try.h"
#include "tools/checkpoint_walk.h"
#include "tools/log_ranges.h"
#include "tools/server_names.h"
#include "tools/store_image.h"
#include "tools/text.h"
#include "wal/landed.h"
#include "wal/replay.h"

namespace duramen::tools {
namespace {

struct Reason {
  std::string file;
  ServerUid uid;    // nil: none in particular
  IndexRange live;  // empty: not because of entries
  std::string text;
};

/// Where the live entries of each log stand in the WAL, as a start would find them.
class Landed final : public WalVisitor {
 public:
  Landed(const StoreImage& image, WalVisitor& also) : image_(image), also_(also) {
    if (image.state == nullptr) return;
    for (const wal::LogSeed& seed : image.state->seeds) replay_.Seed(seed);
  }
  void OnRun(const WalkedRun& walked) override {
    also_.OnRun(walked);
    if (walked.owner == nullptr || walked.run.header.kind == wal::RunKind::kRows) return;
    replay_.OnRun(walked.run, *walked.owner, image_.wal.summaries[walked.batch.file].number);
  }
  void OnSkipped(const WalkedBatch&, std::uint64_t, bool) override {}

  void Finish() {
    replay_.Finish();
    index_.Apply(replay_.changes());
  }
  const std::vector<wal::ReplayedLog>& logs() const { return replay_.logs(); }
  std::vector<wal::LandedRun> RunsOf(std::uint32_t slot) const { return index_.RunsOf(slot); }

 private:
  const StoreImage& image_;
  WalVisitor& also_;
  wal::Replay replay_;
  wal::LandedIndex index_;
};

std::string BaseName(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

Error Unknown(const WhyRetainedOptions& options) {
  return {ErrorCode::kInvalidArgument,
          options.path + " has no file and no server '" + options.what + "'",
          "duramen stat " + options.path + " lists the files, duramen names the servers"};
}

class Search {
 public:
  Search(const WhyRetainedOptions& options, const StoreImage& image)
      : options_(options),
        image_(image),
        ranges_(image),
        landed_(image, ranges_),
        names_(ServerNames::Of(image, {}, &landed_)) {
    landed_.Finish();
  }

  Result<std::vector<Reason>> Run() {
    const std::string name = BaseName(options_.what);
    if (const auto number = wal::ParseFileName(name)) {
      TRY(WalFile(*number));
    } else if (const auto segment = segments::ParseFileName(name)) {
      TRY(Segment(*segment));
    } else {
      TRY(Server());
    }
    return std::move(reasons_);
  }
  const ServerNames& names() const { return names_; }

 private:
  Status WalFile(std::uint64_t number) {
    const auto& files = image_.wal.summaries;
    const bool there = std::ranges::any_of(
        files, [&](const wal::FileSummary& file) { return file.number == number; });
    if (!there) return Unknown(options_);
    const std::string name = wal::FileName(number);
    for (const wal::ReplayedLog& log : landed_.logs()) {
      AddRuns(log, number);
    }
    Checkpoints(number);
    const auto& chain = image_.wal.verdict.chain;
    if (!chain.empty() && files[chain.back().file].number == number) {
      reasons_.push_back({name, {}, {}, "it is in service: the WAL writes to it"});
    }
    if (reasons_.empty()) {
      reasons_.push_back({name, {}, {}, "nothing needs it: a spare, or about to be recycled"});
    }
    return {};
  }

  /// `number` 0: in any file.
  void AddRuns(const wal::ReplayedLog& log, std::uint64_t number) {
    std::vector<Reason> found;
    for (const wal::LandedRun& run : landed_.RunsOf(log.slot)) {
      if (run.live_begin >= run.live_end || (number != 0 && run.file != number)) continue;
      const std::string name = wal::FileName(run.file);
      if (!found.empty() && found.back().file == name) {
        found.back().live.end = std::max(found.back().live.end, run.live_end);
        continue;
      }
      found.push_back({name,
                       log.owner.uid,
                       {run.live_begin, run.live_end},
                       "live entries that are not flushed"});
    }
    reasons_.insert(reasons_.end(), found.begin(), found.end());
  }

  void Checkpoints(std::uint64_t number) {
    if (image_.state == nullptr || image_.state->meta_dir == nullptr) return;
    for (const char* name : meta::kCheckpointNames) {
      const auto file = image_.state->meta_dir->Open(name, OpenFor::kRead);
      std::uint64_t covered = 0;
      if (file.ok()) {
        const auto checkpoint = ReadCheckpointImage(**file, image_.system);
        if (checkpoint.ok()) covered = checkpoint->content.covers.file;
      }
      if (covered >= number) continue;
      reasons_.push_back({wal::FileName(number),
                          {},
                          {},
                          std::string(name) + " does not cover it" +
                              (covered == 0 ? "" : ": it covers up to " + wal::FileName(covered))});
    }
  }

  Status Segment(std::uint64_t number) {
    bool found = false;
    if (image_.state == nullptr) return Unknown(options_);
    for (const auto& [uid, server] : image_.state->servers) {
      const bool named = options_.what.find('/') == std::string::npos ||
                         options_.what.find(uid.ToString()) != std::string::npos;
      const segments::SegmentSummary* segment = named ? server.list.FindNumber(number) : nullptr;
      const bool leftover =
          named &&
          std::ranges::find(server.leftovers, segments::FileName(number)) != server.leftovers.end();
      if (segment == nullptr && !leftover) continue;
      found = true;
      AddSegment(uid, number, segment);
    }
    return found ? Status{} : Status{Unknown(options_)};
  }

  void AddSegment(const ServerUid& uid, std::uint64_t number,
                  const segments::SegmentSummary* segment) {
    const std::string name =
        std::string(log::kServersName) + "/" + uid.ToString() + "/" + segments::FileName(number);
    if (segment == nullptr) {
      reasons_.push_back({name, uid, {}, "left over from a flush that was not finished"});
      return;
    }
    const IndexRange live{std::max(segment->live.begin, ranges_.Of(uid).begin),
                          std::min(segment->live.end, ranges_.Of(uid).end)};
    const auto sparse = image_.state->servers.at(uid).list.sparse();
    const bool in_sparse = std::ranges::any_of(
        sparse, [&](const segments::SparseSummary& one) { return one.number == number; });
    const std::string text = !live.empty()
                                 ? "the floor " + std::to_string(ranges_.Of(uid).begin) +
                                       " is below its end " + std::to_string(segment->live.end)
                             : in_sparse ? "sparse entries below the floor"
                                         : "nothing: the next flush of the server removes it";
    reasons_.push_back({name, uid, live, text});
  }

  Status Server() {
    const std::set<ServerUid> uids = names_.Find(options_.what);
    if (uids.empty()) return Unknown(options_);
    for (const ServerUid& uid : uids) {
      const auto server = image_.state == nullptr ? decltype(image_.state->servers.end()){}
                                                  : image_.state->servers.find(uid);
      if (image_.state != nullptr && server != image_.state->servers.end()) {
        for (const segments::SegmentSummary& segment : server->second.list.segments()) {
          AddSegment(uid, segment.number, &segment);
        }
      }
      for (const wal::ReplayedLog& log : landed_.logs()) {
        if (log.owner.uid == uid) AddRuns(log, 0);
      }
    }
    return {};
  }

  const WhyRetainedOptions& options_;
  const StoreImage& image_;
  LogRanges ranges_;
  Landed landed_;
  ServerNames names_;
  std::vector<Reason> reasons_;
};

}  // namespace

ExitCode RunWhyRetained(const WhyRetainedOptions& options, Terminal& terminal) {
  const auto refuse = [&](const Error& error) {
    terminal.Complain(error);
    return ExitCodeOf(error.code);
  };
  ReadProgress progress(terminal);
  const Result<StoreImage> image = ReadStoreImage(options.path, &progress);
  if (!image.ok()) return refuse(image.error());
  Search search(options, *image);
  Result<std::vector<Reason>> reasons = search.Run();
  if (image->interrupted()) reasons = std::vector<Reason>();
  if (!reasons.ok()) return refuse(reasons.error());
  Sheet sheet(terminal, options.output, "reason",
              {{"file", ColumnType::kText},
               {"server", ColumnType::kText},
               {"uid", ColumnType::kText, false},
               {"first", ColumnType::kCount},
               {"last", ColumnType::kCount},
               {"reason", ColumnType::kText}});
  Index oldest = 0;
  for (const Reason& reason : *reasons) {
    std::vector<Cell> cells = {reason.file, Cell{}, Cell{}, Cell{}, Cell{}, reason.text};
    if (!reason.uid.is_nil()) {
      cells[1] = search.names().NameOf(reason.uid);
      cells[2] = reason.uid.ToString();
    }
    if (!reason.live.empty()) {
      cells[3] = reason.live.begin;
      cells[4] = reason.live.end - 1;
      oldest = oldest == 0 ? reason.live.begin : std::min(oldest, reason.live.begin);
    }
    sheet.Add(cells);
  }
  sheet.Finish(Plural(reasons->size(), "reason") +
                   (oldest == 0 ? "" : "; the oldest live index is " + std::to_string(oldest)) +
                   (image->interrupted() ? ": " + VerdictSentence(*image) : ""),
               VerdictFields(*image));
  return ConcludeOn(*image, terminal);
}

}  // namespace duramen::tools
