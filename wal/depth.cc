#include "wal/depth.h"

#include <algorithm>

namespace duramen::wal {
namespace {

constexpr std::uint32_t kEpochBatches = 32;
constexpr std::uint32_t kSettleBatches = 8;  // after a step, before the epoch begins
constexpr std::uint32_t kHoldEpochs = 16;
constexpr double kGainMin = 1.05;  // of one more
constexpr double kLossMax = 0.98;  // of one less

}  // namespace

void DepthClimber::OnBatch(std::uint64_t bytes, std::int64_t now_ns, bool held_back) {
  ++batches_;
  if (begin_ns_ == 0) {
    if (batches_ < kSettleBatches) return;
    begin_ns_ = std::max<std::int64_t>(now_ns, 1);
    batches_ = 0;
    return;
  }
  bytes_ += bytes;
  held_ += held_back ? 1 : 0;
  if (batches_ < kEpochBatches) return;
  const std::int64_t took_ns = std::max<std::int64_t>(now_ns - begin_ns_, 1);
  const double rate = static_cast<double>(bytes_) / static_cast<double>(took_ns);
  // An epoch in which the depth held nobody back says nothing about it.
  if (held_ * 2 >= batches_ || from_ != 0) EndEpoch(rate);
  begin_ns_ = std::max<std::int64_t>(now_ns, 1);
  bytes_ = batches_ = held_ = 0;
  if (from_ != 0 && rate_ == rate) begin_ns_ = 0;  // A step: let the pipe fill first.
}

void DepthClimber::Try(std::uint32_t depth) {
  from_ = depth_;
  depth_ = depth;
}

void DepthClimber::EndEpoch(double rate) {
  if (from_ == 0) {
    if (hold_ > 0) {
      --hold_;
      return;
    }
    rate_ = rate;
    if (depth_ < max_ && !(down_next_ && depth_ > 1)) {
      Try(depth_ + 1);
    } else if (depth_ > 1) {
      Try(depth_ - 1);
    }
    down_next_ = !down_next_;
    return;
  }
  const bool up = depth_ > from_;
  const bool kept = up ? rate >= rate_ * kGainMin : rate >= rate_ * kLossMax;
  if (kept && up && depth_ < max_) {
    rate_ = rate;
    Try(depth_ + 1);
    return;
  }
  if (!kept) depth_ = from_;
  from_ = 0;
  hold_ = kHoldEpochs;
}

}  // namespace duramen::wal
