// A thousand fresh lives with every commit, and those that ever failed. This is one half of them;
// the other has a process of its own.
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <string>

#include "simulator/run.h"

namespace duramen::simulator {
namespace {

constexpr std::uint64_t kFirstSeed = 10'000;
constexpr std::uint64_t kSeeds = 350;

void ExpectClean(std::uint64_t seed, Tally& tally) {
  const Outcome outcome = RunSeed(seed, DrawSettings(seed));
  tally.Add(outcome.tally);
  EXPECT_EQ(outcome.verdict, "") << "replay: duramen simulate --seed " << seed;
}

TEST(SimulatorSeeds, CT2_NothingGoesWrongInManyLives) {
  Tally tally;
  for (std::uint64_t seed = kFirstSeed + DURAMEN_HALF; seed < kFirstSeed + kSeeds; seed += 2) {
    ExpectClean(seed, tally);
  }
  std::printf("%s\n", tally.ToText().c_str());
  // Lives in which nothing happens show nothing.
  EXPECT_GT(tally.elections, 500U);
  EXPECT_GT(tally.commits, 20'000U);
  EXPECT_GT(tally.overwritten, 20U);
  EXPECT_GT(tally.kills, 200U);
  EXPECT_GT(tally.power_losses, 200U);
  EXPECT_GT(tally.partitions, 200U);
  EXPECT_GT(tally.healed_servers, 10U);
  EXPECT_GT(tally.changes, 100U);
  EXPECT_GT(tally.unknown * 25, tally.operations);  // 4 % at least
}

TEST(SimulatorSeeds, CT2_WhatFailedOnceIsWellNow) {
  std::ifstream file(DURAMEN_SOURCE_DIR "/tests/simulator/failed_seeds.txt");
  Tally tally;
  std::uint64_t count = 0;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    if (count++ % 2 == DURAMEN_HALF) ExpectClean(std::stoull(line), tally);
  }
  EXPECT_GE(count, 5U);
}

}  // namespace
}  // namespace duramen::simulator
