// What logs and Writers share: the bytes of a batch, the slots of a file.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/bytes.h"
#include "tests/log/machine.h"
#include "wal/format.h"

namespace duramen::log {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

/// Appends to `log` until its Writer's ring takes no more. Returns the next index.
Index FillRing(Machine& machine, LogRef log, std::size_t writer, Index next) {
  while (machine.Append(log, next, 1, {std::string(1000, 'n')}, writer).ok()) ++next;
  return next;
}

TEST(Sharing, B7_AFullRingHoldsTheOthersForOneBatchAtMost) {
  for (const std::size_t noisy : {0u, 1u}) {
    SCOPED_TRACE(noisy);
    const std::size_t quiet = 1 - noisy;
    Machine machine;
    machine.options.wal_max_size_bytes = 512 << 10;
    machine.Start();
    const LogRef loud = machine.Log("loud", noisy);
    const LogRef still = machine.Log("still", quiet);
    machine.Settle();
    Index next = 1;
    for (Index round = 1; round <= 10; ++round) {
      next = FillRing(machine, loud, noisy, next);
      const std::uint64_t before = machine.Metric("wal_batches");
      const Ticket ticket = machine.Append(still, round, 1, {"q"}, quiet).value();
      while (machine.writer(quiet).durable() < ticket) {
        ASSERT_TRUE(machine.executor().RunOne());
        (void)machine.writer(quiet).Poll();
      }
      EXPECT_LE(machine.Metric("wal_batches") - before, 4u)
          << "two in flight, its own, and one that landed in the same step";
      EXPECT_LT(machine.store().BoundsOf(loud)->written_end, next) << "the ring was not drained";
    }
  }
}

/// 30 of them, and nothing on its way.
std::vector<LogRef> Thirty(Machine& machine) {
  machine.options.wal_max_size_bytes = 512 << 10;
  machine.Start();
  std::vector<LogRef> logs;
  for (int at = 0; at < 30; ++at) logs.push_back(machine.Log("log" + std::to_string(at)));
  machine.Settle();
  return logs;
}

TEST(Sharing, PW1_WhatAWriterHoldsGoesAsOneBatch) {
  Machine machine;
  const std::vector<LogRef> logs = Thirty(machine);
  const std::uint64_t before = machine.Metric("wal_batches");
  Writer& writer = machine.writer();
  const Ticket durable = writer.durable();
  writer.Hold();
  Ticket ticket = 0;
  for (const LogRef log : logs) {
    ASSERT_TRUE(writer.PutVote(log, 1, "me").ok());
    ticket = machine.Append(log, 1, 1, {"held"}).value();
    (void)machine.executor().RunUntilIdle(10'000);
  }
  EXPECT_EQ(writer.durable(), durable) << "nothing goes before Release";
  EXPECT_EQ(ticket, durable + 60) << "but each has its place";
  writer.Release();
  machine.Settle();
  EXPECT_EQ(writer.durable(), ticket);
  EXPECT_EQ(machine.Metric("wal_batches"), before + 1);
  for (const LogRef log : logs) EXPECT_EQ(machine.store().BoundsOf(log)->written_end, 2u);
}

TEST(Sharing, PW1_WhoWaitsWaitsForNothingHeld) {
  Machine machine;
  const std::vector<LogRef> logs = Thirty(machine);
  Writer& writer = machine.writer();
  writer.Hold();
  const Ticket ticket = machine.Append(logs[0], 1, 1, {"awaited"}).value();
  EXPECT_TRUE(writer.Wait(ticket, Deadline::max()).ok());
  const Ticket next = machine.Append(logs[1], 1, 1, {"held again"}).value();
  (void)machine.executor().RunUntilIdle(10'000);
  EXPECT_LT(writer.durable(), next);
  ASSERT_TRUE(writer.WaitForRoom(logs[1], 1, 10, Deadline::max()).ok());
  (void)machine.executor().RunUntilIdle(10'000);
  EXPECT_LT(writer.durable(), next) << "there is room";
  // As much as the ring takes in bytes: room comes once that is durable.
  for (Index at = 2; at <= 16; ++at)
    ASSERT_TRUE(machine.Append(logs[at], 1, 1, {std::string(4000, 'f')}).ok());
  EXPECT_TRUE(writer.WaitForRoom(logs[20], 1, 10'000, Deadline::max()).ok());
  EXPECT_GE(writer.durable(), next);
}

TEST(Sharing, B7_NoMoreThanAQuarterOfTheRingIsHeld) {
  Machine machine;
  const std::vector<LogRef> logs = Thirty(machine);
  Writer& writer = machine.writer();
  writer.Hold();
  Index next = 1;
  for (; next <= 2000; ++next) {
    const Result<Ticket> ticket = machine.Append(logs[0], next, 1, {"much"});
    ASSERT_TRUE(ticket.ok()) << ticket.error().message << " at " << next;
    (void)machine.executor().RunUntilIdle(10'000);
    (void)writer.Poll();
    ASSERT_LE(*ticket - writer.durable(), 256u / 4 + 1);
  }
  writer.Release();
  machine.Settle();
  EXPECT_EQ(machine.store().BoundsOf(logs[0])->written_end, next);
}

/// Two logs with live entries in a file that stays as it is; the next file binds their slots anew.
class Bindings : public ::testing::Test {
 protected:
  void SetUp() override {
    machine.options.wal_max_size_bytes = 64 << 10;
    machine.Start();
    machine.Write(machine.Log("b"), 1, 1, std::vector<std::string>(6, std::string(3000, 'b')));
    machine.Write(machine.Log("a"), 1, 1, {"1"});
    machine.Idle();
    ASSERT_TRUE(machine.Close().ok());
    machine.Start();
    machine.Write(machine.Log("c"), 1, 1, {"registered here"});
    machine.Write(machine.Log("a"), 2, 1, {"a"});
    machine.Write(machine.Log("c"), 2, 1, {"c"});
    Index next = 3;
    for (const char* text : {"seven", "eight", "nine"}) {  // A batch of one block each.
      machine.Write(machine.Log("b"), next + 4, 1, {text});
      machine.Write(machine.Log("a"), next++, 1, {"a"});
    }
    machine.Write(machine.Log("c"), 3, 1, {"c"});
    machine.Idle();
    ASSERT_TRUE(machine.Close().ok());
  }
  /// Nothing of the batch, one block, with this text in a payload can be read any more.
  void LoseBatchWith(const std::string& text) {
    const std::string directory = "/data/wal/";
    for (const std::string& name : machine.WalFiles()) {
      const std::vector<std::byte> bytes = machine.FileBytes(directory + name);
      const std::uint64_t place = AsText(Bytes(bytes)).find(text);
      if (place == std::string_view::npos) continue;
      const std::uint64_t begin = place / wal::kBlockBytes * wal::kBlockBytes;
      for (std::uint64_t i = 0; i < wal::kBlockBytes; ++i) {
        machine.disk().Rot(directory + name, begin + i, std::byte{0});
      }
      return;
    }
    FAIL() << "no batch with " << text;
  }
  void ExpectOnlyFaulty(const std::string& name) {
    EXPECT_TRUE(machine.store().recovery_report().damaged());
    ASSERT_THAT(machine.store().Logs(), SizeIs(3));
    for (const LogInfo& info : machine.store().Logs()) {
      EXPECT_EQ(info.faulty, info.name == name) << info.name;
    }
    EXPECT_THAT(machine.Contents("a"), ElementsAre("1:1:1", "2:1:a", "3:1:a", "4:1:a", "5:1:a"));
  }
  Machine machine;
};

// Nothing else on disk names this log: its slot and its registration are read from the next batch.
TEST_F(Bindings, C7_ABindingLostWithItsBatchIsReadFromItsRepeat) {
  LoseBatchWith("registered here");
  machine.Start();
  ExpectOnlyFaulty("c");
  EXPECT_THAT(machine.Contents("c"), ElementsAre("1!faulty", "2:1:c", "3:1:c"));
}

// Both batches that bound the slot are gone: whose its records are their checksums say.
TEST_F(Bindings, C7_ARunOfAnOrphanSlotIsKnownByItsChecksums) {
  LoseBatchWith("seven");
  LoseBatchWith("eight");
  machine.Start();
  ExpectOnlyFaulty("b");
  const std::vector<std::string> b = machine.Contents("b");
  ASSERT_THAT(b, SizeIs(9));
  EXPECT_EQ(b[6], "7!faulty");
  EXPECT_EQ(b[7], "8!faulty");
  EXPECT_EQ(b[8], "9:1:nine");
}

}  // namespace
}  // namespace duramen::log
