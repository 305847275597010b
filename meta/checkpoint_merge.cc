#include "meta/checkpoint_merge.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

namespace duramen::meta {
namespace {

/// One file by uid. What cannot be read says nothing and names nobody.
struct Side {
  std::map<ServerUid, ServerRows*> intact;
  std::set<ServerUid> lost;
  bool names_all = false;
  bool whole = false;
  Covers covers;

  /// The file certainly has nothing of that server.
  bool Without(const ServerUid& uid) const {
    return names_all && intact.count(uid) == 0 && lost.count(uid) == 0;
  }
};

Side SideOf(std::optional<DecodedCheckpoint>& content) {
  Side side;
  if (!content) return side;
  for (CheckpointServer& server : content->servers) side.intact[server.uid] = &server.rows;
  for (const CheckpointDamage& damage : content->damage) {
    if (damage.row_lost && damage.uid) side.lost.insert(*damage.uid);
  }
  side.names_all = content->names_all();
  side.whole = content->whole();
  side.covers = content->covers;
  return side;
}

void TakeServers(Side& newer, Side& older, MergedCheckpoints& merged) {
  for (auto& [uid, rows] : newer.intact) {
    merged.servers.push_back({uid, std::move(*rows), newer.covers});
  }
  for (auto& [uid, rows] : older.intact) {
    if (newer.intact.count(uid) != 0) continue;
    if (rows->deleted() && newer.Without(uid)) continue;
    merged.servers.push_back({uid, std::move(*rows), older.covers});
  }
  std::sort(merged.servers.begin(), merged.servers.end(),
            [](const MergedServer& a, const MergedServer& b) { return a.uid < b.uid; });
}

void NameLosses(const Side& newer, const Side& older, MergedCheckpoints& merged) {
  for (const ServerUid& uid : newer.lost) {
    if (older.intact.count(uid) != 0) continue;
    (older.Without(uid) ? merged.only_in_wal : merged.unreadable).push_back(uid);
  }
  for (const ServerUid& uid : older.lost) {
    if (newer.intact.count(uid) != 0 || newer.lost.count(uid) != 0) continue;
    if (!newer.Without(uid)) merged.unreadable.push_back(uid);
  }
  std::sort(merged.unreadable.begin(), merged.unreadable.end());
  merged.unnamed_lost = !newer.names_all && !older.names_all;
}

bool Earlier(const Covers& a, const Covers& b) {
  return a.file != b.file ? a.file < b.file : a.batch < b.batch;
}

}  // namespace

MergedCheckpoints MergeCheckpoints(CheckpointFile a, CheckpointFile b) {
  MergedCheckpoints merged;
  if (!a.content || (b.content && b.content->sequence > a.content->sequence)) std::swap(a, b);
  if (!a.content) {
    merged.unnamed_lost = a.present || b.present;
    return merged;
  }
  Side newer = SideOf(a.content);
  Side older = SideOf(b.content);
  if (!b.content && a.content->sequence == 1) older.names_all = older.whole = true;
  merged.highest_incarnation =
      std::max(a.content->highest_incarnation, b.content ? b.content->highest_incarnation : 0);
  TakeServers(newer, older, merged);
  NameLosses(newer, older, merged);
  merged.replay_from = newer.covers;
  const bool older_counts = b.content || older.whole;
  const bool older_needed =
      !newer.whole ||
      std::any_of(merged.servers.begin(), merged.servers.end(),
                  [&](const auto& server) { return server.covers != newer.covers; });
  if (older_counts && older_needed && Earlier(older.covers, newer.covers)) {
    merged.replay_from = older.covers;
  }
  return merged;
}

}  // namespace duramen::meta
