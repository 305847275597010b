#include "simulator/world.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace duramen::simulator {
namespace {

/// Steps of storage at one moment before messages and timers have their turn.
constexpr int kStorageSteps = 4;
/// What may happen at one moment, and waits for storage.
constexpr Moment kLongestStep = 120 * kSecond;
constexpr Moment kNodeHeartbeat = 300 * kMillisecond;
constexpr Moment kNodeSilence = kSecond;
/// After the trouble: what a cluster may take to serve again, in the longest election timeouts.
constexpr Moment kHealingTime = 30 * kSecond;

/// Nobody need send all that it could.
void Shorten(server::Envelope& envelope, Rng& rng) {
  auto* append = std::get_if<core::AppendEntries>(&envelope.message.body);
  if (append == nullptr || envelope.payloads.empty()) return;
  const std::uint64_t kept = rng.Below(envelope.payloads.size());
  envelope.payloads.resize(kept);
  std::uint64_t left = kept;
  for (core::TermRun& run : append->runs) {
    run.count = std::min(run.count, left);
    left -= run.count;
  }
  std::erase_if(append->runs, [](const core::TermRun& run) { return run.count == 0; });
  std::erase_if(append->specials, [&](const core::SpecialEntry& special) {
    return special.index > append->previous.index + kept;
  });
}

}  // namespace

World::World(std::uint64_t seed, const Settings& settings, Narrator* narrator)
    : seed_(seed),
      settings_(settings),
      narrator_(narrator),
      rng_(seed ^ 0x776F726C64),
      start_(clock_.NowNs()),
      executor_(Rng(seed ^ 0x65786563), clock_) {}

World::~World() {
  for (std::unique_ptr<Node>& node : nodes_) node.reset();
}

void World::Note(std::uint64_t what, std::uint64_t more) {
  for (const std::uint64_t word : {static_cast<std::uint64_t>(now()), what, more}) {
    trace_hash_ = (trace_hash_ ^ word) * 0xff51afd7ed558ccd;
    trace_hash_ ^= trace_hash_ >> 29;
  }
}

void World::Tell(const std::string& sentence) {
  if (narrator_ != nullptr) narrator_->Tell(now(), sentence);
}

void World::TellLeader(const Node& node, const Resident& resident) {
  const core::Core& core = resident.replica->core();
  Term& told = told_leaders_[resident.cluster];
  if (core.term() <= told) return;
  told = core.term();
  Tell("cluster " + std::to_string(resident.cluster) + ": node " + std::to_string(node.number()) +
       " leads in term " + std::to_string(core.term()) + ", its log ends at " +
       std::to_string(core.log().last().index));
}

/// Every few seconds, how far it has come.
void World::TellService() {
  constexpr Moment kInterval = 5 * kSecond;
  if (narrator_ == nullptr || now() < told_service_at_ + kInterval) return;
  told_service_at_ = now();
  Tell(std::to_string(tally_.commits) + " entries committed, " +
       std::to_string(tally_.operations) + " operations begun, " + std::to_string(tally_.unknown) +
       " given up");
}

Moment World::Exponential(std::uint64_t mean_ms) {
  const double uniform =
      (static_cast<double>(rng_.Below(1u << 20)) + 1) / static_cast<double>(1u << 20);
  return static_cast<Moment>(-std::log(uniform) * static_cast<double>(mean_ms) * kMillisecond);
}

std::string World::Run() {
  Found();
  if (!referee_.verdict().empty()) return referee_.verdict();
  StartClients();
  DetectFailures();
  trouble_ = true;
  StartTrouble();
  if (!RunUntil(now() + static_cast<Moment>(settings_.trouble_ms) * kMillisecond))
    return referee_.verdict();
  trouble_ = false;
  Heal();
  const Moment healed_at = now();
  const Moment patience = kHealingTime + static_cast<Moment>(clusters_.size()) * kSecond;
  while ((served_after_healing_.size() < clusters_.size() || !AllSound()) &&
         now() < healed_at + patience) {
    if (!RunUntil(now() + kSecond)) return referee_.verdict();
  }
  tally_.seconds = static_cast<std::uint64_t>(now() / kSecond);
  return JudgeLiveness();
}

/// Until then, or the first thing that must not be.
bool World::RunUntil(Moment end) {
  while (referee_.verdict().empty()) {
    bool ran = false;
    for (int step = 0; step < kStorageSteps && executor_.RunOne(); ++step) ran = true;
    PumpStorage();
    if (agenda_.next() <= now()) {
      const Moment before = now();
      agenda_.Take()();
      if (now() > before + kLongestStep) {
        referee_.Fail("one step took " + std::to_string((now() - before) / kSecond) +
                      " s: something waited for what did not come");
      }
      continue;
    }
    if (ran) continue;
    const std::int64_t storage_ns = executor_.NextTimerNs();
    const Moment storage = storage_ns == Actor::kIdle ? kNever : storage_ns - start_;
    const Moment next = std::min(agenda_.next(), storage);
    if (next >= end) {
      if (now() < end) clock_.Advance(end - now());
      return true;
    }
    if (next > now()) clock_.Advance(next - now());
  }
  tally_.seconds = static_cast<std::uint64_t>(now() / kSecond);
  return false;
}

/// Tells the servers what has become durable.
void World::PumpStorage() {
  for (const std::unique_ptr<Node>& node : nodes_) {
    if (!node->is_up() || node->paused_until > now()) continue;
    for (Writer& writer : node->writers()) {
      for (const Written& written : writer.Poll()) {
        for (Resident& resident : node->residents()) {
          if (!resident.replica || !(resident.replica->log() == written.log)) continue;
          StepAt(*node, resident,
                 [&](core::Microseconds at) { resident.replica->OnWritten(at, written); });
        }
      }
    }
    for (Resident& resident : node->residents()) {
      if (!resident.replica || !resident.replica->has_news()) continue;
      StepAt(*node, resident, [&](core::Microseconds at) { resident.replica->Progress(at); });
    }
  }
}

void World::StepAt(Node& node, Resident& resident,
                   const std::function<void(core::Microseconds)>& step) {
  step(node.clock().At(now()));
  if (!resident.replica) return;
  if (const std::optional<Error>& stopped = resident.replica->stopped()) {
    return referee_.Fail("node " + std::to_string(node.number()) +
                         ": a server stopped: " + stopped->message);
  }
  referee_.OnStep(resident.cluster, *resident.replica, node.store());
  NoteStanding(resident);
  const core::Core& core = resident.replica->core();
  const bool leads = core.role_kind() == core::RoleKind::kLeader;
  if (narrator_ != nullptr && leads) TellLeader(node, resident);
  if (leads && core.term() != resident.hunted) {
    resident.hunted = core.term();
    CheckLeases(node, resident);
    Hunt(node, resident);
  }
  Note(node.number() << 8 | static_cast<std::uint64_t>(core.role_kind()),
       core.term() << 32 ^ core.commit());
  Reschedule(node, resident);
}

void World::Reschedule(Node& node, Resident& resident) {
  const std::optional<core::Microseconds> due = resident.replica->core().next_deadline();
  if (!due) return;
  const Moment at = std::max(node.clock().WhenIs(*due), now()) + Late();
  if (at >= resident.timer_at) return;
  resident.timer_at = at;
  const std::uint64_t number = ++resident.timer_number;
  agenda_.At(at, [this, where = node.number(), cluster = resident.cluster, number] {
    OnTimer(where, cluster, number);
  });
}

void World::OnTimer(std::uint32_t number, std::uint32_t cluster, std::uint64_t timer) {
  Node& node = *nodes_[number];
  if (node.paused_until > now()) {
    return agenda_.At(node.paused_until + Late(), [=, this] { OnTimer(number, cluster, timer); });
  }
  Resident* resident = node.Find(cluster);
  if (resident == nullptr || !resident->replica || resident->timer_number != timer) return;
  resident->timer_at = kNever;
  const std::optional<core::Microseconds> due = resident->replica->core().next_deadline();
  if (due && node.clock().At(now()) >= *due) {
    StepAt(node, *resident,
           [&](core::Microseconds at) { resident->replica->Step(at, core::Tick{}); });
  } else {
    Reschedule(node, *resident);
  }
}

/// Nodes tell each other that they live, and which servers do [B6]: it explains silence and proves
/// nothing.
void World::DetectFailures() {
  for (const std::unique_ptr<Node>& node : nodes_) {
    if (!node->is_up() || node->paused_until > now()) continue;
    for (const std::unique_ptr<Node>& other : nodes_) {
      const bool speaks = other->is_up() && other->paused_until <= now();
      if (speaks && !IsCut(other->number(), node->number())) {
        heard_[{node->number(), other->number()}] = now();
      }
    }
    for (Resident& resident : node->residents()) {
      if (!resident.replica) continue;
      const std::vector<core::Member> members = resident.replica->core().configuration().members;
      for (const core::Member& member : members) {
        if (resident.replica && member.uid != resident.uid) Hear(*node, resident, member.uid);
      }
    }
  }
  TellService();
  In(kNodeHeartbeat, [this] { DetectFailures(); });
}

void World::Hear(Node& at, Resident& resident, const ServerUid& peer) {
  const Address* where = AddressOf(peer);
  if (where == nullptr) return;
  Node& home = *nodes_[where->node];
  const bool silent = heard_[{at.number(), where->node}] + kNodeSilence < now();
  const Resident* there = home.is_up() ? home.Find(where->cluster) : nullptr;
  const bool lives = !silent && there != nullptr && there->uid == peer && there->replica;
  if (!lives && !silent && !home.is_up()) return;  // Not missed yet.
  const std::uint64_t boot = lives ? home.boot() : 0;
  const auto [known, first] = known_.try_emplace({resident.uid, peer}, boot);
  if (!first && known->second == boot) return;
  known->second = boot;
  StepAt(at, resident, [&](core::Microseconds local) {
    if (boot > 0) {
      resident.replica->Step(local, core::PeerUp{.peer = peer, .boot = boot});
    } else {
      resident.replica->Step(local, core::PeerDown{.peer = peer});
    }
  });
}

const World::Address* World::AddressOf(const ServerUid& uid) const {
  const auto at = addresses_.find(uid);
  return at == addresses_.end() ? nullptr : &at->second;
}

Moment World::Delay(std::uint32_t from, std::uint32_t to) {
  Moment delay = kMicrosecond * static_cast<Moment>(1 + rng_.Below(2 * settings_.delay_us + 1));
  const auto clog = clogs_.find({from, to});
  if (clog != clogs_.end() && clog->second > now()) delay += clog->second - now();
  return delay;
}

/// How much later than it could a process does something.
Moment World::Late() {
  if (settings_.late_us == 0 || !trouble_) return 0;
  return static_cast<Moment>(rng_.Below(settings_.late_us)) * kMicrosecond;
}

/// How long a trouble lasts on average, where that is `usual` if the settings say nothing.
std::uint64_t World::Lasting(std::uint64_t usual_ms) const {
  return settings_.lasting_ms == 0 ? usual_ms : settings_.lasting_ms;
}

void World::Send(server::Replica& from, server::Envelope envelope) {
  const Address* source = AddressOf(from.uid());
  const Address* target = AddressOf(envelope.message.to);
  CHECK(source != nullptr);
  const Resident* there = target == nullptr ? nullptr : nodes_[target->node]->Find(target->cluster);
  const bool present = there != nullptr && there->uid == envelope.message.to;
  referee_.OnSend(source->cluster, from, envelope.message,
                  present ? there->replica.get() : nullptr);
  if (target == nullptr || IsCut(source->node, target->node)) return;
  if (trouble_ && settings_.loss > 0 && rng_.OneIn(settings_.loss)) return;
  const bool doubled = trouble_ && settings_.doubling > 0 && rng_.OneIn(settings_.doubling);
  if (trouble_ && settings_.shorten > 0 && rng_.OneIn(settings_.shorten)) Shorten(envelope, rng_);
  auto shared = std::make_shared<server::Envelope>(std::move(envelope));
  for (int copy = 0; copy < (doubled ? 2 : 1); ++copy) {
    Moment delay = Delay(source->node, target->node);
    if (trouble_ && settings_.straggle > 0 && rng_.OneIn(settings_.straggle)) {
      delay += Exponential(Lasting(1500));
    }
    In(delay, [this, shared] { Deliver(*shared); });
  }
}

void World::Deliver(const server::Envelope& envelope) {
  const Address* target = AddressOf(envelope.message.to);
  Node& node = *nodes_[target->node];
  if (!node.is_up()) return;
  if (node.paused_until > now()) {
    return agenda_.At(node.paused_until + Late(), [this, copy = envelope] { Deliver(copy); });
  }
  Resident* resident = node.Find(target->cluster);
  if (resident == nullptr || !resident->replica || resident->uid != envelope.message.to) return;
  Note(envelope.message.body.index(), envelope.message.term);
  StepAt(node, *resident, [&](core::Microseconds at) { resident->replica->Deliver(at, envelope); });
}

void World::OnRemoved(server::Replica& replica) {
  const Address* where = AddressOf(replica.uid());
  // Not in the middle of its own step.
  In(0, [this, uid = replica.uid(), address = *where] {
    Node& node = *nodes_[address.node];
    Resident* resident = node.Find(address.cluster);
    if (resident == nullptr || resident->uid != uid || !resident->replica) return;
    const LogRef log = resident->replica->log();
    Writer& writer = node.WriterOf(resident->name);
    std::erase_if(node.residents(), [&](const Resident& other) { return other.uid == uid; });
    (void)node.store().DeleteLog(writer, log);
  });
}

}  // namespace duramen::simulator
