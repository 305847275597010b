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

/// A batch whose sync is under way, and one behind it. The ticket of the second.
Ticket TwoOnTheirWay(Machine& machine, LogRef log) {
  machine.disk().SetLatency(1'000'000);
  EXPECT_TRUE(machine.Append(log, 1, 1, {"one"}).ok());
  machine.Settle();
  const Ticket second = machine.Append(log, 2, 1, {"two"}).value();
  machine.Settle();
  return second;
}

TEST(Pipeline, W15_AFailedSyncWithAnotherBatchBehindItLosesNeither) {
  for (const bool power : {true, false}) {
    Machine machine;
    machine.Start();
    const LogRef log = machine.Log("a");
    machine.Settle();
    const Ticket second = TwoOnTheirWay(machine, log);
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
  (void)TwoOnTheirWay(machine, log);
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

/// Batches on their way name the rings by their places.
TEST(Pipeline, PW9_AWriterThatGoesWaitsForTheBatchesOfOthers) {
  Machine machine;
  machine.Start();
  auto leaving = std::make_unique<Writer>(machine.store().NewWriter().value());
  Writer staying = machine.store().NewWriter().value();
  const LogRef before = machine.store().OpenLog(*leaving, "a", OpenMode::kCreate).value();
  const LogRef log = machine.store().OpenLog(staying, "b", OpenMode::kCreate).value();
  const auto put = [](Writer& writer, LogRef to, Index index) {
    const EntryView entry{index, 1, kFirstUserKind, {}};
    const LogAppend group{to, {&entry, 1}};
    return writer.Append({&group, 1}).value();
  };
  Ticket last = 0;
  for (Index index = 1; index <= 10; ++index) last = put(*leaving, before, index);
  ASSERT_TRUE(leaving->Wait(last, Deadline::max()).ok());
  machine.disk().SetLatency(1'000'000);
  const Ticket on_its_way = put(staying, log, 1);
  machine.Settle();  // Written; its sync takes a millisecond that does not pass.
  const std::uint64_t batches = machine.Metric("wal_batches");
  EXPECT_LT(staying.durable(), on_its_way);
  leaving.reset();
  EXPECT_GT(machine.Metric("wal_batches"), batches) << "until that is durable";
  ASSERT_TRUE(staying.Wait(on_its_way, Deadline::max()).ok());
  EXPECT_EQ(staying.durable(), on_its_way);
  ASSERT_TRUE(staying.Wait(put(staying, log, 2), Deadline::max()).ok());
  EXPECT_EQ(machine.store().BoundsOf(log)->written_end, 3u);
}

/// Direct writes, `depth` at once, one block each.
void UseDirect(Machine& machine, std::uint64_t depth) {
  machine.options.wal_sync_method = SyncMethod::kDsync;
  machine.options.wal_pipeline_depth = depth;
  machine.options.wal_max_size_bytes = 256 << 10;
  machine.tuning.depth_adapts = false;
}

/// Appends "1", "2", ... in batches of their own, all of them in flight.
Ticket FillThePipe(Machine& machine, LogRef log, Index count) {
  machine.disk().SetLatency(1'000'000);
  Ticket last = 0;
  for (Index index = 1; index <= count; ++index) {
    last = machine.Append(log, index, 1, {std::to_string(index)}).value();
    machine.Settle();
  }
  EXPECT_EQ(machine.disk().disk().in_flight(), count);
  return last;
}

TEST(Pipeline, W19_OutOfOrderCompletionsAcknowledgeThePrefixOnly) {
  int holes = 0;
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    Machine machine;
    UseDirect(machine, 4);
    machine.Start();
    const LogRef log = machine.Log("a");
    machine.Settle();
    machine.disk().SeedFlight(seed);
    (void)FillThePipe(machine, log, 4);
    while (machine.disk().disk().in_flight() > 2) {  // Two have come back, whichever.
      if (machine.executor().RunOne()) continue;
      ASSERT_TRUE(machine.executor().AdvanceToNextTimer());
    }
    for (int i = 0; i < 2; ++i) ASSERT_TRUE(machine.executor().RunOne() || i > 0);
    (void)machine.writer().Poll();
    const Index acknowledged = machine.store().BoundsOf(log)->written_end;
    machine.PowerLoss();  // What was in flight is gone: perhaps a hole.
    machine.Start();
    const std::vector<std::string> seen = machine.Contents("a");
    ASSERT_GE(seen.size() + 1, acknowledged);
    for (std::size_t i = 0; i < seen.size(); ++i) {
      EXPECT_EQ(seen[i], std::to_string(i + 1) + ":1:" + std::to_string(i + 1));
    }
    EXPECT_FALSE(machine.Faulty("a"));
    EXPECT_FALSE(machine.store().recovery_report().damaged());
    holes += seen.size() < 2 ? 1 : 0;
    machine.Write(machine.Log("a"), seen.size() + 1, 2, {"after"});
  }
  EXPECT_GT(holes, 10) << "a batch behind a hole was durable, and was cut";
}

TEST(Pipeline, W19_KillInFlightLeavesNoGap) {
  for (std::uint64_t landed = 0; landed < 16; ++landed) {
    Machine machine;
    UseDirect(machine, 4);
    machine.Start();
    const LogRef log = machine.Log("a");
    machine.Settle();
    (void)FillThePipe(machine, log, 4);
    machine.Kill(landed);
    machine.Start();
    std::size_t prefix = 0;
    while (prefix < 4 && ((landed >> prefix) & 1) != 0) ++prefix;
    EXPECT_EQ(machine.Contents("a").size(), prefix) << landed;
    EXPECT_FALSE(machine.store().recovery_report().damaged());
  }
}

TEST(Pipeline, A14_AFailureWaitsForWhatElseIsInFlight) {
  Machine machine;
  UseDirect(machine, 4);
  machine.Start();
  const LogRef log = machine.Log("a");
  machine.Settle();
  const Ticket last = FillThePipe(machine, log, 4);
  machine.disk().Schedule({.kind = sim::OpKind::kDirectDone, .file_class = "wal"});
  while (machine.disk().faults_fired() == 0) {
    if (machine.executor().RunOne()) continue;
    ASSERT_TRUE(machine.executor().AdvanceToNextTimer());
  }
  if (machine.disk().disk().in_flight() > 0) {
    EXPECT_EQ(machine.Metric("wal_poisoned_files"), 0u) << "nothing is decided yet";
  }
  ASSERT_TRUE(machine.Wait(last).ok());
  EXPECT_EQ(machine.Metric("wal_poisoned_files"), 1u);
  machine.PowerLoss();
  machine.Start();
  EXPECT_THAT(machine.Contents("a"), ElementsAre("1:1:1", "2:1:2", "3:1:3", "4:1:4"));
}

/// Entries per simulated second with direct writes of 2 ms each.
double EntriesPerSecond(std::uint64_t depth) {
  Machine machine;
  UseDirect(machine, depth);
  machine.options.wal_max_size_bytes = 4 << 20;
  machine.options.wal_max_files = 64;
  machine.options.wal_max_batch_size = 8;
  machine.tuning.depth_adapts = true;
  machine.Start();
  const LogRef log = machine.Log("a");
  machine.Settle();
  machine.disk().SetLatency(2'000'000);
  Index next = 1;
  const auto run = [&](std::int64_t milliseconds) {
    const std::int64_t begin_ns = machine.In(0).time_since_epoch().count();
    const std::uint64_t before = machine.Metric("wal_entries");
    const std::int64_t end_ns = begin_ns + milliseconds * 1'000'000;
    while (machine.In(0).time_since_epoch().count() < end_ns) {
      while (machine.Append(log, next, 1, {"payload"}).ok()) ++next;
      machine.Settle();
      (void)machine.writer().TruncatePrefix(log, machine.store().BoundsOf(log)->written_end);
      if (!machine.executor().AdvanceToNextTimer()) break;
    }
    return machine.Metric("wal_entries") - before;
  };
  (void)run(1000);  // Files are made, and the depth is found.
  return static_cast<double>(run(2000)) / 2;
}

TEST(Pipeline, PW2_FourInFlightOnASlowDevice) {
  const double one = EntriesPerSecond(1);
  const double four = EntriesPerSecond(4);
  EXPECT_GT(one, 1000);
  EXPECT_GE(four, 3.5 * one) << one << " entries/s at depth 1";
}

TEST(Pipeline, W21_TheMethodIsChangedByARoll) {
  using Method = SyncMethod;
  for (const Method from : {Method::kDatasync, Method::kFsync, Method::kDsync, Method::kNone}) {
    for (const Method to : {Method::kDatasync, Method::kFsync, Method::kDsync}) {
      Machine machine;
      machine.options.wal_sync_method = from;
      machine.tuning.depth_adapts = false;
      machine.Start();
      const LogRef log = machine.Log("a");
      machine.Write(log, 1, 1, {"one", "two"});
      machine.disk().SetLatency(1'000'000);
      ASSERT_TRUE(machine.Append(log, 3, 1, {"three"}).ok());
      machine.Settle();  // In flight.
      // No flush makes durable what the WAL did not.
      machine.disk().Schedule(
          {.kind = sim::OpKind::kWrite, .file_class = ".seg", .times = UINT64_MAX});
      const std::uint64_t rolls = machine.Metric("wal_rolls");
      ASSERT_TRUE(machine.store().SetSyncMethod(to).ok());
      machine.Write(log, 4, 1, {"four"});
      machine.Write(log, 5, 1, {"five"});
      EXPECT_EQ(machine.Metric("wal_sync_method"), static_cast<std::uint64_t>(to));
      EXPECT_EQ(machine.Metric("wal_rolls"), rolls + (from == to ? 0 : 1));
      machine.PowerLoss();
      machine.Start();
      EXPECT_THAT(machine.Contents("a"),
                  ElementsAre("1:1:one", "2:1:two", "3:1:three", "4:1:four", "5:1:five"));
      EXPECT_FALSE(machine.store().recovery_report().damaged());
    }
  }
}

/// Changes of a file by buffered and by direct writes since `begin` of the trace.
struct Kinds {
  int buffered = 0;
  int direct = 0;
};
Kinds KindsOf(Machine& machine, std::size_t begin) {
  Kinds kinds;
  const auto& trace = machine.disk().trace();
  const sim::Image& image = machine.disk().disk().visible();
  for (std::size_t i = begin; i < trace.size(); ++i) {
    bool in_wal = false;
    for (const auto& [name, node] : image.entries(image.FindPath("/data/wal"))) {
      in_wal = in_wal || (node == trace[i].node && name.ends_with(".wal"));
    }
    if (!in_wal || trace[i].offset == 0) continue;  // What makes a file begins at its front.
    kinds.buffered += trace[i].kind == sim::OpKind::kWrite ? 1 : 0;
    kinds.direct += trace[i].kind == sim::OpKind::kWriteDirect ? 1 : 0;
  }
  return kinds;
}

TEST(Pipeline, C6_ZeroingAheadIsOfTheSameKindAsWriting) {
  for (const bool direct : {true, false}) {
    Machine machine;
    machine.options.wal_sync_method = direct ? SyncMethod::kDsync : SyncMethod::kDatasync;
    machine.options.wal_max_size_bytes = 8 << 20;  // Zeroed in pieces.
    machine.options.memory_budget = 64 << 20;
    machine.tuning.ring_bytes = 4 << 20;
    machine.tuning.chunk_bytes = 2 << 20;
    machine.tuning.batch_bytes_max = 2 << 20;
    machine.Start();
    const LogRef log = machine.Log("a");
    const std::size_t begin = machine.disk().trace().size();
    machine.Write(log, 1, 1, {std::string(1 << 20, 'x'), std::string(200'000, 'y')});
    const Kinds here = KindsOf(machine, begin);
    machine.Idle();
    const Kinds later = KindsOf(machine, begin);  // The pool's too.
    EXPECT_GE(direct ? here.direct : here.buffered, 2) << "the batch, and zeros ahead of it";
    EXPECT_EQ(direct ? later.buffered : later.direct, 0);
    EXPECT_EQ(machine.Contents("a").size(), 2u);
  }
}

/// Batches of 300,000 bytes, and more waiting than goes into one.
void UseLargeBatches(Machine& machine) {
  machine.options.wal_max_size_bytes = 64 << 20;
  machine.options.memory_budget = 256 << 20;
  machine.tuning.ring_bytes = 16 << 20;
  machine.tuning.chunk_bytes = 1 << 20;
  machine.tuning.batch_bytes_max = 8 << 20;
}

TEST(Pipeline, PW4_LargeBatchesAreNotWrittenTwice) {
  Machine machine;
  UseLargeBatches(machine);
  machine.Start();
  const LogRef log = machine.Log("a");
  constexpr Index kSettled = 20;
  constexpr Index kBatches = 40;
  const auto write = [&](Index from, Index to) {
    for (Index i = from; i <= to; ++i) machine.Write(log, i, 1, {std::string(300'000, 'x')});
  };
  write(1, kSettled);
  const std::size_t begin = machine.disk().trace().size();
  write(kSettled + 1, kBatches);
  const Kinds kinds = KindsOf(machine, begin);
  EXPECT_EQ(kinds.buffered, static_cast<int>(kBatches - kSettled)) << "no zeros, here or ahead";
  machine.PowerLoss();
  machine.Start();
  EXPECT_THAT(machine.Contents("a"), testing::SizeIs(kBatches));
}

TEST(Pipeline, PW1_BatchesAreLargeOnASlowDeviceOnly) {
  for (const bool slow : {false, true}) {
    Machine machine;
    UseLargeBatches(machine);
    machine.Start();
    const LogRef log = machine.Log("a");
    machine.disk().SetLatency(slow ? 20'000'000 : 200'000);
    Index next = 1;
    for (; next <= 20; ++next) machine.Write(log, next, 1, {"small"});
    const std::uint64_t batches = machine.Metric("wal_batches");
    Ticket last = 0;
    for (int i = 0; i < 12; ++i) {
      last = machine.Append(log, next++, 1, {std::string(500'000, 'x')}).value();
    }
    ASSERT_TRUE(machine.Wait(last).ok());
    const std::uint64_t took = machine.Metric("wal_batches") - batches;
    EXPECT_EQ(took <= 3, slow) << took;
  }
}

TEST(Pipeline, PW3_DirectIoThatIsNotThereIsRefusedWithAWayOut) {
  Machine machine;
  machine.options.wal_sync_method = SyncMethod::kDsync;
  machine.disk().RefuseDirect();
  const Status opened = machine.Open();
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().code, ErrorCode::kConfiguration);
  EXPECT_THAT(opened.error().message, ::testing::HasSubstr("dsync"));
  EXPECT_THAT(opened.error().hint, ::testing::HasSubstr("datasync"));
  machine.options.wal_sync_method = SyncMethod::kAuto;
  machine.Start();
  EXPECT_EQ(machine.Metric("wal_sync_method"), 0u);
  const Status changed = machine.store().SetSyncMethod(SyncMethod::kDsync);
  EXPECT_EQ(changed.error().code, ErrorCode::kConfiguration);
  machine.Write(machine.Log("a"), 1, 1, {"goes on"});
}

TEST(Pipeline, PW3_AutoIsMeasuredOnceAndKept) {
  Machine machine;
  machine.options.wal_sync_method = SyncMethod::kAuto;
  machine.Start();
  const std::vector<std::string> names = machine.NamesIn("/data/wal");
  EXPECT_THAT(names, ::testing::Contains("METHOD"));
  EXPECT_THAT(names, ::testing::Not(::testing::Contains("METHOD.probe")));
  machine.Write(machine.Log("a"), 1, 1, {"x"});
  const std::vector<std::byte> kept = machine.FileBytes("/data/wal/METHOD");
  machine.PowerLoss();
  machine.Start();
  EXPECT_EQ(machine.FileBytes("/data/wal/METHOD"), kept);
  machine.Kill();
  for (const std::uint64_t copy : {0u, 4096u}) machine.Rot("/data/wal/METHOD", copy + 41);
  machine.Start();  // Measured again.
  EXPECT_EQ(machine.FileBytes("/data/wal/METHOD"), kept);
}

}  // namespace
}  // namespace duramen::log
