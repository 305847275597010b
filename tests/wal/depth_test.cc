// The depth of direct writes follows what it gains.
#include "wal/depth.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace duramen::wal {
namespace {

/// Batches of 64 KiB on a device that does `side_by_side` writes of 1 ms at once.
std::uint32_t DepthAfter(std::uint32_t depth_max, double side_by_side, int batches,
                         bool held_back = true) {
  DepthClimber climber(depth_max);
  double now_ns = 1e9;
  for (int i = 0; i < batches; ++i) {
    now_ns += 1e6 / std::min<double>(climber.depth(), side_by_side);
    climber.OnBatch(64 << 10, static_cast<std::int64_t>(now_ns), held_back);
  }
  return climber.depth();
}

TEST(DepthClimber, PW2_ClimbsWhereEachStepGains) {
  EXPECT_EQ(DepthAfter(4, 100, 600), 4u);
  EXPECT_EQ(DepthAfter(8, 100, 1200), 8u);
}

TEST(DepthClimber, PW2_StaysWhereNothingIsGained) {
  int above = 0;
  for (int batches = 200; batches < 2000; batches += 100) above += DepthAfter(4, 1, batches) > 1;
  EXPECT_LE(above, 3) << "only while one more is tried";
}

TEST(DepthClimber, PW2_StopsWhereTheDeviceStops) {
  int there = 0;
  for (int batches = 1000; batches < 3000; batches += 100) there += DepthAfter(8, 3, batches) == 3;
  EXPECT_GE(there, 15);
}

TEST(DepthClimber, ComesDownWhenTheDeviceChanges) {
  DepthClimber climber(4);
  double now_ns = 1e9;
  const auto run = [&](double side_by_side, int batches) {
    for (int i = 0; i < batches; ++i) {
      now_ns += 1e6 / std::min<double>(climber.depth(), side_by_side);
      climber.OnBatch(64 << 10, static_cast<std::int64_t>(now_ns), true);
    }
  };
  run(100, 1000);
  ASSERT_GE(climber.depth(), 3u);
  run(1, 12'000);
  EXPECT_LE(climber.depth(), 2u);
}

TEST(DepthClimber, AnIdlePipeTeachesNothing) { EXPECT_EQ(DepthAfter(4, 100, 2000, false), 1u); }

TEST(DepthClimber, OneIsTheLeast) { EXPECT_EQ(DepthAfter(1, 100, 2000), 1u); }

}  // namespace
}  // namespace duramen::wal
