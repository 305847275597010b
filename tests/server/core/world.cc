#include "tests/server/core/world.h"

#include <algorithm>

#include "base/check.h"

namespace duramen::core {

constexpr ClusterId kCluster = 7;

ServerUid World::UidOf(int id) {
  ServerUid uid;
  uid.bytes.back() = static_cast<std::uint8_t>(id);
  return uid;
}

int IdOf(const ServerUid& uid) { return uid.bytes.back(); }

void World::AddCluster(int count, const CoreSettings& settings) {
  for (int id = 1; id <= count; ++id) first_ = first_.With({.uid = UidOf(id)});
  for (int id = 1; id <= count; ++id) AddNode(id, settings);
}

void World::AddNode(int id, const CoreSettings& settings) {
  Node& node = nodes_[id];
  node.uid = UidOf(id);
  node.settings = settings;
  node.seed = rng_.Next();
  node.base.configuration = first_;
  Restart(id);
}

int World::Leader() const {
  int found = 0;
  Term highest = 0;
  for (const auto& [id, node] : nodes_) {
    if (!node.core || node.core->role_kind() != RoleKind::kLeader || node.core->term() < highest)
      continue;
    found = id;
    highest = node.core->term();
  }
  return found;
}

void World::Restart(int id) {
  Node& node = nodes_.at(id);
  CHECK(!node.core);
  if (node.hole != 0 && node.hole < node.disk_tape.end()) {
    // Recovery ends before the hole. What lies behind it is kept; nobody here looks at it.
    node.disk_tape.cells.resize(node.hole - node.disk_tape.begin);
    std::erase_if(node.disk_specials,
                  [&](const SpecialEntry& entry) { return entry.index >= node.hole; });
  }
  node.hole = 0;
  CoreStart start{.cluster = kCluster,
                  .uid = node.uid,
                  .boot = ++node.boot,
                  .state = node.disk_state,
                  .log = TermMap(node.disk_tape.begin, node.disk_tape.term_before),
                  .vote_lost = node.vote_lost};
  start.specials = SpecialHistory(node.base);
  for (const Cell& cell : node.disk_tape.cells) start.log.Append({cell.term, 1});
  for (const SpecialEntry& special : node.disk_specials) start.specials.Append(special);
  start.written = node.disk_tape.end() - 1;
  start.commit = start.applied = std::min(node.disk_applied, start.written);
  start.seed = node.seed + node.boot;
  start.now = node.now;
  start.settings = node.settings;
  node.tape = node.disk_tape;
  node.applied = start.applied;
  node.core = std::make_unique<Core>(std::move(start));
}

void World::Crash(int id, std::size_t kept) {
  Node& node = nodes_.at(id);
  CHECK(node.core);
  node.core.reset();  // Whatever ends now is told to nobody.
  EndStores(id, std::min(kept, node.on_the_way.size()));
  node.on_the_way.clear();
  node.reads.clear();
  node.replies.clear();
  node.installing.reset();
}

void World::EndStores(int id, std::size_t count) {
  Node& node = nodes_.at(id);
  for (; count > 0 && !node.on_the_way.empty(); --count) {
    const StoreOperation operation = std::move(node.on_the_way.front());
    node.on_the_way.pop_front();
    if (operation.store) node.disk_state = operation.store->state;
    if (operation.truncate) {
      if (*operation.truncate <= node.hole) node.hole = 0;
      node.disk_tape.cells.resize(*operation.truncate - node.disk_tape.begin);
      std::erase_if(node.disk_specials,
                    [&](const SpecialEntry& entry) { return entry.index >= *operation.truncate; });
    }
    node.disk_tape.cells.insert(node.disk_tape.cells.end(), operation.cells.begin(),
                                operation.cells.end());
    node.disk_specials.insert(node.disk_specials.end(), operation.specials.begin(),
                              operation.specials.end());
    if (!node.core) continue;
    if (operation.store) Step(id, Stored{operation.store->sequence});
    if (operation.truncate || !operation.cells.empty()) {
      Step(id, WrittenUpTo{.epoch = operation.epoch, .end = operation.end});
    }
  }
}

void World::Step(int id, EventBody body) {
  Node& node = nodes_.at(id);
  if (!node.core) return;
  Effects effects;
  node.core->Step({.now = node.now, .body = std::move(body)}, effects);
  Execute(node, effects, nullptr);
}

void World::Propose(int id, std::uint64_t ticket, std::uint64_t count) {
  Step(id, core::Propose{.ticket = ticket, .count = count});
}

void World::Advance(int id, Microseconds by) {
  Node& node = nodes_.at(id);
  node.now += by;
  if (!node.core) return;
  const std::optional<Microseconds> due = node.core->next_deadline();
  if (due && *due <= node.now) Step(id, Tick{});
}

void World::Drop(std::size_t position) {
  wires_.erase(wires_.begin() + static_cast<std::ptrdiff_t>(position));
}

void World::Trim(std::size_t position, std::uint64_t entries) {
  Wire& wire = wires_.at(position);
  AppendEntries& append = std::get<AppendEntries>(wire.message.body);
  const Index end = append.previous.index + 1 + entries;
  CHECK(end <= append.end());
  wire.cells.resize(entries);
  std::erase_if(append.specials, [&](const SpecialEntry& entry) { return entry.index >= end; });
  append.runs.clear();
  for (const Cell& cell : wire.cells) append.runs.push_back({cell.term, 1});
  Step(IdOf(wire.message.from), SentUpTo{.peer = wire.message.to, .end = end});
}

void World::Deliver(std::size_t position, bool keep) {
  const Wire wire = wires_.at(position);
  if (!keep) Drop(position);
  const auto to = nodes_.find(IdOf(wire.message.to));
  if (to == nodes_.end() || !to->second.core) return;
  Effects effects;
  to->second.core->Step({.now = to->second.now, .body = wire.message}, effects);
  Execute(to->second, effects, &wire);
}

std::vector<Cell> World::CellsOf(const Node& node, const Message& message) const {
  const AppendEntries* append = std::get_if<AppendEntries>(&message.body);
  std::vector<Cell> cells;
  if (append == nullptr) return cells;
  for (Index at = append->previous.index + 1; at < append->end(); ++at)
    cells.push_back(node.tape.At(at));
  return cells;
}

/// The first words of a snapshot at what is applied; that is all that travels here.
void World::StartSnapshot(const Node& node, const SendSnapshot& send) {
  const Core& core = *node.core;
  const SpecialHistory& specials = core.specials();
  InstallSnapshot snapshot{.last = {*core.log().TermAt(node.applied), node.applied},
                           .transfer = send.transfer};
  snapshot.base = {.index = std::min(specials.configuration_index(), node.applied),
                   .configuration = specials.ConfigurationAt(node.applied),
                   .machine_version = specials.MachineVersionAt(node.applied)};
  wires_.push_back({{.cluster = kCluster,
                     .from = node.uid,
                     .to = send.peer,
                     .boot = node.boot,
                     .term = core.term(),
                     .body = snapshot},
                    {}});
}

void World::BeginAnew(Node& node, const Effects& effects) {
  node.tape = Tape{.begin = effects.reset_to.index + 1, .term_before = effects.reset_to.term};
  node.disk_tape = node.tape;
  node.base = *effects.reset;
  node.disk_specials.clear();
}

void World::EndInstall(int id) {
  Node& node = nodes_.at(id);
  CHECK(node.core && node.installing);
  EndStores(id, node.on_the_way.size());
  const Installed installed = *node.installing;
  node.installing.reset();
  node.disk_applied = std::max(node.disk_applied, installed.snapshot.last.index);
  node.applied = std::max(node.applied, installed.snapshot.last.index);
  Step(id, installed);
}

void World::Execute(Node& node, const Effects& effects, const Wire* wire) {
  if (listener_) listener_(IdOf(node.uid), effects);
  if (effects.reset) BeginAnew(node, effects);
  if (effects.install) {
    const Message& message = wire->message;
    node.installing =
        Installed{.from = message.from, .term = message.term, .snapshot = *effects.install};
  }
  StoreOperation operation{.store = effects.store, .truncate = effects.truncate};
  if (effects.truncate) {
    overwritten_ += node.tape.end() - *effects.truncate;
    node.tape.cells.resize(*effects.truncate - node.tape.begin);
  }
  for (const Append& append : effects.append) {
    CHECK(append.begin == node.tape.end());
    for (std::uint64_t at = 0; at < append.run.count; ++at) {
      Cell cell{append.run.term, ++values_};
      if (append.from_message) {
        CHECK(wire != nullptr);
        const AppendEntries& entries = std::get<AppendEntries>(wire->message.body);
        cell = wire->cells.at(append.begin + at - entries.previous.index - 1);
        CHECK(cell.term == append.run.term);
      }
      node.tape.cells.push_back(cell);
      operation.cells.push_back(cell);
    }
  }
  if (!operation.cells.empty()) {
    const Index begin = node.tape.end() - operation.cells.size();
    operation.specials = node.core->specials().Within({begin, node.tape.end()});
  }
  operation.epoch = node.core->epoch();
  operation.end = node.tape.end();
  if (operation.store || operation.truncate || !operation.cells.empty()) {
    node.on_the_way.push_back(std::move(operation));
  }
  for (const Message& message : effects.send) wires_.push_back({message, CellsOf(node, message)});
  for (const SendSnapshot& send : effects.send_snapshot) StartSnapshot(node, send);
  for (const QueryReady& ready : effects.query) node.reads.push_back(ready.ticket);
  node.replies.insert(node.replies.end(), effects.reply.begin(), effects.reply.end());
  if (effects.apply.empty()) return;
  NoteCommitted(node, effects.apply);
  node.applied = effects.apply.end - 1;
  Step(IdOf(node.uid), AppliedUpTo{node.applied});
}

/// Whoever calls an entry committed, all others must call the same entry committed, for ever.
void World::NoteCommitted(Node& node, IndexRange range) {
  for (Index at = range.begin; at < range.end; ++at) {
    const auto [place, first] = committed_.try_emplace(at, node.tape.At(at));
    CHECK(first || place->second == node.tape.At(at));
  }
}

void World::Check() {
  for (auto& [id, node] : nodes_) {
    if (!node.core) continue;
    const Core& core = *node.core;
    core.CheckInvariants();
    CHECK(core.log().end() == node.tape.end());
    if (core.role_kind() != RoleKind::kLeader) continue;
    const auto [place, first] = leaders_.try_emplace(core.term(), core.uid());
    CHECK(place->second == core.uid());  // Election safety.
    if (!first) continue;
    for (const auto& [index, cell] : committed_) {
      if (cell.term >= core.term()) continue;
      if (index < node.tape.begin) continue;
      CHECK(index < node.tape.end() && node.tape.At(index) == cell);  // Leader completeness.
    }
  }
  // Log matching: where two logs have an entry of the same term, they are equal up to it.
  for (auto a = nodes_.begin(); a != nodes_.end(); ++a) {
    for (auto b = std::next(a); b != nodes_.end(); ++b) {
      bool below = false;  // an entry of equal term was seen, so all from here on is equal
      const Index begin = std::max(a->second.tape.begin, b->second.tape.begin);
      for (Index at = std::min(a->second.tape.end(), b->second.tape.end()); at-- > begin;) {
        const Cell& left = a->second.tape.At(at);
        const Cell& right = b->second.tape.At(at);
        below = below || left.term == right.term;
        CHECK(!below || left == right);
      }
    }
  }
}

}  // namespace duramen::core
