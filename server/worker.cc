#include "server/worker.h"

#include <algorithm>

#include "base/check.h"
#include "base/try.h"

namespace duramen::server {
namespace {

/// Until a Writer that had no room is asked again.
constexpr core::Microseconds kRetry = 1000;

}  // namespace

Worker::Worker(const WorkerPlace& place, Writer writer, Rng rng, const WorkerLimits& limits)
    : place_(place), rng_(rng), limits_(limits), writer_(std::move(writer)) {
  writer_.OnWritten(*this, [](void*, Writer&) noexcept {}, nullptr);
  late_->worker = this;
}

Worker::~Worker() {
  {
    const std::lock_guard lock(late_->mutex);
    late_->worker = nullptr;
  }
  NoticeLeft();
  for (auto& [uid, hosted] : servers_) {
    if (hosted.replica && hosted.away == nullptr) hosted.machine->On(StoppingEvent{});
  }
  for (auto& [uid, hosted] : servers_) hosted.replica.reset();
  writer_.OnWritten(*this, nullptr, nullptr);
  const std::lock_guard lock(mutex_);
  if (posted_ != nullptr) posted_(posted_argument_);
}

Status Worker::Take(Request request) {
  {
    const std::lock_guard lock(mutex_);
    const std::size_t bytes = request.bytes();
    if (inbox_bytes_ > 0 && inbox_bytes_ + bytes > limits_.inbox_bytes_max) {
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
                         .call = asker.call,
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
    std::unique_lock lock(mutex_);
    // Word of a leader that stopped is said once: without it nobody would look for another [B6].
    const bool notice = std::holds_alternative<PeerNotice>(parcel) ||
                        std::holds_alternative<Farewell>(parcel);
    if (!notice && inbox_bytes_ > 2 * limits_.inbox_bytes_max) {
      lock.unlock();
      PassAtOnce(parcel);
      continue;
    }
    inbox_bytes_ += bytes;
    inbox_.emplace_back(std::move(parcel));
  }
  if (!awake_.exchange(true)) place_.executor.Wake(*this);
}

/// Who waits for an outcome has one.
void Worker::PassAtOnce(Parcel& parcel) {
  auto* relay = std::get_if<Relay>(&parcel);
  if (relay == nullptr) return;
  std::vector<Parcel> back;
  back.emplace_back(Response{relay->asker.client, relay->asker.call, std::move(relay->outcome)});
  place_.router.Send(relay->asker.node, std::move(back));
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
  NoticeLeft();
  writer_.Hold();  // One submission for all that this step brings.
  TakeNews();
  for (Item& item : taken_) Handle(item);
  taken_.clear();
  if (leave_due_ <= now_) TakeLeaves();
  if (away_due_ <= now_) StopStuck();
  RunTimers();
  ProposeBatches();
  writer_.Release();
  Flush();
  if (!MakeCalls()) return kGone;
  Flush();
  return NextStep();
}

void Worker::Handle(Item& item) {
  if (auto* call = std::get_if<std::function<void()>>(&item)) {
    ProposeBatches();
    return (*call)();
  }
  if (auto* returned = std::get_if<std::shared_ptr<CallUnderWay>>(&item)) return Handle(*returned);
  std::visit([this](auto& parcel) { Handle(parcel); }, std::get<Parcel>(item));
}

std::int64_t Worker::NextStep() const {
  if (awake_.load() || !low_.empty() || !batched_.empty() || !calls_.empty()) return kAgain;
  const bool retries = std::ranges::any_of(
      waiting_, [](const Hosted* one) { return one->replica && one->replica->has_news(); });
  core::Microseconds next = timers_.empty() ? Hosted::kNoTimer : timers_.begin()->first;
  if (retries) next = std::min(next, now_ + kRetry);
  next = std::min({next, leave_due_, away_due_});
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
    if (!hosted->replica) continue;
    const auto due = hosted->replica->core().next_deadline();
    if (due && *due <= now_) {
      StepOne(*hosted, core::Tick{});
    } else {
      RunDuties(*hosted);
      After(*hosted);
    }
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
  hosted.published = std::move(setup.published);
  hosted.replica = std::move(*replica);
  hosted.replica->set_context(&hosted);
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

std::uint64_t Worker::inbox_bytes() const {
  const std::lock_guard lock(mutex_);
  return inbox_bytes_;
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
  std::erase(batched_, hosted);
  std::erase(leaving_, hosted);
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
  if (hosted.away == nullptr && !hosted.machine->failed()) Tell(hosted, StoppingEvent{});
  hosted.away = nullptr;
  hosted.work_queued = false;
  std::ranges::move(hosted.held, std::back_inserter(calls_));  // To be refused.
  hosted.held.clear();
  hosted.stopped = why;
  place_.router.OnLeader(hosted.cluster, "", hosted.replica->core().term());
  hosted.replica.reset();
  hosted.duties.reset();
  if (hosted.published) {
    hosted.published->running.store(false);
    hosted.published->role.store(ServerRole::kFollower);
  }
  if (hosted.timer_at != Hosted::kNoTimer) timers_.erase({hosted.timer_at, hosted.uid});
  hosted.timer_at = Hosted::kNoTimer;
  hosted.batch.clear();
  for (const Proposal& proposal : hosted.low) low_bytes_ -= proposal.command.size();
  hosted.low.clear();
  std::erase(low_, &hosted);
  for (auto& [index, waiter] : std::exchange(hosted.waiters, {})) {
    query_bytes_ -= waiter.bytes();
    if (auto* relay = std::get_if<Relay>(&waiter.what)) {
      Pass(*relay);
    } else {
      RefuseStopped(hosted, std::get<Request>(waiter.what));
    }
  }
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
    if (boot && hosted.leavetaking && hosted.leavetaking->durable) {
      for (const core::Member& member : hosted.leavetaking->left)
        if (member.node == node) SayFarewell(hosted, member, false);
      leave_due_ = 0;
    }
    if (!hosted.replica) continue;
    if (hosted.duties && hosted.duties->monitors.contains(node)) {
      Tell(hosted, NodeEvent{node, boot.has_value()});
    }
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
  // A leader that came later than this server's configuration wants an answer, too [A21].
  if (hosted->replica->core().configuration().Find(envelope.message.from) == nullptr &&
      !envelope.node.empty()) {
    addresses_[envelope.message.from] = envelope.node;
  }
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

void Worker::StepOne(Hosted& hosted, core::EventBody body) {
  hosted.replica->Step(now_, std::move(body));
  After(hosted);
}

void Worker::After(Hosted& hosted) {
  if (!hosted.replica) return;
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
  TellMachine(hosted);
  QueueWork(hosted);
  if (!hosted.waiters.empty()) ReleaseWaiters(hosted);
  Publish(hosted);
  const core::Microseconds due = DueOf(hosted);
  if (due == hosted.timer_at) return;
  if (hosted.timer_at != Hosted::kNoTimer) timers_.erase({hosted.timer_at, hosted.uid});
  hosted.timer_at = due;
  if (due != Hosted::kNoTimer) timers_.insert({due, hosted.uid});
}

void Worker::TellLeader(Hosted& hosted) {
  const core::Core& core = hosted.replica->core();
  const ServerUid leader = core.leader().value_or(ServerUid{});
  const bool told = leader == hosted.told_leader && core.term() == hosted.told_term;
  if (told && hosted.told_node) return;
  const core::Member* member = core.configuration().Find(leader);
  if (told && member == nullptr) return;
  hosted.told_leader = leader;
  hosted.told_term = core.term();
  hosted.told_node = member != nullptr;
  place_.router.OnLeader(hosted.cluster, member == nullptr ? "" : member->node, core.term());
}

void Worker::Send(Replica& from, Envelope envelope) {
  const core::Member* member = from.core().configuration().Find(envelope.message.to);
  std::string& node = addresses_[envelope.message.to];  // Who was removed is told so [ME2].
  if (member != nullptr) node = member->node;
  if (node.empty()) return;
  envelope.node = place_.router.node();
  outbox_[node].emplace_back(std::move(envelope));
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
