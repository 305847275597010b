#include "base/memory_budget.h"

#include <gtest/gtest.h>

namespace duramen {
namespace {

// Rule B1: rows and marks are what frees memory, so entries never take the last of it.
TEST(MemoryBudget, MT3_EntriesLeaveTheReserveToRows) {
  MemoryBudget budget(1000, 100);
  EXPECT_TRUE(budget.TryReserve(900, BudgetUse::kEntries));
  EXPECT_FALSE(budget.TryReserve(1, BudgetUse::kEntries));
  EXPECT_TRUE(budget.TryReserve(100, BudgetUse::kReserve));
  EXPECT_FALSE(budget.TryReserve(1, BudgetUse::kReserve));
  EXPECT_EQ(budget.used_bytes(), 1000u);
  budget.Release(900);
  EXPECT_EQ(budget.used_bytes(), 100u);
}

// Rule B2: what is on disk is never a reason to refuse a start.
TEST(MemoryBudget, MT3_RecoveryIsCountedButNeverRefused) {
  MemoryBudget budget(1000, 100);
  EXPECT_TRUE(budget.TryReserve(5000, BudgetUse::kForced));
  EXPECT_FALSE(budget.TryReserve(1, BudgetUse::kEntries));
  EXPECT_FALSE(budget.TryReserve(1, BudgetUse::kReserve));
  EXPECT_TRUE(budget.AboveHighWater());
  budget.Release(5000);
  EXPECT_TRUE(budget.TryReserve(900, BudgetUse::kEntries));
}

TEST(MemoryBudget, MT3_HighWaterIsThreeQuartersOfWhatEntriesMayTake) {
  MemoryBudget budget(1000, 200);
  EXPECT_TRUE(budget.TryReserve(600, BudgetUse::kEntries));
  EXPECT_FALSE(budget.AboveHighWater());
  EXPECT_TRUE(budget.TryReserve(1, BudgetUse::kEntries));
  EXPECT_TRUE(budget.AboveHighWater());
}

TEST(MemoryBudget, MT3_AHugeRequestDoesNotWrapAround) {
  MemoryBudget budget(1000, 0);
  EXPECT_TRUE(budget.TryReserve(10, BudgetUse::kEntries));
  EXPECT_FALSE(budget.TryReserve(UINT64_MAX, BudgetUse::kEntries));
  EXPECT_FALSE(budget.TryReserve(UINT64_MAX - 9, BudgetUse::kReserve));
  EXPECT_EQ(budget.used_bytes(), 10u);
}

TEST(MemoryBudget, MT3_WhatIsHeldIsCountedAsLongAsItIs) {
  MemoryBudget budget(1000, 100);
  Counter told;
  {
    CountedBytes held(budget, told);
    held.Set(2000);  // Above the limit, and not refused.
    EXPECT_EQ(budget.used_bytes(), 2000u);
    EXPECT_FALSE(budget.TryReserve(1, BudgetUse::kEntries));
    EXPECT_TRUE(budget.TryReserve(1000, BudgetUse::kReserve)) << "rows do not wait for it";
    EXPECT_FALSE(budget.TryReserve(1, BudgetUse::kReserve));
    budget.Release(1000);
    held.Set(300);
    EXPECT_EQ(budget.used_bytes(), 300u);
    EXPECT_EQ(told.value(), 300u);
  }
  EXPECT_EQ(budget.used_bytes(), 0u);
  EXPECT_EQ(told.value(), 0u);
}

}  // namespace
}  // namespace duramen
