// A thousand fresh lives with every commit, whose hash says which, and those that ever failed. This
// is one half of them; the other has a process of its own.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <string>

#include "simulator/run.h"

namespace duramen::simulator {
namespace {

constexpr std::uint64_t kSeeds = 1000;

/// Of this commit: others have others. A tree without git has the first thousand.
std::uint64_t FirstSeed() {
  const std::string commit = DURAMEN_COMMIT;
  return commit.empty() ? 1 : 1'000'000 + kSeeds * std::stoull(commit.substr(0, 7), nullptr, 16);
}

void ExpectClean(std::uint64_t seed, Tally& tally, const std::string& settings = "") {
  const Outcome outcome = RunSeed(seed, SettingsOf(seed, settings));
  tally.Add(outcome.tally);
  EXPECT_EQ(outcome.verdict, "") << "replay: duramen simulate --seed " << seed << " --set "
                                 << settings;
}

TEST(SimulatorSeeds, CT2_CM2_R8_R12_R19_R23_NothingGoesWrongInManyLives) {
  Tally tally;
  const std::uint64_t first = FirstSeed();
  for (std::uint64_t seed = first + DURAMEN_HALF; seed < first + kSeeds; seed += 2) {
    ExpectClean(seed, tally);
  }
  std::printf("seeds from %llu: %s\n", static_cast<unsigned long long>(first),
              tally.ToText().c_str());
  // Lives in which nothing happens show nothing.
  EXPECT_GT(tally.elections, 500U);
  EXPECT_GT(tally.commits, 20'000U);
  EXPECT_GT(tally.overwritten, 20U);
  EXPECT_GT(tally.kills, 200U);
  EXPECT_GT(tally.power_losses, 200U);
  EXPECT_GT(tally.partitions, 200U);
  EXPECT_GT(tally.faulty_servers, 0U);
  EXPECT_GT(tally.healed_servers, 0U);
  EXPECT_GT(tally.replaced_servers, 10U);
  EXPECT_GT(tally.changes, 100U);
  EXPECT_GT(tally.unknown * 25, tally.operations);  // 4 % at least
}

TEST(SimulatorSeeds, CT2_WhatFailedOnceIsWellNow) {
  std::ifstream file(DURAMEN_SOURCE_DIR "/tests/simulator/failed_seeds.txt");
  Tally tally;
  std::uint64_t count = 0;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    // "SEED" or "SEED NAME=VALUE NAME=VALUE"
    const std::string settings = line.substr(std::min(line.find(' '), line.size()));
    if (count++ % 2 == DURAMEN_HALF) ExpectClean(std::stoull(line), tally, settings);
  }
  EXPECT_GE(count, 5U);
}

}  // namespace
}  // namespace duramen::simulator
