// Leaders: replication, commitment, and proof that they still lead (Raft §5.3, §5.4.2; dissertation
// §6.2, §10.2.1).
#include <algorithm>

#include "base/check.h"
#include "base/planted.h"
#include "server/core/core.h"
#include "server/core/quorum.h"

namespace duramen::core {

std::size_t Core::Quorum() const {
  std::size_t voters = configuration().voters();
  if (const Leader* leader = std::get_if<Leader>(&role_);
      leader != nullptr && Planted(PlantedBug::kQuorumShrinks)) {
    for (const auto& [uid, peer] : leader->peers) {
      if (configuration().IsVoter(uid) && peer.standing == Standing::kFaulty) --voters;
    }
  }
  return QuorumSize(voters, settings_.min_quorum);
}

/// One value per voter, this server's being `own`; what is not sound counts as 0 while quorum sizes
/// stay [A3].
std::vector<std::uint64_t> Core::PerVoter(std::uint64_t own,
                                          std::uint64_t (*of)(const Peer&)) const {
  const Leader& leader = std::get<Leader>(role_);
  std::vector<std::uint64_t> values;
  for (const Member& member : configuration().members) {
    if (member.role != MemberRole::kVoter) continue;
    if (member.uid == uid_) {
      values.push_back(own);
      continue;
    }
    const auto peer = leader.peers.find(member.uid);
    const bool counts = peer != leader.peers.end() && peer->second.standing == Standing::kSound;
    values.push_back(counts ? of(peer->second) : 0);
  }
  return values;
}

bool Core::HasLiveQuorum(Microseconds since) const {
  const auto heard = PerVoter(now_, [](const Peer& peer) { return peer.acked_sent_at; });
  return ReachedByQuorum(heard, Quorum()) >= std::max<Microseconds>(since, 1);
}

/// A peer for each other member of the newest configuration, and for who has just left it.
void Core::SyncPeers() {
  Leader& leader = std::get<Leader>(role_);
  std::erase_if(leader.peers,
                [](const auto& peer) { return peer.second.leaving_since.has_value(); });
  for (auto& [uid, peer] : leader.peers) {
    if (configuration().Find(uid) == nullptr) peer.leaving_since = now_;
  }
  for (const Member& member : configuration().members) {
    if (member.uid != uid_) leader.peers.try_emplace(member.uid, Peer{.next = log_.end()});
  }
}

/// ME2: who has left is told so, that it stops; not for ever, as it may be gone already.
void Core::DropTold() {
  Leader& leader = std::get<Leader>(role_);
  const Index change = specials_.configuration_index();
  std::erase_if(leader.peers, [&](const auto& entry) {
    const Peer& peer = entry.second;
    if (!peer.leaving_since) return false;
    const bool told = peer.match >= change && peer.commit_sent >= change && commit_ >= change;
    return told || now_ > *peer.leaving_since + 8 * settings_.election_timeout_max;
  });
}

void Core::OnPropose(const Propose& propose, Effects& out) {
  Reply reply{.ticket = propose.ticket};
  Leader* leader = std::get_if<Leader>(&role_);
  if (wal_down_) {
    reply.answer = Answer::kWalDown;
  } else if (leader == nullptr) {
    reply.answer = Answer::kNotLeader;
    reply.leader = this->leader().value_or(ServerUid{});
  } else if (leader->transfer) {
    reply.answer = Answer::kTransferInProgress;
  } else if (propose.count == 0) {
    reply.answer = Answer::kInvalid;
  } else if (propose.count > settings_.uncommitted_entries_max ||
             log_.last().index - commit_ > settings_.uncommitted_entries_max - propose.count) {
    reply.answer = Answer::kOverloaded;
  } else {
    const Index at =
        AppendOwn({.run = {state_.term, propose.count}, .ticket = propose.ticket}, out);
    reply.at = {state_.term, at};
  }
  out.reply.push_back(reply);
}

Index Core::AppendOwn(Append append, Effects& out) {
  append.begin = log_.end();
  log_.Append(append.run);
  const bool members_change = append.special && append.special->configuration;
  if (append.special) {
    append.special->index = append.begin;
    specials_.Append(*append.special);
  }
  out.append.push_back(append);
  if (members_change) {
    SyncPeers();
    ForgetStrangers();
  }
  Wake(out);
  std::get<Leader>(role_).rest_round.reset();
  return append.begin;
}

void Core::OnAppendReply(const Message& message, const AppendReply& reply, Effects& out) {
  Leader& leader = std::get<Leader>(role_);
  const auto at = leader.peers.find(message.from);
  if (at == leader.peers.end() || reply.match > log_.last().index || reply.sent_at > now_ ||
      reply.round > leader.round) {
    ++counters_.void_messages;
    return;
  }
  Peer& peer = at->second;
  peer.acked_round = std::max(peer.acked_round, reply.round);
  peer.acked_sent_at = std::max(peer.acked_sent_at, reply.sent_at);
  if (Planted(PlantedBug::kLeaseFromAnswer)) peer.acked_sent_at = now_;
  if (reply.number > peer.reply_number) {
    peer.reply_number = reply.number;
    peer.standing = reply.standing;
    peer.machine_version = reply.machine_version;
    peer.version_known = true;
    if (reply.standing == Standing::kSound) peer.heal_upto = 0;
    // The exit is exact: this log's end at the time of the report [A3].
    if (reply.standing == Standing::kFaulty &&
        (peer.heal_upto == 0 || peer.heal_fault != reply.fault)) {
      peer.heal_upto = log_.last().index;
      peer.heal_fault = reply.fault;
    }
    peer.lost_data = reply.standing == Standing::kSound && reply.last_index < peer.acknowledged;
  }
  if (reply.success) {
    if (reply.match > peer.match && peer.window < settings_.pipeline_entries_max) peer.window *= 2;
    peer.match = std::max(peer.match, reply.match);
    peer.acknowledged = std::max(peer.acknowledged, peer.match);
    peer.next = std::max(peer.next, peer.match + 1);
    peer.probe_sent = false;
    if (peer.progress == Peer::Progress::kProbe) peer.progress = Peer::Progress::kPipeline;
    if (peer.match + 1 < log_.begin()) peer.progress = Peer::Progress::kProbe;
  } else {
    TakeRefusal(peer, reply);
    Wake(out);
  }
  Progress(out);
}

/// What more can be done now that somebody, or this server's own disk, has got further.
void Core::Progress(Effects& out) {
  AdvanceCommit(out);
  if (!std::holds_alternative<Leader>(role_)) return;  // It has removed itself.
  ServeReads(out);
  MaybePromote(out);
  MaybeRaiseVersion(out);
  MaybeHandOver(out);
}

/// One refusal of a stream of messages moves the peer, and begins the next stream: all others of
/// the old one, whether doubled by the network or caused by one that was overtaken, would each
/// begin it again, and messages would grow without bound. The window begins small again, as in TCP:
/// where messages overtake each other, a whole one for each entry that gets through would be the
/// square of what is missing.
void Core::TakeRefusal(Peer& peer, const AppendReply& reply) {
  if (reply.stream != peer.stream || peer.progress == Peer::Progress::kSnapshot) return;
  ++peer.stream;
  // It has less than it had: begin anew.
  if (reply.last_index < peer.match && !Planted(PlantedBug::kMatchKept)) peer.match = 0;
  Index equal =
      log_.LastOfTermAtMost(std::min(reply.hint.index, log_.last().index), reply.hint.term);
  const LogEnd before{*log_.TermAt(log_.begin() - 1), log_.begin() - 1};
  // What may be equal lies where this log is no more: only a snapshot helps [RE6].
  if (before.index > 0 && reply.hint.index <= before.index && reply.hint != before) {
    equal = std::min(reply.hint.index, before.index - 1);
  }
  peer.next = std::max(equal, peer.match) + 1;
  peer.probe_sent = false;
  peer.window = settings_.append_entries_max;
  if (peer.progress == Peer::Progress::kPipeline) peer.progress = Peer::Progress::kProbe;
}

void Core::OnInstallReply(const Message& message, const InstallReply& reply, Effects& out) {
  Leader& leader = std::get<Leader>(role_);
  const auto at = leader.peers.find(message.from);
  if (at == leader.peers.end() || reply.transfer != at->second.transfer ||
      at->second.progress != Peer::Progress::kSnapshot || reply.match > log_.last().index) {
    ++counters_.void_messages;
    return;
  }
  Peer& peer = at->second;
  // No number says how old this is: it takes standing away, and never gives it back [A3].
  if (reply.standing != Standing::kSound) peer.standing = reply.standing;
  peer.match = std::max(peer.match, reply.match);
  peer.next = peer.match + 1;
  peer.progress = Peer::Progress::kProbe;
  peer.probe_sent = false;
  Progress(out);
}

/// RE1: what was not sent for its size is sent by the next message.
void Core::OnSentUpTo(const SentUpTo& sent) {
  Leader* leader = std::get_if<Leader>(&role_);
  if (leader == nullptr) return;
  const auto peer = leader->peers.find(sent.peer);
  if (peer == leader->peers.end()) return;
  peer->second.next = std::max(std::min(peer->second.next, sent.end), peer->second.match + 1);
}

void Core::OnPeerFlow(const PeerFlow& flow, Effects& out) {
  Leader* leader = std::get_if<Leader>(&role_);
  if (leader == nullptr) return;
  const auto peer = leader->peers.find(flow.peer);
  if (peer == leader->peers.end()) return;
  peer->second.flow_open = flow.open;
  static_cast<void>(out);  // ReplicateAll at the end of the step resumes at once [R20].
}

/// Raft §5.4.2: only an entry of this term commits by counting; what lies before it commits with
/// it.
void Core::AdvanceCommit(Effects& out) {
  Leader& leader = std::get<Leader>(role_);
  const Index reached =
      ReachedByQuorum(PerVoter(written_, [](const Peer& peer) { return peer.match; }), Quorum());
  const bool by_counting = Planted(PlantedBug::kOldTermCommitted);
  if (reached <= commit_ || (reached < leader.own_first && !by_counting)) return;
  CHECK(log_.TermAt(reached) == state_.term || by_counting);
  const bool ready_before = commit_ >= leader.own_first;
  RaiseCommit(reached, out);
  if (!ready_before) {
    std::vector<PendingRead> early = std::move(leader.early);
    leader.early.clear();
    for (PendingRead& read : early) AddRead(std::move(read), out);
  }
  OnConfigurationCommitted(out);
}

std::vector<PeerStatus> Core::Peers() const {
  std::vector<PeerStatus> statuses;
  const Leader* leader = std::get_if<Leader>(&role_);
  if (leader == nullptr) return statuses;
  const Microseconds window = settings_.election_timeout_max;
  for (const auto& [uid, peer] : leader->peers) {
    const bool recent = std::max(peer.acked_sent_at, leader->active_since) + window >= now_;
    statuses.push_back({.uid = uid,
                        .progress = peer.progress,
                        .standing = peer.standing,
                        .match = peer.match,
                        .next = peer.next,
                        .lag = log_.last().index - peer.match,
                        .heard = peer.acked_sent_at,
                        .responsive = recent || leader->quiet});
  }
  return statuses;
}

void Core::ReplicateAll(Effects& out) {
  Leader& leader = std::get<Leader>(role_);
  for (auto& [uid, peer] : leader.peers) Replicate(uid, peer, out);
}

void Core::Replicate(const ServerUid& uid, Peer& peer, Effects& out) {
  if (!peer.flow_open || !IsUp(uid) || peer.progress == Peer::Progress::kSnapshot) return;
  if (peer.next < log_.begin()) {
    peer.progress = Peer::Progress::kSnapshot;
    peer.transfer = next_id_++;
    out.send_snapshot.push_back({uid, peer.transfer});
    return;
  }
  if (peer.progress == Peer::Progress::kProbe) {
    if (peer.probe_sent || std::get<Leader>(role_).quiet) return;
    peer.probe_sent = true;
    return SendAppend(uid, peer, std::min(log_.end(), peer.next + settings_.append_entries_max),
                      out);
  }
  const Index window = std::min<Index>(peer.window, settings_.pipeline_entries_max);
  while (peer.next < log_.end() && peer.next - peer.match <= window) {
    const Index end = std::min(
        {log_.end(), peer.next + settings_.append_entries_max, peer.match + 1 + window});
    SendAppend(uid, peer, end, out);
    peer.next = end;
  }
  if (peer.commit_sent < commit_ && !std::get<Leader>(role_).quiet)
    SendAppend(uid, peer, peer.next, out);
}

void Core::SendAppend(const ServerUid& uid, Peer& peer, Index end, Effects& out) {
  const Leader& leader = std::get<Leader>(role_);
  const Index previous = std::max(peer.next, log_.begin()) - 1;
  AppendEntries append{.previous = {*log_.TermAt(previous), previous}, .commit = commit_};
  if (end > previous + 1) {
    append.runs = log_.Runs({previous + 1, end});
    append.specials = specials_.Within({previous + 1, end});
  }
  append.round = leader.round;
  append.stream = peer.stream;
  append.sent_at = now_;
  append.quiet = leader.quiet;
  append.heal_upto = peer.heal_upto;
  append.heal_fault = peer.heal_upto == 0 ? 0 : peer.heal_fault;
  append.acknowledged = peer.lost_data ? peer.acknowledged : 0;
  peer.commit_sent = commit_;
  Send(uid, std::move(append), out);
}

void Core::Heartbeat(Effects& out) {
  Leader& leader = std::get<Leader>(role_);
  for (auto& [uid, peer] : leader.peers) {
    if (!peer.flow_open || !IsUp(uid)) continue;
    if (peer.progress == Peer::Progress::kProbe && !leader.quiet) {
      peer.probe_sent = false;  // Lost, perhaps; the end of the step sends it again.
    } else {
      SendAppend(uid, peer, std::max(peer.next, log_.begin()), out);
    }
  }
}

void Core::TickLeader(Effects& out) {
  Leader& leader = std::get<Leader>(role_);
  if (leader.transfer && now_ >= leader.transfer->deadline) {
    EndTransfer(leader.transfer->sent ? Answer::kTimeout : Answer::kNotUpToDate, out);
  }
  if (!deadline_ || now_ < *deadline_) return;
  leader.ticked_at = now_;
  deadline_ = now_ + settings_.heartbeat_interval;
  DropTold();
  // Check-quorum, on rounds that a quorum answered in this term [EL4, A16].
  const Microseconds window = settings_.election_timeout_max;
  const Microseconds since = now_ > window ? now_ - window : 0;
  if (leader.active_since < since && !HasLiveQuorum(since)) return StepDown(out);
  MaybeRest(out);
  if (!leader.quiet) Heartbeat(out);
}

/// RE9: silence, once every member that is up has all there is and has said so since.
void Core::MaybeRest(Effects& out) {
  Leader& leader = std::get<Leader>(role_);
  const bool idle = settings_.quiet_when_idle && commit_ == log_.last().index &&
                    commit_ >= leader.own_first && leader.reads.empty() && leader.early.empty() &&
                    !leader.transfer && !leader.change_ticket;
  bool settled = idle;
  bool answered = leader.rest_round.has_value();
  for (const auto& [uid, peer] : leader.peers) {
    if (!IsUp(uid)) continue;
    settled = settled && !peer.leaving_since;
    settled = settled && peer.match == commit_ && peer.commit_sent == commit_ && peer.flow_open &&
              peer.standing != Standing::kFaulty;
    answered = answered && peer.acked_round >= *leader.rest_round;
  }
  const Microseconds window = settings_.election_timeout_min;
  if (!settled || !HasLiveQuorum(now_ > window ? now_ - window : 0)) {
    leader.rest_round.reset();
    return;
  }
  if (!leader.rest_round) {
    leader.rest_round = ++leader.round;
    return;
  }
  if (!answered) return;
  leader.quiet = true;
  Heartbeat(out);
  deadline_.reset();
}

void Core::Wake(Effects& out) {
  Leader* leader = std::get_if<Leader>(&role_);
  if (leader == nullptr || !leader->quiet) return;
  leader->quiet = false;
  leader->rest_round.reset();
  leader->active_since = now_;
  deadline_ = now_ + settings_.heartbeat_interval;
  Heartbeat(out);
}

/// SM8: the version rises in the log, when all members (or a quorum of voters) know it.
void Core::MaybeRaiseVersion(Effects& out) {
  const Leader& leader = std::get<Leader>(role_);
  const std::uint32_t current = specials_.MachineVersionAt(log_.last().index);
  if (commit_ < leader.own_first || settings_.machine_version <= current || leader.transfer) return;
  std::uint64_t known = settings_.machine_version;
  if (settings_.upgrade_by_quorum) {
    known = ReachedByQuorum(
        PerVoter(known, [](const Peer& peer) { return std::uint64_t{peer.machine_version}; }),
        Quorum());
    known = std::min<std::uint64_t>(known, settings_.machine_version);
  } else {
    for (const auto& [uid, peer] : leader.peers) {
      if (peer.leaving_since) continue;
      known = std::min<std::uint64_t>(known, peer.version_known ? peer.machine_version : 0);
    }
  }
  if (known <= current) return;
  AppendOwn({.run = {state_.term, 1},
             .special = SpecialEntry{.machine_version = static_cast<std::uint32_t>(known)}},
            out);
}

}  // namespace duramen::core
