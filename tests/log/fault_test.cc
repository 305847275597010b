// States of a store whose disk or memory fails it: down, full, overloaded, corrupt in memory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/bytes.h"
#include "tests/log/machine.h"
#include "wal/format.h"

namespace duramen::log {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

TEST(Fault, W15_DownThenUpAgain) {
  Machine machine;
  machine.Start();
  const LogRef log = machine.Log("a");
  machine.Write(log, 1, 1, {"one"});
  machine.Settle();
  machine.disk().Schedule({.kind = sim::OpKind::kSyncData,
                           .file_class = "#.wal",
                           .times = 6,
                           .effect = sim::FaultEffect::kIoError});
  const Ticket ticket = machine.Append(log, 2, 1, {"two"}).value();
  const Status waited = machine.Wait(ticket);
  ASSERT_FALSE(waited.ok());
  EXPECT_EQ(waited.error().code, ErrorCode::kWalDown);
  EXPECT_EQ(machine.store().pressure(), Pressure::kOverloaded);
  const Result<Ticket> refused = machine.Append(log, 3, 1, {"three"});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kWalDown);
  EXPECT_EQ(machine.writer().PutVote(log, 9, "n").error().code, ErrorCode::kWalDown);
  EXPECT_EQ(machine.store().VoteOf(log)->term, 0u) << "a refused vote is not half there";
  EXPECT_EQ(machine.Contents(log)[0], "1:1:one") << "reads go on";
  for (int second = 0; second < 20 && machine.writer().durable() < ticket; ++second) {
    machine.Settle();
    ASSERT_TRUE(machine.executor().AdvanceToNextTimer());
  }
  machine.Settle();
  EXPECT_GE(machine.writer().durable(), ticket) << "it came back by itself";
  EXPECT_EQ(machine.store().pressure(), Pressure::kNone);
  machine.Write(log, 3, 1, {"three"});
  machine.PowerLoss();
  machine.Start();
  EXPECT_THAT(machine.Contents("a"), ElementsAre("1:1:one", "2:1:two", "3:1:three"));
  EXPECT_FALSE(machine.store().recovery_report().damaged());
}

// No acknowledgement told of it, so nothing may speak of it later: no name, no carried bounds.
TEST(Fault, A18_ALogWhoseRegistrationWentWithItsWriterNeverWas) {
  Machine machine;
  machine.Start();
  const LogRef kept = machine.Log("kept", 0);
  ASSERT_TRUE(machine.Wait(machine.Append(kept, 1, 1, {"1"}).value()).ok());
  machine.Settle();
  machine.disk().Schedule({.kind = sim::OpKind::kWrite,
                           .file_class = "#.wal",
                           .times = 4,
                           .effect = sim::FaultEffect::kIoError});
  {
    Result<Writer> writer = machine.store().NewWriter();
    ASSERT_TRUE(writer.ok());
    ASSERT_TRUE(machine.store().OpenLog(*writer, "lost", OpenMode::kCreate).ok());
    machine.Settle();
    ASSERT_EQ(machine.store().pressure(), Pressure::kOverloaded);
  }
  for (int second = 0; second < 20; ++second) {
    machine.Settle();
    (void)machine.executor().AdvanceToNextTimer();
  }
  EXPECT_THAT(machine.store().Logs(), SizeIs(1));
  for (Index i = 2; i <= 60; ++i) {  // Files are recycled, so bounds are carried.
    machine.Write(kept, i, 1, {std::string(3000, 'x')});
    ASSERT_TRUE(machine.Wait(machine.writer().TruncatePrefix(kept, i).value()).ok());
  }
  EXPECT_GT(machine.Metric("wal_recycled_files"), 0u);
  machine.Kill();
  machine.Start();
  EXPECT_THAT(machine.store().Logs(), SizeIs(1));
  EXPECT_FALSE(machine.store().recovery_report().damaged());
}

// Recovery's header is what lets older files go. Without a batch in it its file counts for nothing
// once it is poisoned, yet it must stay until another header is durable.
TEST(Fault, A10_APoisonedRecoveryFileStaysUntilTheNextHeaderIsDurable) {
  Machine machine;
  machine.Start();
  machine.Write(machine.Log("a"), 1, 1, std::vector<std::string>(6, std::string(3000, 'x')));
  machine.Idle();
  ASSERT_TRUE(machine.Close().ok());
  machine.Start();  // One file is kept as it is, so the new one begins without a batch.
  const auto in_service = [&](const std::string& name) {
    const auto files = machine.WalFiles();
    if (std::find(files.begin(), files.end(), name) == files.end()) return false;
    const std::vector<std::byte> bytes = machine.FileBytes("/data/wal/" + name);
    const Result<wal::FileHeader> header = wal::DecodeFileHeader(Bytes(bytes), 0);
    return header.ok() && wal::FileName(header->number) == name;
  };
  std::string newest;
  for (const std::string& name : machine.WalFiles()) newest = in_service(name) ? name : newest;
  ASSERT_EQ(machine.FileBytes("/data/wal/" + newest)[wal::kFirstBatchOffset], std::byte{0});
  const LogRef log = machine.Log("a");
  machine.Settle();
  machine.disk().Schedule({.kind = sim::OpKind::kSyncData,
                           .file_class = "#.wal",
                           .times = 6,
                           .effect = sim::FaultEffect::kIoError});
  const Ticket ticket = machine.Append(log, 7, 1, {"seven"}).value();
  machine.Settle();
  ASSERT_EQ(machine.Metric("wal_rolls"), 1u);
  EXPECT_TRUE(in_service(newest));
  for (int second = 0; second < 20 && machine.writer().durable() < ticket; ++second) {
    ASSERT_TRUE(machine.executor().AdvanceToNextTimer());
    machine.Settle();
  }
  EXPECT_GE(machine.writer().durable(), ticket);
  EXPECT_FALSE(in_service(newest)) << "it takes space for nothing";
  machine.PowerLoss();
  machine.Start();
  EXPECT_FALSE(machine.store().recovery_report().damaged());
  EXPECT_THAT(machine.Contents("a"), SizeIs(7));
}

// What a power loss now would leave of the log "a".
void ExpectVoteAndFloor(Machine& machine) {
  Machine after;
  after.options = machine.options;
  after.UseDisk(sim::DiskState(machine.disk().disk().durable()));
  after.Start();
  const LogRef log = after.Log("a");
  EXPECT_EQ(after.store().VoteOf(log)->term, 7u);
  EXPECT_EQ(after.store().BoundsOf(log)->begin, 2u);
  EXPECT_EQ(after.store().BoundsOf(log)->term_before_begin, 3u);
  EXPECT_FALSE(after.store().recovery_report().damaged());
}

// Whatever write or sync fails, also one that carries rows and bounds out of a file: no file is
// given up before they are durable in another.
TEST(Fault, A18_WhatIsBeingCarriedOutlastsEachFailure) {
  constexpr Index kLive = 8;
  for (const auto kind : {sim::OpKind::kSyncData, sim::OpKind::kWrite}) {
    bool fired = true;
    for (std::uint64_t skip = 0; fired && !HasFailure(); ++skip) {
      SCOPED_TRACE(::testing::Message() << sim::OpKindName(kind) << " after " << skip);
      Machine machine;
      machine.options.wal_max_size_bytes = 32 << 10;
      machine.Start();
      const LogRef log = machine.Log("a");
      const LogRef other = machine.Log("other");
      machine.Write(log, 1, 3, {"x"});
      ASSERT_TRUE(machine.Wait(machine.writer().PutVote(log, 7, "n").value()).ok());
      ASSERT_TRUE(machine.Wait(machine.writer().TruncatePrefix(log, 2).value()).ok());
      machine.disk().Schedule({.kind = kind,
                               .file_class = "#.wal",
                               .skip = skip,
                               .effect = sim::FaultEffect::kIoError});
      for (Index i = 1; i <= 30; ++i) {
        machine.Write(other, i, 1, {std::string(2000, 'o')});
        // Some files stay in use, the one that fails among them.
        const Index begin = i > kLive ? i - kLive : 1;
        ASSERT_TRUE(machine.Wait(machine.writer().TruncatePrefix(other, begin).value()).ok());
        ExpectVoteAndFloor(machine);
      }
      fired = machine.disk().faults_fired() > 0;
      EXPECT_GT(machine.Metric("wal_recycled_files"), 1u);
    }
  }
}

TEST(Fault, W15_APoolThatFailedOnceGoesOn) {
  for (std::uint64_t skip = 0; skip < 6; ++skip) {
    for (const auto kind : {sim::OpKind::kSyncDirectory, sim::OpKind::kCreate, sim::OpKind::kRename,
                            sim::OpKind::kAllocate}) {
      SCOPED_TRACE(::testing::Message() << sim::OpKindName(kind) << " after " << skip);
      Machine machine;
      machine.Start();
      machine.Settle();
      machine.disk().Schedule(
          {.kind = kind, .file_class = "wal", .skip = skip, .effect = sim::FaultEffect::kIoError});
      const LogRef log = machine.Log("a");
      for (Index i = 1; i <= 150; ++i) {
        machine.Write(log, i, 1, {std::string(2000, 'x')});
        ASSERT_FALSE(::testing::Test::HasFailure()) << "entry " << i;
        ASSERT_TRUE(machine.Wait(machine.writer().TruncatePrefix(log, i).value()).ok());
      }
      machine.PowerLoss();
      machine.Start();
      EXPECT_THAT(machine.Contents("a"), SizeIs(1));
    }
  }
}

TEST(Fault, B3_DiskFullAnswersAndResumesByItself) {
  Machine machine;
  machine.Start();
  machine.Settle();
  const LogRef log = machine.Log("a");
  machine.disk().Schedule({.kind = sim::OpKind::kAllocate,
                           .file_class = "",
                           .times = 3,
                           .effect = sim::FaultEffect::kDiskFull});
  std::vector<std::string> codes;
  Index next = 1;
  for (int i = 0; i < 200; ++i) {
    const Result<Ticket> ticket = machine.Append(log, next, 1, {std::string(2000, 'x')});
    if (ticket.ok()) {
      ++next;
    } else if (codes.empty() || codes.back() != ErrorCodeName(ticket.error().code)) {
      codes.push_back(ErrorCodeName(ticket.error().code));
    }
    machine.Settle();
  }
  EXPECT_THAT(codes, ::testing::Contains("disk_full"));
  EXPECT_GT(machine.store().BoundsOf(log)->written_end, 1u);
  machine.Idle();  // Space is back.
  ASSERT_TRUE(machine.Wait(machine.writer().TruncatePrefix(log, next - 1).value()).ok());
  machine.Idle();
  machine.Write(log, next, 1, {"after"});
  machine.PowerLoss();
  machine.Start();
  EXPECT_THAT(machine.Contents("a"), SizeIs(2));
}

TEST(Fault, B1_OverloadedAtTheLimitOfFilesUntilFloorsMove) {
  Machine machine;
  machine.options.wal_max_files = 3;
  machine.Start();
  machine.disk().Schedule({.kind = sim::OpKind::kWrite,
                           .file_class = ".seg",
                           .times = UINT64_MAX,
                           .effect = sim::FaultEffect::kIoError});
  const LogRef log = machine.Log("a");
  const LogRef idle = machine.Log("idle");
  machine.Write(idle, 1, 1, {"kept"});
  Index next = 1;
  Result<Ticket> ticket = Ticket{0};
  for (; next < 1000; ++next) {
    ticket = machine.Append(log, next, 1, {std::string(1500, 'x')});
    if (!ticket.ok()) break;
    machine.Settle();
  }
  ASSERT_FALSE(ticket.ok());
  EXPECT_EQ(ticket.error().code, ErrorCode::kOverloaded);
  EXPECT_NE(ticket.error().hint.find("wal_max_files"), std::string::npos);
  // Votes and marks still go through [B1].
  ASSERT_TRUE(machine.Wait(machine.writer().PutVote(log, 2, "n").value()).ok());
  ASSERT_TRUE(machine.Wait(machine.writer().TruncatePrefix(log, next).value()).ok());
  ASSERT_TRUE(machine.Wait(machine.writer().TruncatePrefix(idle, 2).value()).ok());
  machine.Idle();
  EXPECT_EQ(machine.store().pressure(), Pressure::kNone);
  machine.Write(log, next, 2, {"on"});
  machine.PowerLoss();
  machine.Start();
  EXPECT_THAT(machine.Contents("a"), ElementsAre(std::to_string(next) + ":2:on"));
}

/// Fills as many WAL files as are allowed while nothing can be flushed, lets the flusher take some
/// steps, and kills the process. False: it was done by then.
bool KilledInItsFlush(Machine& machine, int steps) {
  machine.options.wal_max_files = 3;
  machine.Start();
  machine.disk().Schedule({.kind = sim::OpKind::kWrite,
                           .file_class = ".seg",
                           .times = UINT64_MAX,
                           .effect = sim::FaultEffect::kIoError});
  const LogRef log = machine.Log("a");
  for (Index next = 1; machine.Append(log, next, 1, {std::string(1500, 'x')}).ok(); ++next) {
    machine.Settle();
  }
  machine.disk().ClearFaults();
  for (int step = 0; step < steps; ++step) {
    if (!machine.executor().RunOne()) machine.executor().AdvanceToNextTimer();
  }
  const bool done = machine.Metric("wal_files") == 1;
  machine.Kill();
  return !done;
}

// Between its two checkpoints the one may cover all files, the other none: they stay, and only what
// is written next has them flushed again.
TEST(Fault, B1_B4_AStartTakesEntriesWhereverTheFlushBeforeItEnded) {
  int fullest = 0;
  bool killed = true;
  for (int steps = 0; killed; ++steps) {
    ASSERT_LT(steps, 1000);
    Machine machine;
    killed = KilledInItsFlush(machine, steps);
    machine.Start();
    if (machine.Metric("wal_files") > 4) ++fullest;
    const LogRef log = machine.Log("a");
    for (int more = 0; more < 20; ++more) {
      const Status room = machine.writer().WaitForRoom(log, 1, 1500, machine.In(5'000'000'000));
      ASSERT_TRUE(room.ok()) << "after " << steps << " steps: " << room.error().message;
      machine.Write(log, machine.store().BoundsOf(log)->end, 1, {std::string(1500, 'y')});
    }
    machine.Idle();
    EXPECT_LE(machine.Metric("wal_files"), 3u);
  }
  EXPECT_GT(fullest, 0);
}

/// Changes a byte of an entry in the arena, where the mem table's reader sees it.
void FlipInMemory(Machine& machine, LogRef log, Index index) {
  const Result<Pin> pin = machine.store().Read(log, index, index + 1, 1 << 20);
  ASSERT_TRUE(pin.ok());
  const Bytes payload = pin->entries()[0].payload;
  const_cast<std::byte*>(payload.data())[0] ^= std::byte{1};
}

TEST(Fault, C10_AnEntryThatChangedInMemoryStopsItsLogOnly) {
  Machine machine;
  machine.Start();
  const LogRef a = machine.Log("a");
  const LogRef b = machine.Log("b");
  machine.Write(a, 1, 1, {"a1"});
  machine.Settle();
  const Ticket bad = machine.Append(a, 2, 1, {"a2", "a3"}).value();
  FlipInMemory(machine, a, 2);
  const Ticket good = machine.Append(b, 1, 1, {"b1"}).value();
  const Status waited = machine.Wait(bad);
  ASSERT_FALSE(waited.ok());
  EXPECT_EQ(waited.error().code, ErrorCode::kCorruption);
  EXPECT_TRUE(machine.Wait(good).ok());
  EXPECT_FALSE(machine.Append(a, 4, 1, {"a4"}).ok()) << "its log is stopped";
  machine.Write(b, 2, 1, {"b2"});
  machine.PowerLoss();
  machine.Start();
  EXPECT_THAT(machine.Contents("a"), ElementsAre("1:1:a1")) << "never written";
  EXPECT_THAT(machine.Contents("b"), ElementsAre("1:1:b1", "2:1:b2"));
}

TEST(Fault, C10_RefusedEntriesOfLaterBatchesAreAnsweredToo) {
  Machine machine;
  machine.options.wal_max_batch_size = 1;
  machine.Start();
  const LogRef a = machine.Log("a");
  machine.Settle();
  const Ticket last = machine.Append(a, 1, 1, {"a1", "a2", "a3"}).value();
  FlipInMemory(machine, a, 1);
  const Status waited = machine.Wait(last);
  ASSERT_FALSE(waited.ok());
  EXPECT_EQ(waited.error().code, ErrorCode::kCorruption) << waited.error().message;
  machine.Settle();
  EXPECT_EQ(machine.writer().durable(), last) << "the ring is free again";
  const LogRef b = machine.Log("b");
  machine.Write(b, 1, 1, {"b1"});
}

TEST(Fault, C10_AReadVerifiesWhatLiesInMemory) {
  Machine machine;
  machine.Start();
  const LogRef log = machine.Log("a");
  machine.Write(log, 1, 1, {"a1"});
  FlipInMemory(machine, log, 1);
  EXPECT_EQ(machine.store().Read(log, 1, 2, 100).error().code, ErrorCode::kCorruption);
}

TEST(Fault, B2_EntriesEvictedFromMemoryAreReadFromTheirFiles) {
  Machine machine;
  machine.options.wal_max_size_bytes = 256 << 10;
  machine.options.wal_max_files = 64;
  machine.options.memory_budget = 1 << 20;
  machine.Start();
  const LogRef log = machine.Log("a");
  constexpr Index kEntries = 1500;
  const auto text = [](Index i) { return std::to_string(i) + std::string(1000 + i % 7, 't'); };
  for (Index i = 1; i <= kEntries; i += 10) {
    std::vector<std::string> group;
    for (Index j = i; j < i + 10; ++j) group.push_back(text(j));
    machine.Write(log, i, 1, group);
  }
  EXPECT_LE(machine.Metric("memory_used_bytes"), machine.options.memory_budget);
  for (int start = 0; start < 2; ++start) {
    const LogRef again = machine.Log("a");
    for (Index i = 1; i <= kEntries; ++i) {
      const Result<Pin> pin = machine.store().Read(again, i, i + 1, 1 << 20);
      ASSERT_TRUE(pin.ok()) << i << ": " << pin.error().message;
      ASSERT_EQ(AsText(pin->entries()[0].payload), text(i));
    }
    Index next = 1;  // And in large reads, which hold at least one entry each.
    while (next <= kEntries) {
      const Result<Pin> pin = machine.store().Read(again, next, kEntries + 1, 30'000);
      ASSERT_TRUE(pin.ok()) << next << ": " << pin.error().message;
      for (const EntryView& entry : pin->entries()) {
        ASSERT_EQ(entry.index, next);
        ASSERT_EQ(AsText(entry.payload), text(next++));
      }
    }
    machine.PowerLoss();
    machine.Start();
  }
}

TEST(Fault, W16_TheLargestEntryIsTakenAndOneByteMoreIsRefused) {
  for (const std::uint64_t file : {32u << 10, 100u << 10, 1u << 20}) {
    Machine machine;
    machine.options.wal_max_size_bytes = file;
    machine.options.memory_budget = 16 << 20;
    machine.tuning.ring_bytes = 4 << 20;
    machine.tuning.chunk_bytes = 1 << 20;
    machine.tuning.batch_bytes_max = 8 << 20;
    machine.Start();
    const LogRef log = machine.Log("a");
    std::uint64_t low = 1;
    std::uint64_t high = file;  // Larger than a file: refused.
    while (low + 1 < high) {
      const std::uint64_t middle = (low + high) / 2;
      const Result<Ticket> ticket = machine.Append(log, 1, 1, {std::string(middle, 'x')});
      if (ticket.ok()) {
        ASSERT_TRUE(machine.Wait(*ticket).ok());
        low = middle;
      } else {
        ASSERT_EQ(ticket.error().code, ErrorCode::kTooLarge) << ticket.error().message;
        high = middle;
      }
    }
    EXPECT_GT(low, file / 12);
    for (Index i = 2; i <= 8; ++i) machine.Write(log, i, 1, {std::string(low, 'm')});
    EXPECT_EQ(machine.Append(log, 9, 1, {std::string(low + 1, 'x')}).error().code,
              ErrorCode::kTooLarge);
    machine.PowerLoss();
    machine.Start();
    EXPECT_THAT(machine.Contents("a"), SizeIs(8));
  }
}

TEST(Fault, G13_TenThousandLogsWithOneEntryEach) {
  Machine machine;
  machine.options.wal_max_size_bytes = 1 << 20;
  machine.options.memory_budget = 64 << 20;
  machine.tuning.ring_records = 4096;
  machine.tuning.ring_bytes = 4 << 20;
  machine.tuning.batch_bytes_max = 1 << 20;
  machine.Start();
  const auto memory_of_logs = [&] {  // What the WAL keeps for its next batch is not theirs.
    return machine.Metric("memory_used_bytes") - machine.Metric("memory_batch_bytes");
  };
  const std::uint64_t memory = memory_of_logs();
  std::vector<LogRef> logs;
  Ticket last = 0;
  for (int i = 0; i < 10'000; ++i) {
    logs.push_back(machine.Log("log/" + std::to_string(i)));
    last = machine.Append(logs.back(), 1, 1, {"entry " + std::to_string(i)}).value();
    if (i % 1000 == 999) {
      ASSERT_TRUE(machine.Wait(last).ok());
    }
  }
  EXPECT_GT(machine.Metric("wal_rolls"), 0u);
  EXPECT_LT(memory_of_logs() - memory, 10'000u * 1024);
  const std::uint64_t syncs = machine.Metric("wal_syncs");
  for (std::size_t i = 0; i < logs.size(); ++i) {
    ASSERT_TRUE(machine.Append(logs[i], 2, 1, {"x"}).ok());
    if (i % 1000 == 999) machine.Settle();
  }
  EXPECT_LT(machine.Metric("wal_syncs") - syncs, 100u);
  machine.PowerLoss();
  machine.Start();
  EXPECT_THAT(machine.store().Logs(), SizeIs(10'000));
  for (int i = 0; i < 10'000; i += 97) {
    const std::string name = "log/" + std::to_string(i);
    ASSERT_EQ(machine.Contents(machine.Log(name))[0], "1:1:entry " + std::to_string(i));
  }
}

}  // namespace
}  // namespace duramen::log
