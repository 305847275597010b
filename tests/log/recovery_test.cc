// Starts: after kills and power losses, on damaged and foreign files, again and again.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "base/bytes.h"
#include "tests/log/machine.h"
#include "wal/scan.h"

namespace duramen::log {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::optional<LogInfo> InfoOf(const std::vector<LogInfo>& logs, const std::string& name) {
  for (const LogInfo& info : logs) {
    if (info.name == name) return info;
  }
  return std::nullopt;
}

TEST(Recovery, M6_RegistrationAndTwentyEntriesSurviveAtOnce) {
  for (const bool power : {false, true}) {
    Machine machine;
    machine.Start();
    const LogRef log = machine.Log("queue");
    Ticket last = 0;
    for (Index i = 1; i <= 20; ++i) last = machine.Append(log, i, 1, {"e"}).value();
    ASSERT_TRUE(machine.Wait(last).ok());
    power ? machine.PowerLoss() : machine.Kill();
    machine.Start();
    EXPECT_THAT(machine.Contents("queue"), SizeIs(20));
    EXPECT_FALSE(machine.store().recovery_report().damaged());
  }
}

TEST(Recovery, M5_LastAppliedIsClampedToWhatWasWritten) {
  Machine machine;
  machine.Start();
  const LogRef log = machine.Log("a");
  machine.Write(log, 1, 1, {"1", "2"});
  ASSERT_TRUE(machine.Append(log, 3, 1, {"3"}).ok());
  ASSERT_TRUE(machine.writer().PutLastApplied(log, 3).ok());
  machine.Settle();
  ASSERT_TRUE(machine.Wait(machine.writer().TruncateSuffix(log, 3).value()).ok());
  machine.PowerLoss();
  machine.Start();
  EXPECT_EQ(machine.store().LastAppliedOf(machine.Log("a")).value(), 2u);
}

/// A store with an acknowledged part, then batches that only the page cache holds.
sim::DiskState DiskWithUnsyncedTail() {
  Machine machine;
  machine.Start();
  const LogRef a = machine.Log("a");
  const LogRef b = machine.Log("b");
  machine.Write(a, 1, 1, {"1", "2"});
  machine.Write(b, 1, 1, {"b1"});
  machine.Settle();
  EXPECT_TRUE(machine.writer().PutVote(a, 2, "n1").ok());
  EXPECT_TRUE(machine.Append(a, 3, 2, {"3"}).ok());
  EXPECT_TRUE(machine.Append(b, 1, 2, {"b1'"}).ok());
  machine.AtOperation(2, [&] { machine.disk().Crash(); });
  machine.Settle();
  return machine.disk().disk();
}

// A valid batch that was never synced is read back after a kill; what is shown must be durable.
TEST(Recovery, W27_WhatAStartShowsIsDurableBeforeItIsShown) {
  Machine machine;
  machine.UseDisk(DiskWithUnsyncedTail());
  machine.Start();
  const std::vector<std::string> a = machine.Contents("a");
  EXPECT_THAT(a, ElementsAre("1:1:1", "2:1:2", "3:2:3"));
  EXPECT_EQ(machine.store().recovery_report().copied_batches > 0, true);
  machine.PowerLoss();
  machine.Start();
  EXPECT_EQ(machine.Contents("a"), a);
  EXPECT_EQ(machine.store().VoteOf(machine.Log("a"))->voted_for, "n1");
}

// The sync failed, its pages are clean and readable, and the process died before a new header.
TEST(Recovery, W24_PagesOfAFailedSyncAreNotTakenForDurable) {
  Machine machine;
  machine.Start();
  const LogRef log = machine.Log("a");
  machine.Write(log, 1, 1, {"one"});
  machine.Settle();
  machine.disk().Schedule({.kind = sim::OpKind::kSyncData,
                           .file_class = "#.wal",
                           .effect = sim::FaultEffect::kIoError});
  ASSERT_TRUE(machine.Append(log, 2, 1, {"two"}).ok());
  while (machine.disk().faults_fired() == 0) {
    ASSERT_TRUE(machine.executor().RunOne());
  }
  machine.Kill();
  machine.Start();
  const std::vector<std::string> shown = machine.Contents("a");
  EXPECT_THAT(shown, ElementsAre("1:1:one", "2:1:two"));
  machine.PowerLoss();
  machine.Start();
  EXPECT_EQ(machine.Contents("a"), shown);
}

// A crash at each operation of the recovery, and again at each place of the second.
TEST(Recovery, W13_ACrashAtEachStepOfARecoveryTwice) {
  const sim::DiskState disk = DiskWithUnsyncedTail();
  Machine undisturbed;
  undisturbed.UseDisk(disk);
  undisturbed.Start();
  const std::vector<std::string> a = undisturbed.Contents("a");
  const std::vector<std::string> b = undisturbed.Contents("b");
  const auto crash_at = [](Machine& machine, std::uint64_t skip) {
    machine.disk().Schedule(
        {.kind = {}, .file_class = "", .skip = skip, .effect = sim::FaultEffect::kCrash});
    const bool done = machine.Open().ok() && machine.disk().faults_fired() == 0;
    machine.Kill();
    return !done;
  };
  for (std::uint64_t first = 0; first < 100; ++first) {
    Machine once;
    once.UseDisk(disk);
    if (!crash_at(once, first)) {
      EXPECT_GT(first, 4u);
      return;
    }
    const sim::DiskState again = once.disk().disk();
    for (std::uint64_t second = 0; second < 100; ++second) {
      SCOPED_TRACE(::testing::Message() << first << " then " << second);
      Machine twice;
      twice.UseDisk(again);
      const bool crashed = crash_at(twice, second);
      twice.Start();
      ASSERT_EQ(twice.Contents("a"), a);
      ASSERT_EQ(twice.Contents("b"), b);
      ASSERT_FALSE(twice.store().recovery_report().damaged());
      if (!crashed) break;
    }
  }
  FAIL() << "the recovery never ended";
}

TEST(Recovery, W14_TheSameVerdictAfterACrashBehindTheCut) {
  // The tail is torn: half of the last batch is on disk.
  Machine source;
  source.UseDisk(DiskWithUnsyncedTail());
  source.Rot("/data/wal/" + source.WalFiles()[0], 0);  // One header copy as well.
  sim::DiskState disk = source.disk().disk();
  for (std::uint64_t skip = 0; skip < 40; ++skip) {
    SCOPED_TRACE(skip);
    Machine machine;
    machine.UseDisk(disk);
    machine.disk().Schedule(
        {.kind = {}, .file_class = "", .skip = skip, .effect = sim::FaultEffect::kCrash});
    const bool opened = machine.Open().ok();
    machine.PowerLoss();  // What the first start had not synced is gone.
    machine.Start();
    EXPECT_THAT(machine.Contents("a"), Contains("2:1:2"));
    EXPECT_FALSE(machine.store().recovery_report().damaged());
    if (opened) return;
  }
}

TEST(Recovery, W23_AnOldTearDoesNotStopTheSecondRecovery) {
  Machine machine;
  machine.UseDisk(DiskWithUnsyncedTail());
  machine.PowerLoss(sim::Profile::kExt4, 2);
  for (int start = 0; start < 3; ++start) {
    machine.Start();
    const LogRef log = machine.Log("a");
    const Index end = machine.store().BoundsOf(log)->end;
    EXPECT_EQ(end, machine.Contents(log).size() + 1);
    machine.Write(log, end, 5, {"more"});
    const std::vector<std::string> before = machine.Contents(log);
    start % 2 == 0 ? machine.PowerLoss() : machine.Kill();
    machine.Start();
    ASSERT_EQ(machine.Contents("a"), before);
    machine.Kill();
  }
}

TEST(Recovery, W25_TheLastDurableWriteNotTheHighestTermAtEveryCut) {
  for (std::uint64_t cut = 1; cut < 40; ++cut) {
    SCOPED_TRACE(cut);
    Machine machine;
    machine.Start();
    const LogRef log = machine.Log("a");
    machine.Write(log, 1, 1, {"base"});
    machine.Settle();
    std::string acknowledged = "none";
    machine.AtOperation(cut, [&] { machine.disk().Crash(); });
    for (const Term term : {2u, 3u, 2u}) {
      const std::string text = "t" + std::to_string(term) + acknowledged.substr(0, 2);
      const Result<Ticket> ticket = machine.Append(log, 2, term, {text});
      if (!ticket.ok() || !machine.Wait(*ticket).ok()) break;
      acknowledged = text;
    }
    const bool finished = !machine.disk().crashed();
    machine.PowerLoss();
    machine.Start();
    const std::vector<std::string> entries = machine.Contents("a");
    ASSERT_EQ(entries.size(), acknowledged == "none" ? 1u : 2u);
    if (entries.size() == 2) {
      EXPECT_EQ(entries[1].substr(4), acknowledged);
    }
    if (finished) return;
  }
}

// With appends each kill leaves batches of a block or two behind; all that lives is a row and
// bounds.
TEST(Recovery, W26_AHundredKilledStartsPileNoFilesUp) {
  for (const int variant : {0, 1, 2, 3}) {
    const bool write = variant % 2 != 0;
    SCOPED_TRACE(variant);
    Machine machine;
    machine.options.wal_max_size_bytes = 256 << 10;
    if (variant > 1) {  // Checkpoints and segments are there from before.
      machine.Start();
      const LogRef old = machine.Log("old");
      for (Index i = 1; i <= 10; ++i) machine.Write(old, i, 1, {std::string(30'000, 'o')});
      machine.Settle();
      ASSERT_GT(machine.Metric("checkpoints"), 0u);
      machine.Kill();
    }
    std::size_t after_two = 0;
    for (int start = 1; start <= 100; ++start) {
      machine.Start();
      const LogRef log = machine.Log("a");
      if (write || start == 1) {
        machine.Write(log, machine.store().BoundsOf(log)->end, 1, {"x"});
        const Index end = machine.store().BoundsOf(log)->end;
        ASSERT_TRUE(machine.Wait(machine.writer().TruncatePrefix(log, end).value()).ok());
      }
      EXPECT_EQ(machine.store().BoundsOf(log)->end, write ? start + 1u : 2u);
      machine.Settle();
      machine.Kill();
      after_two = start < 3 ? machine.WalFiles().size() : after_two;
      ASSERT_LE(machine.WalFiles().size(), after_two) << "start " << start;
    }
  }
}

/// Rows of all kinds, nothing live in front of the last entries, and a deleted log.
sim::DiskState DiskWithMuchToLetGo() {
  Machine machine;
  machine.Start();
  const LogRef a = machine.Log("a");
  const LogRef gone = machine.Log("gone");
  EXPECT_TRUE(machine.writer().PutVote(a, 7, "n1").ok());
  EXPECT_TRUE(machine.writer().Put(a, "key", AsBytes("value"), Durability::kSynced).ok());
  machine.Write(gone, 1, 1, {"1"});
  machine.Write(a, 1, 7, {"1", "2", "3"});
  EXPECT_TRUE(machine.writer().TruncateSuffix(a, 3).ok());
  machine.Write(a, 3, 8, {"3'"});
  EXPECT_TRUE(machine.Wait(machine.store().DeleteLog(machine.writer(), gone).value()).ok());
  EXPECT_TRUE(machine.Wait(machine.writer().TruncatePrefix(a, 4).value()).ok());
  machine.Write(machine.Log("b"), 1, 1, {"b1"});
  machine.Settle();
  return machine.disk().disk();
}

TEST(Recovery, W26_WhatIsLetGoIsWrittenAgainFirstAtEveryCrash) {
  const sim::DiskState disk = DiskWithMuchToLetGo();
  for (std::uint64_t skip = 0; skip < 100; ++skip) {
    SCOPED_TRACE(skip);
    Machine machine;
    machine.UseDisk(disk);
    machine.disk().Schedule(
        {.kind = {}, .file_class = "", .skip = skip, .effect = sim::FaultEffect::kCrash});
    const bool opened = machine.Open().ok() && machine.disk().faults_fired() == 0;
    for (int start = 0; start < 3; ++start) {
      start == 1 ? machine.Kill() : machine.PowerLoss();
      machine.Start();
      ASSERT_FALSE(machine.store().recovery_report().damaged());
      ASSERT_THAT(machine.store().Logs(), SizeIs(2));
      const LogRef a = machine.Log("a");
      EXPECT_EQ(machine.store().VoteOf(a)->term, 7u);
      EXPECT_EQ(machine.store().Get(a, "key").value(), "value");
      EXPECT_EQ(machine.store().BoundsOf(a)->begin, 4u);
      EXPECT_EQ(machine.store().BoundsOf(a)->end, 4u);
      EXPECT_EQ(machine.store().TermAt(a, 3).value(), 8u);
      EXPECT_THAT(machine.Contents("b"), ElementsAre("1:1:b1"));
    }
    machine.Write(machine.Log("a"), 4, 8, {"4"});
    EXPECT_THAT(machine.Contents("a"), ElementsAre("4:8:4"));
    if (opened) return;
  }
  FAIL() << "the recovery never ended";
}

TEST(Recovery, B4_AHundredStartsAtZeroBytesFree) {
  Machine machine;
  machine.options.wal_max_size_bytes = 256 << 10;
  machine.Start();
  machine.Write(machine.Log("a"), 1, 1, {"x"});
  machine.Settle();
  machine.Kill();
  for (int start = 0; start < 100; ++start) {
    machine.disk().Schedule({.kind = sim::OpKind::kAllocate,
                             .file_class = "",
                             .times = UINT64_MAX,
                             .effect = sim::FaultEffect::kDiskFull});
    machine.disk().Schedule({.kind = sim::OpKind::kCreate,
                             .file_class = "",
                             .times = UINT64_MAX,
                             .effect = sim::FaultEffect::kDiskFull});
    const Status opened = machine.Open();
    ASSERT_TRUE(opened.ok()) << "start " << start << ": " << opened.error().message;
    ASSERT_THAT(machine.Contents("a"), ElementsAre("1:1:x"));
    machine.Kill();
  }
}

TEST(Recovery, W22_StrangeFilesAreNoReasonNotToStart) {
  Machine machine;
  machine.Start();
  machine.Write(machine.Log("a"), 1, 1, {"x"});
  machine.Settle();
  machine.Kill();
  std::unique_ptr<Directory> wal = machine.disk().Open("/data/wal").value();
  const auto make = [&](const std::string& name, std::vector<std::byte> bytes) {
    std::unique_ptr<File> file = wal->Create(name).value();
    ASSERT_TRUE(file->Write(0, bytes).ok());
  };
  const std::vector<std::byte> whole = machine.FileBytes("/data/wal/" + machine.WalFiles()[0]);
  make("0000000000000050.wal", {});
  make("0000000000000051.wal", std::vector<std::byte>(48 << 10));
  make("0000000000000052.wal", {whole.begin(), whole.begin() + 2048});
  make("0000000000000053.wal", std::vector<std::byte>(100, std::byte{0xFF}));
  make("notes.txt", std::vector<std::byte>(10, std::byte{'x'}));
  wal.reset();
  machine.Start();
  EXPECT_THAT(machine.Contents("a"), ElementsAre("1:1:x"));
  EXPECT_FALSE(machine.store().recovery_report().damaged());
  std::set<std::string> spoken_of;
  for (const Finding& finding : machine.store().recovery_report().findings) {
    spoken_of.insert(finding.file);
  }
  EXPECT_THAT(spoken_of, Contains("0000000000000050.wal"));
  EXPECT_THAT(spoken_of, Contains("0000000000000053.wal"));
  machine.Write(machine.Log("a"), 2, 1, {"y"});
}

TEST(Recovery, A13_NumbersAreNeverUsedTwice) {
  Machine machine;
  std::set<std::string> seen;
  std::uint64_t highest = 0;
  for (int start = 0; start < 20; ++start) {
    machine.Start();
    const std::uint64_t newest = wal::ParseFileName(machine.WalFiles().back()).value();
    EXPECT_GT(newest, highest);
    machine.Settle();
    highest = std::max(highest, newest);
    start % 3 == 0 ? machine.PowerLoss() : machine.Kill();
  }
}

TEST(Recovery, W17_ARecreatedLogNeverGetsEntriesOfTheDeletedOne) {
  for (const bool power : {false, true}) {
    Machine machine;
    machine.Start();
    LogRef log = machine.Log("a");
    machine.Write(log, 1, 7, {"old1", "old2", "old3"});
    ASSERT_TRUE(machine.Wait(machine.store().DeleteLog(machine.writer(), log).value()).ok());
    EXPECT_EQ(machine.store().Read(log, 1, 2, 100).error().code, ErrorCode::kStaleRef);
    (void)machine.writer().Poll();
    const LogRef again = machine.Log("a");
    EXPECT_EQ(machine.store().BoundsOf(again)->end, 1u);
    machine.Write(again, 1, 1, {"new1"});
    EXPECT_EQ(machine.Append(log, 4, 7, {"stale"}).error().code, ErrorCode::kStaleRef);
    for (int start = 0; start < 3; ++start) {
      power ? machine.PowerLoss() : machine.Kill();
      machine.Start();
      EXPECT_THAT(machine.Contents("a"), ElementsAre("1:1:new1"));
      EXPECT_THAT(machine.store().Logs(), SizeIs(1));
    }
  }
}

TEST(Recovery, W17_ADeletionIsWholeOrNotAtAll) {
  for (std::uint64_t cut = 1; cut < 20; ++cut) {
    SCOPED_TRACE(cut);
    Machine machine;
    machine.options.wal_max_batch_size = 1;  // A batch border between any two records.
    machine.Start();
    const LogRef log = machine.Log("a");
    machine.Write(log, 1, 1, {"1", "2"});
    machine.Settle();
    machine.AtOperation(cut, [&] { machine.disk().Crash(); });
    ASSERT_TRUE(machine.store().DeleteLog(machine.writer(), log).ok());
    machine.Settle();
    const bool finished = !machine.disk().crashed();
    machine.PowerLoss();
    machine.Start();
    const bool there = InfoOf(machine.store().Logs(), "a").has_value();
    if (there) {
      EXPECT_THAT(machine.Contents("a"), ElementsAre("1:1:1", "2:1:2"));
    }
    if (finished) {
      EXPECT_FALSE(there);
      return;
    }
  }
}

struct PlacedPayload {
  std::uint64_t place = 0;  // of its second byte
  bool rows = false;
  bool repeat = false;
  std::uint8_t kind = 0;
};

/// The payloads of a WAL file, in order.
std::vector<PlacedPayload> AllPayloads(const Machine& machine, const std::string& file) {
  const std::vector<std::byte> bytes = machine.FileBytes("/data/wal/" + file);
  std::vector<PlacedPayload> found;
  const Result<wal::FileHeader> header = wal::DecodeFileHeader(Bytes(bytes), 0);
  if (!header.ok() || wal::FileName(header->number) != file) return found;
  const wal::FileContext context =
      wal::FileContext::Of(header->system, header->number, header->life);
  wal::SlotTable slots;
  for (std::uint64_t at = wal::kFirstBatchOffset; at + wal::kBlockBytes <= bytes.size();) {
    const Bytes rest = Bytes(bytes).subspan(at);
    const auto batch = wal::DecodeBatchHeader(rest, header->system, context, at);
    if (!batch.ok()) break;
    const auto contents = wal::ReadIntactBatch(*batch, rest, context, at);
    if (!contents.ok()) break;
    for (const wal::Binding& b : contents->bindings) slots[b.slot] = {b.uid, b.cluster_id};
    for (const wal::RunView& run : contents->runs) {
      wal::RecordReader reader(run, context, slots[run.header.slot]);
      while (!wal::IsMark(run.header.kind) && !reader.AtEnd()) {
        const auto record = reader.Next();
        if (!record.ok()) break;
        found.push_back({.place = record->offset + wal::kRecordHeaderBytes + 1,
                         .rows = run.header.kind == wal::RunKind::kRows,
                         .repeat = (run.header.flags & wal::kRunRepeat) != 0,
                         .kind = record->kind});
      }
    }
    at += batch->batch_bytes;
  }
  return found;
}

/// Where the rows of a kind (0: all), or what is no row, stands in a WAL file.
std::vector<std::uint64_t> PayloadsOf(const Machine& machine, const std::string& file, bool rows,
                                      std::uint8_t row_kind = 0) {
  std::vector<std::uint64_t> places;
  for (const PlacedPayload& payload : AllPayloads(machine, file)) {
    const bool wanted = row_kind == 0 || payload.kind == row_kind;
    if (payload.rows == rows && wanted) places.push_back(payload.place);
  }
  return places;
}

std::string FileWithBatches(const Machine& machine) {
  for (const std::string& name : machine.WalFiles()) {
    if (!PayloadsOf(machine, name, false).empty()) return name;
  }
  return "";
}

TEST(Recovery, B5_DamageTouchesExactlyItsLogAndTheOthersGoOn) {
  Machine machine;
  machine.Start();
  machine.Write(machine.Log("a"), 1, 1, {"a1", "a2", "a3"});
  machine.Write(machine.Log("b"), 1, 1, {"b1"});
  machine.Settle();
  ASSERT_TRUE(machine.Close().ok());
  const std::string file = FileWithBatches(machine);
  machine.Rot("/data/wal/" + file, PayloadsOf(machine, file, false)[1]);
  machine.Start();
  EXPECT_TRUE(machine.store().recovery_report().damaged());
  const std::vector<LogInfo> logs = machine.store().Logs();
  EXPECT_TRUE(InfoOf(logs, "a")->faulty);
  EXPECT_FALSE(InfoOf(logs, "b")->faulty);
  EXPECT_THAT(machine.Contents("a"), ElementsAre("1:1:a1", "2!faulty", "3:1:a3"));
  EXPECT_EQ(machine.Append(machine.Log("a"), 4, 1, {"x"}).error().code, ErrorCode::kFaulty);
  machine.Write(machine.Log("b"), 2, 1, {"b2"});
  EXPECT_TRUE(machine.writer().PutVote(machine.Log("a"), 3, "n").ok()) << "no row was lost";
  // A second start still knows [A3].
  for (int start = 0; start < 3; ++start) {
    start == 1 ? machine.PowerLoss() : machine.Kill();
    machine.Start();
    EXPECT_TRUE(InfoOf(machine.store().Logs(), "a")->faulty);
    EXPECT_THAT(machine.Contents("a"), ElementsAre("1:1:a1", "2!faulty", "3:1:a3"));
  }
}

TEST(Recovery, A1_AVoteThatMayBeLostNeverVotesAgain) {
  Machine machine;
  machine.Start();
  const LogRef log = machine.Log("a");
  machine.Write(log, 1, 1, {"a1"});
  ASSERT_TRUE(machine.Wait(machine.writer().PutVote(log, 12, "candidate").value()).ok());
  machine.Write(machine.Log("b"), 1, 1, {"b1"});  // Its batch repeats the vote.
  machine.Settle();
  ASSERT_TRUE(machine.Close().ok());
  const std::string file = FileWithBatches(machine);
  const std::vector<std::uint64_t> votes = PayloadsOf(machine, file, true, 2);
  ASSERT_EQ(votes.size(), 2u) << "rows are written twice, in different batches";
  const sim::DiskState whole = machine.disk().disk();
  for (const std::uint64_t lost : votes) {  // One copy is enough.
    machine.UseDisk(whole);
    machine.Rot("/data/wal/" + file, lost);
    machine.Start();
    EXPECT_EQ(machine.store().VoteOf(machine.Log("a"))->term, 12u);
    EXPECT_FALSE(InfoOf(machine.store().Logs(), "a")->faulty);
  }
  machine.UseDisk(whole);
  for (const std::uint64_t lost : votes) machine.Rot("/data/wal/" + file, lost);
  for (int start = 0; start < 3; ++start) {
    machine.Start();
    EXPECT_TRUE(InfoOf(machine.store().Logs(), "a")->faulty);
    EXPECT_FALSE(InfoOf(machine.store().Logs(), "b")->faulty);
    EXPECT_EQ(machine.writer().PutVote(machine.Log("a"), 99, "x").error().code, ErrorCode::kFaulty);
    machine.Kill();
  }
}

// Damage to a repeat counts as no loss, so a file must not go while only a repeat is left of its
// row.
TEST(Recovery, A1_ARepeatAloneIsNoReasonToLetTheRowGo) {
  std::size_t apart = 0;  // the last vote stands in one file, its repeat in the next
  for (Index lead = 1; lead <= 2; ++lead) {
    SCOPED_TRACE(lead);
    Machine machine;
    machine.Start();
    machine.Settle();
    Index next = 1;
    while (next < lead) machine.Write(machine.Log("b"), next++, 1, {"b"});
    Term term = 0;
    while (machine.Metric("wal_rolls") == 0) {
      const Ticket vote = machine.writer().PutVote(machine.Log("a"), ++term, "n").value();
      ASSERT_TRUE(machine.Wait(vote).ok());
      if (machine.Metric("wal_rolls") == 0) machine.Write(machine.Log("b"), next++, 1, {"b"});
    }
    std::set<std::string> files;
    for (const std::string& name : machine.WalFiles()) {
      const std::vector<PlacedPayload> all = AllPayloads(machine, name);
      if (!all.empty()) files.insert(name);
    }
    const std::vector<PlacedPayload> newest = AllPayloads(machine, *files.rbegin());
    const auto own = [](const PlacedPayload& payload) {
      return payload.rows && !payload.repeat && payload.kind == 2;
    };
    apart += std::none_of(newest.begin(), newest.end(), own) ? 1 : 0;
    // The entry beside the repeat is the only live one.
    machine.Write(machine.Log("b"), next++, 1, {"b"});
    const Ticket floor = machine.writer().TruncatePrefix(machine.Log("b"), next - 2).value();
    ASSERT_TRUE(machine.Wait(floor).ok());
    machine.Kill();
    machine.Start();
    machine.Kill();
    for (const std::string& name : machine.WalFiles()) {
      for (const PlacedPayload& payload : AllPayloads(machine, name)) {
        if (payload.repeat) machine.Rot("/data/wal/" + name, payload.place);
      }
    }
    machine.Start();
    EXPECT_EQ(machine.store().VoteOf(machine.Log("a"))->term, term);
  }
  EXPECT_GE(apart, 1u);
}

TEST(Recovery, A1_ALogThatIsFaultyAlreadyLearnsOfNewDamage) {
  Machine machine;
  machine.Start();
  machine.Write(machine.Log("a"), 1, 1, {"a1", "a2", "a3"});
  machine.Settle();
  ASSERT_TRUE(machine.Close().ok());
  std::string file = FileWithBatches(machine);
  machine.Rot("/data/wal/" + file, PayloadsOf(machine, file, false)[1]);
  machine.Start();
  const LogRef log = machine.Log("a");
  ASSERT_TRUE(machine.Wait(machine.writer().PutVote(log, 12, "candidate").value()).ok());
  machine.Write(machine.Log("b"), 1, 1, {"b1"});
  machine.Settle();
  ASSERT_TRUE(machine.Close().ok());
  std::uint64_t lost = 0;
  for (const std::string& name : machine.WalFiles()) {
    for (const std::uint64_t place : PayloadsOf(machine, name, true, 2)) {
      machine.Rot("/data/wal/" + name, place);
      ++lost;
    }
  }
  ASSERT_EQ(lost, 2u);
  machine.Start();
  EXPECT_EQ(machine.writer().PutVote(machine.Log("a"), 13, "x").error().code, ErrorCode::kFaulty);
}

TEST(Recovery, A18_ALostRegistrationIsFaultyNotDeleted) {
  Machine machine;
  machine.Start();
  machine.Write(machine.Log("a"), 1, 1, {"a1"});
  machine.Write(machine.Log("b"), 1, 1, {"b1"});
  machine.Settle();
  ASSERT_TRUE(machine.Close().ok());
  const std::string file = FileWithBatches(machine);
  const std::string uid = [&] {
    Machine reader;
    reader.UseDisk(machine.disk().disk());
    reader.Start();
    return InfoOf(reader.store().Logs(), "a")->uid;
  }();
  // Both copies of the first identity row; which log they belong to follows from their order.
  const std::vector<std::uint64_t> rows = PayloadsOf(machine, file, true, 1);
  ASSERT_GE(rows.size(), 3u);
  machine.Rot("/data/wal/" + file, rows[0]);
  machine.Rot("/data/wal/" + file, rows[1]);
  machine.Start();
  const std::optional<LogInfo> lost = InfoOf(machine.store().Logs(), uid);
  if (!lost) {  // The second copy may stand behind the first row of "b".
    GTEST_FAIL() << "the log of the lost registration is not there under its uid";
  }
  EXPECT_TRUE(lost->faulty);
  EXPECT_THAT(machine.Contents(uid), ElementsAre("1:1:a1")) << "its entries are kept";
  EXPECT_THAT(machine.Contents("b"), ElementsAre("1:1:b1"));
}

TEST(Recovery, StrictRefusesDamageAndChangesNothing) {
  Machine machine;
  machine.Start();
  machine.Write(machine.Log("a"), 1, 1, {"a1", "a2"});
  machine.Settle();
  ASSERT_TRUE(machine.Close().ok());
  const std::string file = FileWithBatches(machine);
  machine.Rot("/data/wal/" + file, PayloadsOf(machine, file, false)[0]);
  std::map<std::string, std::vector<std::byte>> before;
  for (const std::string& name : machine.WalFiles()) {
    before[name] = machine.FileBytes("/data/wal/" + name);
  }
  machine.options.recovery_mode = RecoveryMode::kStrict;
  const Status refused = machine.Open();
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kCorruption);
  EXPECT_NE(refused.error().message.find(file), std::string::npos);
  EXPECT_FALSE(refused.error().hint.empty());
  for (const auto& [name, bytes] : before) {
    EXPECT_EQ(machine.FileBytes("/data/wal/" + name), bytes) << name;
  }
}

// A restart is another matter: recovery syncs what it copies, whatever the method.
TEST(Recovery, C5_NoneProvesNothingByItself) {
  Machine machine;
  machine.options.wal_sync_method = SyncMethod::kNone;
  machine.Start();
  machine.Write(machine.Log("a"), 1, 1, {"x"});
  machine.Write(machine.Log("a"), 2, 1, {"y"});
  machine.Kill();
  std::size_t headers = 0;
  for (const std::string& name : machine.WalFiles()) {
    const std::vector<std::byte> bytes = machine.FileBytes("/data/wal/" + name);
    const Result<wal::FileHeader> header = wal::DecodeFileHeader(Bytes(bytes), 0);
    if (!header.ok()) continue;  // A spare.
    ++headers;
    EXPECT_EQ(header->durable_upto, 0u) << name;
  }
  EXPECT_GT(headers, 0u);
}

TEST(Recovery, T1_EveryCutOfAWalFileIsSurvived) {
  Machine machine;
  machine.Start();
  machine.Write(machine.Log("a"), 1, 1, {"a1", "a2"});
  machine.Write(machine.Log("b"), 1, 1, {"b1"});
  machine.Idle();
  machine.Kill();
  const sim::DiskState whole = machine.disk().disk();
  const std::string name = FileWithBatches(machine);
  for (std::uint64_t size = 0; size < (24 << 10); size += 448) {
    SCOPED_TRACE(size);
    machine.UseDisk(whole);
    {
      std::unique_ptr<Directory> wal = machine.disk().Open("/data/wal").value();
      ASSERT_TRUE(wal->Open(name, OpenFor::kReadWrite).value()->Truncate(size).ok());
    }
    machine.Start();
    for (const char* log : {"a", "b"}) {
      for (const std::string& line : machine.Contents(std::string(log))) {
        EXPECT_TRUE(line.find(log) != std::string::npos || line.find('!') != std::string::npos ||
                    line == "no such log")
            << line;
      }
    }
  }
}

}  // namespace
}  // namespace duramen::log
