// The Raft core of one server: a function from events to effects, with no clock, thread, lock, I/O
// or randomness of its own but a seeded jitter. It deals in ranges and terms, never in payloads.
// Raft (Ongaro, Ousterhout 2014) and the dissertation (Ongaro 2014) by section in the comments;
// rules in brackets stand in docs/rules.md.
//
// Owned by a worker, one call at a time. What stays true:
// - No message leaves before the term and vote that it speaks of are durable: it is held until
// Stored.
// - Nothing is acknowledged but what is written here and verified against this leader in this term
// [A19].
// - The newest configuration in the log counts, committed or not; quorum sizes come from it alone
// [C11, A3].
// - All state is bounded by the number of members and by named limits; a message adds nothing of
// its own choosing.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <variant>
#include <vector>

#include "base/planted.h"
#include "base/rng.h"
#include "base/types.h"
#include "server/core/configuration.h"
#include "server/core/events.h"
#include "server/core/message_table.h"
#include "server/core/messages.h"
#include "server/core/quorum.h"
#include "server/core/term_map.h"

namespace duramen::core {

struct CoreSettings {
  Microseconds election_timeout_min = 1'000'000;
  Microseconds election_timeout_max = 2'000'000;  // check: min < max [EL1]
  Microseconds heartbeat_interval = 250'000;
  std::uint64_t append_entries_max = 128;     // entries in one message [RE1]
  std::uint64_t pipeline_entries_max = 4096;  // unacknowledged entries per peer [RE2]
  std::uint64_t uncommitted_entries_max = 1 << 20;
  std::size_t waiting_reads_max = 4096;
  Microseconds clock_drift_margin = 0;  // 0: no lease reads [RD4]
  std::size_t min_quorum = 0;           // a floor; never below a true majority [EL7]
  bool quiet_when_idle = true;          // send nothing while there is nothing to say [RE9]
  std::uint32_t machine_version = 0;    // the newest that this server's machine knows
  bool upgrade_by_quorum = false;       // raise the version when a quorum knows it, not all [SM8]
};

/// Errors: kConfiguration, with what the values have to be.
Status Validate(const CoreSettings& settings);

/// What a server knows of itself when it starts. Requires: valid settings.
struct CoreStart {
  ClusterId cluster = 0;
  ServerUid uid;
  std::uint64_t boot = 1;
  HardState state;
  TermMap log;  // what recovery found; ends before a hole that makes it faulty
  SpecialHistory specials;
  Index written = 0;        // last durable index
  std::uint64_t epoch = 0;  // of the log, as the store counts
  Index commit =
      0;  // what is known committed: the snapshot's index, or what was applied and is written
  Index applied = 0;       // what the machine has, at most `commit`
  Index given = 0;         // what it is given without being told so; above `applied`, or nothing
  bool vote_lost = false;  // term or vote may be lost [A1]
  bool tail_kept = true;   // a faulty log: entries stand behind its end, and are to be cut as one
  std::uint64_t seed = 0;
  Microseconds now = 0;
  CoreSettings settings;
};

/// A leader's view of one member [RE7].
struct Peer {
  static constexpr Index kWholeWindow = ~Index{0};
  enum class Progress : std::uint8_t { kProbe, kPipeline, kSnapshot };
  Progress progress = Progress::kProbe;
  Index match = 0;         // durable there and equal to ours
  Index next = 1;          // the next entry to send
  Index acknowledged = 0;  // the highest match in this term, over restarts of the member [A4]
  Index commit_sent = 0;
  Index heal_upto = 0;
  std::uint64_t heal_fault = 0;  // the fault that was reported when that was set
  bool probe_sent = false;
  bool lost_data = false;  // it came back with less than it had acknowledged
  bool flow_open = true;
  std::uint64_t acked_round = 0;
  Microseconds acked_sent_at = 0;  // when the newest message that it answered was sent
  Standing standing = Standing::kSound;
  std::uint64_t stream = 0;        // of messages that a refusal may speak of
  Index window = kWholeWindow;     // entries that may be under way; small after a refusal
  std::uint64_t reply_number = 0;  // the newest whose standing counts
  std::uint32_t machine_version = 0;
  bool version_known = false;
  std::uint64_t transfer = 0;
  std::optional<Microseconds>
      leaving_since;  // no member any more; it is told that, and counts for nothing [ME2]
};

/// The same for people and programs [RE7].
struct PeerStatus {
  ServerUid uid;
  Peer::Progress progress = Peer::Progress::kProbe;
  Standing standing = Standing::kSound;
  Index match = 0;
  Index next = 0;
  Index lag = 0;            // entries of this log that it does not have durable
  Microseconds heard = 0;   // when the newest of our messages that it has answered was sent
  bool responsive = false;  // within the longest election timeout, or nobody asked it
};

struct Follower {
  std::optional<ServerUid> leader;
  Index verified = 0;  // equal to this leader's log up to here [A19]
  Index heal_upto = 0;
  bool quiet = false;  // the leader said that it will be silent
  Index acked = 0;     // the match last told to this leader
  std::uint64_t round = 0;
  Microseconds sent_at = 0;
};
struct PreCandidate {
  std::uint64_t token = 0;
  std::map<ServerUid, bool> votes;  // per sender, so that none counts twice [EL11]
};
struct Candidate {
  bool transfer = false;
  std::map<ServerUid, bool> votes;
};
struct PendingRead {
  ServerUid from;        // nil: this server's own
  std::uint64_t id = 0;  // its ticket, or the asker's number
  std::uint64_t round = 0;
  Index index = 0;
};
struct PendingTransfer {
  std::uint64_t ticket = 0;
  ServerUid target;
  Microseconds deadline = 0;
  bool sent = false;
};
struct Leader {
  std::map<ServerUid, Peer> peers;
  Index own_first = 0;             // the no-op that opened the term [EL8]
  std::uint64_t round = 0;         // counted up by each start of a read round
  std::vector<PendingRead> reads;  // waiting for a quorum's answers to their round
  std::vector<PendingRead> early;  // waiting for the own no-op [RD3]
  std::optional<PendingTransfer> transfer;
  std::optional<std::uint64_t>
      change_ticket;      // the caller that waits for the newest configuration's commit
  bool may_lease = true;  // until TimeoutNow was sent, for the rest of the term [A16]
  bool quiet = false;
  std::optional<std::uint64_t> rest_round;  // the round after which silence is safe
  Microseconds ticked_at = 0;
  Microseconds active_since = 0;  // silence before that is no lack of answers
};
using Role = std::variant<Follower, PreCandidate, Candidate, Leader>;

/// How often the core met what it does not act on; for people.
struct CoreCounters {
  std::uint64_t insane_messages = 0;  // out of range, or not for this server
  std::uint64_t void_messages = 0;    // of an earlier boot, or contradicting what is committed
  std::uint64_t elections = 0;
  std::uint64_t step_downs = 0;
};

class Core {
 public:
  explicit Core(CoreStart start);

  /// Requires: event.now never goes back; effects empty.
  void Step(const Event& event, Effects& effects);

  /// When the next Tick is due; nothing if silence may last. An idle server needs no ticks.
  std::optional<Microseconds> next_deadline() const;

  RoleKind role_kind() const;
  const Role& role() const { return role_; }
  const ServerUid& uid() const { return uid_; }
  Term term() const { return state_.term; }
  const HardState& state() const { return state_; }
  const TermMap& log() const { return log_; }
  const SpecialHistory& specials() const { return specials_; }
  const Configuration& configuration() const {
    if (Planted(PlantedBug::kChangeAtCommit)) return specials_.ConfigurationAt(commit_);
    return specials_.configuration();
  }
  Index commit() const { return commit_; }
  Index written() const { return written_; }
  /// How often this log was cut in the life of the core, from where the store counted at its start.
  std::uint64_t epoch() const { return epoch_; }
  std::optional<ServerUid> leader() const;
  /// Of each peer, by uid; nothing unless it leads.
  std::vector<PeerStatus> Peers() const;
  Standing standing() const;
  /// Whether a read asked at `now`, by its own clock, would need no round; false unless it leads.
  bool HoldsLease(Microseconds now) const;
  const CoreCounters& counters() const { return counters_; }
  /// Invariants that hold between steps; tests and the simulator call it after each.
  void CheckInvariants() const;

 private:
  struct Dispatch;
  struct MessageDispatch;
  struct Held {
    std::uint64_t sequence = 0;
    Message message;
  };
  struct Cut {
    std::uint64_t epoch = 0;  // the epoch that it opened
    Index end = 0;
  };
  struct Forwarded {
    std::uint64_t id = 0;
    std::uint64_t ticket = 0;
    Microseconds deadline = 0;
  };
  struct Promise {
    ServerUid to;
    Microseconds until = 0;
  };
  struct LastSeen {
    std::uint64_t boot = 0;
    bool up = true;
  };

  // core.cc: events, durability, sending
  void OnTick(Effects& out);
  void OnMessage(const Message& message, Effects& out);
  bool Admit(const Message& message, Effects& out);
  void NoteBoot(const ServerUid& from, std::uint64_t boot, Effects& out);
  void Refuse(const Message& message, Effects& out);
  void OnStored(const Stored& stored, Effects& out);
  void OnWritten(const WrittenUpTo& written, Effects& out);
  void OnApplied(const AppliedUpTo& applied, Effects& out);
  void OnPeerUp(const PeerUp& up, Effects& out);
  void OnPeerDown(const PeerDown& down, Effects& out);
  void OnWalDown(Effects& out);
  void OnWalUp();
  void OnDamaged(const Damaged& damaged, Effects& out);
  void MarkStore();
  void Send(const ServerUid& to, MessageBody body, Effects& out);
  void RaiseCommit(Index index, Effects& out);
  bool IsRemovedBy(Index index) const;
  void EmitApply(Effects& out);
  void CutLog(Index new_end, Effects& out);
  void ForgetStrangers();
  bool IsUp(const ServerUid& uid) const;

  // election.cc
  void RestartElectionTimer();
  bool MayCampaign() const;
  bool Sticks() const;
  bool JustBegan() const;
  void PromiseTo(const ServerUid& leader);
  void Release(const ServerUid& former);
  Microseconds PromisedUntil() const;
  bool HearsLeader() const;
  void BecomeFollower(std::optional<ServerUid> leader, Effects& out);
  void AdoptTerm(Term term, Effects& out);
  void StartPreVote(Effects& out);
  void StartElection(bool transfer, Effects& out);
  void BecomeLeader(Effects& out);
  void StepDown(Effects& out);
  void OnPreVoteRequest(const Message& message, const PreVoteRequest& request, Effects& out);
  void OnPreVoteReply(const Message& message, const PreVoteReply& reply, Effects& out);
  void OnVoteRequest(const Message& message, const VoteRequest& request, Effects& out);
  void OnVoteReply(const Message& message, const VoteReply& reply, Effects& out);
  void OnTimeoutNow(const Message& message, Effects& out);
  void OnTriggerElection(Effects& out);
  VoteOutcome CountVotes(const std::map<ServerUid, bool>& votes) const;

  // follower.cc
  void OnAppend(const Message& message, const AppendEntries& append, Effects& out);
  bool TakeEntries(const AppendEntries& append, Effects& out);
  AppendReply ReplyTo(const Follower& follower);
  void RefuseAppend(const ServerUid& leader, const AppendEntries& append, Effects& out);
  void Acknowledge(Follower& follower, Effects& out);
  void SetFault(Fault fault);
  void MaybeHeal(Follower& follower);
  Index FirstDifference(const AppendEntries& append) const;
  void OnInstallSnapshot(const Message& message, const InstallSnapshot& install, Effects& out);
  void OnInstalled(const Installed& installed, Effects& out);
  void OnCompacted(const Compacted& compacted);

  // leader.cc
  void OnPropose(const Propose& propose, Effects& out);
  Index AppendOwn(Append append, Effects& out);
  void OnAppendReply(const Message& message, const AppendReply& reply, Effects& out);
  void TakeRefusal(Peer& peer, const AppendReply& reply);
  void OnInstallReply(const Message& message, const InstallReply& reply, Effects& out);
  void OnSentUpTo(const SentUpTo& sent);
  void OnPeerFlow(const PeerFlow& flow, Effects& out);
  void Progress(Effects& out);
  void AdvanceCommit(Effects& out);
  void ReplicateAll(Effects& out);
  void Replicate(const ServerUid& uid, Peer& peer, Effects& out);
  void SendAppend(const ServerUid& uid, Peer& peer, Index end, Effects& out);
  void Heartbeat(Effects& out);
  void SyncPeers();
  void DropTold();
  std::vector<std::uint64_t> PerVoter(std::uint64_t own, std::uint64_t (*of)(const Peer&)) const;
  std::size_t Quorum() const;
  bool HasLiveQuorum(Microseconds since) const;
  void MaybeRest(Effects& out);
  void Wake(Effects& out);
  void TickLeader(Effects& out);
  void MaybeRaiseVersion(Effects& out);

  // membership.cc
  void OnChange(const Change& change, Effects& out);
  void OnForceConfiguration(const ForceConfiguration& force, Effects& out);
  std::optional<Answer> RefusalOf(const Change& change) const;
  void MaybePromote(Effects& out);
  void OnConfigurationCommitted(Effects& out);
  void OnTransfer(const Transfer& transfer, Effects& out);
  void MaybeHandOver(Effects& out);
  void EndTransfer(Answer answer, Effects& out);
  std::optional<ServerUid> BestSuccessor() const;

  // reads.cc
  void OnQuery(const Query& query, Effects& out);
  void OnReadRequest(const Message& message, const ReadRequest& request, Effects& out);
  void OnReadReply(const Message& message, const ReadReply& reply, Effects& out);
  void AddRead(PendingRead read, Effects& out);
  void StartReadRound(Effects& out);
  void ServeReads(Effects& out);
  void GrantRead(const PendingRead& read, Effects& out);
  void ReleaseApplied(Effects& out);
  void FailReads(Effects& out);

  ClusterId cluster_;
  ServerUid uid_;
  std::uint64_t boot_;
  CoreSettings settings_;
  Rng rng_;
  HardState state_;
  TermMap log_;
  SpecialHistory specials_;
  bool vote_lost_;
  Role role_ = Follower{};
  Microseconds now_ = 0;
  Microseconds no_votes_before_ = 0;  // the promise of an earlier life may still hold [A16]
  Promise promise_;  // to the leader heard last; its lease may stand on it, whatever came since
  std::optional<Microseconds> deadline_;  // election, or heartbeat
  bool wal_down_ = false;

  Index written_;
  std::uint64_t epoch_;
  std::uint64_t noticed_epoch_;  // a notice of an earlier one says nothing new
  std::vector<Cut> cuts_;        // those that a late notice may not know, oldest first
  Index commit_;
  Index given_;    // handed out to be applied up to here
  Index applied_;  // said to be applied up to here

  std::uint64_t fault_id_ = 0;  // of the newest fault, known to nobody before it was reported [A3]
  bool tail_kept_;  // behind the hole of a faulty log stand entries that nothing has replaced yet

  bool store_needed_ = false;
  std::uint64_t store_sequence_ = 0;
  std::uint64_t stored_sequence_ = 0;
  std::list<Held> held_;  // A deque takes half a KiB while it is empty.
  std::map<ServerUid, LastSeen> seen_;  // of members only

  std::vector<Forwarded> forwarded_;
  std::vector<PendingRead> granted_;  // own reads that wait for the machine
  std::uint64_t next_id_;  // never one of an earlier life, whose answers may yet come [R22]
  std::uint64_t replies_ = 0;
  CoreCounters counters_;
};

}  // namespace duramen::core
