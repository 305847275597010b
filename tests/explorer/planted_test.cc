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
#include <span>
#include <string>

#include "tests/explorer/damage_sweep.h"
#include "tests/explorer/explorer.h"

namespace duramen::explorer {
namespace {

constexpr std::uint64_t kSweepStride = 41;
constexpr std::uint64_t kStatesPerRun = 600;

// What catches a bug: up to so many states of the explorer, one of the sweeps, or one history.
enum class Part : std::uint8_t {
  kStates,
  kWal,
  kSegments,
  kFault,
  kPackedWal,
  kCompressedSegments,
  kOverwritten,
  kWaiting,
};
constexpr Part kAllParts[] = {Part::kStates,      Part::kWal,       Part::kSegments,
                              Part::kFault,       Part::kPackedWal, Part::kCompressedSegments,
                              Part::kOverwritten, Part::kWaiting};

/// Of the explorer: where a bug takes something rare, the workload and the seed that have it early;
/// another seed finds it later.
struct Search {
  std::uint64_t states = 0;
  std::optional<std::uint32_t> workload = std::nullopt;
  std::uint64_t seed = 1000;
};

// Returns what failed first; empty: nothing.
std::string Explore(const Search& search) {
  Explorer explorer(search.seed);
  while (explorer.tally().judged < search.states) {
    if (explorer.RunNext(kStatesPerRun, search.workload)) continue;
    return "after " + std::to_string(explorer.tally().judged) +
           " states: " + explorer.failure()->text;
  }
  return "";
}

/// Damage with a stride, then rot under an open store.
std::string Sweep(SpecimenKind kind) {
  const Result<Specimen> specimen = MakeSpecimen(5, kind);
  if (!specimen.ok()) return "specimen: " + specimen.error().message;
  DamageSweep sweep(*specimen);
  const bool wal = kind == SpecimenKind::kWal || kind == SpecimenKind::kPackedWal;
  if (wal) sweep.Run(kSweepStride);
  if (!wal) sweep.RunFlushed(kSweepStride);
  for (const std::uint64_t stride : {1, 64, 511}) sweep.RotUnderAnOpenStore(stride);
  if (sweep.tally().failures.empty()) return "";
  return "in the sweep: " + sweep.tally().failures.begin()->second.first;
}

std::string TextOf(const char* part, const Result<std::string>& result) {
  return result.ok() ? *result : part + (": " + result.error().message);
}

std::string RunPart(Part part, const Search& search) {
  switch (part) {
    case Part::kStates:
      return Explore(search);
    case Part::kWal:
      return Sweep(SpecimenKind::kWal);
    case Part::kSegments:
      return Sweep(SpecimenKind::kSegments);
    case Part::kPackedWal:
      return Sweep(SpecimenKind::kPackedWal);
    case Part::kCompressedSegments:
      return Sweep(SpecimenKind::kCompressedSegments);
    case Part::kFault: {
      const Result<Specimen> specimen = MakeSpecimen(5, SpecimenKind::kSegments);
      if (!specimen.ok()) return "specimen: " + specimen.error().message;
      return TextOf("fault", FaultOutlivesTheWal(*specimen));
    }
    case Part::kOverwritten:
      return TextOf("overwritten", OverwrittenStaysDead());
    case Part::kWaiting:
      return TextOf("waiting", WaitingOutlivesAFlush());
  }
  return "no such part";
}

std::string RunParts(std::span<const Part> parts, const Search& search) {
  for (const Part part : parts) {
    std::string failure = RunPart(part, search);
    if (!failure.empty()) return failure;
  }
  return "";
}

struct Verdict {
  bool caught = false;
  std::string text;
};

Verdict RunInChild(PlantedBug bug, std::span<const Part> parts, const Search& search) {
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
    const std::string text = RunParts(parts, search);
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
  const Verdict verdict = RunInChild(PlantedBug::kNone, kAllParts, {.states = 2'000});
  EXPECT_FALSE(verdict.caught) << verdict.text;
}

#if defined(DURAMEN_PLANTED_BUGS)
struct Planting {
  PlantedBug bug;
  const char* name;
  Search search;  // within so many states it must be caught; none: not by the explorer
  Part part = Part::kStates;
};

// Numbers of workloads, see workload.cc.
constexpr std::uint32_t kAppendAndRoll = 0;
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
  const Verdict verdict = RunInChild(GetParam().bug, {&GetParam().part, 1}, GetParam().search);
  std::printf("%s: %s\n", GetParam().name, verdict.text.c_str());
  EXPECT_TRUE(verdict.caught);
}

INSTANTIATE_TEST_SUITE_P(
    All, PlantedBugTest,
    testing::Values(
        Planting{PlantedBug::kNoSyncBeforeAck, "NoSyncBeforeAck", {2'000}},
        Planting{PlantedBug::kNoDirectorySync, "NoDirectorySync", {5'000}},
        Planting{PlantedBug::kDurableUptoIgnored, "DurableUptoIgnored", {}, Part::kWal},
        Planting{PlantedBug::kLifeIgnored, "LifeIgnored", {20'000, kAppendAndRoll, 1}},
        Planting{PlantedBug::kHeaderBeforeCopiedTail,
                 "HeaderBeforeCopiedTail",
                 {10'000, kAppendAndRoll, 1}},
        Planting{PlantedBug::kOverwrittenEntryKept, "OverwrittenEntryKept", {5'000, kOverwrite, 1}},
        Planting{PlantedBug::kLaterFileKeptAfterTear,
                 "LaterFileKeptAfterTear",
                 {20'000, kBatchAcrossARoll, 1}},
        Planting{PlantedBug::kNoticeWithoutEpoch, "NoticeWithoutEpoch", {20'000, kOverwrite}},
        Planting{PlantedBug::kChecksumNotCheckedOnRead, "ChecksumNotCheckedOnRead", {}, Part::kWal},
        Planting{PlantedBug::kRegistrationAfterFirstAck, "RegistrationAfterFirstAck", {5'000}},
        Planting{PlantedBug::kNoSegmentSync, "NoSegmentSync", {10'000}},
        Planting{PlantedBug::kRetiredBeforeCheckpoints,
                 "RetiredBeforeCheckpoints",
                 {10'000, kFlushAndRecycle, 1}},
        Planting{PlantedBug::kRetiredAfterOneCheckpoint,
                 "RetiredAfterOneCheckpoint",
                 {20'000, kFlushAndRecycle, 1}},
        Planting{PlantedBug::kLeftoverBytesCount, "LeftoverBytesCount", {20'000}},
        Planting{
            PlantedBug::kFloorBeforeDurable, "FloorBeforeDurable", {40'000, kTruncateFlushed, 1}},
        Planting{PlantedBug::kRunCutIgnored, "RunCutIgnored", {60'000, kTruncateFlushed}},
        Planting{PlantedBug::kNoServersSync, "NoServersSync", {20'000}},
        Planting{PlantedBug::kSeedWithoutEpoch, "SeedWithoutEpoch", {20'000, kTruncateFlushed, 1}},
        Planting{
            PlantedBug::kSegmentPayloadUnchecked, "SegmentPayloadUnchecked", {}, Part::kSegments},
        Planting{PlantedBug::kFaultNotInCheckpoint, "FaultNotInCheckpoint", {}, Part::kFault},
        Planting{
            PlantedBug::kCutForgottenAtHandOver, "CutForgottenAtHandOver", {}, Part::kOverwritten},
        Planting{
            PlantedBug::kLeftoverAppendedTo, "LeftoverAppendedTo", {60'000, kFlushAndRecycle, 2}},
        Planting{PlantedBug::kTombstoneForgottenEarly,
                 "TombstoneForgottenEarly",
                 {30'000, kCreateAndDelete, 2}},
        Planting{PlantedBug::kArenaFreedByTag, "ArenaFreedByTag", {}, Part::kWaiting},
        Planting{PlantedBug::kHoleAcknowledged, "HoleAcknowledged", {10'000, kAppendAndRoll, 1}},
        Planting{PlantedBug::kProofRunsAhead, "ProofRunsAhead", {10'000}},
        Planting{PlantedBug::kRowFileTakesEntries, "RowFileTakesEntries", {60'000, kDiskFull}},
        Planting{PlantedBug::kRowHeaderFirst, "RowHeaderFirst", {60'000, kDiskFull}},
        Planting{PlantedBug::kMarksNotCarried, "MarksNotCarried", {60'000, kDiskFull, 1}},
        Planting{PlantedBug::kStalledFileRecycled, "StalledFileRecycled", {150'000, kFailOver, 7}},
        Planting{PlantedBug::kEndRunsAhead, "EndRunsAhead", {20'000, kFailOver}},
        Planting{PlantedBug::kSyncedWhileWriting, "SyncedWhileWriting", {20'000, kFlushAndRecycle}},
        Planting{PlantedBug::kShardCountedEarly, "ShardCountedEarly", {5'000, kShards}},
        Planting{PlantedBug::kShardDroppedLive, "ShardDroppedLive", {5'000, kShards}},
        Planting{PlantedBug::kNameInTwoShards, "NameInTwoShards", {2'000, kShards}},
        Planting{PlantedBug::kBlockUnchecked, "BlockUnchecked", {}, Part::kCompressedSegments},
        Planting{PlantedBug::kFrameUnchecked, "FrameUnchecked", {}, Part::kPackedWal},
        Planting{PlantedBug::kFramesKeepTheirPlace, "FramesKeepTheirPlace", {20'000, kCompressed}},
        Planting{PlantedBug::kPoisonPill, "PoisonPill", {2'000}}),
    [](const testing::TestParamInfo<Planting>& tested) { return std::string(tested.param.name); });
#endif

}  // namespace
}  // namespace duramen::explorer
