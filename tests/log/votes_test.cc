// Votes: not given before they are durable, few syncs for many, and never again once one may be
// lost.
#include <gtest/gtest.h>

#include <algorithm>

#include "base/bytes.h"
#include "tests/log/machine.h"

namespace duramen::log {
namespace {

constexpr char kWal[] = "/data/wal/";

/// Flips a bit in every copy of `text` in WAL files; returns how many there were.
int RotAll(Machine& machine, std::string_view text) {
  int rotten = 0;
  for (const std::string& name : machine.WalFiles()) {
    const std::vector<std::byte> bytes = machine.FileBytes(kWal + name);
    const std::string_view all = AsText(bytes);
    for (std::size_t at = all.find(text); at != all.npos; at = all.find(text, at + 1)) {
      machine.Rot(kWal + name, at);
      ++rotten;
    }
  }
  return rotten;
}

LogInfo InfoOf(Machine& machine, const std::string& name) {
  for (const LogInfo& info : machine.store().Logs()) {
    if (info.name == name) return info;
  }
  return {};
}

// The machine stops at each operation of a vote: where its ticket was durable the vote is there
// after the power went, and where it is not there its ticket was not durable.
TEST(Votes, M1_AVoteIsNotGivenBeforeItIsDurable) {
  bool given = false;
  bool refused = false;
  for (std::uint64_t skip = 0; skip < 40; ++skip) {
    SCOPED_TRACE(skip);
    Machine machine;
    machine.Start();
    const LogRef log = machine.Log("a");
    machine.Write(log, 1, 1, {"a1"});
    machine.disk().Schedule(
        {.kind = {}, .file_class = "", .skip = skip, .effect = sim::FaultEffect::kCrash});
    const Result<Ticket> ticket = machine.writer().PutVote(log, 7, "candidate");
    ASSERT_TRUE(ticket.ok());
    EXPECT_LT(machine.writer().durable(), *ticket) << "nothing was written yet";
    (void)machine.executor().RunUntilIdle(1000);
    const bool durable = machine.writer().durable() >= *ticket;
    machine.PowerLoss();
    machine.Start();
    const Vote vote = machine.store().VoteOf(machine.Log("a")).value();
    if (durable) {
      EXPECT_EQ(vote.term, 7u);
      EXPECT_EQ(vote.voted_for, "candidate");
    }
    given = given || durable;
    refused = refused || !durable;
  }
  EXPECT_TRUE(given && refused) << "both were played";
}

TEST(Votes, M4_TenThousandVotesTakeFewSyncs) {
  constexpr std::uint64_t kLogs = 10'000;
  Machine machine;
  machine.options.wal_max_size_bytes = 64 << 20;
  machine.options.memory_budget = 512 << 20;
  machine.tuning.ring_records = 32'768;
  machine.tuning.ring_bytes = 16 << 20;
  machine.tuning.batch_bytes_max = 8 << 20;
  machine.tuning.chunk_bytes = 256 << 10;
  machine.Start();
  std::vector<LogRef> logs;
  for (std::uint64_t i = 0; i < kLogs; ++i) logs.push_back(machine.Log("log" + std::to_string(i)));
  machine.Settle();
  const std::uint64_t before = machine.Metric("wal_syncs");
  Ticket last = 0;
  for (const LogRef log : logs) {
    const Result<Ticket> ticket = machine.writer().PutVote(log, 3, "n1");
    ASSERT_TRUE(ticket.ok()) << ticket.error().message;
    last = *ticket;
  }
  ASSERT_TRUE(machine.Wait(last).ok());
  EXPECT_LE(machine.Metric("wal_syncs") - before, 16u);
  machine.PowerLoss();
  machine.Start();
  for (const LogInfo& info : machine.store().Logs()) {
    ASSERT_EQ(machine.store().VoteOf(info.log)->term, 3u) << info.name;
  }
}

// Both copies of the vote are damaged. The member is brought past it with entries of later terms,
// as far as that can be done, and is restarted: it never votes again.
TEST(Votes, M8_ALogWhoseVoteWasDamagedNeverVotesAgain) {
  constexpr std::string_view kCandidate = "the candidate whose vote rots";
  Machine machine;
  machine.Start();
  machine.Write(machine.Log("a"), 1, 1, {"a1"});
  ASSERT_TRUE(machine.Wait(*machine.writer().PutVote(machine.Log("a"), 12, kCandidate)).ok());
  machine.Write(machine.Log("b"), 1, 1, {"b1"});  // Its batch repeats the vote.
  machine.Settle();
  ASSERT_TRUE(machine.Close().ok());
  ASSERT_GE(RotAll(machine, kCandidate), 2);
  for (int start = 0; start < 4; ++start) {
    SCOPED_TRACE(start);
    machine.Start();
    EXPECT_TRUE(InfoOf(machine, "a").faulty);
    EXPECT_FALSE(InfoOf(machine, "b").faulty);
    for (const Term term : {12u, 13u, 4'000u}) {
      const Result<Ticket> vote = machine.writer().PutVote(machine.Log("a"), term, "another");
      ASSERT_FALSE(vote.ok());
      EXPECT_EQ(vote.error().code, ErrorCode::kFaulty);
    }
    // Nothing that a leader would send clears it.
    (void)machine.Append(machine.Log("a"), 2, 13, {"a2"});
    (void)machine.writer().Reset(machine.Log("a"), 50, 13);
    machine.Write(machine.Log("b"), static_cast<Index>(2 + start), 1, {"more"});
    start % 2 == 0 ? machine.PowerLoss() : machine.Kill();
  }
}

}  // namespace
}  // namespace duramen::log
