// One directory, one sync, one log: what goes wrong with it holds nobody else.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "base/bytes.h"
#include "log/attempt_file.h"
#include "log/durable_rows.h"
#include "log/durable_state.h"
#include "wal/replay.h"
#include "tests/log/flush_machine.h"

namespace duramen::log {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kServers[] = "/data/servers";

std::unique_ptr<Directory> DirectoryOf(Machine& machine, const std::string& uid) {
  const std::unique_ptr<Directory> data = machine.disk().Open("/data").value();
  return data->OpenDirectory("servers").value()->OpenDirectory(uid).value();
}

bool IsThere(Machine& machine, const std::string& path) {
  return machine.disk().disk().visible().FindPath(path) != 0;
}

TEST(Containment, A18_B3_WhatSomebodyPutIntoADeletedLogsDirectoryHoldsNoWalFile) {
  Machine machine;
  UseSmallFiles(machine);
  machine.Start();
  machine.Write(machine.Log("a"), 1, 1, {"a1"});
  Flush(machine, machine.Log("other"), 2);
  const std::string uid = machine.UidOf("a");
  const std::string path = std::string(kServers) + "/" + uid;
  ASSERT_TRUE(IsThere(machine, path));
  ASSERT_TRUE(DirectoryOf(machine, uid)->CreateDirectory("mine").ok());
  ASSERT_TRUE(DirectoryOf(machine, uid)->Sync().ok());
  const Result<Ticket> deleted = machine.store().DeleteLog(machine.writer(), machine.Log("a"));
  ASSERT_TRUE(machine.Wait(*deleted).ok());
  const std::uint64_t recycled = machine.Metric("wal_recycled_files");
  Flush(machine, machine.Log("other"), 6);
  EXPECT_GE(machine.Metric("wal_recycled_files"), recycled + 4);
  EXPECT_TRUE(IsThere(machine, path + "/mine"));
  for (int start = 0; start < 2; ++start) {
    machine.PowerLoss();
    machine.Start();
    EXPECT_FALSE(machine.store().recovery_report().damaged());
    EXPECT_EQ(machine.store().Logs().size(), 1u) << "its tombstone was not forgotten";
    Flush(machine, machine.Log("other"), 2);
  }
  ASSERT_TRUE(DirectoryOf(machine, uid)->RemoveDirectory("mine").ok());
  Flush(machine, machine.Log("other"), 2);
  EXPECT_FALSE(IsThere(machine, path));
  Flush(machine, machine.Log("other"), 2);
  machine.PowerLoss();
  machine.Start();
  EXPECT_FALSE(machine.store().recovery_report().damaged());
  EXPECT_EQ(machine.store().Logs().size(), 1u);
}

// The sync of servers/ fails once, says success the next time, and the names that it was for are
// gone with the power all the same.
TEST(Containment, B8_A6_NamesOfAFailedSyncAreMadeAgain) {
  Machine machine;
  UseSmallFiles(machine);
  machine.Start();
  machine.disk().LoseNamesOnFailedSync();
  machine.Write(machine.Log("a"), 1, 1, {"a1"});
  machine.disk().Schedule({.kind = sim::OpKind::kSyncDirectory, .file_class = "servers"});
  const LogRef other = machine.Log("other");
  for (Index i = 1; i <= 12; ++i) machine.Write(other, i, 9, {std::string(3000, 'o')});
  machine.Settle();
  ASSERT_GT(machine.Metric("flush_failures"), 0u);
  machine.Idle();  // It is tried again after a while.
  Flush(machine, other, 3);
  EXPECT_EQ(machine.disk().faults_fired(), 1u);
  ASSERT_GT(machine.Metric("wal_recycled_files"), 0u);
  machine.PowerLoss();
  machine.Start();
  EXPECT_FALSE(machine.store().recovery_report().damaged())
      << machine.store().recovery_report().ToText();
  EXPECT_THAT(machine.Contents("a"), ElementsAre("1:1:a1"));
}

/// Eight logs in one generation, whose flush asks for one sync of the file system.
void WriteEight(Machine& machine) {
  Ticket last = 0;
  for (int i = 0; i < 8; ++i) {
    last = machine.Append(machine.Log("log" + std::to_string(i)), 1, 1, {"entry"}).value();
  }
  ASSERT_TRUE(machine.Wait(last).ok());
}

void Fill(Machine& machine) {
  const LogRef other = machine.Log("other");
  for (Index i = 1; i <= 12 && !machine.disk().crashed(); ++i) {
    (void)machine.Append(other, machine.store().BoundsOf(other)->end, 9, {std::string(3000, 'o')});
    machine.Settle();
  }
}

void ExpectEight(Machine& machine) {
  ASSERT_GT(machine.Metric("wal_recycled_files"), 0u);
  machine.PowerLoss();
  machine.Start();
  EXPECT_FALSE(machine.store().recovery_report().damaged())
      << machine.store().recovery_report().ToText();
  for (int i = 0; i < 8; ++i) {
    EXPECT_THAT(machine.Contents("log" + std::to_string(i)), ElementsAre("1:1:entry"));
  }
}

// The same with a sync of the file system.
TEST(Containment, B8_A6_NamesOfAFailedSyncOfTheFileSystemAreMadeAgain) {
  Machine machine;
  UseSmallFiles(machine);
  machine.Start();
  machine.disk().LoseNamesOnFailedSync();
  WriteEight(machine);
  machine.disk().Schedule({.kind = sim::OpKind::kSyncFileSystem, .file_class = ""});
  Fill(machine);
  ASSERT_EQ(machine.disk().faults_fired(), 1u);
  machine.Idle();  // It is tried again after a while.
  Flush(machine, machine.Log("other"), 3);
  ExpectEight(machine);
}

// The process dies right after the failed sync: the next one finds the names and no reason to
// distrust them.
TEST(Containment, B8_A6_NamesThatAKilledStartLeftAreMadeAgain) {
  Machine machine;
  UseSmallFiles(machine);
  machine.Start();
  machine.disk().LoseNamesOnFailedSync();
  WriteEight(machine);
  machine.disk().Schedule({.kind = sim::OpKind::kSyncFileSystem, .file_class = ""});
  machine.disk().Schedule(
      {.kind = sim::OpKind::kRemove, .file_class = ".seg", .effect = sim::FaultEffect::kCrash});
  Fill(machine);
  ASSERT_TRUE(machine.disk().crashed());
  machine.Kill();
  machine.Start();
  Flush(machine, machine.Log("other"), 3);
  ExpectEight(machine);
}

// The machine stops between the two renames that make a name anew.
TEST(Containment, A6_A18_ANameThatWasLeftAsideIsPutBack) {
  bool crashed = true;
  for (std::uint64_t skip = 0; crashed; ++skip) {
    SCOPED_TRACE(skip);
    Machine machine;
    UseSmallFiles(machine);
    machine.Start();
    WriteEight(machine);
    machine.disk().Schedule({.kind = sim::OpKind::kSyncFileSystem, .file_class = ""});
    machine.disk().Schedule({.kind = sim::OpKind::kRename,
                             .file_class = "servers/",
                             .skip = skip,
                             .effect = sim::FaultEffect::kCrash});
    Fill(machine);
    machine.Idle();
    crashed = machine.disk().crashed();
    ASSERT_TRUE(crashed || skip == 18) << "two renames for each of nine logs";
    machine.Kill();
    machine.Start();
    for (const std::string& name : machine.NamesIn(kServers)) EXPECT_EQ(name.size(), 26u) << name;
    Flush(machine, machine.Log("other"), 3);
    ExpectEight(machine);
  }
}

/// A log "gone" that is deleted while its directory stands. Returns its uid.
std::string DeleteFlushed(Machine& machine) {
  UseSmallFiles(machine);
  machine.Start();
  machine.disk().LoseNamesOnFailedSync();
  machine.Write(machine.Log("gone"), 1, 1, {"entry"});
  Flush(machine, machine.Log("other"), 2);
  const std::string uid = machine.UidOf("gone");
  EXPECT_TRUE(IsThere(machine, std::string(kServers) + "/" + uid));
  const Result<Ticket> deleted = machine.store().DeleteLog(machine.writer(), machine.Log("gone"));
  EXPECT_TRUE(machine.Wait(*deleted).ok());
  machine.disk().Schedule({.kind = sim::OpKind::kSyncDirectory, .file_class = "servers"});
  Fill(machine);
  EXPECT_EQ(machine.disk().faults_fired(), 1u);
  EXPECT_FALSE(IsThere(machine, std::string(kServers) + "/" + uid));
  return uid;
}

void ExpectGone(Machine& machine, const std::string& uid) {
  Flush(machine, machine.Log("other"), 6);
  for (int start = 0; start < 2; ++start) {
    machine.PowerLoss();
    machine.Start();
    EXPECT_FALSE(machine.store().recovery_report().damaged())
        << machine.store().recovery_report().ToText();
    EXPECT_EQ(machine.store().Logs().size(), 1u);
    EXPECT_FALSE(IsThere(machine, std::string(kServers) + "/" + uid));
    Flush(machine, machine.Log("other"), 2);
  }
}

// The sync that makes a removal durable fails once and says success the next time.
TEST(Containment, A18_ADeletedLogDoesNotComeBackByAFailedSync) {
  Machine machine;
  const std::string uid = DeleteFlushed(machine);
  machine.Idle();
  ExpectGone(machine, uid);
}

TEST(Containment, A18_ADeletedLogDoesNotComeBackByAFailedSyncOfAKilledStart) {
  Machine machine;
  const std::string uid = DeleteFlushed(machine);
  machine.Kill();
  machine.Start();
  ExpectGone(machine, uid);
}

/// A log "a" with two entries in segments and a third in the WAL alone, on which recovery has died
/// twice. Returns its uid.
std::string LeaveOut(Machine& machine) {
  UseSmallFiles(machine);
  machine.options.wal_max_files = 8;
  machine.Start();
  machine.Write(machine.Log("a"), 1, 1, {"first", "second"});
  EXPECT_TRUE(machine.Wait(machine.writer().PutVote(machine.Log("a"), 4, "n1").value()).ok());
  Flush(machine, machine.Log("other"), 2);
  machine.Write(machine.Log("a"), 3, 4, {"third"});
  const std::string uid = machine.UidOf("a");
  machine.Kill();
  AttemptRecord record;
  record.left_out = ServerUid{Uid128::Parse(uid).value()};
  const std::unique_ptr<Directory> data = machine.disk().Open("/data").value();
  const std::unique_ptr<File> file = data->Open("ATTEMPT", OpenFor::kReadWrite).value();
  EXPECT_TRUE(file->Write(0, EncodeAttempt(record)).ok());
  EXPECT_TRUE(file->SyncAll().ok());
  EXPECT_TRUE(data->Sync().ok());
  return uid;
}

/// Files that were put aside and hold `text`; all of them, if it is empty.
std::size_t KeptFiles(Machine& machine, std::string_view text) {
  std::size_t found = 0;
  for (const std::string& name : machine.NamesIn("/data/wal")) {
    if (!name.ends_with(".kept")) continue;
    const std::vector<std::byte> bytes = machine.FileBytes("/data/wal/" + name);
    if (AsText(bytes).find(text) != std::string_view::npos) ++found;
  }
  return found;
}

// Far more than wal_max_files holds is written by the others, and their entries come to segments.
TEST(Containment, B9_ALogThatIsLeftOutHoldsNobodyUp) {
  Machine machine;
  const std::string uid = LeaveOut(machine);
  for (int start = 0; start < 3; ++start) {
    SCOPED_TRACE(start);
    machine.Start();
    EXPECT_TRUE(machine.Faulty("a"));
    const std::string report = machine.store().recovery_report().ToText();
    EXPECT_THAT(report, HasSubstr("recovery died on the log twice"));
    EXPECT_EQ(report.find(".kept") != std::string::npos, start == 0) << report;
    const std::uint64_t recycled = machine.Metric("wal_recycled_files");
    Flush(machine, machine.Log("other"), 20);
    EXPECT_GT(machine.Metric("wal_recycled_files"), recycled + 10);
    EXPECT_GE(KeptFiles(machine, "third"), 1u) << "what it had is kept";
    EXPECT_LE(KeptFiles(machine, ""), 3u);
    EXPECT_EQ(machine.NamesIn(std::string(kServers) + "/" + uid).size(), 1u);
    EXPECT_EQ(machine.store().VoteOf(machine.Log("a"))->term, 4u);
    machine.PowerLoss();
  }
  // A release that does not die on it: what was acknowledged and is not there keeps it faulty.
  ASSERT_TRUE(machine.disk().Open("/data").value()->Remove("ATTEMPT").ok());
  machine.Start();
  EXPECT_TRUE(machine.Faulty("a"));
  EXPECT_THAT(machine.Contents("a"), ElementsAre("1:1:first", "2:1:second"));
}

// What a leader gave it would be left out by the next start, after it had been acknowledged.
TEST(Containment, B9_A3_ALogThatIsLeftOutIsNotRepairedUnderItsOwnUid) {
  Machine machine;
  LeaveOut(machine);
  machine.Start();
  const LogRef log = machine.Log("a");
  EXPECT_TRUE(machine.store().FaultOf(log)->vote_lost);
  const Result<Ticket> repaired = machine.writer().PutFault(log, {});
  ASSERT_FALSE(repaired.ok());
  EXPECT_EQ(repaired.error().code, ErrorCode::kRefused);
  EXPECT_THAT(repaired.error().hint, HasSubstr("salvage"));
}

TEST(Containment, B9_A18_ALogThatWasLeftOutBeginsAnewAfterItsWalFilesAreGone) {
  Machine machine;
  const std::string uid = LeaveOut(machine);
  machine.Start();
  Flush(machine, machine.Log("other"), 10);
  machine.PowerLoss();
  machine.options.recovery_mode = RecoveryMode::kSalvage;
  machine.options.salvage_servers = {"a"};
  machine.Start();
  machine.options.recovery_mode = RecoveryMode::kContain;
  machine.options.salvage_servers = {};
  EXPECT_FALSE(machine.Faulty("a"));
  EXPECT_THAT(machine.Contents("a"), IsEmpty());
  machine.Write(machine.Log("a"), 1, 9, {"anew"});
  for (int start = 0; start < 3; ++start) {
    Flush(machine, machine.Log("other"), 4);
    machine.PowerLoss();
    machine.Start();
    EXPECT_THAT(machine.Contents("a"), ElementsAre("1:9:anew"));
    EXPECT_EQ(machine.store().Logs().size(), 2u);
  }
  EXPECT_FALSE(IsThere(machine, std::string(kServers) + "/" + uid));
  EXPECT_FALSE(machine.store().recovery_report().damaged())
      << machine.store().recovery_report().ToText();
  EXPECT_TRUE(DecodeAttempt(machine.FileBytes("/data/ATTEMPT")).left_out.is_nil());
}

/// The uid of "a", of which two entries stand in a segment.
std::string FlushOne(Machine& machine) {
  UseSmallFiles(machine);
  machine.Start();
  machine.Write(machine.Log("a"), 1, 1, {"first", "second"});
  Flush(machine, machine.Log("other"), 2);
  return machine.UidOf("a");
}

// A crash may come between a repair's new segments and the row that names them, or that row may be
// wrong: while entries of a log are missing, what is left over may be all that is left of them.
TEST(Containment, A18_WhileEntriesAreMissingNothingIsLeftOver) {
  Machine machine;
  const std::string uid = FlushOne(machine);
  const std::string folder = std::string(kServers) + "/" + uid;
  ASSERT_TRUE(machine.Close().ok());
  const std::string name = machine.NamesIn(folder)[0];
  ASSERT_TRUE(DirectoryOf(machine, uid)->Rename(name, "00000077.seg").ok());
  const std::vector<std::string> names = machine.NamesIn(folder);
  for (int start = 0; start < 2; ++start) {
    machine.Start();
    EXPECT_TRUE(machine.Faulty("a"));
    Flush(machine, machine.Log("other"), 3);
    EXPECT_EQ(machine.NamesIn(folder), names);
    machine.Kill();
  }
}

// Its segments go one by one, and a crash may come in between: nothing of it is missed.
TEST(Containment, PW8_AHalfRemovedLogIsNoDamage) {
  Machine machine;
  const std::string uid = FlushOne(machine);
  const Result<Ticket> deleted = machine.store().DeleteLog(machine.writer(), machine.Log("a"));
  ASSERT_TRUE(deleted.ok() && machine.Wait(*deleted).ok());
  machine.PowerLoss();
  const std::string first = machine.NamesIn(std::string(kServers) + "/" + uid)[0];
  ASSERT_TRUE(DirectoryOf(machine, uid)->Remove(first).ok());
  machine.options.recovery_mode = RecoveryMode::kStrict;
  const Status opened = machine.Open();
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  EXPECT_FALSE(machine.store().recovery_report().damaged())
      << machine.store().recovery_report().ToText();
}

// Of marks that cut a deleted log in row files a start copies none, and the tombstone is all that
// the next one reads of it.
TEST(Containment, PW8_A18_WhatOnlyATombstoneSaysIsDeletedIsNotMissed) {
  const ServerUid uid{{1}};
  for (const bool deleted : {false, true}) {
    wal::Replay replay;
    replay.Seed({.owner = {uid, 7}, .bounds = {.begin = 1, .end = 4}, .holes = {{1, 4}}});
    DurableRows rows;
    const std::vector<std::byte> row = RowPayload(1, meta::TombstoneRow{});
    if (deleted) rows.OnRow({uid, 7}, static_cast<std::uint8_t>(meta::RowKind::kTombstone), row, 1);
    DurableState state;
    state.findings.push_back({.kind = FindingKind::kMissingFile,
                              .file = "00000001.seg",
                              .sentence = "the last file is gone",
                              .touched = {{uid.ToString(), 1, 3, false}}});
    state.DropHealed(rows, replay);
    EXPECT_EQ(state.findings.empty(), deleted);
  }
}

/// It is faulty, or not even its name is left.
bool LacksAll(Machine& machine, const std::string& name) {
  const std::vector<LogInfo> logs = machine.store().Logs();
  return std::ranges::none_of(
      logs, [&](const LogInfo& info) { return info.name == name && !info.faulty; });
}

/// A store of small files that was killed after `operations` operations on its disk.
sim::DiskState KilledAfter(SyncMethod method, std::uint64_t operations, bool& to_its_end) {
  Machine machine;
  UseSmallFiles(machine);
  machine.options.wal_sync_method = method;
  machine.tuning.alone_bytes_max = 0;  // Batches are in flight while the next one is made.
  machine.Start();
  const LogRef log = machine.Log("a");
  machine.Write(log, 1, 1, {"a1"});
  Index next = 2;
  const std::function<void()> append = [&] {
    if (next <= 20) (void)machine.Append(log, next++, 1, {std::string(2500, 'a')});
    machine.AtOperation(1, append);
  };
  append();
  machine.disk().Schedule({.kind = {},
                           .file_class = "",
                           .skip = operations,
                           .effect = sim::FaultEffect::kCrash});
  machine.Settle();
  to_its_end = !machine.disk().crashed();
  machine.Kill();
  return machine.disk().disk();
}

// The newest header names a predecessor to its end, though none had said yet that it is durable.
TEST(Containment, PW8_ALostWalFileOfWhichNoBatchWasProvenHoldsNoStartUp) {
  std::uint64_t lost_files = 0;
  for (const SyncMethod method : {SyncMethod::kDatasync, SyncMethod::kDsync}) {
    bool to_its_end = false;
    for (std::uint64_t operations = 0; !to_its_end; ++operations) {
      const sim::DiskState left = KilledAfter(method, operations, to_its_end);
      Machine machine;
      UseSmallFiles(machine);
      machine.UseDisk(left);
      for (const std::string& name : machine.WalFiles()) {
        machine.UseDisk(left);
        const std::unique_ptr<Directory> wal = machine.disk().Open("/data/wal").value();
        ASSERT_TRUE(wal->Remove(name).ok());
        const Status opened = machine.Open();
        ASSERT_TRUE(opened.ok()) << opened.error().message << ": without " << name << ", "
                                 << operations << " operations";
        if (!machine.store().recovery_report().damaged()) continue;
        ++lost_files;
        const bool faulty = LacksAll(machine, "a");
        EXPECT_TRUE(faulty) << "without " << name << ", " << operations << " operations";
        machine.Kill();  // And so it stays.
        ASSERT_TRUE(machine.Open().ok());
        EXPECT_TRUE(LacksAll(machine, "a"));
      }
    }
  }
  EXPECT_GT(lost_files, 10u);
}

}  // namespace
}  // namespace duramen::log
