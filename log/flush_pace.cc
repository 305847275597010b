#include "log/flush_pace.h"

#include <algorithm>

namespace duramen::log {
namespace {

constexpr std::uint64_t kSlowest = 16'000'000;  // bytes/s; nobody notices less
constexpr double kShare = 0.5;                  // of the time in which the file was filled

}  // namespace

void FlushPace::Take(std::int64_t now_ns, std::uint64_t bytes) {
  if (bytes_per_s_ == 0) return;
  const double cost_ns = static_cast<double>(bytes) * 1e9 / static_cast<double>(bytes_per_s_);
  paid_until_ns_ = std::max(paid_until_ns_, now_ns) + static_cast<std::int64_t>(cost_ns);
}

std::uint64_t FollowingRate(std::uint64_t bytes, std::int64_t filled_in_ns) {
  if (filled_in_ns <= 0) return 0;
  const double rate =
      static_cast<double>(bytes) * 1e9 / (static_cast<double>(filled_in_ns) * kShare);
  return std::max(kSlowest, static_cast<std::uint64_t>(rate));
}

}  // namespace duramen::log
