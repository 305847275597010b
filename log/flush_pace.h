// How fast a flush may be: so many bytes a second, a little of them at once. Pure; what the time is
// is said by the caller.
#pragma once

#include <cstdint>

namespace duramen::log {

class FlushPace {
 public:
  static constexpr std::int64_t kBurstNs = 20'000'000;  // of the rate may be taken at once

  /// 0: as fast as it can.
  void SetRate(std::uint64_t bytes_per_s) { bytes_per_s_ = bytes_per_s; }
  std::uint64_t rate() const { return bytes_per_s_; }
  /// From when on the next bytes may be taken.
  std::int64_t ReadyNs() const { return bytes_per_s_ == 0 ? INT64_MIN : paid_until_ns_ - kBurstNs; }
  void Take(std::int64_t now_ns, std::uint64_t bytes);
  /// What was taken until now is not owed for any more.
  void Forgive() { paid_until_ns_ = INT64_MIN + kBurstNs; }

 private:
  std::uint64_t bytes_per_s_ = 0;
  std::int64_t paid_until_ns_ = INT64_MIN + kBurstNs;
};

/// The rate for what a WAL file gave, so that its flush takes half of the time in which the file
/// was filled: one that is slower than the writers are would stop them in the end.
std::uint64_t FollowingRate(std::uint64_t bytes, std::int64_t filled_in_ns);

}  // namespace duramen::log
