// A histogram of durations with a relative error under 1/32, in bounded memory.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

namespace duramen::tools {

/// One thread.
class LatencyHistogram {
 public:
  void Add(std::int64_t ns, std::uint64_t times = 1) {
    counts_[Place(ns < 0 ? 0 : static_cast<std::uint64_t>(ns))] += times;
    total_ += times;
  }
  /// In microseconds; `part` in [0, 1], 0.99 for p99. 0 when nothing was added.
  double Microseconds(double part) const {
    if (total_ == 0) return 0;
    const auto wanted = static_cast<std::uint64_t>(part * static_cast<double>(total_ - 1));
    std::uint64_t seen = 0;
    for (std::size_t place = 0; place < counts_.size(); ++place) {
      seen += counts_[place];
      if (seen > wanted) return static_cast<double>(ValueAt(place)) / 1000;
    }
    return 0;
  }
  std::uint64_t total() const { return total_; }

 private:
  static constexpr unsigned kSubBits = 5;  // 32 steps for each power of two
  static std::size_t Place(std::uint64_t ns) {
    if (ns < (2u << kSubBits)) return ns;
    const auto width = static_cast<unsigned>(std::bit_width(ns));
    const unsigned shift = width - kSubBits - 1;
    return (static_cast<std::size_t>(shift) << kSubBits) + (ns >> shift);
  }
  static std::uint64_t ValueAt(std::size_t place) {
    if (place < (2u << kSubBits)) return place;
    const std::size_t shift = (place >> kSubBits) - 1;
    return ((place & ((1u << kSubBits) - 1)) + (1u << kSubBits)) << shift;
  }
  std::array<std::uint64_t, 64u << kSubBits> counts_{};
  std::uint64_t total_ = 0;
};

}  // namespace duramen::tools
