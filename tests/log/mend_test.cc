// What MendStore leaves behind, whatever was damaged before, and wherever it is killed.
#include "log/mend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/bytes.h"
#include "log/attempt_file.h"
#include "tests/log/flush_machine.h"

namespace duramen::log {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

ServerUid Uid(const std::string& text) { return ServerUid{Uid128::Parse(text).value()}; }

/// "a" with entries in segments and behind them in the WAL, "b" in the WAL, and "other", which made
/// it roll. Returns the uid of "a".
std::string Fill(Machine& machine) {
  UseSmallFiles(machine);
  machine.Start();
  const LogRef a = machine.Log("a");
  machine.Write(a, 1, 1, {"a1", "a2", "a3"});
  EXPECT_TRUE(machine.Wait(machine.writer().PutVote(a, 4, "n1").value()).ok());
  machine.Write(a, 4, 4, {"a4"});
  Flush(machine, machine.Log("other"));
  Flush(machine, machine.Log("other"));
  machine.Write(machine.Log("b"), 1, 2, {"b1", "b2", "b3"});
  machine.Write(a, 5, 5, {"a5", "a6"});
  machine.Idle();
  const std::string uid = machine.UidOf("a");
  EXPECT_TRUE(machine.Close().ok());
  return uid;
}

/// Flips a bit of the last place that holds `text`.
void RotText(Machine& machine, const std::string& path, std::string_view text) {
  const std::vector<std::byte> bytes = machine.FileBytes(path);
  const std::size_t at = AsText(bytes).rfind(text);
  ASSERT_NE(at, std::string_view::npos) << text;
  machine.Rot(path, at);
}

std::string WalFileWith(const Machine& machine, std::string_view text) {
  for (const std::string& name : machine.WalFiles()) {
    const std::vector<std::byte> bytes = machine.FileBytes("/data/wal/" + name);
    if (AsText(bytes).find(text) != std::string_view::npos) return "/data/wal/" + name;
  }
  return "";
}

void RemoveFile(Machine& machine, const std::string& folder, const std::string& name) {
  const std::unique_ptr<Directory> directory = machine.disk().Open(folder).value();
  ASSERT_TRUE(directory->Remove(name).ok());
  ASSERT_TRUE(directory->Sync().ok());
}

/// A closed store whose log "a" had its three entries, of term 3, in a segment that is gone.
/// Returns its uid.
std::string LoseAllSegments(Machine& machine) {
  UseSmallFiles(machine);
  machine.Start();
  machine.Write(machine.Log("a"), 1, 3, {"a1", "a2", "a3"});
  Flush(machine, machine.Log("other"));
  Flush(machine, machine.Log("other"));
  const std::string uid = machine.UidOf("a");
  EXPECT_TRUE(machine.Close().ok());
  const std::string folder = "/data/servers/" + uid;
  RemoveFile(machine, folder, machine.NamesIn(folder).at(0));
  return uid;
}

/// Nothing is damaged any more, for the strictest of starts, and after the power went.
void StartStrictly(Machine& machine) {
  machine.PowerLoss();
  machine.options.recovery_mode = RecoveryMode::kStrict;
  const Status opened = machine.Open();
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  EXPECT_FALSE(machine.store().recovery_report().damaged())
      << machine.store().recovery_report().ToText();
  machine.options.recovery_mode = RecoveryMode::kContain;
}

TEST(Mend, WithNothingDamagedItIsAFlush) {
  Machine machine;
  const std::string uid = Fill(machine);
  for (int run = 0; run < 3; ++run) {
    const Result<MendReport> report = machine.Mend({});
    ASSERT_TRUE(report.ok()) << report.error().message;
    EXPECT_THAT(report->logs, IsEmpty());
    EXPECT_FALSE(report->recovery.damaged());
    StartStrictly(machine);
    EXPECT_THAT(machine.Contents("a"),
                ElementsAre("1:1:a1", "2:1:a2", "3:1:a3", "4:4:a4", "5:5:a5", "6:5:a6"));
    EXPECT_THAT(machine.Contents("b"), ElementsAre("1:2:b1", "2:2:b2", "3:2:b3"));
    EXPECT_EQ(machine.UidOf("a"), uid);
    EXPECT_EQ(machine.store().VoteOf(machine.Log("a"))->voted_for, "n1");
    EXPECT_EQ(machine.store().recovery_report().entries, 0u) << "all of it is in segments";
    ASSERT_TRUE(machine.Close().ok());
  }
}

TEST(Mend, AStoreWithoutCheckpointsGetsThem) {
  Machine machine;
  machine.Start();
  machine.Write(machine.Log("a"), 1, 1, {"a1", "a2"});
  machine.Idle();
  ASSERT_TRUE(machine.Close().ok());
  const std::unique_ptr<Directory> root = machine.disk().Open("/data").value();
  ASSERT_TRUE(root->RemoveDirectory("meta").ok());
  ASSERT_TRUE(root->RemoveDirectory("servers").ok());
  ASSERT_TRUE(root->Sync().ok());
  ASSERT_TRUE(machine.Mend({}).ok());
  EXPECT_THAT(machine.NamesIn("/data/meta"), SizeIs(2));
  StartStrictly(machine);
  EXPECT_THAT(machine.Contents("a"), ElementsAre("1:1:a1", "2:1:a2"));
}

TEST(Mend, G5_ADamagedEntryOfASegmentBecomesAHoleInNewOnes) {
  Machine machine;
  const std::string uid = Fill(machine);
  const std::string old = SegmentOf(machine, uid);
  RotText(machine, old, "a2");
  ASSERT_TRUE(machine.Mend({}).ok());
  EXPECT_EQ(machine.disk().disk().visible().FindPath(old), 0u);
  for (int start = 0; start < 2; ++start) {
    StartStrictly(machine);
    EXPECT_TRUE(machine.Faulty("a"));
    EXPECT_FALSE(machine.Faulty("b"));
    EXPECT_THAT(machine.Contents("a"),
                ElementsAre("1:1:a1", "2!faulty", "3:1:a3", "4:4:a4", "5:5:a5", "6:5:a6"));
    EXPECT_EQ(machine.writer().PutVote(machine.Log("a"), 5, "n1").ok(), true) << "no row is lost";
    EXPECT_EQ(machine.Append(machine.Log("a"), 7, 5, {"x"}).error().code, ErrorCode::kFaulty);
    Flush(machine, machine.Log("other"));
  }
}

TEST(Mend, G16_LostSegmentsAreAFaultInExactlyTheirRange) {
  for (const bool folder_too : {false, true}) {
    SCOPED_TRACE(folder_too);
    Machine machine;
    const std::string uid = Fill(machine);
    const std::string folder = "/data/servers/" + uid;
    RemoveFile(machine, folder, machine.NamesIn(folder).at(0));
    if (folder_too) {
      const std::unique_ptr<Directory> servers = machine.disk().Open("/data/servers").value();
      ASSERT_TRUE(servers->RemoveDirectory(uid).ok());
      ASSERT_TRUE(servers->Sync().ok());
    }
    ASSERT_TRUE(machine.Mend({}).ok());
    for (int start = 0; start < 2; ++start) {
      StartStrictly(machine);
      EXPECT_TRUE(machine.Faulty("a"));
      EXPECT_THAT(machine.Contents("a"),
                  ElementsAre("1!faulty", "2!faulty", "3!faulty", "4!faulty", "5:5:a5", "6:5:a6"));
      EXPECT_THAT(machine.Contents("b"), SizeIs(3));
      Flush(machine, machine.Log("other"));
    }
  }
}

TEST(Mend, G16_ALogOfWhichNothingIsLeftStaysFaulty) {
  Machine machine;
  LoseAllSegments(machine);
  ASSERT_TRUE(machine.Mend({}).ok());
  for (int start = 0; start < 3; ++start) {
    StartStrictly(machine);
    EXPECT_TRUE(machine.Faulty("a"));
    EXPECT_THAT(machine.Contents("a"), ElementsAre("1!faulty", "2!faulty", "3!faulty"));
    Flush(machine, machine.Log("other"));
  }
}

TEST(Mend, A3_DamageInTheWalOutlivesItsFile) {
  Machine machine;
  Fill(machine);
  RotText(machine, WalFileWith(machine, "b2"), "b2");
  const Result<MendReport> report = machine.Mend({});
  ASSERT_TRUE(report.ok()) << report.error().message;
  EXPECT_TRUE(report->recovery.damaged());
  for (int start = 0; start < 2; ++start) {
    StartStrictly(machine);
    EXPECT_TRUE(machine.Faulty("b"));
    EXPECT_THAT(machine.Contents("b"), ElementsAre("1:2:b1", "2!faulty", "3:2:b3"));
    EXPECT_FALSE(machine.Faulty("a"));
  }
}

// Whatever byte of whatever file: the next start has nothing to complain of, every entry that can
// be read is what it was, and one that cannot is of a faulty log.
TEST(Mend, W11_M2_AfterDamageAnywhereAStrictStartIsClean) {
  Machine source;
  Fill(source);
  const sim::DiskState disk = source.disk().disk();
  std::vector<std::string> paths = {"/data/SYSTEM", "/data/wal/IDENTITY", "/data/meta/checkpoint-a",
                                    "/data/meta/checkpoint-b"};
  for (const std::string& name : source.WalFiles()) paths.push_back("/data/wal/" + name);
  for (const std::string& uid : source.NamesIn("/data/servers")) {
    for (const std::string& name : source.NamesIn("/data/servers/" + uid)) {
      paths.push_back("/data/servers/" + uid + "/" + name);
    }
  }
  const std::vector<std::string> a = {"1:1:a1", "2:1:a2", "3:1:a3", "4:4:a4", "5:5:a5", "6:5:a6"};
  for (const std::string& path : paths) {
    const std::size_t size = source.FileBytes(path).size();
    for (std::size_t at = 0; at < size; at += size < 2000 ? 29 : 1021) {
      if (source.FileBytes(path)[at] == std::byte{0} && at > 9000) continue;  // Mostly nothing.
      SCOPED_TRACE(path + " at " + std::to_string(at));
      Machine machine;
      UseSmallFiles(machine);
      machine.seed = 2000;
      machine.UseDisk(disk);
      machine.Rot(path, at);
      const Result<MendReport> report = machine.Mend({});
      ASSERT_TRUE(report.ok()) << report.error().message;
      ASSERT_NO_FATAL_FAILURE(StartStrictly(machine));
      const std::vector<std::string> now = machine.Contents("a");
      ASSERT_EQ(now.size(), a.size());
      for (std::size_t i = 0; i < a.size(); ++i) {
        if (now[i] == a[i]) continue;
        ASSERT_THAT(now[i], HasSubstr("!faulty"));
        ASSERT_TRUE(machine.Faulty("a"));
      }
    }
  }
}

TEST(Mend, W11_AMissingWalFileIsMissedNoMore) {
  Machine source;
  UseSmallFiles(source);
  source.Start();
  source.disk().Schedule({.kind = sim::OpKind::kWrite,  // So that files pile up.
                          .file_class = ".seg",
                          .times = UINT64_MAX,
                          .effect = sim::FaultEffect::kIoError});
  const LogRef a = source.Log("a");
  for (Index i = 1; i <= 40; ++i) source.Write(a, i, 1, {std::string(3000, 'a')});
  source.Write(source.Log("b"), 1, 1, {"b1"});
  source.Idle();
  const std::vector<std::string> files = source.WalFiles();
  ASSERT_GT(files.size(), 4u);
  source.Kill();
  for (const std::string& name : files) {
    SCOPED_TRACE(name);
    Machine machine;
    UseSmallFiles(machine);
    machine.seed = 2000;
    machine.UseDisk(source.disk().disk());
    RemoveFile(machine, "/data/wal", name);
    const Result<MendReport> report = machine.Mend({});
    ASSERT_TRUE(report.ok()) << report.error().message;
    ASSERT_NO_FATAL_FAILURE(StartStrictly(machine));
    const std::vector<LogInfo> logs = machine.store().Logs();
    const bool faulty =
        std::any_of(logs.begin(), logs.end(), [](const LogInfo& info) { return info.faulty; });
    EXPECT_TRUE(faulty || !report->recovery.damaged());
  }
}

TEST(Mend, ABadCopyOfSystemIsWrittenAgain) {
  Machine machine;
  Fill(machine);
  const std::vector<std::byte> before = machine.FileBytes("/data/SYSTEM");
  machine.Rot("/data/SYSTEM", 30);
  ASSERT_TRUE(machine.Mend({}).ok());
  EXPECT_EQ(machine.FileBytes("/data/SYSTEM"), before);
}

TEST(Mend, C15_ATruncatedLogStaysFaultyUnlessItIsSaidToBeHealthy) {
  for (const bool healthy : {false, true}) {
    SCOPED_TRACE(healthy);
    Machine machine;
    const std::string uid = Fill(machine);
    RotText(machine, SegmentOf(machine, uid), "a3");
    const MendOptions mend{.requests = {{MendKind::kTruncate, Uid(uid), 3, healthy}}};
    const Result<MendReport> report = machine.Mend(mend);
    ASSERT_TRUE(report.ok()) << report.error().message;
    ASSERT_THAT(report->logs, SizeIs(1));
    EXPECT_EQ(report->logs[0].name, "a");
    EXPECT_EQ(report->logs[0].end, 3u);
    EXPECT_EQ(report->logs[0].faulty, !healthy) << report->logs[0].sentence;
    for (int start = 0; start < 2; ++start) {
      StartStrictly(machine);
      EXPECT_EQ(machine.Faulty("a"), !healthy);
      EXPECT_THAT(machine.Contents("a"), ElementsAre("1:1:a1", "2:1:a2"));
      EXPECT_EQ(machine.store().VoteOf(machine.Log("a"))->term, 4u) << "no row was lost";
      EXPECT_EQ(machine.UidOf("a"), uid);
    }
    EXPECT_EQ(machine.Append(machine.Log("a"), 3, 6, {"new"}).ok(), healthy);
  }
}

TEST(Mend, C15_AWholeLogThatIsCutIsFaultyToo) {
  Machine machine;
  const std::string uid = Fill(machine);
  ASSERT_TRUE(machine.Mend({.requests = {{MendKind::kTruncate, Uid(uid), 5, false}}}).ok());
  StartStrictly(machine);
  EXPECT_TRUE(machine.Faulty("a"));
  EXPECT_THAT(machine.Contents("a"), SizeIs(4));
  ASSERT_TRUE(machine.Close().ok());
  // The end is where it ends already: nothing is cut, and healthy it may be.
  ASSERT_TRUE(machine.Mend({.requests = {{MendKind::kTruncate, Uid(uid), 5, true}}}).ok());
  StartStrictly(machine);
  EXPECT_FALSE(machine.Faulty("a"));
}

TEST(Mend, C15_FillPutsNoOpsWhereEntriesWereLost) {
  for (const bool healthy : {false, true}) {
    SCOPED_TRACE(healthy);
    Machine machine;
    const std::string uid = Fill(machine);
    RotText(machine, SegmentOf(machine, uid), "a2");
    RotText(machine, WalFileWith(machine, "a6"), "a6");
    const Result<MendReport> report =
        machine.Mend({.requests = {{MendKind::kFill, Uid(uid), 0, healthy}}});
    ASSERT_TRUE(report.ok()) << report.error().message;
    EXPECT_EQ(report->logs.at(0).faulty, !healthy) << report->logs.at(0).sentence;
    for (int start = 0; start < 2; ++start) {
      StartStrictly(machine);
      EXPECT_EQ(machine.Faulty("a"), !healthy);
      EXPECT_THAT(machine.Contents("a"),
                  ElementsAre("1:1:a1", "2:1:", "3:1:a3", "4:4:a4", "5:5:a5", "6:5:"));
      const Pin pin = machine.store().Read(machine.Log("a"), 2, 3, 100).value();
      EXPECT_EQ(pin.entries()[0].kind, kNoOpKind);
      Flush(machine, machine.Log("other"));
    }
    EXPECT_EQ(machine.Append(machine.Log("a"), 7, 6, {"new"}).ok(), healthy);
  }
}

TEST(Mend, C15_FillAtTheBeginAndWithNothingElseLeft) {
  Machine machine;
  const std::string uid = LoseAllSegments(machine);
  ASSERT_TRUE(machine.Mend({.requests = {{MendKind::kFill, Uid(uid), 0, true}}}).ok());
  StartStrictly(machine);
  EXPECT_FALSE(machine.Faulty("a"));
  EXPECT_THAT(machine.Contents("a"), ElementsAre("1:1:", "2:1:", "3:1:"));
  machine.Write(machine.Log("a"), 4, 3, {"a4"});
}

/// "a" whose vote, and perhaps more, is lost.
std::string LoseRows(Machine& machine) {
  UseSmallFiles(machine);
  machine.Start();
  const LogRef a = machine.Log("a");
  machine.Write(a, 1, 7, {"a1", "a2"});
  machine.Settle();
  EXPECT_TRUE(machine.Wait(machine.writer().PutVote(a, 9, "candidate-n1").value()).ok());
  machine.Write(a, 3, 9, {"a3"});
  machine.Idle();
  const std::string uid = machine.UidOf("a");
  EXPECT_TRUE(machine.Close().ok());
  const std::string path = WalFileWith(machine, "candidate-n1");
  const std::vector<std::byte> bytes = machine.FileBytes(path);
  for (std::size_t at = AsText(bytes).find("candidate-n1"); at != std::string_view::npos;
       at = AsText(bytes).find("candidate-n1", at + 1)) {
    machine.Rot(path, at);
  }
  return uid;
}

TEST(Mend, A1_M7_AHealthyLogWithoutItsVoteGoesAboveEveryTerm) {
  for (const MendKind kind : {MendKind::kTruncate, MendKind::kFill}) {
    Machine machine;
    const std::string uid = LoseRows(machine);
    const Result<MendReport> report = machine.Mend({.requests = {{kind, Uid(uid), 3, true}}});
    ASSERT_TRUE(report.ok()) << report.error().message;
    for (int start = 0; start < 2; ++start) {
      StartStrictly(machine);
      EXPECT_FALSE(machine.Faulty("a"));
      const Vote vote = machine.store().VoteOf(machine.Log("a")).value();
      const Term last = kind == MendKind::kFill ? 9 : 7;
      EXPECT_EQ(vote.term, last + (1u << 20));
      EXPECT_EQ(vote.voted_for, "");
    }
    EXPECT_TRUE(machine.writer().PutVote(machine.Log("a"), (1u << 20) + 10, "n2").ok());
  }
}

TEST(Mend, M8_ALogWithoutItsVoteStaysFaultyIfNobodyInsists) {
  Machine machine;
  const std::string uid = LoseRows(machine);
  ASSERT_TRUE(machine.Mend({.requests = {{MendKind::kFill, Uid(uid), 0, false}}}).ok());
  StartStrictly(machine);
  EXPECT_TRUE(machine.Faulty("a"));
  EXPECT_EQ(machine.writer().PutVote(machine.Log("a"), 10, "n2").error().code, ErrorCode::kFaulty);
}

TEST(Mend, W17_A18_ARejoinedLogHasItsIntactPrefixAndANewUid) {
  Machine machine;
  const std::string uid = Fill(machine);
  RotText(machine, SegmentOf(machine, uid), "a3");
  const Result<MendReport> report =
      machine.Mend({.requests = {{MendKind::kRejoin, Uid(uid), 0, false}}});
  ASSERT_TRUE(report.ok()) << report.error().message;
  const MendedLog& told = report->logs.at(0);
  EXPECT_NE(told.new_uid, Uid(uid));
  EXPECT_EQ(told.end, 3u);
  EXPECT_FALSE(told.faulty);
  for (int start = 0; start < 3; ++start) {
    StartStrictly(machine);
    EXPECT_FALSE(machine.Faulty("a"));
    EXPECT_EQ(machine.UidOf("a"), told.new_uid.ToString());
    EXPECT_THAT(machine.Contents("a"), ElementsAre("1:1:a1", "2:1:a2"));
    EXPECT_EQ(machine.store().VoteOf(machine.Log("a"))->term, 0u);
    EXPECT_EQ(machine.store().Logs().size(), 3u);
    Flush(machine, machine.Log("other"));
    EXPECT_THAT(machine.NamesIn("/data/servers"), ::testing::Not(::testing::Contains(uid)));
  }
  machine.Write(machine.Log("a"), 3, 9, {"on"});
}

TEST(Mend, W17_ALongLogWithAFloorBeginsAnewWhereItBegan) {
  Machine machine;
  machine.options.wal_max_size_bytes = 64 << 10;
  machine.options.wal_max_files = 64;
  machine.Start();
  const LogRef a = machine.Log("a");
  for (Index i = 1; i <= 600; ++i) machine.Write(a, i, 1 + i / 100, {std::string(500, 'x')});
  ASSERT_TRUE(machine.Wait(machine.writer().TruncatePrefix(a, 101).value()).ok());
  machine.Settle();
  const std::string uid = machine.UidOf("a");
  ASSERT_TRUE(machine.Close().ok());
  const std::string segment = SegmentOf(machine, uid);
  machine.Rot(segment, machine.FileBytes(segment).size() - 1200);
  const Result<MendReport> report =
      machine.Mend({.requests = {{MendKind::kRejoin, Uid(uid), 0, false}}});
  ASSERT_TRUE(report.ok()) << report.error().message;
  StartStrictly(machine);
  const Bounds bounds = machine.store().BoundsOf(machine.Log("a")).value();
  EXPECT_EQ(bounds.begin, 101u);
  EXPECT_EQ(bounds.term_before_begin, 2u);
  EXPECT_EQ(bounds.end, report->logs.at(0).end);
  EXPECT_GT(bounds.end, 400u);
  EXPECT_LT(bounds.end, 601u);
  for (const std::string& line : machine.Contents("a")) ASSERT_EQ(line.find('!'), line.npos);
}

TEST(Mend, ALogWithoutDamageIsNotBegunAnew) {
  Machine machine;
  const std::string uid = Fill(machine);
  const Result<MendReport> report =
      machine.Mend({.requests = {{MendKind::kRejoin, Uid(uid), 0, false}}});
  ASSERT_TRUE(report.ok());
  EXPECT_TRUE(report->logs.at(0).new_uid.is_nil());
  StartStrictly(machine);
  EXPECT_EQ(machine.UidOf("a"), uid);
  EXPECT_EQ(machine.store().VoteOf(machine.Log("a"))->term, 4u);
}

TEST(Mend, A18_ALogWhoseRegistrationIsLostCanBeginAnewUnderItsUid) {
  Machine machine;
  const std::string uid = Fill(machine);
  for (const char* name : {"/data/meta/checkpoint-a", "/data/meta/checkpoint-b"}) {
    for (std::uint64_t at = 0; at < machine.FileBytes(name).size(); at += 97) machine.Rot(name, at);
  }
  EXPECT_EQ(machine.Mend({.requests = {{MendKind::kFill, Uid(uid), 0, true}}}).error().code,
            ErrorCode::kRefused);
  ASSERT_TRUE(machine.Mend({}).ok());
  StartStrictly(machine);
  EXPECT_TRUE(machine.Faulty(uid));
  ASSERT_TRUE(machine.Close().ok());
  EXPECT_THAT(machine.NamesIn("/data/servers/" + uid), SizeIs(::testing::Gt(0u)))
      << "what nobody knows is not garbage";
  const Result<MendReport> report =
      machine.Mend({.requests = {{MendKind::kRejoin, Uid(uid), 0, false}}});
  ASSERT_TRUE(report.ok()) << report.error().message;
  StartStrictly(machine);
  EXPECT_FALSE(machine.Faulty(uid));
  EXPECT_EQ(machine.UidOf(uid), report->logs.at(0).new_uid.ToString());
}

TEST(Mend, WhatIsRefusedChangesNothing) {
  Machine machine;
  const std::string uid = Fill(machine);
  RotText(machine, SegmentOf(machine, uid), "a2");
  const auto refused = [&](std::vector<MendRequest> requests) {
    const Result<MendReport> report = machine.Mend({.requests = std::move(requests)});
    return report.ok() ? "done" : ErrorCodeName(report.error().code);
  };
  ServerUid nobody = Uid(uid);
  nobody.bytes[3] ^= 1;
  EXPECT_STREQ(refused({{MendKind::kRejoin, Uid(uid), 0, false}, {MendKind::kFill, nobody}}),
               "not_found");
  EXPECT_STREQ(refused({{MendKind::kRejoin, Uid(uid)}, {MendKind::kFill, Uid(uid)}}),
               "invalid_argument");
  EXPECT_STREQ(refused({{MendKind::kTruncate, Uid(uid), 8, true}}), "out_of_range");
  EXPECT_STREQ(refused({{MendKind::kTruncate, Uid(uid), 0, true}}), "out_of_range");
  EXPECT_STREQ(refused({{MendKind::kTruncate, Uid(uid), 5, true}}), "refused");
  machine.Start();
  EXPECT_EQ(machine.UidOf("a"), uid);
  EXPECT_THAT(machine.Contents("a"),
              ElementsAre("1:1:a1", "2!corruption", "3:1:a3", "4:4:a4", "5:5:a5", "6:5:a6"));
}

TEST(Mend, B9_WhileALogIsLeftOutNothingIsMoved) {
  Machine machine;
  const std::string uid = Fill(machine);
  AttemptRecord record;
  record.left_out = Uid(uid);
  const std::unique_ptr<Directory> root = machine.disk().Open("/data").value();
  const std::unique_ptr<File> file = root->Open("ATTEMPT", OpenFor::kReadWrite).value();
  ASSERT_TRUE(file->Write(0, EncodeAttempt(record)).ok());
  const std::vector<std::string> before = machine.WalFiles();
  const Result<MendReport> report = machine.Mend({});
  ASSERT_FALSE(report.ok());
  EXPECT_EQ(report.error().code, ErrorCode::kRefused);
  EXPECT_THAT(report.error().message, HasSubstr("log 'a'"));
  EXPECT_EQ(machine.WalFiles(), before);
}

TEST(Mend, B9_ALogThatIsLeftOutCanBeginAnewAndHoldsNothingUpThen) {
  Machine machine;
  const std::string uid = Fill(machine);
  AttemptRecord record;
  record.left_out = Uid(uid);
  {
    const std::unique_ptr<Directory> root = machine.disk().Open("/data").value();
    const std::unique_ptr<File> file = root->Open("ATTEMPT", OpenFor::kReadWrite).value();
    ASSERT_TRUE(file->Write(0, EncodeAttempt(record)).ok());
  }
  machine.options.recovery_mode = RecoveryMode::kSalvage;
  machine.options.salvage_servers = {"a"};
  machine.Start();
  EXPECT_FALSE(machine.Faulty("a"));
  EXPECT_THAT(machine.Contents("a"), IsEmpty());
  EXPECT_THAT(machine.Contents("b"), SizeIs(3));
  machine.Write(machine.Log("a"), 1, 9, {"anew"});
  ASSERT_TRUE(machine.Close().ok());
  for (int run = 0; run < 3; ++run) {
    const Result<MendReport> report = machine.Mend({});
    ASSERT_TRUE(report.ok()) << report.error().message;
  }
  EXPECT_TRUE(DecodeAttempt(machine.FileBytes("/data/ATTEMPT")).left_out.is_nil());
  StartStrictly(machine);
  EXPECT_THAT(machine.Contents("a"), ElementsAre("1:9:anew"));
  EXPECT_THAT(machine.Contents("b"), SizeIs(3));
}

TEST(Mend, FilesThatCannotBeRemovedAreLeftOver) {
  Machine machine;
  const std::string uid = Fill(machine);
  RotText(machine, SegmentOf(machine, uid), "DRUN");  // Both ends of a run.
  RotText(machine, SegmentOf(machine, uid), "DRUE");
  machine.disk().Schedule(
      {.kind = sim::OpKind::kRemove, .file_class = ".seg", .times = UINT64_MAX});
  ASSERT_TRUE(machine.Mend({}).ok());
  EXPECT_THAT(machine.NamesIn("/data/servers/" + uid), SizeIs(::testing::Gt(1u)));
  StartStrictly(machine);
  EXPECT_THAT(machine.Contents("a"), SizeIs(6));
}

// A disk that fails ends it with an error, not with a wait.
TEST(Mend, G9_AFullDiskIsAnErrorAndTheNextRunGoesOn) {
  Machine machine;
  const std::string uid = Fill(machine);
  RotText(machine, SegmentOf(machine, uid), "a2");
  machine.disk().Schedule({.kind = sim::OpKind::kWrite,
                           .file_class = ".seg",
                           .times = UINT64_MAX,
                           .effect = sim::FaultEffect::kDiskFull});
  const Result<MendReport> report = machine.Mend({});
  ASSERT_FALSE(report.ok());
  EXPECT_EQ(report.error().code, ErrorCode::kDiskFull);
  machine.Kill();
  ASSERT_TRUE(machine.Mend({}).ok());
  StartStrictly(machine);
  EXPECT_THAT(machine.Contents("a"), SizeIs(6));
}

// Straight on the disk, killed at each operation: the logs that nobody asked for lose nothing that
// could be read, and the next run finishes the work.
TEST(Mend, T2_KilledAtEveryOperationTheNextRunFinishes) {
  for (const MendKind kind : {MendKind::kRejoin, MendKind::kFill, MendKind::kTruncate}) {
    Machine source;
    const std::string uid = Fill(source);
    RotText(source, SegmentOf(source, uid), "a3");
    RotText(source, WalFileWith(source, "a6"), "a6");
    RotText(source, WalFileWith(source, "b2"), "b2");
    const sim::DiskState disk = source.disk().disk();
    // One record a batch, so that every step of a request is a place to die at.
    const MendOptions mend{.requests = {{kind, Uid(uid), 3, kind != MendKind::kTruncate}}};
    bool over = false;
    for (std::uint64_t skip = 0; !over; ++skip) {
      SCOPED_TRACE(::testing::Message() << static_cast<int>(kind) << " after " << skip);
      Machine machine;
      UseSmallFiles(machine);
      machine.seed = 2000;
      machine.options.wal_max_batch_size = 1;
      machine.UseDisk(disk);
      machine.disk().Schedule(
          {.kind = {}, .file_class = "", .skip = skip, .effect = sim::FaultEffect::kCrash});
      over = machine.Mend(mend).ok() && !machine.disk().crashed();
      skip % 2 == 0 ? machine.PowerLoss() : machine.Kill();
      machine.Start();
      ASSERT_THAT(machine.Contents("b"), ElementsAre("1:2:b1", "2!faulty", "3:2:b3"));
      ASSERT_FALSE(machine.Faulty("other"));
      for (const std::string& line : machine.Contents("other")) {
        ASSERT_EQ(line.find('!'), line.npos);
      }
      for (const std::string& line : machine.Contents("a")) {
        ASSERT_TRUE(machine.Faulty("a") || line.find('!') == line.npos) << line;
      }
      const bool begun_anew = machine.UidOf("a") != uid && !machine.Faulty("a");
      ASSERT_TRUE(machine.Close().ok());
      const Result<MendReport> again = machine.Mend(mend);
      if (begun_anew && !again.ok()) {  // Its old uid is gone for good, which was to be done.
        ASSERT_EQ(again.error().code, ErrorCode::kNotFound);
        ASSERT_TRUE(machine.Mend({}).ok());
      } else {
        ASSERT_TRUE(again.ok()) << again.error().message;
      }
      ASSERT_NO_FATAL_FAILURE(StartStrictly(machine));
      const std::vector<std::string> a = machine.Contents("a");
      ASSERT_GE(a.size(), 2u);
      ASSERT_EQ(a[0] + a[1], "1:1:a12:1:a2");
      ASSERT_EQ(a.size(), kind == MendKind::kFill ? 6u : 2u);
      ASSERT_EQ(machine.Faulty("a"), kind == MendKind::kTruncate);
      ASSERT_THAT(machine.Contents("b"), ElementsAre("1:2:b1", "2!faulty", "3:2:b3"));
    }
  }
}

}  // namespace
}  // namespace duramen::log
