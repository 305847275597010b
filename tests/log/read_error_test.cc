// Sectors that the device cannot read any more cost what stands in them, wherever they lie.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "base/bytes.h"
#include "log/repair.h"
#include "tests/log/flush_machine.h"
#include "wal/format.h"

namespace duramen::log {
namespace {

using ::testing::AnyOf;
using ::testing::ElementsAre;

constexpr std::uint64_t kBlockBytes = 4096;

struct Place {
  std::string path;
  std::uint64_t offset = 0;
};

Place FindInWal(const Machine& machine, std::string_view text) {
  const Bytes wanted = AsBytes(text);
  for (const std::string& name : machine.WalFiles()) {
    const std::vector<std::byte> bytes = machine.FileBytes("/data/wal/" + name);
    const auto at = std::search(bytes.begin(), bytes.end(), wanted.begin(), wanted.end());
    if (at == bytes.end()) continue;
    return {"/data/wal/" + name, static_cast<std::uint64_t>(at - bytes.begin())};
  }
  ADD_FAILURE() << text << " stands in no WAL file";
  return {};
}

void LoseBlock(Machine& machine, const Place& place) {
  const std::uint64_t begin = place.offset / kBlockBytes * kBlockBytes;
  machine.disk().FailReads(place.path, begin, begin + kBlockBytes);
}

/// "a" has entries 1 and 2 in one block of a WAL file, and 3 in another.
void StartWithABadBlock(Machine& machine) {
  UseSmallFiles(machine);
  machine.Start();
  machine.Write(machine.Log("a"), 1, 1, {"a one", "a two"});
  machine.Write(machine.Log("a"), 3, 1, {"a three"});
  machine.Write(machine.Log("b"), 1, 1, {"b one"});
  const Place lost = FindInWal(machine, "a one");
  ASSERT_EQ(FindInWal(machine, "a two").offset / kBlockBytes, lost.offset / kBlockBytes);
  ASSERT_NE(FindInWal(machine, "a three").offset / kBlockBytes, lost.offset / kBlockBytes);
  LoseBlock(machine, lost);
}

void ExpectOneAndTwoLost(Machine& machine) {
  EXPECT_THAT(machine.Contents("a"), ElementsAre("1!faulty", "2!faulty", "3:1:a three"));
  EXPECT_TRUE(machine.Faulty("a"));
  EXPECT_THAT(machine.Contents("b"), ElementsAre("1:1:b one"));
  EXPECT_FALSE(machine.Faulty("b"));
  EXPECT_FALSE(machine.Faulty("other"));
}

TEST(ReadError, A3_B1_B5_ARunInABadBlockIsLeftOutAndHoldsNoRound) {
  Machine machine;
  StartWithABadBlock(machine);
  Flush(machine, machine.Log("other"), 3);
  EXPECT_EQ(machine.Metric("flush_failures"), 0u);
  EXPECT_GT(machine.Metric("wal_recycled_files"), 0u);
  EXPECT_TRUE(machine.Faulty("a"));
  for (int start = 0; start < 2; ++start) {
    machine.PowerLoss();
    machine.Start();
    ExpectOneAndTwoLost(machine);
    Flush(machine, machine.Log("other"), 2);
  }
}

// A start lands the run again; then it is flushed.
TEST(ReadError, A3_B5_ARunInABadBlockIsContainedByAStart) {
  Machine machine;
  StartWithABadBlock(machine);
  machine.Kill();
  for (int start = 0; start < 2; ++start) {
    machine.Start();
    ExpectOneAndTwoLost(machine);
    Flush(machine, machine.Log("other"), 2);
    EXPECT_EQ(machine.Metric("flush_failures"), 0u);
    machine.PowerLoss();
  }
}

/// All WAL files that are there, from one end to the other.
void LoseWal(Machine& machine) {
  for (const std::string& name : machine.WalFiles()) {
    const std::string path = "/data/wal/" + name;
    machine.disk().FailReads(path, 0, machine.FileBytes(path).size());
  }
}

void ExpectNothingLostOnceItIsBack(Machine& machine, LogRef other) {
  machine.disk().RestoreReads();
  machine.Idle();
  Flush(machine, other, 2);
  machine.PowerLoss();
  machine.Start();
  EXPECT_THAT(machine.Contents("a"), ElementsAre("1:1:a one"));
  EXPECT_FALSE(machine.Faulty("other"));
}

// What a device does not give for a while is not lost.
TEST(ReadError, A3_AWalDeviceThatIsAwayMakesNoLogFaulty) {
  Machine machine;
  UseSmallFiles(machine);
  machine.Start();
  const LogRef a = machine.Log("a");
  machine.Write(a, 1, 1, {"a one"});
  const LogRef other = machine.Log("other");
  for (int i = 0; i < 40 && machine.Metric("flush_failures") == 0; ++i) {
    LoseWal(machine);
    machine.Write(other, machine.store().BoundsOf(other)->end, 1, {std::string(3000, 'o')});
    machine.Settle();
  }
  ASSERT_GT(machine.Metric("flush_failures"), 0u);
  EXPECT_FALSE(machine.Faulty("a"));
  EXPECT_FALSE(machine.Faulty("other"));
  ExpectNothingLostOnceItIsBack(machine, other);
}

// What the WAL closed before says nothing of a device that is away now.
TEST(ReadError, A3_AWalDeviceThatIsAwayWithABacklogMakesNoLogFaulty) {
  Machine machine;
  UseSmallFiles(machine);
  machine.Start();
  machine.Write(machine.Log("a"), 1, 1, {"a one"});
  const LogRef other = machine.Log("other");
  const auto write_other = [&] {
    machine.Write(other, machine.store().BoundsOf(other)->end, 1, {std::string(3000, 'o')});
    machine.Settle();
  };
  machine.disk().Schedule({.kind = sim::OpKind::kWrite, .file_class = ".seg", .times = 2});
  for (int i = 0; i < 40 && machine.Metric("flush_failures") == 0; ++i) write_other();
  ASSERT_GT(machine.Metric("flush_failures"), 0u);
  for (int i = 0; i < 20; ++i) write_other();  // Until another file waits to be flushed.
  LoseWal(machine);
  const std::uint64_t failures = machine.Metric("flush_failures");
  machine.Idle();
  ASSERT_GT(machine.Metric("flush_failures"), failures);
  ExpectNothingLostOnceItIsBack(machine, other);
}

// A file that is gone for good holds the others only until the WAL shows that the device is there.
TEST(ReadError, B1_AWalFileThatIsGoneForGoodHoldsNoRoundForEver) {
  Machine machine;
  UseSmallFiles(machine);
  machine.options.wal_max_files = 6;
  machine.Start();
  machine.Write(machine.Log("a"), 1, 1, {"a one"});
  const std::string path = FindInWal(machine, "a one").path;
  const std::uint64_t size = machine.FileBytes(path).size();
  for (int i = 0; i < 60; ++i) {
    const bool there = machine.disk().disk().visible().FindPath(path) != 0;
    if (there) machine.disk().FailReads(path, 0, size);  // What was written to it could be read.
    // Each in its own, for those with entries in that file are lost too.
    machine.Write(machine.Log("other" + std::to_string(i)), 1, 1, {std::string(3000, 'o')});
    machine.Settle();
    if (i % 10 == 9) machine.Idle();
  }
  EXPECT_GT(machine.Metric("flush_failures"), 0u);
  EXPECT_GT(machine.Metric("flush_rounds"), 3u);
  EXPECT_EQ(machine.store().pressure(), Pressure::kNone);
  machine.PowerLoss();
  machine.Start();
  EXPECT_THAT(machine.Contents("a"), ElementsAre("1!faulty"));
}

constexpr Index kEntries = 8;

std::string TextOf(Index index) { return std::to_string(index) + std::string(1500, 'a'); }

/// Logs "a" and "b" in segments alone, each of some blocks, in a store that is closed.
sim::DiskState FlushedStore() {
  Machine machine;
  UseSmallFiles(machine);
  machine.Start();
  for (Index i = 1; i <= kEntries; ++i) {
    for (const char* name : {"a", "b"}) machine.Write(machine.Log(name), i, 1, {TextOf(i)});
  }
  Flush(machine, machine.Log("other"), 3);
  EXPECT_GT(machine.Metric("wal_recycled_files"), 0u);
  machine.Write(machine.Log("a"), kEntries + 1, 1, {TextOf(kEntries + 1)});  // In the WAL.
  EXPECT_TRUE(machine.Close().ok());
  return machine.disk().disk();
}

/// How many entries of the log are not there; each of them has to say that it was lost.
std::size_t LostOf(Machine& machine, const std::string& name, Index end) {
  std::size_t lost = 0;
  const std::vector<std::string> contents = machine.Contents(name);
  // With the header of the last batch it is lost how far its logs went, which makes them faulty.
  EXPECT_TRUE(contents.size() == end - 1 || machine.Faulty(name)) << name;
  lost += end - 1 - std::min<std::size_t>(contents.size(), end - 1);
  for (Index i = 1; i < end && i <= contents.size(); ++i) {
    const std::string index = std::to_string(i);
    if (contents[i - 1] == index + ":1:" + TextOf(i)) continue;
    // A payload in a segment is held against its checksum when it is read.
    EXPECT_THAT(contents[i - 1], AnyOf(index + "!faulty", index + "!corruption")) << name;
    ++lost;
  }
  return lost;
}

/// Every file below `path` with its size.
void CollectFiles(const sim::Image& image, const std::string& path,
                  std::map<std::string, std::uint64_t>& files) {
  for (const auto& [name, node] : image.entries(image.FindPath(path))) {
    const std::string child = path + "/" + name;
    if (image.IsDirectory(node)) {
      CollectFiles(image, child, files);
    } else {
      files[child] = image.content(node).size_bytes();
    }
  }
}

struct Repaired {
  RepairOutcome outcome;
  std::string message;  // why not
};

Repaired RepairDisk(sim::SimFileSystem& disk) {
  ManualClock clock;
  LoopExecutor executor(Rng(5), clock);
  const RepairOptions options{.data_dir = "/data"};
  Result<RepairOutcome> outcome = RepairStore(options, {disk, clock, executor, Rng(6)});
  if (!outcome.ok()) return {.message = outcome.error().message};
  return {.outcome = std::move(*outcome)};
}

// SYSTEM, IDENTITY, checkpoints, WAL files, headers and ends of segments: one block of any of them.
TEST(ReadError, A3_A14_ABadBlockOfAnyFileRefusesNoStart) {
  const sim::DiskState disk = FlushedStore();
  std::map<std::string, std::uint64_t> files;
  CollectFiles(disk.visible(), "/data", files);
  std::uint64_t starts_with_loss = 0;
  std::uint64_t failed_reads = 0;
  for (const auto& [path, size_bytes] : files) {
    for (std::uint64_t at = 0; at < size_bytes && !HasFailure(); at += kBlockBytes) {
      SCOPED_TRACE(path + " at " + std::to_string(at));
      Machine machine;
      UseSmallFiles(machine);
      machine.UseDisk(disk);
      LoseBlock(machine, {path, at});
      machine.Start();
      ASSERT_TRUE(machine.up());
      failed_reads += machine.disk().reads_failed();
      const std::size_t lost =
          LostOf(machine, "a", kEntries + 2) + LostOf(machine, "b", kEntries + 1);
      starts_with_loss += lost > 0 ? 1 : 0;
      const bool holds_entries = path.ends_with(".seg") || path.ends_with(".wal");
      EXPECT_LE(lost, holds_entries ? kBlockBytes / 1500 + 2 : 0);
      if (machine.Faulty("other")) continue;  // Then it takes no more.
      Flush(machine, machine.Log("other"), 2);
      EXPECT_EQ(machine.Metric("flush_failures"), 0u);
      EXPECT_EQ(LostOf(machine, "a", kEntries + 2) + LostOf(machine, "b", kEntries + 1), lost);
    }
  }
  EXPECT_GT(starts_with_loss, 6u);
  EXPECT_GT(failed_reads, files.size());
}

// What is bad before a repair is zeros in what it keeps, and said; an undo puts the rest back.
TEST(ReadError, A3_ABadBlockOfAnyFileRefusesNoRepair) {
  const sim::DiskState disk = FlushedStore();
  std::map<std::string, std::uint64_t> files;
  CollectFiles(disk.visible(), "/data", files);
  std::uint64_t told = 0;
  for (const auto& [path, size_bytes] : files) {
    for (std::uint64_t at = 0; at < size_bytes && !HasFailure(); at += kBlockBytes) {
      SCOPED_TRACE(path + " at " + std::to_string(at));
      Machine machine;
      UseSmallFiles(machine);
      machine.UseDisk(disk);
      LoseBlock(machine, {path, at});
      const Repaired repaired = RepairDisk(machine.disk());
      ASSERT_EQ(repaired.message, "");
      for (const UnreadableOriginal& original : repaired.outcome.unreadable) {
        EXPECT_EQ("/data/" + original.path, path);
        EXPECT_LE(original.bytes, kBlockBytes);
        ++told;
      }
      const bool mended = path == "/data/SYSTEM";
      EXPECT_TRUE(!mended || repaired.outcome.unreadable.size() == 1);
      machine.Start();
      ASSERT_TRUE(machine.up());
      machine.Kill();
      machine.UseDisk(disk);
      LoseBlock(machine, {path, at});
      const Repaired again = RepairDisk(machine.disk());
      if (again.outcome.id.empty()) continue;
      const auto undone = UndoRepair("/data", again.outcome.id, false, machine.disk());
      ASSERT_TRUE(undone.ok()) << undone.error().message;
      machine.Start();
      EXPECT_LE(LostOf(machine, "a", kEntries + 2) + LostOf(machine, "b", kEntries + 1), 4u);
    }
  }
  EXPECT_GT(told, 5u);
}

}  // namespace
}  // namespace duramen::log
