#include "base/thread_executor.h"

#include <pthread.h>
#include <sys/resource.h>

#include <algorithm>
#include <string>

#include "base/await.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/signals.h"

namespace duramen {
namespace {

/// With fewer processors than busy threads the scheduler gives each its turn of some milliseconds,
/// for which a batch would wait; beside this much niceness it waits seldom.
constexpr int kBackgroundNice = 5;

std::int64_t NowNs() { return SystemClock().NowNs(); }

}  // namespace

ThreadExecutor::~ThreadExecutor() {
  for (const auto& actor : actors_) CHECK(actor.load(std::memory_order_acquire) == nullptr);
}

ThreadExecutor::Slot* ThreadExecutor::SlotOf(const Actor& actor) {
  for (std::size_t i = 0; i < kActorsMax; ++i) {
    if (actors_[i].load(std::memory_order_acquire) == &actor) return &slots_[i];
  }
  return nullptr;
}

void ThreadExecutor::Start(Actor& actor) {
  const std::lock_guard lock(starting_);
  CHECK(SlotOf(actor) == nullptr);
  const auto place = std::find(actors_.begin(), actors_.end(), nullptr);
  CHECK(place != actors_.end());  // kActorsMax
  Slot* const free = &slots_[static_cast<std::size_t>(place - actors_.begin())];
  free->stopping.store(false, std::memory_order_relaxed);
  free->ended.store(false, std::memory_order_relaxed);
  free->bed.Notify();  // The first Step is owed.
  place->store(&actor, std::memory_order_release);
  const SignalsBlocked blocked;
  free->thread = std::thread([this, free, &actor] { Run(*free, actor); });
}

void ThreadExecutor::Wake(Actor& actor) {
  Slot* slot = SlotOf(actor);
  if (slot == nullptr) return;  // Not started, or stopped meanwhile: nobody to wake.
  slot->bed.Notify();
}

void ThreadExecutor::Stop(Actor& actor) {
  Slot* slot = nullptr;
  {
    const std::lock_guard lock(starting_);
    slot = SlotOf(actor);
    if (slot == nullptr) return;
    CHECK(slot->thread.get_id() != std::this_thread::get_id());
    slot->stopping.store(true, std::memory_order_release);
  }
  Wake(actor);
  slot->ended.wait(false);  // Without the lock: Replace may be what it takes.
  const std::lock_guard lock(starting_);
  slot->thread.join();
  slot->thread = {};
  actors_[static_cast<std::size_t>(slot - slots_.data())].store(nullptr, std::memory_order_release);
}

void ThreadExecutor::Replace(Actor& actor) {
  const std::lock_guard lock(starting_);
  Slot* slot = SlotOf(actor);
  CHECK(slot != nullptr && slot->thread.get_id() != std::this_thread::get_id());
  slot->thread.detach();
  busy_.fetch_sub(1, std::memory_order_relaxed);  // In the place of the old thread.
  slot->bed.Notify();
  const SignalsBlocked blocked;
  slot->thread = std::thread([this, slot, &actor] { Run(*slot, actor); });
}

void ThreadExecutor::Run(Slot& slot, Actor& actor) {
  const std::string name = std::string(actor.name()).substr(0, 15);  // The kernel's limit.
  ::pthread_setname_np(::pthread_self(), name.c_str());
  if (actor.background()) {
    // Linux has it for each thread; 0 is the calling one. Refused, it harms nobody.
    (void)::setpriority(PRIO_PROCESS, 0, ::getpriority(PRIO_PROCESS, 0) + kBackgroundNice);
  }
  busy_.fetch_add(1, std::memory_order_relaxed);
  while (!slot.stopping.load(std::memory_order_acquire)) {
    slot.bed.TakeNotice();  // Before the Step: a Wake from here on owes another one.
    const std::int64_t next_ns = actor.Step();
    if (next_ns == Actor::kGone) return;
    if (next_ns == Actor::kAgain) continue;
    busy_.fetch_sub(1, std::memory_order_relaxed);
    Park(slot, actor, next_ns);
    busy_.fetch_add(1, std::memory_order_relaxed);
  }
  busy_.fetch_sub(1, std::memory_order_relaxed);
  slot.ended.store(true);
  slot.ended.notify_all();
}

void ThreadExecutor::Park(Slot& slot, Actor& actor, std::int64_t until_ns) {
  const std::int64_t begin_ns = NowNs();
  const std::int64_t spin_until_ns =
      SpinsAtAll() ? std::min(until_ns, begin_ns + slot.spin.SpinNs()) : begin_ns;
  // Who looks again and again while others have work for every processor is in their way.
  static const unsigned processors = std::thread::hardware_concurrency();
  while (busy_.load(std::memory_order_relaxed) < processors && NowNs() < spin_until_ns) {
    if (slot.bed.Noticed() || actor.HasWork()) {
      slot.spin.Waited(NowNs() - begin_ns, false);
      return;
    }
    SpinPause();
  }
  // What is put into a ring of another process wakes only who has said that it sleeps, so the look
  // behind that counts.
  actor.OnSleep(true);
  slot.bed.Sleep(until_ns, [&] {
    return actor.HasWork() || (until_ns != Actor::kIdle && NowNs() >= until_ns);
  });
  actor.OnSleep(false);
  slot.spin.Waited(NowNs() - begin_ns, true);
}

bool ThreadExecutor::Await(bool (*done)(void*), void* argument, Deadline deadline) {
  return AwaitRing(progress_, await_spin_, {done, argument, deadline});
}

void ThreadExecutor::Progress() { progress_.Ring(); }

}  // namespace duramen
