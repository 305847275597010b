// memory_budget, and what one log may take from the others of its Writer.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "base/bytes.h"
#include "tests/log/machine.h"

namespace duramen::log {
namespace {

using ::testing::HasSubstr;

Status WaitForRoom(Machine& machine, LogRef log, std::size_t bytes) {
  return machine.writer().WaitForRoom(log, 1, bytes, machine.In(60'000'000'000));
}

TEST(Sharing, W20_TheSlowOfTenThousandLogsWaitForOneBatchAtMost) {
  Machine machine;
  machine.options.wal_max_size_bytes = 4 << 20;
  machine.options.memory_budget = 64 << 20;
  machine.tuning.ring_records = 4096;
  machine.tuning.ring_bytes = 1 << 20;
  machine.tuning.batch_bytes_max = 1 << 20;
  machine.Start();
  std::vector<LogRef> slow;
  for (int i = 0; i < 9'999; ++i) {
    slow.push_back(machine.Log("slow/" + std::to_string(i)));
    if (i % 1000 == 999) machine.Settle();
  }
  const LogRef fast = machine.Log("fast");
  machine.Settle();
  Index next = 1;
  std::size_t at = 0;
  for (int round = 0; round < 40; ++round) {
    const auto refused = [&] {  // The fast one has more to write than it is ever allowed to.
      Result<Ticket> ticket = machine.Append(fast, next, 1, {std::string(1000, 'f')});
      while (ticket.ok()) ticket = machine.Append(fast, ++next, 1, {std::string(1000, 'f')});
      return std::move(ticket).error();
    }();
    ASSERT_EQ(refused.code, ErrorCode::kOverloaded);
    const std::uint64_t before = machine.Metric("wal_batches");
    Ticket last = 0;
    for (int i = 0; i < 100; ++i) {
      const LogRef log = slow[at++ % slow.size()];
      const Result<Ticket> ticket =
          machine.Append(log, machine.store().BoundsOf(log)->end, 1, {"slow"});
      ASSERT_TRUE(ticket.ok()) << "the fast log took the ring: " << ticket.error().message;
      last = *ticket;
    }
    while (machine.writer().durable() < last) {
      ASSERT_TRUE(machine.executor().RunOne());
      (void)machine.writer().Poll();
    }
    EXPECT_LE(machine.Metric("wal_batches") - before, 2u) << "one that was full, and their own";
  }
}

TEST(Sharing, B7_ALogAloneHasHalfOfTheRing) {
  Machine machine;
  machine.Start();
  const LogRef log = machine.Log("a");
  machine.Settle();
  const std::string text(1000, 'x');
  Index next = 1;
  while (machine.Append(log, next, 1, {text}).ok()) ++next;
  EXPECT_GE((next - 1) * text.size(), machine.tuning.ring_bytes / 2 - text.size());
  const Error refused = machine.Append(log, next, 1, {text}).error();
  EXPECT_THAT(refused.message, HasSubstr("log 'a'"));
  // A group larger than a share is taken when nothing of the log is on its way.
  machine.Settle();
  const std::vector<std::string> large(50, text);
  EXPECT_TRUE(machine.Append(log, next, 1, large).ok());
}

class Budget : public ::testing::Test {
 protected:
  void SetUp() override {
    machine.options.memory_budget = 1 << 20;
    machine.options.wal_max_size_bytes = 8 << 20;  // Never full: only pressure makes it roll.
  }
  Machine machine;
};

TEST_F(Budget, G11_WritersWaitAtTheBoundAndGoOn) {
  machine.Start();
  std::vector<LogRef> logs;
  for (int i = 0; i < 20; ++i) logs.push_back(machine.Log("log/" + std::to_string(i)));
  machine.Settle();
  std::vector<Index> next(logs.size(), 1);
  const auto text = [&](std::size_t i, Index index) {
    return std::to_string(i) + "/" + std::to_string(index);
  };
  const auto append = [&](std::size_t i) {
    Result<Ticket> ticket = machine.Append(logs[i], next[i], 1, {text(i, next[i])});
    EXPECT_LE(machine.Metric("memory_used_bytes"), machine.options.memory_budget);
    if (ticket.ok()) ++next[i];
    return ticket;
  };
  // Small entries of many logs: what grows is where they are, in memory and in the WAL.
  for (int round = 0; round < 3000; ++round) {
    for (std::size_t i = 0; i < logs.size(); ++i) ASSERT_TRUE(append(i).ok()) << "round " << round;
    machine.Settle();
  }
  EXPECT_GT(machine.Metric("wal_rolls"), 1u) << "memory waits for a file to fill [B1]";
  // Nothing can be flushed for a while: the bound is reached.
  const sim::Fault stuck{.kind = sim::OpKind::kWrite,
                         .file_class = ".seg",
                         .times = UINT64_MAX,
                         .effect = sim::FaultEffect::kIoError};
  machine.disk().Schedule(stuck);
  Status room;
  for (std::size_t i = 0; room.ok() && i < 200'000; ++i) {
    if (i % logs.size() == 0) machine.Settle();
    if (append(i % logs.size()).ok()) continue;
    room = machine.writer().WaitForRoom(logs[i % logs.size()], 1, 10, machine.In(1'000'000));
  }
  ASSERT_FALSE(room.ok());
  EXPECT_EQ(room.error().code, ErrorCode::kOverloaded);
  EXPECT_THAT(room.error().message, HasSubstr("memory_budget"));
  EXPECT_TRUE(machine.writer().PutVote(logs[0], 2, "n").ok()) << "rows have a reserve";
  machine.disk().ClearFaults();
  for (std::size_t i = 0; i < logs.size(); ++i) {
    room = WaitForRoom(machine, logs[i], 10);
    ASSERT_TRUE(room.ok()) << room.error().message;
    ASSERT_TRUE(append(i).ok());
  }
  machine.Settle();
  for (std::size_t i = 0; i < logs.size(); ++i) {
    ASSERT_EQ(machine.store().BoundsOf(logs[i])->written_end, next[i]);
    for (Index index = 1; index < next[i]; index += 391) {
      const Result<Pin> pin = machine.store().Read(logs[i], index, index + 1, 1000);
      ASSERT_TRUE(pin.ok()) << pin.error().message;
      EXPECT_EQ(AsText(pin->entries()[0].payload), text(i, index));
    }
  }
}

TEST_F(Budget, MT2_WhereEntriesLandedCounts) {
  machine.options.memory_budget = 4 << 20;
  machine.Start();
  const LogRef log = machine.Log("a");
  machine.Settle();
  EXPECT_EQ(machine.Metric("memory_landed_bytes"), 0u);
  const std::uint64_t used = machine.Metric("memory_used_bytes");
  for (Index index = 1; index <= 1000; ++index) machine.Write(log, index, 1, {"x"});
  const std::uint64_t landed = machine.Metric("memory_landed_bytes");
  EXPECT_GE(landed, 1000u * 48);  // a run a batch
  EXPECT_GE(machine.Metric("memory_used_bytes") - used, landed);
  (void)machine.writer().TruncatePrefix(log, 1001);
  machine.Settle();
  EXPECT_LE(machine.Metric("memory_landed_bytes"), 64u << 10);
}

TEST_F(Budget, B1_ReadersThatHoldMuchGetCopies) {
  machine.options.memory_budget = 2 << 20;
  machine.tuning.chunk_bytes = 64 << 10;
  machine.Start();
  const LogRef log = machine.Log("a");
  machine.Settle();
  std::vector<Pin> pins;
  for (Index index = 1; index <= 400; ++index) {
    machine.Write(log, index, 1, {std::string(8'000, 'x')});
    if (index % 8 != 0) continue;  // One of each chunk: all of memory, if it is held.
    Result<Pin> pin = machine.store().Read(log, index, index + 1, 1);
    ASSERT_TRUE(pin.ok()) << pin.error().message;
    pins.push_back(std::move(*pin));
    ASSERT_LE(machine.Metric("memory_pinned_bytes"),
              machine.options.memory_budget / 8 + machine.tuning.chunk_bytes);
  }
  for (const Pin& pin : pins) EXPECT_EQ(pin.entries()[0].payload.size(), 8'000u);
  pins.clear();
  EXPECT_EQ(machine.Metric("memory_pinned_bytes"), 0u);
}

TEST_F(Budget, W16_AnEntryThatWouldNeverFindRoomIsRefused) {
  machine.tuning.ring_bytes = 8 << 20;
  machine.options.memory_budget = 9 << 20;
  machine.options.wal_max_size_bytes = 64 << 20;
  machine.Start();
  const LogRef log = machine.Log("a");
  const std::uint64_t limit = machine.options.memory_budget / 4;
  machine.Write(log, 1, 1, {std::string(limit, 'x')});
  const Error refused = machine.Append(log, 2, 1, {std::string(limit + 1, 'x')}).error();
  EXPECT_EQ(refused.code, ErrorCode::kTooLarge);
  EXPECT_THAT(refused.hint, HasSubstr("memory_budget"));
}

// What a batch is encoded into counts, also where there is no room for it: entries wait then, the
// WAL never does. Little of it stays when the batch is through.
TEST_F(Budget, B1_MT2_WhatABatchIsEncodedIntoCounts) {
  constexpr std::size_t kEntryBytes = 250'000;
  machine.tuning.batch_bytes_max = 512 << 10;
  machine.tuning.ring_bytes = 256 << 10;
  machine.options.memory_budget = 1 << 20;
  machine.Start();
  const LogRef log = machine.Log("a");
  machine.Settle();
  std::uint64_t batch_peak = 0;
  std::uint64_t used_peak = 0;
  std::function<void()> look = [&] {
    batch_peak = std::max(batch_peak, machine.Metric("memory_batch_bytes"));
    used_peak = std::max(used_peak, machine.Metric("memory_used_bytes"));
    machine.AtOperation(1, look);
  };
  machine.AtOperation(1, look);
  for (Index index = 1; index <= 40; ++index) {
    ASSERT_TRUE(WaitForRoom(machine, log, kEntryBytes).ok()) << index;
    machine.Write(log, index, 1, {std::string(kEntryBytes, 'x')});
    machine.Settle();
    ASSERT_LE(machine.Metric("memory_batch_bytes"), machine.options.memory_budget / 16);
  }
  EXPECT_GE(batch_peak, kEntryBytes);
  EXPECT_GE(used_peak, 2 * kEntryBytes) << "where it is in memory, and in the batch";
}

// Less is refused, and what is not refused is enough to go on for ever.
TEST_F(Budget, B1_TheSmallestBudgetTakesEntriesForEver) {
  machine.options.wal_max_size_bytes = 0;  // As large as the budget lets it be.
  machine.tuning.ring_bytes = 2 << 20;     // More than the least that the setting may be.
  machine.options.memory_budget = 1 << 20;
  const Status refused = machine.Open();
  ASSERT_FALSE(refused.ok());
  constexpr std::string_view kHint = "set memory_budget to ";
  const std::size_t at = refused.error().hint.find(kHint);
  ASSERT_NE(at, std::string::npos) << refused.error().hint;
  const std::uint64_t least = std::stoull(refused.error().hint.substr(at + kHint.size()));
  machine.options.memory_budget = least - 1;
  EXPECT_EQ(machine.Open().error().code, ErrorCode::kConfiguration);
  machine.options.memory_budget = least;
  machine.Start();
  const LogRef log = machine.Log("a");
  machine.Settle();
  const std::size_t large = 5000;
  std::uint64_t bytes = 0;
  for (Index index = 1; bytes < 20 * least; ++index) {
    const std::size_t size = index % 3 == 0 ? large : 700;
    const Status room = WaitForRoom(machine, log, size);
    ASSERT_TRUE(room.ok()) << index << ": " << room.error().message;
    machine.Write(log, index, 1, {std::string(size, 'x')});
    bytes += size;
  }
}

TEST_F(Budget, G11_WaitingEndsWithTheReason) {
  machine.Start();
  const LogRef log = machine.Log("a");
  machine.Settle();
  machine.disk().Schedule({.kind = sim::OpKind::kWrite,
                           .file_class = ".wal",
                           .times = UINT64_MAX,
                           .effect = sim::FaultEffect::kIoError});
  ASSERT_TRUE(machine.Append(log, 1, 1, {"x"}).ok());
  machine.Settle();
  const Status waited = WaitForRoom(machine, log, 1000);
  ASSERT_FALSE(waited.ok());
  EXPECT_EQ(waited.error().code, ErrorCode::kWalDown) << waited.error().message;
  EXPECT_EQ(machine.writer().WaitForRoom({}, 1, 1, machine.In(1)).error().code,
            ErrorCode::kStaleRef);
  EXPECT_EQ(machine.writer().WaitForRoom(log, 1'000'000, 1, machine.In(1)).error().code,
            ErrorCode::kTooLarge);
}

}  // namespace
}  // namespace duramen::log
