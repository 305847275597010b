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
  std::string settings = "";  // instead of what the seed draws: "name=value name=value"
};

/// Runs `seed` in a child process; whether it failed there.
bool Fails(const Plant& plant, std::uint64_t seed, PlantedBug bug) {
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    if (freopen("/dev/null", "w", stderr) == nullptr) _exit(9);
#if defined(DURAMEN_PLANTED_BUGS)
    duramen::Plant(bug);
#endif
    const Outcome outcome = RunSeed(seed, SettingsOf(seed, plant.settings));
    std::printf("  seed %llu after %llu s: %s\n", static_cast<unsigned long long>(seed),
                static_cast<unsigned long long>(outcome.tally.seconds),
                outcome.verdict.substr(0, outcome.verdict.find('\n')).c_str());
    std::fflush(stdout);
    _exit(outcome.verdict.empty() ? 0 : 1);
  }
  int status = 0;
  if (waitpid(child, &status, 0) != child) return false;
  return !WIFEXITED(status) || WEXITSTATUS(status) == 1;
}

/// The seed that caught it, or 0.
std::uint64_t FirstFailing(const Plant& plant) {
  for (std::uint64_t seed = plant.first; seed < plant.first + plant.seeds; ++seed) {
    if (Fails(plant, seed, plant.bug)) return seed;
  }
  return 0;
}

class SimulatorPlanted : public testing::TestWithParam<Plant> {};

TEST_P(SimulatorPlanted, CT2_IsCaught) {
  const std::uint64_t seed = FirstFailing(GetParam());
  ASSERT_NE(seed, 0U) << "not within " << GetParam().seeds << " seeds";
  EXPECT_FALSE(Fails(GetParam(), seed, PlantedBug::kNone)) << "seed " << seed << " without it";
}

/// One cluster of three in a sound world; all that a plant's settings leave out.
const std::string kCalm =
    "trouble_ms=60000 nodes=3 members=3 clusters=1 clients=10 think_ms=30 keys=2 delay_us=2000 "
    "loss=0 doubling=0 partition_ms=0 clog_ms=0 kill_ms=0 power_ms=0 pause_ms=0 drift=0 disk_us=0 "
    "disk_error_ms=0 disk_full_ms=0 rot_ms=0 wipe_ms=0 change_ms=0 transfer_ms=0 "
    "lease_margin_ms=10 append_max=128 pipeline_max=4096 quiet=0 wal_file_kb=64 lanes=1 "
    "straggle=0 hunt_ms=0 lasting_ms=0 stall_ms=0 late_us=0 roam=0 reads=0 dsync=0 packed=0 "
    "failover=0 shorten=0 latent=0 dying=0 crowd=0 "
    "tight=0 shards=1 scribe_ms=0 inspect=0 repair=0 harm_ms=0 tend_ms=0 stillborn=0 ";
/// Leaders that are struck while clients mostly read, by lease, anywhere.
const std::string kReaders =
    kCalm + "hunt_ms=1500 lasting_ms=1500 delay_us=500 roam=2 reads=95 think_ms=20 ";
/// Leaders in quick succession, none of which gets its work done.
const std::string kHunted = kCalm + "nodes=5 members=5 hunt_ms=200 ";

const Plant kPlants[] = {
    // What ordinary lives find.
    {"VoteNotDurable", PlantedBug::kVoteNotDurable, 3, 20},
    {"VoteDropped", PlantedBug::kVoteDropped, 1, 20},
    {"UnwrittenAcknowledged", PlantedBug::kUnwrittenAcknowledged, 1, 20},
    {"TailNotTruncated", PlantedBug::kTailNotTruncated, 5, 30},
    {"QuorumOffByOne", PlantedBug::kQuorumOffByOne, 4, 20},
    {"LogNotCompared", PlantedBug::kLogNotCompared, 1, 30},
    {"ChangeAtCommit", PlantedBug::kChangeAtCommit, 4, 20},
    {"ChangeNotReverted", PlantedBug::kChangeNotReverted, 38, 100,
     "scribe_ms=0 harm_ms=0 tend_ms=0 stillborn=0"},
    {"ReadBeforeNoOp", PlantedBug::kReadBeforeNoOp, 36, 100},
    {"WipedMemberVotes", PlantedBug::kWipedMemberVotes, 4, 30},
    {"SessionByHighest", PlantedBug::kSessionByHighest, 1, 10, "lanes=4"},
    {"FaultyCounts", PlantedBug::kFaultyCounts, 1, 30, "rot_ms=2500"},
    {"BootIgnored", PlantedBug::kBootIgnored, 2, 30, "rot_ms=2500"},
    {"QuorumShrinks", PlantedBug::kQuorumShrinks, 1, 30,
     "rot_ms=2500 nodes=4 members=4 clusters=1"},
    // What takes being in the wrong place at the wrong time.
    {"LeaseFromAnswer", PlantedBug::kLeaseFromAnswer, 27, 150, kReaders + "clog_ms=300"},
    {"LeaseOutlivesTransfer", PlantedBug::kLeaseOutlivesTransfer, 17, 100,
     kReaders + "clog_ms=300 transfer_ms=500"},
    {"PromiseForgotten", PlantedBug::kPromiseForgotten, 2, 100, kReaders},
    {"StaleClock", PlantedBug::kStaleClock, 1, 50, kReaders + "clog_ms=300 late_us=20000"},
    {"ReadWithoutRound", PlantedBug::kReadWithoutRound, 1, 30,
     kCalm + "hunt_ms=1500 lasting_ms=1500 delay_us=500 roam=2"},
    {"VotesCountedTwice", PlantedBug::kVotesCountedTwice, 1, 20,
     kCalm + "nodes=5 members=5 doubling=4 hunt_ms=1000 delay_us=100000"},
    {"StrangersVoteCounts", PlantedBug::kStrangersVoteCounts, 12, 100,
     kCalm + "nodes=5 change_ms=300 hunt_ms=500 lasting_ms=1000 think_ms=100 clients=5"},
    {"ChangeBeforeNoOp", PlantedBug::kChangeBeforeNoOp, 3, 50,
     kCalm + "nodes=6 members=4 change_ms=200 hunt_ms=300 lasting_ms=1500 think_ms=100 clients=5"},
    {"OldTermCommitted", PlantedBug::kOldTermCommitted, 132, 250,
     kHunted + "lasting_ms=1000 append_max=1 delay_us=20000 clients=20"},
    {"UnverifiedAcknowledged", PlantedBug::kUnverifiedAcknowledged, 20, 150,
     kHunted + "lasting_ms=1500 stall_ms=500"},
    {"UnverifiedCommitted", PlantedBug::kUnverifiedCommitted, 1, 200,
     kHunted + "lasting_ms=1000 shorten=2 clients=20"},
    {"MatchKept", PlantedBug::kMatchKept, 360203, 200,
     "rot_ms=2000 latent=1 tight=0 shards=1 scribe_ms=0 inspect=0 repair=0 harm_ms=0 "
     "tend_ms=0 stillborn=0"},
};

INSTANTIATE_TEST_SUITE_P(Bugs, SimulatorPlanted, testing::ValuesIn(kPlants),
                         [](const auto& tested) { return std::string(tested.param.name); });

}  // namespace
}  // namespace duramen::simulator
