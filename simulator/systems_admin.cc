// Those who look after systems: leaders move, servers stop and start, members change, clusters come
// and go. Their calls wait, and are refused or time out as the world is; what they are told they
// may rely on.
#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "duramen/machines.h"
#include "simulator/systems_world.h"

namespace duramen::simulator {
namespace {

constexpr std::int64_t kPatienceS = 5;
constexpr std::uint64_t kSessionsMs = 50;
constexpr std::uint64_t kLookMs = 20;
constexpr std::uint64_t kReplacedMs = 300;
constexpr std::uint64_t kVisitMs = 200;
constexpr std::uint64_t kStoppedMs = 500;
constexpr std::size_t kVotersLeast = 2;

}  // namespace

void SystemsWorld::StartAdmins() {
  Every(admin_, settings_.transfer_ms, &SystemsWorld::Transfer);
  Every(other_admin_, settings_.election_ms, &SystemsWorld::Elect);
  Every(other_admin_, settings_.stop_ms, &SystemsWorld::StopServer);
  Every(admin_, settings_.wipe_ms, &SystemsWorld::Wipe);
  Every(admin_, settings_.change_ms, &SystemsWorld::ChangeMembers);
  Every(other_admin_, settings_.found_ms, &SystemsWorld::FoundOrDelete);
  Every(admin_, settings_.throw_ms, &SystemsWorld::FoundOrThrow);
  Every(other_admin_, kSessionsMs, &SystemsWorld::OpenSessions);
  Every(other_admin_, kLookMs, &SystemsWorld::Look);
  patrons_.resize(settings_.clusters);
  Every(admin_, kVisitMs, &SystemsWorld::Visit);
}

/// It is not struck while somebody waits in it.
template <typename Call>
auto SystemsWorld::On(Home& home, Call call) {
  ++home.inside;
  auto result = call(*home.system);
  --home.inside;
  Note(home.number, result.ok() ? 0 : static_cast<std::uint64_t>(result.error().code));
  return result;
}

void SystemsWorld::Transfer() {
  Home* home = AnyHome(rng_);
  if (home == nullptr) return;
  const std::string cluster = ClusterName(rng_.Below(settings_.clusters));
  const std::string node = NodeName(rng_.Below(homes_.size()));
  const Status moved = On(*home, [&](System& system) {
    return system.TransferLeadership(cluster, node, In(2));
  });
  if (moved.ok()) ++tally_.transfers;
  Tell(cluster + " is to be led by " + node + (moved.ok() ? "" : ": " + moved.error().message));
}

void SystemsWorld::Elect() {
  Home* home = AnyHome(rng_);
  if (home == nullptr) return;
  const std::string cluster = ClusterName(rng_.Below(settings_.clusters));
  const Status elects =
      On(*home, [&](System& system) { return system.TriggerElection(cluster, In(2)); });
  if (elects.ok()) ++tally_.elections;
}

/// One after the other, since each may have been stopped or killed meanwhile.
void SystemsWorld::StopServer() {
  Home* home = AnyHome(rng_);
  if (home == nullptr) return;
  const std::string cluster = ClusterName(rng_.Below(settings_.clusters));
  const Status stopped =
      On(*home, [&](System& system) { return system.StopServer(cluster, In(60)); });
  // There is none now, or its system closes.
  const bool none = !stopped.ok() && (stopped.error().code == ErrorCode::kClosed ||
                                      stopped.error().code == ErrorCode::kNotFound);
  if (none) return;
  if (!stopped.ok()) return Fail("a server is not stopped: " + stopped.error().message);
  ++tally_.stops;
  home->stopped.insert(cluster);
  Tell(NodeName(home->number) + " stops its server of " + cluster);
  other_admin_.In(Exponential(kStoppedMs), [this, home, cluster, life = home->life] {
    if (!home->system || home->life != life) return;
    home->stopped.erase(cluster);
    const Status started =
        On(*home, [&](System& system) { return system.RestartServer(cluster, In(60)); });
    // It runs, or is removed, or that is under way, or its system closes.
    constexpr ErrorCode kKnown[] = {ErrorCode::kAlreadyExists, ErrorCode::kNotFound,
                                    ErrorCode::kInUse, ErrorCode::kClosed};
    const bool known =
        started.ok() || std::ranges::find(kKnown, started.error().code) != std::end(kKnown);
    if (!known) Fail("a server does not start again: " + started.error().message);
  });
}

/// One node at a time, and only while every cluster can spare it.
void SystemsWorld::Wipe() {
  Home& home = *homes_[rng_.Below(homes_.size())];
  if (wiped_ || changing_ || !IsWhole() || !MayStrike(home)) return;
  StrikeAt(home, Blow::kWipe);
  admin_.In(Exponential(kReplacedMs), [this] { Replace(); });
}

/// Of every cluster three members vote at least, all of which have all that its leader has.
bool SystemsWorld::IsWhole() {
  for (std::uint64_t cluster = 0; cluster < settings_.clusters; ++cluster) {
    bool whole = false;
    for (const auto& home : homes_) {
      if (!home->system) return false;
      const Result<ServerStatus> status = On(*home, [&](System& system) {
        return system.StatusOf(ClusterName(cluster), In(2));
      });
      if (!status.ok() || status->role != ServerRole::kLeader) continue;
      // What is not committed may be how somebody came to vote.
      whole = status->members.size() >= 3 && status->commit_index == status->last_index &&
              std::ranges::all_of(status->members, [](const MemberStatus& member) {
                return member.role == MemberRole::kVoter;
              });
      whole = whole && std::ranges::all_of(status->peers, [&](const PeerStatus& peer) {
                return peer.responsive && peer.match >= status->commit_index;
              });
    }
    if (!whole) return false;
  }
  return !wiped_ && !changing_;
}

/// The members of a node that lost its disk are gone for good: others take their places.
void SystemsWorld::Replace() {
  if (!verdict_.empty()) return;
  bool done = true;
  const std::string lost = NodeName(*wiped_);
  for (std::uint64_t cluster = 0; cluster < settings_.clusters && done; ++cluster) {
    const std::string name = ClusterName(cluster);
    Home& there = *homes_[*wiped_];
    done = there.system.has_value();
    // It has come back where it was replaced already.
    if (!done || there.system->MetricsOf(name).ok()) continue;
    const auto other = std::ranges::find_if(homes_, [&](const auto& home) {
      if (!home->system || home->number == *wiped_ || home->inside > 0) return false;
      // One that was removed while it was away may never hear of it.
      const Result<KeyMetrics> metrics = home->system->MetricsOf(name);
      return metrics.ok() && metrics->running && metrics->role == ServerRole::kLeader;
    });
    done = other != homes_.end();
    if (!done) continue;
    const Result<bool> removed = On(**other, [&](System& system) {
      return system.RemoveMember(name, lost, In(kPatienceS));
    });
    done = removed.ok();
    if (!done || !*removed) continue;
    const Result<bool> added = On(**other, [&](System& system) {
      return system.AddMember(name, lost, In(kPatienceS));
    });
    if (added.ok()) ++tally_.replaced;
    Tell(lost + " is a new member of " + name +
         (added.ok() ? "" : ", or not: " + added.error().message));
  }
  if (done) return wiped_.reset();
  admin_.In(Exponential(kReplacedMs), [this] { Replace(); });
}

/// By one administrator, so that what was removed is not added meanwhile.
void SystemsWorld::ChangeMembers() {
  Home* home = AnyHome(rng_);
  if (home == nullptr || changing_ || wiped_) return;
  const std::string cluster = ClusterName(rng_.Below(settings_.clusters));
  const std::uint64_t node = rng_.Below(homes_.size());
  const Result<ServerStatus> status =
      On(*home, [&](System& system) { return system.StatusOf(cluster, In(2)); });
  if (!status.ok() || status->members.empty()) return;
  const bool is_member = std::ranges::find(status->members, NodeName(node), &MemberStatus::node) !=
                         status->members.end();
  if (is_member && status->members.size() <= kVotersLeast) return;
  changing_ = true;
  if (is_member) {
    Remove(*home, cluster, node);
  } else {
    Join(*home, cluster, node);
  }
  changing_ = false;
}

void SystemsWorld::Join(Home& home, const std::string& cluster, std::uint64_t node) {
  const Result<bool> added = On(home, [&](System& system) {
    return system.AddMember(cluster, NodeName(node), In(kPatienceS));
  });
  if (added.ok()) ++tally_.changes;
  Tell(NodeName(node) + " is to be a member of " + cluster +
       (added.ok() ? "" : ": " + added.error().message));
  Home& there = *homes_[node];
  const bool taken = !added.ok() && added.error().code == ErrorCode::kAlreadyExists;
  if (!taken || !there.system || removed_.erase({cluster, node}) == 0) return;
  (void)On(there,
           [&](System& system) { return system.ForceDeleteServer(cluster, In(kPatienceS)); });
}

void SystemsWorld::Remove(Home& home, const std::string& cluster, std::uint64_t node) {
  Home& there = *homes_[node];
  if (there.system && rng_.OneIn(4)) {
    const Result<bool> left = On(there, [&](System& system) {
      return system.Leave(cluster, System::Leaving::kDelete, In(kPatienceS));
    });
    if (left.ok()) ++tally_.changes;
    Tell(NodeName(node) + " leaves " + cluster + (left.ok() ? "" : ": " + left.error().message));
    return;
  }
  const Result<bool> removed = On(home, [&](System& system) {
    return system.RemoveMember(cluster, NodeName(node), In(kPatienceS));
  });
  Tell(NodeName(node) + " is to be no member of " + cluster +
       (removed.ok() ? "" : ": " + removed.error().message));
  if (!removed.ok()) return;
  ++tally_.changes;
  removed_.insert({cluster, node});
  if (!there.system || rng_.OneIn(2)) return;
  removed_.erase({cluster, node});
  (void)On(there,
           [&](System& system) { return system.ForceDeleteServer(cluster, In(kPatienceS)); });
}

/// One more cluster, now and then, which is deleted again; under a name that was one before, it
/// may be.
void SystemsWorld::FoundOrDelete() {
  Home* home = AnyHome(rng_);
  if (home == nullptr) return;
  if (passing_) return Delete(*home);
  const std::uint64_t number = ++next_;
  ClusterOptions options{.name = "passing-" + std::to_string(number),
                         .machine = "kv",
                         .config = "passing " + std::to_string(number)};
  if (!deleted_.empty() && rng_.OneIn(2)) options.name = *deleted_.begin();
  for (const auto& one : homes_) options.nodes.push_back(NodeName(one->number));
  deleted_.erase(options.name);
  const auto started = On(*home, [&](System& system) {
    return system.StartCluster(options, In(kPatienceS));
  });
  Tell(options.name + " is founded" + (started.ok() ? "" : ", or not: " + started.error().message));
  if (!started.ok()) return;
  ++tally_.founded;
  passing_ = Passing{.name = options.name, .config = options.config};
}

void SystemsWorld::Delete(Home& home) {
  const std::string name = passing_->name;
  const Status deleted = On(home, [&](System& system) {
    return system.DeleteCluster(name, In(kPatienceS));
  });
  Tell(name + " is deleted" + (deleted.ok() ? "" : ", or not: " + deleted.error().message));
  if (deleted.ok()) {
    deleted_.insert(name);
    ++tally_.deletions;
  }
  // Whether one that timed out is deleted is unknown.
  if (deleted.ok() || deleted.error().code == ErrorCode::kTimeout) passing_.reset();
}

/// A cluster whose machine throws hurts nobody else.
void SystemsWorld::FoundOrThrow() {
  Home* home = AnyHome(rng_);
  if (home == nullptr) return;
  if (!moody_) {
    ClusterOptions options{.name = "moody-" + std::to_string(++next_), .machine = "moody"};
    for (const auto& one : homes_) options.nodes.push_back(NodeName(one->number));
    const auto started = On(*home, [&](System& system) {
      return system.StartCluster(options, In(kPatienceS));
    });
    if (started.ok()) moody_ = Passing{.name = options.name};
    return;
  }
  const std::string name = moody_->name;
  const bool throws = !moody_->thrown && rng_.OneIn(2);
  if (throws) moody_->thrown = true;  // It may happen whatever the answer is.
  const Result<std::string> done = On(*home, [&](System& system) {
    return system.Execute(name, AsBytes(throws ? kThrows : "hum"), In(2));
  });
  if (throws) ++tally_.thrown;
  if (throws) Tell("the machine of " + name + " throws");
  if (throws && done.ok()) Fail(name + " answers a command that throws: " + *done);
}

/// For clients that have none.
void SystemsWorld::OpenSessions() {
  for (std::uint32_t cluster = 0; cluster < settings_.clusters; ++cluster) {
    const auto without = std::ranges::find_if(
        parties_, [&](const Party& party) { return party.sessions[cluster].number == 0; });
    Home* home = AnyHome(rng_);
    if (without == parties_.end() || home == nullptr) continue;
    const Result<std::uint64_t> session = On(*home, [&](System& system) {
      return system.OpenSession(ClusterName(cluster), In(kPatienceS));
    });
    if (session.ok()) without->sessions[cluster] = {.number = *session, .unanswered = {}};
  }
}

/// At the numbers that wait for nobody: of each term there is one leader.
void SystemsWorld::Look() {
  Home* home = AnyHome(rng_);
  if (home == nullptr) return;
  const SystemOverview overview = home->system->Overview();
  if (overview.running > overview.servers || overview.leading > overview.running)
    Fail(NodeName(home->number) + " says that more servers run, or lead, than there are");
  for (std::uint64_t cluster = 0; cluster < settings_.clusters; ++cluster) {
    const std::string name = ClusterName(cluster);
    const Result<KeyMetrics> metrics = home->system->MetricsOf(name);
    if (!metrics.ok()) continue;
    if (!metrics->running || metrics->role != ServerRole::kLeader) continue;
    const auto leader = leaders_.try_emplace({name, metrics->term}, NodeName(home->number));
    if (leader.first->second != NodeName(home->number)) {
      Fail(name + " has two leaders of term " + std::to_string(metrics->term) + ": " +
           leader.first->second + " and " + NodeName(home->number));
    }
  }
}

/// By the calls that wait: what is done once stays done, and no answer is of before it.
void SystemsWorld::Visit() {
  Home* home = AnyHome(rng_);
  if (home == nullptr) return;
  const auto cluster = static_cast<std::uint32_t>(rng_.Below(settings_.clusters));
  const std::string name = ClusterName(cluster);
  Patron& patron = patrons_[cluster];
  if (patron.place.session == 0) {
    const Result<std::uint64_t> session =
        On(*home, [&](System& system) { return system.OpenSession(name, In(2)); });
    if (session.ok()) patron.place.session = *session;
    return;
  }
  if (patron.under_way == 0) {
    patron.under_way = ++next_;
    patron.place.acknowledged = patron.place.sequence++;
  }
  const std::string text = Kv::Put("visits", std::to_string(patron.under_way));
  const Result<std::string> done = On(*home, [&](System& system) {
    return system.ExecuteOnce(name, AsBytes(text), patron.place, In(2));
  });
  if (!done.ok() && done.error().code == ErrorCode::kStaleRef)
    return Fail(name + ": " + done.error().message);
  if (done.ok()) {
    if (*done != "ok" || chronicle_.PlaceOf(name, text) == 0)
      return Fail(name + " says '" + *done + "' of " + text);
    patron.done = std::exchange(patron.under_way, 0);
  }
  (void)On(*home, [&](System& system) {
    Ask(system, cluster);
    return Status();
  });
}

void SystemsWorld::Ask(System& system, std::uint32_t cluster) {
  constexpr Consistency kLinear[] = {Consistency::kConsistent, Consistency::kLease,
                                     Consistency::kThroughLog};
  const Patron& patron = patrons_[cluster];
  const std::string name = ClusterName(cluster);
  const Result<std::string> seen =
      system.Query(name, AsBytes(Kv::Get("visits")), kLinear[rng_.Below(3)], In(2));
  if (!seen.ok() || patron.done == 0) return;
  const bool right = *seen == "ok " + std::to_string(patron.done) ||
                     *seen == "ok " + std::to_string(patron.under_way);
  if (!right) {
    Fail(name + ": who wrote " + std::to_string(patron.done) + ", and perhaps " +
         std::to_string(patron.under_way) + ", reads '" + *seen + "'");
  }
}

}  // namespace duramen::simulator
