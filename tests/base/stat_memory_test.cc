// TL4, TL6: where the statistics page lives: read without asking, after a kill too, and never a
// reason to fail.
#include "base/stat_memory.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "base/stat_page.h"
#include "tests/base/temp_dir.h"

namespace duramen {
namespace {

using ::testing::HasSubstr;
using testing::TempDir;

constexpr std::size_t kBytes = 64 << 10;

/// Removed from memory when the test is over.
class SharedPage : public ::testing::Test {
 protected:
  SharedPage() : name(StatMemoryName(dir.path()).value()) {}
  ~SharedPage() override { ::shm_unlink(name.c_str()); }
  TempDir dir;
  std::string name;
};

TEST_F(SharedPage, TL4_IsReadByItsDirectoryAloneWhileItIsCountedIn) {
  {
    Result<StatMemory> memory = StatMemory::Shared(dir.path(), kBytes);
    ASSERT_TRUE(memory.ok()) << memory.error().message;
    ASSERT_EQ(memory->bytes().size(), kBytes);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory->bytes().data()) % 64, 0u);
    memory->bytes()[100] = std::byte{42};
    const Result<StatCopy> copy = ReadStatMemory(dir.path() + "/.");
    ASSERT_TRUE(copy.ok()) << copy.error().message;
    EXPECT_TRUE(copy->in_use);
    ASSERT_EQ(copy->bytes.size(), kBytes);
    EXPECT_EQ(copy->bytes[100], std::byte{42});
    EXPECT_EQ(copy->bytes[101], std::byte{0});
    struct stat status {};
    ASSERT_EQ(::stat(("/dev/shm" + name).c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0600u);
    EXPECT_GE(status.st_blocks * 512, static_cast<long>(kBytes)) << "a hole can kill who counts";
  }
  const Result<StatCopy> left = ReadStatMemory(dir.path());
  ASSERT_TRUE(left.ok());
  EXPECT_FALSE(left->in_use);
  EXPECT_EQ(left->bytes[100], std::byte{42});
}

TEST_F(SharedPage, TL6_OutlivesAProcessThatIsKilled) {
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    Result<StatMemory> memory = StatMemory::Shared(dir.path(), kBytes);
    if (memory.ok()) memory->bytes()[7] = std::byte{9};
    (void)!::write(ready[1], memory.ok() ? "1" : "0", 1);
    while (true) ::pause();
  }
  char answer = 0;
  ASSERT_EQ(::read(ready[0], &answer, 1), 1);
  ASSERT_EQ(answer, '1');
  EXPECT_TRUE(ReadStatMemory(dir.path())->in_use);
  ASSERT_EQ(::kill(child, SIGKILL), 0);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  const Result<StatCopy> copy = ReadStatMemory(dir.path());
  ASSERT_TRUE(copy.ok());
  EXPECT_FALSE(copy->in_use);
  EXPECT_EQ(copy->bytes[7], std::byte{9});
  // The next start begins with zeros, and leaves who still reads the old one alone.
  const Result<StatMemory> next = StatMemory::Shared(dir.path(), kBytes);
  ASSERT_TRUE(next.ok());
  EXPECT_EQ(ReadStatMemory(dir.path())->bytes[7], std::byte{0});
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST_F(SharedPage, TL4_WhoIsNotThereIsSaid) {
  const Result<StatCopy> none = ReadStatMemory(dir.path());
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().code, ErrorCode::kNotFound);
  EXPECT_EQ(ReadStatMemory(dir / "nowhere").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(StatMemory::Shared(dir / "nowhere", kBytes).error().code, ErrorCode::kNotFound);
  Result<StatMemory> memory = StatMemory::Shared(dir.path(), kBytes);
  ASSERT_TRUE(memory.ok());
  memory->Withdraw();
  memory->bytes()[0] = std::byte{1};  // Still mapped.
  EXPECT_EQ(ReadStatMemory(dir.path()).error().code, ErrorCode::kNotFound);
}

TEST_F(SharedPage, T3_WhatStandsUnderItsNameIsNotTrusted) {
  const std::string path = "/dev/shm" + name;
  // Longer than any page.
  const int fd = ::open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(::ftruncate(fd, 1LL << 40), 0);
  EXPECT_EQ(ReadStatMemory(dir.path()).error().code, ErrorCode::kCorruption);
  // A hole, and one that is empty.
  ASSERT_EQ(::ftruncate(fd, kBytes), 0);
  EXPECT_FALSE(StatPageRead(ReadStatMemory(dir.path())->bytes).ok());
  ASSERT_EQ(::ftruncate(fd, 0), 0);
  EXPECT_FALSE(StatPageRead(ReadStatMemory(dir.path())->bytes).ok());
  ::close(fd);
  // A fifo that nobody writes to, and a link to somewhere else.
  ASSERT_EQ(::unlink(path.c_str()), 0);
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  EXPECT_FALSE(ReadStatMemory(dir.path()).ok());
  ASSERT_EQ(::unlink(path.c_str()), 0);
  const std::string elsewhere = dir / "elsewhere";
  ASSERT_EQ(::symlink(elsewhere.c_str(), path.c_str()), 0);
  EXPECT_FALSE(ReadStatMemory(dir.path()).ok());
  EXPECT_TRUE(StatMemory::Shared(dir.path(), kBytes).ok()) << "it is replaced";
  EXPECT_NE(::access(elsewhere.c_str(), F_OK), 0) << "and not followed";
  // What cannot be replaced fails, with a word.
  ASSERT_EQ(::unlink(path.c_str()), 0);
  ASSERT_EQ(::mkdir(path.c_str(), 0700), 0);
  EXPECT_FALSE(StatMemory::Shared(dir.path(), kBytes).ok());
  EXPECT_FALSE(ReadStatMemory(dir.path()).ok());
  ASSERT_EQ(::rmdir(path.c_str()), 0);
}

TEST_F(SharedPage, TL4_PagesOfDirectoriesThatAreGoneAreRemoved) {
  std::string gone_name;
  {
    TempDir gone;
    gone_name = StatMemoryName(gone.path()).value();
    const StatLayout empty{};
    Result<StatMemory> memory = StatMemory::Shared(gone.path(), StatPageBytes(empty));
    ASSERT_TRUE(memory.ok());
    StatPageWrite(memory->bytes(), empty, {.data_dir = gone.path()});
    ASSERT_TRUE(StatMemory::Shared(dir.path(), kBytes).ok());
    EXPECT_EQ(::access(("/dev/shm" + gone_name).c_str(), F_OK), 0) << "it is in use";
  }
  ASSERT_TRUE(StatMemory::Shared(dir.path(), kBytes).ok());
  EXPECT_NE(::access(("/dev/shm" + gone_name).c_str(), F_OK), 0);
}

}  // namespace
}  // namespace duramen
