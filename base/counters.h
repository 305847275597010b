// Counters and gauges: words in memory that another process may read. base/stat_page.h says how one
// finds out which is which. Read by any thread.
#pragma once

#include <atomic>
#include <cstdint>

namespace duramen {

class Counter {
 public:
  /// Only one thread adds; a load and a store are cheaper than a locked add.
  void Add(std::uint64_t n) noexcept {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  void Set(std::uint64_t n) noexcept { value_.store(n, std::memory_order_relaxed); }
  /// Behind all that this thread wrote before.
  void Publish(std::uint64_t n) noexcept { value_.store(n, std::memory_order_release); }
  /// A moment, as Clock::NowNs says it.
  void SetTime(std::int64_t ns) noexcept { Set(static_cast<std::uint64_t>(ns)); }
  /// The rest on any thread, for words that several count in.
  void AddShared(std::uint64_t n) noexcept { value_.fetch_add(n, std::memory_order_relaxed); }
  /// Returns what it was before.
  std::uint64_t SubShared(std::uint64_t n) noexcept {
    return value_.fetch_sub(n, std::memory_order_relaxed);
  }
  /// Sets `to` where it is still `from`, behind what this thread wrote before and what the word's
  /// last writer published; else `from` is what it is now.
  bool Exchange(std::uint64_t& from, std::uint64_t to) noexcept {
    return value_.compare_exchange_weak(from, to, std::memory_order_acq_rel,
                                        std::memory_order_relaxed);
  }
  std::uint64_t value() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};
static_assert(sizeof(Counter) == 8);

}  // namespace duramen
