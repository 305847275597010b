// What the machines of simulated systems applied, and what came of it: every member, in every life,
// applies the same commands at the same places; a command of a client has one place; its effect is
// executed once at most, and nothing of a deleted cluster happens any more.
//
// Owned by a world, outlives its systems. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "duramen/machine.h"
#include "duramen/types.h"

namespace duramen::simulator {

class Chronicle {
 public:
  /// `fail`: told the first thing that must not be. `note`: told all that happens, for the trace.
  Chronicle(std::function<void(std::string)> fail,
            std::function<void(std::uint64_t, std::uint64_t)> note)
      : fail_(std::move(fail)), note_(std::move(note)) {}

  /// A machine of that cluster has applied it; `digest` is of all that it has applied.
  void OnApply(const std::string& cluster, const duramen::Command& command, std::uint64_t digest);
  void OnEffect(const std::string& cluster, Index index);
  /// Machines send messages to that client of a node from here on.
  void Listen(std::uint64_t node, const std::string& address) { listeners_[node] = address; }
  /// One of the clients; empty: none listens.
  std::string ListenerFor(Index index) const;
  /// Where that command stands; 0: nowhere.
  Index PlaceOf(const std::string& cluster, std::string_view command) const;
  std::uint64_t executed() const { return executed_.size(); }
  std::uint64_t applied() const { return applied_; }

 private:
  struct Entry {
    Term term = 0;
    std::string command;
    std::uint64_t digest = 0;
  };
  struct Log {
    std::map<Index, Entry> entries;
    std::map<std::string, Index, std::less<>> places;
  };
  std::function<void(std::string)> fail_;
  std::function<void(std::uint64_t, std::uint64_t)> note_;
  std::map<std::string, Log> logs_;
  std::map<std::uint64_t, std::string> listeners_;  // by node
  std::set<std::pair<std::string, Index>> executed_;
  std::uint64_t applied_ = 0;
};

/// The bundled kv under the eyes of a chronicle. Its cluster is named by the config of its start,
/// so that two of one name are two.
duramen::MachineType WatchedKv(Chronicle& chronicle);
/// One that throws when it is told to, and keeps nothing.
duramen::MachineType MoodyMachine();
inline constexpr std::string_view kThrows = "throw";
/// What messages begin with that come once at most.
inline constexpr std::string_view kOnce = "once ";

}  // namespace duramen::simulator
