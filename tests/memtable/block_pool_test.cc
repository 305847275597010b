#include "memtable/block_pool.h"

#include <gtest/gtest.h>

#include <set>

namespace duramen::memtable {
namespace {

std::set<const BlockWord*> BlocksOf(const BlockWord* chain) {
  std::set<const BlockWord*> blocks;
  for (; chain != nullptr; chain = BlockPool::NextInChain(chain)) blocks.insert(chain);
  return blocks;
}

TEST(BlockPool, MT3_AChainHasDistinctBlocksAndComesBack) {
  MemoryBudget budget(1u << 20, 0);
  {
    BlockPool pool(budget);
    BlockWord* const first = pool.Allocate(2, 300, BudgetUse::kEntries);
    BlockWord* const second = pool.Allocate(2, 1, BudgetUse::kEntries);
    const std::set<const BlockWord*> blocks = BlocksOf(first);
    EXPECT_EQ(blocks.size(), 300u);
    EXPECT_EQ(blocks.count(second), 0u);
    EXPECT_EQ(pool.used_bytes(), 301 * 512u);
    EXPECT_EQ(budget.used_bytes(), pool.mapped_bytes());
    pool.ReleaseChain(first, 2);
    pool.ReleaseChain(second, 2);
    EXPECT_EQ(pool.used_bytes(), 0u);
    const std::uint64_t mapped = pool.mapped_bytes();
    BlockWord* const again = pool.Allocate(2, 301, BudgetUse::kEntries);
    EXPECT_EQ(pool.mapped_bytes(), mapped) << "given-back blocks serve first";
    pool.ReleaseChain(again, 2);
  }
  EXPECT_EQ(budget.used_bytes(), 0u);
}

TEST(BlockPool, MT3_NothingIsTakenWhenTheBudgetHasNoRoomForAll) {
  MemoryBudget budget(200u << 10, 0);
  BlockPool pool(budget);
  EXPECT_EQ(pool.Allocate(2, 1000, BudgetUse::kEntries), nullptr);
  EXPECT_EQ(pool.used_bytes(), 0u);
  EXPECT_EQ(pool.Allocate(20, 1, BudgetUse::kReserve), nullptr);
  BlockWord* const forced = pool.Allocate(12, 1, BudgetUse::kForced);
  ASSERT_NE(forced, nullptr);
  EXPECT_GT(budget.used_bytes(), budget.limit_bytes());
  pool.ReleaseChain(forced, 12);
}

}  // namespace
}  // namespace duramen::memtable
