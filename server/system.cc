#include "duramen/system.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "base/checksum.h"
#include "base/thread_executor.h"
#include "base/try.h"
#include "server/settings.h"
#include "server/system_impl.h"

namespace duramen {

using server::Closed;
using server::Worker;

namespace {

Error Late(const char* what) {
  return {ErrorCode::kTimeout, std::string("the deadline passed before ") + what, "try again"};
}

MemberRole RoleOf(core::MemberRole role) {
  switch (role) {
    case core::MemberRole::kVoter:
      return MemberRole::kVoter;
    case core::MemberRole::kPromotable:
      return MemberRole::kPromotable;
    case core::MemberRole::kNonVoter:
      return MemberRole::kNonVoter;
  }
  return MemberRole::kNonVoter;
}

}  // namespace

System::Impl::Impl(const SystemOptions& given, Clock& clock, ActorExecutor& executor, Rng rng)
    : options(given), clock_(clock), executor_(executor), rng_(rng),
      next_number_(rng_.Next() >> 1 | 1) {}

/// The store has threads of its own, or is a WAL process's.
Result<System> System::Impl::OpenHere(const SystemOptions& options) {
  auto clock = std::make_unique<SystemClock>();
  auto executor = std::make_unique<ThreadExecutor>();
  auto impl = std::make_unique<Impl>(options, *clock, *executor, Rng::FromSystem());
  impl->own_clock = std::move(clock);
  impl->own_executor = std::move(executor);
  TRY(impl->CheckOptions());
  LogStore store = TRY(LogStore::Open(options.storage));
  TRY(impl->Open(std::move(store)));
  return System(std::move(impl));
}

System::Impl::~Impl() { (void)Close(Deadline::max()); }

core::CoreSettings System::Impl::Settings() const {
  core::CoreSettings settings;
  settings.election_timeout_min = options.election_timeout_min * 1000;
  settings.election_timeout_max = options.election_timeout_max * 1000;
  settings.heartbeat_interval = options.heartbeat_interval * 1000;
  settings.clock_drift_margin = options.clock_drift_margin * 1000;
  return settings;
}

Status System::Impl::CheckOptions() const {
  TRY(server::CheckSystemSettings(options));
  if (const Status fit = core::Validate(Settings()); !fit.ok()) {
    Error error = fit.error();
    for (const char* name : {"election_timeout_min", "election_timeout_max", "heartbeat_interval",
                             "clock_drift_margin"}) {
      error.message += std::string("; ") + name + " = " + server::SystemSettingText(name, options);
    }
    return error;
  }
  for (const MachineType& type : options.machines) {
    const bool named = !type.name.empty() && type.name.find('\n') == std::string::npos;
    if (named && type.make != nullptr && FindMachine(type.name) == &type) continue;
    return Error{ErrorCode::kConfiguration, "machine '" + type.name + "' cannot be used",
                 "each has a name of one line, of its own, and a function that makes it"};
  }
  return {};
}

Status System::Impl::Open(LogStore store) {
  store_.emplace(std::move(store));
  std::size_t workers = options.workers;
  if (workers == 0) workers = std::clamp<std::size_t>(std::thread::hardware_concurrency(), 1, 64);
  // A log is opened by a Writer of the shard that it is in, whatever the numbers of workers and
  // shards were when it came to be.
  const std::uint32_t shards = store_->shards();
  workers = std::max<std::size_t>(workers, shards);
  if (own_executor != nullptr)
    guard_ = std::make_unique<server::MachineGuard>(clock_, executor_);
  const server::WorkerPlace place{.store = *store_,
                                  .clock = clock_,
                                  .executor = executor_,
                                  .router = *this,
                                  .guard = guard_.get(),
                                  .machine_timeout = options.machine_timeout * 1000,
                                  .late_one_in = late_one_in};
  for (std::size_t number = 0; number < workers; ++number) {
    Writer writer = TRY(store_->NewWriter(static_cast<std::uint32_t>(number % shards)));
    workers_.push_back(std::make_unique<Worker>(
        place, std::move(writer), Rng(rng_.Next()),
        server::WorkerLimits{.inbox_bytes_max = options.inbox_bytes_max,
                             .low_flush = options.low_priority_commands_flush_size,
                             .wait_max = options.await_condition_timeout * 1000}));
    if (guard_ != nullptr) guard_->Watch(*workers_.back());
  }
  for (const LogInfo& info : store_->Logs()) {
    const std::uint64_t hash = Checksum(AsBytes(info.name), 0);
    if (hash % workers % shards == info.shard) continue;
    const std::uint64_t there = (workers - info.shard + shards - 1) / shards;  // of its workers
    placed_[info.name] = workers_[info.shard + shards * (hash % there)].get();
  }
  for (; running_ < workers_.size(); ++running_) executor_.Start(*workers_[running_]);
  if (guard_ != nullptr) executor_.Start(*guard_);
  guarded_ = guard_ != nullptr;
  RestartAll();
  if (options.network == nullptr) return {};
  TRY(options.network->impl().network.Join(options.node, store_->recovery_report().boot, *this));
  joined_ = true;
  return {};
}

Status System::Impl::Close(Deadline deadline) {
  if (closed_.exchange(true)) return {};
  GiveUp({});  // Whoever waits for an answer has one.
  const auto empty = [](void* self) { return static_cast<Impl*>(self)->inside_.load() == 0; };
  (void)Await(empty, this, Deadline::max());
  if (joined_) options.network->impl().network.Leave(options.node);
  while (running_ > 0) executor_.Stop(*workers_[--running_]);
  if (std::exchange(guarded_, false)) executor_.Stop(*guard_);
  workers_.clear();
  GiveUp({});
  if (!store_) return {};
  const Status closed = store_->Close(deadline);
  store_.reset();
  return closed;
}

Worker& System::Impl::WorkerOf(std::string_view cluster) {
  if (!placed_.empty()) {
    const auto placed = placed_.find(cluster);
    if (placed != placed_.end()) return *placed->second;
  }
  return *workers_[Checksum(AsBytes(cluster), 0) % workers_.size()];
}

bool System::Impl::Await(bool (*done)(void*), void* argument, Deadline deadline) {
  return executor_.Await(done, argument, deadline);
}

std::shared_ptr<server::Errand> System::Impl::Send(
    Worker& worker, std::function<Status(server::Errand&)> call) {
  auto errand = std::make_shared<server::Errand>();
  worker.Call([errand, call = std::move(call)] {
    errand->result = call(*errand);
    errand->Finish();
  });
  return errand;
}

Status System::Impl::Finish(server::Errand& errand, Deadline deadline) {
  const auto done = [](void* argument) {
    return static_cast<server::Errand*>(argument)->done.load();
  };
  errand.SetWaiter(&executor_);
  const bool in_time = Await(done, &errand, deadline);
  errand.SetWaiter(nullptr);
  return in_time ? errand.result : Late("the worker came to it");
}

Status System::Impl::InWorker(Worker& worker, Deadline deadline, std::function<Status()> call) {
  const auto errand =
      Send(worker, [call = std::move(call)](server::Errand&) { return call(); });
  return Finish(*errand, deadline);
}

const MachineType* System::Impl::FindMachine(const std::string& name) const {
  const auto found = std::ranges::find(options.machines, name, &MachineType::name);
  return found == options.machines.end() ? nullptr : &*found;
}

/// In its worker: it is on the list from here on.
Result<ServerUid> System::Impl::Enlist(Worker& worker, const std::string& cluster, LogInfo& info) {
  const LogRef log = TRY(store_->OpenLog(worker.writer(), cluster, OpenMode::kOpen));
  info = TRY(store_->InfoOf(log));
  const ServerUid uid = TRY(Uid128::Parse(info.uid));
  const std::unique_lock lock(routes_mutex_);
  routes_[uid] = &worker;
  known_.try_emplace(cluster);
  return uid;
}

/// In its worker. One that does not start is there all the same, for its status to say why.
Status System::Impl::StartServer(Worker& worker, const std::string& cluster) {
  LogInfo info;
  TRY(Enlist(worker, cluster, info));
  const Status started = StartServer(worker, cluster, info);
  if (!started.ok()) worker.NoteStopped(cluster, info, started.error());
  return started;
}

bool System::Impl::StartsAtOpen(const std::string& cluster) const {
  if (options.recovers) return options.recovers(cluster);
  return options.server_recovery_strategy == RecoveryStrategy::kAll;
}

Status System::Impl::StartServer(Worker& worker, const std::string& cluster, const LogInfo& log) {
  const server::Hosted* before = worker.Find(cluster);
  if (before != nullptr && before->replica) {
    return Error{ErrorCode::kAlreadyExists, "the server of cluster '" + cluster + "' runs already",
                 ""};
  }
  const Result<server::Birth> birth = server::Replica::BirthOf(*store_, log.log);
  if (!birth.ok() && birth.error().code == ErrorCode::kNotFound) {
    return Error{ErrorCode::kNotFound, "the start of cluster '" + cluster + "' was cut short here",
                 "start the cluster again"};
  }
  if (const Result<std::string> deleted = store_->Get(log.log, server::kDeletedKey); deleted.ok()) {
    worker.NoteDeleted(cluster, log, TRY(server::DecodeBirth(AsBytes(*deleted))));
    return Error{ErrorCode::kNotFound, "cluster '" + cluster + "' was deleted",
                 "its last traces go once every member was there to hear of it"};
  }
  const std::string row = TRY(store_->Get(log.log, server::kMachineKey));
  const std::size_t end = std::min(row.find('\n'), row.size());
  const std::string name = row.substr(0, end);
  const MachineType* type = FindMachine(name);
  if (type == nullptr) {
    return Error{ErrorCode::kNotFound, "no machine '" + name + "' is known, which cluster '" +
                                           cluster + "' has",
                 "add it to the machines of the system's options"};
  }
  auto machine = TRY(server::HostedMachine::Make(*type, options.node));
  const MachineInit init{.cluster = cluster,
                         .uid = log.uid,
                         .node = options.node,
                         .config = end < row.size() ? row.substr(end + 1) : ""};
  if (options.observer) machine->Watch(options.observer, init);
  TRY(machine->Init(init));
  server::ServerSetup setup{
      .cluster = cluster, .machine = std::move(machine), .settings = Settings()};
  setup.settings.machine_version = type->version;
  {
    const std::shared_lock lock(routes_mutex_);
    setup.published = known_.at(cluster).published;
  }
  TRY(worker.StartServer(std::move(setup)));
  const Status placed = CheckNode(*worker.Find(cluster));
  if (!placed.ok()) worker.StopServer(cluster);
  return placed;
}

/// The others send to the node that its configuration names: on another it would lead nobody, and
/// be asked by nobody.
Status System::Impl::CheckNode(const server::Hosted& hosted) const {
  if (!hosted.replica) return {};
  const core::Member* self = hosted.replica->core().configuration().Find(hosted.uid);
  if (self == nullptr || self->node == options.node) return {};
  return Error{ErrorCode::kConfiguration,
               "this is the member of cluster '" + hosted.cluster + "' on node '" + self->node +
                   "', and the system is node '" + options.node + "'",
               "open this directory as node '" + self->node + "'"};
}

/// All workers at once.
void System::Impl::RestartAll() {
  std::map<Worker*, std::vector<std::string>> names;
  for (const LogInfo& info : store_->Logs()) names[&WorkerOf(info.name)].push_back(info.name);
  std::atomic<std::size_t> left = names.size();
  for (const auto& one : names) {
    one.first->Call([this, &one, &left] {
      for (const std::string& name : one.second) {
        LogInfo info;
        if (StartsAtOpen(name)) {
          (void)StartServer(*one.first, name);
        } else if (Enlist(*one.first, name, info).ok()) {
          one.first->NoteStopped(name, info,
                                 {ErrorCode::kClosed, "it is not started with its system",
                                  "restart it, or see server_recovery_strategy"});
        }
      }
      left.fetch_sub(1);
      executor_.Progress();
    });
  }
  const auto done = [](void* argument) {
    return static_cast<std::atomic<std::size_t>*>(argument)->load() == 0;
  };
  (void)Await(done, &left, Deadline::max());
}

Status System::Impl::StopServer(const std::string& cluster, Deadline deadline) {
  const Visit visit(*this);
  if (visit.refused()) return Closed();
  Worker& worker = WorkerOf(cluster);
  return InWorker(worker, deadline, [&worker, cluster]() -> Status {
    if (worker.Find(cluster) == nullptr) {
      return Error{ErrorCode::kNotFound, "no server of cluster '" + cluster + "' is here", ""};
    }
    worker.StopServer(cluster);
    return {};
  });
}

Status System::Impl::RestartServer(const std::string& cluster, Deadline deadline) {
  const Visit visit(*this);
  if (visit.refused()) return Closed();
  Worker& worker = WorkerOf(cluster);
  return InWorker(worker, deadline,
                  [this, &worker, cluster] { return StartServer(worker, cluster); });
}

void System::Impl::OnLeader(const std::string& cluster, const std::string& node, Term term) {
  {
    const std::unique_lock lock(routes_mutex_);
    Known& known = known_[cluster];
    if (term < known.term) return;
    known.leader = node;
    known.term = term;
  }
  executor_.Progress();
}

Result<std::string> System::Impl::LeaderNode(const std::string& cluster) const {
  const std::shared_lock lock(routes_mutex_);
  const auto found = known_.find(cluster);
  if (found != known_.end()) return std::string(found->second.leader);
  return Error{ErrorCode::kNotFound, "no server of cluster '" + cluster.substr(0, 255) +
                                         "' is on node '" + options.node + "'",
               "start the cluster, or add a member there"};
}

std::vector<std::string> System::Impl::Clusters() const {
  const std::shared_lock lock(routes_mutex_);
  std::vector<std::string> names;
  for (const auto& [name, known] : known_) names.push_back(name);
  return names;
}

Result<std::string> System::Impl::AwaitLeader(const std::string& cluster, Deadline deadline) {
  const Visit visit(*this);
  if (visit.refused()) return Closed();
  struct Waiting {
    const Impl* impl;
    const std::string& cluster;
  } waiting{this, cluster};
  TRY(LeaderNode(cluster));
  const auto done = [](void* argument) {
    auto* self = static_cast<Waiting*>(argument);
    const Result<std::string> leader = self->impl->LeaderNode(self->cluster);
    return self->impl->closed_.load() || !leader.ok() || !leader->empty();
  };
  if (!Await(done, &waiting, deadline)) return Late("a server led the cluster");
  if (closed_.load()) return Closed();
  return LeaderNode(cluster);
}

Result<ServerStatus> System::Impl::StatusOf(const std::string& cluster, Deadline deadline) {
  const Visit visit(*this);
  if (visit.refused()) return Closed();
  Worker& worker = WorkerOf(cluster);
  const auto status = std::make_shared<ServerStatus>();
  const Status asked = InWorker(worker, deadline, [this, &worker, cluster, status]() -> Status {
    const server::Hosted* hosted = worker.Find(cluster);
    if (hosted == nullptr) {
      return Error{ErrorCode::kNotFound, "no server of cluster '" + cluster + "' runs here", ""};
    }
    status->cluster = cluster;
    status->uid = hosted->uid.ToString();
    status->stopped = hosted->stopped;
    if (Result<std::string> leader = LeaderNode(cluster); leader.ok())
      status->leader = std::move(*leader);
    if (!hosted->replica) return {};
    const core::Core& core = hosted->replica->core();
    status->role = server::RoleOf(core.role_kind());
    status->term = core.term();
    status->last_index = core.log().last().index;
    status->commit_index = core.commit();
    status->applied_index = hosted->replica->applied();
    status->machine_busy = hosted->away != nullptr;
    status->idle = !core.next_deadline() && !hosted->replica->waits();
    for (const core::Member& member : core.configuration().members)
      status->members.push_back({member.node, member.uid.ToString(), RoleOf(member.role)});
    status->machine_version = core.specials().MachineVersionAt(status->applied_index);
    for (const core::PeerStatus& peer : core.Peers()) {
      const core::Member* member = core.configuration().Find(peer.uid);
      status->peers.push_back({.node = member == nullptr ? "" : member->node,
                               .uid = peer.uid.ToString(),
                               .match = peer.match,
                               .next = peer.next,
                               .lag = peer.lag,
                               .responsive = peer.responsive});
    }
    return {};
  });
  if (!asked.ok()) return asked.error();
  return *status;
}

Result<KeyMetrics> System::Impl::MetricsOf(std::string_view cluster) const {
  const std::shared_lock lock(routes_mutex_);
  const auto found = known_.find(cluster);
  if (found == known_.end()) {
    return Error{ErrorCode::kNotFound,
                 "no server of cluster '" + std::string(cluster) + "' is here", ""};
  }
  const server::Published& numbers = *found->second.published;
  return KeyMetrics{.cluster = std::string(cluster),
                    .role = numbers.role.load(),
                    .running = numbers.running.load(),
                    .term = numbers.term.load(),
                    .last_index = numbers.last_index.load(),
                    .commit_index = numbers.commit_index.load(),
                    .applied_index = numbers.applied_index.load(),
                    .commands = numbers.commands.load(),
                    .elections = numbers.elections.load(),
                    .observer_failures = numbers.observer_failures.load()};
}

SystemOverview System::Impl::Overview() {
  SystemOverview overview{.node = options.node, .workers = options.workers};
  const Visit visit(*this);
  if (visit.refused()) return overview;
  overview.nodes = {options.node};
  if (options.network != nullptr) overview.nodes = options.network->impl().network.Nodes();
  overview.workers = workers_.size();
  for (const auto& worker : workers_) {
    overview.inbox_bytes += worker->inbox_bytes();
    overview.calls_left += worker->calls_left();
  }
  {
    const std::lock_guard lock(clients_mutex_);
    overview.clients = clients_.size();
  }
  const std::shared_lock lock(routes_mutex_);
  overview.servers = known_.size();
  for (const auto& [cluster, known] : known_) {
    const bool running = known.published->running.load();
    const bool leads = known.published->role.load() == ServerRole::kLeader;
    overview.running += running ? 1 : 0;
    overview.leading += running && leads ? 1 : 0;
  }
  return overview;
}

void System::Impl::VisitStoreMetrics(void (*visit)(void* argument, const Metric& metric),
                                     void* argument) {
  const Visit inside(*this);
  if (!inside.refused()) store_->VisitMetrics(visit, argument);
}

std::vector<Leading> System::Impl::Leaderboard() const {
  const std::shared_lock lock(routes_mutex_);
  std::vector<Leading> board;
  for (const auto& [cluster, known] : known_) board.push_back({cluster, known.leader, known.term});
  return board;
}

}  // namespace duramen

namespace duramen::server {

Result<System> OpenSystem(const SystemOptions& options, const log::StorageEnvironment& environment,
                          const log::StorageTuning& tuning, std::uint64_t late_one_in) {
  Rng rng = environment.rng;
  const log::StorageEnvironment of_store{environment.file_system, environment.clock,
                                         environment.executor, Rng(rng.Next())};
  auto impl =
      std::make_unique<System::Impl>(options, environment.clock, environment.executor, rng);
  impl->late_one_in = late_one_in;
  TRY(impl->CheckOptions());
  LogStore store = TRY(log::OpenLogStore(options.storage, of_store, tuning));
  TRY(impl->Open(std::move(store)));
  return System(std::move(impl));
}

}  // namespace duramen::server
