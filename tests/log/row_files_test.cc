// A disk without a byte free: rows and marks go on in the row files, for ever and across crashes,
// entries are refused, and all of it ends by itself.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/bytes.h"
#include "tests/log/machine.h"

namespace duramen::log {
namespace {

using ::testing::HasSubstr;

/// Only what has its space can be written.
void FillDisk(Machine& machine) {
  using sim::OpKind;
  constexpr auto kFull = sim::FaultEffect::kDiskFull;
  for (const OpKind kind : {OpKind::kCreate, OpKind::kMakeDirectory, OpKind::kAllocate}) {
    machine.disk().Schedule({.kind = kind, .file_class = "", .times = UINT64_MAX, .effect = kFull});
  }
  machine.disk().Schedule(
      {.kind = OpKind::kWrite, .file_class = ".seg", .times = UINT64_MAX, .effect = kFull});
  machine.disk().SayFree(0);
}

void FreeDisk(Machine& machine) {
  machine.disk().ClearFaults();
  machine.disk().SayFree(UINT64_MAX);
}

/// Three logs, and what was acknowledged of them. Entries of "cut" are truncated from both ends.
struct Store {
  Machine machine;
  Index end = 1;        // of "a"
  Index cut_begin = 1;  // of "cut"
  Index cut_end = 1;
  Term vote = 0;
  std::string value;
  std::uint64_t refused = 0;
  Status last;  // of what Durable was asked

  Store() {
    machine.options.wal_max_size_bytes = 64 << 10;
    machine.options.wal_max_files = 6;
    machine.options.segment_max_entries = 8;
    machine.tuning.ring_bytes = 8 << 10;
    machine.tuning.ring_records = 32;
  }
  void Begin() {
    machine.Start();
    machine.Write(machine.Log("a"), 1, 1, {"a1"});
    end = 2;
    const std::vector<std::string> many(60, std::string(100, 'c'));
    for (int i = 0; i < 3; ++i) {
      machine.Write(machine.Log("cut"), cut_end, 1, {many.begin(), many.begin() + 20});
      cut_end += 20;
    }
  }
  Error Append() {
    const Result<Ticket> ticket = machine.Append(machine.Log("a"), end, 1, {std::string(500, 'a')});
    if (!ticket.ok()) {
      ++refused;
      return ticket.error();
    }
    if (machine.Wait(*ticket).ok()) ++end;
    return {};
  }
  /// False: what was asked for did not become durable.
  bool Durable(const Result<Ticket>& ticket) {
    last = ticket.ok() ? machine.Wait(*ticket) : Status(ticket.error());
    return last.ok();
  }
  bool Rows() {
    const LogRef a = machine.Log("a");
    if (!Durable(machine.writer().PutVote(a, vote + 1, "n"))) return false;
    ++vote;
    const std::string next = value.empty() ? std::to_string(vote) : std::string();
    if (!Durable(machine.writer().Put(a, "key", AsBytes(next), Durability::kSynced))) return false;
    value = next;
    return true;
  }
  bool Marks() {
    if (cut_end - cut_begin < 4) return true;
    const LogRef cut = machine.Log("cut");
    if (!Durable(machine.writer().TruncateSuffix(cut, cut_end - 1))) return false;
    --cut_end;
    if (vote % 3 != 0) return true;
    if (!Durable(machine.writer().TruncatePrefix(cut, cut_begin + 1))) return false;
    ++cut_begin;
    return true;
  }
  /// `unsure`: the last call was not answered, so its effect may be there.
  void ExpectAllThere(bool unsure = false) {
    const std::vector<std::string> a = machine.Contents("a");
    ASSERT_GE(a.size(), end - 1);
    ASSERT_LE(a.size(), end - 1 + (unsure ? 1 : 0));
    for (Index index = 2; index < end; ++index) {
      ASSERT_EQ(a[index - 1], std::to_string(index) + ":1:" + std::string(500, 'a'));
    }
    const LogRef log = machine.Log("a");
    const Term voted = machine.store().VoteOf(log)->term;
    ASSERT_GE(voted, vote);
    ASSERT_LE(voted, vote + (unsure ? 1 : 0));
    const Bounds bounds = *machine.store().BoundsOf(machine.Log("cut"));
    ASSERT_LE(bounds.end, cut_end);
    ASSERT_GE(bounds.end, cut_end - (unsure ? 1 : 0));
    ASSERT_GE(bounds.begin, cut_begin);
    ASSERT_LE(bounds.begin, cut_begin + (unsure ? 1 : 0));
    for (const std::string& line : machine.Contents("cut")) {
      ASSERT_THAT(line, HasSubstr(std::string(100, 'c')));
    }
    ASSERT_FALSE(machine.store().recovery_report().damaged())
        << machine.store().recovery_report().ToText();
  }
  /// Of a store that may have been killed in the middle of a call.
  void Adopt() {
    vote = machine.store().VoteOf(machine.Log("a"))->term;
    end = machine.store().BoundsOf(machine.Log("a"))->end;
    const Bounds bounds = *machine.store().BoundsOf(machine.Log("cut"));
    cut_begin = bounds.begin;
    cut_end = bounds.end;
    value = "?";
  }
  void ExpectItResumes() {
    FreeDisk(machine);
    for (int second = 0; second < 20 && machine.store().pressure() != Pressure::kNone; ++second) {
      machine.Idle();
    }
    ASSERT_EQ(machine.store().pressure(), Pressure::kNone) << "not by itself";
    const Index before = end;
    for (int i = 0; i < 200 && end < before + 100; ++i) {
      if (!Append().message.empty()) machine.Idle();  // The flush has to catch up.
    }
    ASSERT_EQ(end, before + 100);
  }
};

// What a row file holds is said again in the next one: all of it, so none may be on its way.
TEST(RowFiles, B3_WhatIsOnItsWayIntoARowFileIsNotLeftBehind) {
  Store store;
  store.machine.tuning.alone_bytes_max = 0;  // Each batch goes through the queue.
  store.Begin();
  FillDisk(store.machine);
  for (int i = 0; i < 400 && store.refused < 5; ++i) (void)store.Append();
  ASSERT_TRUE(store.Rows());
  const std::uint64_t rolls = store.machine.Metric("wal_row_rolls");
  store.machine.disk().SetLatency(1'000'000);
  const LogRef log = store.machine.Log("a");
  Ticket last = 0;
  for (int i = 0; i < 2000; ++i) {
    const Result<Ticket> ticket = store.machine.writer().PutVote(log, store.vote + 1, "n");
    if (ticket.ok()) {
      ++store.vote;
      last = *ticket;
    }
    for (int step = 0; step < 3; ++step) {
      if (!store.machine.executor().RunOne()) store.machine.executor().AdvanceToNextTimer();
    }
    (void)store.machine.writer().Poll();
  }
  ASSERT_TRUE(store.machine.Wait(last).ok());
  EXPECT_GT(store.machine.Metric("wal_row_rolls"), rolls + 10);
  store.machine.PowerLoss();
  store.machine.Start();
  store.ExpectAllThere();
}

TEST(RowFiles, B3_VotesGoOnForEverWithoutSpace) {
  Store store;
  store.Begin();
  FillDisk(store.machine);
  for (int i = 0; i < 400 && store.refused < 5; ++i) (void)store.Append();
  ASSERT_GE(store.refused, 5u);
  const std::size_t files = store.machine.WalFiles().size();
  const std::uint64_t rolls = store.machine.Metric("wal_row_rolls");
  for (int i = 0; i < 500; ++i) {
    ASSERT_TRUE(store.Rows()) << i << ": " << store.last.error().message;
    ASSERT_TRUE(store.Marks()) << i << ": " << store.last.error().message;
  }
  EXPECT_GT(store.machine.Metric("wal_row_rolls"), rolls + 50) << "both of them, again and again";
  EXPECT_LE(store.machine.WalFiles().size(), files);
  const Error refused = store.Append();
  EXPECT_EQ(refused.code, ErrorCode::kDiskFull);
  EXPECT_THAT(refused.message, HasSubstr("0 bytes free"));
  EXPECT_THAT(refused.hint, HasSubstr("TruncatePrefix"));
  store.ExpectAllThere();
  store.machine.PowerLoss();
  FillDisk(store.machine);
  store.machine.Start();
  store.ExpectAllThere();
  ASSERT_TRUE(store.Rows()) << store.last.error().message;
  store.ExpectItResumes();
  store.machine.PowerLoss();
  store.machine.Start();
  store.ExpectAllThere();
}

// Files as large as in production: row files are a stock of their own, and nothing to report.
TEST(RowFiles, B3_B4_SmallerThanTheOthers) {
  Store store;
  store.machine.options.wal_max_size_bytes = 20 << 20;
  store.Begin();
  for (int start = 0; start < 3; ++start) {
    store.machine.Settle();
    EXPECT_EQ(store.machine.Metric("wal_row_files_ready"), 2u);
    store.machine.Kill();
    FillDisk(store.machine);
    store.machine.Start();
    EXPECT_TRUE(store.machine.store().recovery_report().findings.empty())
        << store.machine.store().recovery_report().ToText();
    for (int i = 0; i < 20; ++i) {
      ASSERT_TRUE(store.Rows()) << store.last.error().message;
    }
  }
  store.ExpectAllThere();
}

// A log that is made, voted in and deleted while nothing is free, and one that begins anew.
TEST(RowFiles, B3_LogsComeAndGoInTheRowFiles) {
  Store store;
  store.Begin();
  Machine& machine = store.machine;
  machine.Write(machine.Log("gone"), 1, 1, {"g1", "g2"});
  machine.Write(machine.Log("anew"), 1, 1, {"n1", "n2", "n3"});
  FillDisk(machine);
  for (int i = 0; i < 400 && store.refused < 5; ++i) (void)store.Append();
  ASSERT_TRUE(store.Durable(machine.store().DeleteLog(machine.writer(), machine.Log("gone"))));
  ASSERT_TRUE(store.Durable(machine.writer().Reset(machine.Log("anew"), 100, 7)));
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(store.Rows()) << store.last.error().message;
  ASSERT_TRUE(store.Durable(machine.writer().Reset(machine.Log("anew"), 40, 8)));
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(store.Rows()) << store.last.error().message;
  machine.PowerLoss();
  FillDisk(machine);
  machine.Start();
  EXPECT_EQ(machine.Contents("gone"), std::vector<std::string>{"no such log"});
  const Bounds anew = *machine.store().BoundsOf(machine.Log("anew"));
  EXPECT_EQ(anew.begin, 40u);
  EXPECT_EQ(anew.end, 40u);
  EXPECT_EQ(machine.store().TermAt(machine.Log("anew"), 39).value(), 8u);
  store.ExpectAllThere();
}

/// Goes through a full disk, as far as it comes; the machine may stop at any operation of it.
void GoThrough(Store& store, bool fill) {
  if (fill) FillDisk(store.machine);
  for (int i = 0; i < 6; ++i) {
    if (store.machine.disk().crashed()) return;
    (void)store.Append();
    if (store.machine.disk().crashed() || !store.Rows()) return;
    if (store.machine.disk().crashed() || !store.Marks()) return;
  }
}

/// Operations from when the disk is full until it has been so for a while.
std::uint64_t OperationsOfRows() {
  Store store;
  store.Begin();
  const std::size_t before = store.machine.disk().trace().size();
  GoThrough(store, true);
  GoThrough(store, false);
  EXPECT_GE(store.machine.Metric("wal_row_rolls"), 3u);
  return store.machine.disk().trace().size() - before;
}

// The power goes at each operation of a store on a full disk, and the next start has no byte
// either; then there is space again.
TEST(RowFiles, B3_W26_ACrashAtEachOperationOfAFullDisk) {
  const std::uint64_t operations = OperationsOfRows();
  ASSERT_GT(operations, 60u);
  for (std::uint64_t at = 1; at <= operations; ++at) {
    for (const std::uint64_t choice : {0, 1, 5}) {
      SCOPED_TRACE(::testing::Message() << "operation " << at << ", choice " << choice);
      Store store;
      store.Begin();
      store.machine.AtOperation(at, [&store] { store.machine.disk().Crash(); });
      GoThrough(store, true);
      GoThrough(store, false);
      store.machine.PowerLoss(sim::Profile::kExt4, choice);
      FillDisk(store.machine);
      const Status opened = store.machine.Open();
      ASSERT_TRUE(opened.ok()) << opened.error().message;
      store.ExpectAllThere(true);
      if (HasFatalFailure()) return;
      store.Adopt();
      ASSERT_TRUE(store.Rows()) << store.last.error().message;
      store.ExpectItResumes();
      if (HasFatalFailure()) return;
      store.ExpectAllThere();
    }
  }
  RecordProperty("operations", static_cast<int>(operations));
}

// From each operation of a workload on there is no space: rows and marks go on, entries do or say
// why not; the power goes, and comes back to a disk that is still full.
TEST(RowFiles, PW12_SpaceEndsAtEachOperation) {
  const auto run = [](Store& store) {
    store.Begin();
    for (int i = 0; i < 30; ++i) {
      const Error refused = store.Append();
      EXPECT_TRUE(refused.message.empty() || refused.code == ErrorCode::kDiskFull ||
                  refused.code == ErrorCode::kOverloaded)
          << refused.message;
      ASSERT_TRUE(store.Rows()) << i << ": " << store.last.error().message;
      ASSERT_TRUE(store.Marks()) << i << ": " << store.last.error().message;
    }
  };
  Store begun_only;
  begun_only.Begin();
  const std::size_t begun = begun_only.machine.disk().trace().size();
  Store counted;
  run(counted);
  const std::size_t operations = counted.machine.disk().trace().size();
  ASSERT_GT(operations - begun, 150u);
  for (std::size_t at = begun + 1; at <= operations; ++at) {
    SCOPED_TRACE(::testing::Message() << "operation " << at);
    Store store;
    store.machine.AtOperation(at, [&store] { FillDisk(store.machine); });
    run(store);
    if (HasFailure()) return;
    store.machine.PowerLoss();
    FillDisk(store.machine);
    const Status opened = store.machine.Open();
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    store.ExpectAllThere();
    ASSERT_TRUE(store.Rows()) << store.last.error().message;
    store.ExpectItResumes();
    if (HasFailure()) return;
  }
}

// Each start is killed, at zero bytes free.
TEST(RowFiles, W26_B4_AHundredStartsWithoutAByte) {
  Store store;
  store.Begin();
  FillDisk(store.machine);
  for (int i = 0; i < 400 && store.refused < 5; ++i) (void)store.Append();
  std::size_t files = 0;
  for (int start = 0; start < 100; ++start) {
    start % 2 == 0 ? store.machine.Kill() : store.machine.PowerLoss();
    FillDisk(store.machine);
    const Status opened = store.machine.Open();
    ASSERT_TRUE(opened.ok()) << "start " << start << ": " << opened.error().message;
    store.ExpectAllThere();
    if (HasFatalFailure()) return;
    for (int i = 0; i < 30; ++i)
      ASSERT_TRUE(store.Rows()) << "start " << start << ": " << store.last.error().message;
    ASSERT_TRUE(store.Marks());
    (void)store.Append();
    if (start == 2) files = store.machine.WalFiles().size();
    if (start > 2) {
      ASSERT_LE(store.machine.WalFiles().size(), files);
    }
  }
  store.ExpectItResumes();
  store.ExpectAllThere();
}

// A file system that gives space only when it is written to: files are there, and take nothing.
TEST(RowFiles, A14_B3_AllocatedFilesThatTakeNothing) {
  Store store;
  store.Begin();
  FillDisk(store.machine);
  store.machine.disk().Schedule({.kind = sim::OpKind::kWrite,
                                 .file_class = "wal/#.wal",
                                 .times = UINT64_MAX,
                                 .effect = sim::FaultEffect::kDiskFull});
  const Result<Ticket> vote = store.machine.writer().PutVote(store.machine.Log("a"), 1, "n");
  ASSERT_TRUE(vote.ok());
  for (int second = 0; second < 10; ++second) store.machine.Idle();
  EXPECT_EQ(store.Append().code, ErrorCode::kDiskFull);
  EXPECT_LE(store.machine.Metric("wal_poisoned_files"), 6u) << "no file a second";
  FreeDisk(store.machine);
  for (int second = 0; second < 5; ++second) store.machine.Idle();
  ASSERT_TRUE(store.machine.Wait(*vote).ok()) << "not by itself";
  store.vote = 1;
  store.ExpectItResumes();
  store.machine.PowerLoss();
  store.machine.Start();
  store.ExpectAllThere();
}

// Files fail on a full disk until there is none left that takes what was accepted before.
TEST(RowFiles, G9_AWriterWhoseEntriesAreStrandedCanBeDestroyed) {
  Store store;
  store.Begin();
  Machine& machine = store.machine;
  const LogRef other = machine.Log("other", 1);
  FillDisk(machine);
  const auto waiting = [&] { return *machine.store().BoundsOf(machine.Log("a")); };
  machine.disk().Schedule({.kind = sim::OpKind::kSyncData, .file_class = "wal/#.wal", .times = 4});
  Index end = store.end;
  for (; end < store.end + 3; ++end) {
    ASSERT_TRUE(machine.Append(machine.Log("a"), end, 1, {"a"}).ok());
  }
  for (int second = 0; second < 20; ++second) machine.Idle();
  ASSERT_GT(waiting().end, waiting().written_end) << "nothing was accepted that has no file";
  const Result<Ticket> vote = machine.writer(1).PutVote(other, 7, "n");
  ASSERT_TRUE(vote.ok() && machine.Wait(*vote, 1).ok()) << "the WAL is not stuck";
  const Deadline soon = machine.In(1'000'000'000);
  machine.DropWriters();
  EXPECT_LT(machine.In(0), soon) << "it waited for space";
  FreeDisk(machine);
  for (int second = 0; second < 5; ++second) machine.Idle();
  EXPECT_EQ(machine.store().pressure(), Pressure::kNone);
  machine.PowerLoss();
  machine.Start();
  const std::vector<std::string> a = machine.Contents("a");
  EXPECT_GE(a.size(), store.end - 1);
  EXPECT_LE(a.size(), end - 1);
  EXPECT_EQ(machine.store().VoteOf(machine.Log("other", 1))->term, 7u);
  EXPECT_FALSE(machine.store().recovery_report().damaged());
}

}  // namespace
}  // namespace duramen::log
