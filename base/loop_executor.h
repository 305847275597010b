// All actors in one thread, one step at a time, in an order drawn from a seed: the executor of
// simulation. Time stands still while anything can run and jumps to the next timer when nothing
// can.
//
// Owned by the test; one thread. The same seed and the same actors give the same order of steps.
#pragma once

#include <cstdint>
#include <vector>

#include "base/actor.h"
#include "base/clock.h"
#include "base/rng.h"

namespace duramen {

class LoopExecutor final : public ActorExecutor {
 public:
  /// Steps that one Await may take before it gives up on an actor that never comes to rest.
  static constexpr std::uint64_t kAwaitStepsMax = 1'000'000;

  /// `clock` is what the actors read; it outlives the executor.
  LoopExecutor(Rng rng, ManualClock& clock) : rng_(rng), clock_(clock) {}

  void Start(Actor& actor) override;
  void Wake(Actor& actor) override;
  void Stop(Actor& actor) override;
  /// Runs steps, and advances the clock when nothing else can, until done. False when nothing can
  /// run any more, after kAwaitStepsMax steps, or when the clock reaches the deadline: deadlines
  /// are points of the ManualClock here, and Deadline::max() is the one to pass. May be called in
  /// a Step; that actor does not run meanwhile.
  bool Await(bool (*done)(void*), void* argument, Deadline deadline) override;
  void Progress() override {}

  /// Runs one step of an actor that is awake or whose time has come; false when there is none.
  bool RunOne();
  /// Runs steps until nothing can run without time passing, or max_steps; true when idle.
  bool RunUntilIdle(std::uint64_t max_steps);
  /// Moves the clock to the earliest time that an actor waits for; false when none waits for one.
  bool AdvanceToNextTimer();
  /// The earliest time that an actor waits for; Actor::kIdle when none waits for one.
  std::int64_t NextTimerNs() const;
  /// Steps since the beginning.
  std::uint64_t steps() const { return steps_; }

 private:
  struct Slot {
    Actor* actor;
    std::int64_t next_ns;
    bool woken;
    bool in_step;
  };
  bool Runnable(const Slot& slot) const;
  Slot* SlotOf(const Actor& actor);

  Rng rng_;
  ManualClock& clock_;
  std::vector<Slot> slots_;
  std::uint64_t steps_ = 0;
};

}  // namespace duramen
