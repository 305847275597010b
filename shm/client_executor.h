// How threads of a client wait: on a bell that the WAL process rings as well, so that one wake-up
// leads from there to who waits. A client has no actors.
#pragma once

#include "base/actor.h"
#include "base/handshake.h"
#include "base/spin.h"

namespace duramen::shm {

class ClientExecutor final : public ActorExecutor {
 public:
  /// Outlives the executor.
  explicit ClientExecutor(SharedBell& progress) : progress_(progress) {}
  void Start(Actor& actor) override;
  void Wake(Actor& actor) override;
  void Stop(Actor& actor) override;
  bool Await(bool (*done)(void*), void* argument, Deadline deadline) override;
  void Progress() override;

 private:
  SharedBell& progress_;
  SpinPolicy spin_;
};

}  // namespace duramen::shm
