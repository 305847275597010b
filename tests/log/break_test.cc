// Sequences in which a flush, a checkpoint or a start once went wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/bytes.h"
#include "tests/log/flush_machine.h"

namespace duramen::log {
namespace {

/// A log "a" whose two entries are in segments. Returns its uid.
std::string StartFlushed(Machine& machine) {
  UseSmallFiles(machine);
  machine.Start();
  machine.Write(machine.Log("a"), 1, 1, {"a1", "a2"});
  Flush(machine, machine.Log("other"));
  Flush(machine, machine.Log("other"));
  return machine.UidOf("a");
}

// 1: a tombstone is forgotten, and its slot given again, before its repeat is written.
TEST(FlushBreak, A18_ASlotIsReusedBeforeItsTombstonesRepeat) {
  for (const SyncMethod method : {SyncMethod::kDatasync}) {
    SCOPED_TRACE(static_cast<int>(method));
    Machine machine;
    UseSmallFiles(machine);
    machine.options.wal_sync_method = method;
    machine.options.wal_max_entries = 4;
    machine.Start();
    const LogRef a = machine.Log("a");
    const LogRef b = machine.Log("b");
    machine.Write(a, 1, 1, {"1"});
    machine.Write(b, 1, 1, {"1", "2", "3"});
    machine.Settle();
    ASSERT_TRUE(machine.store().DeleteLog(machine.writer(), a).ok());
    (void)machine.Append(b, 4, 1, {"4"});
    machine.Settle();
    machine.Settle();
    machine.Write(machine.Log("c"), 1, 1, {"c"});
    machine.Settle();
    machine.Kill();
  }
}

// 2: rot in a WAL file before its flush
TEST(FlushBreak, A3_RotBeforeTheFlushIsNoticed) {
  Machine machine;
  UseSmallFiles(machine);
  machine.Start();
  const LogRef a = machine.Log("a");
  machine.Write(a, 1, 1, {"a1", "needle-needle", "a3"});
  bool found = false;
  for (const std::string& name : machine.WalFiles()) {
    const std::string path = "/data/wal/" + name;
    const auto bytes = machine.FileBytes(path);
    const std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    const auto at = text.find("needle-needle");
    if (at == std::string::npos) continue;
    machine.Rot(path, at);
    found = true;
  }
  ASSERT_TRUE(found);
  Flush(machine, machine.Log("other"));
  Flush(machine, machine.Log("other"));
  EXPECT_TRUE(machine.Faulty("a")) << "at run time";
  machine.Kill();
  machine.Start();
  EXPECT_TRUE(machine.Faulty("a")) << "after a start";
}

// 3: none and a power loss
TEST(FlushBreak, C14_NoneAndPowerLoss) {
  Machine machine;
  UseSmallFiles(machine);
  machine.options.wal_sync_method = SyncMethod::kNone;
  machine.Start();
  machine.Write(machine.Log("a"), 1, 1, {"a1", "a2"});
  Flush(machine, machine.Log("other"));
  machine.PowerLoss();
  machine.Start();
  EXPECT_FALSE(machine.Faulty("a"));
  EXPECT_FALSE(machine.store().recovery_report().damaged());
}

// 4: failed flushes leave files
TEST(FlushBreak, G4_FailedFlushesLeaveNothing) {
  Machine machine;
  UseSmallFiles(machine);
  machine.Start();
  machine.Write(machine.Log("a"), 1, 1, {"a1", "a2"});
  const std::string uid = machine.UidOf("a");
  machine.disk().Schedule({.kind = sim::OpKind::kWrite,
                           .file_class = "#.seg",
                           .times = 60,
                           .effect = sim::FaultEffect::kDiskFull});
  const LogRef other = machine.Log("other");
  for (int i = 0; i < 14; ++i) {
    (void)machine.Append(other, machine.store().BoundsOf(other)->end, 1, {std::string(3000, 'x')});
    machine.Settle();
  }
  for (int i = 0; i < 400; ++i) {
    (void)machine.executor().AdvanceToNextTimer();
    machine.Settle();
  }
  EXPECT_LE(machine.NamesIn("/data/servers/" + uid).size(), 2u);
}

// 5: floors do not free segments while the disk is full
TEST(FlushBreak, B3_FloorsFreeSegmentsOnAFullDisk) {
  Machine machine;
  UseSmallFiles(machine);
  machine.options.segment_max_entries = 4;
  machine.Start();
  const LogRef a = machine.Log("a");
  for (int i = 0; i < 20; ++i) machine.Write(a, i + 1, 1, {std::string(100, 'a')});
  const LogRef other = machine.Log("other");
  Flush(machine, other);
  const std::string uid = machine.UidOf("a");
  const auto before = machine.NamesIn("/data/servers/" + uid).size();
  ASSERT_GT(before, 3u);
  machine.disk().Schedule({.kind = sim::OpKind::kWrite,
                           .file_class = "#.seg",
                           .times = UINT64_MAX,
                           .effect = sim::FaultEffect::kDiskFull});
  for (int i = 0; i < 14; ++i) {
    (void)machine.Append(other, machine.store().BoundsOf(other)->end, 9, {std::string(3000, 'x')});
    machine.Settle();
  }
  ASSERT_TRUE(machine.Wait(machine.writer().TruncatePrefix(a, 19).value()).ok());
  for (int i = 0; i < 200; ++i) {
    (void)machine.executor().AdvanceToNextTimer();
    machine.Settle();
  }
  EXPECT_LT(machine.NamesIn("/data/servers/" + uid).size(), before);
}

// 6: strict does not look at segments
TEST(FlushBreak, PW8_StrictRefusesDamageInSegments) {
  Machine machine;
  const std::string path = SegmentOf(machine, StartFlushed(machine));
  const auto size = machine.FileBytes(path).size();
  machine.Kill();
  for (std::size_t at = 128; at < size; at += 8) machine.Rot(path, at);
  machine.options.recovery_mode = RecoveryMode::kStrict;
  const Status opened = machine.Open();
  EXPECT_FALSE(opened.ok());
}

// 8: what is left of a log whose rows are lost is not garbage [A18]
TEST(FlushBreak, A18_SegmentsOfALogWithoutRowsAreKept) {
  Machine machine;
  const std::string uid = StartFlushed(machine);
  const auto before = machine.NamesIn("/data/servers/" + uid);
  ASSERT_FALSE(before.empty());
  ASSERT_TRUE(machine.Wait(machine.writer().PutVote(machine.Log("a"), 7, "n").value()).ok());
  machine.Kill();
  for (const char* name : {"/data/meta/checkpoint-a", "/data/meta/checkpoint-b"})
    for (std::size_t at = 0; at < machine.FileBytes(name).size(); at += 512)
      machine.Rot(name, at + 20);
  machine.Start();
  for (int boot = 0; boot < 3; ++boot) {
    Flush(machine, machine.Log("third"));
    Flush(machine, machine.Log("third"));
    EXPECT_EQ(machine.NamesIn("/data/servers/" + uid).size(), before.size()) << boot;
    machine.Kill();
    machine.Start();
  }
}
}  // namespace
}  // namespace duramen::log
