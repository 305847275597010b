// What servers tell their machines, and do for them.
#include <algorithm>

#include "server/worker.h"

namespace duramen::server {
namespace {

constexpr std::uint64_t kTimerMsMost = 100ULL * 365 * 24 * 3600 * 1000;

MachineDuties& DutiesOf(Hosted& hosted) {
  if (hosted.duties == nullptr) hosted.duties = std::make_unique<MachineDuties>();
  return *hosted.duties;
}

}  // namespace

ServerRole RoleOf(core::RoleKind kind) {
  switch (kind) {
    case core::RoleKind::kLeader:
      return ServerRole::kLeader;
    case core::RoleKind::kCandidate:
      return ServerRole::kCandidate;
    case core::RoleKind::kPreCandidate:
      return ServerRole::kPreCandidate;
    default:
      return ServerRole::kFollower;
  }
}

/// A leader is one to its machine once it has applied what opened its term: all before is there.
void Worker::TellMachine(Hosted& hosted) {
  const core::Core& core = hosted.replica->core();
  const auto* leader = std::get_if<core::Leader>(&core.role());
  const bool ready = leader == nullptr || hosted.replica->applied() >= leader->own_first;
  const ServerRole role = RoleOf(core.role_kind());
  const bool other_term = leader != nullptr && hosted.told_role_term != core.term();
  if (ready && (role != hosted.told_role || other_term)) {
    if (hosted.told_role == ServerRole::kLeader) hosted.duties.reset();
    hosted.told_role = role;
    hosted.told_role_term = core.term();
    const bool ticks = leader != nullptr && hosted.machine->tick() > 0;
    if (ticks) DutiesOf(hosted).tick_at = now_ + hosted.machine->tick() * 1000;
    Tell(hosted, RoleEvent{role, core.term()});
  }
  if (hosted.away == nullptr) hosted.machine->Observe(*hosted.replica);
  const Index members = core.specials().configuration_index();
  if (members == hosted.told_members) return;
  hosted.told_members = members;
  MembersEvent event;
  for (const core::Member& member : core.configuration().members)
    event.nodes.push_back(member.node);
  Tell(hosted, std::move(event));
}

void Worker::GrantWishes(Hosted& hosted) {
  std::vector<Wish> wishes = hosted.machine->TakeWishes();
  for (Wish& wish : wishes) {
    std::visit([&](auto& what) { Grant(hosted, what); }, wish.what);
  }
}

/// To whoever leads now.
void Worker::Grant(Hosted& hosted, Wish::Append& wish) {
  Request request{.ask = Ask::kCommand, .cluster = hosted.cluster};
  request.payload = std::move(wish.command);
  const core::Core& core = hosted.replica->core();
  if (core.role_kind() == core::RoleKind::kLeader) {
    StampCommand(request.payload, unix_ms_);
    Proposal proposal{.command = std::move(request.payload)};
    proposal.ticket = NewTicket(hosted, request);
    return AddToBatch(hosted, std::move(proposal));
  }
  const core::Member* leader = core.configuration().Find(core.leader().value_or(ServerUid{}));
  if (leader != nullptr) outbox_[leader->node].emplace_back(std::move(request));
}

void Worker::Grant(Hosted& hosted, Wish::Send& wish) {
  const std::uint64_t client = ClientOf(wish.address);
  if (client == 0) return;
  Notice notice{client, {.cluster = hosted.cluster, .payload = std::move(wish.message)}};
  outbox_[std::string(NodeOf(wish.address))].emplace_back(std::move(notice));
}

void Worker::Grant(Hosted& hosted, Wish::Timer& wish) {
  if (hosted.told_role != ServerRole::kLeader) return;
  auto& [timers, by_time, monitors, tick_at] = DutiesOf(hosted);
  if (const auto before = timers.find(wish.name); before != timers.end()) {
    by_time.erase({before->second, wish.name});
    timers.erase(before);
  }
  if (!wish.ms && !wish.unix_ms) return;
  std::uint64_t ms = wish.ms.value_or(0);
  if (wish.unix_ms.value_or(unix_ms_) > unix_ms_) {  // Their difference may be above INT64_MAX.
    ms = static_cast<std::uint64_t>(*wish.unix_ms) - static_cast<std::uint64_t>(unix_ms_);
  }
  const core::Microseconds at = now_ + std::min(ms, kTimerMsMost) * 1000;
  by_time.insert({at, wish.name});
  timers.emplace(std::move(wish.name), at);
}

void Worker::Grant(Hosted& hosted, Wish::Monitor& wish) {
  if (hosted.told_role != ServerRole::kLeader) return;
  if (!wish.on) {
    DutiesOf(hosted).monitors.erase(wish.node);
    return;
  }
  if (!DutiesOf(hosted).monitors.insert(wish.node).second) return;
  const bool up = wish.node == place_.router.node() || nodes_.contains(wish.node);
  Tell(hosted, NodeEvent{wish.node, up});
}

/// Behind what waits, so that one that goes on for ever holds nobody up.
void Worker::Grant(Hosted& hosted, Wish::Aux& wish) {
  Request request{.ask = Ask::kAux, .cluster = hosted.cluster};
  request.payload = std::move(wish.message);
  (void)Take(std::move(request));
}

void Worker::RunDuties(Hosted& hosted) {
  if (hosted.duties == nullptr) return;
  std::vector<std::string> rung;
  auto& [timers, by_time, monitors, tick_at] = *hosted.duties;
  while (!by_time.empty() && by_time.begin()->first <= now_) {
    rung.push_back(by_time.begin()->second);
    timers.erase(rung.back());
    by_time.erase(by_time.begin());
  }
  for (std::string& name : rung) Tell(hosted, TimerEvent{std::move(name)});
  if (!tick_at || *tick_at > now_) return;
  tick_at = now_ + hosted.machine->tick() * 1000;
  if (hosted.away == nullptr) Tell(hosted, TickEvent{unix_ms_});
}

core::Microseconds Worker::DueOf(const Hosted& hosted) const {
  core::Microseconds due = hosted.replica->core().next_deadline().value_or(Hosted::kNoTimer);
  if (const MachineDuties* duties = hosted.duties.get()) {
    if (duties->tick_at) due = std::min(due, *duties->tick_at);
    if (!duties->by_time.empty()) due = std::min(due, duties->by_time.begin()->first);
  }
  return hosted.waiters.empty() ? due : std::min(due, hosted.waiters_until);
}

void Worker::Publish(Hosted& hosted) {
  if (hosted.published == nullptr) return;
  constexpr auto kRelaxed = std::memory_order_relaxed;
  Published& out = *hosted.published;
  const core::Core& core = hosted.replica->core();
  out.role.store(RoleOf(core.role_kind()), kRelaxed);
  out.running.store(true, kRelaxed);
  out.term.store(core.term(), kRelaxed);
  out.last_index.store(core.log().last().index, kRelaxed);
  out.commit_index.store(core.commit(), kRelaxed);
  out.applied_index.store(hosted.replica->applied(), kRelaxed);
  out.elections.store(core.counters().elections, kRelaxed);
  if (hosted.away == nullptr)
    out.observer_failures.store(hosted.machine->observer_failures(), kRelaxed);
}

}  // namespace duramen::server
