// The honesty of the simulator: each planted bug is caught within a stated number of seeds. Each
// runs in a child process, because it may end in a CHECK; an abort counts as caught.
#include "base/planted.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <string>

#include "simulator/run.h"

namespace duramen::simulator {
namespace {

struct Plant {
  const char* name;
  PlantedBug bug;
  std::uint64_t first;  // the seed that is tried first: where it takes something rare, the one that
                        // has it early
  std::uint64_t seeds;  // at most
  const char* settings = "";  // "name=value name=value"
};

Settings SettingsOf(const Plant& plant, std::uint64_t seed) {
  Settings settings = DrawSettings(seed);
  std::string text = plant.settings;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    const std::string one = text.substr(0, end);
    const std::size_t equals = one.find('=');
    SetByName(settings, one.substr(0, equals), std::stoull(one.substr(equals + 1)));
    text.erase(0, end + 1);
  }
  return settings;
}

/// The seed that caught it, or 0.
std::uint64_t FirstFailing(const Plant& plant) {
  for (std::uint64_t seed = plant.first; seed < plant.first + plant.seeds; ++seed) {
    std::fflush(nullptr);
    const pid_t child = fork();
    if (child == 0) {
      if (freopen("/dev/null", "w", stderr) == nullptr) _exit(9);
#if defined(DURAMEN_PLANTED_BUGS)
      duramen::Plant(plant.bug);
#endif
      _exit(RunSeed(seed, SettingsOf(plant, seed)).verdict.empty() ? 0 : 1);
    }
    int status = 0;
    if (waitpid(child, &status, 0) != child) return 0;
    if (!WIFEXITED(status) || WEXITSTATUS(status) == 1) return seed;
  }
  return 0;
}

class SimulatorPlanted : public testing::TestWithParam<Plant> {};

TEST_P(SimulatorPlanted, CT2_IsCaught) {
  const std::uint64_t seed = FirstFailing(GetParam());
  EXPECT_NE(seed, 0U) << "not within " << GetParam().seeds << " seeds";
  std::printf("%s: seed %llu\n", GetParam().name, static_cast<unsigned long long>(seed));
}

const Plant kPlants[] = {
    {"VoteNotDurable", PlantedBug::kVoteNotDurable, 10, 10},
    {"UnwrittenAcknowledged", PlantedBug::kUnwrittenAcknowledged, 24, 10},
    {"TailNotTruncated", PlantedBug::kTailNotTruncated, 4, 10},
    {"QuorumOffByOne", PlantedBug::kQuorumOffByOne, 13, 10},
    {"LogNotCompared", PlantedBug::kLogNotCompared, 9, 10},
    {"ChangeAtCommit", PlantedBug::kChangeAtCommit, 4, 10},
};

INSTANTIATE_TEST_SUITE_P(Bugs, SimulatorPlanted, testing::ValuesIn(kPlants),
                         [](const auto& tested) { return std::string(tested.param.name); });

}  // namespace
}  // namespace duramen::simulator
