#include "tests/server/core/transcript.h"

#include <algorithm>
#include <sstream>

#include "base/check.h"
#include "tests/server/core/words.h"

namespace duramen::core {
namespace {

std::vector<std::string> Split(const std::string& text, char by) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, by);) {
    if (!part.empty()) parts.push_back(part);
  }
  return parts;
}

/// "4", "4?" (promotable), "4-" (non-voter).
Member MemberOf(const std::string& word) {
  Member member{.uid = World::UidOf(std::stoi(word))};
  if (word.back() == '?') member.role = MemberRole::kPromotable;
  if (word.back() == '-') member.role = MemberRole::kNonVoter;
  return member;
}

Configuration MembersOf(const std::vector<std::string>& words) {
  Configuration members;
  for (const std::string& word : words) members = members.With(MemberOf(word));
  return members;
}

/// "8" or "8..10", the last included.
Fault FaultOf(const std::string& text) {
  const std::size_t dots = text.find("..");
  Fault fault{.from = std::stoull(text)};
  if (dots != std::string::npos) fault.to = std::stoull(text.substr(dots + 2)) + 1;
  return fault;
}

/// "1..3@1,4@2". Equal index and term means equal entries, as Raft has it.
std::vector<Cell> CellsOf(const std::string& text) {
  std::vector<Cell> cells;
  for (const std::string& run : Split(text, ',')) {
    const std::size_t dots = run.find("..");
    const std::uint64_t first = std::stoull(run);
    const std::uint64_t last =
        dots == std::string::npos ? first : std::stoull(run.substr(dots + 2));
    const Term term = std::stoull(run.substr(run.find('@') + 1));
    CHECK(first == cells.size() + 1);
    for (std::uint64_t at = first; at <= last; ++at)
      cells.push_back({term, (1ULL << 40) + term * 1000 + at});
  }
  return cells;
}

}  // namespace

Command Command::Parse(const std::string& line) {
  Command command;
  for (const std::string& part : Split(line, ' ')) {
    const std::size_t equals = part.find('=');
    if (command.verb.empty()) {
      command.verb = part;
    } else if (equals == std::string::npos) {
      command.words.push_back(part);
    } else {
      command.named[part.substr(0, equals)] = part.substr(equals + 1);
    }
  }
  return command;
}

std::string Command::Named(const std::string& name, const std::string& otherwise) const {
  const auto found = named.find(name);
  return found == named.end() ? otherwise : found->second;
}

std::uint64_t Command::Number(const std::string& name, std::uint64_t otherwise) const {
  const auto found = named.find(name);
  return found == named.end() ? otherwise : std::stoull(found->second);
}

int Command::Id(std::size_t at) const { return std::stoi(words.at(at)); }

Transcript::Transcript() {
  settings_ = {.election_timeout_min = 100, .election_timeout_max = 200, .heartbeat_interval = 30};
  settings_.quiet_when_idle = false;
  world_.Listen([this](int id, const Effects& effects) { Hear(id, effects); });
}

const std::map<std::string, Transcript::Verb>& Transcript::Verbs() {
  static const std::map<std::string, Verb> verbs = {{"members", &Transcript::Members},
                                                    {"start", &Transcript::Start},
                                                    {"crash", &Transcript::Crash},
                                                    {"restart", &Transcript::Restart},
                                                    {"status", &Transcript::Status},
                                                    {"pass", &Transcript::Pass},
                                                    {"tick", &Transcript::Tick},
                                                    {"elect", &Transcript::Elect},
                                                    {"settle", &Transcript::Settle},
                                                    {"deliver", &Transcript::Deliver},
                                                    {"lose", &Transcript::Lose},
                                                    {"trim", &Transcript::Trim},
                                                    {"duplicate", &Transcript::Duplicate},
                                                    {"cut", &Transcript::Cut},
                                                    {"mend", &Transcript::Mend},
                                                    {"disk", &Transcript::Disk},
                                                    {"install", &Transcript::Install},
                                                    {"propose", &Transcript::Ask},
                                                    {"add", &Transcript::Ask},
                                                    {"remove", &Transcript::Ask},
                                                    {"transfer", &Transcript::Ask},
                                                    {"query", &Transcript::Ask},
                                                    {"lease", &Transcript::Ask},
                                                    {"force", &Transcript::Ask},
                                                    {"trigger", &Transcript::Tell},
                                                    {"node-down", &Transcript::Tell},
                                                    {"node-up", &Transcript::Tell},
                                                    {"wal-down", &Transcript::Tell},
                                                    {"wal-up", &Transcript::Tell},
                                                    {"damaged", &Transcript::Tell},
                                                    {"compact", &Transcript::Tell},
                                                    {"full", &Transcript::Tell},
                                                    {"room", &Transcript::Tell},
                                                    {"sent", &Transcript::Tell}};
  return verbs;
}

std::string Transcript::Play(const std::string& text) {
  std::istringstream in(text);
  std::string page;
  std::vector<std::string> commands;
  bool output = false;
  for (std::string line; std::getline(in, line);) {
    if (output) {
      if (!line.empty()) continue;
      output = false;
      page += "\n";
    } else if (line == "----") {
      page += "----\n" + Block(commands);
      commands.clear();
      output = true;
    } else {
      page += line + "\n";
      if (!line.empty() && line.front() != '#') commands.push_back(line);
    }
  }
  return page;
}

std::string Transcript::Block(const std::vector<std::string>& commands) {
  out_.clear();
  for (const std::string& line : commands) {
    const Command command = Command::Parse(line);
    const auto verb = Verbs().find(command.verb);
    if (verb == Verbs().end()) {
      out_ += "no such command: " + line + "\n";
      continue;
    }
    (this->*verb->second)(command);
    world_.Check();
  }
  return out_.empty() ? "ok\n" : out_;
}

std::vector<int> Transcript::Ids(const Command& command) {
  std::vector<int> ids;
  for (const std::string& word : command.words) {
    if (word != "all") ids.push_back(std::stoi(word));
  }
  if (!ids.empty()) return ids;
  for (const auto& [id, node] : world_.nodes()) ids.push_back(id);
  return ids;
}

void Transcript::Say(int id, const std::string& what) {
  out_ += indent_ + std::to_string(id) + " " + what + "\n";
}

void Transcript::Hear(int id, const Effects& effects) {
  const Core& core = *world_.node(id).core;
  const std::string role = RoleInWords(core);
  if (role != roles_[id]) Say(id, "is " + role);
  roles_[id] = role;
  for (const std::string& words : EffectsInWords(effects)) {
    const bool matters = words.starts_with("cuts") || words.starts_with("applies") ||
                         words.starts_with("answers") || words.starts_with("is") ||
                         words.starts_with("begins");
    if (matters || !terse_) Say(id, words);
  }
}

// ---- who is there ----

void Transcript::Members(const Command& command) {
  world_.SetFirst(MembersOf(command.words));
  settings_.quiet_when_idle = command.Named("quiet") == "yes";
  settings_.clock_drift_margin = command.Number("margin", 0);
  settings_.min_quorum = command.Number("min-quorum", 0);
  settings_.pipeline_entries_max = command.Number("pipeline", 4096);
  settings_.append_entries_max = command.Number("batch", 128);
  settings_.upgrade_by_quorum = command.Named("upgrade") == "quorum";
}

void Transcript::Start(const Command& command) {
  for (const int id : Ids(command)) {
    CoreSettings settings = settings_;
    settings.machine_version = static_cast<std::uint32_t>(command.Number("version", 0));
    world_.AddNode(id, settings);
    world_.Crash(id, 0);
    Node& node = world_.node(id);
    node.boot = 0;
    node.disk_state.term = command.Number("term", 0);
    const std::uint64_t vote = command.Number("voted", 0);
    if (vote != 0) node.disk_state.voted_for = World::UidOf(static_cast<int>(vote));
    node.disk_tape.cells = CellsOf(command.Named("log"));
    node.disk_applied = command.Number("commit", 0);
    Command restart = command;  // with its damage
    restart.words = {std::to_string(id)};
    Restart(restart);
  }
}

void Transcript::Crash(const Command& command) {
  const int id = command.Id(0);
  world_.Crash(id, command.Number("kept", 0));
  roles_[id] = "gone";
  Say(id, "is gone");
}

void Transcript::Restart(const Command& command) {
  for (const int id : Ids(command)) {
    Node& node = world_.node(id);
    if (command.named.count("faulty") != 0) {
      node.disk_state.fault = FaultOf(command.Named("faulty"));
      const Index end = std::min(node.disk_tape.end(), node.disk_state.fault->from);
      node.disk_tape.cells.resize(end - node.disk_tape.begin);
      std::erase_if(node.disk_specials,
                    [&](const SpecialEntry& entry) { return entry.index >= end; });
    }
    if (command.named.count("short") != 0) {
      node.disk_tape.cells.resize(command.Number("short", 0));
    }
    node.vote_lost = node.vote_lost || command.Named("vote") == "lost";
    if (command.Named("disk") == "wiped") {
      node.disk_state = {};
      node.disk_tape = {};
      node.disk_specials.clear();
      node.disk_applied = 0;
    }
    world_.Restart(id);
    roles_[id] = RoleInWords(*node.core);
    const std::string boot = node.boot == 1 ? "" : ", boot " + std::to_string(node.boot);
    Say(id, "starts as " + roles_[id] + boot);
  }
}

void Transcript::Status(const Command& command) {
  for (const int id : Ids(command)) {
    const Node& node = world_.node(id);
    if (!node.core) {
      Say(id, "down");
      continue;
    }
    const Core& core = *node.core;
    std::string words = RoleInWords(core) + ", log " + LogInWords(core.log()) + ", commit " +
                        std::to_string(core.commit());
    if (core.written() < core.log().last().index)
      words += ", written " + std::to_string(core.written());
    if (core.state().fault) words += ", faulty " + FaultInWords(*core.state().fault);
    if (core.standing() == Standing::kVoteLost) words += ", vote lost";
    if (command.Named("members") == "yes")
      words += ", members " + MembersInWords(core.configuration());
    if (const Leader* leader = std::get_if<Leader>(&core.role())) {
      words += ", match";
      for (const auto& [uid, peer] : leader->peers)
        words += " " + std::to_string(IdOf(uid)) + ":" + std::to_string(peer.match);
    }
    Say(id, words);
  }
}

// ---- time ----

/// Clocks move, and nobody looks at them.
void Transcript::Pass(const Command& command) {
  Command who = command;
  const std::uint64_t time = std::stoull(who.words.back());
  who.words.pop_back();
  for (const int id : Ids(who)) world_.node(id).now += time;
}

/// The time of a server until its next deadline runs out.
void Transcript::Tick(const Command& command) {
  for (const int id : Ids(command)) {
    Node& node = world_.node(id);
    const auto due = node.core->next_deadline();
    if (!due) {
      Say(id, "waits for no time");
      continue;
    }
    world_.Advance(id, *due > node.now ? *due - node.now : 0);
  }
}

/// Long silence, then the first to notice it.
void Transcript::Elect(const Command& command) {
  for (auto& [id, node] : world_.nodes()) node.now += settings_.election_timeout_max;
  terse_ = true;
  Command candidate = command;
  candidate.words = {command.words.at(0)};
  Tick(candidate);
  terse_ = false;
  Command among;
  among.words = Split(command.Named("by"), ',');
  Settle(among);
}

void Transcript::SettleOnce(const std::vector<int>& among) {
  const auto in = [&](int id) { return std::find(among.begin(), among.end(), id) != among.end(); };
  for (const int id : among) world_.EndStores(id, 1000);
  for (std::size_t at = 0, left = world_.wires().size(); left > 0; --left) {
    const Wire& wire = world_.wires().at(at);
    const std::pair<int, int> way = {IdOf(wire.message.from), IdOf(wire.message.to)};
    if (!in(way.first) || !in(way.second)) {
      ++at;
    } else if (std::find(cut_.begin(), cut_.end(), way) != cut_.end()) {
      world_.Drop(at);
    } else {
      world_.Deliver(at, false);
    }
  }
}

/// Disks and the network do their work among some until there is none, or for a time.
void Transcript::Settle(const Command& command) {
  const std::vector<int> among = Ids(command);
  terse_ = command.Named("words") != "all";
  constexpr std::uint64_t kStep = 10;
  for (std::uint64_t left = command.Number("for", 0) + kStep; left >= kStep; left -= kStep) {
    for (int round = 0; round < 50; ++round) SettleOnce(among);
    if (left < 2 * kStep) break;
    for (const int id : among) world_.Advance(id, kStep);
  }
  terse_ = false;
}

// ---- network and disks ----

bool Transcript::Selects(const Command& command, const Wire& wire) const {
  const auto is = [&](const char* name, int id) {
    return command.named.count(name) == 0 || std::stoi(command.Named(name)) == id;
  };
  const std::pair<int, int> way = {IdOf(wire.message.from), IdOf(wire.message.to)};
  if (std::find(cut_.begin(), cut_.end(), way) != cut_.end()) return false;
  const std::string type(NameOfMessage(wire.message.body.index()));
  return is("from", way.first) && is("to", way.second) && command.Named("type", type) == type;
}

/// What is on its way now, oldest first; not what comes of it.
void Transcript::Deliver(const Command& command, bool keep) {
  std::uint64_t count = command.Number("n", 1000);
  bool any = false;
  for (std::size_t at = 0, left = world_.wires().size(); left > 0 && count > 0; --left) {
    const Wire wire = world_.wires().at(at);
    if (!Selects(command, wire)) {
      ++at;
      continue;
    }
    any = true;
    --count;
    const int to = IdOf(wire.message.to);
    if (command.Named("words") == "few") {
      terse_ = true;
    } else {
      Say(to,
          "hears " + std::to_string(IdOf(wire.message.from)) + ": " + MessageInWords(wire.message));
      indent_ = "  ";
    }
    world_.Deliver(at, keep);
    indent_.clear();
    terse_ = false;
    if (keep) ++at;
  }
  if (!any) out_ += "nothing is on its way\n";
}

void Transcript::Deliver(const Command& command) { Deliver(command, false); }
void Transcript::Duplicate(const Command& command) { Deliver(command, true); }

void Transcript::Lose(const Command& command) {
  std::uint64_t count = command.Number("n", 1000);
  for (std::size_t at = 0; at < world_.wires().size() && count > 0;) {
    const Wire& wire = world_.wires().at(at);
    if (!Selects(command, wire)) {
      ++at;
      continue;
    }
    world_.Drop(at);
    --count;
  }
}

void Transcript::Trim(const Command& command) {
  for (std::size_t at = 0; at < world_.wires().size(); ++at) {
    if (Selects(command, world_.wires().at(at))) {
      return world_.Trim(at, command.Number("entries", 0));
    }
  }
}

/// "1>2" one way, "1-2" both; "1" from and to everybody.
void Transcript::Cut(const Command& command) {
  for (const std::string& word : command.words) {
    const int one = std::stoi(word);
    const std::size_t sign = word.find_first_of("->");
    for (const auto& [id, node] : world_.nodes()) {
      if (sign != std::string::npos && std::stoi(word.substr(sign + 1)) != id) continue;
      cut_.emplace_back(one, id);
      if (sign == std::string::npos || word[sign] == '-') cut_.emplace_back(id, one);
    }
  }
}

void Transcript::Mend(const Command&) { cut_.clear(); }

void Transcript::Disk(const Command& command) {
  for (const int id : Ids(command)) {
    std::size_t count =
        std::min(command.Number("n", 1000), std::uint64_t{world_.node(id).on_the_way.size()});
    for (; count > 0; --count) {
      const StoreOperation& operation = world_.node(id).on_the_way.front();
      std::string what = "has on disk:";
      if (operation.store) what += " term " + std::to_string(operation.store->state.term);
      if (operation.truncate) what += " the cut";
      if (!operation.cells.empty()) what += " its log up to " + std::to_string(operation.end - 1);
      Say(id, what);
      indent_ = "  ";
      world_.EndStores(id, 1);
      indent_.clear();
    }
  }
}

void Transcript::Install(const Command& command) { world_.EndInstall(command.Id(0)); }

// ---- callers and the outside ----

void Transcript::Ask(const Command& command) {
  const std::uint64_t ticket = ++tickets_;
  const int id = command.Id(0);
  const std::string& verb = command.verb;
  terse_ = command.Named("words") == "few";
  if (verb == "propose") {
    world_.Propose(id, ticket, command.Number("n", 1));
  } else if (verb == "add" || verb == "remove") {
    Change change{.ticket = ticket, .member = MemberOf(command.words.at(1))};
    if (verb == "remove") change.kind = Change::Kind::kRemove;
    if (command.named.count("expect") != 0) change.expected_index = command.Number("expect", 0);
    world_.Step(id, change);
  } else if (verb == "transfer") {
    const bool cancel = command.words.at(1) == "cancel";
    world_.Step(id, Transfer{.ticket = ticket,
                             .target = cancel ? ServerUid{} : World::UidOf(command.Id(1))});
  } else if (verb == "force") {
    std::vector<std::string> members(command.words.begin() + 1, command.words.end());
    world_.Step(id, ForceConfiguration{.ticket = ticket, .configuration = MembersOf(members)});
  } else {
    world_.Step(id,
                Query{.ticket = ticket,
                      .kind = verb == "lease" ? Query::Kind::kLease : Query::Kind::kConsistent});
  }
  terse_ = false;
}

void Transcript::Tell(const Command& command) {
  const int id = command.Id(0);
  const std::string& verb = command.verb;
  const auto peer = [&] { return World::UidOf(command.Id(1)); };
  const auto index = [&] { return std::stoull(command.words.at(1)); };
  if (verb == "trigger") return world_.Step(id, TriggerElection{});
  if (verb == "node-down") return world_.Step(id, PeerDown{peer()});
  if (verb == "node-up") return world_.Step(id, PeerUp{peer(), world_.node(command.Id(1)).boot});
  if (verb == "wal-down") return world_.Step(id, WalDown{});
  if (verb == "wal-up") return world_.Step(id, WalUp{});
  if (verb == "compact") return world_.Step(id, Compacted{index()});
  if (verb == "full") return world_.Step(id, PeerFlow{peer(), false});
  if (verb == "room") return world_.Step(id, PeerFlow{peer(), true});
  if (verb == "sent") return world_.Step(id, SentUpTo{peer(), command.Number("below", 0)});
  CHECK(verb == "damaged");
  Node& node = world_.node(id);
  const Fault fault = FaultOf(command.words.at(1));
  node.hole = node.hole == 0 ? fault.from : std::min(node.hole, fault.from);
  world_.Step(id, Damaged{fault.from, fault.to});
  node.tape.cells.resize(std::min(node.tape.end(), fault.from) - node.tape.begin);
}

}  // namespace duramen::core
