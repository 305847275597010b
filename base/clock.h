// Time, as one of the four seams between Duramen and the world.
#pragma once

#include <chrono>
#include <cstdint>

namespace duramen {

class Clock {
 public:
  virtual ~Clock() = default;
  /// Monotonic. Nanoseconds since some fixed point.
  virtual std::int64_t NowNs() const = 0;
  /// Wall clock, milliseconds since 1970; for people and log entries, never for decisions.
  virtual std::int64_t UnixMs() const = 0;
};

class SystemClock final : public Clock {
 public:
  std::int64_t NowNs() const override;
  std::int64_t UnixMs() const override;
};

/// Moves only when told to.
class ManualClock final : public Clock {
 public:
  std::int64_t NowNs() const override { return now_ns_; }
  std::int64_t UnixMs() const override { return now_ns_ / 1'000'000; }
  void Advance(std::int64_t ns) { now_ns_ += ns; }

 private:
  std::int64_t now_ns_ = 1'000'000'000;
};

}  // namespace duramen
