// How threads of a client wait: on a word that the WAL process counts up as well, so that one
// wake-up leads from there to who waits. A client has no actors.
#pragma once

#include "base/actor.h"
#include "base/spin.h"
#include "shm/layout.h"

namespace duramen::shm {

class ClientExecutor final : public ActorExecutor {
 public:
  /// Outlives the executor.
  explicit ClientExecutor(ControlPage& control) : control_(control) {}
  void Start(Actor& actor) override;
  void Wake(Actor& actor) override;
  void Stop(Actor& actor) override;
  bool Await(bool (*done)(void*), void* argument, Deadline deadline) override;
  void Progress() override;

 private:
  bool SpinsUntilDone(bool (*done)(void*), void* argument, std::int64_t until_ns) const;
  ControlPage& control_;
  SpinPolicy spin_;
};

/// Tells the threads of a client that something may have changed. Of either process.
void TellProgress(ControlPage& control) noexcept;

}  // namespace duramen::shm
