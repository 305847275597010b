// What clients ask of servers, and what they are told.
#include <algorithm>

#include "base/planted.h"
#include "base/try.h"
#include "server/worker.h"

namespace duramen::server {
namespace {

/// Of a server, each with its request.
constexpr std::size_t kWaitersMax = 4096;

Error ErrorOf(core::Answer answer) {
  using core::Answer;
  switch (answer) {
    case Answer::kNotLeader:
      return {ErrorCode::kNotLeader, "this server does not lead its cluster", "ask its leader"};
    case Answer::kLost:
      if (Planted(PlantedBug::kLostSaidNotDone)) return ErrorOf(Answer::kNotLeader);
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
    case Answer::kTransferInProgress:
      return {ErrorCode::kOverloaded, "the leader hands over", "try again"};
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
    case Ask::kDelete:
      return Delete(*hosted, request);
    case Ask::kAux:
      return Aux(*hosted, request);
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
  pending.reply_from = std::move(request.reply_from);
  pending.answers_written = request.reply == ReplyWhen::kWritten;
  if (request.ask == Ask::kQuery) pending.query = std::move(request.payload);
  query_bytes_ += pending.query.size();
  return ticket;
}

std::optional<Worker::Pending> Worker::TakePending(std::uint64_t ticket) {
  const auto place = static_cast<std::uint32_t>(ticket);
  if (place >= pending_.size() || pending_[place].ticket != ticket) return std::nullopt;
  free_pending_.push_back(place);
  Pending& pending = pending_[place];
  query_bytes_ -= pending.query.size();
  pending.ticket = 0;
  return std::move(pending);
}

void Worker::Command(Hosted& hosted, Request& request) {
  const Result<CommandFrame> frame = DecodeCommand(request.payload);
  if (!frame.ok()) return Refuse(request.asker, frame.error());
  if (frame->kind == CommandKind::kPlain || frame->kind == CommandKind::kInSession) {
    const Status valid = hosted.machine->Validate(frame->payload);
    if (!valid.ok()) return Refuse(request.asker, valid.error());
  }
  const bool low = request.priority == Priority::kLow;
  const std::size_t bytes = request.payload.size();
  if (low && low_bytes_ > 0 && low_bytes_ + bytes > limits_.inbox_bytes_max) {
    return Refuse(request.asker,
                  {ErrorCode::kOverloaded, "too many commands of low priority wait for this worker",
                   "try again after a while"});
  }
  StampCommand(request.payload, unix_ms_);
  Proposal proposal{.command = std::move(request.payload),
                    .tells_written = request.reply == ReplyWhen::kWritten};
  proposal.ticket = NewTicket(hosted, request);
  if (!low) return AddToBatch(hosted, std::move(proposal));
  if (hosted.low.empty()) low_.push_back(&hosted);
  low_bytes_ += bytes;
  hosted.low.push_back(std::move(proposal));
}

void Worker::AddToBatch(Hosted& hosted, Proposal proposal) {
  if (hosted.batch.empty()) batched_.push_back(&hosted);
  hosted.batch.push_back(std::move(proposal));
}

/// Commands of one step stand in the log side by side: one event, one group, one apply.
void Worker::ProposeBatch(Hosted& hosted) {
  if (hosted.batch.empty() || !hosted.replica) return;
  std::vector<Proposal> batch;
  batch.swap(hosted.batch);
  if (hosted.published) hosted.published->commands.fetch_add(batch.size());
  hosted.replica->Propose(now_, std::move(batch));
  After(hosted);
}

/// Those of low priority come behind the others of the step, a few at a time [CM7].
void Worker::ProposeLow(Hosted& hosted) {
  for (std::uint64_t at = 0; at < limits_.low_flush && !hosted.low.empty(); ++at) {
    low_bytes_ -= hosted.low.front().command.size();
    hosted.batch.push_back(std::move(hosted.low.front()));
    hosted.low.pop_front();
  }
}

/// A machine may append in the course of it.
void Worker::ProposeBatches() {
  for (std::size_t at = 0; at < batched_.size(); ++at) ProposeBatch(*batched_[at]);
  batched_.clear();
  std::vector<Hosted*> low;
  low.swap(low_);
  for (Hosted* hosted : low) {
    ProposeLow(*hosted);
    if (!hosted->low.empty()) low_.push_back(hosted);
    ProposeBatch(*hosted);
  }
}

void Worker::Query(Hosted& hosted, Request& request) {
  ProposeBatch(hosted);
  if (!hosted.replica) return RefuseStopped(hosted, request);
  if (query_bytes_ > 0 && query_bytes_ + request.payload.size() > limits_.inbox_bytes_max)
    return Refuse(request.asker, ErrorOf(core::Answer::kOverloaded));
  if (request.after.index != 0 && WaitsForToken(hosted, request)) return;
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
  Ask(hosted, std::move(request.payload), std::move(request.asker));
}

/// RD5. True: it has had its answer, or waits for it.
bool Worker::WaitsForToken(Hosted& hosted, Request& request) {
  const Token after = request.after;
  if (Planted(PlantedBug::kTokenIgnored)) return false;
  if (after.index > hosted.replica->applied()) {
    if (hosted.waiters.size() >= kWaitersMax) {
      Refuse(request.asker, ErrorOf(core::Answer::kOverloaded));
      return true;
    }
    AddWaiter(hosted, after.index, std::move(request));
    return true;
  }
  const auto term = hosted.replica->core().log().TermAt(after.index);
  if (!term || *term == after.term) return false;
  Refuse(request.asker,
         {ErrorCode::kRefused,
          "index " + std::to_string(after.index) + " has term " + std::to_string(*term) + ", not " +
              std::to_string(after.term) + ": what stood there was lost",
          "read without the token, and send the command again if it is not there"});
  return true;
}

void Worker::Aux(Hosted& hosted, Request& request) {
  calls_.push_back({hosted.machine, hosted.uid,
                    MachineCall::Tell{.event = AuxEvent{},
                                      .message = std::move(request.payload),
                                      .asker = std::move(request.asker)}});
}

void Worker::Transfer(Hosted& hosted, Request& request) {
  const core::Configuration& members = hosted.replica->core().configuration();
  const auto target = std::ranges::find(members.members, request.target, &core::Member::node);
  if (target == members.members.end()) {
    return Refuse(
        request.asker,
        {ErrorCode::kNotFound,
         "no member of cluster '" + hosted.cluster + "' is on node '" + request.target + "'", ""});
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
    return Refuse(request.asker,
                  {ErrorCode::kAlreadyExists, "another member is on node '" + request.target + "'",
                   "remove that one first"});
  }
  if (!adds && there != members.end()) change.member.uid = there->uid;
  if (!adds && leads && there == members.end())
    return Answer(request.asker, {.answer = std::string(kNothingChanged)});
  change.ticket = NewTicket(hosted, request);
  StepOne(hosted, change);
}

void Worker::OnReply(Replica& replica, const core::Reply& reply) {
  const std::optional<Pending> pending = TakePending(reply.ticket);
  if (!pending) return;
  const bool done = reply.answer == core::Answer::kDone || reply.answer == core::Answer::kAlready;
  Outcome outcome{.index = reply.at.index, .term = reply.at.term};
  if (!done) outcome.error = ErrorOf(reply.answer);
  if (reply.answer == core::Answer::kAlready) outcome.answer = kNothingChanged;
  const core::Member* leader = replica.core().configuration().Find(reply.leader);
  if (leader != nullptr) outcome.leader = leader->node;
  Answer(pending->asker, std::move(outcome));
}

void Worker::OnApplied(Replica& replica, std::uint64_t ticket, Applied applied) {
  Hosted* hosted = HostedOf(replica);
  if (hosted->machine->failed()) return;  // Answered as it stops.
  const std::optional<Pending> pending = TakePending(ticket);
  if (!pending) return;
  const Index index = replica.applied();
  Outcome outcome{.correlation = pending->asker.correlation,
                  .index = index,
                  .term = replica.core().log().TermAt(index).value_or(0),
                  .answer = std::move(applied.answer)};
  if (pending->answers_written) outcome.answer.clear();
  if (applied.error) outcome.error = std::move(applied.error);
  if (applied.expired) {
    outcome.error = Error{ErrorCode::kStaleRef,
                          "session_expired: the cluster no longer knows whether the command ran",
                          "open another session, and read what is there"};
  }
  const std::string& from = pending->reply_from;
  if (from.empty() || from == place_.router.node() || !nodes_.contains(from)) {
    return Answer(pending->asker, std::move(outcome));
  }
  outbox_[from].emplace_back(Relay{hosted->cluster, pending->asker, std::move(outcome)});
}

void Worker::OnWritten(Replica&, std::uint64_t ticket, core::LogEnd at) {
  const std::optional<Pending> pending = TakePending(ticket);
  if (pending) Answer(pending->asker, {.index = at.index, .term = at.term});
}

void Worker::OnQuery(Replica& replica, std::uint64_t ticket) {
  std::optional<Pending> pending = TakePending(ticket);
  if (pending) Ask(*HostedOf(replica), std::move(pending->query), std::move(pending->asker));
}

void Worker::OnRemoved(Replica& replica) { HostedOf(replica)->removed = true; }

void Worker::Answer(const Asker& asker, Outcome outcome) {
  if (asker.client == 0) return;
  outcome.correlation = asker.correlation;
  outbox_[asker.node].emplace_back(Response{asker.client, asker.call, std::move(outcome)});
}

void Worker::Refuse(const Asker& asker, Error error, std::string leader) {
  Answer(asker, {.error = std::move(error), .leader = std::move(leader)});
}

void Worker::Handle(Relay& relay) {
  Hosted* hosted = Named(relay.cluster);
  const bool waits = hosted != nullptr && hosted->replica &&
                     hosted->replica->applied() < relay.outcome.index &&
                     hosted->waiters.size() < kWaitersMax;
  if (!waits) return Pass(relay);
  const Index index = relay.outcome.index;
  AddWaiter(*hosted, index, std::move(relay));
}

void Worker::AddWaiter(Hosted& hosted, Index index, std::variant<Request, Relay> what) {
  const core::Microseconds until = now_ + limits_.wait_max;
  hosted.waiters_until = hosted.waiters.empty() ? until : std::min(hosted.waiters_until, until);
  Waiter waiter{std::move(what), until};
  query_bytes_ += waiter.bytes();
  hosted.waiters.emplace(index, std::move(waiter));
  After(hosted);
}

void Worker::Pass(Relay& relay) {
  outbox_[relay.asker.node].emplace_back(
      Response{relay.asker.client, relay.asker.call, std::move(relay.outcome)});
}

void Worker::ReleaseWaiters(Hosted& hosted) {
  if (hosted.waiters.begin()->first > hosted.replica->applied() && hosted.waiters_until > now_)
    return;
  std::vector<Waiter> due;
  hosted.waiters_until = Hosted::kNoTimer;
  for (auto at = hosted.waiters.begin(); at != hosted.waiters.end();) {
    if (at->first > hosted.replica->applied() && at->second.until > now_) {
      hosted.waiters_until = std::min(hosted.waiters_until, at->second.until);
      ++at;
      continue;
    }
    query_bytes_ -= at->second.bytes();
    due.push_back(std::move(at->second));
    at = hosted.waiters.erase(at);
  }
  for (Waiter& waiter : due) {
    if (auto* relay = std::get_if<Relay>(&waiter.what)) {
      Pass(*relay);
      continue;
    }
    Request& request = std::get<Request>(waiter.what);
    if (!hosted.replica) {
      RefuseStopped(hosted, request);
    } else if (request.after.index > hosted.replica->applied()) {
      Refuse(request.asker, {ErrorCode::kTimeout,
                             "index " + std::to_string(request.after.index) +
                                 " was not applied here within await_condition_timeout",
                             "ask another member, or the leader"});
    } else {
      Query(hosted, request);
    }
  }
}

}  // namespace duramen::server
