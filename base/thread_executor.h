// One thread per actor: the executor of production. Times are those of SystemClock.
//
// Owned by the composition root. Its threads block all signals that are sent to the process, so
// that the host's handlers run in the host's threads. Requires: every actor that was started is
// stopped before the executor is destroyed (CHECK), and Start and Stop are not called in a Step:
// two actors that stop each other would wait for ever.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <thread>

#include "base/actor.h"
#include "base/handshake.h"
#include "base/spin.h"

namespace duramen {

class ThreadExecutor final : public ActorExecutor {
 public:
  /// Actors that run at the same time: storage has up to 11 in each of 16 WAL shards (the WAL, two
  /// pools, the flusher and seven helpers).
  static constexpr std::size_t kActorsMax = 192;

  ThreadExecutor() = default;
  ~ThreadExecutor() override;
  void Start(Actor& actor) override;
  void Wake(Actor& actor) override;
  void Stop(Actor& actor) override;
  void Replace(Actor& actor) override;
  bool Await(bool (*done)(void*), void* argument, Deadline deadline) override;
  void Progress() override;

 private:
  struct alignas(64) Slot {
    Bed bed;
    std::atomic<bool> stopping{false};
    std::atomic<bool> ended{false};  // the thread that has the actor now is through
    SpinPolicy spin;
    std::thread thread;
  };

  Slot* SlotOf(const Actor& actor);
  void Run(Slot& slot, Actor& actor);
  void Park(Slot& slot, Actor& actor, std::int64_t until_ns);

  std::array<std::atomic<Actor*>, kActorsMax>
      actors_{};                        // close together, for Wake to look through
  std::array<Slot, kActorsMax> slots_;  // of each
  SpinPolicy await_spin_;
  std::atomic<unsigned> busy_{0};  // threads of actors that do not wait
  std::mutex starting_;  // Start and Stop only
  Bell progress_;
};

}  // namespace duramen
