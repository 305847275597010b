#include "base/futex.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>
#include <ctime>

namespace duramen {

static_assert(sizeof(Atomic<std::uint32_t>) == sizeof(std::uint32_t));
static_assert(Atomic<std::uint32_t>::is_always_lock_free);

void FutexWait(Atomic<std::uint32_t>& word, std::uint32_t expected, std::int64_t until_ns,
               FutexScope scope) {
  timespec until = {};
  if (until_ns < 0) until_ns = 0;  // Long past; the kernel refuses negative times.
  until.tv_sec = static_cast<std::time_t>(until_ns / 1'000'000'000);
  until.tv_nsec = static_cast<long>(until_ns % 1'000'000'000);
  // WAIT_BITSET takes an absolute time of CLOCK_MONOTONIC, which is what SystemClock shows.
  const int call = FUTEX_WAIT_BITSET | (scope == FutexScope::kPrivate ? FUTEX_PRIVATE_FLAG : 0);
  ::syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(&word), call, expected,
            until_ns == INT64_MAX ? nullptr : &until, nullptr, FUTEX_BITSET_MATCH_ANY);
}

void FutexWakeAll(Atomic<std::uint32_t>& word, FutexScope scope) {
  const int call = FUTEX_WAKE | (scope == FutexScope::kPrivate ? FUTEX_PRIVATE_FLAG : 0);
  ::syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(&word), call, INT_MAX,
            nullptr, nullptr, 0);
}

}  // namespace duramen
