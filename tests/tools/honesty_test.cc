// What is made of the witnesses of a sync, and of what was measured: pure functions.
#include "tools/honesty.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tools/tune_advice.h"

namespace duramen::tools {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

DeviceFacts Disk(bool volatile_cache) {
  BlockDevice device{.name = "sda2", .leaves = {"sda"}, .counts_flushes = true};
  device.volatile_cache = volatile_cache;
  device.rotational = false;
  DeviceFacts facts{.path = "/data", .file_system = "ext4"};
  facts.mount = Mount{.point = "/", .file_system = "ext4", .source = "/dev/sda2", .options = "rw"};
  facts.device = device;
  return facts;
}

SyncEvidence Seen(std::uint64_t clean, std::uint64_t flushes) {
  SyncEvidence seen{.syncs = 64, .pages_clean_after = clean};
  seen.device = DeviceCounters{.writes = clean, .flushes = flushes};
  seen.write_ns = 2'000;
  seen.sync_ns = 100'000;
  return seen;
}

HonestyVerdict Judge(const DeviceFacts& facts, const SyncEvidence& seen, bool account = true) {
  return JudgeSyncs(facts, account, seen);
}

TEST(Honesty, PW3_PagesWrittenAndFlushesSentAreHonest) {
  const HonestyVerdict flushed = Judge(Disk(true), Seen(64, 64));
  EXPECT_EQ(flushed.honesty, Honesty::kHonest) << flushed.why;
  EXPECT_THAT(flushed.why,
              HasSubstr("64 of 64 syncs wrote their page, and 64 flushes reached sda"));
  EXPECT_EQ(Judge(Disk(false), Seen(64, 0)).honesty, Honesty::kHonest);
  // Somebody else's flushes are counted too, and a page may be written by others.
  EXPECT_EQ(Judge(Disk(true), Seen(62, 500)).honesty, Honesty::kHonest);
}

TEST(Honesty, PW3_PagesThatStayInMemoryAreTheEvidenceWhateverTheDeviceCounts) {
  for (const std::uint64_t by_others : {0, 64, 5000}) {
    const HonestyVerdict verdict = Judge(Disk(true), Seen(1, by_others));
    EXPECT_EQ(verdict.honesty, Honesty::kDishonest);
    EXPECT_THAT(verdict.why, HasSubstr("63 of 64 syncs said success and left the page unwritten"));
  }
  SyncEvidence fast = Seen(0, 64);
  fast.sync_ns = 10;
  EXPECT_EQ(Judge(Disk(false), fast).honesty, Honesty::kDishonest);
  EXPECT_EQ(Judge(Disk(false), Seen(32, 64)).honesty, Honesty::kUnknown);
}

TEST(Honesty, PW3_ACacheThatNobodyFlushesIsDishonest) {
  const HonestyVerdict verdict = Judge(Disk(true), Seen(64, 0));
  EXPECT_EQ(verdict.honesty, Honesty::kDishonest);
  EXPECT_THAT(verdict.why, AllOf(HasSubstr("0 flushes reached sda"), HasSubstr("volatile")));
  EXPECT_EQ(Judge(Disk(true), Seen(64, 30)).honesty, Honesty::kUnknown);
  DeviceFacts uncounted = Disk(true);
  uncounted.device->counts_flushes = false;
  EXPECT_EQ(Judge(uncounted, Seen(64, 0)).honesty, Honesty::kUnknown);
  DeviceFacts unsaid = Disk(true);
  unsaid.device->volatile_cache.reset();
  EXPECT_EQ(Judge(unsaid, Seen(64, 64)).honesty, Honesty::kUnknown);
}

TEST(Honesty, PW3_WithoutAnAccountTheClockIsHeard) {
  SyncEvidence fast = Seen(0, 64);
  fast.sync_ns = 40;
  const HonestyVerdict verdict = Judge(Disk(true), fast, false);
  EXPECT_EQ(verdict.honesty, Honesty::kDishonest);
  EXPECT_THAT(verdict.why, HasSubstr("no medium can do"));
  EXPECT_EQ(Judge(Disk(true), Seen(64, 64), false).honesty, Honesty::kUnknown);
  fast.method = SyncMethod::kDsync;  // Its write is in that time.
  EXPECT_EQ(Judge(Disk(true), fast, false).honesty, Honesty::kUnknown);
  // A journal of data keeps pages dirty for longer, and does its duty.
  DeviceFacts journalled = Disk(true);
  journalled.mount->options = "rw,data=journal";
  EXPECT_EQ(Judge(journalled, Seen(0, 64)).honesty, Honesty::kUnknown);
}

TEST(Honesty, PW3_WhatIsNotADiskOfThisMachineCannotBeTold) {
  DeviceFacts memory{.kind = {FileSystemClass::kMemory, "tmpfs"}, .file_system = "tmpfs"};
  SyncEvidence fast = Seen(0, 0);
  fast.sync_ns = 40;
  const HonestyVerdict in_memory = Judge(memory, fast, false);
  EXPECT_EQ(in_memory.honesty, Honesty::kUnknown);
  EXPECT_THAT(in_memory.why, HasSubstr("a sync means nothing there"));
  DeviceFacts network{.kind = {FileSystemClass::kNetwork, "nfs"}, .file_system = "nfs4"};
  EXPECT_THAT(Judge(network, Seen(64, 0)).why, HasSubstr("behind nfs4"));
  EXPECT_EQ(Judge(network, Seen(64, 0)).honesty, Honesty::kUnknown);
  EXPECT_EQ(Judge(network, Seen(0, 0)).honesty, Honesty::kDishonest);
  DeviceFacts overlay{.kind = {FileSystemClass::kOverlay, "overlay"}, .file_system = "overlay"};
  EXPECT_EQ(Judge(overlay, Seen(64, 0)).honesty, Honesty::kUnknown);
  for (const char* options : {"rw,volatile", "rw,uuid=on,fsync=volatile"}) {  // The same, renamed.
    overlay.mount = Mount{.options = options};
    EXPECT_EQ(Judge(overlay, Seen(64, 0)).honesty, Honesty::kDishonest);
  }
  EXPECT_EQ(Judge(DeviceFacts{}, Seen(64, 0)).honesty, Honesty::kUnknown);
  DeviceFacts zram = Disk(false);
  zram.device->leaves = {"zram0"};
  EXPECT_EQ(Judge(zram, Seen(64, 0)).honesty, Honesty::kUnknown);
  SyncEvidence few = Seen(2, 2);
  few.syncs = 2;
  EXPECT_EQ(Judge(Disk(true), few).honesty, Honesty::kUnknown);
}

TEST(Honesty, PW3_ADiskThatTurnsCannotAnswerInATenthOfATurn) {
  DeviceFacts disk = Disk(false);
  disk.device->rotational = true;
  EXPECT_EQ(Judge(disk, Seen(64, 0)).honesty, Honesty::kUnknown);
  SyncEvidence slow = Seen(64, 0);
  slow.sync_ns = 9'000'000;
  EXPECT_EQ(Judge(disk, slow).honesty, Honesty::kHonest);
  disk.device->is_virtual = true;  // Those say so without turning.
  const HonestyVerdict verdict = Judge(disk, Seen(64, 0));
  EXPECT_EQ(verdict.honesty, Honesty::kHonest);
  EXPECT_THAT(verdict.why, HasSubstr("what the host makes of it is not seen"));
}

TunedCell Cell(SyncMethod method, std::uint32_t depth, std::uint64_t bytes, double rate) {
  return {.method = method,
          .depth = depth,
          .layout = DiskLayout::kZeroFilled,
          .bytes = bytes,
          .operations = 100,
          .operations_per_s = rate,
          .max_us = 3'000};
}

std::vector<TunedCell> Measured(double dsync_1, double dsync_2, double dsync_4) {
  std::vector<TunedCell> cells;
  for (const std::uint64_t bytes : {4096, 65536}) {
    cells.push_back(Cell(SyncMethod::kDatasync, 1, bytes, 1000));
    cells.push_back(Cell(SyncMethod::kFsync, 1, bytes, 900));
    cells.push_back(Cell(SyncMethod::kDsync, 1, bytes, 1000 * dsync_1));
    cells.push_back(Cell(SyncMethod::kDsync, 2, bytes, 1000 * dsync_2));
    cells.push_back(Cell(SyncMethod::kDsync, 4, bytes, 1000 * dsync_4));
  }
  return cells;
}

std::vector<std::string> Values(const std::vector<AdvisedSetting>& settings) {
  std::vector<std::string> values;
  for (const AdvisedSetting& setting : settings) {
    values.push_back(std::string(setting.name) + " = " + setting.value);
  }
  return values;
}

TEST(TuneAdvice, PW3_DirectWritesWhereTheyGainATenthAtTheLeastDepthThatDoes) {
  EXPECT_THAT(Values(Advise(Measured(1.2, 2.0, 2.05), {})),
              ElementsAre("wal_sync_method = dsync", "wal_pipeline_depth = 2",
                          "wal_stall_threshold = 500"));
  EXPECT_THAT(Values(Advise(Measured(1.2, 2.0, 3.0), {})),
              ::testing::Contains("wal_pipeline_depth = 4"));
  EXPECT_THAT(Values(Advise(Measured(0.8, 1.0, 1.05), {})),
              ::testing::Contains("wal_sync_method = datasync"));
  // What a write costs where the WAL never writes is nobody's concern.
  std::vector<TunedCell> cells = Measured(0.8, 1.0, 1.05);
  for (TunedCell& cell : Measured(9, 9, 9)) {
    cell.layout = DiskLayout::kGrowing;
    cells.push_back(cell);
  }
  EXPECT_THAT(Values(Advise(cells, {})), ::testing::Contains("wal_sync_method = datasync"));
}

TEST(TuneAdvice, PW3_WhatIsDishonestIsNotAdvised) {
  const SyncMethod kDirect[] = {SyncMethod::kDsync};
  const auto without_direct = Advise(Measured(3, 3, 3), kDirect);
  EXPECT_THAT(Values(without_direct),
              ElementsAre("wal_sync_method = datasync", "wal_stall_threshold = 500"));
  EXPECT_THAT(without_direct[0].reason,
              HasSubstr("direct I/O is not possible here, or not honest"));
  const SyncMethod kData[] = {SyncMethod::kDatasync};
  EXPECT_THAT(Values(Advise(Measured(0.1, 0.1, 0.1), kData)),
              ::testing::Contains("wal_sync_method = fsync"));
  const SyncMethod kAll[] = {SyncMethod::kDatasync, SyncMethod::kFsync, SyncMethod::kDsync};
  EXPECT_THAT(Advise(Measured(1, 1, 1), kAll), IsEmpty());
  EXPECT_THAT(Advise({}, {}), IsEmpty());
}

TEST(TuneAdvice, PW3_ASlowDiskGetsAHigherStallThreshold) {
  std::vector<TunedCell> cells = Measured(0.5, 0.5, 0.5);
  cells[0].max_us = 420'000;
  EXPECT_THAT(Values(Advise(cells, {})), ::testing::Contains("wal_stall_threshold = 1700"));
  ASSERT_THAT(Advise(cells, {}), SizeIs(3));
  EXPECT_THAT(Advise(cells, {})[2].reason, HasSubstr("420.0 ms"));
}

}  // namespace
}  // namespace duramen::tools
