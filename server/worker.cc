#include "server/worker.h"

#include <algorithm>

#include "base/check.h"
#include "base/try.h"

namespace duramen::server {
namespace {

/// Until a Writer that had no room is asked again.
constexpr core::Microseconds kRetry = 1000;

Error ErrorOf(core::Answer answer) {
  using core::Answer;
  switch (answer) {
    case Answer::kNotLeader:
      return {ErrorCode::kNotLeader, "this server does not lead its cluster", "ask its leader"};
    case Answer::kLost:
      return {ErrorCode::kTimeout, "the leader changed before it was committed",
              "whether it happens is unknown: read, or send it again in a session"};
    case Answer::kTimeout:
      return {ErrorCode::kTimeout, "it did not end in time", "whether it happens is unknown"};
    case Answer::kOverloaded:
      return {ErrorCode::kOverloaded, "too much waits at this server", "try again after a while"};
    case Answer::kWalDown:
      return {ErrorCode::kWalDown, "the WAL can make nothing durable",
              "see the state of the store"};
    case Answer::kNotReady:
      return {ErrorCode::kOverloaded, "the leader has not committed an entry of its term yet",
              "try again"};
    case Answer::kChangeInProgress:
      return {ErrorCode::kRefused, "change_in_progress: another change of members is not committed",
              "one at a time: wait for it"};
    case Answer::kWouldBreakQuorum:
      return {ErrorCode::kRefused,
              "would_break_quorum: too few of those that stay are up and caught up",
              "add another member first, or mend those that are down"};
    case Answer::kLastMember:
      return {ErrorCode::kRefused, "last_member: nobody would be left", "delete the cluster"};
    case Answer::kFaulty:
      return {ErrorCode::kFaulty, "the server lacks entries that it had acknowledged",
              "its leader sends them again"};
    default:
      return {ErrorCode::kRefused, "the server refuses: " + std::string(core::NameOf(answer)), ""};
  }
}

}  // namespace

Worker::Worker(const WorkerPlace& place, Writer writer, Rng rng, std::uint64_t inbox_bytes_max)
    : place_(place), rng_(rng), inbox_bytes_max_(inbox_bytes_max), writer_(std::move(writer)) {
  writer_.OnWritten(*this, [](void*, Writer&) noexcept {}, nullptr);
}

Worker::~Worker() {
  for (auto& [uid, hosted] : servers_) hosted.replica.reset();
  writer_.OnWritten(*this, nullptr, nullptr);
  if (posted_ != nullptr) posted_(posted_argument_);
}

Status Worker::Take(Request request) {
  {
    const std::lock_guard lock(mutex_);
    const std::size_t bytes = request.bytes();
    if (inbox_bytes_ > 0 && inbox_bytes_ + bytes > inbox_bytes_max_) {
      return Error{ErrorCode::kOverloaded, "too many requests wait for this worker",
                   "try again after a while, or raise inbox_bytes_max"};
    }
    inbox_bytes_ += bytes;
    inbox_.emplace_back(Parcel(std::move(request)));
  }
  if (!awake_.exchange(true)) place_.executor.Wake(*this);
  return {};
}

/// Requests of other nodes over the limit are refused, messages are lost: they are sent again.
void Worker::Take(std::vector<Parcel> parcels) {
  for (Parcel& parcel : parcels) {
    if (auto* request = std::get_if<Request>(&parcel)) {
      const Asker asker = request->asker;
      if (const Status taken = Take(std::move(*request)); !taken.ok()) {
        Response refusal{.client = asker.client,
                         .outcome = {.correlation = asker.correlation, .error = taken.error()}};
        std::vector<Parcel> back;
        back.emplace_back(std::move(refusal));
        place_.router.Send(asker.node, std::move(back));
      }
      continue;
    }
    std::size_t bytes = sizeof(Parcel);
    if (const auto* envelope = std::get_if<Envelope>(&parcel)) {
      for (const Payload& payload : envelope->payloads)
        bytes += sizeof payload + payload.bytes.size();
    }
    const std::lock_guard lock(mutex_);
    if (inbox_bytes_ > 2 * inbox_bytes_max_) continue;
    inbox_bytes_ += bytes;
    inbox_.emplace_back(std::move(parcel));
  }
  if (!awake_.exchange(true)) place_.executor.Wake(*this);
}

void Worker::Call(std::function<void()> call) {
  {
    const std::lock_guard lock(mutex_);
    inbox_.emplace_back(std::move(call));
  }
  if (!awake_.exchange(true)) place_.executor.Wake(*this);
}

/// WAL thread: of the Writer, which has one under way at most.
void Worker::Post(void (*run)(void*) noexcept, void* argument) noexcept {
  {
    const std::lock_guard lock(mutex_);
    CHECK(posted_ == nullptr);
    posted_ = run;
    posted_argument_ = argument;
  }
  if (!awake_.exchange(true)) place_.executor.Wake(*this);
}

std::int64_t Worker::Step() {
  awake_.store(false);
  void (*posted)(void*) noexcept = nullptr;
  {
    const std::lock_guard lock(mutex_);
    taken_.swap(inbox_);
    inbox_bytes_ = 0;
    posted = std::exchange(posted_, nullptr);
  }
  now_ = static_cast<core::Microseconds>(place_.clock.NowNs() / 1000);
  unix_ms_ = place_.clock.UnixMs();
  if (posted != nullptr) posted(posted_argument_);
  TakeNews();
  for (Item& item : taken_) {
    if (auto* call = std::get_if<std::function<void()>>(&item)) {
      ProposeBatches();
      (*call)();
    } else {
      std::visit([this](auto& parcel) { Handle(parcel); }, std::get<Parcel>(item));
    }
  }
  taken_.clear();
  ProposeBatches();
  RunTimers();
  Flush();
  if (awake_.load()) return kAgain;
  const bool retries = std::ranges::any_of(
      waiting_, [](const Hosted* one) { return one->replica && one->replica->has_news(); });
  core::Microseconds next = timers_.empty() ? Hosted::kNoTimer : timers_.begin()->first;
  if (retries) next = std::min(next, now_ + kRetry);
  return next == Hosted::kNoTimer ? kIdle : static_cast<std::int64_t>(next) * 1000;
}

void Worker::TakeNews() {
  for (const Written& written : writer_.Poll()) {
    const auto found = by_slot_.find(written.log.slot);
    if (found == by_slot_.end() || !found->second->replica) continue;
    if (!(found->second->log == written.log)) continue;
    found->second->replica->OnWritten(now_, written);
    After(*found->second);
  }
  std::vector<Hosted*> waiting;
  waiting.swap(waiting_);
  for (Hosted* hosted : waiting) {
    hosted->waiting = false;
    if (!hosted->replica) continue;
    if (hosted->replica->has_news()) hosted->replica->Progress(now_);
    After(*hosted);
  }
}

void Worker::RunTimers() {
  while (!timers_.empty() && timers_.begin()->first <= now_) {
    Hosted* hosted = HostedOf(timers_.begin()->second);
    timers_.erase(timers_.begin());
    CHECK(hosted != nullptr);
    hosted->timer_at = Hosted::kNoTimer;
    if (hosted->replica) StepOne(*hosted, core::Tick{});
  }
}

Status Worker::StartServer(ServerSetup setup) {
  Hosted* before = Named(setup.cluster);
  if (before != nullptr && before->replica) {
    return Error{ErrorCode::kAlreadyExists,
                 "the server of cluster '" + setup.cluster + "' runs already", ""};
  }
  Forget(setup.cluster);
  Result<std::unique_ptr<Replica>> replica =
      Replica::Start({place_.store, writer_, *this, *setup.machine},
                     {.name = setup.cluster,
                      .boot = place_.store.recovery_report().boot,
                      .seed = rng_.Next(),
                      .now = now_,
                      .settings = setup.settings});
  if (!replica.ok()) return std::move(replica).error();
  Hosted& hosted = Enter(setup.cluster, (*replica)->uid(), (*replica)->log());
  hosted.machine = std::move(setup.machine);
  hosted.replica = std::move(*replica);
  TellNodes(hosted);
  if (hosted.replica) TellPeers(hosted, place_.store.recovery_report().boot);
  After(hosted);
  return {};
}

Hosted& Worker::Enter(const std::string& cluster, const ServerUid& uid, LogRef log) {
  Hosted& hosted = servers_[uid];
  hosted.cluster = cluster;
  hosted.uid = uid;
  hosted.log = log;
  by_cluster_[cluster] = &hosted;
  by_slot_[log.slot] = &hosted;
  return hosted;
}

void Worker::NoteStopped(const std::string& cluster, const LogInfo& log, Error why) {
  const Result<ServerUid> uid = Uid128::Parse(log.uid);
  const Hosted* before = Named(cluster);
  if (!uid.ok() || (before != nullptr && before->replica)) return;
  Enter(cluster, *uid, log.log).stopped = std::move(why);
}

void Worker::StopServer(const std::string& cluster) {
  Hosted* hosted = Named(cluster);
  if (hosted == nullptr || !hosted->replica) return;
  Stop(*hosted, {ErrorCode::kClosed, "the server was stopped", "restart it"});
}

void Worker::Forget(const std::string& cluster) {
  Hosted* hosted = Named(cluster);
  if (hosted == nullptr) return;
  StopServer(cluster);
  std::erase(waiting_, hosted);
  by_cluster_.erase(hosted->cluster);
  by_slot_.erase(hosted->log.slot);
  servers_.erase(ServerUid(hosted->uid));
}

/// It stays in the list, for its status. The others hear of it, or they would wait for a leader
/// whose node is up [B6].
void Worker::Stop(Hosted& hosted, Error why) {
  TellPeers(hosted, std::nullopt);
  for (const core::Member& member : hosted.replica->core().configuration().members) {
    if (member.uid != hosted.uid) hosted.others.push_back(member.node);
  }
  hosted.stopped = why;
  hosted.replica.reset();
  if (hosted.timer_at != Hosted::kNoTimer) timers_.erase({hosted.timer_at, hosted.uid});
  hosted.timer_at = Hosted::kNoTimer;
  hosted.batch.clear();
  for (std::size_t at = 0; at < pending_.size(); ++at) {
    if (pending_[at].ticket == 0 || pending_[at].server != hosted.uid) continue;
    // It may have left before that.
    Refuse(TakePending(pending_[at].ticket)->asker,
           {why.code == ErrorCode::kMachineFailed ? why.code : ErrorCode::kTimeout,
            "the server stopped: " + why.message,
            "whether it happens is unknown: read, or send it again in a session"});
  }
}

void Worker::TellPeers(const Hosted& hosted, std::optional<std::uint64_t> boot) {
  for (const core::Member& member : hosted.replica->core().configuration().members) {
    if (member.uid == hosted.uid) continue;
    outbox_[member.node].emplace_back(
        PeerNotice{.to = member.uid, .about = hosted.uid, .boot = boot});
  }
}

void Worker::OnNode(const std::string& node, std::optional<std::uint64_t> boot) {
  if (boot) {
    nodes_[node] = *boot;
    gone_.erase(node);
  } else {
    nodes_.erase(node);
    gone_.insert(node);
  }
  for (auto& [uid, hosted] : servers_) {
    if (!hosted.replica) continue;
    std::vector<ServerUid> there;
    for (const core::Member& member : hosted.replica->core().configuration().members) {
      if (member.node == node && member.uid != uid) there.push_back(member.uid);
    }
    for (const ServerUid& peer : there) {
      if (!hosted.replica) break;
      if (boot) {
        StepOne(hosted, core::PeerUp{.peer = peer, .boot = *boot});
      } else {
        StepOne(hosted, core::PeerDown{.peer = peer});
      }
    }
  }
}

/// What a server that starts did not hear of.
void Worker::TellNodes(Hosted& hosted) {
  const core::Configuration members = hosted.replica->core().configuration();
  for (const core::Member& member : members.members) {
    if (member.uid == hosted.uid || !hosted.replica) continue;
    const auto up = nodes_.find(member.node);
    if (up != nodes_.end()) {
      StepOne(hosted, core::PeerUp{.peer = member.uid, .boot = up->second});
    } else if (gone_.count(member.node) > 0) {
      StepOne(hosted, core::PeerDown{.peer = member.uid});
    }
  }
}

const Hosted* Worker::Find(const std::string& cluster) const {
  const auto found = by_cluster_.find(cluster);
  return found == by_cluster_.end() ? nullptr : found->second;
}

Hosted* Worker::Named(const std::string& cluster) { return const_cast<Hosted*>(Find(cluster)); }

Hosted* Worker::HostedOf(const ServerUid& uid) {
  const auto found = servers_.find(uid);
  return found == servers_.end() ? nullptr : &found->second;
}

void Worker::Handle(Envelope& envelope) {
  Hosted* hosted = HostedOf(envelope.message.to);
  if (hosted == nullptr || !hosted->replica) return;
  hosted->replica->Deliver(now_, envelope);
  After(*hosted);
}

void Worker::Handle(PeerNotice& notice) {
  Hosted* hosted = HostedOf(notice.to);
  if (hosted == nullptr || !hosted->replica) return;
  if (notice.boot) {
    StepOne(*hosted, core::PeerUp{.peer = notice.about, .boot = *notice.boot});
  } else {
    StepOne(*hosted, core::PeerDown{.peer = notice.about});
  }
}

void Worker::Handle(Request& request) {
  Hosted* hosted = Named(request.cluster);
  if (hosted == nullptr) {
    // Another node believes it to be here: it has been.
    const bool near = request.asker.node == place_.router.node();
    return Refuse(request.asker, {near ? ErrorCode::kNotFound : ErrorCode::kNotLeader,
                                  "no server of cluster '" + request.cluster + "' is on node '" +
                                      place_.router.node() + "'",
                                  "start the cluster, or add a member there"});
  }
  if (!hosted->replica) return RefuseStopped(*hosted, request);
  switch (request.ask) {
    case Ask::kCommand:
      return Command(*hosted, request);
    case Ask::kQuery:
      return Query(*hosted, request);
    case Ask::kTransfer:
      return Transfer(*hosted, request);
    case Ask::kInvite:
      return Invite(*hosted, request);
    case Ask::kAdd:
    case Ask::kRemove:
      return Change(*hosted, request);
    case Ask::kTrigger:
      StepOne(*hosted, core::TriggerElection{});
      return Answer(request.asker, {});
  }
}

std::uint64_t Worker::NewTicket(Hosted& hosted, Request& request) {
  if (free_pending_.empty()) {
    free_pending_.push_back(static_cast<std::uint32_t>(pending_.size()));
    pending_.emplace_back();
  }
  const std::uint32_t place = free_pending_.back();
  free_pending_.pop_back();
  const std::uint64_t ticket = next_ticket_++ << 32 | place;
  Pending& pending = pending_[place];
  pending.ticket = ticket;
  pending.asker = std::move(request.asker);
  pending.server = hosted.uid;
  if (request.ask == Ask::kQuery) pending.query = std::move(request.payload);
  return ticket;
}

std::optional<Worker::Pending> Worker::TakePending(std::uint64_t ticket) {
  const auto place = static_cast<std::uint32_t>(ticket);
  if (place >= pending_.size() || pending_[place].ticket != ticket) return std::nullopt;
  free_pending_.push_back(place);
  return std::exchange(pending_[place], {});
}

void Worker::Command(Hosted& hosted, Request& request) {
  const Result<CommandFrame> frame = DecodeCommand(request.payload);
  if (!frame.ok()) return Refuse(request.asker, frame.error());
  if (frame->kind != CommandKind::kOpensSession) {
    const Status valid = hosted.machine->Validate(frame->payload);
    if (!valid.ok()) return Refuse(request.asker, valid.error());
  }
  StampCommand(request.payload, unix_ms_);
  std::vector<std::byte> command = std::move(request.payload);
  if (hosted.batch.empty()) batched_.push_back(&hosted);
  hosted.batch.push_back({NewTicket(hosted, request), std::move(command)});
}

/// Commands of one step stand in the log side by side: one event, one group, one apply.
void Worker::ProposeBatch(Hosted& hosted) {
  if (hosted.batch.empty() || !hosted.replica) return;
  std::vector<Proposal> batch;
  batch.swap(hosted.batch);
  hosted.replica->Propose(now_, std::move(batch));
  After(hosted);
}

void Worker::ProposeBatches() {
  for (std::size_t at = 0; at < batched_.size(); ++at) ProposeBatch(*batched_[at]);
  batched_.clear();
}

void Worker::Query(Hosted& hosted, Request& request) {
  ProposeBatch(hosted);
  if (!hosted.replica) return RefuseStopped(hosted, request);
  const core::Core& core = hosted.replica->core();
  const bool by_lease = request.consistency == Consistency::kLease;
  if (by_lease || request.consistency == Consistency::kConsistent) {
    const auto kind = by_lease ? core::Query::Kind::kLease : core::Query::Kind::kConsistent;
    const std::uint64_t ticket = NewTicket(hosted, request);
    return StepOne(hosted, core::Query{.ticket = ticket, .kind = kind});
  }
  const bool leads = core.role_kind() == core::RoleKind::kLeader;
  if (request.consistency == Consistency::kLeader && !leads)
    return RefuseNotLeader(hosted, request);
  Result<std::string> answer = hosted.machine->Query(request.payload);
  if (!answer.ok()) return Refuse(request.asker, answer.error());
  Answer(request.asker, {.index = hosted.replica->applied(), .answer = std::move(*answer)});
}

void Worker::Transfer(Hosted& hosted, Request& request) {
  const core::Configuration& members = hosted.replica->core().configuration();
  const auto target =
      std::ranges::find(members.members, request.target, &core::Member::node);
  if (target == members.members.end()) {
    return Refuse(request.asker, {ErrorCode::kNotFound,
                                  "no member of cluster '" + hosted.cluster + "' is on node '" +
                                      request.target + "'",
                                  ""});
  }
  const ServerUid uid = target->uid;
  const std::uint64_t ticket = NewTicket(hosted, request);
  StepOne(hosted, core::Transfer{.ticket = ticket, .target = uid});
}

/// Somebody else may well serve the cluster.
void Worker::RefuseStopped(Hosted& hosted, const Request& request) {
  if (StaysHere(request) || hosted.others.empty()) return Refuse(request.asker, *hosted.stopped);
  std::rotate(hosted.others.begin(), hosted.others.begin() + 1, hosted.others.end());
  Error error = ErrorOf(core::Answer::kNotLeader);
  error.message = "the server here is stopped: " + hosted.stopped->message;
  Refuse(request.asker, std::move(error), hosted.others.front());
}

void Worker::RefuseNotLeader(Hosted& hosted, const Request& request) {
  const core::Core& core = hosted.replica->core();
  const core::Member* leader = core.configuration().Find(core.leader().value_or(ServerUid{}));
  Refuse(request.asker, ErrorOf(core::Answer::kNotLeader), leader == nullptr ? "" : leader->node);
}

/// What a server that joins is told: as those that were there from the beginning.
void Worker::Invite(Hosted& hosted, Request& request) {
  if (hosted.replica->core().role_kind() != core::RoleKind::kLeader)
    return RefuseNotLeader(hosted, request);
  const auto& members = hosted.replica->core().configuration().members;
  if (std::ranges::find(members, request.target, &core::Member::node) != members.end())
    return Answer(request.asker, {.answer = std::string(kNothingChanged)});
  Result<std::string> invitation = [&]() -> Result<std::string> {
    const Birth birth = TRY(Replica::BirthOf(place_.store, hosted.log));
    const std::string machine = TRY(place_.store.Get(hosted.log, kMachineKey));
    return EncodeInvitation({birth, machine});
  }();
  if (!invitation.ok()) return Refuse(request.asker, invitation.error());
  Answer(request.asker, {.answer = std::move(*invitation)});
}

void Worker::Change(Hosted& hosted, Request& request) {
  const bool adds = request.ask == Ask::kAdd;
  core::Change change{.kind = adds ? core::Change::Kind::kAdd : core::Change::Kind::kRemove};
  change.member = {
      .uid = request.uid, .role = core::MemberRole::kPromotable, .node = request.target};
  const auto& members = hosted.replica->core().configuration().members;
  const auto there = std::ranges::find(members, request.target, &core::Member::node);
  const bool leads = hosted.replica->core().role_kind() == core::RoleKind::kLeader;
  if (adds && leads && there != members.end() && there->uid != request.uid) {
    return Refuse(request.asker, {ErrorCode::kAlreadyExists,
                                  "another member is on node '" + request.target + "'",
                                  "remove that one first"});
  }
  if (!adds && there != members.end()) change.member.uid = there->uid;
  if (!adds && leads && there == members.end())
    return Answer(request.asker, {.answer = std::string(kNothingChanged)});
  change.ticket = NewTicket(hosted, request);
  StepOne(hosted, change);
}

void Worker::StepOne(Hosted& hosted, core::EventBody body) {
  hosted.replica->Step(now_, std::move(body));
  After(hosted);
}

void Worker::After(Hosted& hosted) {
  if (!hosted.replica) return;
  if (hosted.machine->failed()) return Stop(hosted, *hosted.machine->failed());
  if (hosted.replica->stopped()) return Stop(hosted, Error(*hosted.replica->stopped()));
  if (hosted.removed) {
    return Stop(hosted, {ErrorCode::kRefused, "the server is no member of its cluster any more",
                         "delete it"});
  }
  if (!hosted.waiting && hosted.replica->waits()) {
    hosted.waiting = true;
    waiting_.push_back(&hosted);
  }
  TellLeader(hosted);
  const core::Microseconds due =
      hosted.replica->core().next_deadline().value_or(Hosted::kNoTimer);
  if (due == hosted.timer_at) return;
  if (hosted.timer_at != Hosted::kNoTimer) timers_.erase({hosted.timer_at, hosted.uid});
  hosted.timer_at = due;
  if (due != Hosted::kNoTimer) timers_.insert({due, hosted.uid});
}

void Worker::TellLeader(Hosted& hosted) {
  const core::Core& core = hosted.replica->core();
  const ServerUid leader = core.leader().value_or(ServerUid{});
  if (leader == hosted.told_leader && core.term() == hosted.told_term) return;
  hosted.told_leader = leader;
  hosted.told_term = core.term();
  const core::Member* member = core.configuration().Find(leader);
  place_.router.OnLeader(hosted.cluster, member == nullptr ? "" : member->node, core.term());
}

void Worker::Send(Replica& from, Envelope envelope) {
  const core::Member* member = from.core().configuration().Find(envelope.message.to);
  std::string& node = addresses_[envelope.message.to];  // Who was removed is told so [ME2].
  if (member != nullptr) node = member->node;
  if (!node.empty()) outbox_[node].emplace_back(std::move(envelope));
}

void Worker::OnReply(Replica& replica, const core::Reply& reply) {
  const std::optional<Pending> pending = TakePending(reply.ticket);
  if (!pending) return;
  const bool done =
      reply.answer == core::Answer::kDone || reply.answer == core::Answer::kAlready;
  Outcome outcome{.index = reply.at.index, .term = reply.at.term};
  if (!done) outcome.error = ErrorOf(reply.answer);
  if (reply.answer == core::Answer::kAlready) outcome.answer = kNothingChanged;
  const core::Member* leader = replica.core().configuration().Find(reply.leader);
  if (leader != nullptr) outcome.leader = leader->node;
  Answer(pending->asker, std::move(outcome));
}

void Worker::OnApplied(Replica& replica, std::uint64_t ticket, Applied applied) {
  Hosted* hosted = HostedOf(replica.uid());
  if (hosted->machine->failed()) return;  // Answered as it stops.
  const std::optional<Pending> pending = TakePending(ticket);
  if (!pending) return;
  const Index index = replica.applied();
  Outcome outcome{.index = index,
                  .term = replica.core().log().TermAt(index).value_or(0),
                  .answer = std::move(applied.answer)};
  if (applied.expired) {
    outcome.error = Error{ErrorCode::kStaleRef,
                          "session_expired: the cluster no longer knows whether the command ran",
                          "open another session, and read what is there"};
  }
  Answer(pending->asker, std::move(outcome));
}

void Worker::OnQuery(Replica& replica, std::uint64_t ticket) {
  const std::optional<Pending> pending = TakePending(ticket);
  if (!pending) return;
  Hosted* hosted = HostedOf(replica.uid());
  Result<std::string> answer = hosted->machine->Query(pending->query);
  if (!answer.ok()) return Refuse(pending->asker, answer.error());
  Answer(pending->asker, {.index = replica.applied(), .answer = std::move(*answer)});
}

void Worker::OnRemoved(Replica& replica) { HostedOf(replica.uid())->removed = true; }

void Worker::Answer(const Asker& asker, Outcome outcome) {
  outcome.correlation = asker.correlation;
  outbox_[asker.node].emplace_back(Response{asker.client, std::move(outcome)});
}

void Worker::Refuse(const Asker& asker, Error error, std::string leader) {
  Answer(asker, {.error = std::move(error), .leader = std::move(leader)});
}

void Worker::Flush() {
  for (auto& [node, parcels] : outbox_) {
    if (parcels.empty()) continue;
    std::vector<Parcel> out;
    out.swap(parcels);
    place_.router.Send(node, std::move(out));
  }
}

}  // namespace duramen::server
