#include "shm/client_executor.h"

#include "base/await.h"
#include "base/check.h"

namespace duramen::shm {

void ClientExecutor::Start(Actor& /*actor*/) { CHECK(false); }
void ClientExecutor::Wake(Actor& /*actor*/) { CHECK(false); }
void ClientExecutor::Stop(Actor& /*actor*/) { CHECK(false); }

void ClientExecutor::Progress() { progress_.Ring(); }

bool ClientExecutor::Await(bool (*done)(void*), void* argument, Deadline deadline) {
  return AwaitRing(progress_, spin_, {done, argument, deadline});
}

}  // namespace duramen::shm
