// A store whose WAL stands in two directories, as the offline verbs and a start see it.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/base/temp_dir.h"
#include "tests/log/disk_tree.h"
#include "tests/log/machine.h"
#include "tests/tools/answer.h"

namespace duramen::tools::testing {
namespace {

namespace fs = std::filesystem;
using ::duramen::log::Machine;

constexpr std::int64_t kSecond = 1'000'000'000;

class TwoDirectories : public ::testing::Test {
 protected:
  /// Made on a simulated disk, where wal_dir stalls, and then put where the paths say.
  void SetUp() override {
    Machine machine;
    machine.options = Options();
    machine.Start();
    const LogRef log = machine.Log("a");
    machine.Write(log, 1, 1, {"one"});
    machine.disk().StallUntil(data_ + "/wal",
                              (machine.In(0).time_since_epoch().count()) + 3'600 * kSecond);
    machine.Write(log, 2, 1, {"two"});
    ASSERT_EQ(machine.Metric("wal_place"), 1u);
    machine.PowerLoss();
    const auto tree = log::TreeOf(machine.disk().disk().visible(), dir_.path());
    for (const auto& [path, text] : tree) {
      if (path.ends_with('/')) {
        fs::create_directories(dir_ / path);
      } else {
        std::ofstream(dir_ / path, std::ios::binary) << text;
      }
    }
  }
  LogStoreOptions Options() const {
    LogStoreOptions options;
    options.data_dir = data_;
    options.wal_failover_dir = away_;
    options.wal_max_size_bytes = 48 << 10;
    options.memory_budget = 64 << 20;
    options.wal_max_age = 0;
    return options;
  }
  const duramen::testing::TempDir dir_;
  const std::string data_ = dir_ / "data";
  const std::string away_ = dir_ / "away";
};

TEST_F(TwoDirectories, PW13_VerifyFollowsTheChainThroughBoth) {
  const Answer answer = Verify(data_);
  EXPECT_EQ(answer.exit, ExitCode::kClean) << answer.text();
  EXPECT_EQ(answer.text().find("missing"), std::string::npos) << answer.text();
  EXPECT_NE(answer.text().find("is on the file system of"), std::string::npos)
      << "both are in one temporary directory: " << answer.text();
}

TEST_F(TwoDirectories, A14_WithoutOneOfThemNothingIsJudgedOrStarted) {
  fs::rename(away_, dir_ / "unmounted");
  const Answer answer = Verify(data_);
  EXPECT_EQ(answer.exit, ExitCode::kUnreadable) << answer.text();
  EXPECT_NE(answer.err.find(away_), std::string::npos) << answer.err;
  EXPECT_NE(answer.err.find("mount or restore"), std::string::npos) << answer.err;
  const Result<LogStore> refused = LogStore::Open(Options());
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kNotFound);
  EXPECT_NE(refused.error().hint.find("mount or restore"), std::string::npos);
  fs::create_directory(away_);  // The mount point without its mount.
  const Result<LogStore> empty = LogStore::Open(Options());
  ASSERT_FALSE(empty.ok());
  EXPECT_NE(empty.error().message.find("IDENTITY"), std::string::npos) << empty.error().message;
  fs::remove_all(away_);
  fs::rename(dir_ / "unmounted", away_);
  const Result<LogStore> store = LogStore::Open(Options());
  ASSERT_TRUE(store.ok()) << store.error().message;
  ASSERT_EQ(store->Logs().size(), 1u);
  EXPECT_EQ(store->BoundsOf(store->Logs().front().log)->end, 3u);
  EXPECT_FALSE(store->recovery_report().damaged());
}

TEST_F(TwoDirectories, A14_AFileCopiedIntoTheOtherDirectoryIsRefused) {
  std::string name;
  for (const auto& entry : fs::directory_iterator(away_)) {
    if (entry.path().extension() == ".wal") name = entry.path().filename();
  }
  ASSERT_FALSE(name.empty());
  fs::copy_file(away_ + "/" + name, data_ + "/wal/" + name);
  const Result<LogStore> refused = LogStore::Open(Options());
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("both hold " + name), std::string::npos);
}

TEST_F(TwoDirectories, A14_TheSameDirectoryByAnotherNameIsRefused) {
  LogStoreOptions options = Options();
  options.data_dir = dir_ / "fresh";
  options.wal_failover_dir = dir_ / "link";
  fs::create_directory_symlink(dir_ / "fresh/wal", dir_ / "link");
  const Result<LogStore> refused = LogStore::Open(options);
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("is another of the WAL directories"), std::string::npos)
      << refused.error().message;
}

}  // namespace
}  // namespace duramen::tools::testing
