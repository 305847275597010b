// One server: its core, its log in the shared store, and its machine. It does what the core asks
// for, in the order in which it asks, and tells it what has become durable.
//
// Owned by a node and used by one thread, the one that uses the node's Writer. What stays true:
// operations on the log go to the Writer in the core's order, none is left out, and what the Writer
// cannot take now is kept and tried again; a message carries the payloads of its entries, or fewer
// entries, never others.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/ring_queue.h"
#include "duramen/log_store.h"
#include "server/core/core.h"
#include "server/entry.h"

namespace duramen::server {

/// A command that is to be applied. Borrowed.
struct Committed {
  core::LogEnd at;
  Bytes command;
  bool answered = false;  // whether anybody waits here for its answer
};

/// What became of one.
struct Applied {
  std::string answer;
  bool expired = false;  // its session no longer knows whether it ran, so it did not run now [A20]
  std::optional<Error> error;
};

/// What is the same for all commands of one call.
struct ApplyContext {
  bool leads = false;  // this server leads the term that they were written in
  bool fresh = false;  // they came in this life of the server, and in the term that still lasts
  std::uint32_t machine_version = 0;
  std::shared_ptr<const core::Configuration> members;  // those of that place in the log
};

/// What a server does with what is committed. Deterministic: the same commands give the same
/// answers everywhere.
class StateMachine {
 public:
  virtual ~StateMachine() = default;
  /// In the order of the log; `answers` has one, empty, for each.
  virtual void Apply(const ApplyContext& context, std::span<const Committed> commands,
                     std::span<Applied> answers) = 0;
};

/// What is applied next: a machine can do it wherever it is, nothing here is borrowed.
struct ApplyWork {
  struct Call {
    ApplyContext context;
    std::size_t end = 0;  // of its commands
  };
  Index end = 0;  // of the entries
  std::vector<std::byte> bytes;  // of the commands
  std::vector<Committed> commands;
  std::vector<Applied> answers;
  std::vector<Call> calls;

  void Run(StateMachine& machine);
};

/// A command on its way into the log.
struct Proposal {
  std::uint64_t ticket = 0;
  std::vector<std::byte> command;
  bool tells_written = false;  // OnWritten, too
};

/// A message with the payloads of its entries.
struct Envelope {
  core::Message message;
  std::vector<Payload> payloads;
  std::string node;  // of the sender: who is told may know no configuration that has it [A21]
};

class Replica;

/// What a server needs of the node that it lives on. Called in the course of a step; must not call
/// the server back.
class ReplicaHost {
 public:
  virtual ~ReplicaHost() = default;
  virtual void Send(Replica& from, Envelope envelope) = 0;
  /// Of everything but commands that were applied.
  virtual void OnReply(Replica& replica, const core::Reply& reply) = 0;
  /// A command that this server proposed under `ticket` was applied here.
  virtual void OnApplied(Replica& replica, std::uint64_t ticket, Applied applied) = 0;
  /// It is durable in this server's log; nothing is said of the others.
  virtual void OnWritten(Replica& replica, std::uint64_t ticket, core::LogEnd at) {
    (void)replica, (void)ticket, (void)at;
  }
  /// The machine may be asked now.
  virtual void OnQuery(Replica& replica, std::uint64_t ticket) = 0;
  /// A committed configuration no longer has it; it may be stopped and deleted, though not in this
  /// call.
  virtual void OnRemoved(Replica& replica) = 0;
  /// It asks for what is to be applied (Replica::NextWork). Else that is done in the course of the
  /// step.
  virtual bool applies() const { return false; }
};

struct ReplicaStart {
  std::string name;  // of its log
  std::uint64_t boot = 1;
  std::uint64_t seed = 0;
  core::Microseconds now = 0;
  core::CoreSettings settings;
};

/// Everything outlives the server.
struct ReplicaPlace {
  LogStore& store;
  Writer& writer;
  ReplicaHost& host;
  StateMachine& machine;
};

class Replica {
 public:
  /// Commands that one call may hold, in bytes.
  static constexpr std::size_t kBacklogBytesMax = 16u << 20;

  /// Makes the log of a server and says who it is. Errors: those of LogStore::OpenLog.
  static Result<ServerUid> Register(LogStore& store, Writer& writer, const std::string& name);
  /// What it was told. Errors: kNotFound: nothing yet, so it has promised nothing; kCorruption.
  static Result<Birth> BirthOf(const LogStore& store, LogRef log);
  /// Tells it once which cluster it belongs to. Durable when the ticket is.
  static Result<Ticket> Christen(LogStore& store, Writer& writer, const std::string& name,
                                 const Birth& birth);
  /// Recovers it from its log; the machine is given what is known to be committed.
  /// Errors: kConfiguration: settings; kNotFound: no such log, or nothing has told it its cluster;
  /// kFaulty; those of reads.
  static Result<std::unique_ptr<Replica>> Start(const ReplicaPlace& place,
                                                const ReplicaStart& start);

  /// For Start alone.
  Replica(const ReplicaPlace& place, LogRef log, const ServerUid& uid)
      : place_(place), log_(log), uid_(uid) {}

  const core::Core& core() const { return *core_; }
  /// Set once the store refuses this log for good; the server does nothing any more.
  const std::optional<Error>& stopped() const { return stopped_; }
  const ServerUid& uid() const { return uid_; }
  LogRef log() const { return log_; }
  /// Its owner's, who finds by it what it knows of the server.
  void set_context(void* context) { context_ = context; }
  void* context() const { return context_; }

  void Step(core::Microseconds now, core::EventBody body);
  void Deliver(core::Microseconds now, const Envelope& envelope);
  /// As one range of the log, or a reply for each that says why not; then OnApplied for each that
  /// this server applies as proposed. At least one.
  void Propose(core::Microseconds now, std::vector<Proposal> proposals);
  /// News of the Writer about this log; then Progress.
  void OnWritten(core::Microseconds now, const Written& written);
  /// Looks what has become durable, and tries again what the Writer could not take.
  void Progress(core::Microseconds now);
  /// Whether Progress has something to do, or to try. Not once it is stopped.
  bool has_news() const;
  /// What the machine is to be given next; nothing: there is none, or it is under way already.
  std::optional<ApplyWork> NextWork();
  /// It ran. The answers go to the host.
  void FinishWork(core::Microseconds now, ApplyWork work);
  /// Whether NextWork may have some.
  bool has_work() const {
    return !stopped_ && !applying_ && applied_ + 1 < std::min(apply_end_, ReadableEnd());
  }
  /// Whether the Writer's next news may be of something that it waits for.
  bool waits() const { return !stores_.empty() || has_news(); }
  Index applied() const { return applied_; }
  /// What this life knew to be committed when it began is in the machine.
  bool replayed() const { return applied_ + 1 >= replay_end_; }

 private:
  /// One call of the Writer that has to be made, in order.
  struct Operation {
    std::optional<core::Store> store;
    std::optional<Index> truncate;
    Index begin = 0;  // of the entries
    std::vector<Term> terms;
    std::vector<Payload> payloads;
    std::size_t bytes = 0;
    std::size_t taken = 0;  // of the entries; the store has them
  };
  struct PendingStore {
    std::uint64_t sequence = 0;
    Ticket ticket = 0;
  };
  struct Proposed {
    Index index = 0;
    Term term = 0;
    std::uint64_t ticket = 0;
    bool tells_written = false;
  };

  /// Small, as each server keeps room for some.
  using Followup = std::variant<core::AppliedUpTo, core::Damaged, core::WalDown, core::WalUp>;

  Status Recover(const ReplicaStart& start);
  Status ReadLog(core::CoreStart& start);
  Status StateFault(core::CoreStart& start);
  void OnUnreadable(const Error& error, Index index);
  Status NoticeFault();
  Result<Ticket> SubmitFault(const std::optional<core::Fault>& fault);
  void Run(core::Microseconds now, core::EventBody body, const Envelope* envelope);
  void RunFollowups();
  void Execute(core::Effects& effects, const Envelope* envelope);
  void Enqueue(const core::Effects& effects, const Envelope* envelope);
  void Submit();
  Result<Ticket> SubmitFront();
  Result<Ticket> SubmitEntries(Operation& operation);
  void SendAll(std::vector<core::Message>& messages);
  bool IsTooLarge(std::size_t command_bytes) const;
  void RefuseAll(std::span<const Proposal> proposals, const core::Reply& reply);
  bool LoadPayloads(Envelope& envelope);
  const Payload* InBacklog(Index index) const;
  Index ReadableEnd() const;
  void ApplyReady();
  void Add(const EntryView& entry, ApplyWork& work);
  void Took(ApplyWork work);
  void LoseProposedBelow(Index index);
  ApplyContext ContextOf(const EntryView& first);
  void TellWritten();
  void FailFrom(Index begin);

  ReplicaPlace place_;
  void* context_ = nullptr;
  LogRef log_;
  ServerUid uid_;
  std::unique_ptr<core::Core> core_;
  core::Microseconds now_ = 0;
  std::list<Operation> backlog_;  // A deque takes half a KiB while it is empty, as most are.
  std::size_t backlog_bytes_ = 0;
  mutable std::size_t fits_bytes_ = 0;  // a command that is known not to be too large
  std::vector<PendingStore> stores_;
  Index submitted_end_ = 1;  // the log as the store knows it ends here
  Index apply_end_ = 1;      // the core has said to apply everything below
  Index applied_ = 0;
  Index told_applied_ = 0;   // as the store knows it
  Index replay_end_ = 1;     // below it was known to be committed when this life began
  Index start_end_ = 1;      // the log ended here when this life began
  bool applying_ = false;
  std::shared_ptr<const core::Configuration> members_;  // of what was applied last
  std::size_t tell_written_ = 0;                     // of proposed_: those that are to be told
  LogFault fault_;           // as the store knows it
  bool wal_down_ = false;
  std::optional<Error> stopped_;
  std::vector<Proposal> proposals_;        // of the event under way
  RingQueue<Proposed> proposed_;           // by this server, not applied yet; in order
  std::vector<Followup> followups_;        // what effects lead to, once they are done
};

}  // namespace duramen::server
