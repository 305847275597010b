// A histogram of durations that tools show in microseconds; base/histogram.h says how exactly.
#pragma once

#include "base/histogram.h"

namespace duramen::tools {

/// One thread.
class LatencyHistogram {
 public:
  void Add(std::int64_t ns, std::uint64_t times = 1) {
    counts_.Add(ns < 0 ? 0 : static_cast<std::uint64_t>(ns), times);
  }
  /// `part` in [0, 1], 0.99 for p99. 0 when nothing was added.
  double Microseconds(double part) const {
    return static_cast<double>(counts_.Quantile(part)) / 1000;
  }
  double MaxMicroseconds() const { return static_cast<double>(counts_.max) / 1000; }
  std::uint64_t count() const { return counts_.count; }

 private:
  HistogramCounts counts_;
};

}  // namespace duramen::tools
