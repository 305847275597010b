// What segments and checkpoints owe a log whose WAL files are gone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/bytes.h"
#include "tests/log/flush_machine.h"

namespace duramen::log {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

constexpr char kServers[] = "/data/servers";
constexpr char kMeta[] = "/data/meta";

/// A log "a" whose entries are in segments alone, and a log "other" that made the WAL roll.
void StartFlushed(Machine& machine) {
  UseSmallFiles(machine);
  machine.Start();
  const LogRef a = machine.Log("a");
  machine.Write(a, 1, 1, {"a1", "a2", "a3"});
  ASSERT_TRUE(machine.Wait(machine.writer().PutVote(a, 4, "n1").value()).ok());
  machine.Write(a, 4, 4, {"a4"});
  Flush(machine, machine.Log("other"));
  Flush(machine, machine.Log("other"));
  ASSERT_GT(machine.Metric("wal_recycled_files"), 0u);
}

TEST(Flush, SG2_EntriesAreReadFromSegmentsOnceTheirWalFileIsGone) {
  Machine machine;
  StartFlushed(machine);
  for (const int way : {0, 1, 2, 3}) {
    EXPECT_THAT(machine.Contents("a"), ElementsAre("1:1:a1", "2:1:a2", "3:1:a3", "4:4:a4"));
    const LogRef a = machine.Log("a");
    EXPECT_EQ(machine.store().VoteOf(a)->term, 4u);
    EXPECT_EQ(machine.store().TermAt(a, 3).value(), 1u);
    EXPECT_FALSE(machine.store().recovery_report().damaged());
    way == 0 ? machine.Kill() : machine.PowerLoss();
    machine.Start();
  }
}

// The process dies, or the power goes, at each operation of rounds; whatever was acknowledged
// before is there, and nothing twice.
TEST(Flush, G3_W8_ARoundThatStopsAnywhereIsRepeated) {
  for (const bool power : {false, true}) {
    for (std::uint64_t skip = 0; skip < 400; ++skip) {
      SCOPED_TRACE(::testing::Message() << power << " after " << skip);
      Machine machine;
      UseSmallFiles(machine);
      machine.Start();
      const LogRef a = machine.Log("a");
      machine.Write(a, 1, 1, {"a1", "a2", "a3"});
      machine.Write(machine.Log("b"), 1, 2, {"b1"});
      machine.disk().Schedule(
          {.kind = {}, .file_class = "", .skip = skip, .effect = sim::FaultEffect::kCrash});
      const LogRef other = machine.Log("other");
      for (Index i = 1; i <= 14 && !machine.disk().crashed(); ++i) {
        const Result<Ticket> ticket = machine.Append(other, i, 1, {std::string(3000, 'o')});
        machine.Settle();
      }
      const bool over = !machine.disk().crashed();
      power ? machine.PowerLoss() : machine.Kill();
      machine.Start();
      ASSERT_FALSE(machine.store().recovery_report().damaged());
      ASSERT_THAT(machine.Contents("a"), ElementsAre("1:1:a1", "2:1:a2", "3:1:a3"));
      ASSERT_THAT(machine.Contents("b"), ElementsAre("1:2:b1"));
      Flush(machine, machine.Log("other"));
      ASSERT_THAT(machine.Contents("a"), ElementsAre("1:1:a1", "2:1:a2", "3:1:a3"));
      if (over) break;
    }
  }
}

TEST(Flush, A8_G15_ATruncationOverSegmentsOutlivesItsWalFile) {
  Machine machine;
  StartFlushed(machine);
  ASSERT_TRUE(machine.Wait(machine.writer().TruncateSuffix(machine.Log("a"), 3).value()).ok());
  Flush(machine, machine.Log("other"));
  Flush(machine, machine.Log("other"));
  for (int start = 0; start < 2; ++start) {
    EXPECT_THAT(machine.Contents("a"), ElementsAre("1:1:a1", "2:1:a2"));
    machine.PowerLoss();
    machine.Start();
  }
  machine.Write(machine.Log("a"), 3, 5, {"new"});
  Flush(machine, machine.Log("other"));
  machine.PowerLoss();
  machine.Start();
  EXPECT_THAT(machine.Contents("a"), ElementsAre("1:1:a1", "2:1:a2", "3:5:new"));
}

TEST(Flush, A8_AnOverwriteAndAResetCutWhatSegmentsHold) {
  Machine machine;
  StartFlushed(machine);
  machine.Write(machine.Log("a"), 2, 7, {"two"});
  Flush(machine, machine.Log("other"));
  machine.PowerLoss();
  machine.Start();
  EXPECT_THAT(machine.Contents("a"), ElementsAre("1:1:a1", "2:7:two"));
  ASSERT_TRUE(machine.Wait(machine.writer().Reset(machine.Log("a"), 2, 6).value()).ok());
  Flush(machine, machine.Log("other"));
  machine.PowerLoss();
  machine.Start();
  EXPECT_THAT(machine.Contents("a"), SizeIs(0));
  EXPECT_EQ(machine.store().BoundsOf(machine.Log("a"))->begin, 2u);
  machine.Write(machine.Log("a"), 2, 8, {"anew"});
  Flush(machine, machine.Log("other"));
  machine.PowerLoss();
  machine.Start();
  EXPECT_THAT(machine.Contents("a"), ElementsAre("2:8:anew"));
  EXPECT_FALSE(machine.store().recovery_report().damaged());
}

// A round asks for the floors of what it has to write again while the mark of one is on its way:
// the WAL cannot write. The round ends, its checkpoints cover the WAL file, and the power goes.
TEST(Flush, A9_AFloorWhoseMarkIsInFlightIsNotUsed) {
  Machine machine;
  UseSmallFiles(machine);
  machine.Start();
  const LogRef a = machine.Log("a");
  machine.Write(a, 1, 1, {"a1", "a2", "a3"});
  machine.disk().Schedule(
      {.kind = sim::OpKind::kSyncData, .file_class = ".seg", .times = UINT64_MAX});
  const LogRef other = machine.Log("other");
  for (Index i = 1; machine.Metric("flush_failures") == 0; ++i) {
    machine.Write(other, i, 1, {std::string(3000, 'o')});
    machine.Settle();
  }
  const sim::Fault wal_fails{
      .kind = sim::OpKind::kWrite, .file_class = "wal/", .times = UINT64_MAX};
  machine.disk().Schedule(wal_fails);
  ASSERT_TRUE(machine.writer().TruncatePrefix(a, 4).ok());
  const auto advance_until = [&](std::string_view metric, std::uint64_t wanted) {
    for (int i = 0; i < 20 && machine.Metric(metric) < wanted; ++i) {
      machine.Settle();
      ASSERT_TRUE(machine.executor().AdvanceToNextTimer());
    }
    ASSERT_GE(machine.Metric(metric), wanted);
  };
  // Once more with the mark on its way: a round looks for floors where an attempt has failed.
  advance_until("flush_failures", machine.Metric("flush_failures") + 1);
  machine.disk().ClearFaults();
  machine.disk().Schedule(wal_fails);
  advance_until("flush_rounds", 1);
  machine.PowerLoss();
  machine.Start();
  EXPECT_FALSE(machine.store().recovery_report().damaged());
  EXPECT_THAT(machine.Contents("a"), ElementsAre("1:1:a1", "2:1:a2", "3:1:a3"));
}

// The flusher waits at each of its operations while the log changes under it.
TEST(Flush, G2_G14_W18_ChangesDuringARoundWin) {
  for (std::uint64_t at = 1; at < 60; ++at) {
    for (const int change : {0, 1, 2}) {
      SCOPED_TRACE(::testing::Message() << "operation " << at << " change " << change);
      Machine machine;
      UseSmallFiles(machine);
      machine.Start();
      const LogRef a = machine.Log("a");
      machine.Write(a, 1, 1, {"a1", "a2", "a3"});
      const LogRef other = machine.Log("other");
      bool changed = false;
      machine.AtOperation(20 + at, [&] {
        changed = true;
        if (change == 0) {
          EXPECT_TRUE(machine.Append(a, 2, 2, {"new"}).ok());
        } else if (change == 1) {
          EXPECT_TRUE(machine.writer().TruncatePrefix(a, 3).ok());
        } else {
          EXPECT_TRUE(machine.writer().TruncateSuffix(a, 2).ok());
        }
      });
      for (Index i = 1; i <= 20; ++i) machine.Write(other, i, 1, {std::string(3000, 'o')});
      machine.Settle();
      if (!changed) return;
      const std::vector<std::string> expected = change == 0
                                                    ? std::vector<std::string>{"1:1:a1", "2:2:new"}
                                                : change == 1 ? std::vector<std::string>{"3:1:a3"}
                                                              : std::vector<std::string>{"1:1:a1"};
      ASSERT_EQ(machine.Contents("a"), expected);
      Flush(machine, other);
      ASSERT_EQ(machine.Contents("a"), expected);
      machine.PowerLoss();
      machine.Start();
      ASSERT_EQ(machine.Contents("a"), expected);
      ASSERT_FALSE(machine.store().recovery_report().damaged());
    }
  }
}

TEST(Flush, A7_G16_M9_ALostLastSegmentIsDamageInExactlyItsRange) {
  Machine machine;
  StartFlushed(machine);
  const std::string path = std::string(kServers) + "/" + machine.UidOf("a");
  const std::vector<std::string> names = machine.NamesIn(path);
  ASSERT_THAT(names, SizeIs(1));
  ASSERT_TRUE(machine.Close().ok());
  {
    std::unique_ptr<Directory> directory = machine.disk().Open(path).value();
    ASSERT_TRUE(directory->Remove(names[0]).ok());
    ASSERT_TRUE(directory->Sync().ok());
  }
  for (int start = 0; start < 3; ++start) {
    machine.Start();
    EXPECT_TRUE(machine.Faulty("a")) << "start " << start;
    EXPECT_FALSE(machine.Faulty("other"));
    EXPECT_THAT(machine.Contents("a"), ElementsAre("1!faulty", "2!faulty", "3!faulty", "4!faulty"));
    EXPECT_EQ(machine.store().VoteOf(machine.Log("a"))->term, 4u) << "rows are not touched";
    EXPECT_EQ(machine.Append(machine.Log("a"), 5, 5, {"x"}).error().code, ErrorCode::kFaulty);
    Flush(machine, machine.Log("other"));
    machine.PowerLoss();
  }
}

TEST(Flush, G5_ADamagedEntryIsNeverServed) {
  Machine machine;
  StartFlushed(machine);
  const std::string file = SegmentOf(machine, machine.UidOf("a"));
  const std::vector<std::byte> bytes = machine.FileBytes(file);
  const std::string_view text = AsText(bytes);
  machine.Kill();
  machine.Rot(file, text.find("a2"));
  machine.Start();
  EXPECT_THAT(machine.Contents("a"), ElementsAre("1:1:a1", "2!corruption", "3:1:a3", "4:4:a4"));
}

TEST(Flush, M2_EitherCheckpointIsEnough) {
  for (const char* name : {"checkpoint-a", "checkpoint-b"}) {
    Machine machine;
    StartFlushed(machine);
    ASSERT_TRUE(machine.Close().ok());
    const std::string path = std::string(kMeta) + "/" + name;
    for (std::uint64_t at = 0; at < machine.FileBytes(path).size(); at += 97) {
      machine.Rot(path, at);
    }
    machine.Start();
    EXPECT_FALSE(machine.store().recovery_report().damaged());
    EXPECT_EQ(machine.store().VoteOf(machine.Log("a"))->term, 4u);
    EXPECT_THAT(machine.Contents("a"), ElementsAre("1:1:a1", "2:1:a2", "3:1:a3", "4:4:a4"));
  }
}

// Neither is left: nobody may vote as if nothing had been, and no directory is garbage.
TEST(Flush, A2_A18_M7_WithoutCheckpointsEveryLogIsFaulty) {
  Machine machine;
  StartFlushed(machine);
  const std::string uid = machine.UidOf("a");
  ASSERT_TRUE(machine.Close().ok());
  for (const char* name : {"checkpoint-a", "checkpoint-b"}) {
    const std::string path = std::string(kMeta) + "/" + name;
    for (std::uint64_t at = 0; at < machine.FileBytes(path).size(); at += 97) {
      machine.Rot(path, at);
    }
  }
  for (int start = 0; start < 3; ++start) {
    machine.Start();
    EXPECT_TRUE(machine.store().recovery_report().damaged()) << "start " << start;
    EXPECT_TRUE(machine.Faulty(uid)) << "start " << start;
    const LogRef lost = machine.Log(uid);
    EXPECT_EQ(machine.writer().PutVote(lost, 4, "n2").error().code, ErrorCode::kFaulty);
    machine.PowerLoss();
  }
}

TEST(Flush, B8_AFailedSyncOfTheFileSystemIsWrittenAgain) {
  Machine machine;
  UseSmallFiles(machine);
  machine.Start();
  Ticket last = 0;
  for (int i = 0; i < 8; ++i) {  // All in one generation.
    last = machine.Append(machine.Log("log" + std::to_string(i)), 1, 1, {"entry"}).value();
  }
  ASSERT_TRUE(machine.Wait(last).ok());
  machine.disk().Schedule({.kind = sim::OpKind::kSyncFileSystem, .file_class = ""});
  const LogRef other = machine.Log("other");
  for (Index i = 1; i <= 12; ++i) machine.Write(other, i, 1, {std::string(3000, 'o')});
  machine.Settle();
  EXPECT_EQ(machine.disk().faults_fired(), 1u);
  EXPECT_GT(machine.Metric("flush_failures"), 0u);
  while (machine.Metric("flush_rounds") == 0) {
    ASSERT_TRUE(machine.executor().AdvanceToNextTimer());
    machine.Settle();
  }
  Flush(machine, other);
  machine.PowerLoss();
  machine.Start();
  EXPECT_FALSE(machine.store().recovery_report().damaged());
  for (int i = 0; i < 8; ++i) {
    EXPECT_THAT(machine.Contents("log" + std::to_string(i)), ElementsAre("1:1:entry"));
  }
}

TEST(Flush, G4_OneLogThatCannotBeWrittenHoldsTheWalFileOnly) {
  Machine machine;
  UseSmallFiles(machine);
  machine.Start();
  machine.Write(machine.Log("a"), 1, 1, {"a1"});
  machine.Write(machine.Log("b"), 1, 1, {"b1"});
  machine.disk().Schedule({.kind = sim::OpKind::kSyncData, .file_class = ".seg", .times = 3});
  const LogRef other = machine.Log("other");
  for (Index i = 1; i <= 12; ++i) machine.Write(other, i, 1, {std::string(3000, 'o')});
  machine.Settle();
  EXPECT_EQ(machine.Metric("wal_recycled_files"), 0u);
  EXPECT_THAT(machine.Contents("a"), ElementsAre("1:1:a1"));
  for (int i = 0; i < 10 && machine.Metric("flush_rounds") == 0; ++i) {
    ASSERT_TRUE(machine.executor().AdvanceToNextTimer());
    machine.Settle();
  }
  Flush(machine, other);
  machine.PowerLoss();
  machine.Start();
  EXPECT_THAT(machine.Contents("a"), ElementsAre("1:1:a1"));
  EXPECT_THAT(machine.Contents("b"), ElementsAre("1:1:b1"));
}

TEST(Flush, G1_CL10_ADeletedLogLeavesNothingAndDoesNotComeBack) {
  Machine machine;
  StartFlushed(machine);
  const std::string uid = machine.UidOf("a");
  ASSERT_TRUE(
      machine.Wait(machine.store().DeleteLog(machine.writer(), machine.Log("a")).value()).ok());
  machine.Settle();
  machine.Write(machine.Log("a"), 1, 1, {"anew"});
  for (int round = 0; round < 3; ++round) Flush(machine, machine.Log("other"));
  const std::vector<std::string> names = machine.NamesIn(kServers);
  EXPECT_EQ(std::count(names.begin(), names.end(), uid), 0);
  for (int start = 0; start < 2; ++start) {
    machine.PowerLoss();
    machine.Start();
    EXPECT_THAT(machine.Contents("a"), ElementsAre("1:1:anew"));
    EXPECT_THAT(machine.store().Logs(), SizeIs(2));
    EXPECT_FALSE(machine.store().recovery_report().damaged());
  }
}

TEST(Flush, SG6_SegmentsBelowTheFloorGo) {
  Machine machine;
  UseSmallFiles(machine);
  machine.options.segment_max_entries = 4;
  machine.Start();
  const LogRef a = machine.Log("a");
  for (Index i = 1; i <= 40; ++i) machine.Write(a, i, 1, {std::string(1500, 'a')});
  machine.Settle();
  const std::string path = std::string(kServers) + "/" + machine.UidOf("a");
  const std::size_t before = machine.NamesIn(path).size();
  EXPECT_GT(before, 4u);
  ASSERT_TRUE(machine.Wait(machine.writer().TruncatePrefix(a, 39).value()).ok());
  Flush(machine, machine.Log("other"));
  Flush(machine, machine.Log("other"));
  EXPECT_LT(machine.NamesIn(path).size(), before - 3);
  machine.PowerLoss();
  machine.Start();
  EXPECT_FALSE(machine.store().recovery_report().damaged());
  EXPECT_THAT(machine.Contents("a"), SizeIs(2));
}

/// Entries that a queue, which has one entry at a time, leaves in segments.
std::uint64_t FlushedOfAQueue(std::uint64_t flush_delay_ms) {
  Machine machine;
  UseSmallFiles(machine);
  machine.options.flush_delay = flush_delay_ms;
  machine.Start();
  const LogRef queue = machine.Log("queue");
  for (Index i = 1; i <= 200; ++i) {
    machine.Write(queue, i, 1, {std::string(1500, 'q')});
    EXPECT_TRUE(machine.writer().TruncatePrefix(queue, i).ok());
    machine.Advance(50'000'000);
    machine.Settle();
  }
  EXPECT_GE(machine.Metric("flush_rounds"), 5u);
  const std::uint64_t flushed = machine.Metric("flush_entries");
  machine.PowerLoss();
  machine.Start();
  EXPECT_THAT(machine.Contents("queue"), SizeIs(1));
  return flushed;
}

TEST(Flush, G13_WhatIsTruncatedSoonIsNeverWrittenToSegments) {
  EXPECT_GT(FlushedOfAQueue(0), 10u);
  EXPECT_EQ(FlushedOfAQueue(200), 0u);
}

// Where entries landed is all that cannot be evicted before they are flushed.
TEST(Flush, B1_AboveTheHighWaterNoFlushWaits) {
  Machine machine;
  machine.options.wal_max_size_bytes = 64 << 20;  // It never fills.
  machine.options.memory_budget = 4 << 20;
  machine.options.flush_delay = 3'600'000;
  machine.Start();
  std::vector<LogRef> logs;
  for (int i = 0; i < 100; ++i) logs.push_back(machine.Log("log/" + std::to_string(i)));
  for (Index i = 1; i <= 1500; ++i) {
    Result<Ticket> last = Ticket{};
    for (const LogRef log : logs) {
      for (int attempt = 0; attempt < 100; ++attempt) {
        last = machine.Append(log, i, 1, {"x"});
        if (last.ok()) break;
        machine.Advance(10'000'000);  // Overloaded for a moment.
        machine.Settle();
      }
      ASSERT_TRUE(last.ok()) << last.error().message;
    }
    ASSERT_TRUE(machine.Wait(*last).ok());
    machine.Settle();
  }
  EXPECT_GE(machine.Metric("flush_rounds"), 1u);
  EXPECT_LT(machine.In(0).time_since_epoch(), std::chrono::hours(1));
}

// One generation waits and no second one can come: the flush is what frees space.
TEST(Flush, G9_AFullDiskDoesNotWaitForTheDelay) {
  Machine machine;
  machine.options.flush_delay = 3'600'000;
  machine.Start();
  const LogRef log = machine.Log("a");
  machine.Settle();
  machine.disk().Schedule({.kind = sim::OpKind::kAllocate,
                           .file_class = "wal/",
                           .times = UINT64_MAX,
                           .effect = sim::FaultEffect::kDiskFull});
  Index next = 1;
  const auto append = [&] { return machine.Append(log, next, 1, {std::string(3000, 'x')}).ok(); };
  bool refused = false;
  for (int i = 0; i < 400 && !refused; ++i) {
    refused = !append();
    next += refused ? 0 : 1;
    machine.Settle();
  }
  bool resumed = false;
  for (int i = 0; i < 240 && !resumed; ++i) {
    machine.Advance(500'000'000);
    machine.Settle();
    resumed = append();
  }
  EXPECT_TRUE(resumed);
}

TEST(Flush, SG3_G13_ARoundOverTenThousandLogsTakesFewSyncs) {
  Machine machine;
  machine.options.wal_max_size_bytes = 4 << 20;
  machine.options.memory_budget = 256 << 20;
  machine.tuning = StorageTuning{};
  machine.Start();
  Ticket last = 0;
  for (int i = 0; i < 10'000; ++i) {
    const LogRef log = machine.Log("log/" + std::to_string(i));
    last = machine.Append(log, 1, 1, {std::string(100, 'x')}).value();
    if (i % 1000 != 999) continue;
    ASSERT_TRUE(machine.Wait(last).ok()) << i;
  }
  const std::uint64_t rounds = machine.Metric("flush_rounds");
  const std::uint64_t syncs = machine.Metric("flush_syncs");
  Flush(machine, machine.Log("other"));
  const std::uint64_t more = machine.Metric("flush_rounds") - rounds;
  EXPECT_GT(machine.Metric("flush_entries"), 5'000u);
  EXPECT_LE(machine.Metric("flush_syncs") - syncs, 8 * more);
}

}  // namespace
}  // namespace duramen::log
