// How a thread that is no actor waits on a bell: where waits are short it looks again for a while,
// then it sleeps. For executors; any thread.
#pragma once

#include "base/handshake.h"
#include "base/spin.h"
#include "duramen/types.h"

namespace duramen {

/// As ActorExecutor::Await has it.
struct Awaited {
  bool (*done)(void*) = nullptr;
  void* argument = nullptr;
  Deadline deadline = Deadline::max();

  bool IsDone() const { return done(argument); }
};

/// Whether it was done by the deadline; who makes it so rings `bell` afterwards. `spin` is of all
/// that wait on that bell.
template <FutexScope kScope>
bool AwaitRing(BellOf<kScope>& bell, SpinPolicy& spin, const Awaited& what);

}  // namespace duramen
