// Whoever runs the clusters: changes members, moves leaders, and replaces servers whose disks are
// gone.
#include <algorithm>

#include "simulator/world.h"

namespace duramen::simulator {

bool World::AskChange(std::uint32_t cluster, core::Change change) {
  Node* home = nullptr;
  Resident* leader = LeaderOf(cluster, &home);
  if (leader == nullptr || home->paused_until > now()) return false;
  change.ticket = next_ticket_++;
  StepAt(*home, *leader, [&](core::Microseconds at) { leader->replica->Step(at, change); });
  return true;
}

bool World::Remove(std::uint32_t cluster, const ServerUid& uid) {
  core::Change change{.kind = core::Change::Kind::kRemove};
  change.member.uid = uid;
  return AskChange(cluster, change);
}

/// A node without a server of the cluster; the number of nodes if there is none.
std::uint32_t World::FreeNode(std::uint32_t cluster) {
  std::vector<std::uint32_t> free;
  for (const std::unique_ptr<Node>& node : nodes_) {
    if (node->is_up() && node->Find(cluster) == nullptr) free.push_back(node->number());
  }
  return free.empty() ? static_cast<std::uint32_t>(nodes_.size()) : free[rng_.Below(free.size())];
}

void World::ChangeMembers() {
  const auto number = static_cast<std::uint32_t>(rng_.Below(clusters_.size()));
  Cluster& cluster = clusters_[number];
  Node* home = nullptr;
  Resident* leader = LeaderOf(number, &home);
  if (leader == nullptr || !cluster.replacements.empty()) return;
  if (cluster.endangered.size() > cluster.latent.size()) return;
  const core::Configuration configuration = leader->replica->core().configuration();
  const std::uint32_t free = FreeNode(number);
  if (free < nodes_.size() && (configuration.members.size() < 3 || rng_.OneIn(2))) {
    ++cluster.incarnations;
    const std::string name = NameFor(number, *nodes_[free]);
    if (!Populate(*nodes_[free], number, name)) return;
    const auto role = rng_.OneIn(4) ? core::MemberRole::kNonVoter : core::MemberRole::kPromotable;
    Tell("cluster " + std::to_string(number) + ": a member is added on node " +
         std::to_string(free));
    core::Change change;
    change.member = {.uid = nodes_[free]->Find(number)->uid, .role = role};
    AskChange(number, change);
    return;
  }
  if (configuration.members.size() <= 1 || !cluster.endangered.empty()) return;
  const core::Member& member = configuration.members[rng_.Below(configuration.members.size())];
  if (configuration.voters() <= 3 && member.role == core::MemberRole::kVoter && !rng_.OneIn(4))
    return;
  Tell("cluster " + std::to_string(number) + ": a member is removed");
  Remove(number, member.uid);
}

void World::TransferLeader() {
  const auto number = static_cast<std::uint32_t>(rng_.Below(clusters_.size()));
  Node* home = nullptr;
  Resident* leader = LeaderOf(number, &home);
  if (leader == nullptr || home->paused_until > now()) return;
  const auto& members = leader->replica->core().configuration().members;
  const ServerUid target = members[rng_.Below(members.size())].uid;
  StepAt(*home, *leader, [&](core::Microseconds at) {
    leader->replica->Step(at, core::Transfer{.ticket = next_ticket_++, .target = target});
  });
}

/// Out with the one whose disk is gone, in with the one that stands there now; again and again,
/// until it is so.
void World::MendMembers() {
  for (std::uint32_t number = 0; number < clusters_.size(); ++number) {
    Cluster& cluster = clusters_[number];
    if (cluster.replacements.empty()) continue;
    Node* home = nullptr;
    Resident* leader = LeaderOf(number, &home);
    if (leader == nullptr) continue;
    const Replacement next = cluster.replacements.front();
    const core::Configuration& configuration = leader->replica->core().configuration();
    const bool settled = leader->replica->core().specials().configuration_index() <=
                         leader->replica->core().commit();
    if (configuration.Find(next.lost) != nullptr) {
      Remove(number, next.lost);
    } else if (configuration.Find(next.fresh) == nullptr) {
      core::Change change;
      change.member = {.uid = next.fresh, .role = core::MemberRole::kPromotable};
      AskChange(number, change);
    } else if (settled && configuration.IsVoter(next.fresh)) {
      ++tally_.replaced_servers;
      Tell("cluster " + std::to_string(number) + ": a lost member is replaced");
      cluster.replacements.erase(cluster.replacements.begin());
    }
  }
  In(kSecond / 2, [this] { MendMembers(); });
}

}  // namespace duramen::simulator
