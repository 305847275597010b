// `duramen simulate` and `duramen demo --simulate`: what they say, and the files that they leave.
#include "tools/simulate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/planted.h"
#include "tests/tools/answer.h"
#include "tests/tools/files.h"
#include "tools/check_history.h"
#include "tools/demo_simulated.h"

namespace duramen::tools {
namespace {

using testing::Answer;
using testing::Ask;
using ::testing::HasSubstr;
using testing::TempDir;

TEST(Simulate, CT4_WhatClientsSawIsAFileThatCheckHistoryTakes) {
  const TempDir dir;
  const Answer simulated = Ask([&](Terminal& terminal) {
    return RunSimulate({.seed = 5, .histories = dir.path()}, terminal);
  });
  ASSERT_EQ(simulated.exit, ExitCode::kClean) << simulated.err;
  for (const char* name : {"seed-5-cluster-0-register.jsonl", "seed-5-cluster-0-set.jsonl"}) {
    const Answer checked = Ask([&](Terminal& terminal) {
      return RunCheckHistory({.path = dir.path() + "/" + name}, terminal);
    });
    EXPECT_EQ(checked.exit, ExitCode::kClean) << checked.err;
    EXPECT_THAT(checked.out, HasSubstr(": linearizable\n"));
  }
}

TEST(Simulate, CT4_ADirectoryThatIsNotThereIsSaidSo) {
  const Answer answer = Ask([&](Terminal& terminal) {
    return RunSimulate({.seed = 5, .histories = "/nowhere/at/all"}, terminal);
  });
  EXPECT_NE(answer.exit, ExitCode::kClean);
  EXPECT_THAT(answer.err, HasSubstr("/nowhere/at/all"));
}

TEST(Simulate, CT2_ASettingThatIsNoneIsRefusedWithThoseThereAre) {
  const Answer answer = Ask([&](Terminal& terminal) {
    return RunSimulate({.seed = 5, .settings = {"kill=5"}}, terminal);
  });
  EXPECT_EQ(answer.exit, ExitCode::kUsage);
  EXPECT_THAT(answer.err, HasSubstr("kill_ms"));
}

TEST(Simulate, CT2_SystemsAreToldJudgedAndCounted) {
  const TempDir dir;
  const std::string page = dir.path() + "/soak.md";
  for (int round = 0; round < 2; ++round) {
    const Answer answer = Ask([&](Terminal& terminal) {
      return RunSimulate({.systems = true,
                          .seeds = 2,
                          .tell = true,
                          .histories = dir.path(),
                          .soak = page},
                         terminal);
    });
    ASSERT_EQ(answer.exit, ExitCode::kClean) << answer.out << answer.err;
    EXPECT_THAT(answer.out, HasSubstr("all heals"));
    EXPECT_THAT(answer.out, HasSubstr("nothing went wrong, trace "));
  }
  const std::string text = testing::ReadAll(page);
  EXPECT_THAT(text, HasSubstr("--systems"));
  EXPECT_THAT(text, HasSubstr(" | 1-2 |\n"));
  EXPECT_THAT(text, HasSubstr(" | 3-4 |\n"));
  const Answer checked = Ask([&](Terminal& terminal) {
    return RunCheckHistory({.path = dir.path() + "/seed-1-cluster-0-register.jsonl"}, terminal);
  });
  EXPECT_EQ(checked.exit, ExitCode::kClean) << checked.err;
}

TEST(Simulate, CT2_SystemsHaveSettingsOfTheirOwn) {
  const Answer answer = Ask([&](Terminal& terminal) {
    return RunSimulate({.systems = true, .seed = 5, .settings = {"rot_ms=5"}}, terminal);
  });
  EXPECT_EQ(answer.exit, ExitCode::kUsage);
  EXPECT_THAT(answer.err, HasSubstr("throw_ms"));
}

#if defined(DURAMEN_PLANTED_BUGS)
TEST(Simulate, CT2_ALifeOfSystemsThatFailsIsMadeSmallAndSaysWhatReplaysIt) {
  Plant(PlantedBug::kFollowerActs);
  const Answer answer = Ask([&](Terminal& terminal) {
    return RunSimulate({.systems = true, .seed = 1}, terminal);
  });
  Plant(PlantedBug::kNone);
  EXPECT_EQ(answer.exit, ExitCode::kDamage);
  EXPECT_THAT(answer.out, HasSubstr("seed 1 fails: "));
  EXPECT_THAT(answer.out, HasSubstr("duramen simulate --systems --seed 1 --set trouble_ms="));
}
#endif

TEST(Simulate, CT2_TheDemoTellsALifeAndEndsInItsVerdicts) {
  const Answer answer =
      Ask([&](Terminal& terminal) { return RunSimulatedDemo({.seed = 3}, terminal); });
  EXPECT_EQ(answer.exit, ExitCode::kClean) << answer.out;
  for (const char* told : {"leads in term", "loses power", "entries committed", "all heals",
                           "with one answer altered it is not", "trace "}) {
    EXPECT_THAT(answer.out, HasSubstr(told));
  }
}

}  // namespace
}  // namespace duramen::tools
