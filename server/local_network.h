// The systems of one process that reach each other, by their names.
//
// Shared by the systems. Any thread. What stays true: once Leave has returned nobody is in, or
// comes into, that system through here.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <vector>

#include "base/actor.h"
#include "server/parcel.h"

namespace duramen::server {

/// Something that a worker does, and whoever waits for it; shared, since that one may give up.
struct Errand {
  std::atomic<bool> done{false};
  Status result;  // these two once it is done
  ServerUid uid;
  std::mutex mutex;                  // of the next one
  ActorExecutor* waiter = nullptr;  // of whoever waits: another system's, it may be

  void Finish() {
    const std::lock_guard lock(mutex);
    done.store(true);
    if (waiter != nullptr) waiter->Progress();
  }
  void SetWaiter(ActorExecutor* executor) {
    const std::lock_guard lock(mutex);
    waiter = executor;
  }
};

/// What others may ask of a system.
class Neighbour {
 public:
  virtual ~Neighbour() = default;
  /// Never blocks.
  virtual void Deliver(std::vector<Parcel> parcels) = 0;
  /// A node is there, in that life, or gone. Never blocks.
  virtual void OnNode(const std::string& node, std::optional<std::uint64_t> boot) = 0;
  /// Makes the log of a member, and says its uid. Never blocks, as the next one does not. Errors:
  /// kAlreadyExists, kNotFound: no such machine.
  virtual std::shared_ptr<Errand> Prepare(const ClusterOptions& options) = 0;
  /// Starts it, as what was prepared under that uid. `birth` is durable when that is done.
  virtual std::shared_ptr<Errand> Begin(const ClusterOptions& options, const Birth& birth,
                                        const ServerUid& uid, Deadline deadline) = 0;
  /// Takes back what Prepare and Begin did for that cluster; by the deadline its name is free.
  virtual void Abandon(const std::string& cluster, ClusterId id, Deadline deadline) = 0;
};

class Network {
 public:
  /// Errors: kAlreadyExists: a node of that name is there.
  Status Join(const std::string& node, std::uint64_t boot, Neighbour& neighbour);
  void Leave(const std::string& node);
  /// Who is there.
  std::vector<std::string> Nodes();
  /// False: it is not there.
  bool Send(const std::string& node, std::vector<Parcel> parcels);
  /// Errors: kNotFound: it is not there; those of `visit`.
  template <typename Visit>
  auto With(const std::string& node, Visit visit)
      -> decltype(visit(std::declval<Neighbour&>()));

 private:
  /// The way into one system: closed before the system goes.
  struct Entrance {
    std::shared_mutex open;  // shared by who is in
    Neighbour* neighbour = nullptr;
    std::uint64_t boot = 0;
  };
  std::shared_ptr<Entrance> Find(const std::string& node);
  void Tell(const std::string& about, std::optional<std::uint64_t> boot);

  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Entrance>> entrances_;
};

template <typename Visit>
auto Network::With(const std::string& node, Visit visit)
    -> decltype(visit(std::declval<Neighbour&>())) {
  const std::shared_ptr<Entrance> entrance = Find(node);
  if (entrance != nullptr) {
    // Never waits: whoever leaves waits for those who are in.
    const std::shared_lock in(entrance->open, std::try_to_lock);
    if (in.owns_lock() && entrance->neighbour != nullptr) return visit(*entrance->neighbour);
  }
  return Error{ErrorCode::kNotFound, "no node '" + node + "' is on the network",
               "start its system first"};
}

}  // namespace duramen::server

struct duramen::LocalNetwork::Impl {
  server::Network network;
};
