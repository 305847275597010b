#include "base/memory_budget.h"

#include "base/check.h"

namespace duramen {

MemoryBudget::MemoryBudget(std::uint64_t limit_bytes, std::uint64_t reserve_bytes)
    : limit_bytes_(limit_bytes), reserve_bytes_(reserve_bytes) {
  CHECK(reserve_bytes <= limit_bytes);
}

void MemoryBudget::CountIn(Counter& used, Counter& pinned) noexcept {
  used.Set(used_bytes());
  used_ = &used;
  pinned.Set(pinned_bytes());
  pinned_ = &pinned;
}

bool MemoryBudget::TryReserve(std::uint64_t bytes, BudgetUse use) noexcept {
  if (use == BudgetUse::kForced) {
    used_->AddShared(bytes);
    return true;
  }
  const std::uint64_t top = use == BudgetUse::kEntries
                                ? limit_bytes_ - reserve_bytes_
                                : limit_bytes_ + held_.load(std::memory_order_relaxed);
  std::uint64_t used = used_->value();
  do {
    if (used > top || bytes > top - used) return false;
  } while (!used_->Exchange(used, used + bytes));
  return true;
}

void MemoryBudget::Release(std::uint64_t bytes) noexcept {
  const std::uint64_t before = used_->SubShared(bytes);
  CHECK(before >= bytes);
}

void CountedBytes::Set(std::uint64_t bytes) noexcept {
  if (bytes > bytes_) {
    budget_.held_.fetch_add(bytes - bytes_, std::memory_order_relaxed);
    (void)budget_.TryReserve(bytes - bytes_, BudgetUse::kForced);
    told_.AddShared(bytes - bytes_);
  } else if (bytes < bytes_) {
    budget_.Release(bytes_ - bytes);
    budget_.held_.fetch_sub(bytes_ - bytes, std::memory_order_relaxed);
    told_.SubShared(bytes_ - bytes);
  }
  bytes_ = bytes;
}

bool MemoryBudget::AboveHighWater() const noexcept {
  const std::uint64_t top = limit_bytes_ - reserve_bytes_;
  return used_bytes() > top - top / 4;
}

}  // namespace duramen
