#include "shm/client_executor.h"

#include <algorithm>
#include <thread>

#include "base/check.h"
#include "base/clock.h"
#include "base/futex.h"

namespace duramen::shm {
namespace {

bool SpinsAtAll() {
  static const bool several = std::thread::hardware_concurrency() > 1;
  return several;
}

std::int64_t NowNs() { return SystemClock().NowNs(); }

}  // namespace

void TellProgress(ControlPage& control) noexcept {
  control.progress.fetch_add(1);
  if (control.waiting.load() != 0) FutexWakeAll(control.progress, FutexScope::kShared);
}

void ClientExecutor::Start(Actor& /*actor*/) { CHECK(false); }
void ClientExecutor::Wake(Actor& /*actor*/) { CHECK(false); }
void ClientExecutor::Stop(Actor& /*actor*/) { CHECK(false); }

void ClientExecutor::Progress() { TellProgress(control_); }

/// As ThreadExecutor::Await, and for the same reasons.
bool ClientExecutor::Await(bool (*done)(void*), void* argument, Deadline deadline) {
  if (done(argument)) return true;
  const std::int64_t until_ns =
      deadline == Deadline::max()
          ? INT64_MAX
          : std::chrono::duration_cast<std::chrono::nanoseconds>(deadline.time_since_epoch())
                .count();
  const std::int64_t begin_ns = NowNs();
  if (SpinsUntilDone(done, argument, until_ns)) {
    spin_.Waited(NowNs() - begin_ns, false);
    return true;
  }
  control_.waiting.fetch_add(1);
  bool is_done = false;
  while (true) {
    const std::uint32_t seen = control_.progress.load();
    is_done = done(argument);
    if (is_done || (until_ns != INT64_MAX && NowNs() >= until_ns)) break;
    FutexWait(control_.progress, seen, until_ns, FutexScope::kShared);
  }
  control_.waiting.fetch_sub(1);
  spin_.Waited(NowNs() - begin_ns, true);
  return is_done;
}

bool ClientExecutor::SpinsUntilDone(bool (*done)(void*), void* argument,
                                    std::int64_t until_ns) const {
  if (!SpinsAtAll() || spin_.SpinNs() == 0) return false;
  const std::int64_t end_ns = std::min(until_ns, NowNs() + spin_.SpinNs());
  std::uint32_t seen = control_.progress.load();
  if (done(argument)) return true;
  while (NowNs() < end_ns) {
    const std::uint32_t now = control_.progress.load();
    if (now != seen && done(argument)) return true;
    seen = now;
    SpinPause();
  }
  return false;
}

}  // namespace duramen::shm
