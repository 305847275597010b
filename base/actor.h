// Actors and the executors that run them. An actor is single-threaded state with a Step(); in
// production each has a thread, in simulation one seeded loop runs all of them, so that a test
// chooses every interleaving of steps.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/rng.h"
#include "duramen/types.h"

namespace duramen {

class Actor {
 public:
  virtual ~Actor() = default;
  /// Does a bounded piece of work. Returns the time (Clock ns) at which it wants to run again:
  /// kAgain for at once, kIdle for not before the next Wake.
  virtual std::int64_t Step() = 0;
  /// A short name for threads and messages.
  virtual const char* name() const = 0;
  /// Nobody waits for its steps, so where processors are short the other actors go first.
  virtual bool background() const { return false; }
  /// Something has come up that no Wake told of. Its own thread, between steps; cheap.
  virtual bool HasWork() const { return false; }
  /// Its thread is about to sleep, and looks at HasWork once more behind this; or it has slept.
  virtual void OnSleep(bool /*asleep*/) {}

  static constexpr std::int64_t kAgain = 0;
  static constexpr std::int64_t kIdle = INT64_MAX;
  static constexpr std::int64_t kGone = -1;  // after Replace: this thread has no actor any more
};

class ActorExecutor {
 public:
  virtual ~ActorExecutor() = default;
  /// Begins to run `actor`, which must outlive Stop(actor).
  virtual void Start(Actor& actor) = 0;
  /// Makes sure that a Step begins after this call. Any thread. Cheap when the actor is running.
  virtual void Wake(Actor& actor) = 0;
  /// Returns when no Step runs or will run. Any thread but the actor's own.
  virtual void Stop(Actor& actor) = 0;
  /// The actor's thread is in a Step that nobody waits for any more: another one takes the next
  /// Step at once, the old one ends when its Step returns kGone, without another look at the actor.
  /// Any thread but the actor's own. Simulated steps always return.
  virtual void Replace(Actor& /*actor*/) {}
  /// Blocks the caller until done(argument) or the deadline; true if done. Progress() re-tests.
  /// In simulation the caller runs the other actors meanwhile.
  virtual bool Await(bool (*done)(void*), void* argument, Deadline deadline) = 0;
  /// Tells those in Await that something may have changed. Any thread.
  virtual void Progress() = 0;
};

}  // namespace duramen
