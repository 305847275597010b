// How a worker calls machines. See machine_call.h.
#include <algorithm>
#include <utility>

#include "server/worker.h"

namespace duramen::server {
namespace {

constexpr std::int64_t kLookNs = 20'000'000;
constexpr int kQuietLooks = 50;
/// Of a machine that is away: what waits for it.
constexpr std::size_t kHeldMax = 4096;
/// In a step, besides what was there when it came to them.
constexpr std::size_t kCallsMore = 64;

}  // namespace

void MachineCall::Run() {
  if (auto* work = std::get_if<ApplyWork>(&what)) {
    work->Run(*machine);
  } else if (auto* asked = std::get_if<Query>(&what)) {
    asked->answer = machine->Query(asked->query);
  } else {
    Tell& tell = std::get<Tell>(what);
    if (auto* aux = std::get_if<AuxEvent>(&tell.event)) *aux = {tell.message, &tell.answer};
    machine->On(tell.event);
  }
}

std::int64_t MachineGuard::Step() {
  quiet_ = Look() ? 0 : quiet_ + 1;
  if (quiet_ < kQuietLooks) return clock_.NowNs() + kLookNs;
  quiet_ = 0;
  asleep_.store(true);
  // Who began a call before that did not wake it, and is seen now.
  if (Look() && asleep_.exchange(false)) return clock_.NowNs() + kLookNs;
  return kIdle;
}

/// Twice the same call: it has not returned for a look at least. False: nobody calls machines.
bool MachineGuard::Look() {
  bool busy = false;
  for (Watched& watched : watched_) {
    const std::shared_ptr<CallUnderWay> call = watched.worker->call_under_way();
    const std::uint64_t number = call->number.load();
    const bool runs = call->state.load() == CallUnderWay::State::kRunning;
    busy = busy || number != watched.number || runs;
    if (runs && number == watched.number) watched.worker->LeaveCall(*call);
    watched.number = number;
  }
  return busy;
}

std::shared_ptr<CallUnderWay> Worker::call_under_way() const {
  const std::lock_guard lock(mutex_);
  return call_;
}

/// The guard's thread.
void Worker::LeaveCall(CallUnderWay& call) {
  if (late_->left.load() >= MachineGuard::kLeftMost) return;
  late_->left.fetch_add(1);
  auto running = CallUnderWay::State::kRunning;
  if (call.state.compare_exchange_strong(running, CallUnderWay::State::kLeft)) {
    place_.executor.Replace(*this);
  } else {
    late_->left.fetch_sub(1);
  }
}

void Worker::Tell(Hosted& hosted, MachineEvent event) {
  calls_.push_back({hosted.machine, hosted.uid, MachineCall::Tell{.event = std::move(event)}});
}

void Worker::Ask(Hosted& hosted, std::vector<std::byte> query, Asker asker) {
  query_bytes_ += query.size();
  calls_.push_back({hosted.machine, hosted.uid,
                    MachineCall::Query{.query = std::move(query),
                                       .asker = std::move(asker),
                                       .applied = hosted.replica->applied()}});
}

/// Its turn comes behind what the machine is to be told before.
void Worker::QueueWork(Hosted& hosted) {
  if (hosted.work_queued || !hosted.replica->has_work()) return;
  hosted.work_queued = true;
  calls_.push_back({hosted.machine, hosted.uid, ApplyWork()});
}

/// False: this thread has lost the worker, and must not touch it any more.
bool Worker::MakeCalls() {
  for (std::size_t budget = calls_.size() + kCallsMore; budget > 0 && !calls_.empty(); --budget) {
    MachineCall call = std::move(calls_.front());
    calls_.pop_front();
    query_bytes_ -= call.query_bytes();
    if (!Prepare(call)) continue;
    if (place_.late_one_in > 0 && rng_.OneIn(place_.late_one_in)) {
      ReturnLate(call);
      continue;
    }
    if (!Make(call)) return false;
    Finish(call);
  }
  return true;
}

const Asker* MachineCall::asker() const {
  if (const auto* asked = std::get_if<Query>(&what)) return &asked->asker;
  const auto* tell = std::get_if<Tell>(&what);
  return tell != nullptr && tell->asker ? &*tell->asker : nullptr;
}

/// False: it is not to be made, or not now.
bool Worker::Prepare(MachineCall& call) {
  if (call.stops()) return true;
  Hosted* hosted = HostedOf(call.server);
  if (hosted == nullptr || !hosted->replica || hosted->machine != call.machine) {
    PassOn(call, hosted);
    return false;
  }
  if (hosted->away != nullptr) {
    if (call.asker() != nullptr && hosted->held.size() >= kHeldMax) {
      PassOn(call, hosted);
    } else {
      query_bytes_ += call.query_bytes();
      hosted->held.push_back(std::move(call));
    }
    return false;
  }
  auto* asked = std::get_if<MachineCall::Query>(&call.what);
  if (asked != nullptr) asked->applied = hosted->replica->applied();
  auto* work = std::get_if<ApplyWork>(&call.what);
  if (work == nullptr) return true;
  hosted->work_queued = false;
  std::optional<ApplyWork> next = hosted->replica->NextWork();
  if (next) {
    *work = std::move(*next);
  } else if (!hosted->waiting) {
    hosted->waiting = true;  // What could not be read is tried again, after a while.
    waiting_.push_back(hosted);
  }
  return next.has_value();
}

/// Nobody makes that call any more; who waits for its answer has one.
void Worker::PassOn(MachineCall& call, const Hosted* hosted) {
  const Asker* asker = call.asker();
  if (asker == nullptr) return;
  if (hosted != nullptr && hosted->replica) {
    return Refuse(*asker, {ErrorCode::kOverloaded, "the machine is busy, and too much waits for it",
                           "try again after a while"});
  }
  Refuse(*asker, hosted != nullptr && hosted->stopped
                     ? *hosted->stopped
                     : Error{ErrorCode::kClosed, "the server was stopped", "restart it"});
}

/// False: it was left; what it gave is on its way as an item.
bool Worker::Make(MachineCall& call) {
  const std::shared_ptr<CallUnderWay> under_way = call_;
  const std::shared_ptr<LateBox> box = late_;
  under_way->server = call.server;
  under_way->call = std::move(call);
  under_way->number.fetch_add(1, std::memory_order_relaxed);
  under_way->state.store(CallUnderWay::State::kRunning);
  if (place_.guard != nullptr) place_.guard->Notice();  // Behind the store: see its Step.
  under_way->call->Run();
  auto running = CallUnderWay::State::kRunning;
  if (under_way->state.compare_exchange_strong(running, CallUnderWay::State::kNone)) {
    call = std::move(*under_way->call);
    return true;
  }
  const std::lock_guard lock(box->mutex);
  box->left.fetch_sub(1);
  if (box->worker != nullptr) box->worker->Take(under_way);
  return false;
}

void Worker::Take(std::shared_ptr<CallUnderWay> returned) {
  {
    const std::lock_guard lock(mutex_);
    inbox_.emplace_back(std::move(returned));
  }
  if (!awake_.exchange(true)) place_.executor.Wake(*this);
}

/// In a simulation: as one that was left, and returns after other things.
void Worker::ReturnLate(MachineCall& call) {
  const auto late = std::make_shared<CallUnderWay>();
  late->server = call.server;
  Hosted* hosted = HostedOf(call.server);
  if (hosted != nullptr && !call.stops()) hosted->away = late;
  call.Run();
  late->call = std::move(call);
  Take(late);
}

/// At the begin of a step of another thread than that of the step before.
void Worker::NoticeLeft() {
  if (call_->state.load() != CallUnderWay::State::kLeft) return;
  Hosted* hosted = HostedOf(call_->server);
  // It may be of an earlier life of that server, which stops.
  const bool its = hosted != nullptr && hosted->machine == call_->call->machine;
  if (its && hosted->replica && hosted->away == nullptr) {
    hosted->away = call_;
    if (place_.machine_timeout > 0) {
      hosted->away_until = now_ + place_.machine_timeout;
      away_.push_back(hosted->uid);
      away_due_ = std::min(away_due_, hosted->away_until);
    }
  }
  const std::lock_guard lock(mutex_);
  call_ = std::make_shared<CallUnderWay>();
}

/// Who has not had its machine back for so long does not get it any more.
void Worker::StopStuck() {
  std::vector<ServerUid> away;
  away.swap(away_);
  away_due_ = Hosted::kNoTimer;
  for (const ServerUid& uid : away) {
    Hosted* hosted = HostedOf(uid);
    if (hosted == nullptr || !hosted->replica || hosted->away == nullptr) continue;
    if (hosted->away_until > now_) {
      away_.push_back(uid);
      away_due_ = std::min(away_due_, hosted->away_until);
      continue;
    }
    Stop(*hosted, {ErrorCode::kMachineFailed,
                   "stuck: the machine has not returned from a call for " +
                       std::to_string(place_.machine_timeout / 1000) + " ms",
                   "mend the machine and restart its servers, or raise machine_timeout"});
  }
}

void Worker::Handle(const std::shared_ptr<CallUnderWay>& returned) {
  MachineCall& call = *returned->call;
  Hosted* hosted = HostedOf(call.server);
  if (hosted == nullptr || hosted->away != returned) return PassOn(call, hosted);
  hosted->away = nullptr;
  if (!hosted->replica) return PassOn(call, hosted);
  while (!hosted->held.empty()) {  // In the order in which they came.
    calls_.push_front(std::move(hosted->held.back()));
    hosted->held.pop_back();
  }
  Finish(call);
}

void Worker::Finish(MachineCall& call) {
  Hosted* hosted = HostedOf(call.server);
  if (auto* asked = std::get_if<MachineCall::Query>(&call.what)) {
    if (!asked->answer.ok()) {
      Refuse(asked->asker, asked->answer.error());
    } else {
      Answer(asked->asker, {.index = asked->applied, .answer = std::move(*asked->answer)});
    }
    // It changes nothing but what its observer may have thrown.
    if (hosted != nullptr && hosted->replica && hosted->machine == call.machine) Publish(*hosted);
    return;
  }
  if (call.stops() || hosted == nullptr || !hosted->replica || hosted->machine != call.machine)
    return PassOn(call, hosted);
  if (auto* work = std::get_if<ApplyWork>(&call.what)) {
    hosted->replica->FinishWork(now_, std::move(*work));
  } else if (auto& tell = std::get<MachineCall::Tell>(call.what); tell.asker) {
    const std::optional<Error>& failed = hosted->machine->failed();
    Answer(*tell.asker, {.error = failed, .answer = std::move(tell.answer)});
  }
  Settle(*hosted);
}

/// What its machine wants, or has come to.
void Worker::Settle(Hosted& hosted) {
  if (hosted.machine->failed()) return Stop(hosted, *hosted.machine->failed());
  if (hosted.machine->deleted() && !hosted.replica->stopped()) {
    const Result<Birth> birth = Replica::BirthOf(place_.store, hosted.log);
    return TakeLeave(hosted, {.cluster = birth.ok() ? birth->cluster : 0,
                              .configuration = hosted.replica->core().configuration()});
  }
  if (hosted.machine->has_wishes()) GrantWishes(hosted);
  After(hosted);
}

}  // namespace duramen::server
