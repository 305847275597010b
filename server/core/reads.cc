// Reads that are not in the log: by read index, confirmed by a round of the whole quorum that began
// after them, or by a lease on such a round (dissertation §6.4).
#include <algorithm>

#include "base/check.h"
#include "base/planted.h"
#include "server/core/core.h"
#include "server/core/quorum.h"

namespace duramen::core {

/// Counted from the sending of what a quorum answered, by this clock, less the margin for theirs
/// [A16, RD4].
bool Core::HoldsLease(Microseconds now) const {
  if (!std::holds_alternative<Leader>(role_)) return false;
  const Leader& leader = std::get<Leader>(role_);
  if (settings_.clock_drift_margin == 0 || !leader.may_lease) return false;
  const std::uint64_t sent = ReachedByQuorum(
      PerVoter(now, [](const Peer& peer) { return peer.acked_sent_at; }), Quorum());
  if (Planted(PlantedBug::kStaleClock)) now = leader.ticked_at;
  return sent > 0 && now < sent + settings_.election_timeout_min - settings_.clock_drift_margin;
}

void Core::OnQuery(const Query& query, Effects& out) {
  Reply reply{.ticket = query.ticket, .answer = Answer::kNotLeader};
  if (wal_down_) {
    reply.answer = Answer::kWalDown;
  } else if (Leader* leader = std::get_if<Leader>(&role_)) {
    if (leader->reads.size() + leader->early.size() + granted_.size() <
        settings_.waiting_reads_max) {
      PendingRead read{.id = query.ticket};
      if (query.kind == Query::Kind::kLease && commit_ >= leader->own_first && HoldsLease(now_)) {
        read.index = commit_;
        return GrantRead(read, out);
      }
      return AddRead(read, out);
    }
    reply.answer = Answer::kOverloaded;
  } else if (const std::optional<ServerUid> to = this->leader()) {
    if (forwarded_.size() + granted_.size() < settings_.waiting_reads_max) {
      const std::uint64_t id = next_id_++;
      forwarded_.push_back({id, query.ticket, now_ + settings_.election_timeout_max});
      return Send(*to, ReadRequest{.id = id}, out);
    }
    reply.answer = Answer::kOverloaded;
  }
  out.reply.push_back(reply);
}

void Core::OnReadRequest(const Message& message, const ReadRequest& request, Effects& out) {
  Leader& leader = std::get<Leader>(role_);
  if (leader.reads.size() + leader.early.size() >= settings_.waiting_reads_max)
    return Refuse(message, out);
  AddRead({.from = message.from, .id = request.id}, out);
}

/// A leader does not know what is committed until an entry of its own is [RD3]; and a read may only
/// ride a round that begins after it: one that is under way may have been answered before.
void Core::AddRead(PendingRead read, Effects& out) {
  Leader& leader = std::get<Leader>(role_);
  Wake(out);
  if (commit_ < leader.own_first && !Planted(PlantedBug::kReadBeforeNoOp)) {
    leader.early.push_back(std::move(read));
    return;
  }
  read.index = commit_;
  read.round = 0;  // Rides the next round.
  if (Planted(PlantedBug::kReadWithoutRound)) return GrantRead(read, out);
  leader.reads.push_back(std::move(read));
  StartReadRound(out);
}

/// One round at a time: reads that come meanwhile share the next one.
void Core::StartReadRound(Effects& out) {
  Leader& leader = std::get<Leader>(role_);
  const bool under_way = std::any_of(leader.reads.begin(), leader.reads.end(),
                                     [](const PendingRead& read) { return read.round != 0; });
  if (under_way || leader.reads.empty()) return;
  ++leader.round;
  for (PendingRead& read : leader.reads) read.round = leader.round;
  leader.rest_round.reset();
  Heartbeat(out);
  ServeReads(out);  // A sole voter is its own quorum.
}

void Core::ServeReads(Effects& out) {
  Leader& leader = std::get<Leader>(role_);
  if (leader.reads.empty()) return;
  const std::uint64_t reached = ReachedByQuorum(
      PerVoter(leader.round, [](const Peer& peer) { return peer.acked_round; }), Quorum());
  std::vector<PendingRead> reads = std::move(leader.reads);
  leader.reads.clear();
  for (PendingRead& read : reads) {
    if (read.round != 0 && read.round <= reached) {
      GrantRead(read, out);
    } else {
      leader.reads.push_back(std::move(read));
    }
  }
  if (leader.reads.size() < reads.size()) StartReadRound(out);
}

void Core::GrantRead(const PendingRead& read, Effects& out) {
  if (!read.from.is_nil()) {
    Send(read.from, ReadReply{.id = read.id, .granted = true, .index = read.index}, out);
    return;
  }
  granted_.push_back(read);
  ReleaseApplied(out);
}

void Core::ReleaseApplied(Effects& out) {
  for (const PendingRead& read : granted_) {
    if (read.index <= applied_) out.query.push_back({read.id, read.index});
  }
  std::erase_if(granted_, [this](const PendingRead& read) { return read.index <= applied_; });
}

/// R22: the number is of this life, and is forgotten when the leader is; an answer to another
/// question finds nothing.
void Core::OnReadReply(const Message& message, const ReadReply& reply, Effects& out) {
  const Follower* follower = std::get_if<Follower>(&role_);
  if (follower == nullptr || follower->leader != message.from) return;
  const auto asked = std::find_if(forwarded_.begin(), forwarded_.end(),
                                  [&](const Forwarded& read) { return read.id == reply.id; });
  if (asked == forwarded_.end()) return;
  const std::uint64_t ticket = asked->ticket;
  forwarded_.erase(asked);
  if (!reply.granted) {
    out.reply.push_back({.ticket = ticket, .answer = Answer::kNotLeader});
    return;
  }
  granted_.push_back({.id = ticket, .index = reply.index});
  ReleaseApplied(out);
}

/// What was asked of a leadership that is over gets an error; a read that is granted needs no
/// leader any more.
void Core::FailReads(Effects& out) {
  for (const Forwarded& read : forwarded_) {
    out.reply.push_back({.ticket = read.ticket, .answer = Answer::kNotLeader});
  }
  forwarded_.clear();
  Leader* leader = std::get_if<Leader>(&role_);
  if (leader == nullptr) return;
  for (std::vector<PendingRead>* reads : {&leader->early, &leader->reads}) {
    for (const PendingRead& read : *reads) {
      if (read.from.is_nil()) {
        out.reply.push_back({.ticket = read.id, .answer = Answer::kNotLeader});
      } else {
        Send(read.from, ReadReply{.id = read.id}, out);
      }
    }
    reads->clear();
  }
}

}  // namespace duramen::core
