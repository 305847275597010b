// `duramen simulate` and `duramen demo --simulate`: what they say, and the files that they leave.
#include "tools/simulate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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
