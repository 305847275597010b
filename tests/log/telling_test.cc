// What a store tells of itself: stalls, waits, lags and damage, in virtual time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "tests/log/machine.h"

namespace duramen::log {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr std::int64_t kMs = 1'000'000;
constexpr std::uint64_t kWrite = 1;  // The operations of a batch, as they come.
constexpr std::uint64_t kSync = 2;

class Telling : public ::testing::Test {
 protected:
  void SetUp() override {
    machine.options.log_sink = {Take, this};
    machine.Start();
    log = machine.Log("a");
    machine.Settle();
  }
  static void Take(void* argument, const LogEvent& event) noexcept {
    if (event.code != "wal.stall") return;
    auto& stalls = static_cast<Telling*>(argument)->stalls;
    stalls.emplace_back();
    for (const LogField& field : event.fields) {
      stalls.back()[std::string(field.key)] = field.value;
    }
  }
  /// A batch of one entry whose operation `operation` takes `ns`.
  void Slow(std::uint64_t operation, std::int64_t ns) {
    machine.AtOperation(operation, [this, ns] { machine.Advance(ns); });
    machine.Write(log, next++, 1, {"entry"});
  }
  duramen::Metric Full(std::string_view name) const {
    struct Wanted {
      std::string_view name;
      duramen::Metric metric;
    } wanted{name, {}};
    machine.store().VisitMetrics(
        [](void* argument, const duramen::Metric& metric) {
          Wanted& into = *static_cast<Wanted*>(argument);
          if (metric.name == into.name) into.metric = metric;
        },
        &wanted);
    EXPECT_EQ(wanted.metric.name, name);
    return wanted.metric;
  }
  mutable Machine machine;
  LogRef log;
  Index next = 1;
  std::vector<std::map<std::string, std::string>> stalls;
};

TEST_F(Telling, PW13_AStalledSyncIsToldWithTheBatchesBeforeIt) {
  for (int i = 0; i < 3; ++i) machine.Write(log, next++, 1, {"entry"});
  EXPECT_THAT(stalls, SizeIs(0));
  std::uint64_t seen = 0;
  machine.AtOperation(kSync, [&] {
    machine.Advance(700 * kMs);
    seen = machine.Metric("wal_in_flight_ns");  // Not over yet, and visible.
  });
  machine.Write(log, next++, 1, {"entry"});
  EXPECT_EQ(seen, 700u * kMs);
  EXPECT_EQ(machine.Metric("wal_in_flight_ns"), 0u);
  EXPECT_EQ(machine.Metric("wal_stalls"), 1u);
  EXPECT_EQ(machine.Metric("wal_stall_ns"), 700u * kMs);
  ASSERT_THAT(stalls, SizeIs(1));
  EXPECT_EQ(stalls[0]["where"], "sync");
  EXPECT_EQ(stalls[0]["ms"], "700");
  EXPECT_THAT(stalls[0]["file"], HasSubstr(".wal"));
  EXPECT_THAT(stalls[0]["batches"], AllOf(HasSubstr("sync 0.000 ms, notify 0.000 ms; batch"),
                                          HasSubstr(" 1 records, "), HasSubstr("sync 700.000 ms")));
  EXPECT_LT(stalls[0]["batches"].size(), 16u * 300);
  EXPECT_EQ(Full("wal_sync_ns").max, 700u * kMs);
}

TEST_F(Telling, PW13_AStalledWriteIsToldAsOne) {
  std::uint64_t seen = 0;
  machine.AtOperation(kWrite, [&] {
    machine.Advance(500 * kMs);
    seen = machine.Metric("wal_in_flight_ns");
  });
  machine.Write(log, next++, 1, {"entry"});
  EXPECT_EQ(seen, 500u * kMs);
  ASSERT_THAT(stalls, SizeIs(1));
  EXPECT_EQ(stalls[0]["where"], "write");
}

TEST_F(Telling, PW13_ADeviceThatIsSlowForLongDoesNotFloodTheLog) {
  for (int i = 0; i < 5; ++i) Slow(kSync, 600 * kMs);
  EXPECT_EQ(machine.Metric("wal_stalls"), 5u);
  ASSERT_THAT(stalls, SizeIs(1));
  machine.Advance(20'000 * kMs);
  Slow(kSync, 600 * kMs);
  ASSERT_THAT(stalls, SizeIs(2));
  EXPECT_EQ(stalls[1]["not_told_since"], "4");
}

TEST_F(Telling, PW13_TheThresholdDecides) {
  Slow(kSync, 499 * kMs);
  EXPECT_EQ(machine.Metric("wal_stalls"), 0u);
  ASSERT_TRUE(machine.Close().ok());
  machine.options.wal_stall_threshold = 0;
  machine.Start();
  log = machine.Log("a");
  machine.Settle();
  Slow(kSync, 50'000 * kMs);
  EXPECT_EQ(machine.Metric("wal_stalls"), 0u);
  EXPECT_THAT(stalls, SizeIs(0));
}

TEST_F(Telling, TL4_EveryRecordIsCountedWithItsWait) {
  const duramen::Metric before = Full("wal_queue_wait_ns");
  const duramen::Metric committed = Full("wal_commit_ns");
  (void)machine.Append(log, next, 1, std::vector<std::string>(20, "x")).value();
  next += 20;
  machine.Advance(3 * kMs);
  machine.AtOperation(kSync, [&] { machine.Advance(2 * kMs); });
  (void)machine.Append(log, next, 1, std::vector<std::string>(4, "x")).value();
  next += 4;
  machine.Settle();
  const duramen::Metric wait = Full("wal_queue_wait_ns");
  EXPECT_EQ(wait.kind, MetricKind::kHistogram);
  EXPECT_EQ(wait.count - before.count, 24u);
  EXPECT_EQ(wait.value - before.value, 20u * 3 * kMs) << "the last four had not to wait";
  EXPECT_EQ(wait.max, 3u * kMs);
  const duramen::Metric commit = Full("wal_commit_ns");
  EXPECT_EQ(commit.count - committed.count, 24u);
  EXPECT_EQ(commit.value - committed.value, (20u * 5 + 4u * 2) * kMs);
  EXPECT_EQ(Full("wal_batch_records").count, machine.Metric("wal_batches"));
  EXPECT_EQ(Full("wal_batch_bytes").value, machine.Metric("wal_bytes"));
  EXPECT_EQ(Full("wal_sync_ns").count, machine.Metric("wal_syncs"));
}

TEST_F(Telling, W15_WhatIsWrittenAgainIsCounted) {
  machine.Write(log, next++, 1, {"one"});
  machine.disk().Schedule({.kind = sim::OpKind::kSyncData, .file_class = "#.wal"});
  machine.Write(log, next++, 1, {"two"});
  EXPECT_EQ(machine.Metric("wal_resent_records"), 1u);
  EXPECT_EQ(machine.Metric("wal_poisoned_files"), 1u);
  EXPECT_EQ(machine.Metric("wal_in_flight_ns"), 0u) << "a sync that failed is over";
  EXPECT_EQ(machine.Metric("wal_state"), 0u);
}

TEST_F(Telling, TL4_TheFlushSaysHowFarItIsBehind) {
  // Rolled files make generations, and no segment can be made.
  machine.disk().Schedule(
      {.kind = sim::OpKind::kCreate, .file_class = "#.seg", .times = UINT64_MAX});
  while (machine.Metric("wal_rolls") < 2) {
    machine.Write(log, next++, 1, {std::string(4000, 'x')});
    machine.Settle();
  }
  EXPECT_GE(machine.Metric("flush_waiting_files"), 1u);
  const std::uint64_t lag = machine.Metric("flush_lag_ns");
  machine.Advance(5'000 * kMs);
  EXPECT_EQ(machine.Metric("flush_lag_ns") - lag, 5'000u * kMs);
  EXPECT_GT(machine.Metric("flush_failures"), 0u);
  machine.disk().ClearFaults();
  machine.Idle();
  EXPECT_EQ(machine.Metric("flush_lag_ns"), 0u);
  EXPECT_EQ(machine.Metric("flush_waiting_files"), 0u);
  EXPECT_GT(machine.Metric("segment_bytes"), 4000u);
  EXPECT_GE(machine.Metric("segment_files"), 1u);
  EXPECT_EQ(machine.Metric("flush_logs"), machine.Metric("flush_rounds"));
  EXPECT_EQ(Full("flush_round_ns").count, machine.Metric("flush_rounds"));
}

TEST_F(Telling, TL4_DamageAndMemoryAreCounted) {
  for (int i = 0; i < 3; ++i) machine.Write(log, next++, 1, {"entry " + std::to_string(i)});
  EXPECT_GT(machine.Metric("memory_ring_bytes"), 0u);
  EXPECT_GE(machine.Metric("memory_used_bytes"), machine.Metric("memory_ring_bytes"));
  EXPECT_EQ(machine.Metric("memory_limit_bytes"), machine.options.memory_budget);
  EXPECT_EQ(machine.Metric("logs"), 1u);
  EXPECT_EQ(machine.Metric("writers"), 1u);
  EXPECT_EQ(machine.Metric("faulty_logs"), 0u);
  machine.Idle();  // A seal proves the batches.
  ASSERT_TRUE(machine.Close().ok());
  const std::string file = "/data/wal/" + machine.WalFiles().front();
  const std::vector<std::byte> bytes = machine.FileBytes(file);
  const std::size_t at =
      std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()).find("entry 1");
  ASSERT_NE(at, std::string_view::npos);
  machine.Rot(file, at);
  machine.Start();
  EXPECT_EQ(machine.Metric("start_damaged"), 1u);
  EXPECT_EQ(machine.Metric("faulty_logs"), 1u);
  EXPECT_EQ(machine.Metric("boot"), 2u);
  const LogRef again = machine.Log("a");
  machine.Settle();
  {
    const Result<Pin> pin = machine.store().Read(again, 1, 2, 1 << 20);
    ASSERT_TRUE(pin.ok());
    EXPECT_GT(machine.Metric("memory_read_bytes"), 0u);
  }
  EXPECT_EQ(machine.Metric("memory_read_bytes"), 0u);
  EXPECT_EQ(machine.Metric("read_calls"), 1u);
  EXPECT_EQ(machine.Metric("read_wal_entries") + machine.Metric("read_segment_entries"), 1u);
  ASSERT_TRUE(machine.Wait(machine.store().DeleteLog(machine.writer(), again).value()).ok());
  machine.Settle();
  EXPECT_EQ(machine.Metric("logs"), 0u);
  EXPECT_EQ(machine.Metric("faulty_logs"), 0u);
}

TEST_F(Telling, TL4_ARefusedAppendIsCounted) {
  while (machine.Append(log, next, 1, {std::string(1000, 'x')}).ok()) ++next;
  EXPECT_EQ(machine.Metric("append_overloaded"), 1u);
  EXPECT_EQ(machine.Metric("append_disk_full"), 0u);
}

/// The warnings about file systems of a machine's start.
class FileSystems : public ::testing::Test {
 protected:
  void SetUp() override { machine.options.log_sink = {Take, this}; }
  static void Take(void* argument, const LogEvent& event) noexcept {
    if (event.code != "store.file_system") return;
    EXPECT_EQ(event.level, LogLevel::kWarning);
    static_cast<FileSystems*>(argument)->said.emplace_back(event.sentence);
  }
  Machine machine;
  std::vector<std::string> said;
};

TEST_F(FileSystems, T4_MemoryIsSaidAtEveryOpen) {
  machine.disk().SayKind("/data", {FileSystemClass::kMemory, "tmpfs"});
  machine.disk().SayKind("/data/wal", {FileSystemClass::kMemory, "tmpfs"});
  machine.Start();
  EXPECT_THAT(said, ::testing::ElementsAre(HasSubstr("'/data' is on tmpfs, which is memory")));
  machine.Write(machine.Log("a"), 1, 1, {"it works all the same"});
}

TEST_F(FileSystems, T4_AWalDirElsewhereIsSaidByItself) {
  machine.options.wal_dir = "/wal";
  machine.disk().SayKind("/data", {FileSystemClass::kOverlay, "overlay"});
  machine.disk().SayKind("/wal", {FileSystemClass::kNetwork, "nfs"});
  machine.Start();
  EXPECT_THAT(said, ::testing::ElementsAre(HasSubstr("'/data' is on overlay"),
                                           HasSubstr("'/wal' is on nfs: a sync is worth")));
}

TEST_F(FileSystems, T4_AMountBelowTheDirectoryIsSaidAndADiskIsNot) {
  machine.disk().SayKind("/data", {FileSystemClass::kOther, "ext4"});
  machine.disk().SayKind("/data/wal", {FileSystemClass::kMemory, "tmpfs"});
  machine.Start();
  EXPECT_THAT(said, ::testing::ElementsAre(HasSubstr("'/data/wal' is on tmpfs")));
}

TEST_F(FileSystems, T4_AFailoverDirectoryIsSaidByItself) {
  machine.options.wal_failover_dir = "/away";
  machine.disk().SayKind("/away", {FileSystemClass::kMemory, "tmpfs"});
  machine.Start();
  EXPECT_THAT(said, ::testing::ElementsAre(HasSubstr("'/away' is on tmpfs")));
}

}  // namespace
}  // namespace duramen::log
