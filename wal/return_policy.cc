#include "wal/return_policy.h"

#include <algorithm>

namespace duramen::wal {

void ReturnPolicy::OnLeft(std::int64_t now_ns) {
  const bool soon = returned_ns_ != 0 && now_ns - returned_ns_ < kSettledNs;
  needed_ = soon ? std::min(2 * needed_, kProbesMax) : kProbes;
  away_ = true;
  good_ = 0;
  next_ns_ = now_ns + kEveryNs;
}

void ReturnPolicy::OnReturned(std::int64_t now_ns) {
  away_ = false;
  good_ = 0;
  returned_ns_ = now_ns;
}

bool ReturnPolicy::OnProbe(bool written, std::int64_t took_ns, std::int64_t now_ns) {
  under_way_ = false;
  next_ns_ = now_ns + kEveryNs;
  const bool good = written && took_ns <= quick_ns_;
  // One that began before the WAL left says nothing of the time since.
  good_ = good && away_ ? good_ + 1 : 0;
  return good;
}

}  // namespace duramen::wal
