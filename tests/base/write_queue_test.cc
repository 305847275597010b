// Writes in flight on the real file system: threads and io_uring, buffered and direct.
#include "base/write_queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <string>

#include "base/aligned.h"
#include "base/posix_io.h"
#include "base/thread_executor.h"
#include "tests/base/temp_dir.h"

namespace duramen {
namespace {

constexpr std::uint64_t kBlock = kDirectAlign;

/// Counts that it was woken.
class Waiter final : public Actor {
 public:
  std::int64_t Step() override {
    woken_.fetch_add(1);
    woken_.notify_all();
    return kIdle;
  }
  const char* name() const override { return "waiter"; }
  void AwaitWake(int beyond) const { woken_.wait(beyond); }
  int woken() const { return woken_.load(); }

 private:
  std::atomic<int> woken_{0};
};

class WriteQueueTest : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ = file_system_.Open(temp_.path()).value();
    executor_.Start(waiter_);
  }
  void TearDown() override { executor_.Stop(waiter_); }

  WriteQueueOptions Options(bool direct, bool io_uring) {
    return {.depth = 4,
            .direct = direct,
            .io_uring = io_uring,
            .executor = executor_,
            .owner = waiter_,
            .clock = clock_,
            .locks = {}};
  }

  /// Writes four blocks of their own content and expects them in the file.
  void WriteFour(WriteQueue& queue, File& file, MadeDurable how) {
    const AlignedBytes bytes = MakeAligned(4 * kBlock);
    for (std::uint64_t i = 0; i < 4; ++i) {
      std::fill_n(bytes.get() + i * kBlock, kBlock, static_cast<std::byte>('a' + i));
      queue.Submit({.id = i + 10,
                    .file = &file,
                    .offset = i * kBlock,
                    .bytes = {bytes.get() + i * kBlock, kBlock},
                    .how = how});
    }
    std::vector<WriteDone> done;
    while (done.size() < 4) {
      const int woken = waiter_.woken();
      queue.Take(done);
      if (done.size() < 4) waiter_.AwaitWake(woken);
    }
    std::set<std::uint64_t> ids;
    for (const WriteDone& one : done) {
      EXPECT_TRUE(one.status.ok()) << one.status.error().message;
      EXPECT_LE(one.begun_ns, one.written_ns);
      EXPECT_LE(one.written_ns, one.synced_ns);
      ids.insert(one.id);
    }
    EXPECT_EQ(ids, (std::set<std::uint64_t>{10, 11, 12, 13}));
    const auto read_back = directory_->Open("file", OpenFor::kRead).value();
    std::vector<std::byte> seen(4 * kBlock);
    ASSERT_EQ(read_back->Read(0, seen).value(), seen.size());
    EXPECT_TRUE(std::equal(seen.begin(), seen.end(), bytes.get()));
  }

  testing::TempDir temp_;
  PosixFileSystem file_system_;
  SystemClock clock_;
  ThreadExecutor executor_;
  Waiter waiter_;
  std::unique_ptr<Directory> directory_;
};

TEST_F(WriteQueueTest, BufferedRequestsAreDoneInTheBackground) {
  const auto file = directory_->Create("file").value();
  const auto queue = file_system_.MakeWriteQueue(Options(false, true));
  EXPECT_STREQ(queue->name(), "threads");
  WriteFour(*queue, *file, MadeDurable::kData);
  WriteFour(*queue, *file, MadeDurable::kAll);
  WriteFour(*queue, *file, MadeDurable::kNot);
}

TEST_F(WriteQueueTest, BufferedRequestsAreDoneInOrder) {
  const auto file = directory_->Create("file").value();
  const auto queue = file_system_.MakeWriteQueue(Options(false, true));
  const std::vector<std::byte> block(kBlock);
  for (std::uint64_t id = 1; id <= 4; ++id) {
    queue->Submit({.id = id, .file = file.get(), .offset = 0, .bytes = block});
  }
  queue->Drain();
  std::vector<WriteDone> done;
  queue->Take(done);
  ASSERT_EQ(done.size(), 4u);
  for (std::uint64_t id = 1; id <= 4; ++id) EXPECT_EQ(done[id - 1].id, id);
}

TEST_F(WriteQueueTest, DirectWritesThroughThreadsAndRing) {
  const auto made = directory_->Create("file").value();
  ASSERT_TRUE(made->Allocate(4 * kBlock).ok());
  const auto file = directory_->Open("file", OpenFor::kDirect);
  if (!file.ok()) {  // A file system without it says so, in words.
    EXPECT_EQ(file.error().code, ErrorCode::kUnsupported);
    EXPECT_NE(file.error().message.find("O_DIRECT"), std::string::npos);
    return;
  }
  for (const bool io_uring : {false, true}) {
    const auto queue = file_system_.MakeWriteQueue(Options(true, io_uring));
    WriteFour(*queue, **file, MadeDurable::kDirect);
    const AlignedBytes bytes = MakeAligned(kBlock);
    std::fill_n(bytes.get(), kBlock, std::byte{'z'});
    const WriteDone now = queue->Run({.id = 1,
                                      .file = file->get(),
                                      .offset = 0,
                                      .bytes = {bytes.get(), kBlock},
                                      .how = MadeDurable::kDirect});
    EXPECT_TRUE(now.status.ok());
  }
}

TEST_F(WriteQueueTest, FailureIsACompletionWithItsReason) {
  ASSERT_TRUE(directory_->Create("file").ok());
  const auto file = directory_->Open("file", OpenFor::kRead).value();
  const std::vector<std::byte> block(kBlock);
  const auto queue = file_system_.MakeWriteQueue(Options(false, false));
  queue->Submit({.id = 7, .file = file.get(), .offset = 0, .bytes = block});
  queue->Drain();
  std::vector<WriteDone> done;
  queue->Take(done);
  ASSERT_EQ(done.size(), 1u);
  EXPECT_EQ(done[0].id, 7u);
  EXPECT_FALSE(done[0].status.ok());
}

/// The descriptor of the lock goes with the process, or here with its object; what still holds it
/// is the ring.
TEST_F(WriteQueueTest, A22_LockIsHeldAsLongAsTheRing) {
  std::unique_ptr<FileLock> lock = directory_->Lock("LOCK").value();
  WriteQueueOptions options = Options(true, true);
  options.locks = {lock.get()};
  std::unique_ptr<WriteQueue> queue = MakeUringQueue(options);
  if (queue == nullptr) {  // The kernel has none: threads, whose process lives till they return.
    EXPECT_STREQ(file_system_.MakeWriteQueue(options)->name(), "threads");
    return;
  }
  lock.reset();
  const auto again = directory_->Lock("LOCK");
  ASSERT_FALSE(again.ok());
  EXPECT_EQ(again.error().code, ErrorCode::kInUse);
  queue.reset();
  EXPECT_TRUE(directory_->Lock("LOCK").ok()) << "let go of at once where nothing is in flight";
}

TEST_F(WriteQueueTest, NoLockIsHeldThatWasNotGiven) {
  std::unique_ptr<FileLock> lock = directory_->Lock("LOCK").value();
  const std::unique_ptr<WriteQueue> queue = file_system_.MakeWriteQueue(Options(true, true));
  lock.reset();
  EXPECT_TRUE(directory_->Lock("LOCK").ok());
}

}  // namespace
}  // namespace duramen
