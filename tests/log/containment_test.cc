// One directory, one sync, one log: what goes wrong with it holds nobody else.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/bytes.h"
#include "tests/log/flush_machine.h"

namespace duramen::log {
namespace {

using ::testing::ElementsAre;

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

}  // namespace
}  // namespace duramen::log
