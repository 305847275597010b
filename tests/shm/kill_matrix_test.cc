// A slice of the kill matrix (kill_matrix.cc): each step alone, and pairs that take turns. Other
// pairs and repetitions: `./run kill-matrix`.
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "tests/shm/process.h"
#include "tests/shm/kill_model.h"
#include "tests/shm/kill_run.h"

namespace duramen::shm::testing {
namespace {

std::string ModelSays(const std::vector<std::string>& ops, std::uint64_t acked,
                      const std::string& found) {
  KillModel model;
  for (const std::string& op : ops) model.OnOp(op);
  model.OnAck(acked);
  States states;
  const std::string wrong = ReadLogLine(found, states);
  return wrong.empty() ? model.OnOpen(states) : wrong;
}

const std::vector<std::string> kOps = {"op a0 entry 1 1 x", "op a0 entry 2 1 y", "op a0 vote 3 0 v",
                                       "op a0 entry 2 2 z", "op a0 prefix 2 0 p"};

TEST(KillModel, SW2_WhatStandsIsAPrefixThatHasAllThatWasAcknowledged) {
  EXPECT_EQ(ModelSays(kOps, 0, "log a0 1 1 0"), "");
  EXPECT_EQ(ModelSays(kOps, 2, "log a0 1 3 0 1:x 1:y"), "");
  EXPECT_EQ(ModelSays(kOps, 2, "log a0 1 3 3 1:x 2:z"), "");
  EXPECT_EQ(ModelSays(kOps, 5, "log a0 2 3 3 2:z"), "");
}

TEST(KillModel, SW2_WhatWasLostDoubledOrInventedIsFound) {
  EXPECT_NE(ModelSays(kOps, 2, "log a0 1 2 0 1:x"), "") << "acknowledged and lost";
  EXPECT_NE(ModelSays(kOps, 0, "log a0 1 4 0 1:x 1:y 1:y"), "") << "doubled";
  EXPECT_NE(ModelSays(kOps, 0, "log a0 1 3 0 1:y 1:x"), "") << "out of order";
  EXPECT_NE(ModelSays(kOps, 0, "log a0 1 3 0 1:x 2:z"), "") << "without the vote before it";
  EXPECT_NE(ModelSays(kOps, 0, "log a0 1 2 0 1:w"), "") << "nobody wrote it";
  EXPECT_NE(ModelSays(kOps, 0, "log a0 1 2 0 1:bad"), "") << "bytes that nobody wrote";
  EXPECT_NE(ModelSays(kOps, 0, "log b7 1 2 0 1:x"), "") << "a log that nobody made";
}

#if defined(DURAMEN_PLANTED_BUGS)

KillRunOptions Options(const std::string& directory, std::vector<Kill> kills) {
  return {.duramen = DURAMEN_BINARY,
          .client = DURAMEN_KILL_CLIENT,
          .directory = directory + "/run",
          .kills = std::move(kills)};
}

KillStep StepAt(std::size_t number) { return static_cast<KillStep>(number); }

/// Each of that side alone; how many there are.
int EachAlone(KillSide side) {
  const std::string directory = RunDirectory();
  int steps = 0;
  for (std::size_t i = 0; i < kKillSteps; ++i) {
    if (kKillStepFacts[i].side != side) continue;
    ++steps;
    EXPECT_EQ(RunKills(Options(directory, {{StepAt(i)}})), "") << kKillStepFacts[i].name;
  }
  ::rmdir(directory.c_str());
  return steps;
}

TEST(KillMatrix, P1_SW2_AClientThatEndsAtAnyStep) { EXPECT_GE(EachAlone(KillSide::kClient), 30); }

TEST(KillMatrix, P2_SW3_AWalProcessThatEndsAtAnyStep) {
  EXPECT_GE(EachAlone(KillSide::kHost), 40);
}

/// Every step has its turn with one of the other side, and after one of its own.
TEST(KillMatrix, P3_SW3_BothEndAndOneEndsTwice) {
  constexpr std::size_t kStride = 29;  // has no divisor in common with the number of steps
  const std::string directory = RunDirectory();
  for (std::size_t i = 0; i < kKillSteps; ++i) {
    const std::size_t other = (i * kStride + 7) % kKillSteps;
    const std::vector<Kill> kills = {{StepAt(i)}, {StepAt(other)}};
    EXPECT_EQ(RunKills(Options(directory, kills)), "")
        << kKillStepFacts[i].name << "," << kKillStepFacts[other].name;
  }
  ::rmdir(directory.c_str());
}

#endif

TEST(KillMatrix, P2_EachStepStandsInTheReadme) {
  std::ifstream file(DURAMEN_SOURCE_DIR "/shm/README.md");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  for (const KillStepFacts& facts : kKillStepFacts) {
    EXPECT_NE(text.find("`" + std::string(facts.name) + "`"), std::string::npos) << facts.name;
  }
}

}  // namespace
}  // namespace duramen::shm::testing
