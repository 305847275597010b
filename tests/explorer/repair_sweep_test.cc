// T2, TL3: whatever byte is hit, a repair ends in a store that verify calls clean, loses nothing
// that a start could read, is undone to the byte, and may be killed anywhere.
#include "tests/explorer/repair_sweep.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <string_view>

#include "tests/explorer/report.h"

namespace duramen::explorer {
namespace {

constexpr SpecimenKind kKinds[] = {SpecimenKind::kWal, SpecimenKind::kRecycled,
                                   SpecimenKind::kSegments};

void Report(const RepairTally& tally) {
  std::printf(
      "repairs %llu: %llu with a faulty log, %llu refused; killed %llu times\n",
      static_cast<unsigned long long>(tally.repairs), static_cast<unsigned long long>(tally.faulty),
      static_cast<unsigned long long>(tally.refused), static_cast<unsigned long long>(tally.kills));
  for (const auto& [sort, failure] : tally.failures) {
    ADD_FAILURE() << failure.second << " times: " << failure.first;
  }
}

TEST(RepairSweep, TL3_RepairedVerifiedUndoneWhateverByteIsHit) {
  for (const SpecimenKind kind : kKinds) {
    const Result<Specimen> specimen = MakeSpecimen(11, kind);
    ASSERT_TRUE(specimen.ok()) << specimen.error().message;
    RepairSweep sweep(*specimen);
    sweep.Run(151);  // A prime, so that all parts of a block come up.
    Report(sweep.tally());
    EXPECT_GT(sweep.tally().repairs, 400u);
    EXPECT_GT(sweep.tally().faulty, 0u);
  }
}

TEST(RepairSweep, T2_KilledAtEachStep) {
  for (const SpecimenKind kind : kKinds) {
    const Result<Specimen> specimen = MakeSpecimen(11, kind);
    ASSERT_TRUE(specimen.ok()) << specimen.error().message;
    RepairSweep sweep(*specimen);
    for (std::size_t file = 0; file < sweep.damages().file_count(); file += 3) {
      const std::uint64_t size = sweep.damages().FileAt(file).bytes.size();
      // Of a WAL file the first batch; most of the rest was never written.
      sweep.TryKilled(file, Damage::kBitFlipped, std::min<std::uint64_t>(size / 3, 12'400), 3);
    }
    Report(sweep.tally());
    EXPECT_GT(sweep.tally().kills, 100u);
  }
}

/// A lock changes nothing on the disk. The others clean up behind an error of the disk:
/// RepairJournal and Overlay have an error at every operation.
bool IsSeldom(const SourceCall& call) {
  constexpr std::string_view kSeldom[] = {
      "Lock(", "(void)staging_.Remove(name)", "(void)parent->Remove(temporary)",
      "(*opened)->Remove(entry.name)", "const Status removed = directory.Remove(name)"};
  return std::ranges::any_of(
      kSeldom, [&](std::string_view text) { return call.text.find(text) != std::string::npos; });
}

TEST(RepairSweep, T2_StoppedNextToEachOfItsCallsOfTheDisk) {
  constexpr std::uint64_t kStatesAtACall = 100;
  const std::vector<SourceCall> calls = CallsInSource(DURAMEN_SOURCE_DIR, {"log"});
  std::vector<std::uint64_t> states(calls.size());
  for (const SpecimenKind kind : {SpecimenKind::kWal, SpecimenKind::kSegments}) {
    const Result<Specimen> specimen = MakeSpecimen(11, kind);
    ASSERT_TRUE(specimen.ok()) << specimen.error().message;
    RepairSweep sweep(*specimen);
    sweep.Explore(60, kStatesAtACall);
    Report(sweep.tally());
    const std::vector<std::string> lines = SourceLinesOf(sweep.sites());
    for (std::size_t i = 0; i < calls.size(); ++i) {
      states[i] += StatesAt(calls[i], sweep.by_site(), lines);
    }
  }
  std::size_t asked = 0;
  for (std::size_t i = 0; i < calls.size(); ++i) {
    if (!OfARepair(calls[i]) || IsSeldom(calls[i])) continue;
    ++asked;
    EXPECT_GE(states[i], kStatesAtACall)
        << calls[i].file << ":" << calls[i].line << ": " << calls[i].text;
  }
  EXPECT_GT(asked, 25u);
}

}  // namespace
}  // namespace duramen::explorer
