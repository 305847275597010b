// What a file system is, and what that means for data: said in one sentence or not at all.
#include "base/file_system_kind.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/posix_io.h"

namespace duramen {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(FileSystemKind, T4_WhatASyncIsWorthIsOneSentence) {
  const auto meaning = [](std::uint64_t magic) { return MeaningOf(FileSystemOf(magic), "/x"); };
  EXPECT_THAT(meaning(0x01021994), AllOf(StartsWith("'/x' is on tmpfs, which is memory"),
                                         HasSubstr("lost when the machine stops")));
  EXPECT_THAT(meaning(0x794C7630),
              AllOf(StartsWith("'/x' is on overlay"), HasSubstr("container is removed")));
  for (const auto& [magic, name] : {std::pair<std::uint64_t, const char*>{0x6969, "nfs"},
                                    {0xFF534D42, "cifs"},
                                    {0xFFFFFFFFFF534D42, "cifs"},  // As a signed word gives it.
                                    {0xFE534D42, "smb2"},
                                    {0x01021997, "9p"},
                                    {0x65735546, "fuse"},
                                    {0x00C36400, "ceph"}}) {
    EXPECT_THAT(meaning(magic), AllOf(StartsWith("'/x' is on " + std::string(name) + ":"),
                                      HasSubstr("cannot be seen from here")));
  }
  for (const std::uint64_t disk : {0xEF53ull, 0x58465342ull, 0x9123683Eull, 0x1234ull}) {
    EXPECT_EQ(meaning(disk), "");
  }
  EXPECT_EQ(FileSystemOf(0xEF53).name, "ext4");
  EXPECT_EQ(FileSystemOf(0x1234).name, "");
}

TEST(FileSystemKind, T4_ADirectoryKnowsItsOwn) {
  PosixFileSystem files;
  const FileSystemKind kind = files.Open("/dev/shm").value()->Kind();
  EXPECT_EQ(kind.what, FileSystemClass::kMemory);
  EXPECT_EQ(kind.name, "tmpfs");
}

}  // namespace
}  // namespace duramen
