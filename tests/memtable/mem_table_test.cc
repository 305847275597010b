#include "memtable/mem_table.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

namespace duramen::memtable {
namespace {

/// A table whose slots tell the index that they were written for, and by which generation.
class MemTableTest : public testing::Test {
 protected:
  static std::vector<Slot> Slots(Index first, std::uint64_t count, std::uint32_t generation) {
    std::vector<Slot> slots;
    for (Index index = first; index < first + count; ++index) {
      slots.push_back({generation, static_cast<std::uint32_t>(index),
                       static_cast<std::uint32_t>(index * 3), static_cast<std::uint8_t>(index)});
    }
    return slots;
  }
  void Append(Index first, std::uint64_t count, Term term, std::uint32_t generation = 1) {
    const TermRun run{first, term};
    ASSERT_TRUE(table.Append(first, Slots(first, count, generation), {&run, 1}).ok());
  }
  EntryLocation At(Index index) const {
    EntryLocation location;
    const IndexRange wanted{index, index + 1};
    EXPECT_EQ(table.Locate(wanted, {&location, 1}).range, wanted) << index;
    return location;
  }
  void ExpectBounds(Index begin, Index in_memory_begin, Index end) const {
    const TableBounds bounds = table.Bounds();
    EXPECT_EQ(bounds.begin, begin);
    EXPECT_EQ(bounds.in_memory_begin, in_memory_begin);
    EXPECT_EQ(bounds.end, end);
  }

  MemoryBudget budget{64u << 20, 0};
  BlockPool pool{budget};
  MemTable table{pool};
};

TEST_F(MemTableTest, MT3_AnIdleTableCostsAtMost256BytesAndNoBlock) {
  EXPECT_LE(sizeof(MemTable), 256u);
  ExpectBounds(1, 1, 1);
  EXPECT_EQ(table.TermAt(0), Term{0});
  EXPECT_EQ(table.TermAt(1), std::nullopt);
  EXPECT_EQ(pool.used_bytes(), 0u);
  EXPECT_EQ(budget.used_bytes(), 0u);
}

TEST_F(MemTableTest, MT1_EntriesAreFoundByIndex) {
  Append(1, 1000, 3);
  ExpectBounds(1, 1, 1001);
  for (const Index index : {1, 31, 32, 33, 511, 512, 999, 1000}) {
    const EntryLocation location = At(index);
    EXPECT_EQ(location.slot.chunk, 1u);
    EXPECT_EQ(location.slot.offset, index);
    EXPECT_EQ(location.slot.bytes, index * 3);
    EXPECT_EQ(location.slot.kind, static_cast<std::uint8_t>(index));
    EXPECT_EQ(location.term, 3u);
  }
}

TEST_F(MemTableTest, MT1_LocateStopsAtTheRangeTheTableAndTheBuffer) {
  Append(1, 100, 1);
  std::array<EntryLocation, 10> ten;
  std::vector<EntryLocation> many(200);
  EXPECT_EQ(table.Locate({5, 8}, ten).range, (IndexRange{5, 8}));
  EXPECT_EQ(table.Locate({5, 80}, ten).range, (IndexRange{5, 15}));
  EXPECT_EQ(table.Locate({95, 500}, many).range, (IndexRange{95, 101}));
  EXPECT_EQ(table.Locate({1, UINT64_MAX}, many).range, (IndexRange{1, 101}));
  EXPECT_TRUE(table.Locate({0, 5}, ten).range.empty());
  EXPECT_TRUE(table.Locate({101, 105}, ten).range.empty());
  EXPECT_TRUE(table.Locate({5, 5}, ten).range.empty());
  EXPECT_TRUE(table.Locate({5, 8}, {}).range.empty());
}

// Figure 8 of the Raft paper: term 2 may stand over term 3. All in one step, all or nothing.
TEST_F(MemTableTest, MT1_AnOverwriteReplacesTheTail) {
  Append(1, 100, 3);
  Append(50, 3, 2, 2);
  ExpectBounds(1, 1, 53);
  EXPECT_EQ(At(49).slot.chunk, 1u);
  EXPECT_EQ(At(50).slot.chunk, 2u);
  EXPECT_EQ(At(52).slot.chunk, 2u);
  EXPECT_EQ(table.TermAt(49), Term{3});
  EXPECT_EQ(table.TermAt(50), Term{2});
  EXPECT_EQ(table.TermAt(53), std::nullopt);
  EXPECT_EQ(table.TermRuns(), (std::vector<TermRun>{{0, 0}, {1, 3}, {50, 2}}));
}

TEST_F(MemTableTest, MT1_AGroupMayHoldSeveralTerms) {
  const std::array<TermRun, 3> terms{TermRun{1, 4}, TermRun{3, 4}, TermRun{5, 9}};
  ASSERT_TRUE(table.Append(1, Slots(1, 8, 1), terms).ok());
  EXPECT_EQ(table.TermRuns(), (std::vector<TermRun>{{0, 0}, {1, 4}, {5, 9}}));
  EXPECT_EQ(At(4).term, 4u);
  EXPECT_EQ(At(5).term, 9u);
  Append(9, 1, 9);
  EXPECT_EQ(table.TermRuns().size(), 3u) << "the same term goes on";
}

TEST_F(MemTableTest, MT1_ManyTermsMoveOutOfTheTableAndBack) {
  for (Index index = 1; index <= 500; ++index) Append(index, 1, index * 2);
  for (Index index = 1; index <= 500; ++index) {
    EXPECT_EQ(table.TermAt(index), index * 2);
    EXPECT_EQ(At(index).term, index * 2);
  }
  table.CutPrefix(400);
  EXPECT_EQ(table.TermAt(399), Term{798});
  EXPECT_EQ(table.TermAt(398), std::nullopt);
  table.CutSuffix(450);
  EXPECT_EQ(table.TermRuns().size(), 51u);
  table.CutPrefix(450);
  EXPECT_EQ(table.TermAt(449), Term{898});
  EXPECT_EQ(pool.used_bytes(), 0u);
}

TEST_F(MemTableTest, MT3_EmptiedTablesGiveAllBlocksBack) {
  Append(1, 5000, 1);
  EXPECT_GT(pool.used_bytes(), 5000 * 16u);
  table.CutPrefix(5001);
  ExpectBounds(5001, 5001, 5001);
  EXPECT_EQ(table.TermAt(5000), Term{1});
  EXPECT_EQ(pool.used_bytes(), 0u);
  Append(5001, 10, 2);
  EXPECT_EQ(At(5001).slot.offset, 5001u);
  table.CutSuffix(5001);
  EXPECT_EQ(table.TermAt(5000), Term{1});
  EXPECT_EQ(pool.used_bytes(), 0u);
  Append(5001, 10, 3);
  table.Reset(9000, 7);
  ExpectBounds(9000, 9000, 9000);
  EXPECT_EQ(table.TermAt(8999), Term{7});
  EXPECT_EQ(pool.used_bytes(), 0u);
}

TEST_F(MemTableTest, MT3_AMovingWindowKeepsASmallIndex) {
  std::uint64_t used_max = 0;
  for (Index index = 1; index < 100'000; index += 10) {
    Append(index, 10, 1 + index / 10'000);
    if (index > 100) table.CutPrefix(index - 50);
    used_max = std::max(used_max, pool.used_bytes());
  }
  EXPECT_LE(used_max, 6 * 512u);
  EXPECT_EQ(At(99'990).slot.offset, 99'990u);
}

TEST_F(MemTableTest, MT3_RecoveredEntriesHaveNoSlot) {
  const std::array<TermRun, 6> runs{TermRun{0, 0},  TermRun{4, 1},  TermRun{20, 2},
                                    TermRun{30, 3}, TermRun{40, 5}, TermRun{50, 6}};
  table.Restore({.begin = 11, .end = 100}, runs);
  ExpectBounds(11, 100, 100);
  EXPECT_EQ(table.Bounds().term_before_begin, 1u);
  EXPECT_EQ(table.Bounds().last_term, 6u);
  EXPECT_EQ(table.TermRuns(), (std::vector<TermRun>{{10, 1}, {20, 2}, {30, 3}, {40, 5}, {50, 6}}));
  EXPECT_EQ(At(45).slot.chunk, kNoChunk);
  EXPECT_EQ(At(45).term, 5u);
  Append(100, 5, 6, 9);
  ExpectBounds(11, 100, 105);
  EXPECT_EQ(At(99).slot.chunk, kNoChunk);
  EXPECT_EQ(At(100).slot.chunk, 9u);
  std::array<EntryLocation, 4> mixed;
  EXPECT_EQ(table.Locate({98, 102}, mixed).range, (IndexRange{98, 102}));
  EXPECT_EQ(mixed[1].slot.chunk, kNoChunk);
  EXPECT_EQ(mixed[2].slot.chunk, 9u);
  Append(60, 2, 7, 10);
  ExpectBounds(11, 60, 62);
  EXPECT_EQ(At(59).slot.chunk, kNoChunk);
  EXPECT_EQ(At(60).slot.chunk, 10u);
}

TEST_F(MemTableTest, MT3_ARestoredEmptyLogIsIdle) {
  const std::array<TermRun, 2> runs{TermRun{0, 0}, TermRun{2, 4}};
  table.Restore({.begin = 11, .end = 11}, runs);
  ExpectBounds(11, 11, 11);
  EXPECT_EQ(table.TermAt(10), Term{4});
  EXPECT_EQ(pool.used_bytes(), 0u);
}

TEST_F(MemTableTest, MT3_ForgottenSlotsGiveTheirBlocksBack) {
  Append(1, 1000, 1);
  const std::uint64_t used = pool.used_bytes();
  table.ForgetSlots(900);
  ExpectBounds(1, 900, 1001);
  EXPECT_LT(pool.used_bytes(), used / 4);
  EXPECT_EQ(At(899).slot.chunk, kNoChunk);
  EXPECT_EQ(At(900).slot.chunk, 1u);
  table.ForgetSlots(10);
  ExpectBounds(1, 900, 1001);
  table.ForgetSlots(1001);
  EXPECT_EQ(pool.used_bytes(), 0u);
  ExpectBounds(1, 1001, 1001);
  Append(1001, 1, 2);
  EXPECT_EQ(At(1001).slot.chunk, 1u);
}

TEST_F(MemTableTest, MT1_AnAppendLeavesTheVersionAloneACutDoesNot) {
  Append(1, 10, 1);
  EntryLocation location;
  const Located located = table.Locate({1, 2}, {&location, 1});
  Append(11, 1, 1);
  EXPECT_TRUE(table.UnchangedSince(located.version));
  table.CutPrefix(5);
  EXPECT_FALSE(table.UnchangedSince(located.version));
}

// An append that cannot have its memory leaves the log exactly as it was, tail included.
TEST(MemTableBudget, MT3_AnAppendWithoutMemoryChangesNothing) {
  MemoryBudget budget(200u << 10, 0);
  BlockPool pool(budget);
  MemTable table(pool);
  const std::array<TermRun, 1> first{TermRun{1, 1}};
  ASSERT_TRUE(table.Append(1, std::vector<Slot>(100, Slot{1, 2, 3, 4}), first).ok());
  const std::uint64_t used = pool.used_bytes();
  const std::array<TermRun, 1> over{TermRun{50, 9}};
  const Status refused = table.Append(50, std::vector<Slot>(100'000), over);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kOverloaded);
  EXPECT_EQ(pool.used_bytes(), used);
  EXPECT_EQ(table.Bounds().end, 101u);
  EXPECT_EQ(table.TermAt(60), Term{1});
}

TEST(MemTableBudget, MT3_RestoreTakesMemoryOverTheBudget) {
  MemoryBudget budget(1024, 0);
  BlockPool pool(budget);
  MemTable table(pool);
  std::vector<TermRun> runs;
  for (Index index = 0; index < 1000; ++index) runs.push_back({index, index});
  table.Restore({.begin = 1, .end = 1000}, runs);
  EXPECT_EQ(table.TermAt(777), Term{777});
  EXPECT_GT(budget.used_bytes(), budget.limit_bytes());
}

// Indexes near the top of their range must not wrap into valid ones.
TEST_F(MemTableTest, MT1_HugeIndexesAreNotInTheTable) {
  Append(1, 10, 1);
  EntryLocation location;
  EXPECT_EQ(table.TermAt(UINT64_MAX), std::nullopt);
  EXPECT_TRUE(table.Locate({UINT64_MAX - 1, UINT64_MAX}, {&location, 1}).range.empty());
  const Index far = UINT64_MAX - 1000;
  table.Reset(far, 5);
  Append(far, 100, 6);
  EXPECT_EQ(At(far + 99).term, 6u);
  EXPECT_EQ(table.TermAt(far - 1), Term{5});
}

}  // namespace
}  // namespace duramen::memtable
