// W11: every byte of two sealed WAL files and SYSTEM, changed in every way that disks are known
// for.
#include "tests/explorer/damage_sweep.h"

#include <gtest/gtest.h>

#include <cstdio>

namespace duramen::explorer {
namespace {

TEST(DamageSweep, W11_NamesExactlyWhatIsLostWhateverByteIsHit) {
  const Result<Specimen> specimen = MakeSpecimen(11);
  ASSERT_TRUE(specimen.ok()) << specimen.error().message;
  DamageSweep sweep(*specimen);
  sweep.Run(1);
  const SweepTally& tally = sweep.tally();
  std::printf("opens %zu: identical %zu, reported %zu, refused %zu (changed nothing: %zu)\n",
              static_cast<std::size_t>(tally.opens), static_cast<std::size_t>(tally.identical),
              static_cast<std::size_t>(tally.reported), static_cast<std::size_t>(tally.refused),
              static_cast<std::size_t>(tally.unchanged));
  for (const auto& [sort, failure] : tally.failures) {
    ADD_FAILURE() << failure.second << " times: " << failure.first;
  }
  EXPECT_GT(tally.identical, 0u);
  EXPECT_GT(tally.reported, 0u);
  EXPECT_EQ(tally.by_damage.size(), static_cast<std::size_t>(Damage::kCount));
}

// A7, G8, G16, B3: of a segment exactly what was hit, of a checkpoint nothing.
TEST(DamageSweep, A7_NamesExactlyWhatSegmentsLoseAndLosesNothingWithACheckpoint) {
  const Result<Specimen> specimen = MakeSpecimen(11, SpecimenKind::kSegments);
  ASSERT_TRUE(specimen.ok()) << specimen.error().message;
  DamageSweep sweep(*specimen);
  sweep.RunFlushed(1);
  const SweepTally& tally = sweep.tally();
  std::printf("opens %zu: identical %zu, reported %zu (changed nothing: %zu)\n",
              static_cast<std::size_t>(tally.opens), static_cast<std::size_t>(tally.identical),
              static_cast<std::size_t>(tally.reported), static_cast<std::size_t>(tally.unchanged));
  for (const auto& [sort, failure] : tally.failures) {
    ADD_FAILURE() << failure.second << " times: " << failure.first;
  }
  EXPECT_GT(tally.identical, 0u);
  EXPECT_GT(tally.reported, 0u);
  std::size_t files = 0;
  std::size_t cuts = 0;
  for (const SpecimenFile& file : specimen->other_files) {
    files += file.sort == FileSort::kSegment ? 1 : 0;
    for (const SegmentRun& run : file.segment.runs) cuts += run.epoch > 0 ? 1 : 0;
  }
  EXPECT_GT(files, specimen->logs.size());
  EXPECT_GT(cuts, 0u);
}

/// All that was found is a failure of the test.
void ExpectClean(const DamageSweep& sweep) {
  const SweepTally& tally = sweep.tally();
  std::printf("opens %zu: identical %zu, reported %zu (changed nothing: %zu)\n",
              static_cast<std::size_t>(tally.opens), static_cast<std::size_t>(tally.identical),
              static_cast<std::size_t>(tally.reported), static_cast<std::size_t>(tally.unchanged));
  for (const auto& [sort, failure] : tally.failures) {
    ADD_FAILURE() << failure.second << " times: " << failure.first;
  }
  EXPECT_GT(tally.identical, 0u);
  EXPECT_GT(tally.reported, 0u);
}

/// Bytes that are a piece of several entries at once.
std::size_t SharedPieces(const SpecimenFile& file) {
  std::size_t shared = 0;
  for (std::size_t i = 1; i < file.map.pieces.size(); ++i) {
    shared += file.map.pieces[i].begin == file.map.pieces[i - 1].begin ? 1 : 0;
  }
  return shared;
}

TEST(DamageSweep, PW14_W11_NamesExactlyWhatPackedRunsLose) {
  const Result<Specimen> specimen = MakeSpecimen(11, SpecimenKind::kPackedWal);
  ASSERT_TRUE(specimen.ok()) << specimen.error().message;
  EXPECT_GT(SharedPieces(specimen->wal_files[0]), 5u);
  DamageSweep sweep(*specimen);
  sweep.Run(3);
  ExpectClean(sweep);
  for (const std::uint64_t stride : {1, 7, 511}) sweep.RotUnderAnOpenStore(stride);
  ExpectClean(sweep);
}

TEST(DamageSweep, SG5_A7_NamesExactlyWhatCompressedRunsLose) {
  const Result<Specimen> specimen = MakeSpecimen(11, SpecimenKind::kCompressedSegments);
  ASSERT_TRUE(specimen.ok()) << specimen.error().message;
  std::size_t shared = 0;
  for (const SpecimenFile& file : specimen->other_files) {
    if (file.sort == FileSort::kSegment) shared += SharedPieces(file);
  }
  EXPECT_GT(shared, 20u);
  DamageSweep sweep(*specimen);
  sweep.RunFlushed(3);
  ExpectClean(sweep);
  for (const std::uint64_t stride : {1, 7, 511}) sweep.RotUnderAnOpenStore(stride);
  ExpectClean(sweep);
}

TEST(DamageSweep, A1_ARowOfWhichNoCopyIsLeftIsNeverMissedInSilence) {
  std::uint64_t reported = 0;
  for (std::uint64_t seed = 13; seed < 21; ++seed) {
    const Result<Specimen> specimen =
        MakeSpecimen(seed, seed % 2 == 0 ? SpecimenKind::kRecycled : SpecimenKind::kWal);
    ASSERT_TRUE(specimen.ok()) << specimen.error().message;
    DamageSweep sweep(*specimen);
    sweep.RunRows();
    for (const auto& [sort, failure] : sweep.tally().failures) {
      ADD_FAILURE() << failure.second << " times: " << failure.first;
    }
    reported += sweep.tally().reported;
  }
  EXPECT_GT(reported, 30u);
}

TEST(DamageSweep, A3_ALogThatIsFaultyStaysSoWhenTheWalIsRecycled) {
  for (const std::uint64_t seed : {11, 12, 13}) {
    const Result<Specimen> specimen = MakeSpecimen(seed, SpecimenKind::kSegments);
    ASSERT_TRUE(specimen.ok()) << specimen.error().message;
    const Result<std::string> wrong = FaultOutlivesTheWal(*specimen);
    ASSERT_TRUE(wrong.ok()) << wrong.error().message;
    EXPECT_EQ(*wrong, "");
  }
}

TEST(DamageSweep, C8_G14_WhatWasOverwrittenDuringAFlushStaysDead) {
  const Result<std::string> wrong = OverwrittenStaysDead();
  ASSERT_TRUE(wrong.ok()) << wrong.error().message;
  EXPECT_EQ(*wrong, "");
}

TEST(DamageSweep, A11_WhatAFlushOvertakesInItsRingStaysInMemory) {
  const Result<std::string> wrong = WaitingOutlivesAFlush();
  ASSERT_TRUE(wrong.ok()) << wrong.error().message;
  EXPECT_EQ(*wrong, "");
}

TEST(DamageSweep, W11_BytesThatRotUnderAnOpenStoreAreNeverServed) {
  for (const SpecimenKind kind : {SpecimenKind::kWal, SpecimenKind::kSegments}) {
    const Result<Specimen> specimen = MakeSpecimen(12, kind);
    ASSERT_TRUE(specimen.ok()) << specimen.error().message;
    for (const std::uint64_t stride : {1, 7, 64, 511, 1900}) {
      DamageSweep sweep(*specimen);
      sweep.RotUnderAnOpenStore(stride);
      for (const auto& [sort, failure] : sweep.tally().failures) ADD_FAILURE() << failure.first;
    }
  }
}

}  // namespace
}  // namespace duramen::explorer
