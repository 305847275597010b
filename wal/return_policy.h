// When the WAL goes back to wal_dir: after so many probes of it in a row that were quick. Pure:
// times and probes come in, what to do comes out.
//
// A directory that was left again soon after a return has to answer for twice as long the next
// time, so that a device which comes and goes is not followed each time.
#pragma once

#include <cstdint>

namespace duramen::wal {

class ReturnPolicy {
 public:
  static constexpr std::int64_t kEveryNs = 1'000'000'000;  // between two probes
  static constexpr std::uint32_t kProbes = 5;              // good ones in a row
  static constexpr std::uint32_t kProbesMax = 320;         // of those that doubled
  static constexpr std::int64_t kSettledNs =
      600'000'000'000;  // so long in wal_dir: all is forgotten

  /// `quick_ns`: a good probe takes no longer.
  explicit ReturnPolicy(std::int64_t quick_ns) : quick_ns_(quick_ns) {}

  void OnLeft(std::int64_t now_ns);
  void OnReturned(std::int64_t now_ns);
  /// When to send the next probe; INT64_MAX: one is under way, or the WAL is in wal_dir.
  std::int64_t next_probe_ns() const { return away_ && !under_way_ ? next_ns_ : INT64_MAX; }
  void OnSent() { under_way_ = true; }
  /// Returns whether it was a good one.
  bool OnProbe(bool written, std::int64_t took_ns, std::int64_t now_ns);
  /// wal_dir answered the last probe well.
  bool answers() const { return good_ > 0; }
  bool MayReturn() const { return away_ && good_ >= needed_; }
  std::uint32_t needed() const { return needed_; }

 private:
  std::int64_t quick_ns_;
  bool away_ = false;
  bool under_way_ = false;
  std::uint32_t good_ = 0;
  std::uint32_t needed_ = kProbes;
  std::int64_t next_ns_ = 0;
  std::int64_t returned_ns_ = 0;  // 0: never
};

}  // namespace duramen::wal
