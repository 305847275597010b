// A faulty log that is repaired with another's copy of it, and keeps its uid: what a leader does
// for a member [A3]. Whatever interrupts it, the log is faulty, or it is whole.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/log/damaged_log.h"
#include "tests/log/flush_machine.h"
#include "tests/log/machine.h"

namespace duramen::log {
namespace {

using ::testing::ElementsAre;

LogFault FaultOf(Machine& machine, LogRef log) { return machine.store().FaultOf(log).value(); }

/// What its owner does: says what is lost, cuts there, takes the copy, says that all is there.
void Heal(Machine& machine) {
  const LogRef log = machine.Log("a");
  const LogFault fault = FaultOf(machine, log);
  if (!fault.faulty()) return;
  Writer& writer = machine.writer();
  (void)writer.PutFault(log, fault);
  (void)writer.TruncateSuffix(log, fault.from);
  for (Index index = fault.from; index <= 6; ++index) {
    const Result<Ticket> taken = machine.Append(log, index, 4, {"copy" + std::to_string(index)});
    if (!taken.ok() || !machine.Wait(*taken).ok()) return;
  }
  const Result<Ticket> ended = writer.PutFault(log, {});
  if (ended.ok()) (void)machine.Wait(*ended);
}

TEST(Heal, A3_R19_AFaultyLogIsRepairedUnderItsUid) {
  Machine machine;
  std::string uid;
  machine.UseDisk(DamagedLog(uid));
  machine.Start();
  const LogRef log = machine.Log("a");
  const LogFault fault = FaultOf(machine, log);
  EXPECT_EQ(fault.from, 3U);
  EXPECT_EQ(fault.to, 3U);
  EXPECT_FALSE(fault.vote_lost);
  EXPECT_FALSE(FaultOf(machine, machine.Log("b")).faulty());
  EXPECT_EQ(machine.Append(log, 6, 4, {"x"}).error().code, ErrorCode::kFaulty)
      << "who does not know of the damage does not write over it";
  Heal(machine);
  EXPECT_FALSE(machine.Faulty("a"));
  machine.Write(log, 7, 4, {"a7"});
  machine.Idle();
  machine.PowerLoss();
  machine.Start();
  EXPECT_FALSE(machine.Faulty("a"));
  EXPECT_EQ(machine.UidOf("a"), uid);
  EXPECT_THAT(machine.Contents("a"), ElementsAre("1:1:a1", "2:1:a2", "3:4:copy3", "4:4:copy4",
                                                 "5:4:copy5", "6:4:copy6", "7:4:a7"));
  EXPECT_EQ(machine.store().VoteOf(machine.Log("a"))->term, 3U);
}

TEST(Heal, M9_RestartedTwiceBeforeItIsHealedItIsStillFaulty) {
  Machine machine;
  std::string uid;
  machine.UseDisk(DamagedLog(uid));
  machine.Start();
  const LogRef log = machine.Log("a");
  ASSERT_TRUE(machine.writer().PutFault(log, FaultOf(machine, log)).ok());
  ASSERT_TRUE(machine.writer().TruncateSuffix(log, 3).ok());
  machine.Write(log, 3, 4, {"copy3"});
  for (int start = 0; start < 3; ++start) {
    machine.Idle();
    start % 2 == 0 ? machine.PowerLoss() : machine.Kill();
    machine.Start();
    EXPECT_TRUE(machine.Faulty("a")) << "nothing of the damage is left but the row";
    const LogRef again = machine.Log("a");
    EXPECT_EQ(FaultOf(machine, again).from, 3U);
    EXPECT_EQ(machine.Append(again, 4, 4, {"x"}).error().code, ErrorCode::kFaulty)
        << "the leave to write ends with the process";
  }
  Heal(machine);
  EXPECT_FALSE(machine.Faulty("a"));
}

/// A crash at every operation of the disk on the way.
TEST(Heal, A3_ACrashAnywhereLeavesItFaultyOrWhole) {
  std::string uid;
  const sim::DiskState disk = DamagedLog(uid);
  bool whole = false;
  std::uint64_t crashes = 0;
  for (std::uint64_t at = 1; !whole; ++at) {
    ASSERT_LT(at, 1000U);
    Machine machine;
    machine.options.wal_max_batch_size = 1;
    machine.UseDisk(disk);
    machine.Start();
    sim::DiskState left;
    bool crashed = false;
    machine.AtOperation(at, [&] {
      crashed = true;
      left = sim::DiskState(machine.disk().disk().durable());
    });
    Heal(machine);
    machine.Settle();
    whole = !crashed;
    if (whole) break;
    ++crashes;
    Machine after;
    after.UseDisk(left);
    after.Start();
    if (after.Faulty("a")) {
      Heal(after);
    }
    EXPECT_FALSE(after.Faulty("a"));
    EXPECT_THAT(after.Contents("a"), ElementsAre("1:1:a1", "2:1:a2", "3:4:copy3", "4:4:copy4",
                                                 "5:4:copy5", "6:4:copy6"))
        << "operation " << at;
    EXPECT_EQ(after.UidOf("a"), uid);
  }
  EXPECT_GT(crashes, 10U);
}

/// "a" has six entries in two runs of a segment, which rots from that byte on, or ends there.
sim::DiskState DamagedSegment(std::size_t offset, bool cut) {
  Machine machine;
  UseSmallFiles(machine);
  machine.Start();
  machine.Write(machine.Log("a"), 1, 3, {"a1", "a2"});
  Flush(machine, machine.Log("other"), 2);
  machine.Write(machine.Log("a"), 3, 3, {"a3", "a4", "a5", "a6"});
  Flush(machine, machine.Log("other"), 2);
  const std::string folder = "/data/servers/" + machine.UidOf("a");
  EXPECT_TRUE(machine.Close().ok());
  for (const std::string& name : machine.NamesIn(folder)) {
    const std::string path = folder + "/" + name;
    const std::size_t size = machine.FileBytes(path).size();
    if (offset >= size) continue;
    for (std::size_t at = offset; !cut && at < size; ++at) machine.Rot(path, at);
    if (!cut) continue;
    const std::unique_ptr<Directory> directory = machine.disk().Open(folder).value();
    const std::unique_ptr<File> file = directory->Open(name, OpenFor::kReadWrite).value();
    EXPECT_TRUE(file->Truncate(offset).ok());
  }
  return machine.disk().disk();
}

/// Heals it, lets generations of others pass, and comes back three times. False: nothing was lost.
bool HealsForGood(const sim::DiskState& damaged, std::uint64_t rounds) {
  Machine machine;
  UseSmallFiles(machine);
  machine.UseDisk(damaged);
  machine.Start();
  if (!FaultOf(machine, machine.Log("a")).faulty()) return false;
  Heal(machine);
  EXPECT_FALSE(machine.Faulty("a"));
  const std::vector<std::string> healed = machine.Contents("a");
  EXPECT_EQ(healed.size(), 6U);
  // What is behind the hole cannot be read either, which only a read finds.
  const auto unreadable = [](const std::string& line) { return line.find('!') != line.npos; };
  if (std::ranges::any_of(healed, unreadable)) return false;
  Flush(machine, machine.Log("other"), rounds);
  for (int start = 0; start < 3; ++start) {
    start == 1 ? machine.Kill() : machine.PowerLoss();
    machine.Start();
    EXPECT_FALSE(machine.Faulty("a"))
        << "start " << start << ": " << machine.store().recovery_report().ToText();
    EXPECT_EQ(machine.Contents("a"), healed);
    Flush(machine, machine.Log("other"), 1);
  }
  return true;
}

// What rots in a segment stays there, below the copy that replaced it.
TEST(Heal, A3_R19_WhatWasHealedIsNotFoundDamagedAgain) {
  std::uint64_t healings = 0;
  for (const bool cut : {false, true}) {
    for (std::size_t offset = 0; offset < 1200; offset += 40) {
      const sim::DiskState damaged = DamagedSegment(offset, cut);
      for (std::uint64_t rounds = 0; rounds < 4; ++rounds) {
        SCOPED_TRACE((cut ? "cut at " : "rotten from ") + std::to_string(offset) + ", " +
                     std::to_string(rounds) + " rounds");
        if (HealsForGood(damaged, rounds)) ++healings;
        if (HasFailure()) return;
      }
    }
  }
  EXPECT_GT(healings, 100U);
}

TEST(Heal, A1_NoCopyBringsALostVoteBack) {
  Machine machine;
  machine.Start();
  const LogRef log = machine.Log("a");
  machine.Write(log, 1, 1, {"a1"});
  ASSERT_TRUE(machine.writer().PutFault(log, {.vote_lost = true, .reason = "for a test"}).ok());
  EXPECT_TRUE(machine.Faulty("a"));
  EXPECT_EQ(machine.writer().PutFault(log, {}).error().code, ErrorCode::kRefused);
  EXPECT_EQ(machine.writer().PutFault(log, {.from = 2, .to = 1}).error().code,
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(machine.writer().PutVote(log, 2, "n").error().code, ErrorCode::kFaulty);
}

}  // namespace
}  // namespace duramen::log
