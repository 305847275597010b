// The honesty of the harness: each planted bug is caught within a stated number of states by the
// same explorer and sweep that find nothing when none is planted.
//
// Each bug runs in a child process, because a planted bug may end in a CHECK of the store; an abort
// counts as caught.
#include "base/planted.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <optional>
#include <string>

#include "tests/explorer/damage_sweep.h"
#include "tests/explorer/explorer.h"

namespace duramen::explorer {
namespace {

constexpr std::uint64_t kSweepStride = 41;
constexpr std::uint64_t kStatesPerRun = 600;

// Up to `states` states of the explorer, then the damage sweep with a stride, then rot under an
// open store. Returns what failed first; empty: nothing.
std::string GeneralHarness(std::uint64_t states, std::optional<std::uint32_t> workload) {
  Explorer explorer(1000);
  while (explorer.tally().judged < states) {
    if (explorer.RunNext(kStatesPerRun, workload)) continue;
    return "after " + std::to_string(explorer.tally().judged) +
           " states: " + explorer.failure()->text;
  }
  for (const SpecimenKind kind : {SpecimenKind::kWal, SpecimenKind::kSegments,
                                  SpecimenKind::kPackedWal, SpecimenKind::kCompressedSegments}) {
    const bool wal = kind == SpecimenKind::kWal || kind == SpecimenKind::kPackedWal;
    const Result<Specimen> specimen = MakeSpecimen(5, kind);
    if (!specimen.ok()) return "specimen: " + specimen.error().message;
    DamageSweep sweep(*specimen);
    if (wal) sweep.Run(kSweepStride);
    if (!wal) sweep.RunFlushed(kSweepStride);
    for (const std::uint64_t stride : {1, 64, 511}) sweep.RotUnderAnOpenStore(stride);
    if (!sweep.tally().failures.empty()) {
      return "in the sweep: " + sweep.tally().failures.begin()->second.first;
    }
    if (kind != SpecimenKind::kSegments) continue;
    const Result<std::string> fault = FaultOutlivesTheWal(*specimen);
    if (!fault.ok()) return "fault: " + fault.error().message;
    if (!fault->empty()) return *fault;
  }
  const Result<std::string> dead = OverwrittenStaysDead();
  if (!dead.ok()) return "overwritten: " + dead.error().message;
  if (!dead->empty()) return *dead;
  const Result<std::string> waited = WaitingOutlivesAFlush();
  return waited.ok() ? *waited : "waiting: " + waited.error().message;
}

struct Verdict {
  bool caught = false;
  std::string text;
};

Verdict RunInChild(PlantedBug bug, std::uint64_t states,
                   std::optional<std::uint32_t> workload = std::nullopt) {
  int ends[2];
  if (pipe(ends) != 0) return {false, "no pipe"};
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    close(ends[0]);
    if (freopen("/dev/null", "w", stderr) == nullptr) _exit(9);  // a CHECK's last words
#if defined(DURAMEN_PLANTED_BUGS)
    Plant(bug);
#endif
    const std::string text = GeneralHarness(states, workload);
    const bool told = write(ends[1], text.data(), text.size()) == static_cast<ssize_t>(text.size());
    _exit(told ? 0 : 9);
  }
  close(ends[1]);
  Verdict verdict;
  char buffer[4096];
  for (ssize_t got = 0; (got = read(ends[0], buffer, sizeof buffer)) > 0;) {
    verdict.text.append(buffer, static_cast<std::size_t>(got));
  }
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFSIGNALED(status))
    verdict.text = "the store aborted, signal " + std::to_string(WTERMSIG(status));
  if (WIFEXITED(status) && WEXITSTATUS(status) != 0) verdict.text = "the child failed";
  verdict.caught = !verdict.text.empty();
  return verdict;
}

TEST(PlantedBugs, TheHarnessIsSilentWithoutOne) {
  const Verdict verdict = RunInChild(PlantedBug::kNone, 6'000);
  EXPECT_FALSE(verdict.caught) << verdict.text;
}

#if defined(DURAMEN_PLANTED_BUGS)
struct Planting {
  PlantedBug bug;
  const char* name;
  std::uint64_t states;  // within which it must be caught, the sweep included
  std::optional<std::uint32_t> workload = std::nullopt;  // what it takes is rare in the others
};

// Numbers of workloads, see workload.cc.
constexpr std::uint32_t kOverwrite = 2;
constexpr std::uint32_t kCreateAndDelete = 3;
constexpr std::uint32_t kBatchAcrossARoll = 4;
constexpr std::uint32_t kFlushAndRecycle = 5;
constexpr std::uint32_t kTruncateFlushed = 8;
constexpr std::uint32_t kDiskFull = 9;
constexpr std::uint32_t kFailOver = 10;
constexpr std::uint32_t kShards = 11;
constexpr std::uint32_t kCompressed = 12;

class PlantedBugTest : public testing::TestWithParam<Planting> {};

TEST_P(PlantedBugTest, IsCaught) {
  const Verdict verdict = RunInChild(GetParam().bug, GetParam().states, GetParam().workload);
  std::printf("%s: %s\n", GetParam().name, verdict.text.c_str());
  EXPECT_TRUE(verdict.caught);
}

INSTANTIATE_TEST_SUITE_P(
    All, PlantedBugTest,
    testing::Values(
        Planting{PlantedBug::kNoSyncBeforeAck, "NoSyncBeforeAck", 2'000},
        Planting{PlantedBug::kNoDirectorySync, "NoDirectorySync", 5'000},
        Planting{PlantedBug::kDurableUptoIgnored, "DurableUptoIgnored", 5'000},
        Planting{PlantedBug::kLifeIgnored, "LifeIgnored", 10'000},
        Planting{PlantedBug::kHeaderBeforeCopiedTail, "HeaderBeforeCopiedTail", 10'000},
        Planting{PlantedBug::kOverwrittenEntryKept, "OverwrittenEntryKept", 5'000},
        Planting{PlantedBug::kLaterFileKeptAfterTear, "LaterFileKeptAfterTear", 20'000,
                 kBatchAcrossARoll},
        Planting{PlantedBug::kNoticeWithoutEpoch, "NoticeWithoutEpoch", 20'000, kOverwrite},
        Planting{PlantedBug::kChecksumNotCheckedOnRead, "ChecksumNotCheckedOnRead", 2'000},
        Planting{PlantedBug::kRegistrationAfterFirstAck, "RegistrationAfterFirstAck", 5'000},
        Planting{PlantedBug::kNoSegmentSync, "NoSegmentSync", 10'000},
        Planting{PlantedBug::kRetiredBeforeCheckpoints, "RetiredBeforeCheckpoints", 10'000},
        Planting{PlantedBug::kRetiredAfterOneCheckpoint, "RetiredAfterOneCheckpoint", 20'000},
        Planting{PlantedBug::kLeftoverBytesCount, "LeftoverBytesCount", 20'000},
        Planting{PlantedBug::kFloorBeforeDurable, "FloorBeforeDurable", 40'000, kTruncateFlushed},
        Planting{PlantedBug::kRunCutIgnored, "RunCutIgnored", 60'000, kTruncateFlushed},
        Planting{PlantedBug::kNoServersSync, "NoServersSync", 20'000},
        Planting{PlantedBug::kSeedWithoutEpoch, "SeedWithoutEpoch", 20'000},
        Planting{PlantedBug::kSegmentPayloadUnchecked, "SegmentPayloadUnchecked", 2'000},
        Planting{PlantedBug::kFaultNotInCheckpoint, "FaultNotInCheckpoint", 2'000},
        Planting{PlantedBug::kCutForgottenAtHandOver, "CutForgottenAtHandOver", 1'000},
        Planting{PlantedBug::kLeftoverAppendedTo, "LeftoverAppendedTo", 60'000, kFlushAndRecycle},
        Planting{PlantedBug::kTombstoneForgottenEarly, "TombstoneForgottenEarly", 30'000,
                 kCreateAndDelete},
        Planting{PlantedBug::kArenaFreedByTag, "ArenaFreedByTag", 1'000},
        Planting{PlantedBug::kHoleAcknowledged, "HoleAcknowledged", 10'000},
        Planting{PlantedBug::kProofRunsAhead, "ProofRunsAhead", 10'000},
        Planting{PlantedBug::kRowFileTakesEntries, "RowFileTakesEntries", 60'000, kDiskFull},
        Planting{PlantedBug::kRowHeaderFirst, "RowHeaderFirst", 60'000, kDiskFull},
        Planting{PlantedBug::kMarksNotCarried, "MarksNotCarried", 60'000, kDiskFull},
        Planting{PlantedBug::kStalledFileRecycled, "StalledFileRecycled", 150'000, kFailOver},
        Planting{PlantedBug::kEndRunsAhead, "EndRunsAhead", 20'000, kFailOver},
        Planting{PlantedBug::kSyncedWhileWriting, "SyncedWhileWriting", 20'000, kFlushAndRecycle},
        Planting{PlantedBug::kShardCountedEarly, "ShardCountedEarly", 5'000, kShards},
        Planting{PlantedBug::kShardDroppedLive, "ShardDroppedLive", 5'000, kShards},
        Planting{PlantedBug::kNameInTwoShards, "NameInTwoShards", 2'000, kShards},
        Planting{PlantedBug::kBlockUnchecked, "BlockUnchecked", 2'000, kCompressed},
        Planting{PlantedBug::kFrameUnchecked, "FrameUnchecked", 2'000, kCompressed},
        Planting{PlantedBug::kFramesKeepTheirPlace, "FramesKeepTheirPlace", 20'000, kCompressed},
        Planting{PlantedBug::kPoisonPill, "PoisonPill", 2'000}),
    [](const testing::TestParamInfo<Planting>& tested) { return std::string(tested.param.name); });
#endif

}  // namespace
}  // namespace duramen::explorer
