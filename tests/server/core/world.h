// Cores, a network and stores, all in memory and in one thread: whatever may happen to a cluster
// happens when the test says so. A message may be late, lost, doubled or overtaken; a store ends
// when it is let end, in order; a crash keeps what had ended and any prefix of the rest.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "server/core/core.h"

namespace duramen::core {

/// What a test gives an entry, to tell it from all others of its index.
struct Cell {
  Term term = 0;
  std::uint64_t value = 0;
  friend bool operator==(const Cell&, const Cell&) = default;
};

/// A log with its payloads, as the store of a node holds it.
struct Tape {
  Index begin = 1;
  std::vector<Cell> cells;
  Term term_before = 0;  // of what stands before the begin
  Index end() const { return begin + cells.size(); }
  const Cell& At(Index index) const { return cells.at(index - begin); }
};

struct Wire {
  Message message;
  std::vector<Cell> cells;  // of its entries
};

/// One operation on its way to the disk of a node.
struct StoreOperation {
  std::optional<Store> store;
  std::optional<Index> truncate;
  std::vector<Cell> cells;  // appended
  std::vector<SpecialEntry> specials;
  std::uint64_t epoch = 0;
  Index end = 0;  // of the log behind it
};

class Node {
 public:
  std::unique_ptr<Core> core;  // none: it is down
  ServerUid uid;
  std::uint64_t boot = 0;
  Microseconds now = 0;
  CoreSettings settings;
  std::uint64_t seed = 0;

  // What survives a crash.
  HardState disk_state;
  Tape disk_tape;
  std::vector<SpecialEntry> disk_specials;  // by index
  SpecialEntry base;
  Index disk_applied = 0;
  Index hole = 0;          // entries from here on cannot be read; 0: all can
  bool vote_lost = false;  // the row of its term and vote could not be read

  // What does not.
  Tape tape;
  std::deque<StoreOperation> on_the_way;
  Index applied = 0;
  std::vector<std::uint64_t> reads;  // tickets that may be answered
  std::vector<Reply> replies;
  std::optional<Installed> installing;  // a snapshot that it is being sent
};

class World {
 public:
  explicit World(std::uint64_t seed) : rng_(seed) {}

  /// Nodes 1 to `count`, all voters of the first configuration.
  void AddCluster(int count, const CoreSettings& settings);
  /// The configuration that all logs begin with.
  void SetFirst(Configuration members) { first_ = std::move(members); }
  /// Told of all effects, right behind the step, with the number of the node.
  void Listen(std::function<void(int, const Effects&)> listener) {
    listener_ = std::move(listener);
  }
  /// A node that belongs to nobody yet.
  void AddNode(int id, const CoreSettings& settings);
  static ServerUid UidOf(int id);

  Node& node(int id) { return nodes_.at(id); }
  std::map<int, Node>& nodes() { return nodes_; }
  std::deque<Wire>& wires() { return wires_; }
  Rng& rng() { return rng_; }
  /// Id of who leads in the highest term, 0 if nobody does.
  int Leader() const;

  void Step(int id, EventBody body);
  void Propose(int id, std::uint64_t ticket, std::uint64_t count = 1);
  /// Advances the clock of a node and ticks it if that is due.
  void Advance(int id, Microseconds by);
  /// Lets the oldest `count` operations on a node's disk end, and tells its core.
  void EndStores(int id, std::size_t count);
  void Deliver(std::size_t position, bool keep);
  void Drop(std::size_t position);
  /// The sender's host sends only the first `entries` of that message, as when they are too large
  /// for one.
  void Trim(std::size_t position, std::uint64_t entries);
  /// Keeps the oldest `kept` operations that were on their way; what the WAL had written beyond
  /// that is gone.
  void Crash(int id, std::size_t kept);
  void Restart(int id);
  /// The snapshot that it was sent is all there, and durable.
  void EndInstall(int id);

  /// Raft's properties over all that was ever seen; aborts the test with what it found (Raft figure
  /// 3).
  void Check();
  std::uint64_t commits() const { return committed_.size(); }
  std::uint64_t elections() const { return leaders_.size(); }
  std::uint64_t overwritten() const { return overwritten_; }

 private:
  void Execute(Node& node, const Effects& effects, const Wire* wire);
  void NoteCommitted(Node& node, IndexRange range);
  std::vector<Cell> CellsOf(const Node& node, const Message& message) const;
  void StartSnapshot(const Node& node, const SendSnapshot& send);
  void BeginAnew(Node& node, const Effects& effects);

  Rng rng_;
  std::map<int, Node> nodes_;
  std::deque<Wire> wires_;
  std::map<Term, ServerUid> leaders_;
  std::map<Index, Cell> committed_;
  std::uint64_t values_ = 0;
  std::uint64_t overwritten_ = 0;
  Configuration first_;
  std::function<void(int, const Effects&)> listener_;
};

/// Ids of tests stand in the last byte of a uid.
int IdOf(const ServerUid& uid);

}  // namespace duramen::core
