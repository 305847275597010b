// What is done to the stores and servers besides what they are there for: logs of somebody else, an
// operator who looks at a node that runs, sets it otherwise, or takes it down.
#include "base/bytes.h"
#include "base/checksum.h"
#include "simulator/world.h"

namespace duramen::simulator {
namespace {

constexpr Moment kPatience = 2 * kSecond;  // with a store that is to close

std::uint64_t HashOf(std::string_view text) { return Checksum(AsBytes(text), 0); }

}  // namespace

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

void World::Tend() {
  Node& node = *nodes_[rng_.Below(nodes_.size())];
  if (!node.is_up() || node.paused_until > now()) return;
  switch (rng_.Below(6)) {
    case 0:
      return ReadStatistics(node);
    case 1:
    case 2:
      return LookAtServers(node);
    case 3: {
      constexpr SyncMethod kMethods[] = {SyncMethod::kDatasync, SyncMethod::kFsync,
                                         SyncMethod::kDsync, SyncMethod::kAuto};
      // While its disk fails it may not.
      (void)node.store().SetSyncMethod(kMethods[rng_.Below(std::size(kMethods))]);
      return;
    }
    case 4:
      return AskOddly();
    default:
      return TakeDown(node);
  }
}

/// What people and programs are told. All of it is part of the trace: it says the same every time.
void World::ReadStatistics(Node& node) {
  const LogStore& store = node.store();
  std::uint64_t all = 0;
  store.VisitMetrics(
      [](void* into, const Metric& metric) {
        *static_cast<std::uint64_t*>(into) += HashOf(metric.name) ^ metric.value;
      },
      &all);
  const RecoveryReport& report = store.recovery_report();
  for (const Finding& finding : report.findings) all += HashOf(FindingKindName(finding.kind));
  Note(all, HashOf(report.ToText()) ^ static_cast<std::uint64_t>(store.pressure()));
  (void)node.store().NewWriter();  // There may be no room for it.
  const Result<Writer> nowhere = node.store().NewWriter(99);
  if (nowhere.ok()) referee_.Fail("there is a Writer of a shard that is not there");
  if (store.shards() == node.shards()) return;
  referee_.Fail("node " + std::to_string(node.number()) + " has " +
                std::to_string(store.shards()) + " shards");
}

/// Also asks them to campaign, and tells leaders of connections that are full.
void World::LookAtServers(Node& node) {
  std::vector<std::uint32_t> clusters;
  for (const Resident& resident : node.residents()) {
    if (resident.replica) clusters.push_back(resident.cluster);
  }
  if (clusters.empty()) return;
  const std::uint32_t cluster = clusters[rng_.Below(clusters.size())];
  Resident& resident = *node.Find(cluster);
  const core::Core& core = resident.replica->core();
  Note(HashOf(core::NameOf(core.role_kind())), core.term());
  const std::vector<core::PeerStatus> peers = core.Peers();
  for (const core::PeerStatus& peer : peers) Note(peer.match, peer.next ^ peer.lag);
  if (peers.empty()) {
    if (!rng_.OneIn(3)) return;
    return StepAt(node, resident, [&](core::Microseconds at) {
      resident.replica->Step(at, core::TriggerElection{});
    });
  }
  const ServerUid peer = peers[rng_.Below(peers.size())].uid;
  const auto flow = [this, number = node.number(), cluster, peer](bool open) {
    Node& home = *nodes_[number];
    Resident* leader = home.is_up() ? home.Find(cluster) : nullptr;
    if (leader == nullptr || !leader->replica) return;
    StepAt(home, *leader, [&](core::Microseconds at) {
      leader->replica->Step(at, core::PeerFlow{.peer = peer, .open = open});
    });
  };
  flow(false);
  In(Exponential(Lasting(1000)), [flow] { flow(true); });
}

/// Whoever asks for what is so already, or cannot be, is told.
void World::AskOddly() {
  const auto number = static_cast<std::uint32_t>(rng_.Below(clusters_.size()));
  Node* home = nullptr;
  Resident* leader = LeaderOf(number, &home);
  if (leader == nullptr || home->paused_until > now()) return;
  const core::Configuration& configuration = leader->replica->core().configuration();
  core::Change change{.member = configuration.members[rng_.Below(configuration.members.size())]};
  switch (rng_.Below(5)) {
    case 0:
      change.member.uid = {};
      break;
    case 1:
      change.kind = core::Change::Kind::kRemove;
      change.expected_index = core::kIndexEnd;
      break;
    case 2:
      change.kind = core::Change::Kind::kRemove;
      change.member.uid.bytes.fill(1);
      break;
    case 3: {
      core::Transfer transfer{.ticket = next_ticket_++};
      if (rng_.OneIn(2)) transfer.target.bytes.fill(1);
      return StepAt(*home, *leader, [&](core::Microseconds at) {
        leader->replica->Step(at, transfer);
      });
    }
    default:
      break;  // It is a member.
  }
  AskChange(number, change);
}

/// As one who wants to do something else with the machine.
void World::TakeDown(Node& node) {
  if (!scribes_.empty()) scribes_[node.number()].OnCrash(node);
  for (const Resident& resident : node.residents()) {
    if (resident.replica) referee_.OnCrash(*resident.replica);
  }
  Tell("node " + std::to_string(node.number()) + " is taken down");
  const Status closed = node.Close(Deadline(std::chrono::nanoseconds(clock_.NowNs() + kPatience)));
  if (closed.ok() && !scribes_.empty()) scribes_[node.number()].OnClosed();
  CrashNode(node, rng_.OneIn(2));
}

}  // namespace duramen::simulator
