#include "base/memory_budget.h"

#include "base/check.h"

namespace duramen {

MemoryBudget::MemoryBudget(std::uint64_t limit_bytes, std::uint64_t reserve_bytes)
    : limit_bytes_(limit_bytes), reserve_bytes_(reserve_bytes) {
  CHECK(reserve_bytes <= limit_bytes);
}

bool MemoryBudget::TryReserve(std::uint64_t bytes, BudgetUse use) noexcept {
  if (use == BudgetUse::kForced) {
    used_.fetch_add(bytes, std::memory_order_relaxed);
    return true;
  }
  const std::uint64_t top =
      use == BudgetUse::kEntries ? limit_bytes_ - reserve_bytes_ : limit_bytes_;
  std::uint64_t used = used_.load(std::memory_order_relaxed);
  do {
    if (used > top || bytes > top - used) return false;
  } while (!used_.compare_exchange_weak(used, used + bytes, std::memory_order_relaxed));
  return true;
}

void MemoryBudget::Release(std::uint64_t bytes) noexcept {
  const std::uint64_t before = used_.fetch_sub(bytes, std::memory_order_relaxed);
  CHECK(before >= bytes);
}

bool MemoryBudget::AboveHighWater() const noexcept {
  const std::uint64_t top = limit_bytes_ - reserve_bytes_;
  return used_bytes() > top - top / 4;
}

}  // namespace duramen
