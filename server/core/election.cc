// Elections: pre-vote, votes, and who becomes what (Raft §5.2, §5.4.1; dissertation §9.6, §4.2.3,
// §3.10).
#include <algorithm>

#include "base/check.h"
#include "base/planted.h"
#include "server/core/core.h"
#include "server/core/quorum.h"

namespace duramen::core {

void Core::RestartElectionTimer() {
  if (!MayCampaign()) {
    deadline_.reset();
    return;
  }
  const Microseconds spread = settings_.election_timeout_max - settings_.election_timeout_min;
  deadline_ = now_ + settings_.election_timeout_min + rng_.Below(spread + 1);
}

bool Core::MayCampaign() const {
  if (wal_down_ || standing() != Standing::kSound) return false;
  if (configuration().IsVoter(uid_)) return true;
  // §4.2.2: who is leaving may have the only copy of the change that lets it go. Its own vote does
  // not count, but until that change is committed the others may be unable to elect anybody else.
  return specials_.configuration_index() > commit_ &&
         specials_.ConfigurationAt(commit_).IsVoter(uid_);
}

/// A leader that said it would be silent, and whose process is there.
bool Core::HearsLeader() const {
  const Follower* follower = std::get_if<Follower>(&role_);
  return follower != nullptr && follower->leader && follower->quiet && IsUp(*follower->leader);
}

/// A16: what was answered may be half of a lease, so nobody else is voted for, this server
/// included, for the shortest election timeout of this clock. No newer term, no WAL that was down
/// for a moment and no wish for an election ends that; the leader itself can.
void Core::PromiseTo(const ServerUid& leader) {
  promise_ = {.to = leader, .until = now_ + settings_.election_timeout_min};
}

void Core::Release(const ServerUid& former) {
  if (promise_.to == former) promise_ = {};
}

Microseconds Core::PromisedUntil() const { return std::max(no_votes_before_, promise_.until); }

/// Whether a vote would break what was promised to a leader: by having answered it, here or in the
/// life before this, or by being one that a quorum still answers [EL3, A16].
bool Core::Sticks() const {
  if (const Leader* leader = std::get_if<Leader>(&role_)) {
    const Microseconds window = settings_.election_timeout_min;
    const Microseconds since = now_ > window ? now_ - window : 0;
    return leader->active_since >= since ? HasLiveQuorum(leader->active_since)
                                         : HasLiveQuorum(since);
  }
  const bool promised = now_ < PromisedUntil() && !Planted(PlantedBug::kPromiseForgotten);
  return promised || HearsLeader();
}

/// A leader whose rounds nobody had the time to answer: a stranger waits until somebody had, or it
/// leads no more [EL11, A21].
bool Core::JustBegan() const {
  const Leader* leader = std::get_if<Leader>(&role_);
  return leader != nullptr && now_ < leader->active_since + settings_.election_timeout_min;
}

void Core::BecomeFollower(std::optional<ServerUid> leader, Effects& out) {
  FailReads(out);
  if (Leader* former = std::get_if<Leader>(&role_)) {
    ++counters_.step_downs;
    // Deposed after it let go: that is what was asked for. Who leads now, the next message says.
    if (former->transfer)
      EndTransfer(former->transfer->sent ? Answer::kDone : Answer::kNotLeader, out);
    if (former->change_ticket) {
      out.reply.push_back({.ticket = *former->change_ticket, .answer = Answer::kLost});
    }
    out.leading = false;
    if (Planted(PlantedBug::kVoteDropped)) state_.voted_for = {};
  }
  role_ = Follower{.leader = leader, .verified = std::min(commit_, log_.last().index)};
  if (leader) PromiseTo(*leader);
  RestartElectionTimer();
}

void Core::AdoptTerm(Term term, Effects& out) {
  CHECK(term > state_.term);
  BecomeFollower(std::nullopt, out);
  state_.term = term;
  state_.voted_for = {};
  MarkStore();
}

/// Within the term: the vote stays given [R21].
void Core::StepDown(Effects& out) {
  CHECK(std::holds_alternative<Leader>(role_));
  BecomeFollower(std::nullopt, out);
}

VoteOutcome Core::CountVotes(const std::map<ServerUid, bool>& votes) const {
  VoteCount count{.voters = configuration().voters()};
  for (const auto& [uid, granted] : votes) {
    if (!configuration().IsVoter(uid) && !Planted(PlantedBug::kStrangersVoteCounts)) continue;
    ++(granted ? count.granted : count.refused);
  }
  return OutcomeOf(count, Quorum());
}

void Core::StartPreVote(Effects& out) {
  if (!MayCampaign()) return RestartElectionTimer();
  FailReads(out);
  PreCandidate round{.token = rng_.Next()};
  round.votes[uid_] = true;
  role_ = std::move(round);
  RestartElectionTimer();
  const PreCandidate& asking = std::get<PreCandidate>(role_);
  if (CountVotes(asking.votes) == VoteOutcome::kWon) return StartElection(false, out);
  for (const Member& member : configuration().members) {
    if (member.uid == uid_ || member.role != MemberRole::kVoter) continue;
    Send(member.uid,
         PreVoteRequest{
             .proposed_term = state_.term + 1, .last = log_.last(), .token = asking.token},
         out);
  }
}

void Core::StartElection(bool transfer, Effects& out) {
  CHECK(MayCampaign());
  FailReads(out);
  ++counters_.elections;
  ++state_.term;
  state_.voted_for = uid_;
  MarkStore();
  role_ = Candidate{.transfer = transfer};  // Its own vote counts from Stored on.
  RestartElectionTimer();
  for (const Member& member : configuration().members) {
    if (member.uid == uid_ || member.role != MemberRole::kVoter) continue;
    Send(member.uid, VoteRequest{.last = log_.last(), .transfer = transfer}, out);
  }
}

/// EL8: a no-op of the own term first; what came before commits with it, never by counting alone
/// (Raft §5.4.2).
void Core::BecomeLeader(Effects& out) {
  role_ = Leader{.own_first = log_.end(), .active_since = now_};
  SyncPeers();
  out.leading = true;
  deadline_ = now_ + settings_.heartbeat_interval;
  AppendOwn(
      {.run = {.term = state_.term, .count = 1},
       .special = SpecialEntry{.machine_version = specials_.MachineVersionAt(log_.last().index)}},
      out);
}

void Core::OnPreVoteRequest(const Message& message, const PreVoteRequest& request, Effects& out) {
  const bool granted = standing() == Standing::kSound && request.proposed_term > state_.term &&
                       (request.last >= log_.last() || Planted(PlantedBug::kLogNotCompared));
  Send(message.from, PreVoteReply{.token = request.token, .granted = granted}, out);
}

void Core::OnPreVoteReply(const Message& message, const PreVoteReply& reply, Effects& out) {
  PreCandidate* asking = std::get_if<PreCandidate>(&role_);
  if (asking == nullptr || asking->token != reply.token) return;
  asking->votes.try_emplace(message.from, reply.granted);
  if (CountVotes(asking->votes) == VoteOutcome::kWon) StartElection(false, out);
}

/// Raft §5.2, §5.4.1. Who may not vote itself may still be asked: the candidate counts by its own
/// newest configuration, which this server need not know yet [A21].
void Core::OnVoteRequest(const Message& message, const VoteRequest& request, Effects& out) {
  CHECK(message.term == state_.term);
  const bool may_vote = state_.voted_for.is_nil() || state_.voted_for == message.from;
  const bool up_to_date = request.last >= log_.last() || Planted(PlantedBug::kLogNotCompared);
  if (!may_vote || !up_to_date || standing() != Standing::kSound) return Refuse(message, out);
  if (state_.voted_for.is_nil()) {
    state_.voted_for = message.from;
    MarkStore();
    RestartElectionTimer();
  }
  Send(message.from, VoteReply{.granted = true}, out);
}

void Core::OnVoteReply(const Message& message, const VoteReply& reply, Effects& out) {
  Candidate* candidate = std::get_if<Candidate>(&role_);
  if (candidate == nullptr) return;
  const bool first = candidate->votes.try_emplace(message.from, reply.granted).second;
  if (!first && reply.granted && Planted(PlantedBug::kVotesCountedTwice)) {
    for (const Member& member : configuration().members) {
      if (candidate->votes.try_emplace(member.uid, true).second) break;
    }
  }
  // A quorum of others does not make up for a vote of its own that is not durable: it would not be
  // their leader after a crash, but it would have led before its own store.
  if (stored_sequence_ < store_sequence_) return;
  if (CountVotes(candidate->votes) == VoteOutcome::kWon) BecomeLeader(out);
}

/// §3.10: the leader lets go and has ended its lease; no pre-vote, and nobody sticks to it.
void Core::OnTimeoutNow(const Message& message, Effects& out) {
  const Follower* follower = std::get_if<Follower>(&role_);
  if (follower == nullptr || follower->leader != message.from || !MayCampaign()) return;
  StartElection(true, out);
}

void Core::OnTriggerElection(Effects& out) {
  if (std::holds_alternative<Leader>(role_) || !MayCampaign()) return;
  if (now_ < PromisedUntil()) {
    deadline_ = PromisedUntil();
    return;
  }
  StartPreVote(out);
}

}  // namespace duramen::core
