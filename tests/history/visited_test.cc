#include "history/visited.h"

#include <gtest/gtest.h>

#include "base/rng.h"

namespace duramen::history {
namespace {

using Key = std::vector<std::uint64_t>;

TEST(Visited, CT4_KeysAreTheSameOnlyIfAllTheirWordsAre) {
  Visited visited(1ULL << 30);
  const Key keys[] = {{}, {0}, {0, 0}, {0, 1}, {1, 0}, {1}};
  for (const Key& key : keys) EXPECT_EQ(visited.Insert(key), Visited::Answer::kNew);
  for (const Key& key : keys) EXPECT_EQ(visited.Insert(key), Visited::Answer::kSeen);
  EXPECT_EQ(visited.size(), std::size(keys));
}

/// Over many doublings of the table.
TEST(Visited, CT4_AHundredThousandKeysAreAllKept) {
  constexpr std::uint64_t kKeys = 100'000;
  Visited visited(1ULL << 30);
  for (std::uint64_t i = 0; i < kKeys; ++i) {
    ASSERT_EQ(visited.Insert(Key{i % 7, i}), Visited::Answer::kNew) << i;
  }
  for (std::uint64_t i = 0; i < kKeys; i += 11) {
    ASSERT_EQ(visited.Insert(Key{i % 7, i}), Visited::Answer::kSeen) << i;
    ASSERT_EQ(visited.Insert(Key{i % 7, i, 0}), Visited::Answer::kNew) << i;
  }
}

TEST(Visited, CT4_MemoryEndsBeforeItsLimit) {
  constexpr std::uint64_t kLimit = 8 << 20;
  Visited visited(kLimit);
  std::uint64_t i = 0;
  while (visited.Insert(Key{i}) == Visited::Answer::kNew) ++i;
  EXPECT_EQ(visited.Insert(Key{i}), Visited::Answer::kFull);
  EXPECT_EQ(visited.Insert(Key{0}), Visited::Answer::kFull);  // It does not look any more.
  EXPECT_LE(visited.memory_bytes(), kLimit);
  EXPECT_GT(i, 50'000U);
}

TEST(Visited, CT4_TheLongestKeyFits) {
  Visited visited(1ULL << 30);
  const Key longest(Visited::kKeyWordsMax, 7);
  EXPECT_EQ(visited.Insert(longest), Visited::Answer::kNew);
  EXPECT_EQ(visited.Insert(longest), Visited::Answer::kSeen);
}

}  // namespace
}  // namespace duramen::history
