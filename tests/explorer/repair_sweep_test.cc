// T2, TL3: whatever byte is hit, a repair ends in a store that verify calls clean, loses nothing
// that a start could read, is undone to the byte, and may be killed anywhere.
#include "tests/explorer/repair_sweep.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

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

}  // namespace
}  // namespace duramen::explorer
