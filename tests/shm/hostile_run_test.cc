// Three seconds of what `./run hostile` does for ten minutes.
#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/shm/process.h"
#include "tests/shm/hostile_run.h"

namespace duramen::shm::testing {
namespace {

TEST(HostileRun, P4_SW2_AClientThatScribblesIsCutOffAndNobodyElseNotices) {
  const std::string directory = RunDirectory();
  const HostileRun run = RunHostile({.host = DURAMEN_HOSTILE_HOST,
                                     .honest = DURAMEN_KILL_CLIENT,
                                     .hostile = DURAMEN_HOSTILE_CLIENT,
                                     .directory = directory + "/run",
                                     .seed = 7,
                                     .seconds = 3});
  ::rmdir(directory.c_str());
  EXPECT_EQ(run.wrong, "");
  EXPECT_GT(run.acknowledged, 0u);
  EXPECT_GT(run.cut_off.size(), 3u) << "it is cut off for several reasons";
}

}  // namespace
}  // namespace duramen::shm::testing
