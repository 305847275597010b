// Raft servers in this process: many clusters on one log store.
//
//   System::Open -> StartCluster -> Execute(command) -> Query
//
// Every call is safe from any thread. Those with a deadline wait; those of a Client do not. Several
// systems of one process reach each other through a LocalNetwork. C++20, standard library only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "duramen/log_store.h"
#include "duramen/machine.h"
#include "duramen/result.h"
#include "duramen/types.h"

namespace duramen {
inline namespace v1 {

/// How systems of one process reach each other. Outlives them, by being shared.
class LocalNetwork final {
 public:
  LocalNetwork();
  ~LocalNetwork();
  struct Impl;
  Impl& impl() noexcept { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

/// Which servers start with their system; the others wait for RestartServer.
enum class RecoveryStrategy : std::uint8_t { kAll, kNone };

/// Times in milliseconds.
struct SystemOptions {
  LogStoreOptions storage;
  std::string node = "local";             // its name on the network: 1 to 255 bytes
  std::shared_ptr<LocalNetwork> network;  // null: it is alone
  std::vector<MachineType> machines;
  std::uint64_t workers = 0;  // threads that run servers, at most 64; 0: one for each processor
  std::uint64_t election_timeout_min = 1000;
  std::uint64_t election_timeout_max = 2000;
  std::uint64_t heartbeat_interval = 250;
  std::uint64_t clock_drift_margin = 0;           // 0: a read by lease asks the others, too
  std::uint64_t max_command_bytes = 1ULL << 20;   // one above is refused
  std::uint64_t inbox_bytes_max = 64ULL << 20;    // of each worker; above it commands are refused
  std::uint64_t low_priority_commands_flush_size = 16;  // of a server, in one step
  std::uint64_t await_condition_timeout = 30000;  // a query waits for its token no longer
  std::uint64_t machine_timeout = 10000;  // a server whose machine takes longer stops; 0: none does
  bool local_queries = true;                      // false: Consistency::kLocal is refused
  RecoveryStrategy server_recovery_strategy = RecoveryStrategy::kAll;
  /// Asked of each cluster that has a log here, when the system opens, by several threads at once;
  /// null: that strategy says it.
  std::function<bool(std::string_view cluster)> recovers;
  std::shared_ptr<Observer> observer;  // of all its servers; null: there is none
};

struct ClusterOptions {
  std::string name;     // as of a log: 1 to 255 bytes of UTF-8
  std::string machine;  // a MachineType that every node has
  std::string config;   // for Machine::Init
  std::vector<std::string> nodes;  // one member on each; empty: one, here
};

/// Only voters vote and lead. A promotable member becomes one once it has what the log held when
/// it came.
enum class MemberRole : std::uint8_t { kVoter, kPromotable, kNonVoter };

struct MemberStatus {
  std::string node;
  std::string uid;
  MemberRole role = MemberRole::kVoter;
};

/// A leader's view of another member. Lag in entries that it does not have durable.
struct PeerStatus {
  std::string node;
  std::string uid;
  Index match = 0;
  Index next = 0;
  Index lag = 0;
  bool responsive = false;
};

struct ServerStatus {
  std::string cluster;
  std::string uid;
  ServerRole role = ServerRole::kFollower;
  Term term = 0;
  std::string leader;  // its node, empty: none is known
  Index last_index = 0;
  Index commit_index = 0;
  Index applied_index = 0;
  bool machine_busy = false;  // in a call that takes so long that the others did not wait for it
  bool idle = false;  // nothing is under way: it sends nothing and waits for no time
  std::uint32_t machine_version = 0;  // of the cluster, as applied here
  std::vector<MemberStatus> members;  // as it knows them
  std::vector<PeerStatus> peers;      // of a leader
  std::optional<Error> stopped;       // why it does nothing any more
};

/// Published by the server after each step, read without asking it: each number is true of some
/// moment, and they need not be of the same.
struct KeyMetrics {
  std::string cluster;
  ServerRole role = ServerRole::kFollower;
  bool running = false;
  Term term = 0;
  Index last_index = 0;
  Index commit_index = 0;
  Index applied_index = 0;
  std::uint64_t commands = 0;  // that were proposed here, in this life
  std::uint64_t elections = 0;  // that it stood for
  std::uint64_t observer_failures = 0;  // calls of its observer that threw, in this life
};

struct Leading {
  std::string cluster;
  std::string leader;  // its node, empty: none is known here
  Term term = 0;
};

struct SystemOverview {
  std::string node;
  std::vector<std::string> nodes;  // of the network that are there
  std::uint64_t servers = 0;       // that have a log here
  std::uint64_t running = 0;
  std::uint64_t leading = 0;
  std::uint64_t workers = 0;
  std::uint64_t clients = 0;
  std::uint64_t inbox_bytes = 0;  // that wait for the workers
  std::uint64_t calls_left = 0;   // of machines, which take long: each has a thread of its own
};

/// What became of a command or query.
struct Outcome {
  std::uint64_t correlation = 0;  // as given
  /// kNotLeader: `leader` is whom to ask, if known. kTimeout: unknown; it may happen yet.
  std::optional<Error> error;
  std::string leader;
  Index index = 0;  // where a command stands
  Term term = 0;
  std::string answer;
};

/// Where an acknowledged command stands, of its Outcome. Index 0: nowhere.
struct Token {
  Index index = 0;
  Term term = 0;
};

enum class Consistency : std::uint8_t {
  kLocal,       // what this system's member has applied; may be old
  kLeader,      // what a server that thinks it leads has applied
  kConsistent,  // all that was acknowledged before the query began
  kLease,       // the same without asking the others, as long as clocks keep to clock_drift_margin
  kThroughLog,  // the same as an entry of the log: dear, but needs nothing else
};

struct QueryOptions {
  Consistency consistency = Consistency::kConsistent;
  /// The member that answers has applied that first: read what you wrote on any member. kRefused:
  /// another entry stands there, so that command was lost.
  Token after;
};

enum class ReplyWhen : std::uint8_t {
  kApplied,
  kWritten,  // durable at its leader, though not committed: it may be lost yet; no answer
  kNever,    // no outcome at all
};

enum class Priority : std::uint8_t {
  kNormal,
  kLow,  // held back behind the others, low_priority_commands_flush_size at a time
};

/// A command's place in a session of System::OpenSession: sequences count from 1, each for one
/// command. At most 64 above `acknowledged` are kept: those up to it have answers, or never will.
struct InSession {
  std::uint64_t session = 0;
  std::uint64_t sequence = 0;
  std::uint64_t acknowledged = 0;
};

struct SendOptions {
  ReplyWhen reply = ReplyWhen::kApplied;
  Priority priority = Priority::kNormal;
  /// The outcome comes once the member on that node has applied the command; from the leader all
  /// the same, if there is none that runs.
  std::string reply_from;
  /// Executes once, however often it is sent with that place: one that ran gets the answer that it
  /// had. An outcome of kStaleRef: so long ago that nobody knows.
  std::optional<InSession> place;
};

/// Of a machine's Effects::Send.
struct Message {
  std::string cluster;
  std::string payload;
};

/// A caller's end of many calls under way: what is sent comes back as outcomes, in no fixed order.
/// One thread at a time. Its system outlives it.
class Client final {
 public:
  Client(Client&& other) noexcept;
  Client& operator=(Client&&) = delete;
  ~Client();
  /// Goes to the leader, as far as it is known. Errors, at once and without an outcome: kNotFound:
  /// no such cluster here; kInvalidArgument; kTooLarge; kOverloaded; kClosed. Those of
  /// Machine::Validate come as outcomes.
  Status Send(std::string_view cluster, std::uint64_t correlation, Bytes command,
              const SendOptions& options = {});
  /// The answer is an outcome, too.
  Status Ask(std::string_view cluster, std::uint64_t correlation, Bytes query,
             const QueryOptions& options = {});
  /// Outcomes since the last call; valid until the next.
  std::span<const Outcome> Poll();
  /// Messages of machines since the last call; valid until the next. The oldest go once they are
  /// 65,536.
  std::span<const Message> Messages();
  /// Until there is an outcome or a message, or the deadline. Errors: kTimeout.
  Status Wait(Deadline deadline);
  /// What machines send messages to. Of this life of its system alone.
  std::string address() const;
  struct Impl;
  explicit Client(std::shared_ptr<Impl> impl) noexcept;

 private:
  std::shared_ptr<Impl> impl_;
};

struct StartedCluster {
  std::vector<std::string> started;  // nodes
  std::vector<std::string> not_started;
};

class System final {
 public:
  /// Starts the servers of every cluster that has a log here. Errors: those of LogStore::Open,
  /// kConfiguration.
  static Result<System> Open(const SystemOptions& options);
  System(System&& other) noexcept;
  System& operator=(System&&) = delete;
  ~System();
  /// Stops its servers and closes the store; calls under way get kClosed. Errors: those of
  /// LogStore::Close.
  Status Close(Deadline deadline);

  /// A member on each node, all at once. Those that are not there can join later (AddMember); with
  /// fewer than a majority nothing is left behind. Errors: kAlreadyExists; kNotFound: no such
  /// machine, or too few of the nodes; kInUse: the deletion of an earlier one waits for somebody;
  /// kInvalidArgument; kTimeout.
  Result<StartedCluster> StartCluster(const ClusterOptions& options, Deadline deadline);
  /// The same where no log of that name is here; else as RestartServer, or nothing if it runs.
  Status StartOrRestartCluster(const ClusterOptions& options, Deadline deadline);
  /// This system's member alone; its log stays, and it starts again with its system. Idempotent.
  /// Errors: kNotFound.
  Status StopServer(std::string_view cluster, Deadline deadline);
  /// One that was stopped, from its log. Errors: kNotFound; kAlreadyExists: it runs;
  /// kConfiguration: it is the member on another node.
  Status RestartServer(std::string_view cluster, Deadline deadline);
  /// This system's member with all that it has, for good; the others are not asked, so remove it
  /// there first. Errors: kNotFound, kTimeout.
  Status ForceDeleteServer(std::string_view cluster, Deadline deadline);

  /// For good, on every member, as one committed command. Those that are away hear of it when they
  /// come; until then the name stays taken where others wait for them. Errors: kNotFound; kRefused:
  /// no majority is there; kTimeout: unknown.
  Status DeleteCluster(std::string_view cluster, Deadline deadline);

  /// A member on that node, which gets the log, and votes once it has it. False: one is there
  /// already. Errors: kNotFound: cluster, node or machine; kAlreadyExists: a server of that name is
  /// there and is no member; kRefused: another change is under way; kTimeout: unknown.
  Result<bool> AddMember(std::string_view cluster, std::string_view node, Deadline deadline);
  /// It is told, and stops; its log stays until ForceDeleteServer. False: none is there. Errors:
  /// kNotFound; kRefused: another change is under way, too few would be left, or nobody; kTimeout.
  Result<bool> RemoveMember(std::string_view cluster, std::string_view node, Deadline deadline);

  /// This system's member leaves its cluster, and stops; with its log, if that is to be deleted.
  /// False: it was none. Errors: as RemoveMember.
  enum class Leaving : std::uint8_t { kStop, kDelete };
  Result<bool> Leave(std::string_view cluster, Leaving leaving, Deadline deadline);

  /// Until some server leads that this system knows of; its node. Errors: kNotFound, kTimeout.
  Result<std::string> AwaitLeader(std::string_view cluster, Deadline deadline);
  /// Follows the leader, and answers once the command is applied there. Errors: those of
  /// Client::Send and Outcome; after kTimeout it may happen yet.
  Result<std::string> Execute(std::string_view cluster, Bytes command, Deadline deadline);
  Result<std::string> Query(std::string_view cluster, Bytes query, Consistency consistency,
                            Deadline deadline);
  Result<std::string> Query(std::string_view cluster, Bytes query, const QueryOptions& options,
                            Deadline deadline);
  /// To the machine here, past the log. Its answer. Errors: kNotFound; that it is stopped.
  Result<std::string> Aux(std::string_view cluster, Bytes message, Deadline deadline);
  /// A number that the cluster has for whoever sends commands that must not run twice. It forgets
  /// the one that was used longest ago when there are 65,536. Errors: as Execute.
  Result<std::uint64_t> OpenSession(std::string_view cluster, Deadline deadline);
  /// As Execute, and sends it again where the outcome was unknown, until it is known or the
  /// deadline passes. Errors: kStaleRef: the session is forgotten; those of Execute.
  Result<std::string> ExecuteOnce(std::string_view cluster, Bytes command, const InSession& place,
                                  Deadline deadline);
  Client NewClient();

  /// To the member on that node; the leader is asked. Errors: kNotFound; kRefused, with why;
  /// kTimeout.
  Status TransferLeadership(std::string_view cluster, std::string_view node, Deadline deadline);
  /// This system's member asks for votes now. Errors: kNotFound.
  Status TriggerElection(std::string_view cluster, Deadline deadline);
  Result<ServerStatus> StatusOf(std::string_view cluster, Deadline deadline);
  std::vector<std::string> Clusters() const;
  /// These wait for nobody. Errors: kNotFound.
  Result<KeyMetrics> MetricsOf(std::string_view cluster) const;
  SystemOverview Overview() const;
  /// As LogStore::VisitMetrics, of this system's store. Nothing once it is closed.
  void VisitStoreMetrics(void (*visit)(void* argument, const Metric& metric), void* argument) const;
  /// Who leads, of all clusters that have a server here.
  std::vector<Leading> Leaderboard() const;

  struct Impl;
  explicit System(std::unique_ptr<Impl> impl) noexcept;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace v1
}  // namespace duramen
