#include "duramen/system.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "base/checksum.h"
#include "base/thread_executor.h"
#include "base/try.h"
#include "server/system_impl.h"

namespace duramen {

using server::Closed;
using server::Worker;

namespace {

constexpr std::size_t kWorkersMax = 64;

Error Late(const char* what) {
  return {ErrorCode::kTimeout, std::string("the deadline passed before ") + what, "try again"};
}

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

/// Done once `call` has run in its worker; shared with it, since the caller may give up waiting.
struct Errand {
  std::atomic<bool> done{false};
  Status result;
};

}  // namespace

System::Impl::Impl(const SystemOptions& given, Clock& clock, ActorExecutor& executor, Rng rng)
    : options(given), clock_(clock), executor_(executor), rng_(rng) {}

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
  TRY(core::Validate(Settings()));
  if (options.node.empty() || options.node.size() > 255) {
    return Error{ErrorCode::kConfiguration, "node has " + std::to_string(options.node.size()) +
                                                " bytes",
                 "a node's name has 1 to 255"};
  }
  if (options.workers > kWorkersMax) {
    return Error{ErrorCode::kConfiguration, "workers is above " + std::to_string(kWorkersMax),
                 "0 makes one for each processor"};
  }
  return {};
}

Status System::Impl::Open(LogStore store) {
  store_.emplace(std::move(store));
  std::size_t workers = options.workers;
  if (workers == 0) workers = std::clamp<std::size_t>(std::thread::hardware_concurrency(), 1, 64);
  for (std::size_t number = 0; number < workers; ++number) {
    Writer writer = TRY(store_->NewWriter());
    workers_.push_back(std::make_unique<Worker>(
        server::WorkerPlace{*store_, clock_, executor_, *this}, std::move(writer),
        Rng(rng_.Next()), options.inbox_bytes_max));
  }
  for (; running_ < workers_.size(); ++running_) executor_.Start(*workers_[running_]);
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
  workers_.clear();
  GiveUp({});
  if (!store_) return {};
  const Status closed = store_->Close(deadline);
  store_.reset();
  return closed;
}

Worker& System::Impl::WorkerOf(std::string_view cluster) {
  return *workers_[Checksum(AsBytes(cluster), 0) % workers_.size()];
}

bool System::Impl::Await(bool (*done)(void*), void* argument, Deadline deadline) {
  return executor_.Await(done, argument, deadline);
}

Status System::Impl::InWorker(Worker& worker, Deadline deadline, std::function<Status()> call) {
  const auto errand = std::make_shared<Errand>();
  worker.Call([this, errand, call = std::move(call)] {
    errand->result = call();
    errand->done.store(true);
    executor_.Progress();
  });
  const auto done = [](void* argument) { return static_cast<Errand*>(argument)->done.load(); };
  if (!Await(done, errand.get(), deadline)) return Late("the worker came to it");
  return errand->result;
}

const MachineType* System::Impl::FindMachine(const std::string& name) const {
  const auto found = std::ranges::find(options.machines, name, &MachineType::name);
  return found == options.machines.end() ? nullptr : &*found;
}

/// In its worker. One that does not start is there all the same, for its status to say why.
Status System::Impl::StartServer(Worker& worker, const std::string& cluster) {
  const LogRef log = TRY(store_->OpenLog(worker.writer(), cluster, OpenMode::kOpen));
  const LogInfo info = TRY(store_->InfoOf(log));
  const ServerUid uid = TRY(Uid128::Parse(info.uid));
  {
    const std::unique_lock lock(routes_mutex_);
    routes_[uid] = &worker;
    leaders_.try_emplace(cluster);
  }
  const Status started = StartServer(worker, cluster, info);
  if (!started.ok()) worker.NoteStopped(cluster, info, started.error());
  return started;
}

Status System::Impl::StartServer(Worker& worker, const std::string& cluster, const LogInfo& log) {
  const Result<server::Birth> birth = server::Replica::BirthOf(*store_, log.log);
  if (!birth.ok() && birth.error().code == ErrorCode::kNotFound) {
    return Error{ErrorCode::kNotFound, "the start of cluster '" + cluster + "' was cut short here",
                 "start the cluster again"};
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
  auto machine = TRY(server::HostedMachine::Make(*type));
  TRY(machine->Init({.cluster = cluster,
                     .uid = log.uid,
                     .config = end < row.size() ? row.substr(end + 1) : ""}));
  return worker.StartServer(
      {.cluster = cluster, .machine = std::move(machine), .settings = Settings()});
}

/// All workers at once.
void System::Impl::RestartAll() {
  std::map<Worker*, std::vector<std::string>> names;
  for (const LogInfo& info : store_->Logs()) names[&WorkerOf(info.name)].push_back(info.name);
  std::atomic<std::size_t> left = names.size();
  for (const auto& one : names) {
    one.first->Call([this, &one, &left] {
      for (const std::string& name : one.second) (void)StartServer(*one.first, name);
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
    Leader& known = leaders_[cluster];
    if (term < known.term) return;
    known = {node, term};
  }
  executor_.Progress();
}

std::string System::Impl::LeaderNode(const std::string& cluster) const {
  const std::shared_lock lock(routes_mutex_);
  const auto found = leaders_.find(cluster);
  return found == leaders_.end() ? "" : found->second.node;
}

std::vector<std::string> System::Impl::Clusters() const {
  const std::shared_lock lock(routes_mutex_);
  std::vector<std::string> names;
  for (const auto& [name, leader] : leaders_) names.push_back(name);
  return names;
}

Result<std::string> System::Impl::AwaitLeader(const std::string& cluster, Deadline deadline) {
  const Visit visit(*this);
  if (visit.refused()) return Closed();
  struct Waiting {
    const Impl* impl;
    const std::string& cluster;
    bool closed;
  } waiting{this, cluster, false};
  {
    const std::shared_lock lock(routes_mutex_);
    if (leaders_.count(cluster) == 0) {
      return Error{ErrorCode::kNotFound, "no server of cluster '" + cluster + "' is here", ""};
    }
  }
  const auto done = [](void* argument) {
    auto* self = static_cast<Waiting*>(argument);
    return self->impl->closed_.load() || !self->impl->LeaderNode(self->cluster).empty();
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
    status->leader = LeaderNode(cluster);
    if (!hosted->replica) return {};
    const core::Core& core = hosted->replica->core();
    status->role = RoleOf(core.role_kind());
    status->term = core.term();
    status->last_index = core.log().last().index;
    status->commit_index = core.commit();
    status->applied_index = hosted->replica->applied();
    status->idle = !core.next_deadline() && !hosted->replica->waits();
    for (const core::Member& member : core.configuration().members)
      status->members.push_back({member.node, member.uid.ToString(), RoleOf(member.role)});
    return {};
  });
  if (!asked.ok()) return asked.error();
  return *status;
}

}  // namespace duramen

namespace duramen::server {

Result<System> OpenSystem(const SystemOptions& options, const log::StorageEnvironment& environment,
                          const log::StorageTuning& tuning) {
  Rng rng = environment.rng;
  const log::StorageEnvironment of_store{environment.file_system, environment.clock,
                                         environment.executor, Rng(rng.Next())};
  auto impl =
      std::make_unique<System::Impl>(options, environment.clock, environment.executor, rng);
  TRY(impl->CheckOptions());
  LogStore store = TRY(log::OpenLogStore(options.storage, of_store, tuning));
  TRY(impl->Open(std::move(store)));
  return System(std::move(impl));
}

}  // namespace duramen::server
