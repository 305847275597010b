#include "wal/turns.h"

#include <algorithm>

namespace duramen::wal {

void Turns::Reset(std::span<const void* const> owners) {
  const void* const due = owners_.empty() ? nullptr : owners_[next_].id;
  owners_.clear();
  for (std::size_t ring = 0; ring < owners.size(); ++ring) {
    auto owner = std::ranges::find(owners_, owners[ring], &Owner::id);
    if (owner == owners_.end()) owner = owners_.insert(owner, {.id = owners[ring]});
    owner->rings.push_back(ring);
  }
  const auto found = std::ranges::find(owners_, due, &Owner::id);
  next_ = found == owners_.end() ? 0 : static_cast<std::size_t>(found - owners_.begin());
}

}  // namespace duramen::wal
