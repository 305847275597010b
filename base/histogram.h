// A histogram of whole numbers (nanoseconds, bytes, records) in a fixed layout without pointers, so
// that it can lie in memory that another process reads.
//
// Buckets are log-linear: sixteen for each power of two. What a bucket holds is told as its middle,
// so a percentile is off by at most 1/32 of itself; what is below 32 is exact. Values of 2^40 (18
// minutes in ns) and above are counted in the last bucket; `max` knows them.
// One thread adds, any thread or process reads: counts read meanwhile are those of one moment or
// another, each of them whole.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace duramen {

inline constexpr unsigned kHistogramSubBits = 4;
inline constexpr unsigned kHistogramValueBits = 40;
inline constexpr std::size_t kHistogramBuckets = (kHistogramValueBits - kHistogramSubBits + 1)
                                                 << kHistogramSubBits;

/// Which bucket counts `value`.
constexpr std::size_t HistogramBucket(std::uint64_t value) {
  value = std::min(value, (std::uint64_t{1} << kHistogramValueBits) - 1);
  if (value < (2u << kHistogramSubBits)) return value;
  const unsigned shift = static_cast<unsigned>(std::bit_width(value)) - kHistogramSubBits - 1;
  return (static_cast<std::size_t>(shift) << kHistogramSubBits) + (value >> shift);
}

/// The middle of what a bucket counts.
constexpr std::uint64_t HistogramMiddle(std::size_t bucket) {
  if (bucket < (2u << kHistogramSubBits)) return bucket;
  const std::size_t shift = (bucket >> kHistogramSubBits) - 1;
  const std::uint64_t low = (bucket & ((1u << kHistogramSubBits) - 1)) + (1u << kHistogramSubBits);
  return (low << shift) + ((std::uint64_t{1} << shift) >> 1);
}

/// The counts of one moment, as a value.
struct HistogramCounts {
  std::array<std::uint64_t, kHistogramBuckets> buckets{};
  std::uint64_t count = 0;
  std::uint64_t sum = 0;
  std::uint64_t max = 0;

  void Add(std::uint64_t value, std::uint64_t times = 1) {
    buckets[HistogramBucket(value)] += times;
    count += times;
    sum += value * times;
    max = std::max(max, value);
  }
  /// `part` in [0, 1], 0.99 for p99; 0 when nothing was counted.
  std::uint64_t Quantile(double part) const {
    if (count == 0) return 0;
    const auto wanted = static_cast<std::uint64_t>(part * static_cast<double>(count - 1));
    std::uint64_t seen = 0;
    for (std::size_t bucket = 0; bucket < buckets.size(); ++bucket) {
      seen += buckets[bucket];
      // Where the last bucket is open at its end, the highest says more than a middle.
      if (seen > wanted) {
        return bucket + 1 == buckets.size() ? max : std::min(HistogramMiddle(bucket), max);
      }
    }
    return max;
  }
  void Merge(const HistogramCounts& other) {
    for (std::size_t i = 0; i < buckets.size(); ++i) buckets[i] += other.buckets[i];
    count += other.count;
    sum += other.sum;
    max = std::max(max, other.max);
  }
  /// What was counted since `earlier`, a reading of the same histogram. `max` stays that of all.
  HistogramCounts Since(const HistogramCounts& earlier) const {
    HistogramCounts difference = *this;
    difference.count = 0;
    for (std::size_t i = 0; i < buckets.size(); ++i) {
      difference.buckets[i] -= std::min(buckets[i], earlier.buckets[i]);
      difference.count += difference.buckets[i];
    }
    difference.sum -= std::min(sum, earlier.sum);
    return difference;
  }
};

class Histogram {
 public:
  /// One thread.
  void Add(std::uint64_t value, std::uint64_t times = 1) noexcept {
    Raise(buckets_[HistogramBucket(value)], times);
    Raise(sum_, value * times);
    if (value > max_.load(std::memory_order_relaxed)) {
      max_.store(value, std::memory_order_relaxed);
    }
  }
  /// A duration; clocks that went backwards count as nothing.
  void AddNs(std::int64_t ns, std::uint64_t times = 1) noexcept {
    Add(ns < 0 ? 0 : static_cast<std::uint64_t>(ns), times);
  }
  HistogramCounts Read() const {
    HistogramCounts counts;
    for (std::size_t i = 0; i < buckets_.size(); ++i) {
      counts.buckets[i] = buckets_[i].load(std::memory_order_relaxed);
      counts.count += counts.buckets[i];
    }
    counts.sum = sum_.load(std::memory_order_relaxed);
    counts.max = max_.load(std::memory_order_relaxed);
    return counts;
  }
  std::uint64_t sum() const noexcept { return sum_.load(std::memory_order_relaxed); }

 private:
  using Word = std::atomic<std::uint64_t>;
  /// A load and a store are cheaper than a locked add.
  static void Raise(Word& word, std::uint64_t by) noexcept {
    word.store(word.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
  }
  Word sum_{0};
  Word max_{0};
  std::array<Word, kHistogramBuckets> buckets_{};
};
static_assert(sizeof(Histogram) == 8 * (2 + kHistogramBuckets));

}  // namespace duramen
