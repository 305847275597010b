// What is done to the stores besides what servers do: logs of somebody else.
#include "simulator/world.h"

namespace duramen::simulator {

void World::MakeScribes() {
  if (settings_.scribe_ms == 0) return;
  constexpr std::uint64_t kLogsMost = 4;
  for (std::uint64_t node = 0; node < settings_.nodes; ++node) {
    scribes_.emplace_back(Rng(rng_.Next()), 1 + rng_.Below(kLogsMost));
  }
}

void World::Scribble() {
  Node& node = *nodes_[rng_.Below(nodes_.size())];
  if (!node.is_up() || node.paused_until > now()) return;
  const std::string wrong = scribes_[node.number()].Act(node, touched_.contains(node.number()));
  ++tally_.deeds;
  if (!wrong.empty()) referee_.Fail("node " + std::to_string(node.number()) + ": " + wrong);
}

/// False: it found what must not be.
bool World::TellScribe(Node& node) {
  if (scribes_.empty()) return true;
  const std::string wrong =
      scribes_[node.number()].OnStart(node, touched_.contains(node.number()));
  if (!wrong.empty()) referee_.Fail("node " + std::to_string(node.number()) + ": " + wrong);
  if (node.store().recovery_report().created) touched_.erase(node.number());
  return wrong.empty();
}

}  // namespace duramen::simulator
