// Flushes of many logs: by several threads, no faster than is good for those who write, and within
// bounds of memory, syncs and bytes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "log/flush_pace.h"
#include "tests/log/flush_machine.h"

namespace duramen::log {
namespace {

using ::testing::ElementsAre;

constexpr std::int64_t kSecondNs = 1'000'000'000;

TEST(FlushPace, SG3_TakesWhatTheRateAllowsAndNoMore) {
  FlushPace pace;
  EXPECT_LE(pace.ReadyNs(), 0) << "no rate: at once";
  pace.Take(5, 1'000'000);
  EXPECT_LE(pace.ReadyNs(), 0);
  pace.SetRate(1'000'000);
  std::int64_t now_ns = 1000 * kSecondNs;
  const std::int64_t begin_ns = now_ns;
  for (int i = 0; i < 1000; ++i) {
    now_ns = std::max(now_ns, pace.ReadyNs());
    pace.Take(now_ns, 10'000);
  }
  EXPECT_NEAR(static_cast<double>(now_ns - begin_ns), 10.0 * kSecondNs, 0.05 * kSecondNs);
  EXPECT_GT(pace.ReadyNs(), now_ns - FlushPace::kBurstNs);
  pace.Forgive();
  EXPECT_LE(pace.ReadyNs(), now_ns);
  // What was not taken in a pause is not owed to the flush either.
  now_ns += 100 * kSecondNs;
  pace.Take(now_ns, 1'000'000);
  EXPECT_EQ(pace.ReadyNs(), now_ns + kSecondNs - FlushPace::kBurstNs);
}

TEST(FlushPace, SG3_FollowsHowFastWalFilesFill) {
  EXPECT_EQ(FollowingRate(256'000'000, 2 * kSecondNs), 256'000'000u);
  EXPECT_EQ(FollowingRate(256'000'000, 0), 0u);
  EXPECT_EQ(FollowingRate(1000, 60 * kSecondNs), FollowingRate(0, 1)) << "never slower than that";
}

class FlushScale : public ::testing::Test {
 protected:
  /// A generation with an entry of each of so many logs, closed, and its flush not begun.
  void CloseGeneration(int logs) {
    Ticket last = 0;
    for (int i = 0; i < logs; ++i) {
      const LogRef log = machine.Log("log/" + std::to_string(i));
      const Index end = machine.store().BoundsOf(log)->end;
      last = machine.Append(log, end, 1, {std::string(2000, 'x')}).value();
    }
    ASSERT_TRUE(machine.Wait(last).ok());
  }
  std::int64_t NowNs() { return machine.In(0).time_since_epoch().count(); }

  Machine machine;
};

TEST_F(FlushScale, SG2_G3_SeveralThreadsMakeTheSameSegments) {
  for (const std::uint64_t threads : {2, 3, 8}) {
    for (const std::size_t open_max : {1, 3, 256}) {
      SCOPED_TRACE(::testing::Message() << threads << " threads, " << open_max << " files");
      Machine many;
      UseSmallFiles(many);
      many.options.flush_threads = threads;
      many.tuning.files_open_max = open_max;
      many.Start();
      for (int round = 0; round < 3; ++round) {
        for (int i = 0; i < 20; ++i) {
          const LogRef log = many.Log("log/" + std::to_string(i));
          const Index end = many.store().BoundsOf(log)->end;
          ASSERT_TRUE(many.Append(log, end, 1, {std::to_string(end)}).ok());
        }
        Flush(many, many.Log("other"), 2);
      }
      EXPECT_GE(many.Metric("flush_logs"), 60u);
      for (int start = 0; start < 2; ++start) {
        for (int i = 0; i < 20; ++i) {
          ASSERT_THAT(many.Contents("log/" + std::to_string(i)),
                      ElementsAre("1:1:1", "2:1:2", "3:1:3"));
        }
        EXPECT_FALSE(many.store().recovery_report().damaged());
        many.PowerLoss();
        many.Start();
      }
    }
  }
}

TEST_F(FlushScale, SG2_WhoeverIsLastWakesTheFlusher) {
  UseSmallFiles(machine);
  machine.options.flush_threads = 4;
  machine.Start();
  for (int round = 0; round < 20; ++round) {
    CloseGeneration(20);
    machine.Settle();
    ASSERT_EQ(machine.Metric("flush_waiting_files"), 0u) << "round " << round;
  }
  EXPECT_GE(machine.Metric("flush_rounds"), 10u);
}

TEST_F(FlushScale, G4_AFailureOfOneThreadHoldsTheRoundAndNoOtherLog) {
  UseSmallFiles(machine);
  machine.options.flush_threads = 3;
  machine.Start();
  for (int i = 0; i < 8; ++i) machine.Write(machine.Log("log/" + std::to_string(i)), 1, 1, {"x"});
  machine.disk().Schedule({.kind = sim::OpKind::kWrite, .file_class = ".seg", .skip = 3});
  const LogRef other = machine.Log("other");
  for (Index i = 1; i <= 12; ++i) machine.Write(other, i, 1, {std::string(3000, 'o')});
  machine.Settle();
  EXPECT_EQ(machine.Metric("flush_failures"), 2u) << "the write, and the round that waits for it";
  for (int i = 0; i < 10 && machine.Metric("flush_rounds") == 0; ++i) {
    ASSERT_TRUE(machine.executor().AdvanceToNextTimer());
    machine.Settle();
  }
  machine.PowerLoss();
  machine.Start();
  for (int i = 0; i < 8; ++i) {
    EXPECT_THAT(machine.Contents("log/" + std::to_string(i)), ElementsAre("1:1:x"));
  }
}

TEST_F(FlushScale, SG3_AFlushIsAsSlowAsItsRateSays) {
  machine.options.wal_max_size_bytes = 256 << 10;
  machine.options.flush_bytes_per_s = 64 << 10;
  machine.options.wal_max_files = 64;
  machine.Start();
  for (int round = 0; machine.Metric("wal_rolls") < 2; ++round) CloseGeneration(20);
  machine.Settle();
  const std::int64_t begin_ns = NowNs();
  EXPECT_EQ(machine.Metric("flush_rounds"), 0u) << "no time has passed";
  // Those who write do not wait for it.
  machine.Write(machine.Log("log/0"), machine.store().BoundsOf(machine.Log("log/0"))->end, 1,
                {"x"});
  while (machine.Metric("flush_rounds") == 0) {
    ASSERT_TRUE(machine.executor().AdvanceToNextTimer());
    machine.Settle();
  }
  const double seconds = static_cast<double>(NowNs() - begin_ns) / kSecondNs;
  const double bytes = static_cast<double>(machine.Metric("flush_bytes"));
  EXPECT_GT(bytes, 150'000);
  EXPECT_NEAR(seconds, bytes / (64 << 10), 0.4);
  EXPECT_NEAR(static_cast<double>(machine.Metric("flush_throttled_ns")) / kSecondNs, seconds, 0.1);
  EXPECT_EQ(machine.Metric("flush_rate_bytes"), 64u << 10);
}

TEST_F(FlushScale, B1_AFlushThatIsPacedNeverHasWritersWait) {
  machine.options.wal_max_size_bytes = 64 << 10;
  machine.options.flush_bytes_per_s = 64 << 10;
  machine.options.wal_max_files = 4;
  machine.Start();
  const std::int64_t begin_ns = NowNs();
  // No time passes but what the WAL takes, so the rate alone would let nothing through.
  for (int round = 0; round < 60; ++round) CloseGeneration(10);
  EXPECT_GT(machine.Metric("wal_rolls"), 15u);
  EXPECT_EQ(machine.Metric("append_overloaded"), 0u);
  EXPECT_LT(NowNs() - begin_ns, kSecondNs);
}

TEST_F(FlushScale, B1_MemoryIsNotWaitedForEither) {
  machine.options.memory_budget = 1 << 20;
  machine.options.wal_max_size_bytes = 8 << 20;  // Never full: only pressure makes it roll.
  machine.options.flush_bytes_per_s = 64 << 10;
  machine.options.wal_max_files = 64;
  machine.Start();
  std::vector<LogRef> logs;
  for (int i = 0; i < 20; ++i) logs.push_back(machine.Log("log/" + std::to_string(i)));
  machine.Settle();
  const std::int64_t begin_ns = NowNs();
  // Small entries of many logs: what grows is where they are, in memory and in the WAL.
  for (Index index = 1; index <= 3000; ++index) {
    for (const LogRef log : logs) ASSERT_TRUE(machine.Append(log, index, 1, {"x"}).ok()) << index;
    machine.Settle();
  }
  EXPECT_GT(machine.Metric("flush_rounds"), 3u);
  EXPECT_EQ(machine.Metric("append_overloaded"), 0u);
  EXPECT_LT(NowNs() - begin_ns, kSecondNs);
}

class ManyLogs : public FlushScale {
 protected:
  static constexpr int kLogs = 10'000;
  void Start(std::uint64_t wal_bytes) {
    machine.options.wal_max_size_bytes = wal_bytes;
    machine.options.memory_budget = 256 << 20;
    machine.tuning = StorageTuning{};
    machine.Start();
  }
  /// One entry in each log.
  void Fill(Index index) {
    Ticket last = 0;
    for (int i = 0; i < kLogs; ++i) {
      const LogRef log = machine.Log("log/" + std::to_string(i));
      last = machine.Append(log, index, 1, {std::string(100, 'x')}).value();
      if (i % 1000 == 999) {
        ASSERT_TRUE(machine.Wait(last).ok()) << i;
      }
    }
  }
};

TEST_F(ManyLogs, G13_AcknowledgementsGoOnWhileTenThousandLogsAreFlushed) {
  Start(16 << 20);
  const LogRef other = machine.Log("other");
  machine.Settle();
  Fill(1);
  ASSERT_EQ(machine.Metric("flush_logs"), 0u);
  const std::uint64_t rolls = machine.Metric("wal_rolls");
  Index next = 1;
  while (machine.Metric("wal_rolls") == rolls) {
    machine.Write(other, next++, 1, {std::string(30'000, 'o')});
  }
  std::uint64_t acknowledged = 0;
  std::uint64_t memory_peak = 0;
  Ticket ticket = 0;
  while (machine.Metric("flush_rounds") == 0) {
    if (ticket <= machine.writer().durable()) {
      ++acknowledged;
      ticket = machine.Append(other, next++, 1, {"o"}).value();
    }
    ASSERT_TRUE(machine.executor().RunOne() || machine.executor().AdvanceToNextTimer());
    (void)machine.writer().Poll();
    memory_peak = std::max(memory_peak, machine.Metric("memory_flush_bytes"));
  }
  EXPECT_GE(machine.Metric("flush_logs"), 10'000u);
  EXPECT_GT(acknowledged, 20u);
  EXPECT_GT(memory_peak, 1u << 20) << "what a round is about counts in the budget";
  EXPECT_LT(memory_peak, kLogs * 4096u);
  machine.Settle();
  EXPECT_LT(machine.Metric("memory_flush_bytes"), 2u << 20) << "and is let go of";
}

TEST_F(ManyLogs, SG3_SyncsDoNotGrowWithTheLogs) {
  Start(4 << 20);
  Fill(1);
  Flush(machine, machine.Log("other"));
  for (Index index = 2; index <= 3; ++index) {
    const std::uint64_t rounds = machine.Metric("flush_rounds");
    const std::uint64_t syncs = machine.Metric("flush_syncs");
    const std::uint64_t logs = machine.Metric("flush_logs");
    Fill(index);
    Flush(machine, machine.Log("other"));
    EXPECT_GT(machine.Metric("flush_logs") - logs, 5'000u);
    EXPECT_LE(machine.Metric("flush_syncs") - syncs, 4 * (machine.Metric("flush_rounds") - rounds));
  }
}

// A queue: what is written is gone again before its WAL file is.
TEST_F(FlushScale, A10_SG6_AQueueWritesATenthMoreThanItsEntriesAtMost) {
  constexpr std::size_t kPayload = 256;
  constexpr std::uint64_t kRecordHeader = 24;
  machine.options.wal_max_size_bytes = 32 << 20;
  machine.options.memory_budget = 256 << 20;
  machine.tuning = StorageTuning{};
  machine.Start();
  std::vector<LogRef> logs;
  for (int i = 0; i < 100; ++i) logs.push_back(machine.Log("queue/" + std::to_string(i)));
  machine.Settle();
  const std::vector<std::string> texts(10, std::string(kPayload, 'q'));
  Index next = 1;
  const auto turn = [&] {
    Ticket last = 0;
    for (const LogRef log : logs) last = machine.Append(log, next, 1, texts).value();
    ASSERT_TRUE(machine.Wait(last).ok());
    next += texts.size();
    if (next % 20 != 1) return;
    for (const LogRef log : logs) (void)machine.writer().TruncatePrefix(log, next).value();
  };
  const auto written = [&] {
    return machine.Metric("wal_bytes") + machine.Metric("flush_bytes") +
           machine.Metric("checkpoint_bytes");
  };
  while (machine.Metric("flush_rounds") < 1) turn();
  const std::uint64_t bytes = written();
  const std::uint64_t entries = machine.Metric("wal_entries");
  while (machine.Metric("flush_rounds") < 4) turn();
  const std::uint64_t owed = (machine.Metric("wal_entries") - entries) * (kPayload + kRecordHeader);
  EXPECT_LE(written() - bytes, owed + owed / 10);
  EXPECT_GT(machine.Metric("flush_entries"), 0u) << "some are always there when a file is closed";
}

// The floor moves past all that the last segment holds, again and again.
TEST_F(FlushScale, SG6_ALogThatIsTruncatedHasNoNewFileForEachFlush) {
  UseSmallFiles(machine);
  machine.Start();
  const LogRef log = machine.Log("a");
  const auto files_made = [&] {
    const auto& trace = machine.disk().trace();
    return std::count_if(trace.begin(), trace.end(), [](const sim::Op& op) {
      return op.kind == sim::OpKind::kCreate && op.name.ends_with(".seg");
    });
  };
  Index next = 1;
  for (int round = 0; round < 10; ++round) {
    for (int i = 0; i < 4; ++i) machine.Write(log, next++, 1, {"entry"});
    ASSERT_TRUE(machine.Wait(machine.writer().TruncatePrefix(log, next - 2).value()).ok());
    Flush(machine, machine.Log("other"));
  }
  EXPECT_EQ(files_made(), 2) << "one for each log";
  for (int start = 0; start < 2; ++start) {
    EXPECT_EQ(machine.Contents("a").size(), 2u);
    EXPECT_EQ(machine.store().BoundsOf(machine.Log("a"))->begin, next - 2);
    EXPECT_FALSE(machine.store().recovery_report().damaged());
    machine.PowerLoss();
    machine.Start();
  }
}

}  // namespace
}  // namespace duramen::log
