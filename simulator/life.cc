// How nodes and clusters come to be, die, and come back.
#include <algorithm>

#include "base/check.h"
#include "simulator/world.h"

namespace duramen::simulator {
namespace {

/// What a node may take to come back: as long as a supervisor would wait.
const ServerUid kLastUid{
    {255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255}};
constexpr Moment kRestartMost = 3 * kSecond;
constexpr std::uint64_t kOperationsOfASalvage = 150;

}  // namespace

core::CoreSettings World::CoreSettingsOf() const {
  core::CoreSettings settings;
  settings.append_entries_max = settings_.append_max;
  settings.pipeline_entries_max = settings_.pipeline_max;
  settings.clock_drift_margin = settings_.lease_margin_ms * 1000;
  settings.quiet_when_idle = settings_.quiet != 0;
  return settings;
}

/// Nodes, clusters and their first members, before there is any trouble.
void World::Found() {
  for (std::uint32_t number = 0; number < settings_.nodes; ++number) {
    const double speed =
        settings_.drift == 0 ? 1.0 : 0.5 + static_cast<double>(rng_.Below(1500)) / 1000.0;
    nodes_.push_back(std::make_unique<Node>(number, LocalClock(speed), Rng(rng_.Next())));
    const Status started = nodes_.back()->Start(executor_, clock_, settings_, {});
    if (!started.ok())
      return referee_.Fail("a new node does not start: " + started.error().message);
  }
  MakeScribes();
  clusters_.resize(settings_.AllClusters());
  for (std::uint32_t number = 0; number < clusters_.size(); ++number) {
    Cluster& cluster = clusters_[number];
    cluster.birth.cluster = rng_.Next();
    const std::uint32_t first = static_cast<std::uint32_t>(rng_.Below(nodes_.size()));
    std::vector<Node*> homes;
    for (std::uint32_t member = 0; member < settings_.members; ++member) {
      homes.push_back(nodes_[(first + member) % nodes_.size()].get());
    }
    for (Node* node : homes) {
      const Result<ServerUid> uid =
          server::Replica::Register(
          node->store(), node->WriterOf(NameFor(number, *node)), NameFor(number, *node));
      CHECK(uid.ok());
      cluster.birth.configuration = cluster.birth.configuration.With({.uid = *uid});
    }
    referee_.OnFound(number, cluster.birth.configuration);
    for (Node* node : homes) CHECK(Populate(*node, number, NameFor(number, *node)));
  }
  // A promise to found a cluster is kept once it is durable.
  for (const std::unique_ptr<Node>& node : nodes_) {
    for (Writer& writer : node->writers()) {
      const Result<Ticket> last = writer.Append({});
      CHECK(last.ok() && writer.Wait(*last, Deadline::max()).ok());
    }
  }
  PumpStorage();
}

/// Of a log: the cluster, the node, and which server of it there.
std::string World::NameFor(std::uint32_t cluster, const Node& node) const {
  return "c" + std::to_string(cluster) + "-n" + std::to_string(node.number()) + "-" +
         std::to_string(clusters_[cluster].incarnations);
}

/// A server of `cluster` on the node, under a log that is there or is made; false if the store does
/// not take it now.
bool World::Populate(Node& node, std::uint32_t number, const std::string& name) {
  Cluster& cluster = clusters_[number];
  Writer& writer = node.WriterOf(name);
  const Result<ServerUid> uid = server::Replica::Register(node.store(), writer, name);
  if (!uid.ok()) return false;
  if (!server::Replica::Christen(node.store(), writer, name, cluster.birth).ok()) return false;
  addresses_[*uid] = {number, node.number()};
  std::erase_if(node.residents(), [&](const Resident& other) { return other.cluster == number; });
  node.residents().push_back({.cluster = number, .name = name, .uid = *uid});
  Resident& resident = node.residents().back();
  resident.machine = std::make_unique<Machine>(number, referee_);
  Result<std::unique_ptr<server::Replica>> replica = server::Replica::Start(
      {node.store(), writer, *this, *resident.machine}, {.name = name,
                                                         .boot = node.boot(),
                                                         .seed = rng_.Next(),
                                                         .now = node.clock().At(now()),
                                                         .settings = CoreSettingsOf()});
  if (!replica.ok()) {
    node.residents().pop_back();
    return false;
  }
  resident.replica = std::move(replica).value();
  ForgetOthers(resident.uid);
  referee_.OnStart(*resident.replica);
  Reschedule(node, resident);
  return true;
}

/// What a server that starts has heard of the others: nothing.
void World::ForgetOthers(const ServerUid& uid) {
  known_.erase(known_.lower_bound({uid, ServerUid{}}), known_.upper_bound({uid, kLastUid}));
}

void World::CrashNode(Node& node, bool power_lost) {
  for (const Resident& resident : node.residents()) {
    if (resident.replica) referee_.OnCrash(*resident.replica);
  }
  if (!scribes_.empty()) scribes_[node.number()].OnCrash(node);
  node.Crash(power_lost);
  In(kMillisecond + static_cast<Moment>(rng_.Below(kRestartMost)),
     [this, number = node.number()] { StartNode(number); });
}

void World::StartNode(std::uint32_t number) {
  Node& node = *nodes_[number];
  if (node.is_up()) return;
  Visit visit = VisitNode(node);
  node.may_slip = !touched_.contains(number);
  if (IsStillborn(node)) return;
  Status started = node.Start(executor_, clock_, settings_, {});
  if (!started.ok() && touched_.contains(number)) {
    visit.made = false;
    started = Rescue(node);
  }
  if (!started.ok()) {
    return referee_.Fail("node " + std::to_string(number) +
                         " does not start: " + started.error().message);
  }
  CheckVisit(node, visit);
  StartServers(node);
}

/// Of one that died in a start: what it had under way is done or not, or the power went with it.
void World::SettleDisk(Node& node) {
  if (rng_.OneIn(2)) {
    LosePowerOf(node.disk(), rng_);
  } else {
    node.disk().SettleFlight(rng_.Next());
  }
}

/// True: its start was killed, and there will be another one.
bool World::IsStillborn(Node& node) {
  constexpr std::uint64_t kOperations = 80;
  // Of two such starts in a row the store may think that a log is to blame [B9].
  if (settings_.stillborn == 0 || node.died_in_start() || !rng_.OneIn(settings_.stillborn)) {
    return false;
  }
  node.DieInStart(rng_.Below(kOperations));
  const Status started = node.Start(executor_, clock_, settings_, {});
  if (!started.ok() && !node.died_in_start()) return false;  // Whoever tries again is told, too.
  if (started.ok()) {
    node.Crash(false);
  } else {
    SettleDisk(node);
  }
  ++tally_.kills;
  Tell("node " + std::to_string(node.number()) + " is killed as it starts");
  In(kMillisecond + static_cast<Moment>(rng_.Below(kRestartMost)),
     [this, number = node.number()] { StartNode(number); });
  return true;
}

void World::StartServers(Node& node) {
  if (!TellScribe(node)) return;
  std::vector<std::string> faulty;
  for (const LogInfo& info : node.store().Logs()) {
    if (info.faulty && node.store().FaultOf(info.log)->vote_lost) faulty.push_back(info.name);
  }
  if (!faulty.empty()) return Salvage(node, std::move(faulty));
  std::vector<std::uint32_t> unreadable;
  for (Resident& resident : node.residents()) {
    resident.machine = std::make_unique<Machine>(resident.cluster, referee_);
    Writer& writer = node.WriterOf(resident.name);
    Result<std::unique_ptr<server::Replica>> replica = server::Replica::Start(
        {node.store(), writer, *this, *resident.machine}, {.name = resident.name,
                                                           .boot = node.boot(),
                                                           .seed = rng_.Next(),
                                                           .now = node.clock().At(now()),
                                                           .settings = CoreSettingsOf()});
    if (!replica.ok()) {
      // One that came to be just before the crash may be gone: it had not said anything yet.
      const bool never_was = replica.error().code == ErrorCode::kNotFound;
      if (!never_was && tally_.rotten_bytes + tally_.wiped == 0) {
        return referee_.Fail("node " + std::to_string(node.number()) + ": server " + resident.name +
                             " does not start: " + replica.error().message);
      }
      unreadable.push_back(resident.cluster);
      continue;
    }
    resident.replica = std::move(replica).value();
    ForgetOthers(resident.uid);
    referee_.OnStart(*resident.replica);
    Reschedule(node, resident);
  }
  TellStart(node);
  for (const std::uint32_t cluster : unreadable) Replace(node, *node.Find(cluster));
  for (const Resident& resident : node.residents()) {
    // A start reads all that there is.
    clusters_[resident.cluster].latent.erase(resident.uid);
    if (!resident.replica) continue;
    // It was sound for a moment, and nothing durable said so yet.
    const core::Configuration* settled = referee_.Settled(resident.cluster);
    const bool member = settled == nullptr || settled->Find(resident.uid) != nullptr;
    if (member && resident.replica->core().standing() != core::Standing::kSound)
      clusters_[resident.cluster].endangered.insert(resident.uid);
    NoteStanding(resident);
  }
}

/// A16: who leads was elected by servers that had promised nothing any more to whoever led before.
void World::CheckLeases(const Node& home, const Resident& leader) {
  const Term term = leader.replica->core().term();
  for (const std::unique_ptr<Node>& node : nodes_) {
    const Resident* other = node->is_up() ? node->Find(leader.cluster) : nullptr;
    if (other == nullptr || other == &leader || !other->replica) continue;
    const core::Core& core = other->replica->core();
    if (core.term() >= term || !core.HoldsLease(node->clock().At(now()))) continue;
    return referee_.Fail("cluster " + std::to_string(leader.cluster) + ": node " +
                         std::to_string(home.number()) + " leads in term " + std::to_string(term) +
                         " while node " + std::to_string(node->number()) +
                         " holds its lease of term " + std::to_string(core.term()));
  }
}

/// Whether no member still lacks what it once acknowledged.
bool World::AllSound() {
  for (std::uint32_t number = 0; number < clusters_.size(); ++number) {
    Node* home = nullptr;
    const Resident* leader = LeaderOf(number, &home);
    if (leader == nullptr) return false;
    const core::Configuration& configuration = leader->replica->core().configuration();
    for (const std::unique_ptr<Node>& node : nodes_) {
      const Resident* resident = node->is_up() ? node->Find(number) : nullptr;
      if (resident == nullptr || !resident->replica) continue;
      const core::Core& core = resident->replica->core();
      if (core.standing() == core::Standing::kFaulty && configuration.Find(resident->uid))
        return false;
    }
  }
  return true;
}

/// Whose disk was touched, and who is sound, or sound again, is not in danger any more.
void World::NoteStanding(const Resident& resident) {
  Cluster& cluster = clusters_[resident.cluster];
  if (resident.replica->core().standing() != core::Standing::kSound) {
    cluster.latent.erase(resident.uid);
    return;
  }
  if (cluster.latent.count(resident.uid) > 0) return;
  if (cluster.endangered.erase(resident.uid) == 0) return;
  Tell("cluster " + std::to_string(resident.cluster) + ": the server on node " +
       std::to_string(addresses_[resident.uid].node) + " is sound");
}

void World::TellStart(Node& node) {
  if (narrator_ == nullptr) return;
  const RecoveryReport& report = node.store().recovery_report();
  Tell("node " + std::to_string(node.number()) + " is up, boot " + std::to_string(report.boot) +
       ": " + std::to_string(report.batches) + " batches of " + std::to_string(report.wal_files) +
       " WAL files, " + std::to_string(report.entries) + " entries");
  for (const Finding& finding : report.findings) Tell("  it found: " + finding.sentence);
  for (const Resident& resident : node.residents()) {
    if (!resident.replica) continue;
    if (resident.replica->core().standing() == core::Standing::kSound) continue;
    Tell("  cluster " + std::to_string(resident.cluster) +
         ": its server lost acknowledged entries and counts for nothing until it has them again");
  }
}

/// A1: what may have lost a vote comes back as somebody else.
void World::Salvage(Node& node, std::vector<std::string> names) {
  Tell("node " + std::to_string(node.number()) + ": " + std::to_string(names.size()) +
       " server(s) may have lost a vote");
  node.Crash(false);
  if (settings_.stillborn != 0 && rng_.OneIn(2)) node.DieInStart(rng_.Below(kOperationsOfASalvage));
  Status started = node.Start(executor_, clock_, settings_, names);
  if (!started.ok() && node.died_in_start()) {
    SettleDisk(node);
    started = node.Start(executor_, clock_, settings_, names);
  }
  if (!started.ok()) {
    return referee_.Fail("node " + std::to_string(node.number()) +
                         " does not salvage: " + started.error().message);
  }
  for (Resident& resident : node.residents()) {
    if (std::find(names.begin(), names.end(), resident.name) == names.end()) continue;
    const ServerUid lost = resident.uid;
    const std::uint32_t cluster = resident.cluster;
    const std::string name = resident.name;  // It goes as another takes its place.
    if (!Populate(node, cluster, name)) continue;
    Await(cluster, lost, node.Find(cluster)->uid);
    return StartServers(node);  // The list of residents has changed.
  }
  StartServers(node);
}

/// A server whose log is gone: another one takes its place in the cluster.
void World::Replace(Node& node, Resident& resident) {
  const ServerUid lost = resident.uid;
  const std::uint32_t number = resident.cluster;
  Cluster& cluster = clusters_[number];
  ++cluster.incarnations;
  const std::string name = NameFor(number, node);
  if (!Populate(node, number, name)) {
    return In(kSecond, [this, where = node.number(), number, lost] {
      Resident* again = nodes_[where]->is_up() ? nodes_[where]->Find(number) : nullptr;
      if (again != nullptr && again->uid == lost) Replace(*nodes_[where], *again);
    });
  }
  Await(number, lost, node.Find(number)->uid);
}

void World::Await(std::uint32_t cluster, const ServerUid& lost, const ServerUid& fresh) {
  clusters_[cluster].endangered.erase(lost);
  clusters_[cluster].latent.erase(lost);
  if (lost == fresh) return;  // A planted bug.
  clusters_[cluster].replacements.push_back({lost, fresh});
}

Resident* World::LeaderOf(std::uint32_t cluster, Node** home) {
  Resident* found = nullptr;
  for (const std::unique_ptr<Node>& node : nodes_) {
    Resident* resident = node->is_up() ? node->Find(cluster) : nullptr;
    if (resident == nullptr || !resident->replica) continue;
    const core::Core& core = resident->replica->core();
    if (core.role_kind() != core::RoleKind::kLeader) continue;
    if (found != nullptr && found->replica->core().term() > core.term()) continue;
    found = resident;
    *home = node.get();
  }
  return found;
}

/// Whether what is acknowledged survives the loss of this node's disk: Raft promises that for a
/// minority, so no cluster may lose a second disk before the first is replaced.
bool World::MayLose(const Node& node) const {
  for (const Resident& resident : const_cast<Node&>(node).residents()) {
    const Cluster& cluster = clusters_[resident.cluster];
    if (!cluster.replacements.empty() || !cluster.endangered.empty()) return false;
    const core::Configuration* settled = referee_.Settled(resident.cluster);
    if (settled == nullptr) return false;
    std::size_t sound = 0;
    for (const std::unique_ptr<Node>& other : nodes_) {
      const Resident* there = other->Find(resident.cluster);
      if (other.get() == &node || there == nullptr || !there->replica) continue;
      const core::Configuration& configuration = there->replica->core().configuration();
      // All others, in each one's own view, make up a majority without it, with one to spare for a
      // change under way; a view that is not the newest is nobody's.
      const bool counts = configuration == *settled && configuration.IsVoter(there->uid) &&
                          configuration.voters() >= 3 && configuration.IsVoter(resident.uid);
      if (counts && there->replica->core().standing() == core::Standing::kSound &&
          there->replica->core().specials().configuration_index() <=
              there->replica->core().commit()) {
        ++sound;
      }
    }
    if (sound <= settled->voters() / 2) return false;
  }
  return true;
}

}  // namespace duramen::simulator
