#include "base/await.h"

#include <algorithm>

#include "base/clock.h"

namespace duramen {
namespace {

std::int64_t NowNs() { return SystemClock().NowNs(); }

template <FutexScope kScope>
bool SpinsUntilDone(const BellOf<kScope>& bell, const Awaited& what, std::int64_t end_ns) {
  std::uint32_t seen = bell.rings();
  if (what.IsDone()) return true;
  while (NowNs() < end_ns) {
    const std::uint32_t now = bell.rings();
    if (now != seen && what.IsDone()) return true;
    seen = now;
    SpinPause();
  }
  return false;
}

}  // namespace

template <FutexScope kScope>
bool AwaitRing(BellOf<kScope>& bell, SpinPolicy& spin, const Awaited& what) {
  if (what.IsDone()) return true;
  const std::int64_t until_ns =
      what.deadline == Deadline::max()
          ? INT64_MAX
          : std::chrono::duration_cast<std::chrono::nanoseconds>(what.deadline.time_since_epoch())
                .count();
  const std::int64_t begin_ns = NowNs();
  const std::int64_t spin_ns = SpinsAtAll() ? spin.SpinNs() : 0;
  if (spin_ns > 0 && SpinsUntilDone(bell, what, std::min(until_ns, begin_ns + spin_ns))) {
    spin.Waited(NowNs() - begin_ns, false);
    return true;
  }
  const bool is_done =
      bell.Wait([&] { return what.IsDone(); },
                [&] { return until_ns != INT64_MAX && NowNs() >= until_ns; }, until_ns);
  spin.Waited(NowNs() - begin_ns, true);
  return is_done;
}

template bool AwaitRing(Bell& bell, SpinPolicy& spin, const Awaited& what);
template bool AwaitRing(SharedBell& bell, SpinPolicy& spin, const Awaited& what);

}  // namespace duramen
