#include "tools/repair_plan.h"

#include <algorithm>
#include <map>
#include <set>
#include <string_view>

#include "base/check.h"
#include "base/try.h"

namespace duramen::tools {
namespace {

constexpr std::size_t kNextMax = 3;

enum class FileSort : std::uint8_t { kSystem, kWal, kSegment, kCheckpoint };

FileSort SortOf(std::string_view file) {
  if (file.ends_with("SYSTEM") || file.ends_with("IDENTITY")) return FileSort::kSystem;
  if (file.find("servers/") != std::string_view::npos) return FileSort::kSegment;
  if (file.find("checkpoint-") != std::string_view::npos) return FileSort::kCheckpoint;
  return FileSort::kWal;
}

/// "servers/UID/..." names whose it is, also where nothing of it can be read.
ServerUid OwnerOf(std::string_view file) {
  constexpr std::string_view kFolder = "servers/";
  const std::size_t at = file.find(kFolder);
  if (at == std::string_view::npos) return {};
  const std::string_view rest = file.substr(at + kFolder.size());
  const Result<Uid128> uid = Uid128::Parse(std::string(rest.substr(0, rest.find('/'))));
  return uid.ok() ? ServerUid{*uid} : ServerUid{};
}

std::string RangeText(Index first, Index last) {
  if (first == 0) return "rows";
  if (last == 0) return "entries from " + std::to_string(first) + " on";
  if (first == last) return "entry " + std::to_string(first);
  return "entries " + std::to_string(first) + " to " + std::to_string(last);
}

/// What several findings say of one server, in one range.
struct Loss {
  Index first = 0;
  Index last = 0;
  bool open_end = false;
  bool rows = false;

  void Add(const RepairTouched& touched) {
    rows = rows || touched.rows;
    if (touched.first == 0) return;
    first = first == 0 ? touched.first : std::min(first, touched.first);
    open_end = open_end || touched.last == 0;
    last = std::max(last, touched.last);
  }
  Index end() const { return open_end ? 0 : last; }
};

class Planner {
 public:
  Planner(const RepairFacts& facts, const RepairRequest& request)
      : facts_(facts), request_(request) {}

  Result<RepairPlan> Run() {
    if (!facts_.strangers.empty()) {
      return Error{ErrorCode::kRefused,
                   facts_.strangers.front() + " is not a regular file; a repair does not touch it",
                   "look where it leads, then remove it: a start makes what it needs"};
    }
    for (const RepairFinding& finding : facts_.findings) Contain(finding);
    for (const auto& [uid, loss] : losses_) MarkFaulty(uid, loss);
    if (request_.action != RepairAction::kNone) TRY(Act());
    Suggest();
    std::stable_sort(plan_.steps.begin(), plan_.steps.end(),
                     [](const RepairStep& a, const RepairStep& b) { return a.kind < b.kind; });
    return std::move(plan_);
  }

 private:
  void Contain(const RepairFinding& finding) {
    if (finding.kind == FindingKind::kLeftover) {
      return Once(RepairStepKind::kRemoveLeftover, finding.file, OwnerOf(finding.file),
                  "begun by a flush that was not finished; it goes");
    }
    // A tail that no proof covers is cut by every start, and by a repair with its file.
    if (!finding.failed_check && finding.kind != FindingKind::kUnprovenTail) return;
    if (finding.acknowledged) {
      for (const RepairTouched& touched : finding.touched) losses_[touched.uid].Add(touched);
    }
    switch (SortOf(finding.file)) {
      case FileSort::kSystem:
        return Once(RepairStepKind::kRestoreSystem, finding.file, {},
                    "written anew from what the other files say");
      case FileSort::kWal:
        return Once(RepairStepKind::kEmptyWal, "wal", {},
                    "what is intact goes to segments; the damaged files are kept in quarantine");
      case FileSort::kSegment: {
        const ServerUid uid = OwnerOf(finding.file);
        return Once(RepairStepKind::kRewriteSegments,
                    uid.is_nil() ? finding.file : "servers/" + uid.ToString(), uid,
                    "what is intact goes to new files; the old ones are kept in quarantine");
      }
      case FileSort::kCheckpoint:
        return Once(RepairStepKind::kRebuildCheckpoints, "meta", {},
                    "both are written anew from each other, the WAL and the segments");
    }
  }

  void Once(RepairStepKind kind, const std::string& file, const ServerUid& uid,
            const std::string& sentence) {
    if (!seen_.insert({kind, file}).second) return;
    plan_.steps.push_back({.kind = kind, .file = file, .uid = uid, .sentence = sentence});
  }

  void MarkFaulty(const ServerUid& uid, const Loss& loss) {
    const auto known = std::ranges::find(facts_.servers, uid, &RepairServer::uid);
    if (known != facts_.servers.end() && Covers(known->fault, loss)) return;
    std::string sentence = "faulty from now on: ";
    if (loss.first != 0) sentence += RangeText(loss.first, loss.end()) + " cannot be read";
    if (loss.rows) {
      sentence += std::string(loss.first != 0 ? ", and " : "") + "term and vote may be lost";
    }
    if (loss.first == 0 && !loss.rows) sentence += "what is lost is not known";
    plan_.steps.push_back({.kind = RepairStepKind::kMarkFaulty,
                           .file = "",
                           .uid = uid,
                           .first = loss.first,
                           .last = loss.end(),
                           .sentence = std::move(sentence)});
    faulty_.insert(uid);
  }

  static bool Covers(const meta::FaultyRow& fault, const Loss& loss) {
    if (loss.rows && !fault.rows_lost) return false;
    if (loss.first == 0) return fault.faulty();
    const bool reaches = fault.to == 0 || (loss.end() != 0 && loss.end() <= fault.to);
    return fault.from != 0 && fault.from <= loss.first && reaches;
  }

  Status Act() {
    CHECK(facts_.target.has_value());
    const RepairServer& server = *facts_.target;
    const bool faulty = server.fault.faulty() || faulty_.contains(server.uid);
    if (!faulty && !request_.force) {
      return Error{ErrorCode::kRefused,
                   "'" + server.name + "' is not faulty; nothing of it is lost",
                   "to give up acknowledged entries all the same, add --force"};
    }
    switch (request_.action) {
      case RepairAction::kTruncate:
        return Truncate(server);
      case RepairAction::kFill:
        return Fill(server);
      case RepairAction::kRejoin:
        Rejoin(server);
        return {};
      case RepairAction::kNone:
        break;
    }
    return {};
  }

  Status Truncate(const RepairServer& server) {
    if (request_.index < server.begin || request_.index > server.end) {
      return Error{ErrorCode::kInvalidArgument,
                   "index " + std::to_string(request_.index) + " is not in the log of '" +
                       server.name + "', which is [" + std::to_string(server.begin) + ", " +
                       std::to_string(server.end) + ")",
                   "--truncate takes the first index that goes"};
    }
    Add(RepairStepKind::kTruncate, {request_.index, server.end},
        request_.index == server.end ? "nothing is cut"
                                     : RangeText(request_.index, server.end - 1) + " are given up");
    return {};
  }

  Status Fill(const RepairServer& server) {
    const Loss* loss = losses_.contains(server.uid) ? &losses_.at(server.uid) : nullptr;
    Index first = server.fault.from;
    Index last = server.fault.to;
    if (loss != nullptr && loss->first != 0) {
      first = first == 0 ? loss->first : std::min(first, loss->first);
      last = std::max(last, loss->last);
    }
    if (last == 0 || last >= server.end) last = server.end - 1;
    if (first == 0 || first > last) {
      return Error{ErrorCode::kRefused,
                   "nothing is missing in the log of '" + server.name + "' below its end " +
                       std::to_string(server.end),
                   "--truncate and --rejoin are for what is lost behind it"};
    }
    Add(RepairStepKind::kFill, {std::max(first, server.begin), last + 1},
        "what cannot be read of " + RangeText(std::max(first, server.begin), last) +
            " becomes no-op entries; later ones are kept");
    return {};
  }

  void Rejoin(const RepairServer& server) {
    Add(RepairStepKind::kRejoin, {},
        "a new incarnation under a new uid, with the entries before the damage; " +
            server.uid.ToString() + " is deleted",
        "");
  }

  void Add(RepairStepKind kind, IndexRange range, std::string sentence) {
    Add(kind, range, std::move(sentence),
        request_.force ? "; healthy afterwards, in a term that was never used"
                       : "; faulty until a leader has made good what is lost");
  }
  void Add(RepairStepKind kind, IndexRange range, std::string sentence, const std::string& more) {
    plan_.steps.push_back({.kind = kind,
                           .file = "",
                           .uid = facts_.target->uid,
                           .first = range.empty() ? 0 : range.begin,
                           .last = range.empty() ? 0 : range.end - 1,
                           .sentence = std::move(sentence) + more});
  }

  /// Whoever stays faulty needs a decision that nobody but its owner can make.
  void Suggest() {
    for (const RepairServer& server : facts_.servers) faulty_.insert(server.uid);
    if (request_.action != RepairAction::kNone) faulty_.erase(facts_.target->uid);
    for (const ServerUid& uid : faulty_) {
      if (plan_.next.size() == kNextMax) break;
      plan_.next.push_back("duramen repair " + facts_.path + " --server " + uid.ToString() +
                           " --rejoin   # or --truncate INDEX, --fill; a leader may heal it too");
    }
  }

  const RepairFacts& facts_;
  const RepairRequest& request_;
  RepairPlan plan_;
  std::map<ServerUid, Loss> losses_;
  std::set<std::pair<RepairStepKind, std::string>> seen_;
  std::set<ServerUid> faulty_;
};

}  // namespace

const char* RepairStepName(RepairStepKind kind) noexcept {
  switch (kind) {
    case RepairStepKind::kRestoreSystem:
      return "restore";
    case RepairStepKind::kEmptyWal:
      return "empty_wal";
    case RepairStepKind::kRewriteSegments:
      return "rewrite_segments";
    case RepairStepKind::kRebuildCheckpoints:
      return "rebuild_checkpoints";
    case RepairStepKind::kRemoveLeftover:
      return "remove_leftover";
    case RepairStepKind::kMarkFaulty:
      return "mark_faulty";
    case RepairStepKind::kTruncate:
      return "truncate";
    case RepairStepKind::kFill:
      return "fill";
    case RepairStepKind::kRejoin:
      return "rejoin";
  }
  return "unknown";
}

Result<RepairPlan> PlanRepair(const RepairFacts& facts, const RepairRequest& request) {
  return Planner(facts, request).Run();
}

}  // namespace duramen::tools
