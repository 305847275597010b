// One system: its store, its workers, its clients, and its place on the network.
//
// Owned by System, or by a test. What stays true: a cluster's server is one worker's for the life
// of the system; each sync call's client goes with it; nobody comes in once Close has begun.
#pragma once

#include <atomic>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/actor.h"
#include "base/clock.h"
#include "duramen/system.h"
#include "log/storage.h"
#include "server/local_network.h"
#include "server/worker.h"

namespace duramen {

namespace server {

inline Error Closed() { return {ErrorCode::kClosed, "the system is closed", ""}; }

}  // namespace server

struct Client::Impl {
  /// One that is under way. Its place is the lower half of its number, which no other has.
  struct Call {
    std::uint64_t number = 0;  // 0: free
    std::uint64_t correlation = 0;
    std::string node;   // where it went
    std::string relay;  // who passes the outcome on
  };
  System::Impl* system = nullptr;
  std::uint64_t number = 0;
  std::mutex mutex;  // of the next six
  std::vector<Outcome> fresh;
  std::deque<Message> messages;
  std::vector<Call> calls;
  std::vector<std::uint32_t> free_calls;
  std::size_t under_way = 0;
  std::uint64_t next_call = 1;
  std::vector<Outcome> taken;  // of the last Poll: the caller's thread alone
  std::vector<Message> taken_messages;

  /// Whether there is anything to take.
  bool Rings() {
    const std::lock_guard lock(mutex);
    return !fresh.empty() || !messages.empty();
  }
  // With the mutex held.
  Call& Begin();
  /// Null: that call has ended.
  Call* Find(std::uint64_t call_number);
  void End(Call& call);
};

struct System::Impl final : private server::Router, private server::Neighbour {
  Impl(const SystemOptions& options, Clock& clock, ActorExecutor& executor, Rng rng);
  ~Impl() override;

  /// On this machine's own clock, threads and files.
  static Result<System> OpenHere(const SystemOptions& options);
  Status CheckOptions() const;
  Status Open(LogStore store);
  Status Close(Deadline deadline);
  Result<StartedCluster> StartCluster(const ClusterOptions& options, Deadline deadline);
  Status StartOrRestart(const ClusterOptions& options, Deadline deadline);
  Result<bool> AddMember(const std::string& cluster, const std::string& node, Deadline deadline);
  Result<bool> RemoveMember(const std::string& cluster, const std::string& node, Deadline deadline);
  Status StopServer(const std::string& cluster, Deadline deadline);
  Status ForceDeleteServer(const std::string& cluster, Deadline deadline);
  Status RestartServer(const std::string& cluster, Deadline deadline);
  Result<std::string> AwaitLeader(const std::string& cluster, Deadline deadline);
  Result<ServerStatus> StatusOf(const std::string& cluster, Deadline deadline);
  std::vector<std::string> Clusters() const;
  Result<KeyMetrics> MetricsOf(std::string_view cluster) const;
  SystemOverview Overview();
  void VisitStoreMetrics(void (*visit)(void* argument, const Metric& metric), void* argument);
  std::vector<Leading> Leaderboard() const;

  /// Of no other call, in no life of this node.
  std::uint64_t NewNumber();
  std::shared_ptr<Client::Impl> NewClient();
  void DropClient(Client::Impl& client);
  /// To `to`, if that is named and there, else to the leader, as far as it is known, else to the
  /// server that is here. Errors: kNotFound, kTooLarge, kOverloaded, kClosed.
  Status Post(Client::Impl& client, server::Request request, const std::string& to = {});
  /// Follows the leader until the deadline.
  Result<Outcome> Ask(server::Request request, Deadline deadline);
  bool Await(bool (*done)(void*), void* argument, Deadline deadline);
  bool IsPast(Deadline deadline) const {
    return deadline <= Deadline(std::chrono::nanoseconds(clock_.NowNs()));
  }
  bool closed() const { return closed_.load(); }

  /// A caller who is in; Close waits for those, and lets nobody in any more.
  class Visit {
   public:
    explicit Visit(Impl& impl) : impl_(impl) { impl_.inside_.fetch_add(1); }
    ~Visit() {
      impl_.inside_.fetch_sub(1);
      if (impl_.closed()) impl_.executor_.Progress();
    }
    Visit(const Visit&) = delete;
    Visit& operator=(const Visit&) = delete;
    bool refused() const { return impl_.closed(); }

   private:
    Impl& impl_;
  };

  SystemOptions options;
  std::unique_ptr<Clock> own_clock;
  std::unique_ptr<ActorExecutor> own_executor;
  std::uint64_t late_one_in = 0;  // WorkerPlace's

 private:
  struct Known {
    std::string leader;  // its node; empty: none is known
    Term term = 0;
    std::shared_ptr<server::Published> published = std::make_shared<server::Published>();
  };

  void Send(const std::string& node, std::vector<server::Parcel> parcels) override;
  void OnLeader(const std::string& cluster, const std::string& node, Term term) override;
  void OnDeleted(const std::string& cluster) override;
  const std::string& node() const override { return options.node; }
  void Deliver(std::vector<server::Parcel> parcels) override;
  void OnNode(const std::string& node, std::optional<std::uint64_t> boot) override;
  std::shared_ptr<server::Errand> Prepare(const ClusterOptions& cluster) override;
  std::shared_ptr<server::Errand> Begin(const ClusterOptions& cluster, const server::Birth& birth,
                                        const ServerUid& uid, Deadline deadline) override;
  void Abandon(const std::string& cluster, ClusterId id, Deadline deadline) override;

  bool IsChristened(LogRef log) const;
  bool HasLog(const ServerUid& uid) const;
  Status Delete(server::Worker& worker, const std::string& cluster, Deadline deadline);
  template <typename Call>
  auto On(const std::string& node, Call call)
      -> decltype(call(std::declval<server::Neighbour&>()));
  Status AwaitPrepared(const std::string& node, const ClusterOptions& cluster,
                       std::shared_ptr<server::Errand>& errand, Deadline deadline);
  void TakeBack(const std::string& cluster, ClusterId id, const std::vector<std::string>& nodes,
                Deadline deadline);

  void TakeResponses(std::vector<server::Parcel>& parcels);
  void TakeNotice(server::Notice& notice);
  Status Check(const server::Request& request) const;
  std::shared_ptr<Client::Impl> FindClient(std::uint64_t number);
  /// What went there has no answer.
  void GiveUp(const std::string& node);
  Status Submit(server::Request request, const std::string& to);
  server::Worker& WorkerOf(std::string_view cluster);
  /// Runs `call` in the thread of that worker. Errors: kTimeout, kClosed; those of `call`.
  Status InWorker(server::Worker& worker, Deadline deadline, std::function<Status()> call);
  std::shared_ptr<server::Errand> Send(server::Worker& worker,
                                       std::function<Status(server::Errand&)> call);
  /// Errors: kTimeout; its own.
  Status Finish(server::Errand& errand, Deadline deadline);
  Result<ServerUid> Enlist(server::Worker& worker, const std::string& cluster, LogInfo& info);
  bool StartsAtOpen(const std::string& cluster) const;
  Status StartServer(server::Worker& worker, const std::string& cluster);
  Status StartServer(server::Worker& worker, const std::string& cluster, const LogInfo& log);
  Status CheckNode(const server::Hosted& hosted) const;
  void RestartAll();
  const MachineType* FindMachine(const std::string& name) const;
  core::CoreSettings Settings() const;
  /// As far as it is known; empty: it is not. Errors: kNotFound: the cluster has no server here.
  Result<std::string> LeaderNode(const std::string& cluster) const;

  Clock& clock_;
  ActorExecutor& executor_;
  Rng rng_;
  std::optional<LogStore> store_;
  std::vector<std::unique_ptr<server::Worker>> workers_;
  std::unique_ptr<server::MachineGuard> guard_;
  bool guarded_ = false;
  /// Of the logs that were there before, in another shard than that of the worker that their names
  /// fall to. Not changed once a worker runs.
  std::map<std::string, server::Worker*, std::less<>> placed_;
  bool joined_ = false;
  std::size_t running_ = 0;  // of the workers
  std::atomic<bool> closed_{false};
  std::atomic<std::uint64_t> inside_{0};

  mutable std::shared_mutex routes_mutex_;  // of the next two
  std::map<ServerUid, server::Worker*> routes_;
  std::map<std::string, Known, std::less<>> known_;  // of the clusters that have a server here

  std::mutex clients_mutex_;
  std::unordered_map<std::uint64_t, std::shared_ptr<Client::Impl>> clients_;
  std::uint64_t next_number_;  // from anywhere: no other life of this node has the same
};

namespace server {

/// System::Open on other seams than those of the machine; for tests. They outlive the system. Of so
/// many calls of machines one returns late, as if it took long; 0: none.
Result<System> OpenSystem(const SystemOptions& options, const log::StorageEnvironment& environment,
                          const log::StorageTuning& tuning, std::uint64_t late_one_in = 0);

}  // namespace server
}  // namespace duramen
