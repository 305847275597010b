// Stores that compress: what is read from packed WAL files and compressed segments, over kills,
// flushes, damage, and changes of the settings.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <optional>

#include "base/bytes.h"
#include "segments/format.h"
#include "tests/log/flush_machine.h"
#include "tests/wal/memory_file.h"
#include "wal/scan.h"

namespace duramen::log {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::string> Texts(const std::string& name, std::size_t count) {
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < count; ++i) {
    texts.push_back(name + std::to_string(i) + std::string(250 + i % 9, '.'));
  }
  return texts;
}

std::vector<std::string> LinesOf(const std::vector<std::string>& texts) {
  std::vector<std::string> lines;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    lines.push_back(std::to_string(i + 1) + ":1:" + texts[i]);
  }
  return lines;
}

/// A byte in the middle of the records of each packed run of any WAL file, and where.
struct PackedPlace {
  std::string path;
  std::uint64_t offset = 0;
  wal::RunHeader run;
};
std::vector<PackedPlace> AllPacked(const Machine& machine) {
  std::vector<PackedPlace> places;
  for (const std::string& name : machine.WalFiles()) {
    const std::optional<std::uint64_t> number = wal::ParseFileName(name);
    if (!number) continue;
    const std::string path = "/data/wal/" + name;
    const std::vector<std::byte> bytes = machine.FileBytes(path);
    const auto header = wal::DecodeFileHeader(bytes, 0);
    if (!header.ok() || header->number != *number) continue;
    const ::duramen::testing::MemoryFile file(bytes);
    wal::FileWindow window(file, bytes.size());
    wal::FileSummary summary = wal::ScanHeaders(window, *number, header->system);
    wal::ScanBatches(window, header->system, summary);
    const wal::FileContext context = summary.Context(header->system);
    for (const wal::BatchSummary& batch : summary.batches) {
      const Bytes rest = Bytes(bytes).subspan(batch.offset);
      const auto decoded = wal::DecodeBatchHeader(rest, header->system, context, batch.offset);
      const auto contents = wal::ReadIntactBatch(*decoded, rest, context, batch.offset);
      for (const wal::RunView& run : contents->runs) {
        if ((run.header.flags & wal::kRunPacked) == 0) continue;
        EXPECT_EQ(header->version, wal::kPackedVersion);
        places.push_back(
            {path, run.offset + wal::kRunHeaderBytes + run.header.bytes / 2, run.header});
      }
    }
  }
  return places;
}

std::optional<PackedPlace> FirstPacked(const Machine& machine) {
  const std::vector<PackedPlace> places = AllPacked(machine);
  return places.empty() ? std::nullopt : std::optional(places.front());
}

class Compressing : public ::testing::Test {
 protected:
  Compressing() {
    UseSmallFiles(machine);
    machine.tuning.pack_run_bytes_min = 1024;  // Their batches have no room for 4 KiB of one log.
  }
  Machine machine;
};
using SegmentCompression = Compressing;
using BatchCompression = Compressing;

TEST_F(SegmentCompression, SG5_WhatWasFlushedReadsAsItWasWritten) {
  machine.options.segment_compression = Compression::kZstd;
  machine.Start();
  const std::vector<std::string> texts = Texts("a", 60);
  machine.Write(machine.Log("a"), 1, 1, texts);
  Flush(machine, machine.Log("other"), 2);
  EXPECT_GT(machine.Metric("flush_packed_from_bytes"), 15'000u);
  EXPECT_LT(machine.Metric("flush_packed_to_bytes") * 4, machine.Metric("flush_packed_from_bytes"));
  EXPECT_LT(machine.FileBytes(SegmentOf(machine, machine.UidOf("a"))).size(), 4000u);
  for (int start = 0; start < 2; ++start) {
    machine.Kill();
    machine.Start();
    EXPECT_EQ(machine.Contents("a"), LinesOf(texts));
    EXPECT_GT(machine.Metric("read_segment_entries"), 0u);
  }
  // Off again: what is there is still read, and what comes is not compressed.
  machine.Kill();
  machine.options.segment_compression = Compression::kNone;
  machine.Start();
  Flush(machine, machine.Log("other"), 2);
  EXPECT_EQ(machine.Metric("flush_packed_from_bytes"), 0u);
  EXPECT_EQ(machine.Contents("a"), LinesOf(texts));
}

TEST_F(SegmentCompression, SG5_B1_APinnedEntryCountsWhatItHolds) {
  machine.options.segment_compression = Compression::kZstd;
  machine.Start();
  machine.Write(machine.Log("a"), 1, 1, Texts("a", 60));
  Flush(machine, machine.Log("other"), 2);
  machine.Kill();
  machine.Start();
  const LogRef log = machine.Log("a");
  const Result<Pin> one = machine.store().Read(log, 30, 31, 1);
  ASSERT_TRUE(one.ok());
  EXPECT_EQ(machine.Metric("memory_read_bytes"), one->entries()[0].payload.size());
  const Result<Pin> all = machine.store().Read(log, 1, 61, 1 << 20);
  ASSERT_TRUE(all.ok());
  EXPECT_EQ(all->entries().size(), 60u);
  EXPECT_GT(machine.Metric("memory_read_bytes"), 60u * 290) << "the block";
}

constexpr std::uint64_t kInFirstBlock = 128 + 104 + 60;

/// Log "a" has `texts` in one segment, half of them in each of two blocks.
void FlushTwoBlocks(Machine& machine, const std::vector<std::string>& texts) {
  machine.options.segment_compression = Compression::kZstd;
  machine.Start();
  const LogRef log = machine.Log("a");
  const std::size_t half = texts.size() / 2;
  const auto middle = texts.begin() + static_cast<std::ptrdiff_t>(half);
  machine.Write(log, 1, 1, {texts.begin(), middle});
  Flush(machine, machine.Log("other"), 2);
  machine.Write(log, half + 1, 1, {middle, texts.end()});
  Flush(machine, machine.Log("other"), 2);
}

void ExpectFirstBlockLost(Machine& machine, const std::vector<std::string>& texts,
                          const std::string& how) {
  const std::vector<std::string> contents = machine.Contents("a");
  ASSERT_EQ(contents.size(), texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const bool lost = i < texts.size() / 2;
    EXPECT_EQ(contents[i], lost ? std::to_string(i + 1) + how : LinesOf(texts)[i]);
  }
}

TEST_F(SegmentCompression, SG5_G5_DamageToABlockCostsItsEntriesAlone) {
  const std::vector<std::string> texts = Texts("a", 40);
  FlushTwoBlocks(machine, texts);
  const std::string segment = SegmentOf(machine, machine.UidOf("a"));
  machine.Kill();
  machine.Rot(segment, kInFirstBlock);
  machine.Start();
  ExpectFirstBlockLost(machine, texts, "!corruption");
}

TEST_F(SegmentCompression, SG5_AMendWritesWhatIsLeftOfABlocksFileAnew) {
  const std::vector<std::string> texts = Texts("a", 40);
  FlushTwoBlocks(machine, texts);
  const std::string uid = machine.UidOf("a");
  const std::string segment = SegmentOf(machine, uid);
  ASSERT_TRUE(machine.Close().ok());
  machine.Rot(segment, kInFirstBlock);
  ASSERT_TRUE(machine.Mend({}).ok());
  EXPECT_NE(SegmentOf(machine, uid), segment);
  machine.options.recovery_mode = RecoveryMode::kStrict;
  machine.Start();
  ExpectFirstBlockLost(machine, texts, "!faulty");
}

TEST_F(BatchCompression, PW14_RunsAreReadFromTheirFramesOverKillsAndFlushes) {
  machine.options.wal_compression = Compression::kZstd;
  machine.Start();
  const std::vector<std::string> texts = Texts("a", 40);
  machine.Write(machine.Log("a"), 1, 1, texts);
  machine.Write(machine.Log("b"), 1, 1, {"small runs stay as they are"});
  EXPECT_GT(machine.Metric("wal_packed_from_bytes"), 10'000u);
  EXPECT_LT(machine.Metric("wal_packed_to_bytes") * 4, machine.Metric("wal_packed_from_bytes"));
  ASSERT_TRUE(FirstPacked(machine).has_value());
  // Each start copies what it finds.
  for (int start = 0; start < 3; ++start) {
    start == 1 ? machine.PowerLoss() : machine.Kill();
    machine.Start();
    EXPECT_TRUE(FirstPacked(machine).has_value());
    EXPECT_EQ(machine.Contents("a"), LinesOf(texts));
    EXPECT_THAT(machine.Contents("b"), ElementsAre("1:1:small runs stay as they are"));
    EXPECT_GT(machine.Metric("read_wal_entries"), 0u);
  }
  // A flush reads them too.
  Flush(machine, machine.Log("other"), 2);
  machine.Kill();
  machine.Start();
  EXPECT_EQ(machine.Contents("a"), LinesOf(texts));
  EXPECT_GT(machine.Metric("read_segment_entries"), 0u);
}

// What the flush feeds borrows from frames that it lets go on the way.
TEST_F(BatchCompression, PW14_RunsOfSeveralFramesAreFlushedAndRead) {
  machine.options.wal_compression = Compression::kZstd;
  machine.options.wal_max_size_bytes = 512 << 10;
  machine.options.memory_budget = 16 << 20;
  machine.tuning.ring_records = 1024;
  machine.tuning.ring_bytes = 256 << 10;
  machine.tuning.batch_bytes_max = 256 << 10;
  machine.Start();
  const std::vector<std::string> texts = Texts("a", 300);
  machine.Write(machine.Log("a"), 1, 1, texts);
  const std::optional<PackedPlace> place = FirstPacked(machine);
  ASSERT_TRUE(place.has_value());
  ASSERT_EQ(place->run.count, 300u) << "80 KB, so two frames";
  machine.Kill();
  machine.Start();
  EXPECT_EQ(machine.Contents("a"), LinesOf(texts));
  const LogRef other = machine.Log("other");
  for (int i = 0; i < 400 && machine.Metric("flush_rounds") == 0; ++i) {
    machine.Write(other, machine.store().BoundsOf(other)->end, 9, {std::string(3000, 'f')});
    machine.Settle();
  }
  EXPECT_GE(machine.Metric("flush_entries"), 300u);
  EXPECT_EQ(machine.Metric("flush_lost_entries"), 0u);
  machine.Kill();
  machine.Start();
  EXPECT_EQ(machine.Contents("a"), LinesOf(texts));
  EXPECT_GE(machine.Metric("read_segment_entries"), 300u);
}

constexpr std::size_t kLargeBytes = 300'000;

/// Entries of kLargeBytes fit, and compress to almost nothing.
void UseLargeEntries(Machine& machine) {
  machine.options.wal_compression = Compression::kZstd;
  machine.options.wal_max_size_bytes = 2 << 20;
  machine.tuning.ring_records = 1024;
  machine.tuning.ring_bytes = 512 << 10;
  machine.tuning.batch_bytes_max = 512 << 10;
}

ErrorCode CodeOf(const Result<Pin>& pin) {
  return pin.ok() ? ErrorCode::kNotFound : pin.error().code;
}

// The compressed run is read in a few hundred bytes. What is made of it is not there before it
// counts: the entry, the copy of it that is written, and what that is compressed into.
TEST_F(BatchCompression, PW14_B1_AFlushCountsALargeEntryBeforeItIsUnpacked) {
  for (const Compression compression : {Compression::kNone, Compression::kZstd}) {
    Machine flushed;
    UseLargeEntries(flushed);
    flushed.options.segment_compression = compression;
    flushed.Start();
    flushed.Write(flushed.Log("a"), 1, 1, {std::string(kLargeBytes, 'x')});
    const LogRef other = flushed.Log("other");
    std::uint64_t peak = 0;
    std::function<void()> look = [&] {
      peak = std::max(peak, flushed.Metric("memory_flush_bytes"));
      flushed.AtOperation(1, look);
    };
    flushed.AtOperation(1, look);
    for (Index index = 1; flushed.Metric("flush_entries") == 0; ++index) {
      ASSERT_LT(index, 1000u);
      flushed.Write(other, index, 1, {std::string(3000, 'f')});
      flushed.Settle();
    }
    const std::size_t copies = compression == Compression::kNone ? 2 : 3;
    EXPECT_GE(peak, copies * kLargeBytes);
  }
}

TEST_F(BatchCompression, PW14_B1_AFlushThatFailsLetsGoOfWhatItUnpacked) {
  UseLargeEntries(machine);
  machine.Start();
  const LogRef other = machine.Log("other");
  machine.Write(machine.Log("the last of a round"), 1, 1, {std::string(kLargeBytes, 'x')});
  machine.disk().Schedule({.kind = sim::OpKind::kWrite,
                           .file_class = ".seg",
                           .times = UINT64_MAX,
                           .effect = sim::FaultEffect::kIoError});
  for (Index index = 1; machine.Metric("flush_failures") == 0; ++index) {
    ASSERT_LT(index, 1000u);
    machine.Write(other, index, 1, {std::string(3000, 'f')});
    machine.Settle();
  }
  EXPECT_LT(machine.Metric("memory_flush_bytes"), kLargeBytes);
}

// Where there is no room nothing is unpacked: not even what is damaged says so then.
TEST_F(BatchCompression, PW14_B1_AReadHasRoomBeforeItUnpacks) {
  UseLargeEntries(machine);
  machine.Start();
  machine.Write(machine.Log("a"), 1, 1, {std::string(kLargeBytes, 'x')});
  machine.Write(machine.Log("a"), 2, 1, {std::string(kLargeBytes, 'y')});
  machine.Kill();
  machine.Start();
  const LogRef log = machine.Log("a");
  const auto read = [&] { return machine.store().Read(log, 1, 3, 1 << 20); };
  std::vector<Pin> pins;
  for (Result<Pin> pin = read(); pin.ok(); pin = read()) {
    ASSERT_LT(pins.size(), 100u);
    EXPECT_EQ(pin->entries()[0].payload.size(), kLargeBytes);
    pins.push_back(std::move(*pin));
    EXPECT_LE(machine.Metric("memory_used_bytes"), machine.options.memory_budget);
  }
  EXPECT_GT(pins.size(), 2u);
  for (const PackedPlace& place : AllPacked(machine)) machine.Rot(place.path, place.offset);
  EXPECT_EQ(CodeOf(read()), ErrorCode::kOverloaded);
  pins.clear();
  const std::uint64_t before = machine.Metric("memory_read_bytes");
  EXPECT_EQ(CodeOf(read()), ErrorCode::kCorruption);
  EXPECT_EQ(machine.Metric("memory_read_bytes"), before);
}

TEST_F(SegmentCompression, SG5_B1_AReadHasRoomBeforeItUnpacks) {
  UseLargeEntries(machine);
  machine.options.segment_compression = Compression::kZstd;
  machine.Start();
  machine.Write(machine.Log("a"), 1, 1, {std::string(kLargeBytes, 'x')});
  machine.Write(machine.Log("a"), 2, 1, {std::string(kLargeBytes, 'y')});
  const LogRef other = machine.Log("other");
  for (Index index = 1; machine.Metric("flush_entries") == 0; ++index) {
    ASSERT_LT(index, 1000u);
    machine.Write(other, index, 1, {std::string(3000, 'f')});
    machine.Settle();
  }
  machine.Kill();
  machine.Start();
  const LogRef log = machine.Log("a");
  const auto read = [&] { return machine.store().Read(log, 1, 3, 1 << 20); };
  std::vector<Pin> pins;
  for (Result<Pin> pin = read(); pin.ok(); pin = read()) {
    ASSERT_LT(pins.size(), 100u);
    EXPECT_EQ(pin->entries()[0].payload.size(), kLargeBytes);
    pins.push_back(std::move(*pin));
    EXPECT_LE(machine.Metric("memory_used_bytes"), machine.options.memory_budget);
  }
  EXPECT_GT(machine.Metric("read_segment_entries"), 2u);
  EXPECT_GT(pins.size(), 2u);
  constexpr std::uint64_t kFirstRecords =
      segments::kFileHeaderBytes + segments::kRunHeaderBytes + 8;
  machine.Rot(SegmentOf(machine, machine.UidOf("a")), kFirstRecords);
  EXPECT_EQ(CodeOf(read()), ErrorCode::kOverloaded);
  pins.clear();
  EXPECT_EQ(machine.Metric("memory_read_bytes"), 0u);
  EXPECT_EQ(CodeOf(read()), ErrorCode::kCorruption);
  EXPECT_EQ(machine.Metric("memory_read_bytes"), 0u);
}

// Entries that fit are answered, though the frame behind them does not.
TEST_F(BatchCompression, PW14_B1_AReadEndsBeforeTheFrameThatHasNoRoom) {
  UseLargeEntries(machine);
  machine.Start();
  const std::vector<std::string> texts = Texts("a", 900);
  machine.Write(machine.Log("a"), 1, 1, texts);
  ASSERT_EQ(FirstPacked(machine)->run.count, 900u) << "240 KB, so four frames";
  machine.Kill();
  machine.Start();
  const LogRef log = machine.Log("a");
  std::vector<Pin> pins;
  std::size_t fewest = 900;
  while (true) {
    Result<Pin> pin = machine.store().Read(log, 1, 901, 1 << 20);
    if (!pin.ok()) break;
    fewest = std::min(fewest, pin->entries().size());
    for (const EntryView& entry : pin->entries()) {
      ASSERT_EQ(AsText(entry.payload), texts[entry.index - 1]);
    }
    pins.push_back(std::move(*pin));
  }
  EXPECT_LT(fewest, 900u);
  EXPECT_GT(pins.size(), 2u);
}

TEST_F(BatchCompression, PW14_B1_WhatCompressesABatchCounts) {
  std::uint64_t used[2] = {};
  for (const bool packs : {false, true}) {
    Machine one;
    UseLargeEntries(one);
    one.options.wal_compression = packs ? Compression::kZstd : Compression::kNone;
    one.Start();
    one.Write(one.Log("a"), 1, 1, {std::string(kLargeBytes, 'x')});
    used[packs ? 1 : 0] = one.Metric("memory_used_bytes");
  }
  EXPECT_GT(used[1], used[0] + kLargeBytes / 8 * 7);
}

TEST_F(BatchCompression, PW14_WhatOneLogHasTooLittleOfIsNotTried) {
  machine.options.wal_compression = Compression::kZstd;
  machine.Start();
  for (int i = 0; i < 30; ++i) {
    machine.Write(machine.Log("log/" + std::to_string(i)), 1, 1, Texts("x", 3));
  }
  EXPECT_EQ(machine.Metric("wal_packed_from_bytes"), 0u);
}

TEST_F(BatchCompression, PW14_TheSettingMayComeAndGo) {
  std::vector<std::string> texts;
  for (int life = 0; life < 6; ++life) {
    SCOPED_TRACE(life);
    machine.options.wal_compression = life % 2 == 0 ? Compression::kZstd : Compression::kNone;
    machine.options.segment_compression = life % 3 == 0 ? Compression::kNone : Compression::kZstd;
    machine.Start();
    const LogRef log = machine.Log("a");
    EXPECT_EQ(machine.Contents(log), LinesOf(texts));
    const std::vector<std::string> more = Texts(std::to_string(life) + "/", 30);
    machine.Write(log, texts.size() + 1, 1, more);
    texts.insert(texts.end(), more.begin(), more.end());
    EXPECT_EQ(machine.Metric("wal_packed_from_bytes") > 0, life % 2 == 0);
    if (life == 3) Flush(machine, machine.Log("other"), 2);
    EXPECT_EQ(machine.Contents(log), LinesOf(texts));
    machine.Kill();
  }
}

TEST_F(BatchCompression, PW14_B5_DamageToAFrameTouchesItsLogAlone) {
  machine.options.wal_compression = Compression::kZstd;
  machine.Start();
  const std::vector<std::string> texts = Texts("a", 40);
  machine.Write(machine.Log("b"), 1, 1, {"before"});
  machine.Write(machine.Log("a"), 1, 1, texts);
  machine.Write(machine.Log("b"), 2, 1, {"behind"});
  machine.Kill();
  const std::optional<PackedPlace> place = FirstPacked(machine);
  ASSERT_TRUE(place.has_value());
  machine.Rot(place->path, place->offset);
  machine.Start();
  const std::vector<Finding>& findings = machine.store().recovery_report().findings;
  ASSERT_EQ(findings.size(), 1u);
  ASSERT_EQ(findings[0].touched.size(), 1u);
  EXPECT_EQ(findings[0].touched[0].log, "a");
  EXPECT_EQ(findings[0].touched[0].first, place->run.first);
  EXPECT_EQ(findings[0].touched[0].last, place->run.first + place->run.count - 1);
  EXPECT_TRUE(machine.Faulty("a"));
  EXPECT_FALSE(machine.Faulty("b"));
  EXPECT_THAT(machine.Contents("b"), ElementsAre("1:1:before", "2:1:behind"));
}

// Rot while the store runs: a read says so, and a flush knows what is lost.
TEST_F(BatchCompression, PW14_C10_ADamagedFrameIsNoEntry) {
  machine.options.wal_compression = Compression::kZstd;
  machine.Start();
  const LogRef log = machine.Log("a");
  machine.Write(log, 1, 1, Texts("a", 40));
  machine.Kill();
  machine.Start();  // What it reads now is in the WAL file alone.
  const std::optional<PackedPlace> place = FirstPacked(machine);
  ASSERT_TRUE(place.has_value());
  machine.Rot(place->path, place->offset);
  const std::vector<std::string> contents = machine.Contents("a");
  ASSERT_EQ(contents.size(), 40u);
  const std::vector<std::string> lines = LinesOf(Texts("a", 40));
  for (std::size_t i = 0; i < 40; ++i) {
    const bool lost = i + 1 >= place->run.first && i + 1 < place->run.first + place->run.count;
    EXPECT_EQ(contents[i], lost ? std::to_string(i + 1) + "!corruption" : lines[i]);
  }
  Flush(machine, machine.Log("other"), 2);
  EXPECT_TRUE(machine.Faulty("a"));
  EXPECT_EQ(machine.Metric("flush_lost_entries"), place->run.count);
}

// A file whose header copies are both gone has batches that count; what is copied of them is
// packed.
TEST_F(BatchCompression, PW14_PW6_ACopyOfAFileWithoutAHeaderSaysThatItIsPacked) {
  machine.options.wal_compression = Compression::kZstd;
  machine.Start();
  machine.Write(machine.Log("a"), 1, 1, Texts("a", 40));
  machine.Kill();
  const std::string path = FirstPacked(machine)->path;
  for (const std::uint64_t offset : {100u, 4096u + 100u}) machine.Rot(path, offset);
  machine.options.wal_compression = Compression::kNone;
  machine.Start();
  EXPECT_EQ(machine.Contents("a"), LinesOf(Texts("a", 40)));
  EXPECT_TRUE(FirstPacked(machine).has_value());  // And expects version 2 where it finds one.
}

}  // namespace
}  // namespace duramen::log
