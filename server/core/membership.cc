// Members: single-server changes, learners, transfer of the leadership (dissertation §4.1, §4.2,
// §3.10).
#include <algorithm>

#include "base/check.h"
#include "base/planted.h"
#include "server/core/core.h"
#include "server/core/quorum.h"

namespace duramen::core {

/// Why a change cannot be made now, or that there is nothing to change; nothing if it can.
std::optional<Answer> Core::RefusalOf(const Change& change) const {
  const Leader* leader = std::get_if<Leader>(&role_);
  if (wal_down_) return Answer::kWalDown;
  if (leader == nullptr) return Answer::kNotLeader;
  if (change.member.uid.is_nil() || change.member.role > MemberRole::kNonVoter ||
      change.member.node.size() > kNodeNameBytesMax) {
    return Answer::kInvalid;
  }
  // The bug of 2015: a change before an entry of the own term is committed can lose a committed one
  // [ME6].
  if (commit_ < leader->own_first && !Planted(PlantedBug::kChangeBeforeNoOp))
    return Answer::kNotReady;
  if (change.expected_index && *change.expected_index != specials_.configuration_index()) {
    return Answer::kConfigurationMoved;
  }
  const Configuration& now = configuration();
  const Member* there = now.Find(change.member.uid);
  if (change.kind == Change::Kind::kAdd) {
    if (there != nullptr &&
        (there->role == change.member.role ||
         (there->role == MemberRole::kVoter && change.member.role == MemberRole::kPromotable))) {
      return Answer::kAlready;
    }
    if (there == nullptr && now.members.size() >= kMembersMax) return Answer::kOverloaded;
  } else if (there == nullptr) {
    return Answer::kAlready;
  }
  if (specials_.configuration_index() > commit_) return Answer::kChangeInProgress;
  if (leader->transfer) return Answer::kTransferInProgress;
  const Configuration next =
      change.kind == Change::Kind::kAdd ? now.With(change.member) : now.Without(change.member.uid);
  if (next.voters() == 0) return Answer::kLastMember;
  if (next.voters() >= now.voters()) return std::nullopt;
  // ME3: those who answer must make a quorum of what remains.
  const Microseconds window = settings_.election_timeout_max;
  const Microseconds since = now_ > window ? now_ - window : 0;
  std::size_t answering = 0;
  for (const Member& member : next.members) {
    if (member.role != MemberRole::kVoter) continue;
    const auto peer = leader->peers.find(member.uid);
    const bool answers =
        member.uid == uid_ ||
        (peer != leader->peers.end() && peer->second.standing == Standing::kSound &&
         (leader->quiet ||
          (peer->second.acked_sent_at >= since && peer->second.acked_sent_at > 0)));
    if (answers && (member.uid == uid_ || IsUp(member.uid))) ++answering;
  }
  if (answering < QuorumSize(next.voters(), settings_.min_quorum)) return Answer::kWouldBreakQuorum;
  return std::nullopt;
}

void Core::OnChange(const Change& change, Effects& out) {
  if (const std::optional<Answer> refusal = RefusalOf(change)) {
    out.reply.push_back({.ticket = change.ticket,
                         .answer = *refusal,
                         .at = {0, specials_.configuration_index()},
                         .leader = leader().value_or(ServerUid{})});
    return;
  }
  Member member = change.member;
  // §4.2.1: a learner counts once it has what the log held when it came.
  if (member.role == MemberRole::kPromotable) member.promote_at = log_.last().index;
  SpecialEntry entry;
  entry.configuration = change.kind == Change::Kind::kAdd
                            ? configuration().With(std::move(member))
                            : configuration().Without(change.member.uid);
  AppendOwn({.run = {state_.term, 1}, .ticket = change.ticket, .special = std::move(entry)}, out);
  std::get<Leader>(role_).change_ticket = change.ticket;
}

/// ME8. The term jumps far above any that the lost majority may have used, as after `repair` [A1].
void Core::OnForceConfiguration(const ForceConfiguration& force, Effects& out) {
  Reply reply{.ticket = force.ticket};
  if (wal_down_) {
    reply.answer = Answer::kWalDown;
  } else if (standing() != Standing::kSound) {
    reply.answer = Answer::kFaulty;
  } else if (!force.configuration.IsValid() || !force.configuration.IsVoter(uid_) ||
             state_.term + (Term{1} << 20) >= kTermEnd) {
    reply.answer = Answer::kInvalid;
  } else {
    AdoptTerm(state_.term + (Term{1} << 20), out);
    state_.voted_for = uid_;
    SpecialEntry entry{.index = log_.end(), .configuration = force.configuration};
    log_.Append({state_.term, 1});
    specials_.Append(entry);
    out.append.push_back({.begin = entry.index, .run = {state_.term, 1}, .special = entry});
    reply.at = log_.last();
    ForgetStrangers();
    StartElection(true, out);
  }
  out.reply.push_back(reply);
}

void Core::MaybePromote(Effects& out) {
  const Leader& leader = std::get<Leader>(role_);
  if (commit_ < leader.own_first || specials_.configuration_index() > commit_ || leader.transfer)
    return;
  for (const Member& member : configuration().members) {
    if (member.role != MemberRole::kPromotable) continue;
    const Peer& peer = leader.peers.at(member.uid);
    if (peer.match < member.promote_at || peer.standing != Standing::kSound ||
        peer.acked_sent_at == 0)
      continue;
    Member voter = member;
    voter.role = MemberRole::kVoter;
    voter.promote_at = 0;
    AppendOwn({.run = {state_.term, 1},
               .special = SpecialEntry{.configuration = configuration().With(std::move(voter))}},
              out);
    return;
  }
}

/// ME4, §4.2.2: a leader that is no longer a voter leads until that is committed, then hands over
/// and leaves.
void Core::OnConfigurationCommitted(Effects& out) {
  Leader& leader = std::get<Leader>(role_);
  if (specials_.configuration_index() > commit_) return;
  if (leader.change_ticket) {
    const Index at = specials_.configuration_index();
    out.reply.push_back(
        {.ticket = *leader.change_ticket, .at = {log_.TermAt(at).value_or(0), at}, .leader = uid_});
    leader.change_ticket.reset();
  }
  if (configuration().IsVoter(uid_)) return;
  ReplicateAll(out);  // The others learn of the commit before the leader is gone.
  leader.may_lease = false;
  if (const std::optional<ServerUid> successor = BestSuccessor())
    Send(*successor, TimeoutNow{}, out);
  StepDown(out);
}

std::optional<ServerUid> Core::BestSuccessor() const {
  const Leader& leader = std::get<Leader>(role_);
  std::optional<ServerUid> best;
  Index best_match = 0;
  for (const auto& [uid, peer] : leader.peers) {
    if (!configuration().IsVoter(uid) || peer.standing != Standing::kSound || !IsUp(uid)) continue;
    if (best && peer.match <= best_match) continue;
    best = uid;
    best_match = peer.match;
  }
  return best;
}

void Core::OnTransfer(const Transfer& transfer, Effects& out) {
  Reply reply{.ticket = transfer.ticket, .leader = leader().value_or(ServerUid{})};
  Leader* leader = std::get_if<Leader>(&role_);
  const Member* target = configuration().Find(transfer.target);
  if (wal_down_) {
    reply.answer = Answer::kWalDown;
  } else if (leader == nullptr) {
    reply.answer = Answer::kNotLeader;
  } else if (transfer.target.is_nil()) {
    reply.answer = leader->transfer ? Answer::kDone : Answer::kAlready;
    EndTransfer(Answer::kCancelled, out);
  } else if (transfer.target == uid_) {
    reply.answer = Answer::kAlreadyLeader;
  } else if (target == nullptr) {
    reply.answer = Answer::kUnknownMember;
  } else if (target->role != MemberRole::kVoter) {
    reply.answer = Answer::kNonVoter;
  } else if (leader->peers.at(transfer.target).standing != Standing::kSound) {
    reply.answer = Answer::kNotUpToDate;
  } else {
    EndTransfer(Answer::kCancelled, out);
    Wake(out);
    leader->rest_round.reset();
    leader->transfer = PendingTransfer{.ticket = transfer.ticket,
                                       .target = transfer.target,
                                       .deadline = now_ + settings_.election_timeout_max};
    return MaybeHandOver(out);
  }
  out.reply.push_back(reply);
}

/// The lease ends before TimeoutNow leaves, and for the rest of the term: whoever got it may use it
/// late [A16].
void Core::MaybeHandOver(Effects& out) {
  Leader& leader = std::get<Leader>(role_);
  if (!leader.transfer || leader.transfer->sent) return;
  const auto peer = leader.peers.find(leader.transfer->target);
  if (peer == leader.peers.end()) return EndTransfer(Answer::kUnknownMember, out);
  if (peer->second.match < log_.last().index) return;
  leader.may_lease = Planted(PlantedBug::kLeaseOutlivesTransfer);
  leader.transfer->sent = true;
  Send(leader.transfer->target, TimeoutNow{}, out);
}

void Core::EndTransfer(Answer answer, Effects& out) {
  Leader& leader = std::get<Leader>(role_);
  if (!leader.transfer) return;
  out.reply.push_back({.ticket = leader.transfer->ticket, .answer = answer});
  leader.transfer.reset();
}

}  // namespace duramen::core
