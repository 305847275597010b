// What an acknowledgement means, over failing syncs, overwrites in flight and late notices.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include "tests/log/machine.h"

namespace duramen::log {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

sim::Fault WalSyncFails(std::uint64_t skip, std::uint64_t times) {
  return {.kind = sim::OpKind::kSyncData,
          .file_class = "#.wal",
          .skip = skip,
          .times = times,
          .effect = sim::FaultEffect::kIoError};
}

bool Readable(int fd) {
  pollfd asked{fd, POLLIN, 0};
  return ::poll(&asked, 1, 0) == 1;
}

TEST(Watermark, C2_TheDescriptorRingsForThoseWhoAsked) {
  for (const bool processed : {true, false}) {
    SCOPED_TRACE(processed);
    Machine machine;
    machine.Start();
    const LogRef log = machine.Log("a");
    const LogRef other = machine.Log("b", 1);
    machine.Settle();
    const Ticket first = machine.Append(log, 1, 1, {"one"}).value();
    ASSERT_TRUE(machine.Wait(machine.Append(other, 1, 1, {"one"}, 1).value(), 1).ok());
    if (processed) {
      ASSERT_TRUE(machine.Wait(first).ok());
    }
    const int fd = machine.writer().written_fd();
    EXPECT_TRUE(Readable(fd)) << "there was news when it was asked for";
    EXPECT_EQ(machine.writer().Poll().size(), 1u);
    EXPECT_FALSE(Readable(fd));
    for (const Index index : {2u, 3u}) {
      ASSERT_TRUE(machine.Wait(machine.Append(log, index, 1, {"more"}).value()).ok());
      EXPECT_TRUE(Readable(fd));
    }
    EXPECT_EQ(machine.writer().Poll().size(), 1u);
    EXPECT_FALSE(Readable(fd));
    ASSERT_TRUE(machine.Wait(machine.Append(log, 4, 1, {"four"}).value()).ok());
    EXPECT_TRUE(Readable(fd)) << "it rings again";
  }
}

TEST(Watermark, W1_ABatchInFlightIsResentAndConfirmedOnce) {
  Machine machine;
  machine.Start();
  const LogRef log = machine.Log("a");
  machine.Write(log, 1, 1, {"one"});
  machine.Settle();
  machine.disk().Schedule(WalSyncFails(0, 1));
  const Ticket ticket = machine.Append(log, 2, 1, {"two", "three"}).value();
  ASSERT_TRUE(machine.Wait(ticket).ok());
  const auto news = machine.writer().Poll();
  ASSERT_EQ(news.size(), 1u) << "confirmed once";
  EXPECT_EQ(news[0].end, 4u);
  EXPECT_TRUE(machine.writer().Poll().empty());
  EXPECT_EQ(machine.Metric("wal_poisoned_files"), 1u);
  machine.PowerLoss();
  machine.Start();
  EXPECT_THAT(machine.Contents("a"), ElementsAre("1:1:one", "2:1:two", "3:1:three"));
}

TEST(Watermark, W2_TwoStopsInARowThenARestart) {
  for (std::uint64_t second = 1; second < 8; ++second) {
    SCOPED_TRACE(second);
    Machine machine;
    machine.Start();
    const LogRef log = machine.Log("a");
    machine.Write(log, 1, 1, {"one"});
    machine.Settle();
    machine.disk().Schedule(WalSyncFails(0, 2));  // Down after the second.
    machine.disk().Schedule(WalSyncFails(second, 1));
    const Ticket ticket = machine.Append(log, 2, 1, {"two", "three"}).value();
    Status waited = machine.Wait(ticket);
    if (!waited.ok()) {
      EXPECT_EQ(waited.error().code, ErrorCode::kWalDown);
      EXPECT_EQ(machine.store().BoundsOf(log)->written_end, 2u);
      machine.Idle();  // It tries again after a second.
      waited = machine.Wait(ticket);
    }
    ASSERT_TRUE(waited.ok()) << waited.error().message;
    const Result<Ticket> gap = machine.Append(log, 5, 1, {"five"});
    ASSERT_FALSE(gap.ok());
    EXPECT_EQ(gap.error().code, ErrorCode::kGap);
    machine.PowerLoss();
    machine.Start();
    EXPECT_THAT(machine.Contents("a"), ElementsAre("1:1:one", "2:1:two", "3:1:three"));
  }
}

TEST(Watermark, W3_LateNoticesAreCoalescedAndLoseNothing) {
  Machine machine;
  machine.Start();
  const LogRef a = machine.Log("a");
  const LogRef b = machine.Log("b");
  machine.Settle();
  for (Index i = 1; i <= 20; ++i) {
    ASSERT_TRUE(machine.Append(i % 2 == 0 ? a : b, (i + 1) / 2, 1, {"x"}).ok());
    ASSERT_TRUE(machine.executor().RunUntilIdle(1000));  // Durable; nobody looks.
  }
  const auto news = machine.writer().Poll();
  ASSERT_EQ(news.size(), 2u);
  for (const Written& written : news) EXPECT_EQ(written.end, 11u);
  EXPECT_TRUE(machine.writer().Poll().empty());
}

/// Appends 1..3, overwrites from 2 while their batch syncs, and lets the notice of the first come.
void OverwriteInFlight(Machine& machine, Term term) {
  machine.tuning.alone_bytes_max = 64 << 10;  // In one step of the WAL.
  machine.Start();
  const LogRef log = machine.Log("a");
  machine.Settle();
  bool overwritten = false;
  ASSERT_TRUE(machine.Append(log, 1, 1, {"one", "two", "three"}).ok());
  machine.AtOperation(2, [&] {  // The write is done, the sync begins.
    overwritten = machine.Append(log, 2, term, {"two'"}).ok();
  });
  while (!overwritten) ASSERT_TRUE(machine.executor().RunOne());
  // The step is over: the first batch is durable, the overwrite is not.
  (void)machine.writer().Poll();
  EXPECT_EQ(machine.store().BoundsOf(log)->written_end, 2u)
      << "a notice of an older epoch raises it to the lowest cut at most";
  machine.Settle();
  EXPECT_EQ(machine.store().BoundsOf(log)->written_end, 3u);
  EXPECT_EQ(machine.store().BoundsOf(log)->epoch, 1u);
}

TEST(Watermark, W4_AnOlderEpochsNoticeAcknowledgesNothingLater) {
  for (const Term term : {1u, 2u}) {  // Also when both writes have the same term.
    SCOPED_TRACE(term);
    Machine machine;
    OverwriteInFlight(machine, term);
    machine.PowerLoss();
    machine.Start();
    EXPECT_THAT(machine.Contents("a"),
                ElementsAre("1:1:one", "2:" + std::to_string(term) + ":two'"));
  }
}

TEST(Watermark, C2_APureTruncationStillAcknowledgesWhatIsBelowIt) {
  Machine machine;
  machine.tuning.alone_bytes_max = 64 << 10;  // In one step of the WAL.
  machine.Start();
  const LogRef log = machine.Log("a");
  machine.Settle();
  bool cut = false;
  ASSERT_TRUE(machine.Append(log, 1, 1, {"1", "2", "3", "4"}).ok());
  machine.AtOperation(2, [&] { cut = machine.writer().TruncateSuffix(log, 4).ok(); });
  while (!cut) ASSERT_TRUE(machine.executor().RunOne());
  (void)machine.writer().Poll();
  EXPECT_EQ(machine.store().BoundsOf(log)->written_end, 4u) << "1..3 are durable";
}

TEST(Watermark, W5_TheSameIndexTwiceAndTwoTermsInOneBatch) {
  Machine machine;
  machine.Start();
  const LogRef log = machine.Log("a");
  machine.Settle();
  const std::uint64_t batches = machine.Metric("wal_batches");
  ASSERT_TRUE(machine.Append(log, 1, 1, {"one", "two"}).ok());
  ASSERT_TRUE(machine.Append(log, 2, 2, {"two'"}).ok());
  const Ticket last = machine.Append(log, 3, 3, {"three"}).value();
  ASSERT_TRUE(machine.Wait(last).ok());
  EXPECT_EQ(machine.Metric("wal_batches"), batches + 1);
  const auto news = machine.writer().Poll();
  ASSERT_EQ(news.size(), 1u);
  EXPECT_EQ(news[0].end, 4u);
  EXPECT_EQ(news[0].term, 3u);
  EXPECT_EQ(news[0].epoch, 1u);
  machine.PowerLoss();
  machine.Start();
  EXPECT_THAT(machine.Contents("a"), ElementsAre("1:1:one", "2:2:two'", "3:3:three"));
}

TEST(Watermark, W6_TruncatedEntriesAreNotResurrectedByAResend) {
  for (const bool fail : {false, true}) {
    for (const bool power : {false, true}) {
      SCOPED_TRACE(::testing::Message() << fail << power);
      Machine machine;
      machine.Start();
      const LogRef log = machine.Log("a");
      machine.Write(log, 1, 1, {"1", "2"});
      machine.Settle();
      if (fail) machine.disk().Schedule(WalSyncFails(0, 1));
      ASSERT_TRUE(machine.Append(log, 3, 1, {"3", "4", "5"}).ok());
      machine.AtOperation(2, [&] { EXPECT_TRUE(machine.writer().TruncateSuffix(log, 4).ok()); });
      machine.Settle();
      EXPECT_EQ(machine.store().BoundsOf(log)->written_end, 4u);
      power ? machine.PowerLoss() : machine.Kill();
      machine.Start();
      EXPECT_THAT(machine.Contents("a"), ElementsAre("1:1:1", "2:1:2", "3:1:3"));
    }
  }
}

// Overwrites, some of them by a lower term, at every place of a file and across its end.
TEST(Watermark, W7_TheLaterWriteWinsInsideAcrossAndAtARoll) {
  for (std::size_t size = 200; size < 3200; size += 331) {
    SCOPED_TRACE(size);
    Machine machine;
    machine.options.wal_max_size_bytes = 36 << 10;
    machine.Start();
    const LogRef log = machine.Log("a");
    machine.Write(log, 1, 1, {"base"});
    for (int round = 0; round < 25; ++round) {
      const Term term = 2 + static_cast<Term>(round % 3);  // 2, 3, 4, 2: also down.
      machine.Write(log, 2, term, {std::string(size, 'x'), "y" + std::to_string(round)});
    }
    EXPECT_GT(machine.Metric("wal_rolls"), 0u);
    const std::vector<std::string> before = machine.Contents(log);
    ASSERT_EQ(before.size(), 3u);
    EXPECT_EQ(before[2], "3:2:y24");
    for (int start = 0; start < 2; ++start) {
      machine.PowerLoss();
      machine.Start();
      EXPECT_EQ(machine.Contents("a"), before) << machine.store().recovery_report().ToText();
      EXPECT_FALSE(machine.store().recovery_report().damaged());
    }
  }
}

TEST(Watermark, W9_GapsAreDetectedAfterAllWalFilesWereRecycled) {
  Machine machine;
  machine.options.wal_max_size_bytes = 32 << 10;
  machine.Start();
  const LogRef log = machine.Log("a");
  const LogRef other = machine.Log("other");
  for (Index i = 1; i <= 5; ++i) machine.Write(log, i, 3, {"x"});
  ASSERT_TRUE(machine.Wait(machine.writer().TruncatePrefix(log, 6).value()).ok());
  for (Index i = 1; i <= 60; ++i) {
    machine.Write(other, i, 1, {std::string(2000, 'o')});
    ASSERT_TRUE(machine.Wait(machine.writer().TruncatePrefix(other, i).value()).ok());
  }
  EXPECT_GT(machine.Metric("wal_recycled_files"), 2u);
  EXPECT_GT(machine.Metric("checkpoints"), 0u);
  for (int start = 0; start < 3; ++start) {
    machine.PowerLoss();
    machine.Start();
    const LogRef again = machine.Log("a");
    const Bounds bounds = machine.store().BoundsOf(again).value();
    EXPECT_EQ(bounds.begin, 6u);
    EXPECT_EQ(bounds.end, 6u);
    EXPECT_EQ(bounds.term_before_begin, 3u);
    EXPECT_EQ(machine.Append(again, 7, 3, {"gap"}).error().code, ErrorCode::kGap);
    EXPECT_EQ(machine.Append(again, 6, 2, {"low"}).error().code, ErrorCode::kTermBelowPredecessor);
  }
  const LogRef again = machine.Log("a");
  machine.Write(again, 6, 3, {"six"});
  machine.PowerLoss();
  machine.Start();
  EXPECT_THAT(machine.Contents("a"), ElementsAre("6:3:six"));
}

TEST(Watermark, W18_ASnapshotOvertakesEntriesInFlight) {
  Machine machine;
  machine.Start();
  const LogRef log = machine.Log("a");
  machine.Settle();
  bool reset = false;
  ASSERT_TRUE(machine.Append(log, 1, 1, {"1", "2", "3"}).ok());
  machine.AtOperation(2, [&] { reset = machine.writer().Reset(log, 101, 5).ok(); });
  while (!reset) ASSERT_TRUE(machine.executor().RunOne());
  (void)machine.writer().Poll();
  Bounds bounds = machine.store().BoundsOf(log).value();
  EXPECT_EQ(bounds.begin, 101u);
  EXPECT_EQ(bounds.written_end, 101u);
  machine.Settle();
  machine.Write(log, 101, 5, {"after"});
  machine.PowerLoss();
  machine.Start();
  EXPECT_THAT(machine.Contents("a"), ElementsAre("101:5:after"));
  EXPECT_EQ(machine.store().TermAt(machine.Log("a"), 100).value(), 5u);
}

TEST(Watermark, W18_AFloorOvertakesEntriesInFlight) {
  Machine machine;
  machine.Start();
  const LogRef log = machine.Log("a");
  machine.Settle();
  ASSERT_TRUE(machine.Append(log, 1, 1, {"1", "2", "3"}).ok());
  machine.AtOperation(2, [&] { EXPECT_TRUE(machine.writer().TruncatePrefix(log, 4).ok()); });
  machine.Settle();
  const Bounds bounds = machine.store().BoundsOf(log).value();
  EXPECT_EQ(bounds.begin, 4u);
  EXPECT_EQ(bounds.written_end, 4u);
  machine.PowerLoss();
  machine.Start();
  EXPECT_THAT(machine.Contents("a"), IsEmpty());
  EXPECT_EQ(machine.store().BoundsOf(machine.Log("a"))->end, 4u);
}

TEST(Watermark, W15_NothingIsAcknowledgedThatAFailedSyncCovered) {
  for (std::uint64_t times = 1; times <= 4; ++times) {
    SCOPED_TRACE(times);
    Machine machine;
    machine.Start();
    const LogRef log = machine.Log("a");
    machine.Write(log, 1, 1, {"one"});
    machine.Settle();
    const sim::Image before = machine.disk().disk().durable();
    machine.disk().Schedule(WalSyncFails(0, times));
    const Ticket ticket = machine.Append(log, 2, 1, {"two"}).value();
    while (machine.disk().faults_fired() < times) {
      const bool moved = machine.executor().RunOne() || machine.executor().AdvanceToNextTimer();
      ASSERT_TRUE(moved);
      ASSERT_LT(machine.writer().durable(), ticket);
    }
    // In every crash that is possible now the entry may be there or not; what was is.
    const sim::DiskState here = machine.disk().disk();
    const std::uint64_t count = sim::CrashStates(here, sim::Profile::kAdversary).count();
    for (std::uint64_t n = 0; n < count; n += 1 + count / 40) {
      Machine after;
      after.UseDisk(
          sim::DiskState(sim::CrashStates(here, sim::Profile::kAdversary)
                             .Materialize(sim::CrashStates(here, sim::Profile::kAdversary).At(n))));
      after.Start();
      ASSERT_EQ(after.Contents("a")[0], "1:1:one");
      ASSERT_FALSE(after.store().recovery_report().damaged());
    }
    machine.Idle();
    ASSERT_TRUE(machine.Wait(ticket).ok());
    machine.PowerLoss();
    machine.Start();
    EXPECT_THAT(machine.Contents("a"), ElementsAre("1:1:one", "2:1:two"));
  }
}

TEST(Watermark, W15_AShortWriteIsWrittenElsewhere) {
  for (const std::uint64_t kept : {0u, 100u, 512u, 4000u}) {
    Machine machine;
    machine.Start();
    const LogRef log = machine.Log("a");
    machine.Write(log, 1, 1, {"one"});
    machine.Settle();
    machine.disk().Schedule({.kind = sim::OpKind::kWrite,
                             .file_class = "#.wal",
                             .effect = sim::FaultEffect::kShortWrite,
                             .short_bytes = kept});
    machine.Write(log, 2, 1, {"two"});
    machine.PowerLoss();
    machine.Start();
    EXPECT_THAT(machine.Contents("a"), ElementsAre("1:1:one", "2:1:two"));
    EXPECT_FALSE(machine.store().recovery_report().damaged());
  }
}

}  // namespace
}  // namespace duramen::log
