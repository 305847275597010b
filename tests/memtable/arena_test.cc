#include "memtable/arena.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "base/bytes.h"

namespace duramen::memtable {
namespace {

constexpr std::uint64_t kChunkBytes = 4096;

/// A Writer's arena with its ring, as far as the arena sees it: each entry has a position.
class ArenaTest : public testing::Test {
 protected:
  ArenaSpan Put(std::size_t bytes) { return Put(std::string(bytes, 'x')); }
  ArenaSpan Put(const std::string& payload) {
    const ArenaSpan span = *arena.Store(payload.size(), AsBytes(payload), BudgetUse::kEntries);
    arena.NotePosition(span.chunk, ++position);
    return span;
  }
  /// Fills the open chunk, so that the next entry opens another.
  ChunkNumber FillChunk() {
    const ChunkNumber chunk = Put(1000).chunk;
    while (Put(1000).chunk == chunk) {
    }
    return chunk;
  }
  std::string Read(const ArenaSpan& span, std::uint32_t bytes) const {
    const std::byte* const entry = arena.Resolve(span.chunk, span.offset, bytes);
    EXPECT_NE(entry, nullptr);
    EXPECT_EQ(LoadLe<std::uint64_t>(entry), bytes);
    return std::string(AsText({entry + kArenaEntryHeaderBytes, bytes}));
  }
  bool Pinnable(ChunkNumber chunk) const { return ChunkPin(arena, chunk).held(); }

  MemoryBudget budget{1u << 20, 64u << 10};
  Arena arena{budget, {.chunk_bytes = kChunkBytes, .chunks_max = 64, .free_chunks_max = 2}};
  std::uint64_t position = 0;
};

TEST_F(ArenaTest, MT1_WhatIsStoredIsReadInPlace) {
  const ArenaSpan one = Put("first");
  const ArenaSpan two = Put("");
  const ArenaSpan three = Put(std::string(1001, 'y'));
  EXPECT_EQ(one.chunk, three.chunk);
  EXPECT_EQ(two.offset % 8, 0u);
  EXPECT_EQ(three.offset % 8, 0u);
  EXPECT_EQ(Read(one, 5), "first");
  EXPECT_EQ(Read(two, 0), "");
  EXPECT_EQ(Read(three, 1001), std::string(1001, 'y'));
}

TEST_F(ArenaTest, MT1_ALargeEntryHasAChunkOfItsOwnSize) {
  const ArenaSpan small = Put(100);
  const ArenaSpan large = Put(std::string(10'000, 'z'));
  EXPECT_NE(large.chunk, small.chunk);
  EXPECT_EQ(large.offset, 0u);
  EXPECT_EQ(Read(large, 10'000), std::string(10'000, 'z'));
  EXPECT_EQ(arena.bytes_used(), kChunkBytes + 3 * 4096);
  EXPECT_EQ(Put(100).chunk, small.chunk) << "the open chunk goes on being filled";
}

TEST_F(ArenaTest, MT1_AtMostAQuarterOfAChunkIsWasted) {
  const ArenaSpan small = Put(100);
  const ArenaSpan middle = Put(4000);
  EXPECT_NE(middle.chunk, small.chunk) << "most of the open chunk is still to be filled";
  EXPECT_EQ(Put(3000).chunk, small.chunk);
  const ArenaSpan next = Put(2000);
  EXPECT_NE(next.chunk, small.chunk);
  EXPECT_EQ(Put(1000).chunk, next.chunk) << "now the rest of the old one is small: a new one opens";
}

TEST_F(ArenaTest, MT1_ResolveRefusesWhatIsNotThere) {
  const ArenaSpan span = Put(100);
  EXPECT_EQ(arena.Resolve(kNoChunk, 0, 0), nullptr);
  EXPECT_EQ(arena.Resolve(span.chunk + 1, 0, 0), nullptr);
  EXPECT_EQ(arena.Resolve(span.chunk + 64, 0, 0), nullptr) << "same slot, another chunk";
  EXPECT_NE(arena.Resolve(span.chunk, 0, kChunkBytes - 8), nullptr);
  EXPECT_EQ(arena.Resolve(span.chunk, 0, kChunkBytes - 7), nullptr);
  EXPECT_EQ(arena.Resolve(span.chunk, UINT32_MAX, UINT32_MAX), nullptr);
}

// Rule A11: the chunk was filled while file 1 was current, but its last entry became durable only
// in file 3. Recycling 1 and 2 must not free it.
TEST_F(ArenaTest, MT3_FreedByWhereEntriesLanded) {
  const ChunkNumber chunk = FillChunk();
  const std::uint64_t half = 2;
  arena.NoteDurable(half, 1);
  arena.Free({.recycled_file = 1});
  EXPECT_TRUE(Pinnable(chunk)) << "an entry that has not landed pins its chunk";
  arena.NoteDurable(position, 3);
  arena.Free({.recycled_file = 2});
  EXPECT_TRUE(Pinnable(chunk));
  arena.Free({.recycled_file = 3});
  EXPECT_FALSE(Pinnable(chunk));
}

TEST_F(ArenaTest, MT3_ANewEntryInALandedChunkMakesItUnlanded) {
  const ArenaSpan first = Put(100);
  arena.NoteDurable(position, 1);
  EXPECT_TRUE(arena.AllLanded());
  EXPECT_EQ(Put(100).chunk, first.chunk);
  EXPECT_FALSE(arena.AllLanded());
  arena.Free({.recycled_file = 1, .evict_to_bytes = 0});
  EXPECT_TRUE(Pinnable(first.chunk));
  arena.NoteDurable(position, 2);
  arena.Free({.recycled_file = 1});
  EXPECT_TRUE(Pinnable(first.chunk));
  arena.Free({.recycled_file = 2});
  EXPECT_FALSE(Pinnable(first.chunk));
}

TEST_F(ArenaTest, MT3_EvictionTakesTheOldestDurableOnesOnly) {
  const ChunkNumber oldest = FillChunk();
  const ChunkNumber middle = FillChunk();
  arena.NoteDurable(position, 1);
  const ChunkNumber newest = FillChunk();
  const std::uint64_t live = arena.live_bytes();
  arena.Free({.evict_to_bytes = live - 1});
  EXPECT_FALSE(Pinnable(oldest));
  EXPECT_TRUE(Pinnable(middle));
  arena.Free({.evict_to_bytes = 0});
  EXPECT_FALSE(Pinnable(middle));
  EXPECT_TRUE(Pinnable(newest)) << "not durable";
}

TEST_F(ArenaTest, MT3_APinnedChunkStaysReadableAndCountedUntilUnpinned) {
  const ArenaSpan span = Put("pinned");
  arena.NoteDurable(position, 1);
  {
    const ChunkPin pin(arena, span.chunk);
    ASSERT_TRUE(pin.held());
    EXPECT_EQ(arena.Free({.recycled_file = 1}), 0u);
    EXPECT_FALSE(Pinnable(span.chunk)) << "freed: nobody else may begin to read it";
    EXPECT_EQ(Read(span, 6), "pinned");
    EXPECT_EQ(arena.held_chunks(), 1u);
    EXPECT_EQ(budget.used_bytes(), kChunkBytes);
    EXPECT_NE(Put(10).chunk, span.chunk);
  }
  EXPECT_EQ(arena.Free({}), kChunkBytes);
  EXPECT_EQ(arena.held_chunks(), 0u);
  EXPECT_EQ(arena.Resolve(span.chunk, span.offset, 6), nullptr);
}

TEST_F(ArenaTest, MT3_AnIdleArenaHasNothingMapped) {
  FillChunk();
  FillChunk();
  Put(20'000);
  arena.NoteDurable(position, 4);
  arena.Free({.recycled_file = 4});
  EXPECT_EQ(arena.bytes_used(), 0u);
  EXPECT_EQ(budget.used_bytes(), 0u);
  EXPECT_EQ(Read(Put("again"), 5), "again");
}

// What a WAL file's worth of entries took comes free at once, and the next one needs as much.
TEST_F(ArenaTest, MT3_WhatIsFilledBetweenTwoFreesStaysMapped) {
  constexpr std::uint64_t kFilled = 20;
  const auto fill = [&](std::uint64_t chunks, std::uint64_t file) {
    for (std::uint64_t i = 0; i < chunks; ++i) FillChunk();
    arena.NoteDurable(position, file);
    Put(1000);  // Not durable: the arena is in use.
    (void)arena.Free({.recycled_file = file});
    return arena.bytes_used();
  };
  const std::uint64_t mapped = fill(kFilled, 1);
  EXPECT_GE(mapped, kFilled * kChunkBytes);
  EXPECT_EQ(fill(kFilled, 2), mapped) << "mapped anew";
  (void)fill(1, 3);
  EXPECT_LT(fill(1, 4), mapped / 2) << "kept for nothing";
}

TEST_F(ArenaTest, MT3_FreedChunksServeAgainUnderANewNumber) {
  const ArenaSpan old = Put("old entry");
  FillChunk();
  arena.NoteDurable(position, 1);
  const ArenaSpan live = Put(std::string(2000, 'l'));
  arena.Free({.recycled_file = 1});
  const std::uint64_t mapped = arena.bytes_used();
  const ChunkNumber reused = FillChunk();
  EXPECT_EQ(arena.bytes_used(), mapped) << "memory of a freed chunk was kept";
  EXPECT_GT(reused, old.chunk);
  EXPECT_FALSE(Pinnable(old.chunk)) << "a stale slot cannot pin the memory's next life";
  EXPECT_EQ(Read(live, 2000), std::string(2000, 'l'));
}

TEST_F(ArenaTest, MT3_ALongLivedChunkKeepsItsNumberAmongMany) {
  const ArenaSpan kept = Put(std::string(5000, 'k'));
  const ChunkPin pin(arena, kept.chunk);
  std::vector<ChunkNumber> seen;
  for (std::uint64_t file = 1; file <= 300; ++file) {
    seen.push_back(FillChunk());
    arena.NoteDurable(position, file);
    arena.Free({.recycled_file = file});
    EXPECT_NE(seen.back() % 64, kept.chunk % 64) << "its slot is taken";
  }
  for (std::size_t i = 1; i < seen.size(); ++i) EXPECT_GT(seen[i], seen[i - 1]);
  EXPECT_EQ(Read(kept, 5000), std::string(5000, 'k'));
}

TEST_F(ArenaTest, MT3_TheBudgetRefusesEntriesBeforeRows) {
  std::vector<ArenaSpan> spans;
  Result<ArenaSpan> next = arena.Allocate(40'000, BudgetUse::kEntries);
  for (; next.ok(); next = arena.Allocate(40'000, BudgetUse::kEntries)) spans.push_back(*next);
  EXPECT_EQ(next.error().code, ErrorCode::kOverloaded);
  EXPECT_FALSE(next.error().hint.empty());
  EXPECT_TRUE(arena.Allocate(40'000, BudgetUse::kReserve).ok());
  EXPECT_LE(budget.used_bytes(), budget.limit_bytes());
  // Spans that were never posted go with their chunks.
  arena.NoteDurable(0, 1);
  arena.Free({.recycled_file = 1});
  EXPECT_EQ(budget.used_bytes(), 0u);
  EXPECT_TRUE(arena.Allocate(40'000, BudgetUse::kEntries).ok());
}

TEST_F(ArenaTest, MT3_ChunksAreBoundedInNumberToo) {
  for (int i = 0; i < 64; ++i) {
    EXPECT_TRUE(arena.Allocate(2000, BudgetUse::kReserve).ok());
    EXPECT_TRUE(arena.Allocate(2000, BudgetUse::kReserve).ok());
  }
  const Result<ArenaSpan> over = arena.Allocate(4000, BudgetUse::kReserve);
  ASSERT_FALSE(over.ok());
  EXPECT_EQ(over.error().code, ErrorCode::kOverloaded);
}

TEST_F(ArenaTest, MT3_AnAbsurdLengthIsRefusedByName) {
  const Result<ArenaSpan> absurd = arena.Allocate(UINT64_MAX, BudgetUse::kEntries);
  ASSERT_FALSE(absurd.ok());
  EXPECT_EQ(absurd.error().code, ErrorCode::kTooLarge);
}

TEST_F(ArenaTest, MT1_PinsMove) {
  const ArenaSpan span = Put("moved");
  ChunkPin first(arena, span.chunk);
  ChunkPin second(std::move(first));
  ChunkPin third;
  third = std::move(second);
  EXPECT_TRUE(third.held());
  EXPECT_EQ(third.chunk(), span.chunk);
  arena.NoteDurable(position, 1);
  arena.Free({.recycled_file = 1});
  EXPECT_EQ(arena.held_chunks(), 1u);
  third = ChunkPin();
  arena.Free({});
  EXPECT_EQ(arena.held_chunks(), 0u);
}

}  // namespace
}  // namespace duramen::memtable
