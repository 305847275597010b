// One thread's servers: it feeds them messages, requests, time and the Writer's news, and carries
// away what they send and answer, one parcel list per node and step.
//
// An actor, owned by its system; what is marked so may be called from any thread, all else in its
// Step or in a Call. It has a Writer of its own, so a server never changes its worker. What stays
// true: each request gets exactly one response; requests that wait are bounded in bytes.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/actor.h"
#include "base/clock.h"
#include "base/rng.h"
#include "server/hosted_machine.h"
#include "server/machine_call.h"
#include "server/parcel.h"

namespace duramen::server {

/// Everything outlives the worker.
struct WorkerPlace {
  LogStore& store;
  Clock& clock;
  ActorExecutor& executor;
  Router& router;
  MachineGuard* guard = nullptr;  // null: nobody takes it away from a call
  core::Microseconds machine_timeout = 0;  // of a call that was left; 0: none
  std::uint64_t late_one_in = 0;  // in simulations: of so many calls one returns late
};

struct WorkerLimits {
  std::uint64_t inbox_bytes_max = 0;
  std::uint64_t low_flush = 16;  // commands of low priority of a server in one step
  core::Microseconds wait_max = 0;  // of what waits until something is applied
};

/// What anybody may read of a server at any time.
struct Published {
  std::atomic<ServerRole> role{ServerRole::kFollower};
  std::atomic<bool> running{false};
  std::atomic<Term> term{0};
  std::atomic<Index> last_index{0};
  std::atomic<Index> commit_index{0};
  std::atomic<Index> applied_index{0};
  std::atomic<std::uint64_t> commands{0};
  std::atomic<std::uint64_t> elections{0};
  std::atomic<std::uint64_t> observer_failures{0};
};

ServerRole RoleOf(core::RoleKind kind);

struct ServerSetup {
  std::string cluster;  // and the name of its log
  std::unique_ptr<HostedMachine> machine;
  core::CoreSettings settings;
  std::shared_ptr<Published> published;
};

/// What waits until a server has applied so much.
struct Waiter {
  std::variant<Request, Relay> what;
  core::Microseconds until = 0;

  std::size_t bytes() const {
    if (const auto* request = std::get_if<Request>(&what)) return request->payload.size();
    return std::get<Relay>(what).outcome.answer.size();
  }
};

/// A server whose cluster was deleted: it goes once all others have it durable, too.
struct Leavetaking {
  Birth deleted;
  std::optional<Ticket> ticket;  // of the row that says so; nothing: not put yet
  bool durable = false;
  std::vector<core::Member> left;  // who may not know it
  core::Microseconds again_at = 0;  // they are told again: the one word may have come too early
};

/// What a leader does for its machine.
struct MachineDuties {
  std::map<std::string, core::Microseconds> timers;
  std::set<std::pair<core::Microseconds, std::string>> by_time;  // the same
  std::set<std::string> monitors;  // nodes
  std::optional<core::Microseconds> tick_at;
};

/// A server and what its worker knows of it.
struct Hosted {
  static constexpr core::Microseconds kNoTimer = UINT64_MAX;

  std::string cluster;
  ServerUid uid;
  LogRef log;
  std::shared_ptr<HostedMachine> machine;  // not to be touched while it is away
  std::shared_ptr<CallUnderWay> away;      // the call that it is in; null: none
  core::Microseconds away_until = 0;
  std::list<MachineCall> held;             // until it is back
  bool work_queued = false;
  std::unique_ptr<Replica> replica;  // null: it is stopped
  std::optional<Error> stopped;
  core::Microseconds timer_at = kNoTimer;
  bool waiting = false;
  bool removed = false;
  std::vector<std::string> others;  // once it is stopped: nodes that may know more
  std::vector<Proposal> batch;  // commands of this step, not proposed yet
  std::list<Proposal> low;      // those of low priority
  std::multimap<Index, Waiter> waiters;
  core::Microseconds waiters_until = kNoTimer;  // the first of them
  std::unique_ptr<MachineDuties> duties;  // null: none
  std::unique_ptr<Leavetaking> leavetaking;
  ServerRole told_role = ServerRole::kFollower;  // as the machine knows it
  Term told_role_term = 0;
  std::optional<Index> told_members;  // where that configuration stands
  std::shared_ptr<Published> published;
  Term told_term = 0;           // of the leader that the system was told of
  ServerUid told_leader;
  bool told_node = false;  // it had a node; else a configuration that names it may yet come
};

class Worker final : public Actor, private Executor, private ReplicaHost {
 public:
  Worker(const WorkerPlace& place, Writer writer, Rng rng, const WorkerLimits& limits);
  ~Worker() override;

  /// Any thread. Errors: kOverloaded.
  Status Take(Request request);
  void Take(std::vector<Parcel> parcels);
  /// Of a call that was left.
  void Take(std::shared_ptr<CallUnderWay> returned);
  std::shared_ptr<CallUnderWay> call_under_way() const;
  /// Of the guard: another thread goes on, if that call still runs.
  void LeaveCall(CallUnderWay& call);
  /// Calls that were left and have not returned.
  std::uint64_t calls_left() const { return late_->left.load(); }
  /// In its thread, in the order of the calls; behind all that was taken before.
  void Call(std::function<void()> call);

  std::int64_t Step() override;
  const char* name() const override { return "worker"; }
  bool HasWork() const override { return awake_.load(); }

  /// Errors: kAlreadyExists; those of Replica::Start.
  Status StartServer(ServerSetup setup);
  /// A server that could not be started; `why` is its status.
  void NoteStopped(const std::string& cluster, const LogInfo& log, Error why);
  /// As NoteStopped, of a cluster that was deleted: what its row says.
  void NoteDeleted(const std::string& cluster, const LogInfo& log, const Birth& deleted);
  /// Idempotent. It stays in the list; what it has under way is unknown.
  void StopServer(const std::string& cluster);
  /// Stops it, and takes it off the list.
  void Forget(const std::string& cluster);
  /// Of the network: that node is there, in that life, or is gone.
  void OnNode(const std::string& node, std::optional<std::uint64_t> boot);
  const Hosted* Find(const std::string& cluster) const;
  /// Any thread: of what waits to be taken.
  std::uint64_t inbox_bytes() const;
  Writer& writer() { return writer_; }

 private:
  struct Pending {
    std::uint64_t ticket = 0;  // its place is the lower half; 0: free
    Asker asker;
    ServerUid server;
    std::vector<std::byte> query;
    std::string reply_from;
    bool answers_written = false;
  };
  using Item = std::variant<Parcel, std::function<void()>, std::shared_ptr<CallUnderWay>>;

  void Post(void (*run)(void*) noexcept, void* argument) noexcept override;
  void Send(Replica& from, Envelope envelope) override;
  void OnReply(Replica& replica, const core::Reply& reply) override;
  void OnApplied(Replica& replica, std::uint64_t ticket, Applied applied) override;
  void OnWritten(Replica& replica, std::uint64_t ticket, core::LogEnd at) override;
  void OnQuery(Replica& replica, std::uint64_t ticket) override;
  void OnRemoved(Replica& replica) override;
  bool applies() const override { return true; }

  Hosted& Enter(const std::string& cluster, const ServerUid& uid, LogRef log);
  Hosted* HostedOf(const ServerUid& uid);
  static Hosted* HostedOf(const Replica& replica) {
    return static_cast<Hosted*>(replica.context());
  }
  Hosted* Named(const std::string& cluster);
  void Handle(Item& item);
  std::int64_t NextStep() const;
  void Handle(Envelope& envelope);
  void Handle(Request& request);
  void Handle(Response&) {}
  void Handle(Notice&) {}
  void Handle(Relay& relay);
  void Handle(Farewell& farewell);
  void Handle(PeerNotice& notice);
  void Command(Hosted& hosted, Request& request);
  void ProposeBatch(Hosted& hosted);
  void ProposeBatches();
  void ProposeLow(Hosted& hosted);
  void AddToBatch(Hosted& hosted, Proposal proposal);
  void Query(Hosted& hosted, Request& request);
  bool WaitsForToken(Hosted& hosted, Request& request);
  void Aux(Hosted& hosted, Request& request);
  void Transfer(Hosted& hosted, Request& request);
  void Change(Hosted& hosted, Request& request);
  void Invite(Hosted& hosted, Request& request);
  void Delete(Hosted& hosted, Request& request);
  void TakeLeave(Hosted& hosted, const Birth& deleted);
  void TakeLeaves();
  void SayFarewell(const Hosted& hosted, const core::Member& to, bool reply);
  void RefuseNotLeader(Hosted& hosted, const Request& request);
  void RefuseStopped(Hosted& hosted, const Request& request);
  void Handle(const std::shared_ptr<CallUnderWay>& returned);
  void Tell(Hosted& hosted, MachineEvent event);
  void Ask(Hosted& hosted, std::vector<std::byte> query, Asker asker);
  void QueueWork(Hosted& hosted);
  bool MakeCalls();
  bool Prepare(MachineCall& call);
  bool Make(MachineCall& call);
  void ReturnLate(MachineCall& call);
  void PassOn(MachineCall& call, const Hosted* hosted);
  void Finish(MachineCall& call);
  void Settle(Hosted& hosted);
  void NoticeLeft();
  void StopStuck();
  /// One event for one server, and all that follows from it.
  void StepOne(Hosted& hosted, core::EventBody body);
  void After(Hosted& hosted);
  /// What the machine is to be told, and what it wants.
  void TellMachine(Hosted& hosted);
  void GrantWishes(Hosted& hosted);
  void Grant(Hosted& hosted, Wish::Append& wish);
  void Grant(Hosted& hosted, Wish::Send& wish);
  void Grant(Hosted& hosted, Wish::Timer& wish);
  void Grant(Hosted& hosted, Wish::Monitor& wish);
  void Grant(Hosted& hosted, Wish::Aux& wish);
  void RunDuties(Hosted& hosted);
  void AddWaiter(Hosted& hosted, Index index, std::variant<Request, Relay> what);
  /// Who waited for what is applied by now, or waited too long.
  void ReleaseWaiters(Hosted& hosted);
  void Pass(Relay& relay);
  void PassAtOnce(Parcel& parcel);
  core::Microseconds DueOf(const Hosted& hosted) const;
  void Publish(Hosted& hosted);
  void Stop(Hosted& hosted, Error why);
  void TellPeers(const Hosted& hosted, std::optional<std::uint64_t> boot);
  void TakeNews();
  void RunTimers();
  void TellLeader(Hosted& hosted);
  void TellNodes(Hosted& hosted);
  void Answer(const Asker& asker, Outcome outcome);
  void Refuse(const Asker& asker, Error error, std::string leader = {});
  std::uint64_t NewTicket(Hosted& hosted, Request& request);
  std::optional<Pending> TakePending(std::uint64_t ticket);
  void Flush();

  WorkerPlace place_;
  Rng rng_;
  WorkerLimits limits_;

  mutable std::mutex mutex_;  // of the next four
  std::vector<Item> inbox_;
  std::uint64_t inbox_bytes_ = 0;
  void (*posted_)(void*) noexcept = nullptr;
  void* posted_argument_ = nullptr;
  std::atomic<bool> awake_{false};

  std::vector<Item> taken_;  // of this step
  core::Microseconds now_ = 0;
  std::int64_t unix_ms_ = 0;  // of this step
  std::map<ServerUid, Hosted> servers_;
  std::unordered_map<std::string, Hosted*> by_cluster_;
  std::unordered_map<std::uint32_t, Hosted*> by_slot_;
  std::set<std::pair<core::Microseconds, ServerUid>> timers_;
  std::vector<Hosted*> waiting_;
  std::vector<Hosted*> batched_;
  std::vector<Hosted*> leaving_;
  core::Microseconds leave_due_ = Hosted::kNoTimer;  // when one of them has something to do
  std::deque<MachineCall> calls_;  // in order, also of one server
  std::shared_ptr<CallUnderWay> call_ = std::make_shared<CallUnderWay>();  // `mutex_`, for others
  std::shared_ptr<LateBox> late_ = std::make_shared<LateBox>();
  std::vector<ServerUid> away_;
  core::Microseconds away_due_ = Hosted::kNoTimer;
  std::vector<Hosted*> low_;  // with commands of low priority
  std::uint64_t low_bytes_ = 0;
  std::vector<Pending> pending_;
  std::vector<std::uint32_t> free_pending_;
  std::uint64_t query_bytes_ = 0;  // of those that wait
  std::uint64_t next_ticket_ = 1;
  std::map<std::string, std::vector<Parcel>> outbox_;
  std::map<ServerUid, std::string> addresses_;  // nodes of members, present and former
  std::map<std::string, std::uint64_t> nodes_;  // that are there, and their boots
  std::set<std::string> gone_;
  Writer writer_;  // last: nothing calls back once it is gone
};

}  // namespace duramen::server
