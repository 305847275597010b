// How a cluster ends [CL8]. The end is a committed command, so who applies it may act on it: it
// puts a row that says so, and once that is durable tells every other member, which does the same.
// A server goes for good when all others have it durable, or have gone; one whose member is away
// waits for it, so that it cannot come back as if nothing had been.
#include <algorithm>
#include <set>
#include <utility>

#include "base/planted.h"
#include "base/try.h"
#include "server/worker.h"

namespace duramen::server {
namespace {

constexpr core::Microseconds kPutAgain = 1000;
constexpr core::Microseconds kSayAgain = 1'000'000;

}  // namespace

/// In a minority it could not be committed, and would come true when nobody expects it any more.
void Worker::Delete(Hosted& hosted, Request& request) {
  const core::Core& core = hosted.replica->core();
  if (core.role_kind() != core::RoleKind::kLeader) return RefuseNotLeader(hosted, request);
  std::set<ServerUid> silent;
  for (const core::PeerStatus& peer : core.Peers()) {
    if (!peer.responsive) silent.insert(peer.uid);
  }
  std::size_t voters = 0;
  std::size_t there = 0;
  for (const core::Member& member : core.configuration().members) {
    if (member.role != core::MemberRole::kVoter) continue;
    ++voters;
    if (!silent.contains(member.uid) && !gone_.contains(member.node)) ++there;
  }
  if (2 * there <= voters) {
    return Refuse(request.asker,
                  {ErrorCode::kRefused,
                   "only " + std::to_string(there) + " of " + std::to_string(voters) +
                       " voters are there",
                   "bring a majority up, or delete each server by force"});
  }
  request.payload = EncodeCommand({.kind = CommandKind::kDeletes});
  Command(hosted, request);
}

void Worker::TakeLeave(Hosted& hosted, const Birth& deleted) {
  Leavetaking leave{.deleted = deleted};
  for (const core::Member& member : deleted.configuration.members) {
    if (Planted(PlantedBug::kAwayNotAwaited)) continue;
    if (member.uid != hosted.uid) leave.left.push_back(member);
  }
  hosted.leavetaking = std::make_unique<Leavetaking>(std::move(leave));
  if (std::ranges::find(leaving_, &hosted) == leaving_.end()) leaving_.push_back(&hosted);
  leave_due_ = 0;
  Error why{ErrorCode::kNotFound, "the cluster was deleted",
            "its last traces go once every member was there to hear of it"};
  if (hosted.replica) {
    Stop(hosted, std::move(why));
  } else {
    hosted.stopped = std::move(why);
  }
  hosted.others.clear();
  awake_.store(true);
}

void Worker::NoteDeleted(const std::string& cluster, const LogInfo& log, const Birth& deleted) {
  NoteStopped(cluster, log, {});
  Hosted* hosted = Named(cluster);
  if (hosted == nullptr || hosted->leavetaking) return;
  TakeLeave(*hosted, deleted);
  hosted->leavetaking->ticket = 0;
}

/// Rows that are durable by now, and members that have not answered.
void Worker::TakeLeaves() {
  leave_due_ = Hosted::kNoTimer;
  for (Hosted* hosted : leaving_) {
    Leavetaking& leave = *hosted->leavetaking;
    if (!leave.ticket) {
      const Result<Ticket> put = writer_.Put(hosted->log, kDeletedKey, EncodeBirth(leave.deleted),
                                             Durability::kSynced);
      if (put.ok()) leave.ticket = *put;
    }
    if (!leave.ticket || *leave.ticket > writer_.durable()) {
      leave_due_ = std::min(leave_due_, now_ + kPutAgain);
      continue;
    }
    if (!std::exchange(leave.durable, true)) {
      for (const core::Member& member : leave.deleted.configuration.members)
        if (member.uid != hosted->uid) SayFarewell(*hosted, member, false);
      leave.again_at = now_ + kSayAgain;
    }
    const bool again = leave.again_at <= now_;
    if (again) leave.again_at = now_ + kSayAgain;
    if (leave.left.empty()) {
      Call([this, name = hosted->cluster] { place_.router.OnDeleted(name); });
      leave_due_ = std::min(leave_due_, leave.again_at);  // The WAL may refuse it for a while.
    }
    for (const core::Member& member : leave.left) {
      if (!nodes_.contains(member.node)) continue;  // OnNode tells it when it comes.
      if (again) SayFarewell(*hosted, member, false);
      leave_due_ = std::min(leave_due_, leave.again_at);
    }
  }
}

void Worker::SayFarewell(const Hosted& hosted, const core::Member& to, bool reply) {
  outbox_[to.node].emplace_back(Farewell{.to = to.uid,
                                         .about = hosted.uid,
                                         .node = place_.router.node(),
                                         .deleted = hosted.leavetaking->deleted,
                                         .reply = reply});
}

void Worker::Handle(Farewell& farewell) {
  Hosted* hosted = HostedOf(farewell.to);
  if (hosted == nullptr) return;
  if (!hosted->leavetaking) TakeLeave(*hosted, farewell.deleted);
  Leavetaking& leave = *hosted->leavetaking;
  std::erase_if(leave.left,
                [&](const core::Member& member) { return member.uid == farewell.about; });
  if (!leave.durable) return;  // All hear of it then.
  if (!farewell.reply)
    SayFarewell(*hosted, {.uid = farewell.about, .node = farewell.node}, true);
  if (leave.left.empty()) leave_due_ = 0;
}

}  // namespace duramen::server
