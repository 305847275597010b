#include "server/local_network.h"

#include "base/try.h"

namespace duramen {
inline namespace v1 {

LocalNetwork::LocalNetwork() : impl_(std::make_unique<Impl>()) {}
LocalNetwork::~LocalNetwork() = default;

}  // namespace v1

namespace server {

std::shared_ptr<Network::Entrance> Network::Find(const std::string& node) {
  const std::lock_guard lock(mutex_);
  const auto found = entrances_.find(node);
  return found == entrances_.end() ? nullptr : found->second;
}

std::vector<std::string> Network::Nodes() {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> names;
  for (const auto& [name, entrance] : entrances_) names.push_back(name);
  return names;
}

Status Network::Join(const std::string& node, std::uint64_t boot, Neighbour& neighbour) {
  auto entrance = std::make_shared<Entrance>();
  entrance->neighbour = &neighbour;
  entrance->boot = boot;
  std::map<std::string, std::shared_ptr<Entrance>> others;
  {
    const std::lock_guard lock(mutex_);
    others = entrances_;
    if (!entrances_.emplace(node, std::move(entrance)).second) {
      return Error{ErrorCode::kAlreadyExists, "a node '" + node + "' is on the network already",
                   "name each system of a network differently"};
    }
  }
  for (const auto& [name, other] : others) neighbour.OnNode(name, other->boot);
  Tell(node, boot);
  return {};
}

void Network::Leave(const std::string& node) {
  const std::shared_ptr<Entrance> entrance = Find(node);
  if (entrance == nullptr) return;
  {
    const std::lock_guard lock(mutex_);
    entrances_.erase(node);
  }
  {
    const std::unique_lock nobody_in(entrance->open);
    entrance->neighbour = nullptr;
  }
  Tell(node, std::nullopt);
}

void Network::Tell(const std::string& about, std::optional<std::uint64_t> boot) {
  std::map<std::string, std::shared_ptr<Entrance>> all;
  {
    const std::lock_guard lock(mutex_);
    all = entrances_;
  }
  for (const auto& [name, entrance] : all) {
    if (name == about) continue;
    (void)With(name, [&](Neighbour& other) {
      other.OnNode(about, boot);
      return Status();
    });
  }
}

bool Network::Send(const std::string& node, std::vector<Parcel> parcels) {
  return With(node, [&](Neighbour& there) {
           there.Deliver(std::move(parcels));
           return Status();
         })
      .ok();
}

}  // namespace server
}  // namespace duramen
