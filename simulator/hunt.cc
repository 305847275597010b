// Trouble that is meant for leaders: whoever leads is struck, so that leaders follow each other in
// quick succession and leave their work half done (Raft figure 8).
#include <algorithm>

#include "simulator/world.h"

namespace duramen::simulator {

/// Again and again, as long as it leads.
void World::Hunt(const Node& node, const Resident& leader) {
  if (!trouble_ || settings_.hunt_ms == 0) return;
  In(Exponential(settings_.hunt_ms),
     [this, number = node.number(), cluster = leader.cluster, term = leader.hunted] {
       Node& home = *nodes_[number];
       const Resident* resident = home.is_up() ? home.Find(cluster) : nullptr;
       if (!trouble_ || resident == nullptr || !resident->replica) return;
       const core::Core& core = resident->replica->core();
       if (core.role_kind() != core::RoleKind::kLeader || core.term() != term) return;
       Hunt(home, *resident);
       Strike(number);
     });
}

void World::Strike(std::uint32_t number) {
  Node& node = *nodes_[number];
  switch (const std::uint64_t blow = rng_.Below(8)) {
    case 0:
      ++tally_.kills;
      Tell("node " + std::to_string(number) + ", which leads, is killed");
      return CrashNode(node, false);
    case 1:
      ++tally_.pauses;
      node.paused_until = now() + Exponential(Lasting(3000));
      Tell("node " + std::to_string(number) + ", which leads, stands still for " +
           std::to_string((node.paused_until - now()) / kMillisecond) + " ms");
      return;
    default:
      return CutAround(number, blow);
  }
}

/// Around one node: it is not heard, hears nothing, is cut off, or is left with one other, which is
/// the most likely, as it does the most harm.
void World::CutAround(std::uint32_t number, std::uint64_t shape) {
  const auto count = static_cast<std::uint32_t>(nodes_.size());
  const auto friendly = static_cast<std::uint32_t>(rng_.Below(count));
  std::vector<std::pair<std::uint32_t, std::uint32_t>> cut;
  for (std::uint32_t other = 0; other < count; ++other) {
    if (other == number || (shape >= 5 && other == friendly)) continue;
    if (shape != 3) cut.emplace_back(number, other);
    if (shape != 2) cut.emplace_back(other, number);
  }
  ++tally_.partitions;
  Tell("node " + std::to_string(number) + ", which leads, loses " + std::to_string(cut.size()) +
       " one-way links");
  for (const auto& link : cut) cuts_.insert(link);
  In(Exponential(Lasting(2000)), [this, cut] {
    for (const auto& link : cut) cuts_.erase(link);
  });
}

}  // namespace duramen::simulator
