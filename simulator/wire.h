// The network between simulated systems. Each has a LocalNetwork of its own, on which stand-ins of
// the others are: what is given to one of those travels, late or never, to the network that the
// other is on. So the systems are those of production, and nothing of it is for the simulator.
//
// Owned by a world, which tells it who starts and who dies. One thread. What stays true: parcels of
// a link arrive in their order, but for stragglers among Raft messages, which may come at any time;
// a link that lost any because it was cut is made anew at both ends when it heals.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/rng.h"
#include "server/local_network.h"
#include "simulator/hand.h"

namespace duramen::simulator {

std::string NodeName(std::uint64_t node);

struct WireSettings {
  std::uint64_t delay_us = 0;  // of parcels, mean; 0: they are there at once
  std::uint64_t loss = 0;      // one in so many parcels
  std::uint64_t straggle = 0;  // one in so many Raft messages
  std::uint64_t detect_ms = 0; // until it shows that a node does not answer, mean
};

class Wire {
 public:
  Wire(LoopExecutor& executor, ManualClock& clock, Rng rng, std::uint64_t nodes);
  ~Wire();

  /// A node begins a life: what its system gets as its network.
  std::shared_ptr<LocalNetwork> Connect(std::uint64_t node);
  /// It is there for others from here on. Call it once its system is open.
  void Announce(std::uint64_t node);
  /// It is dead: nothing goes there or comes from there any more.
  void Disconnect(std::uint64_t node);
  void Cut(std::uint64_t one, std::uint64_t other);
  void Mend(std::uint64_t one, std::uint64_t other);
  /// Also those to come.
  void Set(const WireSettings& settings) { settings_ = settings; }
  /// Somebody is in that node, and waits there.
  bool IsIn(std::uint64_t node) const { return ends_[node].visitors > 0; }
  std::uint64_t parcels() const { return parcels_; }
  std::uint64_t lost() const { return lost_; }

 private:
  class StandIn;
  class Beacon;
  struct Link {
    std::unique_ptr<StandIn> stand_in;
    bool joined = false;  // it is on the network of the one that it is a link of
    bool cut = false;
    bool lossy = false;   // it has lost parcels since it was made
    std::uint64_t visitors = 0;
    std::uint64_t times_left = 0;
    Moment last = 0;      // when the newest parcel arrives
  };
  struct End {
    std::shared_ptr<LocalNetwork> network;  // null: it is dead
    std::optional<std::uint64_t> boot;      // of who is announced
    std::uint64_t life = 0;
    std::uint64_t visitors = 0;
    std::vector<Link> links;  // to the others
    std::unique_ptr<Beacon> beacon;
  };

  Link& LinkOf(std::uint64_t from, std::uint64_t to) { return ends_[from].links[to]; }
  bool Reaches(std::uint64_t from, std::uint64_t to);
  void Join(std::uint64_t at, std::uint64_t about);
  void Leave(std::uint64_t at, std::uint64_t about);
  void Miss(std::uint64_t at, std::uint64_t about);
  void Send(std::uint64_t from, std::uint64_t to, std::vector<server::Parcel> parcels);
  void Travel(std::uint64_t from, std::uint64_t to, std::vector<server::Parcel> parcels,
              Moment delay);
  void Arrive(std::uint64_t to, std::vector<server::Parcel> parcels);
  Moment Exponential(std::uint64_t mean_us);

  ManualClock& clock_;
  Rng rng_;
  WireSettings settings_;
  Hand carrier_;
  std::vector<End> ends_;
  std::uint64_t parcels_ = 0;
  std::uint64_t lost_ = 0;
};

}  // namespace duramen::simulator
