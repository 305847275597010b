#include "simulator/systems_world.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "base/bytes.h"
#include "base/check.h"
#include "duramen/machines.h"
#include "server/system_impl.h"
#include "simulator/operator.h"

namespace duramen::simulator {
namespace {

/// How many steps others take before a stroke that is due.
constexpr std::uint64_t kTarriesMost = 40;
/// Far more than any life takes.
constexpr std::uint64_t kStepsMost = 20'000'000;
constexpr std::int64_t kLongS = 600;
constexpr Moment kHealingTime = 120 * kSecond;

log::StorageTuning Tuning(const SystemsSettings& settings) {
  log::StorageTuning tuning;
  tuning.ring_records = 256;
  tuning.ring_bytes = 64u << 10;
  tuning.chunk_bytes = 8u << 10;
  tuning.batch_bytes_max = 32u << 10;
  if (settings.disk_us + settings.stall_ms > 0) tuning.alone_bytes_max = 0;
  return tuning;
}

SystemOptions OptionsOf(const SystemsSettings& settings, Rng& rng) {
  SystemOptions options;
  options.storage.data_dir = "/data";
  options.storage.wal_max_size_bytes = settings.wal_file_kb << 10;
  options.storage.memory_budget = (4 + 4 * settings.shards) << 20;
  options.storage.flush_delay = 0;
  if (settings.dsync != 0) options.storage.wal_sync_method = SyncMethod::kDsync;
  if (settings.packed != 0)
    options.storage.wal_compression = options.storage.segment_compression = Compression::kZstd;
  options.workers = 1 + rng.Below(settings.workers);
  if (settings.narrow != 0) {
    options.inbox_bytes_max = 4u << 10;
    options.low_priority_commands_flush_size = 1;
  }
  options.clock_drift_margin = settings.lease_margin_ms;
  return options;
}

WireSettings WireOf(const SystemsSettings& settings) {
  return {.delay_us = settings.delay_us,
          .loss = settings.loss,
          .straggle = settings.straggle,
          .detect_ms = settings.detect_ms};
}

}  // namespace

std::string ClusterName(std::uint64_t cluster) { return "cluster-" + std::to_string(cluster); }

SystemsWorld::SystemsWorld(std::uint64_t seed, const SystemsSettings& settings, Narrator* narrator)
    : settings_(settings), narrator_(narrator), rng_(seed), executor_(Rng(rng_.Next()), clock_),
      chronicle_([this](std::string what) { Fail(std::move(what)); },
                 [this](std::uint64_t what, std::uint64_t more) { Note(what, more); }),
      wire_(executor_, clock_, Rng(rng_.Next()), settings.nodes),
      callers_hand_(executor_, clock_),
      fate_(executor_, clock_,
            {.tarries = [this] { return rng_.Below(kTarriesMost); }, .held = {}}),
      admin_(executor_, clock_, {.tarries = {}, .held = [this] { return IsAnyInStep(); }}),
      other_admin_(executor_, clock_, {.tarries = {}, .held = [this] { return IsAnyInStep(); }}) {
  for (std::uint64_t node = 0; node < settings.nodes; ++node) {
    homes_.push_back(std::make_unique<Home>());
    homes_.back()->number = node;
  }
}

SystemsWorld::~SystemsWorld() {
  trouble_ = false;
  callers_hand_.Always({});
  for (const auto& home : homes_) {
    if (home->system) Crash(*home, false);
  }
}

void SystemsWorld::Note(std::uint64_t what, std::uint64_t more) {
  for (const std::uint64_t word : {static_cast<std::uint64_t>(now()), what, more}) {
    trace_hash_ = (trace_hash_ ^ word) * 0xff51afd7ed558ccd;
    trace_hash_ ^= trace_hash_ >> 29;
  }
}

void SystemsWorld::Tell(const std::string& sentence) {
  if (narrator_ != nullptr) narrator_->Tell(now(), sentence);
}

void SystemsWorld::Fail(std::string what) {
  if (verdict_.empty()) verdict_ = std::move(what);
}

Deadline SystemsWorld::In(std::int64_t seconds) const {
  return Deadline(std::chrono::nanoseconds(clock_.NowNs() + seconds * kSecond));
}

Moment SystemsWorld::Exponential(std::uint64_t mean_ms) {
  const double uniform =
      (static_cast<double>(rng_.Below(1u << 20)) + 1) / static_cast<double>(1u << 20);
  return static_cast<Moment>(-std::log(uniform) * static_cast<double>(mean_ms) * kMillisecond);
}

std::string SystemsWorld::Run() {
  for (const auto& home : homes_) StartHome(*home);
  if (verdict_.empty()) Found();
  if (!verdict_.empty()) return verdict_;
  wire_.Set(WireOf(settings_));
  trouble_ = true;
  StartClients();
  StartAdmins();
  StartTrouble();
  if (RunUntil(now() + static_cast<Moment>(settings_.trouble_ms) * kMillisecond)) {
    trouble_ = false;
    Heal();
    Settle();
  }
  tally_.seconds = static_cast<std::uint64_t>(now() / kSecond);
  tally_.effects = chronicle_.executed();
  tally_.parcels = wire_.parcels();
  tally_.lost = wire_.lost();
  Note(executor_.steps(), wire_.parcels());
  return verdict_;
}

/// Until then, or the first thing that must not be.
bool SystemsWorld::RunUntil(Moment end) {
  const std::int64_t end_ns = start_ + end;
  while (verdict_.empty() && clock_.NowNs() < end_ns) {
    if (executor_.steps() > kStepsMost) Fail("it does not come to rest");
    if (executor_.RunOne()) continue;
    const std::int64_t next_ns = std::min(executor_.NextTimerNs(), end_ns);
    if (next_ns > clock_.NowNs()) clock_.Advance(next_ns - clock_.NowNs());
  }
  return verdict_.empty();
}

void SystemsWorld::StartHome(Home& home) {
  ++home.life;
  home.machine = std::make_unique<sim::SimFileSystem>(home.disk, sites_);
  home.machine->KeepNoTrace();
  home.machine->SeedFlight(rng_.Next());
  if (trouble_) home.machine->SetLatency(static_cast<Moment>(settings_.disk_us) * kMicrosecond);
  home.process =
      std::make_unique<Process>(executor_, clock_, [this] { callers_hand_.Wake(); });
  home.stopped.clear();
  SystemOptions options = OptionsOf(settings_, rng_);
  // They hold logs, so they become no fewer.
  home.shards = std::max(home.shards, 1 + rng_.Below(settings_.shards));
  options.storage.wal_shards = home.shards;
  options.node = NodeName(home.number);
  options.network = wire_.Connect(home.number);
  options.machines = {WatchedKv(chronicle_), MoodyMachine()};
  Result<System> opened = server::OpenSystem(
      options, {*home.machine, clock_, *home.process, Rng(rng_.Next())}, Tuning(settings_),
      settings_.late_calls);
  if (!opened.ok()) {
    return Fail(NodeName(home.number) + " does not start: " + opened.error().message);
  }
  home.system.emplace(std::move(*opened));
  home.client.emplace(home.system->NewClient());
  chronicle_.Listen(home.number, home.client->address());
  wire_.Announce(home.number);
  Note(home.number, home.life);
  Tell(NodeName(home.number) + " is up");
}

/// A thread that waits in a step cannot take another, as long as whoever it lets run waits for it.
bool SystemsWorld::IsAnyInStep() const {
  return std::ranges::any_of(
      homes_, [](const auto& home) { return home->process && home->process->in_step(); });
}

/// Nobody waits in it who could not wait any more.
bool SystemsWorld::MayStrike(const Home& home) const {
  return home.system && home.inside == 0 && !home.process->in_step() && !wire_.IsIn(home.number);
}

void SystemsWorld::Crash(Home& home, bool power_lost) {
  home.machine->Crash();
  wire_.Disconnect(home.number);
  Poll(home);
  Leave(home);
  if (power_lost) {
    LosePowerOf(home.disk, rng_);
  } else {
    home.disk.SettleFlight(rng_.Next());
  }
}

/// In order: whoever waits there has an answer, and all that it was given is on the disk.
void SystemsWorld::Close(Home& home) {
  ++home.inside;
  (void)home.system->Close(In(60));
  --home.inside;
  Poll(home);
  wire_.Disconnect(home.number);
  Leave(home);
  home.disk.SettleFlight(rng_.Next());
}

/// What is left once nobody comes in any more.
void SystemsWorld::Leave(Home& home) {
  home.client.reset();
  {
    System dying = std::move(*home.system);
    home.system.reset();
  }
  home.process.reset();
  // What was sent from there has no outcome.
  std::vector<std::size_t> waiting;
  std::erase_if(pending_, [&](const auto& one) {
    if (one.second.node != home.number) return false;
    const auto caller = one.second.caller;
    if (caller && callers_[*caller].attempt == one.first) waiting.push_back(*caller);
    return true;
  });
  for (const std::size_t caller : waiting) OnUnknown(callers_[caller]);
  home.disk = home.machine->disk();
  home.machine.reset();
}

/// Null: none is up.
SystemsWorld::Home* SystemsWorld::AnyHome(Rng& rng) {
  std::vector<Home*> up;
  for (const auto& home : homes_) {
    if (home->system) up.push_back(home.get());
  }
  return up.empty() ? nullptr : up[rng.Below(up.size())];
}

void SystemsWorld::Found() {
  for (std::uint64_t cluster = 0; cluster < settings_.clusters; ++cluster) {
    ClusterOptions options{
        .name = ClusterName(cluster), .machine = "kv", .config = ClusterName(cluster)};
    for (std::uint64_t member = 0; member < settings_.members; ++member)
      options.nodes.push_back(NodeName((cluster + member) % settings_.nodes));
    const auto started = homes_[0]->system->StartCluster(options, In(60));
    if (!started.ok()) {
      return Fail(options.name + " is not founded: " + started.error().message);
    }
  }
}

/// For people: what each member knows.
std::string SystemsWorld::StandingOf(std::uint32_t cluster) {
  std::string text;
  for (const auto& home : homes_) {
    if (!home->system) continue;
    const Result<ServerStatus> status = home->system->StatusOf(ClusterName(cluster), In(2));
    text += "; " + NodeName(home->number) + ": ";
    if (!status.ok()) {
      text += status.error().message;
      continue;
    }
    text += (status->role == ServerRole::kLeader ? "leads in term " : "term ") +
            std::to_string(status->term) + ", log " + std::to_string(status->last_index) +
            ", commit " + std::to_string(status->commit_index) + ", of";
    for (const MemberStatus& member : status->members)
      text += " " + member.node + (member.role == MemberRole::kVoter ? "" : " (no voter)");
    if (status->stopped) text += ", stopped: " + status->stopped->message;
  }
  return text;
}

/// All has healed: who waits gets an answer, every cluster serves, and nothing is left over.
void SystemsWorld::Settle() {
  const Moment end = now() + kHealingTime;
  for (Caller& caller : callers_) caller.give_up_at = end + kSecond;
  const auto at_rest = [this] {
    return std::ranges::none_of(callers_, &Caller::busy) && !wiped_ &&
           std::ranges::all_of(homes_, [](const auto& home) {
             return home->system && home->inside == 0 && home->stopped.empty();
           });
  };
  while (!at_rest() && now() < end) {
    if (!RunUntil(now() + 100 * kMillisecond)) return;
  }
  for (const Caller& caller : callers_) {
    if (caller.busy)
      Fail("client " + std::to_string(caller.number) + " of " + ClusterName(caller.cluster) +
           " has no answer long after all has healed" + StandingOf(caller.cluster));
  }
  if (wiped_) {
    std::string text = "what " + NodeName(*wiped_) + " lost is not replaced";
    for (std::uint32_t cluster = 0; cluster < settings_.clusters; ++cluster)
      text += "\n" + ClusterName(cluster) + StandingOf(cluster);
    Fail(text);
  }
  for (const auto& home : homes_) {
    if (!home->system || home->inside > 0 || !home->stopped.empty())
      Fail(NodeName(home->number) + " is in a call long after all has healed");
  }
  for (std::uint32_t cluster = 0; cluster < settings_.clusters && verdict_.empty(); ++cluster)
    JudgeCluster(cluster);
  if (verdict_.empty()) JudgeDeletions();
}

/// It takes a command, and every member comes to have it.
void SystemsWorld::JudgeCluster(std::uint32_t cluster) {
  const std::string name = ClusterName(cluster);
  std::string why;
  for (const auto& home : homes_) {
    const std::string last = std::to_string(++next_);
    const Result<std::string> done =
        home->system->Execute(name, AsBytes(Kv::Put("last", last)), In(kLongS));
    if (done.ok()) return JudgeMembers(cluster, last);
    why += "; on " + NodeName(home->number) + ": " + done.error().message;
    Tell(name + why);
  }
  Fail(name + " does not serve again after all has healed" + why + StandingOf(cluster));
}

/// As their leader knows them.
void SystemsWorld::JudgeMembers(std::uint32_t cluster, const std::string& last) {
  const std::string name = ClusterName(cluster);
  const Moment end = now() + kHealingTime;
  while (now() < end) {
    for (const auto& home : homes_) {
      const Result<ServerStatus> status = home->system->StatusOf(name, In(kLongS));
      if (!status.ok() || status->role != ServerRole::kLeader) continue;
      for (const MemberStatus& member : status->members) JudgeMember(cluster, member, last);
      return;
    }
    if (!RunUntil(now() + 100 * kMillisecond)) return;
  }
  Fail("nobody leads " + name + " after all has healed");
}

void SystemsWorld::JudgeMember(std::uint32_t cluster, const MemberStatus& member,
                               const std::string& last) {
  const std::string name = ClusterName(cluster);
  const auto home = std::ranges::find_if(
      homes_, [&](const auto& one) { return NodeName(one->number) == member.node; });
  CHECK(home != homes_.end());
  const Moment end = now() + kHealingTime;
  Result<std::string> there = std::string();
  while (now() < end && verdict_.empty()) {
    there = (*home)->system->Query(name, AsBytes(Kv::Get("last")), Consistency::kLocal, In(60));
    if (there.ok() && *there == "ok " + last) return;
    if (!RunUntil(now() + 200 * kMillisecond)) return;
  }
  const Result<ServerStatus> status = (*home)->system->StatusOf(name, In(60));
  Fail(name + ": the member on " + member.node + " does not come to have what was done last: " +
       (there.ok() ? "it has " + *there : there.error().message) +
       (status.ok() ? ", applied " + std::to_string(status->applied_index) + " of " +
                          std::to_string(status->last_index) +
                          (status->stopped ? ", stopped: " + status->stopped->message : "")
                    : ", " + status.error().message));
}

/// Everybody is there: nothing is left of them [CL8].
void SystemsWorld::JudgeDeletions() {
  const Moment end = now() + kHealingTime;
  for (const auto& home : homes_) {
    std::string left;
    do {
      left.clear();
      for (const std::string& name : home->system->Clusters()) {
        if (deleted_.contains(name)) left = name;
      }
    } while (!left.empty() && now() < end && RunUntil(now() + 200 * kMillisecond));
    if (!left.empty()) return Fail(left + " is deleted, and still on " + NodeName(home->number));
    if (!moody_ || !moody_->thrown) continue;
    const Result<ServerStatus> status = home->system->StatusOf(moody_->name, In(60));
    if (status.ok() && status->stopped && status->stopped->code != ErrorCode::kMachineFailed)
      return Fail(moody_->name + " threw, and says: " + status->stopped->message);
  }
}

}  // namespace duramen::simulator
