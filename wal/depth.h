// How many batches are in flight as direct writes: hill climbing by what a step gains. Pure: what
// was written and how long it took come in, a depth comes out.
//
// One more is tried for an epoch and kept where it gains enough; else the depth goes back and
// stays for a while. Now and then one less is tried, and kept where it loses next to nothing.
#pragma once

#include <cstdint>

namespace duramen::wal {

class DepthClimber {
 public:
  explicit DepthClimber(std::uint32_t depth_max) : max_(depth_max) {}
  std::uint32_t depth() const { return depth_; }
  /// A batch came back at `now_ns`. `held_back`: more was waiting than the depth let go.
  void OnBatch(std::uint64_t bytes, std::int64_t now_ns, bool held_back);

 private:
  void EndEpoch(double rate);
  void Try(std::uint32_t depth);

  std::uint32_t max_;
  std::uint32_t depth_ = 1;
  std::uint32_t from_ = 0;  // the depth that is compared with; 0: no trial is on
  double rate_ = 0;         // bytes per ns at that depth
  std::uint32_t hold_ = 0;  // epochs until the next trial
  bool down_next_ = false;
  std::int64_t begin_ns_ = 0;  // of the epoch; 0: it begins with the next batch
  std::uint64_t bytes_ = 0;
  std::uint32_t batches_ = 0;
  std::uint32_t held_ = 0;
};

}  // namespace duramen::wal
