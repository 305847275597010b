// The pool of WAL files on a simulated disk: numbers, spares, failures.
#include "wal/file_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "base/loop_executor.h"
#include "sim/sim_file_system.h"

namespace duramen::wal {
namespace {

constexpr std::uint64_t kFileBytes = 32 << 10;

class FilePoolTest : public ::testing::Test {
 protected:
  FilePoolTest() {
    EXPECT_TRUE(disk_.CreateDirectories("/wal").ok());
    directory_ = disk_.Open("/wal").value();
    pool_ = std::make_unique<FilePool>(
        FilePoolOptions{.system = {}, .file_size_bytes = kFileBytes, .spare_files = 2},
        FilePool::Environment{*directory_, executor_, clock_, ::duramen::Log(LogSink{})});
    executor_.Start(*pool_);
  }
  ~FilePoolTest() override { executor_.Stop(*pool_); }
  void Run() {
    executor_.Wake(*pool_);
    ASSERT_TRUE(executor_.RunUntilIdle(1000));
  }
  void RunThroughRetries() {
    for (int i = 0; i < 20; ++i) {
      Run();
      if (!executor_.AdvanceToNextTimer()) return;
    }
  }
  std::size_t Files() const { return directory_->List().value().size(); }

  sim::SiteTable sites_;
  sim::SimFileSystem disk_{sim::DiskState(), sites_};
  ManualClock clock_;
  LoopExecutor executor_{Rng(1), clock_};
  std::unique_ptr<Directory> directory_;
  std::unique_ptr<FilePool> pool_;
};

TEST_F(FilePoolTest, B4_TwoSparesAreKeptForRecovery) {
  Run();
  EXPECT_EQ(pool_->ready(), 3u);
  EXPECT_TRUE(pool_->Take(2, 0).has_value());
  EXPECT_FALSE(pool_->Take(2, 0).has_value()) << "two are kept";
  EXPECT_TRUE(pool_->Take(0, 0).has_value());
  EXPECT_TRUE(pool_->Take(0, 0).has_value());
  EXPECT_FALSE(pool_->Take(0, 0).has_value());
}

TEST_F(FilePoolTest, A13_NumbersAreNeverUsedTwice) {
  std::set<std::uint64_t> seen;
  std::vector<PoolFile> held;
  for (int round = 0; round < 50; ++round) {
    Run();
    std::optional<PoolFile> file = pool_->Take(2, 0);
    ASSERT_TRUE(file.has_value());
    EXPECT_TRUE(seen.insert(file->number).second);
    held.push_back(*file);
    if (held.size() < 3) continue;
    pool_->Recycle(held.front().number, held.front().file, held.front().size_bytes);
    held.erase(held.begin());
  }
  EXPECT_LE(Files(), 8u);
}

TEST_F(FilePoolTest, PW4_AFileIsHandedOutOnlyWhenItsNameIsDurable) {
  Run();
  const std::optional<PoolFile> file = pool_->Take(2, 0);
  ASSERT_TRUE(file.has_value());
  const sim::Node node = disk_.disk().durable().FindPath("/wal/" + FileName(file->number));
  ASSERT_NE(node, 0u);
  EXPECT_EQ(disk_.disk().durable().content(node).size_bytes(), kFileBytes);
}

TEST_F(FilePoolTest, W15_OneFailureOfAnyCallDoesNotStopIt) {
  for (const auto kind : {sim::OpKind::kSyncDirectory, sim::OpKind::kRename, sim::OpKind::kCreate,
                          sim::OpKind::kAllocate, sim::OpKind::kSyncAll, sim::OpKind::kWrite}) {
    for (int again = 0; again < 3; ++again) {
      SCOPED_TRACE(sim::OpKindName(kind));
      RunThroughRetries();
      std::optional<PoolFile> file = pool_->Take(2, 0);
      ASSERT_TRUE(file.has_value());
      disk_.Schedule({.kind = kind, .file_class = ""});
      if (again != 1) {
        pool_->Recycle(file->number, file->file, file->size_bytes);
      } else {
        pool_->Remove(file->number);
      }
      file.reset();
      RunThroughRetries();
      ASSERT_GE(pool_->ready(), 3u);
    }
  }
}

TEST_F(FilePoolTest, B3_AFullDiskIsSaidAndLeavesNoHalfMadeFile) {
  disk_.Schedule({.kind = sim::OpKind::kAllocate,
                  .file_class = "",
                  .times = 5,
                  .effect = sim::FaultEffect::kDiskFull});
  Run();
  EXPECT_EQ(pool_->ready(), 0u);
  ASSERT_TRUE(pool_->failure().has_value());
  EXPECT_EQ(pool_->failure()->code, ErrorCode::kDiskFull);
  EXPECT_EQ(Files(), 0u);
  RunThroughRetries();
  EXPECT_EQ(pool_->ready(), 3u);
  EXPECT_FALSE(pool_->failure().has_value());
}

// A sync that fails each second must not leave one file a second behind.
TEST_F(FilePoolTest, B3_NoFailingCallLeavesAFileForEachRetry) {
  for (const auto kind : {sim::OpKind::kAllocate, sim::OpKind::kWrite, sim::OpKind::kSyncAll,
                          sim::OpKind::kSyncDirectory}) {
    SCOPED_TRACE(sim::OpKindName(kind));
    while (pool_->Take(0, 0)) {
    }
    const std::size_t files = Files();
    disk_.Schedule({.kind = kind, .file_class = "", .times = 5});
    const std::uint64_t fired = disk_.faults_fired();
    RunThroughRetries();
    ASSERT_EQ(disk_.faults_fired(), fired + 5);
    ASSERT_EQ(pool_->ready(), 3u);
    EXPECT_EQ(Files(), files + 3);
  }
}

// Its pages may be clean now without being on the disk: a second sync would say success.
TEST_F(FilePoolTest, A14_AFileWhoseSyncFailedIsRemovedNotSyncedAgain) {
  Run();
  const PoolFile taken = pool_->Take(2, 0).value();
  Run();
  disk_.Schedule({.kind = sim::OpKind::kSyncData, .file_class = ".wal"});
  pool_->Recycle(taken.number, taken.file, taken.size_bytes);
  RunThroughRetries();
  EXPECT_EQ(disk_.faults_fired(), 1u);
  std::size_t ready = 0;
  for (; const std::optional<PoolFile> file = pool_->Take(0, 0); ++ready) {
    EXPECT_NE(file->file, taken.file);
  }
  EXPECT_EQ(Files(), ready) << "it is gone";
}

TEST_F(FilePoolTest, B3_ARowFileThatIsRenewedIsOnItsWay) {
  FilePool pool({.system = {},
                 .file_size_bytes = kFileBytes,
                 .row_file_bytes = kFileBytes / 2,
                 .row_files = 2,
                 .next_number = 1000},
                {*directory_, executor_, clock_, ::duramen::Log(LogSink{})});
  executor_.Start(pool);
  executor_.Wake(pool);
  ASSERT_TRUE(executor_.RunUntilIdle(1000));
  const PoolFile first = pool.TakeRow().value();
  EXPECT_FALSE(pool.RowFileComing()) << "one is ready, and nobody has given one back";
  const PoolFile second = pool.TakeRow().value();
  pool.Recycle(first.number, first.file, first.size_bytes);
  EXPECT_FALSE(pool.TakeRow().has_value());
  EXPECT_TRUE(pool.RowFileComing());
  executor_.Wake(pool);
  ASSERT_TRUE(executor_.RunUntilIdle(1000));
  EXPECT_TRUE(pool.TakeRow().has_value());
  EXPECT_FALSE(pool.RowFileComing());
  executor_.Stop(pool);
}

TEST_F(FilePoolTest, PW13_TwoPoolsShareOneSequenceAndRenewWhatIsOld) {
  ASSERT_TRUE(disk_.CreateDirectories("/away").ok());
  const std::unique_ptr<Directory> directory = disk_.Open("/away").value();
  FilePool away(
      {.system = {}, .file_size_bytes = kFileBytes, .spare_files = 0, .home = pool_.get()},
      {*directory, executor_, clock_, ::duramen::Log(LogSink{})});
  executor_.Start(away);
  executor_.Wake(away);
  Run();
  const PoolFile first = pool_->Take(0, 0).value();
  EXPECT_EQ(first.place, Place::kHome);
  executor_.Wake(*pool_);
  Run();
  const std::uint64_t newest = pool_->next_number() - 1;
  EXPECT_FALSE(away.Take(0, newest).has_value()) << "it was made before that one";
  Run();
  const std::optional<PoolFile> taken = away.Take(0, newest);
  ASSERT_TRUE(taken.has_value());
  EXPECT_GT(taken->number, newest);
  EXPECT_EQ(taken->place, Place::kAway);
  EXPECT_NE(disk_.disk().visible().FindPath("/away/" + FileName(taken->number)), 0u);
  EXPECT_EQ(disk_.disk().visible().FindPath("/wal/" + FileName(taken->number)), 0u);
  executor_.Stop(away);
}

TEST_F(FilePoolTest, A14_APoisonedFileIsRemovedNotReused) {
  Run();
  std::optional<PoolFile> file = pool_->Take(2, 0);
  const std::string name = FileName(file->number);
  const sim::Node node = disk_.disk().visible().FindPath("/wal/" + name);
  file.reset();
  pool_->Remove(ParseFileName(name).value());
  RunThroughRetries();
  for (const auto& [entry, other] :
       disk_.disk().visible().entries(disk_.disk().visible().FindPath("/wal"))) {
    EXPECT_NE(other, node) << entry;
  }
}

}  // namespace
}  // namespace duramen::wal
