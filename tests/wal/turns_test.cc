#include "wal/turns.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <vector>

namespace duramen::wal {
namespace {

constexpr std::uint64_t kRecordBytes = 1000;

/// Rings with so much in each, and what was taken of each in the order in which it was.
class Rings {
 public:
  Rings(std::vector<const void*> owners, std::vector<std::uint64_t> records)
      : owners_(std::move(owners)), left_(std::move(records)) {
    turns_.Reset(owners_);
  }
  /// A batch of at most so many records.
  void Drain(std::uint64_t records) {
    std::uint64_t room = records;
    turns_.Run([&](std::size_t ring, std::uint64_t bytes) -> Turns::Taken {
      std::uint64_t taken = 0;
      while (left_[ring] > 0 && taken < bytes) {
        if (room == 0) return {taken, true};
        --room;
        --left_[ring];
        taken += kRecordBytes;
        ++of_owner_[owners_[ring]];
        ++of_ring_[ring];
      }
      return {taken, false};
    });
  }
  std::uint64_t of_owner(const void* owner) { return of_owner_[owner]; }
  std::uint64_t of_ring(std::size_t ring) { return of_ring_[ring]; }
  Turns& turns() { return turns_; }

 private:
  const std::vector<const void*> owners_;
  std::vector<std::uint64_t> left_;
  std::map<const void*, std::uint64_t> of_owner_;
  std::map<std::size_t, std::uint64_t> of_ring_;
  Turns turns_;
};

constexpr std::uint64_t kOfATurn = Turns::kQuantumBytes / kRecordBytes + 1;
constexpr std::uint64_t kMuch = 1'000'000;

TEST(Turns, B7_AClientOfManyRingsHasNoMoreTurnsThanOneOfOne) {
  const int many = 0;
  const int one = 0;
  std::vector<const void*> owners(16, &many);
  owners.push_back(&one);
  for (const std::uint64_t batch : {std::uint64_t{100}, std::uint64_t{977}, kOfATurn, kMuch / 2}) {
    Rings rings(owners, std::vector<std::uint64_t>(17, kMuch));
    for (std::uint64_t drained = 0; drained < kMuch; drained += batch) rings.Drain(batch);
    const std::uint64_t most = std::max(rings.of_owner(&many), rings.of_owner(&one));
    const std::uint64_t least = std::min(rings.of_owner(&many), rings.of_owner(&one));
    EXPECT_LE(most - least, 2 * kOfATurn) << batch;
    const auto [low, high] = [&] {
      std::vector<std::uint64_t> each;
      for (std::size_t ring = 0; ring < 16; ++ring) each.push_back(rings.of_ring(ring));
      const auto ends = std::ranges::minmax_element(each);
      return std::pair(*ends.min, *ends.max);
    }();
    EXPECT_GT(low, 0u) << batch;
    EXPECT_LE(high - low, 2 * kOfATurn) << "and its rings share its turns";
  }
}

TEST(Turns, B7_ABatchThatIsFullAtTheEndOfATurnHoldsNobodyUp) {
  const int owner = 0;
  for (const std::uint64_t batch : {kOfATurn, std::uint64_t{1}, kOfATurn - 1}) {
    Rings alone({&owner}, {kMuch});
    for (std::uint64_t drained = batch; drained < 100 * kOfATurn; drained += batch) {
      alone.Drain(batch);
      ASSERT_EQ(alone.of_owner(&owner), drained) << batch;
    }
  }
}

TEST(Turns, B7_WhoHasLittleWaitsForOneTurnOfEachOther) {
  const int owners[3] = {};
  Rings rings({&owners[0], &owners[0], &owners[1], &owners[2]}, {kMuch, kMuch, kMuch, 3});
  rings.Drain(2 * kOfATurn + 3);
  EXPECT_EQ(rings.of_owner(&owners[2]), 3u);
}

TEST(Turns, B7_WhatOneRingLeavesOfATurnAnotherOfTheSameOwnerHas) {
  const int owners[2] = {};
  std::vector<const void*> of_ring(10, &owners[0]);
  of_ring.push_back(&owners[1]);
  std::vector<std::uint64_t> records(10, 2);
  records.push_back(kMuch);
  Rings rings(of_ring, records);
  rings.Drain(20 + kOfATurn);
  EXPECT_EQ(rings.of_owner(&owners[0]), 20u);
}

TEST(Turns, B7_EverythingIsTakenWhereThereIsRoom) {
  const int owners[2] = {};
  Rings rings({&owners[0], &owners[1], &owners[0]}, {500, 3, 700});
  rings.Drain(kMuch);
  EXPECT_EQ(rings.of_owner(&owners[0]), 1200u);
  EXPECT_EQ(rings.of_owner(&owners[1]), 3u);
}

TEST(Turns, B7_WhoComesAndGoesChangesNothingForTheOthers) {
  Turns turns;
  const auto none = [](std::size_t, std::uint64_t) { return Turns::Taken(); };
  turns.Run(none);
  const int owners[2] = {};
  const std::vector<const void*> both = {&owners[0], &owners[1]};
  turns.Reset(both);
  std::vector<std::size_t> first;
  const auto once = [&](std::size_t ring, std::uint64_t) -> Turns::Taken {
    first.push_back(ring);
    return {0, true};
  };
  turns.Run(once);
  turns.Reset(both);
  turns.Run(once);
  EXPECT_EQ(first[0], first[1]) << "whose turn was cut short goes on";
  turns.Reset({});
  turns.Run(none);
}

}  // namespace
}  // namespace duramen::wal
