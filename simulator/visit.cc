// What an operator does to a node that is down: verifies its disk, and repairs it where it was
// damaged. What he is told has to agree with what the world knows, and with what the start says.
#include <algorithm>

#include "simulator/world.h"

namespace duramen::simulator {
namespace {

constexpr std::uint64_t kOperationsOfARepair = 150;

void Join(Inspection& all, Inspection one) {
  all.segment_entries += one.segment_entries;
  all.logs.merge(one.logs);
  all.left_out = all.left_out || one.left_out;
  all.damage.insert(all.damage.end(), one.damage.begin(), one.damage.end());
  all.lacking.insert(all.lacking.end(), one.lacking.begin(), one.lacking.end());
}

std::string NameOf(const Node& node) { return "node " + std::to_string(node.number()); }

}  // namespace

/// Its disk is not what its stores made of it any more.
void World::Touch(const Node& node) {
  touched_.insert(node.number());
  for (const Resident& resident : const_cast<Node&>(node).residents()) {
    clusters_[resident.cluster].endangered.insert(resident.uid);
  }
}

World::Visit World::VisitNode(Node& node) {
  Visit visit;
  if (settings_.inspect == 0 || !rng_.OneIn(settings_.inspect)) return visit;
  // It lost its disk, and no start since came as far as a WAL: there is nothing to repair.
  if (node.disk().visible().FindPath("/data/wal") == 0) return visit;
  visit.made = LookAt(node, visit);
  if (visit.seen.left_out) return visit;  // Only a salvage mends that.
  TryUndo(node);
  const bool repairs = settings_.repair > 0 && rng_.OneIn(settings_.repair);
  // Of a WAL in two directories a repair says that it cannot, unless SYSTEM is lost.
  if (settings_.failover != 0 && !visit.made) return visit;
  if (!repairs || !touched_.contains(node.number()) || !MayMend(node)) return visit;
  RepairNode(node, visit);
  return visit;
}

/// False: there is no telling.
bool World::LookAt(Node& node, Visit& visit) {
  const bool touched = touched_.contains(node.number());
  visit.seen = {};
  ++tally_.inspections;
  for (const std::string& root : RootsOf(node.disk())) {
    // Half of a repair: the next start finishes it.
    if (node.disk().visible().FindPath(root + "/quarantine/PENDING") != 0) return false;
    Result<Inspection> inspection = Inspect(node.disk(), root);
    if (!inspection.ok()) {
      if (!touched) {
        referee_.Fail(NameOf(node) + ": a sound disk cannot be verified: " +
                      inspection.error().message);
      }
      return false;
    }
    Join(visit.seen, std::move(*inspection));
  }
  if (visit.seen.left_out) return false;
  if (touched || visit.seen.damage.empty()) return true;
  referee_.Fail(NameOf(node) + ": verify finds damage on a sound disk: " + visit.seen.damage[0]);
  return false;
}

/// A repair may find what nobody had noticed, and a server that is faulty counts for nothing: that
/// is as losing a disk.
bool World::MayMend(const Node& node) {
  std::vector<std::pair<std::uint32_t, ServerUid>> known;
  for (const Resident& resident : const_cast<Node&>(node).residents()) {
    if (clusters_[resident.cluster].endangered.erase(resident.uid) > 0) {
      known.emplace_back(resident.cluster, resident.uid);
    }
  }
  const bool may = MayLose(node);
  for (const auto& [cluster, uid] : known) clusters_[cluster].endangered.insert(uid);
  return may;
}

void World::RepairNode(Node& node, Visit& visit) {
  Touch(node);
  const Visit before = visit;
  visit.made = false;
  for (const std::string& root : RootsOf(node.disk())) {
    if (!RepairRoot(node, root, before)) return;
  }
  Tell(NameOf(node) + " is repaired");
  ++tally_.repairs;
  visit.mended = true;
  visit.made = LookAt(node, visit);
  if (visit.seen.left_out) return;  // In a shard that needed no repair.
  if (!visit.made || !visit.seen.damage.empty()) {
    return referee_.Fail(NameOf(node) + " is repaired, and verify finds damage: " +
                         (visit.made ? visit.seen.damage[0] : "it cannot be verified"));
  }
  const Status strict = node.StartsStrictly(executor_, clock_, settings_);
  if (!strict.ok()) {
    referee_.Fail(NameOf(node) +
                  " is repaired, and a strict start refuses it: " + strict.error().message);
  }
}

/// What is to become of logs that lack entries; of a scribe's logs, more.
void World::DrawRequests(Node& node, const Inspection& here, log::MendOptions& mend) {
  std::map<ServerUid, bool> wanted;  // and whether it may end healthy
  for (const ServerUid& uid : here.lacking) {
    if (here.logs.contains(uid) && rng_.OneIn(2)) wanted[uid] = false;
  }
  std::vector<std::string> own;
  if (!scribes_.empty()) own = scribes_[node.number()].Uids();
  for (const std::string& text : own) {
    const ServerUid uid{*Uid128::Parse(text)};
    if (!here.logs.contains(uid) || !rng_.OneIn(2)) continue;
    wanted[uid] = rng_.OneIn(2);
    scribes_[node.number()].OnMended(text);
  }
  for (const auto& [uid, healthy] : wanted) {
    const IndexRange log = here.logs.at(uid);
    log::MendRequest request{.kind = static_cast<log::MendKind>(rng_.Below(3)), .uid = uid};
    request.index = log.begin + rng_.Below(log.end - log.begin + 1);
    request.healthy = healthy;
    if (healthy && rng_.OneIn(10)) request.index = log.end + 1;
    mend.requests.push_back(request);
  }
  if (mend.requests.empty() || !rng_.OneIn(10)) return;
  mend.requests.push_back(mend.requests.front());
  if (rng_.OneIn(2)) mend.requests.back().uid.bytes.fill(1);
}

/// False: it did not come to its end, or was taken back.
bool World::RepairRoot(Node& node, const std::string& root, const Visit& visit) {
  RepairJob job{.root = root};
  const Result<Inspection> here = Inspect(node.disk(), root);
  if (visit.made && here.ok()) DrawRequests(node, *here, job.mend);
  if (rng_.OneIn(3)) job.die_after = rng_.Below(kOperationsOfARepair);
  const Result<std::string> id = RepairDisk(node.disk(), job, {executor_, clock_, rng_});
  if (!id.ok()) {
    const ErrorCode code = id.error().code;
    const bool died = job.die_after != UINT64_MAX;
    const bool away = settings_.failover != 0 && code == ErrorCode::kUnsupported;
    // Of all that names the system nothing is left.
    const bool nothing = code == ErrorCode::kCorruption && !here.ok();
    const bool asked = code == ErrorCode::kRefused || code == ErrorCode::kOutOfRange ||
                       code == ErrorCode::kInvalidArgument || code == ErrorCode::kNotFound;
    const bool left_out = code == ErrorCode::kRefused && (!here.ok() || here->left_out);
    if (died) {
      ++tally_.cut_repairs;
      if (rng_.OneIn(2)) LosePowerOf(node.disk(), rng_);
    } else if (!away && !nothing && !left_out && (job.mend.requests.empty() || !asked)) {
      referee_.Fail(NameOf(node) + ": " + root + " is not repaired: " + id.error().message);
    }
    return false;
  }
  if (id->empty()) return true;
  repaired_[node.number()] = {root, *id};
  if (!rng_.OneIn(4)) return true;
  const Status undone = UndoOn(node.disk(), root, *id, rng_.OneIn(2));
  if (!undone.ok()) {
    referee_.Fail(NameOf(node) + ": a repair is not undone: " + undone.error().message);
  }
  ++tally_.undone;
  return false;
}

/// Whoever wants back what a repair took looks at it on a copy first: since then the store ran.
void World::TryUndo(Node& node) {
  const auto last = repaired_.find(node.number());
  if (last == repaired_.end()) return;
  const auto [root, id] = last->second;
  repaired_.erase(last);
  sim::DiskState copy = node.disk();
  const Status undone = UndoOn(copy, root, id, true);
  if (!undone.ok()) {
    const ErrorCode code = undone.error().code;
    if (code == ErrorCode::kRefused || code == ErrorCode::kNotFound) return;
    return referee_.Fail(NameOf(node) + ": what a repair took does not come back: " +
                         undone.error().message);
  }
  ++tally_.undone;
  const Result<Inspection> inspection = Inspect(copy, root);
  const bool unreadable = !inspection.ok() && inspection.error().code != ErrorCode::kNotFound &&
                          inspection.error().code != ErrorCode::kCorruption;
  if (!unreadable) return;
  referee_.Fail(NameOf(node) + ": what a repair took is back, and cannot be verified: " +
                inspection.error().message);
}

/// Memory, segments and WAL describe one log: the one that was to be read before the start.
void World::CheckVisit(Node& node, const Visit& visit) {
  if (!visit.made) return;
  const RecoveryReport& report = node.store().recovery_report();
  const auto fail = [&](const std::string& what) { referee_.Fail(NameOf(node) + ": " + what); };
  if (visit.seen.damage.empty() && report.damaged()) {
    return fail("verify found nothing, and the start: " + report.ToText());
  }
  std::size_t known = 0;
  for (const LogInfo& info : node.store().Logs()) {
    const Result<Bounds> bounds = node.store().BoundsOf(info.log);
    const Result<Uid128> uid = Uid128::Parse(info.uid);
    if (!bounds.ok() || !uid.ok()) continue;
    const auto seen = visit.seen.logs.find(ServerUid{*uid});
    if (seen == visit.seen.logs.end()) continue;
    ++known;
    if (seen->second.begin == bounds->begin && seen->second.end == bounds->end) continue;
    return fail("log " + info.name + " was verified as [" + std::to_string(seen->second.begin) +
                ", " + std::to_string(seen->second.end) + ") and starts as [" +
                std::to_string(bounds->begin) + ", " + std::to_string(bounds->end) + ")");
  }
  if (visit.seen.damage.empty() && known != visit.seen.logs.size()) {
    fail("verify saw " + std::to_string(visit.seen.logs.size()) + " logs, and of these start " +
         std::to_string(known));
  }
}

/// Somebody may begin with a shard, on a copy: where nothing tells whose it is he is told so.
void World::RepairOutOfOrder(const Node& node) {
  sim::DiskState copy = const_cast<Node&>(node).disk();
  const std::vector<std::string> roots = RootsOf(copy);
  if (roots.size() < 2) return;
  const Result<std::string> id =
      RepairDisk(copy, {.root = roots.back()}, {executor_, clock_, rng_});
  if (id.ok()) return;
  const ErrorCode code = id.error().code;
  if (code == ErrorCode::kRefused || code == ErrorCode::kCorruption) return;
  referee_.Fail(NameOf(node) + ": " + roots.back() +
                " is not repaired by itself: " + id.error().message);
}

/// A start that is refused: repair what there is, or begin with an empty disk.
Status World::Rescue(Node& node) {
  Tell(NameOf(node) + " does not start");
  // What stands in a fail-over directory alone is not known to a SYSTEM that is made anew.
  if (settings_.repair > 0 && settings_.failover == 0) {
    Visit visit;
    RepairOutOfOrder(node);
    for (const std::string& root : RootsOf(node.disk())) {
      if (!RepairRoot(node, root, visit)) break;  // What is below it waits for it.
    }
    const Status started = node.Start(executor_, clock_, settings_, {});
    if (started.ok()) return started;
  }
  Tell(NameOf(node) + " gets an empty disk");
  ++tally_.wiped;
  node.Wipe();
  return node.Start(executor_, clock_, settings_, {});
}

}  // namespace duramen::simulator
