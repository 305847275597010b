#include "tests/explorer/explorer.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "tests/explorer/checkpoint_probe.h"

namespace duramen::explorer {
namespace {

constexpr std::uint64_t kEnoughAtASite = 120;
constexpr std::uint64_t kStatesOfASecondLife = 48;
constexpr std::size_t kCrashesMax = 3;
constexpr std::uint64_t kProbedOneIn = 8;
constexpr std::uint64_t kUsedOneIn = 12;
constexpr std::size_t kNameMax = 512;

std::array<char, kNameMax> current_state{};

void SetCurrentState(const RunId& id) {
  const std::string name = id.ToString();
  const std::size_t size = std::min(name.size(), kNameMax - 1);
  std::memcpy(current_state.data(), name.data(), size);
  current_state[size] = '\0';
}

// Where a fault strikes, and how.
struct Strike {
  sim::OpKind kind;
  const char* file_class;
};
constexpr Strike kWalStrikes[] = {
    {sim::OpKind::kSyncData, "wal"}, {sim::OpKind::kSyncData, "wal"},
    {sim::OpKind::kSyncData, "wal"}, {sim::OpKind::kWrite, "wal"},
    {sim::OpKind::kAllocate, ""},    {sim::OpKind::kSyncDirectory, ""},
    {sim::OpKind::kCreate, ""},      {sim::OpKind::kSyncAll, ""},
    {sim::OpKind::kDirectDone, ""},  {sim::OpKind::kDirectDone, ""},
    {sim::OpKind::kWriteDirect, ""},
};
constexpr Strike kFlushStrikes[] = {
    {sim::OpKind::kSyncFileSystem, ""},    {sim::OpKind::kSyncFileSystem, ""},
    {sim::OpKind::kSyncData, ".seg"},      {sim::OpKind::kSyncData, ".seg"},
    {sim::OpKind::kWrite, ".seg"},         {sim::OpKind::kWrite, ".seg"},
    {sim::OpKind::kCreate, ".seg"},        {sim::OpKind::kSyncDirectory, "UID"},
    {sim::OpKind::kSyncDirectory, "serv"}, {sim::OpKind::kMakeDirectory, "serv"},
    {sim::OpKind::kWrite, "checkpoint"},   {sim::OpKind::kSyncData, "checkpoint"},
    {sim::OpKind::kSyncAll, "checkpoint"}, {sim::OpKind::kAllocate, "checkpoint"},
    {sim::OpKind::kSyncDirectory, "meta"}, {sim::OpKind::kRename, "checkpoint"},
    {sim::OpKind::kRemove, ".seg"},        {sim::OpKind::kRemoveDirectory, ""},
};

constexpr Strike kStartStrikes[] = {
    {sim::OpKind::kMakeDirectory, "quarantine"}, {sim::OpKind::kCreate, "quarantine"},
    {sim::OpKind::kWrite, "quarantine"},         {sim::OpKind::kSyncAll, "quarantine"},
    {sim::OpKind::kRename, "quarantine"},        {sim::OpKind::kSyncDirectory, "quarantine"},
};

sim::Fault FaultOf(const Strike& strike, Rng& rng, std::uint64_t skip_max) {
  sim::Fault fault{.kind = strike.kind, .file_class = strike.file_class};
  fault.skip = rng.Below(skip_max);
  fault.times = rng.OneIn(8) ? UINT64_MAX : 1 + rng.Below(2);
  fault.effect = sim::FaultEffect::kIoError;
  if (strike.kind == sim::OpKind::kWrite && rng.OneIn(2)) {
    fault.effect = sim::FaultEffect::kShortWrite;
    fault.short_bytes = rng.Below(8192);
  }
  const bool takes_space = strike.kind == sim::OpKind::kCreate ||
                           strike.kind == sim::OpKind::kMakeDirectory ||
                           strike.kind == sim::OpKind::kWrite;
  if (strike.kind == sim::OpKind::kAllocate || (takes_space && rng.OneIn(3))) {
    fault.effect = sim::FaultEffect::kDiskFull;
  }
  return fault;
}

// Some lives meet a fault of the disk; it decides nothing about what may be lost.
std::vector<sim::Fault> DrawFaults(Rng& rng, bool first_life) {
  std::vector<sim::Fault> faults;
  if (rng.OneIn(first_life ? 4 : 8)) {
    const Strike& strike = kWalStrikes[rng.Below(std::size(kWalStrikes))];
    faults.push_back(FaultOf(strike, rng, first_life ? 60 : 12));
  }
  if (rng.OneIn(first_life ? 2 : 4)) {
    const Strike& strike = kFlushStrikes[rng.Below(std::size(kFlushStrikes))];
    faults.push_back(FaultOf(strike, rng, 3));
  }
  if (!first_life && rng.OneIn(3)) {
    faults.push_back(FaultOf(kStartStrikes[rng.Below(std::size(kStartStrikes))], rng, 1));
  }
  return faults;
}

}  // namespace

const char* CurrentStateName() { return current_state.data(); }

SessionOptions Explorer::OptionsOf(const RunId& id) const {
  SessionOptions options{.seed = id.Hash(), .workload = id.workload, .sizes = {}, .faults = {}};
  Rng rng(options.seed ^ 0x6661756C74ULL);
  Rng fixed(id.seed * 0x9E3779B97F4A7C15ULL);  // the same in all lives of a run
  static constexpr std::uint64_t kFileBytes[] = {48u << 10, 64u << 10, 96u << 10};
  const Workload& workload = WorkloadOf(id.workload);
  options.sizes.segment_entries = workload.segment_entries;
  options.sizes.wal_file_bytes = workload.wal_file_bytes;
  const std::uint64_t usual = kFileBytes[fixed.Below(std::size(kFileBytes))];
  if (workload.wal_file_bytes == 0) options.sizes.wal_file_bytes = usual;
  options.sizes.fails_over = workload.fails_over;
  options.sizes.compresses = workload.compresses;
  options.sizes.leaves_failover = workload.fails_over && rng.OneIn(6);
  if (workload.sharded) {
    static constexpr std::uint32_t kShards[] = {2, 2, 2, 3, 3, 3, 1};
    options.sizes.shards = kShards[options.seed / 3 % std::size(kShards)];
  }
  if (fixed.OneIn(3)) options.sizes.wal_dir = "/elsewhere/wal";
  if (fixed.OneIn(9)) {
    options.sizes.large = true;
    options.sizes.wal_file_bytes = 1300u << 10;
    options.sizes.memory_budget = 64u << 20;
  }
  static constexpr std::size_t kSyncedSingly[] = {0, 1, 4, 1000};
  options.sizes.files_synced_singly = kSyncedSingly[rng.Below(std::size(kSyncedSingly))];
  if (rng.OneIn(3)) options.sizes.files_open_max = 1 + rng.Below(3);
  // From the hash: what a seed draws besides stays as it was.
  options.sizes.flush_threads = 1 + options.seed % 3;
  // Each life may have a method of its own (W21).
  static constexpr SyncMethod kMethods[] = {SyncMethod::kDatasync, SyncMethod::kDatasync,
                                            SyncMethod::kDsync,    SyncMethod::kDsync,
                                            SyncMethod::kFsync,    SyncMethod::kAuto};
  options.sizes.sync_method = kMethods[rng.Below(std::size(kMethods))];
  options.sizes.pipeline_depth = 2 + rng.Below(3);
  options.sizes.methods_change = rng.OneIn(4);
  if (!rng.OneIn(3)) options.sizes.alone_bytes_max = 0;
  options.faults = DrawFaults(rng, id.crashes.empty());
  return options;
}

std::uint32_t Explorer::ActionsOf(const RunId& id) {
  const std::uint32_t usual = WorkloadOf(id.workload).actions;
  return id.crashes.empty() ? usual : 8 + static_cast<std::uint32_t>(id.Hash() % 12);
}

bool Explorer::Fail(const RunId& id, const std::string& text) {
  const Failure failure{id, text, choice_};
  if (!failure_) failure_ = failure;
  std::string sort;
  for (const char c : text.substr(0, 160)) {
    if (c < '0' || c > '9') sort += c;
  }
  ++failures_.try_emplace(sort, failure, 0).first->second.second;
  return keep_going_;
}

std::unique_ptr<Session> Explorer::Live(const RunId& id, const sim::DiskState& disk,
                                        Admissible before) {
  SetCurrentState(id);
  auto life = std::make_unique<Session>(disk, sites_, std::move(before), OptionsOf(id));
  std::string verdict = life->Open();
  if (verdict.empty()) verdict = life->Run(ActionsOf(id));
  // Two lives in three end without a word.
  if (verdict.empty() && id.Hash() % 3 == 0) verdict = life->Close();
  life->End();
  ++tally_.lives;
  if (id.crashes.empty()) {
    std::uint64_t& fewest = tally_.rolls_min[id.workload];
    fewest = tally_.runs[id.workload] == 0 ? life->rolls() : std::min(fewest, life->rolls());
    tally_.rolls[id.workload] += life->rolls();
    ++tally_.runs[id.workload];
  }
  if (verdict.empty()) return life;
  Fail(id, verdict);
  return nullptr;
}

bool Explorer::RunNext(std::uint64_t states, std::optional<std::uint32_t> workload) {
  // The first ten have the seeds that they always had, but for three in thirteen.
  constexpr std::uint32_t kFirst = 10;
  static_assert(kWorkloadCount == kFirst + 3);
  auto turn = static_cast<std::uint32_t>(next_seed_ % kFirst);
  if (next_seed_ % 13 == 0) turn = kFirst;
  if (next_seed_ % 13 == 7) turn = kFirst + 1;
  if (next_seed_ % 13 == 3) turn = kFirst + 2;
  const RunId id{.seed = next_seed_, .workload = workload.value_or(turn), .crashes = {}};
  ++next_seed_;
  rng_ = Rng(id.Hash());
  judged_.clear();
  at_sites_.clear();
  choice_.clear();
  const std::unique_ptr<Session> life = Live(id, sim::DiskState(), {});
  if (life == nullptr) return keep_going_;
  return ExploreLife(id, *life, {.states = states, .full = true});
}

bool Explorer::ExploreLife(const RunId& id, Session& life, const LifeLimits& limits) {
  sim::DiskState disk = life.machine().start();
  const std::vector<sim::Op>& trace = life.machine().trace();
  RunId here = id;
  here.crashes.emplace_back();
  for (std::size_t boundary = 0; boundary <= trace.size(); ++boundary) {
    here.crashes.back() = {.boundary = static_cast<std::uint32_t>(boundary)};
    CollectSites(life, boundary);
    if (!ExploreBoundary(here, life, disk, limits)) return false;
    if (boundary < trace.size()) disk.Apply(trace[boundary]);
  }
  return true;
}

void Explorer::CollectSites(const Session& life, std::size_t boundary) {
  const std::vector<sim::Op>& trace = life.machine().trace();
  const std::vector<sim::ReadMark>& reads = life.machine().reads();
  boundary_sites_.clear();
  if (boundary > 0) boundary_sites_.push_back(trace[boundary - 1].site);
  if (boundary < trace.size()) boundary_sites_.push_back(trace[boundary].site);
  auto read = std::partition_point(
      reads.begin(), reads.end(),
      [boundary](const sim::ReadMark& mark) { return mark.position < boundary; });
  for (; read != reads.end() && read->position == boundary; ++read) {
    boundary_sites_.push_back(read->site);
  }
  std::sort(boundary_sites_.begin(), boundary_sites_.end());
  boundary_sites_.erase(std::unique(boundary_sites_.begin(), boundary_sites_.end()),
                        boundary_sites_.end());
}

/// More where an operation is rare and few states have been judged next to it.
std::uint64_t Explorer::Attempts(const Session& life, std::size_t boundary,
                                 std::uint64_t usual) const {
  const std::size_t length = life.machine().trace().size();
  for (const std::uint32_t site : boundary_sites_) {
    if (boundary < length && IsRare(site)) return usual * 3 + 16;
  }
  return usual;
}

bool Explorer::IsRare(std::uint32_t site) const {
  return site >= tally_.by_site.size() || tally_.by_site[site] < kEnoughAtASite;
}

bool Explorer::BesideAFlush() const {
  return std::any_of(boundary_sites_.begin(), boundary_sites_.end(), [this](std::uint32_t site) {
    const std::string& file = sites_.sites()[site].file_class;
    return file.ends_with(".seg") || file.starts_with("meta/");
  });
}

bool Explorer::ReachesARareSite(const sim::SimFileSystem& machine) const {
  return std::any_of(machine.trace().begin(), machine.trace().end(),
                     [this](const sim::Op& op) { return IsRare(op.site); }) ||
         std::any_of(machine.reads().begin(), machine.reads().end(),
                     [this](const sim::ReadMark& mark) { return IsRare(mark.site); });
}

bool Explorer::ExploreBoundary(const RunId& id, Session& life, const sim::DiskState& disk,
                               const LifeLimits& limits) {
  const std::size_t boundary = id.crashes.back().boundary;
  const std::vector<sim::Op>& trace = life.machine().trace();
  const sim::Op* next = boundary < trace.size() ? &trace[boundary] : nullptr;
  const std::uint64_t per_boundary = limits.states / (2 * (trace.size() + 1));
  // What is left over is given to a random part of the boundaries.
  const bool extra = rng_.Below(2 * (trace.size() + 1)) < limits.states % (2 * (trace.size() + 1));
  const std::uint64_t attempts = Attempts(life, boundary, per_boundary + (extra ? 1 : 0));
  RunId here = id;
  CrashPoint& point = here.crashes.back();
  for (const Crash crash : {Crash::kExt4, Crash::kAdversary}) {
    point.crash = crash;
    const sim::CrashStates states(
        disk, crash == Crash::kExt4 ? sim::Profile::kExt4 : sim::Profile::kAdversary);
    for (std::uint64_t i = 0; i < std::min(attempts, states.count()); ++i) {
      // Whole operations and torn ones take turns; few states are all tried.
      const std::uint64_t bound = i % 2 == 0 ? states.whole_count() : states.count();
      point.ordinal = attempts >= states.count() ? i : rng_.Below(bound);
      if (!ExploreState(here, life, Crashed(disk, next, point, choice_), limits)) return false;
    }
  }
  if (attempts == 0 || !rng_.OneIn(2)) return true;
  point.crash = Crash::kKill;
  point.ordinal = 0;
  const std::size_t sectors = next == nullptr ? 0 : sim::SectorCount(*next);
  if (sectors > 1 && rng_.OneIn(2)) point.ordinal = 1 + rng_.Below(sectors - 1);
  return ExploreState(here, life, Crashed(disk, next, point, choice_), limits);
}

bool Explorer::Note(const RunId& id, std::uint64_t hash, std::uint64_t moment) {
  for (const std::uint32_t site : boundary_sites_) {
    if (site >= tally_.by_site.size()) tally_.by_site.resize(site + 1);
    const std::uint64_t key = hash ^ ((site + 1) * 0xBF58476D1CE4E5B9ULL);
    if (at_sites_.insert(key).second) ++tally_.by_site[site];
  }
  if (!judged_.insert(hash ^ (moment * 0x9E3779B97F4A7C15ULL)).second) return false;
  ++tally_.judged;
  if (images_.insert(hash).second) {
    ++tally_.distinct;
    ++tally_.by_crash[static_cast<std::size_t>(id.crashes.back().crash)];
    ++tally_.by_workload[id.workload];
  }
  return true;
}

bool Explorer::ExploreState(const RunId& id, Session& life, const sim::DiskState& crashed,
                            const LifeLimits& limits) {
  const std::size_t boundary = id.crashes.back().boundary;
  const std::vector<sim::Op>& trace = life.machine().trace();
  const std::uint64_t moment =
      boundary < trace.size() ? trace[boundary].moment : life.final_moment();
  const std::uint64_t distinct_before = tally_.distinct;
  if (!Note(id, crashed.visible().Hash(), moment)) return true;
  const bool fresh = tally_.distinct > distinct_before;
  if (id.crashes.size() > 1 && fresh) {
    ++(boundary < life.opened_at() ? tally_.doubles : tally_.later);
  }
  const Admissible& admissible = life.AdmissibleAt(moment);
  // Kills are worth a second life more often: what they leave is only in the page cache.
  const bool killed = id.crashes.back().crash == Crash::kKill;
  // What a flush leaves half done shows when the next one goes on from it.
  bool full = limits.full && rng_.OneIn(killed ? 12 : BesideAFlush() ? 30 : 90);
  if (!full) {
    if (!Restart(id, crashed, admissible)) return false;
    // What only a start after a start that died does is reached in a third life.
    full = restart_was_rare_ && id.crashes.size() < kCrashesMax;
  }
  if (!full) return true;
  const std::string choice = choice_;
  const std::vector<std::uint32_t> sites = boundary_sites_;
  const std::unique_ptr<Session> second = Live(id, crashed, admissible);
  const bool good = second == nullptr
                        ? keep_going_
                        : ExploreLife(id, *second, {.states = kStatesOfASecondLife, .full = false});
  choice_ = choice;
  boundary_sites_ = sites;
  return good;
}

bool Explorer::Restart(const RunId& id, const sim::DiskState& disk, const Admissible& admissible) {
  SetCurrentState(id);
  sim::SimFileSystem machine(disk, sites_);
  const SessionOptions options = OptionsOf(id);
  Subject subject(machine, id.Hash(), options.sizes);
  const Status opened = subject.Open();
  restart_was_rare_ = ReachesARareSite(machine);
  if (!opened.ok()) {
    return Fail(id, "the store does not open: " + opened.error().message);
  }
  std::size_t logs = 0;
  for (const AdmissibleWriter& writer : admissible) {
    for (const LogNumber log : writer.logs) logs = std::max<std::size_t>(logs, log + 1);
  }
  const Observation observed = Observe(subject.store(), logs);
  const std::string verdict = Judge(observed, admissible);
  if (!verdict.empty()) {
    return Fail(id, verdict);
  }
  if (id.Hash() % kUsedOneIn == 0) {
    const Status taken = subject.TakesEntries();
    if (!taken.ok()) return Fail(id, "no entry is taken any more: " + taken.error().message);
  }
  if (rng_.OneIn(kProbedOneIn) && !RestartOnOneCheckpoint(id, disk, admissible)) return false;
  if (id.crashes.back().crash != Crash::kKill) return true;
  // Someone has seen this state and acted on it: it must outlast the power (A5, W27).
  subject.Destroy();
  AdmissibleWriter exactly{
      .logs = {}, .digests = {}, .acknowledged = observed.logs, .submitted = observed.logs};
  for (const LogState& log : observed.logs) exactly.applied.push_back(log.last_applied);
  for (LogNumber log = 0; log < observed.logs.size(); ++log) exactly.logs.push_back(log);
  exactly.digests.push_back(DigestOf(exactly.logs, observed.logs));
  sim::SimFileSystem later(sim::DiskState(machine.disk().durable()), sites_);
  Subject again(later, id.Hash() + 1, options.sizes);
  const Status reopened = again.Open();
  const std::string lasting =
      reopened.ok() ? Judge(Observe(again.store(), logs), {exactly}) : reopened.error().message;
  if (lasting.empty()) return true;
  return Fail(id, "what a kill left was shown after a restart and lost with the power: " + lasting);
}

bool Explorer::RestartOnOneCheckpoint(const RunId& id, const sim::DiskState& disk,
                                      const Admissible& admissible) {
  const std::optional<sim::Image> damaged = WithoutNewestRow(disk.visible());
  if (!damaged) return true;
  sim::SimFileSystem machine(sim::DiskState(*damaged), sites_);
  Subject subject(machine, id.Hash() + 2, OptionsOf(id).sizes);
  const Status opened = subject.Open();
  std::size_t logs = 0;
  for (const AdmissibleWriter& writer : admissible) {
    for (const LogNumber log : writer.logs) logs = std::max<std::size_t>(logs, log + 1);
  }
  const std::string verdict =
      opened.ok() ? Judge(Observe(subject.store(), logs), admissible) : opened.error().message;
  return verdict.empty() || Fail(id, "with one row of the newer checkpoint damaged: " + verdict);
}

std::optional<Failure> Explorer::Replay(const RunId& id,
                                        void (*watch)(const RunId&, const Session&)) {
  RunId here{.seed = id.seed, .workload = id.workload, .crashes = {}};
  sim::DiskState disk;
  Admissible before;
  for (std::size_t depth = 0;; ++depth) {
    const bool last = depth == id.crashes.size();
    if (last && depth > 0 && !Restart(here, disk, before)) return failure_;
    const std::unique_ptr<Session> life = Live(here, disk, before);
    if (watch != nullptr && life != nullptr) watch(here, *life);
    if (last || life == nullptr) return failure_;
    const CrashPoint& point = id.crashes[depth];
    const std::vector<sim::Op>& trace = life->machine().trace();
    CHECK(point.boundary <= trace.size());
    disk = life->machine().start();
    for (std::size_t i = 0; i < point.boundary; ++i) disk.Apply(trace[i]);
    const bool at_end = point.boundary == trace.size();
    before = life->AdmissibleAt(at_end ? life->final_moment() : trace[point.boundary].moment);
    disk = Crashed(disk, at_end ? nullptr : &trace[point.boundary], point, choice_);
    here.crashes.push_back(point);
  }
}

std::uint64_t Explorer::FewestAtASite() const {
  std::uint64_t fewest = UINT64_MAX;
  for (std::size_t site = 0; site < sites_.sites().size(); ++site) {
    fewest = std::min(fewest, site < tally_.by_site.size() ? tally_.by_site[site] : 0);
  }
  return fewest;
}

}  // namespace duramen::explorer
