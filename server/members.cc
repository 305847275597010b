// How clusters come to be, and how their members change.
#include <algorithm>
#include <set>
#include <utility>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/try.h"
#include "server/system_impl.h"

namespace duramen {

using server::Closed;
using server::Worker;

namespace {

constexpr std::int64_t kAgainNs = 5'000'000;

/// name \n config
std::string MachineRow(const ClusterOptions& cluster) {
  return cluster.machine + "\n" + cluster.config;
}

Status CheckCluster(const ClusterOptions& cluster) {
  const std::set<std::string> nodes(cluster.nodes.begin(), cluster.nodes.end());
  if (nodes.size() != cluster.nodes.size()) {
    return Error{ErrorCode::kInvalidArgument, "a node is named twice",
                 "a cluster has one member on each node"};
  }
  if (cluster.nodes.size() > core::kMembersMax) {
    return Error{ErrorCode::kInvalidArgument,
                 "a cluster on " + std::to_string(cluster.nodes.size()) + " nodes",
                 "it has " + std::to_string(core::kMembersMax) + " members at most"};
  }
  if (cluster.machine.empty() || cluster.machine.find('\n') != std::string::npos) {
    return Error{ErrorCode::kInvalidArgument, "'" + cluster.machine + "' is no name of a machine",
                 "one line, not empty"};
  }
  return {};
}

}  // namespace

/// Whether it was told which cluster it belongs to; one that was not has promised nothing.
bool System::Impl::IsChristened(LogRef log) const {
  const Result<server::Birth> birth = server::Replica::BirthOf(*store_, log);
  return birth.ok() || birth.error().code != ErrorCode::kNotFound;
}

std::shared_ptr<server::Errand> System::Impl::Prepare(const ClusterOptions& cluster) {
  Worker& worker = WorkerOf(cluster.name);
  return Send(worker, [this, &worker, cluster](server::Errand& errand) -> Status {
    if (FindMachine(cluster.machine) == nullptr) {
      return Error{ErrorCode::kNotFound,
                   "node '" + options.node + "' knows no machine '" + cluster.machine + "'",
                   "add it to the machines of the system's options"};
    }
    errand.uid = TRY(server::Replica::Register(*store_, worker.writer(), cluster.name));
    const LogRef log = TRY(store_->OpenLog(worker.writer(), cluster.name, OpenMode::kOpen));
    const server::Hosted* hosted = worker.Find(cluster.name);
    if (hosted != nullptr && hosted->leavetaking) {
      return Error{ErrorCode::kInUse,
                   "an earlier cluster '" + cluster.name + "' is deleted, but " +
                       std::to_string(hosted->leavetaking->left.size()) +
                       " of its members have not heard of it",
                   "bring their nodes up, or delete the server on node '" + options.node +
                       "' by force"};
    }
    if (IsChristened(log)) {
      return Error{ErrorCode::kAlreadyExists,
                   "node '" + options.node + "' has a server of cluster '" + cluster.name + "'",
                   "restart it, or delete it first"};
    }
    worker.Forget(cluster.name);  // A start that was cut short left no more than a name.
    return {};
  });
}

std::shared_ptr<server::Errand> System::Impl::Begin(const ClusterOptions& cluster,
                                                    const server::Birth& birth,
                                                    const ServerUid& uid, Deadline deadline) {
  Worker& worker = WorkerOf(cluster.name);
  return Send(worker, [this, &worker, cluster, birth, uid, deadline](server::Errand&) -> Status {
    const LogRef log = TRY(store_->OpenLog(worker.writer(), cluster.name, OpenMode::kOpen));
    const LogInfo info = TRY(store_->InfoOf(log));
    // Somebody else's, who took back what was prepared, and prepared it again.
    if (IsChristened(log) || info.uid != uid.ToString()) {
      return Error{ErrorCode::kAlreadyExists,
                   "somebody else has started cluster '" + cluster.name + "' meanwhile", ""};
    }
    const std::string row = MachineRow(cluster);
    TRY(worker.writer().Put(log, server::kMachineKey, AsBytes(row), Durability::kLazy));
    const Ticket ticket =
        TRY(server::Replica::Christen(*store_, worker.writer(), cluster.name, birth));
    TRY(worker.writer().Wait(ticket, deadline));
    return StartServer(worker, cluster.name);
  });
}

void System::Impl::Abandon(const std::string& cluster, ClusterId id, Deadline deadline) {
  Worker& worker = WorkerOf(cluster);
  (void)InWorker(worker, Deadline::max(), [this, &worker, cluster, id, deadline]() -> Status {
    const LogRef log = TRY(store_->OpenLog(worker.writer(), cluster, OpenMode::kOpen));
    const Result<server::Birth> birth = server::Replica::BirthOf(*store_, log);
    if (IsChristened(log) && (!birth.ok() || birth->cluster != id)) return {};  // Another's.
    return Delete(worker, cluster, deadline);
  });
}

/// A second word of it finds nothing.
void System::Impl::OnDeleted(const std::string& cluster) {
  Worker& worker = WorkerOf(cluster);
  const server::Hosted* hosted = worker.Find(cluster);
  if (hosted != nullptr && hosted->leavetaking) (void)Delete(worker, cluster, Deadline());
}

/// In its worker.
Status System::Impl::Delete(Worker& worker, const std::string& cluster, Deadline deadline) {
  const LogRef log = TRY(store_->OpenLog(worker.writer(), cluster, OpenMode::kOpen));
  const LogInfo info = TRY(store_->InfoOf(log));
  const ServerUid uid = TRY(Uid128::Parse(info.uid));
  const Ticket deletion = TRY(store_->DeleteLog(worker.writer(), log));
  worker.Forget(cluster);
  {
    const std::unique_lock lock(routes_mutex_);
    routes_.erase(uid);
    known_.erase(cluster);
  }
  return worker.writer().Wait(deletion, deadline);  // Then the name is free.
}

Status System::Impl::ForceDeleteServer(const std::string& cluster, Deadline deadline) {
  const Visit visit(*this);
  if (visit.refused()) return Closed();
  Worker& worker = WorkerOf(cluster);
  return InWorker(worker, deadline, [this, &worker, cluster, deadline] {
    return Delete(worker, cluster, deadline);
  });
}

template <typename Call>
auto System::Impl::On(const std::string& node, Call call)
    -> decltype(call(std::declval<server::Neighbour&>())) {
  if (node == options.node) return call(static_cast<server::Neighbour&>(*this));
  if (options.network != nullptr) return options.network->impl().network.With(node, call);
  return Error{ErrorCode::kNotFound, "no node '" + node + "' is on the network", ""};
}

/// A name that is being deleted is free in a moment, most often.
Status System::Impl::AwaitPrepared(const std::string& node, const ClusterOptions& cluster,
                                   std::shared_ptr<server::Errand>& errand, Deadline deadline) {
  for (;;) {
    const Status prepared = Finish(*errand, deadline);
    const Deadline soon(std::chrono::nanoseconds(clock_.NowNs() + kAgainNs));
    const bool taken = !prepared.ok() && prepared.error().code == ErrorCode::kInUse;
    if (!taken || soon >= deadline || closed_.load()) return prepared;
    (void)Await([](void*) { return false; }, nullptr, soon);
    errand = TRY(On(node, [&](server::Neighbour& there) {
      return Result<std::shared_ptr<server::Errand>>(there.Prepare(cluster));
    }));
  }
}

/// Every step is under way on all nodes at once. Who has not promised anything by its end is no
/// member; who has, is.
Result<StartedCluster> System::Impl::StartCluster(const ClusterOptions& given, Deadline deadline) {
  const Visit visit(*this);
  if (visit.refused()) return Closed();
  ClusterOptions cluster = given;
  if (cluster.nodes.empty()) cluster.nodes.push_back(options.node);
  TRY(CheckCluster(cluster));
  StartedCluster result;
  Status failure;
  std::vector<std::pair<std::string, std::shared_ptr<server::Errand>>> errands;
  for (const std::string& node : cluster.nodes) {
    auto sent = On(node, [&](server::Neighbour& there) {
      return Result<std::shared_ptr<server::Errand>>(there.Prepare(cluster));
    });
    if (sent.ok()) errands.emplace_back(node, std::move(*sent));
    if (!sent.ok()) result.not_started.push_back(node), failure = sent.error();
  }
  server::Birth birth;
  bool refused = false;
  for (auto& [node, errand] : errands) {
    const Status prepared = AwaitPrepared(node, cluster, errand, deadline);
    if (prepared.ok()) {
      // Of this call: another that is under way, or was before it, made another one [A15].
      const std::string seed = cluster.name + errand->uid.ToString();
      if (birth.cluster == 0) birth.cluster = Checksum(AsBytes(seed), NewNumber());
      birth.configuration = birth.configuration.With({.uid = errand->uid, .node = node});
      result.started.push_back(node);
      continue;
    }
    result.not_started.push_back(node);
    failure = prepared;
    refused = refused || prepared.error().code != ErrorCode::kTimeout;
  }
  if (refused || 2 * result.started.size() <= cluster.nodes.size()) {
    TakeBack(cluster.name, birth.cluster, cluster.nodes, deadline);
    return failure.error();
  }
  errands.clear();
  for (const core::Member& member : birth.configuration.members) {
    auto sent = On(member.node, [&](server::Neighbour& there) {
      return Result<std::shared_ptr<server::Errand>>(
          there.Begin(cluster, birth, member.uid, deadline));
    });
    if (sent.ok()) errands.emplace_back(member.node, std::move(*sent));
    if (!sent.ok()) failure = sent.error();
  }
  bool all = errands.size() == result.started.size();
  for (auto& [node, errand] : errands) {
    const Status begun = Finish(*errand, deadline);
    if (!begun.ok()) all = false, failure = begun;
  }
  if (all) return result;
  TakeBack(cluster.name, birth.cluster, result.started, deadline);
  return failure.error();
}

Status System::Impl::StartOrRestart(const ClusterOptions& cluster, Deadline deadline) {
  bool here = false;
  {
    const std::shared_lock lock(routes_mutex_);
    here = known_.contains(cluster.name);
  }
  if (here) {
    const Status restarted = RestartServer(cluster.name, deadline);
    if (restarted.ok() || restarted.error().code == ErrorCode::kAlreadyExists) return {};
    // A start that was cut short left a name, and nothing else.
    if (restarted.error().code != ErrorCode::kNotFound) return restarted;
  }
  TRY(StartCluster(cluster, deadline));
  return {};
}

/// Only what was begun as that cluster.
void System::Impl::TakeBack(const std::string& cluster, ClusterId id,
                            const std::vector<std::string>& nodes, Deadline deadline) {
  for (const std::string& node : nodes) {
    (void)On(node, [&](server::Neighbour& there) {
      there.Abandon(cluster, id, deadline);
      return Status();
    });
  }
}

/// The new one is told what the first ones were, and gets the log from its leader.
Result<bool> System::Impl::AddMember(const std::string& cluster, const std::string& node,
                                     Deadline deadline) {
  const Visit visit(*this);
  if (visit.refused()) return Closed();
  const Outcome invited =
      TRY(Ask({.ask = server::Ask::kInvite, .cluster = cluster, .target = node}, deadline));
  if (invited.answer == server::kNothingChanged) return false;
  const server::Invitation invitation = TRY(server::DecodeInvitation(invited.answer));
  const std::size_t end = std::min(invitation.machine.find('\n'), invitation.machine.size());
  ClusterOptions joining{.name = cluster, .machine = invitation.machine.substr(0, end)};
  if (end < invitation.machine.size()) joining.config = invitation.machine.substr(end + 1);
  using Sent = Result<std::shared_ptr<server::Errand>>;
  auto prepared =
      TRY(On(node, [&](server::Neighbour& there) { return Sent(there.Prepare(joining)); }));
  TRY(AwaitPrepared(node, joining, prepared, deadline));
  const ServerUid uid = prepared->uid;
  const Sent beginning = On(node, [&](server::Neighbour& there) {
    return Sent(there.Begin(joining, invitation.birth, uid, deadline));
  });
  const Status begun = beginning.ok() ? Finish(**beginning, deadline) : beginning.error();
  Result<Outcome> added = begun.ok() ? Outcome{} : Result<Outcome>(begun.error());
  if (begun.ok()) {
    added = Ask({.ask = server::Ask::kAdd, .cluster = cluster, .target = node, .uid = uid},
                deadline);
  }
  if (added.ok()) return added->answer != server::kNothingChanged;
  const ErrorCode code = added.error().code;
  // Somebody else's, who adds the same one.
  if (!begun.ok() && code == ErrorCode::kAlreadyExists) return added.error();
  // CL12: unless it may be a member all the same.
  const bool unknown = code == ErrorCode::kTimeout || code == ErrorCode::kClosed ||
                       code == ErrorCode::kMachineFailed;
  if (!begun.ok() || !unknown) TakeBack(cluster, invitation.birth.cluster, {node}, deadline);
  return added.error();
}

Result<bool> System::Impl::RemoveMember(const std::string& cluster, const std::string& node,
                                        Deadline deadline) {
  const Outcome outcome =
      TRY(Ask({.ask = server::Ask::kRemove, .cluster = cluster, .target = node}, deadline));
  return outcome.answer != server::kNothingChanged;
}

}  // namespace duramen
