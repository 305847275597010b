// Whole systems in one seeded order, with clients, administrators and trouble: fresh lives with
// every commit, whose hash says which, those that ever failed, and the honesty of it.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <string>

#include "base/planted.h"
#include "simulator/systems_run.h"

namespace duramen::simulator {
namespace {

constexpr std::uint64_t kSeeds = 300;

/// Of this commit: others have others. A tree without git has the first ones.
std::uint64_t FirstSeed() {
  const std::string commit = DURAMEN_COMMIT;
  return commit.empty() ? 1 : 1'000'000 + kSeeds * std::stoull(commit.substr(0, 7), nullptr, 16);
}

void ExpectClean(std::uint64_t seed, SystemsTally& tally, const std::string& settings = "") {
  const SystemsOutcome outcome = RunSystemsSeed(seed, SystemsSettingsOf(seed, settings));
  tally.Add(outcome.tally);
  EXPECT_EQ(outcome.verdict, "") << "replay: duramen simulate --systems --seed " << seed
                                 << " --set " << settings;
}

TEST(SimulatedSystems, CT2_CM1_CM2_CM6_CL6_CL8_SM5_RD5_R12_NothingGoesWrongInManyLives) {
  SystemsTally tally;
  const std::uint64_t first = FirstSeed();
  for (std::uint64_t seed = first; seed < first + kSeeds; ++seed) ExpectClean(seed, tally);
  std::printf("seeds from %llu: %s\n", static_cast<unsigned long long>(first),
              tally.ToText().c_str());
  // Lives in which nothing happens show nothing.
  EXPECT_GT(tally.kills, 200U);
  EXPECT_GT(tally.power_losses, 200U);
  EXPECT_GT(tally.partitions, 200U);
  EXPECT_GT(tally.closes, 50U);
  EXPECT_GT(tally.stops, 100U);
  EXPECT_GT(tally.wiped, 0U);
  EXPECT_GT(tally.replaced, 0U);
  EXPECT_GT(tally.changes, 30U);
  EXPECT_GT(tally.deletions, 50U);
  EXPECT_GT(tally.thrown, 10U);
  EXPECT_GT(tally.acknowledged, 30'000U);
  EXPECT_GT(tally.own_reads, 2'000U);
  EXPECT_GT(tally.effects, 10'000U);
  EXPECT_GT(tally.messages, 2'000U);
  EXPECT_GT(tally.retries, 1'000U);
  EXPECT_GT(tally.unknown, 200U);
}

TEST(SimulatedSystems, CT2_WhatFailedOnceIsWellNow) {
  std::ifstream file(DURAMEN_SOURCE_DIR "/tests/simulator/failed_systems.txt");
  ASSERT_TRUE(file.good());
  SystemsTally tally;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    // "SEED" or "SEED NAME=VALUE NAME=VALUE"
    ExpectClean(std::stoull(line), tally, line.substr(std::min(line.find(' '), line.size())));
  }
}

TEST(SimulatedSystems, CT2_ASeedSaysEverything) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    const SystemsSettings settings = DrawSystemsSettings(seed);
    const SystemsOutcome one = RunSystemsSeed(seed, settings);
    const SystemsOutcome other = RunSystemsSeed(seed, settings);
    EXPECT_EQ(one.trace_hash, other.trace_hash) << seed;
    EXPECT_EQ(one.tally.ToText(), other.tally.ToText()) << seed;
    EXPECT_NE(one.trace_hash, RunSystemsSeed(seed + 100, settings).trace_hash) << seed;
  }
}

struct Plant {
  const char* name;
  PlantedBug bug;
  std::uint64_t first;  // the seed that is tried first
  std::uint64_t seeds;  // at most
  std::string settings = "";
};

/// Runs `seed` in a child process, since it may end in a CHECK; whether it failed there.
bool Fails(const Plant& plant, std::uint64_t seed, PlantedBug bug) {
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    if (freopen("/dev/null", "w", stderr) == nullptr) _exit(9);
#if defined(DURAMEN_PLANTED_BUGS)
    duramen::Plant(bug);
#endif
    const SystemsOutcome outcome = RunSystemsSeed(seed, SystemsSettingsOf(seed, plant.settings));
    std::printf("  seed %llu: %s\n", static_cast<unsigned long long>(seed),
                outcome.verdict.substr(0, outcome.verdict.find('\n')).c_str());
    std::fflush(stdout);
    _exit(outcome.verdict.empty() ? 0 : 1);
  }
  int status = 0;
  if (waitpid(child, &status, 0) != child) return false;
  return !WIFEXITED(status) || WEXITSTATUS(status) == 1;
}

class SystemsPlanted : public testing::TestWithParam<Plant> {};

TEST_P(SystemsPlanted, CT2_IsCaught) {
  const Plant& plant = GetParam();
  std::uint64_t seed = plant.first;
  while (seed < plant.first + plant.seeds && !Fails(plant, seed, plant.bug)) ++seed;
  ASSERT_LT(seed, plant.first + plant.seeds) << "not within " << plant.seeds << " seeds";
  EXPECT_FALSE(Fails(plant, seed, PlantedBug::kNone)) << "seed " << seed << " without it";
}

/// One cluster of three in a sound world; all that a plant's settings leave out.
const std::string kCalm =
    "clients=10 nodes=3 members=3 clusters=1 keys=1 lanes=1 think_ms=10 trouble_ms=20000 "
    "workers=2 shards=1 wal_file_kb=64 in_session=50 delay_us=500 loss=0 straggle=0 "
    "detect_ms=5000 partition_ms=0 kill_ms=0 power_ms=0 close_ms=0 pause_ms=0 disk_us=0 "
    "disk_error_ms=0 disk_full_ms=0 stall_ms=0 dsync=0 packed=0 narrow=0 relays=0 transfer_ms=0 "
    "election_ms=0 stop_ms=0 change_ms=0 found_ms=0 throw_ms=0 wipe_ms=0 dying=0 ";
/// Leaders that do not know that there is another.
const std::string kCut = kCalm + "partition_ms=1500 ";

const Plant kPlants[] = {
    // Of the runtime.
    {"RetryRunsAgain", PlantedBug::kRetryRunsAgain, 1, 30},
    {"FollowerActs", PlantedBug::kFollowerActs, 1, 30},
    {"AwayNotAwaited", PlantedBug::kAwayNotAwaited, 1, 100},
    {"TokenIgnored", PlantedBug::kTokenIgnored, 1, 30},
    {"LostSaidNotDone", PlantedBug::kLostSaidNotDone, 140, 150,
     kCalm + "in_session=0 election_ms=100 delay_us=20000 change_ms=100 think_ms=20 clients=5 "
             "nodes=5 partition_ms=300 detect_ms=300 stop_ms=300"},
    // Of what is below it.
    {"SessionByHighest", PlantedBug::kSessionByHighest, 1, 100},
    {"NoSyncBeforeAck", PlantedBug::kNoSyncBeforeAck, 1, 100},
    {"UnwrittenAcknowledged", PlantedBug::kUnwrittenAcknowledged, 15, 100,
     kCalm + "power_ms=300 disk_us=20000 think_ms=5 trouble_ms=8000 detect_ms=100"},
    {"ReadBeforeNoOp", PlantedBug::kReadBeforeNoOp, 20, 150},
    {"TailNotTruncated", PlantedBug::kTailNotTruncated, 1, 100},
    {"QuorumOffByOne", PlantedBug::kQuorumOffByOne, 1, 100},
    {"ReadWithoutRound", PlantedBug::kReadWithoutRound, 1, 100, kCut},
};

INSTANTIATE_TEST_SUITE_P(Bugs, SystemsPlanted, testing::ValuesIn(kPlants),
                         [](const auto& tested) { return std::string(tested.param.name); });

}  // namespace
}  // namespace duramen::simulator
