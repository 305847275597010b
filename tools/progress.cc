#include "tools/progress.h"

#include <algorithm>
#include <utility>

#include "tools/interrupt.h"
#include "tools/text.h"

namespace duramen::tools {
namespace {

constexpr double kShowEverySeconds = 0.2;
constexpr double kShortestSeconds = 0.001;  // a rate over less says nothing

}  // namespace

void ReadProgress::Begin(std::string what, std::uint64_t total_bytes) {
  what_ = std::move(what);
  total_bytes_ = total_bytes;
  done_bytes_ = 0;
  begin_ns_ = clock_.NowNs();
  show_at_s_ = 0;
}

bool ReadProgress::OnRead(std::uint64_t bytes) {
  stopped_ = stopped_ || Interrupted();
  if (stopped_) return false;
  done_bytes_ += bytes;
  bytes_read_ += bytes;
  if (terminal_.shows_progress() && total_bytes_ > 0) {
    const double seconds = static_cast<double>(clock_.NowNs() - begin_ns_) / 1e9;
    if (seconds >= show_at_s_) Show(seconds);
  }
  return true;
}

void ReadProgress::Show(double seconds) {
  show_at_s_ = seconds + kShowEverySeconds;
  // Some ranges are read more than once: never more than all of it.
  const std::uint64_t done = std::min(done_bytes_, total_bytes_);
  const double rate = static_cast<double>(done) / std::max(seconds, kShortestSeconds);
  const double left = static_cast<double>(total_bytes_ - done) / std::max(rate, 1.0);
  terminal_.Progress(what_ + ": " + HumanBytes(done) + " of " + HumanBytes(total_bytes_) + ", " +
                     HumanBytes(static_cast<std::uint64_t>(rate)) + "/s, " + Decimal(left, 0) +
                     " s left");
}

}  // namespace duramen::tools
