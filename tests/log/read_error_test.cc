// Sectors that the device cannot read any more cost what stands in them, wherever they lie.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/bytes.h"
#include "tests/log/flush_machine.h"
#include "wal/format.h"

namespace duramen::log {
namespace {

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
  machine.disk().RestoreReads();
  machine.Idle();
  Flush(machine, other, 2);
  machine.PowerLoss();
  machine.Start();
  EXPECT_THAT(machine.Contents("a"), ElementsAre("1:1:a one"));
  EXPECT_FALSE(machine.Faulty("other"));
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

}  // namespace
}  // namespace duramen::log
