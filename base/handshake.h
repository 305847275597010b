// How one thread sleeps and others wake it without a lock, so that no wake-up is lost. All are
// words of their owner; tests/base/*_interleaving_test.cc try all interleavings of them.
#pragma once

#include <cstdint>

#include "base/atomics.h"
#include "base/futex.h"

namespace duramen {

/// One thread's bed. Its order of steps: TakeNotice, then look for work, then Sleep. Who made work
/// calls Notify after it: either the sleeper's look finds the work, or Sleep returns at once.
class Bed {
 public:
  /// Any thread: the sleeper has to look again.
  void Notify() {
    if (state_.exchange(kNotified, std::memory_order_acq_rel) == kAsleep) FutexWakeAll(state_);
  }
  /// Notify for a process that was killed. It may have died between the two halves of Notify: the
  /// word says that another look is owed then, which is why all others wake nobody, and the sleeper
  /// sleeps.
  void Rouse() {
    state_.exchange(kNotified, std::memory_order_acq_rel);
    FutexWakeAll(state_);
  }
  /// The sleeper, before it looks for work: a Notify from here on owes another look. Makes visible
  /// what those did who called Notify before.
  void TakeNotice() { state_.exchange(kAwake, std::memory_order_acq_rel); }
  /// Whether somebody called Notify since.
  bool Noticed() const { return state_.load(std::memory_order_acquire) != kAwake; }
  /// The sleeper: until there is a Notify since TakeNotice, or until `late`, which is asked before
  /// each wait, says so; `until_ns` is for the wait itself (see FutexWait).
  template <typename Late>
  void Sleep(std::int64_t until_ns, Late late) {
    std::uint32_t state = kAwake;
    if (!state_.compare_exchange_strong(state, kAsleep, std::memory_order_acq_rel)) return;
    while (state_.load(std::memory_order_acquire) == kAsleep) {
      if (late()) return;  // TakeNotice resets the state.
      FutexWait(state_, kAsleep, until_ns);
    }
  }

 private:
  // Notify turns any into kNotified; only the sleeper turns it back.
  static constexpr std::uint32_t kAwake = 0;     // looks for work, or is about to sleep
  static constexpr std::uint32_t kNotified = 1;  // owes another look
  static constexpr std::uint32_t kAsleep = 2;    // needs a futex wake

  Atomic<std::uint32_t> state_{kAwake};
};

/// Many wait for something that one of many does. Dekker's pattern in sequentially consistent
/// operations: either Ring sees the waiter and wakes it, or the waiter's load of rings_ sees the
/// count of Ring, and with it everything done before. Zeros are one that never rang, so it may lie
/// in memory that processes share.
template <FutexScope kScope>
class BellOf {
 public:
  /// Any thread, after what may be waited for.
  void Ring() {
    rings_.fetch_add(1);
    if (waiting_.load() != 0) FutexWakeAll(rings_, kScope);
  }
  /// How often it rang, to look at `done` only after another time.
  std::uint32_t rings() const { return rings_.load(); }
  /// Until `done()`, or until `late()` behind a look that found it not done; whether it is done.
  template <typename Done, typename Late>
  bool Wait(Done done, Late late, std::int64_t until_ns) {
    waiting_.fetch_add(1);
    bool is_done = false;
    while (true) {
      const std::uint32_t seen = rings_.load();  // Before the look: what it misses rings later.
      is_done = done();
      if (is_done || late()) break;
      FutexWait(rings_, seen, until_ns, kScope);
    }
    waiting_.fetch_sub(1);
    return is_done;
  }

 private:
  Atomic<std::uint32_t> rings_{0};
  Atomic<std::uint32_t> waiting_{0};  // threads in Wait
};
using Bell = BellOf<FutexScope::kPrivate>;
using SharedBell = BellOf<FutexScope::kShared>;

/// What a thread that looks for work in memory of other processes tells them: awake it looks by
/// itself, asleep it has to be rung for. It shows that it sleeps before its last look.
class SleepSign {
 public:
  /// The sleeper. An exchange, so that what others have put there is looked at behind it.
  void Show(bool asleep) { asleep_.exchange(asleep ? 1 : 0); }
  /// Who has put work there: whether it has to be rung for. `posted` is a word of his own, whose
  /// count puts the work before the look. `find` gives the sign, or null where no sleeper is known;
  /// who makes one known afterwards asks for all that was put there meanwhile.
  template <typename Find>
  static bool MustRing(Atomic<std::uint32_t>& posted, Find find) {
    posted.fetch_add(1);
    const SleepSign* const sign = find();
    return sign != nullptr && sign->asleep_.load() != 0;
  }

 private:
  Atomic<std::uint32_t> asleep_{0};
};

}  // namespace duramen
