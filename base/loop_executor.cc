#include "base/loop_executor.h"

#include <algorithm>
#include <chrono>

#include "base/check.h"

namespace duramen {

void LoopExecutor::Start(Actor& actor) {
  CHECK(SlotOf(actor) == nullptr);
  slots_.push_back({.actor = &actor, .next_ns = Actor::kAgain, .woken = true, .in_step = false});
}

void LoopExecutor::Wake(Actor& actor) {
  if (Slot* slot = SlotOf(actor)) slot->woken = true;
}

void LoopExecutor::Stop(Actor& actor) {
  const Slot* slot = SlotOf(actor);
  if (slot == nullptr) return;
  CHECK(!slot->in_step);
  slots_.erase(slots_.begin() + (slot - slots_.data()));
}

bool LoopExecutor::Runnable(const Slot& slot) const {
  return !slot.in_step && (slot.woken || slot.next_ns <= clock_.NowNs());
}

LoopExecutor::Slot* LoopExecutor::SlotOf(const Actor& actor) {
  for (Slot& slot : slots_) {
    if (slot.actor == &actor) return &slot;
  }
  return nullptr;
}

bool LoopExecutor::RunOne() {
  std::uint64_t runnable = 0;
  for (const Slot& slot : slots_) runnable += Runnable(slot) ? 1 : 0;
  if (runnable == 0) return false;
  std::uint64_t drawn = rng_.Below(runnable);
  std::size_t at = 0;
  while (!Runnable(slots_[at]) || drawn-- != 0) ++at;

  Actor& actor = *slots_[at].actor;
  slots_[at].woken = false;
  slots_[at].in_step = true;
  ++steps_;
  const std::int64_t next_ns = actor.Step();
  // The step may have started or stopped others, so the slot is looked up again.
  Slot* slot = SlotOf(actor);
  CHECK(slot != nullptr);
  slot->in_step = false;
  slot->next_ns = next_ns;
  return true;
}

bool LoopExecutor::RunUntilIdle(std::uint64_t max_steps) {
  for (std::uint64_t step = 0; step < max_steps; ++step) {
    if (!RunOne()) return true;
  }
  return std::none_of(slots_.begin(), slots_.end(),
                      [this](const Slot& slot) { return Runnable(slot); });
}

std::int64_t LoopExecutor::NextTimerNs() const {
  std::int64_t next_ns = Actor::kIdle;
  for (const Slot& slot : slots_) {
    if (!slot.in_step) next_ns = std::min(next_ns, slot.next_ns);
  }
  return next_ns;
}

bool LoopExecutor::AdvanceToNextTimer() {
  const std::int64_t next_ns = NextTimerNs();
  if (next_ns == Actor::kIdle) return false;
  if (next_ns > clock_.NowNs()) clock_.Advance(next_ns - clock_.NowNs());
  return true;
}

bool LoopExecutor::Await(bool (*done)(void*), void* argument, Deadline deadline) {
  const std::int64_t until_ns =
      std::chrono::duration_cast<std::chrono::nanoseconds>(deadline.time_since_epoch()).count();
  for (std::uint64_t step = 0; step < kAwaitStepsMax; ++step) {
    if (done(argument)) return true;
    if (clock_.NowNs() >= until_ns) return false;
    if (RunOne()) continue;
    const std::int64_t next_ns = std::min(NextTimerNs(), until_ns);
    if (next_ns == INT64_MAX) return false;  // Nothing will ever happen again.
    if (next_ns > clock_.NowNs()) clock_.Advance(next_ns - clock_.NowNs());
  }
  return done(argument);
}

}  // namespace duramen
