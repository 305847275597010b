#include "wal/port.h"

namespace duramen::wal {

void NoticeBoard::Publish(std::span<const Notice> notices) {
  const std::lock_guard lock(mutex_);
  empty_.store(notices.empty() && waiting_.empty(), std::memory_order_release);
  for (const Notice& notice : notices) {
    if (notice.slot >= place_.size()) place_.resize(notice.slot + 1);
    std::uint32_t& place = place_[notice.slot];
    if (place == 0) {
      waiting_.push_back(notice);
      place = static_cast<std::uint32_t>(waiting_.size());
      continue;
    }
    Notice& waiting = waiting_[place - 1];
    waiting = notice;  // A refusal stays one: the WAL repeats it in every later notice.
  }
}

void NoticeBoard::Take(std::vector<Notice>& out) {
  out.clear();
  const std::lock_guard lock(mutex_);
  out.swap(waiting_);
  empty_.store(true, std::memory_order_relaxed);
  for (const Notice& notice : out) place_[notice.slot] = 0;
}

}  // namespace duramen::wal
