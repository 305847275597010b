// base/io.h on a real file system: what is made, what is refused, and what each refusal says.
#include "base/posix_io.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "tests/base/temp_dir.h"

namespace duramen {
namespace {

using testing::TempDir;

class PosixIo : public ::testing::Test {
 protected:
  std::unique_ptr<Directory> Open() { return file_system_.Open(temp_.path()).value(); }
  mode_t ModeOf(const std::string& name) {
    struct stat status = {};
    EXPECT_EQ(::lstat((temp_ / name).c_str(), &status), 0) << name;
    return status.st_mode & 07777;
  }
  void WriteText(const std::string& name, const std::string& text) {
    std::ofstream(temp_ / name, std::ios::binary) << text;
  }
  std::string ReadText(const std::string& name) {
    std::ifstream in(temp_ / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  TempDir temp_;
  PosixFileSystem file_system_;
};

/// An error owes a code, the path, and a reason.
template <typename T>
void ExpectError(const Result<T>& result, ErrorCode code, const std::string& part_of_message) {
  ASSERT_FALSE(result.ok()) << part_of_message;
  EXPECT_STREQ(ErrorCodeName(result.error().code), ErrorCodeName(code)) << result.error().message;
  EXPECT_NE(result.error().message.find(part_of_message), std::string::npos)
      << result.error().message;
}

/// Runs `body` in a child as a user who is not root; 0 when all is as expected.
int RunUnprivileged(const std::function<int()>& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    if (::geteuid() == 0 && (::setgid(65534) != 0 || ::setuid(65534) != 0)) ::_exit(100);
    ::_exit(body());
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST_F(PosixIo, WritesReadsListsRenamesAndRemoves) {
  const auto directory = Open();
  EXPECT_EQ(directory->path(), temp_.path());
  auto file = directory->Create("b").value();
  ASSERT_TRUE(file->Write(4, AsBytes("world")).ok());
  ASSERT_TRUE(file->Write(0, AsBytes("you ")).ok());
  ASSERT_TRUE(file->SyncData().ok());
  ASSERT_TRUE(file->SyncAll().ok());
  EXPECT_EQ(*file->SizeBytes(), 9u);
  ASSERT_TRUE(directory->CreateDirectory("a").ok());
  ASSERT_TRUE(directory->Sync().ok());
  EXPECT_EQ(ModeOf("b"), 0600u);
  EXPECT_EQ(ModeOf("a"), 0700u);

  std::vector<std::byte> bytes(100);
  EXPECT_EQ(*file->Read(0, bytes), 9u);  // Less only at the end.
  EXPECT_EQ(AsText(Bytes(bytes).first(9)), "you world");
  EXPECT_EQ(*file->Read(9, bytes), 0u);
  EXPECT_EQ(*file->Read(1 << 20, bytes), 0u);
  ASSERT_TRUE(file->Truncate(3).ok());
  EXPECT_EQ(ReadText("b"), "you");

  WriteText("c", "old");
  ASSERT_TRUE(directory->Rename("b", "c").ok());
  const auto entries = directory->List().value();
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[0].name, "a");
  EXPECT_TRUE(entries[0].is_directory && !entries[0].is_regular);
  EXPECT_EQ(entries[1].name, "c");
  EXPECT_TRUE(entries[1].is_regular && !entries[1].is_directory);
  EXPECT_EQ(entries[1].size_bytes, 3u);
  EXPECT_EQ(entries[0].size_bytes, 0u);
  ASSERT_TRUE(directory->Remove("c").ok());
  ASSERT_TRUE(directory->RemoveDirectory("a").ok());
  EXPECT_TRUE(directory->List()->empty());
}

TEST_F(PosixIo, ManyBytesInOneCall) {
  auto file = Open()->Create("f").value();
  std::vector<std::byte> bytes(8 << 20);
  for (std::size_t at = 0; at < bytes.size(); at += 8) StoreLe(bytes.data() + at, at);
  ASSERT_TRUE(file->Write(12345, bytes).ok());
  std::vector<std::byte> back(bytes.size());
  ASSERT_EQ(*file->Read(12345, back), bytes.size());
  EXPECT_EQ(back, bytes);
}

TEST_F(PosixIo, AllocateGivesZerosAndTheSize) {
  const auto directory = Open();
  auto file = directory->Create("f").value();
  ASSERT_TRUE(file->Write(0, AsBytes("keep")).ok());
  ASSERT_TRUE(file->Allocate(1 << 20).ok());
  EXPECT_EQ(*file->SizeBytes(), 1u << 20);
  struct stat status = {};
  ASSERT_EQ(::stat((temp_ / "f").c_str(), &status), 0);
  EXPECT_GE(static_cast<std::uint64_t>(status.st_blocks) * 512, 1u << 20);
  const std::string text = ReadText("f");
  EXPECT_EQ(text, "keep" + std::string((1 << 20) - 4, '\0'));
  ASSERT_TRUE(file->Allocate(2).ok());
  EXPECT_EQ(ReadText("f"), "ke");
  EXPECT_FALSE(file->Allocate(1ULL << 62).ok());
  EXPECT_EQ(ReadText("f"), "ke");
}

TEST_F(PosixIo, WhatIsThereAndWhatIsNot) {
  const auto directory = Open();
  WriteText("f", "x");
  ExpectError(directory->Create("f"), ErrorCode::kAlreadyExists, temp_ / "f");
  ExpectError(directory->CreateDirectory("f"), ErrorCode::kAlreadyExists, temp_ / "f");
  EXPECT_EQ(ReadText("f"), "x");
  ExpectError(directory->Open("g", OpenFor::kReadWrite), ErrorCode::kNotFound, temp_ / "g");
  ExpectError(directory->OpenDirectory("g"), ErrorCode::kNotFound, temp_ / "g");
  ExpectError(directory->Remove("g"), ErrorCode::kNotFound, temp_ / "g");
  ExpectError(directory->Rename("g", "h"), ErrorCode::kNotFound, temp_ / "g");
  ExpectError(file_system_.Open(temp_ / "g"), ErrorCode::kNotFound, temp_ / "g");
  ExpectError(file_system_.Open(""), ErrorCode::kNotFound, "''");
  EXPECT_EQ(*directory->Open("f", OpenFor::kRead).value()->SizeBytes(), 1u);
  ASSERT_TRUE(directory->CreateDirectory("d").ok());
  WriteText("d/inside", "x");
  EXPECT_FALSE(directory->RemoveDirectory("d").ok());
}

TEST_F(PosixIo, T4_AFileWhereADirectoryIsNeededAndTheOtherWayRound) {
  const auto directory = Open();
  WriteText("f", "x");
  ASSERT_TRUE(directory->CreateDirectory("d").ok());
  ExpectError(file_system_.Open(temp_ / "f"), ErrorCode::kInvalidArgument, "a directory is needed");
  ExpectError(file_system_.CreateDirectories(temp_ / "f"), ErrorCode::kInvalidArgument,
              "a directory is needed");
  ExpectError(file_system_.CreateDirectories(temp_ / "f/x/y"), ErrorCode::kInvalidArgument,
              temp_ / "f'");
  ExpectError(directory->OpenDirectory("f"), ErrorCode::kInvalidArgument, "a directory is needed");
  ExpectError(directory->Open("d", OpenFor::kRead), ErrorCode::kInvalidArgument,
              "a file is needed");
  ExpectError(directory->Open("d", OpenFor::kReadWrite), ErrorCode::kInvalidArgument,
              "a file is needed");
  ExpectError(directory->Lock("d"), ErrorCode::kInvalidArgument, "a file is needed");
  EXPECT_EQ(ReadText("f"), "x");
}

TEST_F(PosixIo, T6_SymlinksAndFifosAreRefusedAndTheirTargetsUntouched) {
  const auto directory = Open();
  WriteText("target", "precious");
  ASSERT_TRUE(directory->CreateDirectory("real").ok());
  std::filesystem::create_symlink("target", temp_ / "link");
  std::filesystem::create_symlink("nowhere", temp_ / "dangling");
  std::filesystem::create_directory_symlink("real", temp_ / "directory_link");
  ASSERT_EQ(::mkfifo((temp_ / "fifo").c_str(), 0600), 0);
  ExpectError(directory->Open("link", OpenFor::kRead), ErrorCode::kInvalidArgument,
              "symbolic link");
  ExpectError(directory->Open("link", OpenFor::kReadWrite), ErrorCode::kInvalidArgument,
              "symbolic link");
  ExpectError(directory->Lock("link"), ErrorCode::kInvalidArgument, "symbolic link");
  ExpectError(directory->Lock("dangling"), ErrorCode::kInvalidArgument, "symbolic link");
  ExpectError(directory->Create("dangling"), ErrorCode::kAlreadyExists, temp_ / "dangling");
  ExpectError(directory->OpenDirectory("directory_link"), ErrorCode::kInvalidArgument,
              "symbolic link");
  ExpectError(directory->Open("fifo", OpenFor::kRead), ErrorCode::kInvalidArgument,
              "not a regular file");
  ExpectError(directory->Open("fifo", OpenFor::kReadWrite), ErrorCode::kInvalidArgument,
              "not a regular file");
  EXPECT_EQ(ReadText("target"), "precious");
  EXPECT_FALSE(std::filesystem::exists(temp_ / "nowhere"));
  const auto entries = directory->List().value();
  for (const DirectoryEntry& entry : entries) {
    EXPECT_EQ(entry.is_regular, entry.name == "target");
    EXPECT_EQ(entry.is_directory, entry.name == "real");
  }
  // The path that the operator gives may have links in it.
  EXPECT_TRUE(file_system_.Open(temp_ / "directory_link").ok());
  EXPECT_TRUE(file_system_.CreateDirectories(temp_ / "directory_link/deeper").ok());
}

TEST_F(PosixIo, T5_NamesNeverLeaveTheDirectory) {
  ASSERT_TRUE(Open()->CreateDirectory("inner").ok());
  WriteText("outside", "precious");
  const auto inner = Open()->OpenDirectory("inner").value();
  for (const std::string& name : {std::string(), std::string("."), std::string(".."),
                                  std::string("../outside"), temp_ / "outside", std::string("a/b"),
                                  std::string("out\0side", 8), std::string(10'000, 'n')}) {
    EXPECT_EQ(inner->Create(name).error().code, ErrorCode::kInvalidArgument) << name;
    EXPECT_EQ(inner->Open(name, OpenFor::kRead).error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(inner->Remove(name).error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(inner->RemoveDirectory(name).error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(inner->Rename(name, "x").error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(inner->CreateDirectory(name).error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(inner->OpenDirectory(name).error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(inner->Lock(name).error().code, ErrorCode::kInvalidArgument);
  }
  EXPECT_EQ(ReadText("outside"), "precious");
  EXPECT_TRUE(inner->List()->empty());
}

TEST_F(PosixIo, T4_NoPermissionIsSaidAndLeavesNothing) {
  ASSERT_TRUE(Open()->CreateDirectory("closed").ok());
  WriteText("closed/f", "x");
  // As root the directory is closed to others by its mode, as anyone else by taking our own rights.
  ASSERT_EQ(::chmod(temp_.path().c_str(), 0755), 0);
  const mode_t closed_mode = ::geteuid() == 0 ? 0700 : 0;
  ASSERT_EQ(::chmod((temp_ / "closed").c_str(), closed_mode), 0);
  const std::string closed = temp_ / "closed";
  const int failed = RunUnprivileged([&] {
    const auto denied = [](const auto& result) {
      return !result.ok() && result.error().code == ErrorCode::kPermission &&
             !result.error().hint.empty();
    };
    if (!denied(file_system_.Open(closed))) return 1;
    if (!denied(file_system_.CreateDirectories(closed + "/deeper"))) return 2;
    if (::geteuid() != 65534) return 0;  // What follows needs a directory of somebody else.
    auto directory = file_system_.Open(temp_.path());
    if (!directory.ok()) return 3;
    if (!denied((*directory)->Create("new"))) return 4;
    if (!denied((*directory)->Lock("LOCK"))) return 5;
    if (!denied((*directory)->CreateDirectory("new"))) return 6;
    if (!denied((*directory)->OpenDirectory("closed"))) return 7;
    if (!denied(file_system_.CreateDirectories(temp_ / "new"))) return 8;
    return 0;
  });
  EXPECT_EQ(failed, 0);
  ASSERT_EQ(::chmod((temp_ / "closed").c_str(), 0700), 0);
  EXPECT_EQ(Open()->List()->size(), 1u);
}

TEST_F(PosixIo, CreateDirectoriesMakesParentsAndIsFineTwice) {
  for (int round = 0; round < 2; ++round) {
    EXPECT_TRUE(file_system_.CreateDirectories(temp_ / "a/b//c/./d/").ok());
    EXPECT_EQ(ModeOf("a"), 0700u);
    EXPECT_EQ(ModeOf("a/b/c/d"), 0700u);
  }
  EXPECT_TRUE(file_system_.CreateDirectories(temp_ / "a/b/../e").ok());
  EXPECT_TRUE(file_system_.Open(temp_ / "a/e").ok());
  EXPECT_TRUE(file_system_.CreateDirectories("/").ok());
  EXPECT_TRUE(file_system_.CreateDirectories(".").ok());
  ExpectError(file_system_.CreateDirectories(""), ErrorCode::kNotFound, "''");
}

TEST_F(PosixIo, ADirectoryIsItsDescriptorNotItsPath) {
  ASSERT_TRUE(Open()->CreateDirectory("d").ok());
  const auto directory = Open()->OpenDirectory("d").value();
  std::filesystem::rename(temp_ / "d", temp_ / "moved");
  std::filesystem::create_directory(temp_ / "d");
  ASSERT_TRUE(directory->Create("f").ok());
  EXPECT_TRUE(std::filesystem::exists(temp_ / "moved/f"));
  EXPECT_FALSE(std::filesystem::exists(temp_ / "d/f"));
}

TEST_F(PosixIo, NothingIsInheritedThroughExec) {
  const auto open_descriptors = [] {
    std::set<int> found;
    for (int fd = 0; fd < 256; ++fd) {
      if (::fcntl(fd, F_GETFD) >= 0) found.insert(fd);
    }
    return found;
  };
  const std::set<int> before = open_descriptors();
  const auto directory = Open();
  const auto made = directory->Create("f").value();
  const auto opened = directory->Open("f", OpenFor::kRead).value();
  const auto lock = directory->Lock("LOCK").value();
  ASSERT_TRUE(directory->CreateDirectory("d").ok());
  const auto inner = directory->OpenDirectory("d").value();
  ASSERT_TRUE(directory->List().ok());
  ASSERT_TRUE(file_system_.CreateDirectories(temp_ / "x/y").ok());
  int ours = 0;
  for (const int fd : open_descriptors()) {
    if (before.contains(fd)) continue;
    ++ours;
    EXPECT_EQ(::fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC) << fd;
  }
  EXPECT_EQ(ours, 5);  // And nothing leaks.
}

TEST_F(PosixIo, TwoHoldersOfALockInOneProcess) {
  const auto directory = Open();
  auto lock = directory->Lock("LOCK").value();
  EXPECT_EQ(ModeOf("LOCK"), 0600u);
  EXPECT_EQ(ReadText("LOCK"), std::to_string(::getpid()) + "\n");
  const auto second = Open()->Lock("LOCK");
  ExpectError(second, ErrorCode::kInUse, "process " + std::to_string(::getpid()));
  EXPECT_FALSE(second.error().hint.empty());
  lock.reset();
  EXPECT_TRUE(Open()->Lock("LOCK").ok());
}

TEST_F(PosixIo, TwoProcessesAndALockThatDiesWithItsHolder) {
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const auto lock = Open()->Lock("LOCK");
    const char answer = lock.ok() ? 'y' : 'n';
    if (::write(ready[1], &answer, 1) != 1) ::_exit(1);
    while (true) ::pause();
  }
  char answer = 0;
  ASSERT_EQ(::read(ready[0], &answer, 1), 1);
  ASSERT_EQ(answer, 'y');
  ExpectError(Open()->Lock("LOCK"), ErrorCode::kInUse, "process " + std::to_string(child));
  EXPECT_EQ(ReadText("LOCK"), std::to_string(child) + "\n");  // The loser changed nothing.
  ASSERT_EQ(::kill(child, SIGKILL), 0);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_TRUE(Open()->Lock("LOCK").ok());
  EXPECT_EQ(ReadText("LOCK"), std::to_string(::getpid()) + "\n");
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST_F(PosixIo, T6_ATerabyteOfHolesIsSkipped) {
  const auto directory = Open();
  const auto file = directory->Create("holes").value();
  ASSERT_TRUE(file->Truncate(1ull << 40).ok());
  EXPECT_EQ(file->NextData(0).value(), UINT64_MAX);
  const std::uint64_t at = 1ull << 39;
  ASSERT_TRUE(file->Write(at, AsBytes("here")).ok());
  const std::uint64_t found = file->NextData(0).value();
  EXPECT_LE(found, at);
  EXPECT_GT(found + (1u << 20), at);
  EXPECT_EQ(file->NextData(at + 1).value(), at + 1);
  EXPECT_EQ(file->NextData(1ull << 40).value(), UINT64_MAX);
}

TEST_F(PosixIo, B3_WhatIsFreeIsKnown) {
  const std::uint64_t free = Open()->FreeBytes();
  EXPECT_GT(free, 0u);
  EXPECT_LE(free, std::filesystem::space(temp_.path()).capacity);
  // What has no size is not full.
  EXPECT_EQ(file_system_.Open("/proc").value()->FreeBytes(), UINT64_MAX);
}

TEST_F(PosixIo, B8_TheFileSystemIsSyncedOrSaidToBeUnknown) {
  const Status synced = Open()->SyncFileSystem();
  EXPECT_TRUE(synced.ok() || synced.error().code == ErrorCode::kUnsupported);
}

TEST_F(PosixIo, T6_WhatAStrangerWroteIntoTheLockFileIsNotRepeated) {
  auto lock = Open()->Lock("LOCK").value();
  for (const std::string& text : {std::string("\x1b[2J"), std::string(), std::string("rm -rf")}) {
    WriteText("LOCK", text);
    const auto second = Open()->Lock("LOCK");
    ExpectError(second, ErrorCode::kInUse, "is in use (it holds");
  }
}

TEST(PosixError, EveryReasonHasItsCode) {
  const auto code = [](int number) { return PosixError("write", "/p", number).code; };
  EXPECT_EQ(code(ENOSPC), ErrorCode::kDiskFull);
  EXPECT_EQ(code(EDQUOT), ErrorCode::kDiskFull);
  EXPECT_EQ(code(EACCES), ErrorCode::kPermission);
  EXPECT_EQ(code(EPERM), ErrorCode::kPermission);
  EXPECT_EQ(code(EROFS), ErrorCode::kPermission);
  EXPECT_EQ(code(ENOENT), ErrorCode::kNotFound);
  EXPECT_EQ(code(EEXIST), ErrorCode::kAlreadyExists);
  EXPECT_EQ(code(ENOTDIR), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code(EIO), ErrorCode::kIo);
  EXPECT_EQ(code(EINTR), ErrorCode::kIo);
  EXPECT_EQ(PosixError("write", "/p", ENOSPC).message,
            "cannot write '/p': No space left on device");
  for (const int number : {ENOSPC, EDQUOT, EACCES, EPERM, EROFS, EMFILE, EIO}) {
    EXPECT_FALSE(PosixError("write", "/p", number).hint.empty()) << number;
  }
}

}  // namespace
}  // namespace duramen
