// Whether to look again for a while before going to sleep: only where the last waits were short,
// and then for so long at most. Any thread; a lost update costs nothing.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>

namespace duramen {

class SpinPolicy {
 public:
  static constexpr std::int64_t kSpinNs = 200'000;

  /// How long to look; 0: sleep at once.
  std::int64_t SpinNs() const {
    return usual_ns_.load(std::memory_order_relaxed) < kSpinNs ? kSpinNs : 0;
  }
  /// A wait took so long, asleep or not. Who slept may have been late by the time that a thread
  /// takes to wake up, which must not be what keeps it asleep.
  void Waited(std::int64_t ns, bool slept) {
    if (slept) ns -= kWakeUpNs;
    // One long wait ends it; it takes a dozen short ones to begin.
    const std::int64_t capped = ns < kLongNs ? ns : kLongNs;
    const std::int64_t usual = usual_ns_.load(std::memory_order_relaxed);
    const std::int64_t next = capped == kLongNs ? kLongNs : usual - usual / 8 + capped / 8;
    usual_ns_.store(next, std::memory_order_relaxed);
  }

 private:
  static constexpr std::int64_t kWakeUpNs = 60'000;
  static constexpr std::int64_t kLongNs = 5 * kSpinNs;
  std::atomic<std::int64_t> usual_ns_{kLongNs};
};

/// On one processor a wait that does not sleep keeps off whom it waits for.
inline bool SpinsAtAll() {
  static const bool several = std::thread::hardware_concurrency() > 1;
  return several;
}

/// Tells the processor that this is a loop that waits.
inline void SpinPause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#endif
}

}  // namespace duramen
