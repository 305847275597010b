// Batches under way: what is encoded, acknowledged and recovered while writes are in flight.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/log/machine.h"

namespace duramen::log {
namespace {

using ::testing::ElementsAre;

TEST(Pipeline, PW2_TheNextBatchIsEncodedWhileOneIsSynced) {
  Machine machine;
  machine.Start();
  const LogRef log = machine.Log("a");
  machine.Settle();
  machine.disk().SetLatency(1'000'000);
  const std::uint64_t batches = machine.Metric("wal_batches");
  ASSERT_TRUE(machine.Append(log, 1, 1, {"one"}).ok());
  machine.Settle();  // Written; its sync takes a millisecond that does not pass.
  const std::uint64_t bytes = machine.Metric("wal_bytes");
  const Ticket second = machine.Append(log, 2, 1, {"two"}).value();
  machine.Settle();
  EXPECT_GT(machine.Metric("wal_bytes"), bytes) << "encoded, and on its way";
  EXPECT_EQ(machine.Metric("wal_batches"), batches) << "neither is durable";
  EXPECT_EQ(machine.store().BoundsOf(log)->written_end, 1u);
  ASSERT_TRUE(machine.Wait(second).ok());
  EXPECT_EQ(machine.Metric("wal_batches"), batches + 2);
  machine.PowerLoss();
  machine.Start();
  EXPECT_THAT(machine.Contents("a"), ElementsAre("1:1:one", "2:1:two"));
}

TEST(Pipeline, W15_AFailedSyncWithAnotherBatchBehindItLosesNeither) {
  for (const bool power : {true, false}) {
    Machine machine;
    machine.Start();
    const LogRef log = machine.Log("a");
    machine.Settle();
    machine.disk().SetLatency(1'000'000);
    ASSERT_TRUE(machine.Append(log, 1, 1, {"one"}).ok());
    machine.Settle();
    const Ticket second = machine.Append(log, 2, 1, {"two"}).value();
    machine.Settle();
    machine.disk().Schedule({.kind = sim::OpKind::kSyncData, .file_class = "wal"});
    ASSERT_TRUE(machine.Wait(second).ok());
    EXPECT_EQ(machine.disk().faults_fired(), 1u);
    EXPECT_EQ(machine.Metric("wal_poisoned_files"), 1u);
    if (power) machine.PowerLoss();
    if (!power) machine.Kill();  // [W24]
    machine.Start();
    EXPECT_THAT(machine.Contents("a"), ElementsAre("1:1:one", "2:1:two"));
    EXPECT_FALSE(machine.store().recovery_report().damaged());
  }
}

TEST(Pipeline, W24_WhatAFailedSyncLeftInThePageCacheIsNotTakenForDurable) {
  Machine machine;
  machine.Start();
  const LogRef log = machine.Log("a");
  machine.Settle();
  machine.disk().SetLatency(1'000'000);
  ASSERT_TRUE(machine.Append(log, 1, 1, {"one"}).ok());
  machine.Settle();
  ASSERT_TRUE(machine.Append(log, 2, 1, {"two"}).ok());
  machine.Settle();
  machine.disk().Schedule({.kind = sim::OpKind::kSyncData, .file_class = "wal", .times = 2});
  while (machine.disk().faults_fired() < 1) {
    if (machine.executor().RunOne()) continue;
    ASSERT_TRUE(machine.executor().AdvanceToNextTimer());
  }
  machine.Kill();
  machine.Start();  // Copies what it read, and syncs it, before anybody sees it.
  const std::vector<std::string> seen = machine.Contents("a");
  machine.PowerLoss();
  machine.Start();
  EXPECT_EQ(machine.Contents("a"), seen);
}

}  // namespace
}  // namespace duramen::log
