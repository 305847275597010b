// Sealed memory between its maker and one who does not trust the maker.
#include "shm/sealed_memory.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

#include "tests/base/temp_dir.h"
#include "tests/shm/descriptors.h"

namespace duramen::shm {
namespace {

constexpr std::size_t kPage = 4096;
constexpr int kAll = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
constexpr Expected kAnySize{.bytes_min = kPage, .bytes_max = 64 * kPage};

Descriptor Copy(int fd) { return Descriptor(::dup(fd)); }

Descriptor Memfd(std::size_t size_bytes, int seals, unsigned flags = MFD_ALLOW_SEALING) {
  Descriptor fd(::memfd_create("test", flags | MFD_CLOEXEC));
  EXPECT_TRUE(fd.valid());
  EXPECT_EQ(::ftruncate(fd.get(), static_cast<off_t>(size_bytes)), 0);
  EXPECT_EQ(seals == 0 ? 0 : ::fcntl(fd.get(), F_ADD_SEALS, seals), 0);
  return fd;
}

/// The message of a refusal that takes no descriptor away; the code and a hint are checked here.
std::string Refusal(Descriptor fd, Expected expected = kAnySize) {
  const std::ptrdiff_t before = testing::OpenDescriptors();
  const bool was_open = ::fcntl(fd.get(), F_GETFD) >= 0;
  const Result<SealedMemory> memory = SealedMemory::Adopt(std::move(fd), expected);
  if (memory.ok()) return "taken";
  EXPECT_EQ(memory.error().code, ErrorCode::kInvalidArgument);
  EXPECT_FALSE(memory.error().hint.empty()) << memory.error().message;
  EXPECT_EQ(testing::OpenDescriptors(), before - (was_open ? 1 : 0));
  return memory.error().message;
}

TEST(SealedMemory, SW1_IsOneMemoryForItsMakerAndForWhoAdoptsIt) {
  const SealedMemory made = SealedMemory::Create("ring", 3 * kPage - 5).value();
  ASSERT_EQ(made.bytes().size(), 3 * kPage);
  const SealedMemory other = SealedMemory::Adopt(Copy(made.fd()), kAnySize).value();
  ASSERT_EQ(other.bytes().size(), 3 * kPage);
  for (const std::byte byte : other.bytes()) ASSERT_EQ(byte, std::byte{0});
  made.bytes()[kPage] = std::byte{7};
  other.bytes()[kPage + 1] = std::byte{8};
  EXPECT_EQ(other.bytes()[kPage], std::byte{7});
  EXPECT_EQ(made.bytes()[kPage + 1], std::byte{8});
}

TEST(SealedMemory, P4_ItsSizeAndSealsCannotBeChanged) {
  for (const WrittenBy written_by : {WrittenBy::kBoth, WrittenBy::kMaker}) {
    const SealedMemory made = SealedMemory::Create("ring", 2 * kPage, written_by).value();
    EXPECT_NE(::ftruncate(made.fd(), kPage), 0);
    EXPECT_NE(::ftruncate(made.fd(), 3 * kPage), 0);
    EXPECT_NE(::fcntl(made.fd(), F_ADD_SEALS, F_SEAL_WRITE), 0);
    EXPECT_NE(::fcntl(made.fd(), F_GETFD) & FD_CLOEXEC, 0);
  }
}

TEST(SealedMemory, SW5_WhatOnlyItsMakerWritesNobodyElseCan) {
  const SealedMemory made = SealedMemory::Create("told", kPage, WrittenBy::kMaker).value();
  const Expected read_only{.bytes_min = kPage, .bytes_max = kPage, .access = Access::kReadOnly};
  const SealedMemory other = SealedMemory::Adopt(Copy(made.fd()), read_only).value();
  made.bytes()[5] = std::byte{42};
  EXPECT_EQ(other.bytes()[5], std::byte{42});

  // By each way that a process has which got the descriptor, opened anew for writing too.
  const Descriptor again(::open(("/proc/self/fd/" + std::to_string(made.fd())).c_str(), O_RDWR));
  for (const int fd : {made.fd(), again.get()}) {
    if (fd < 0) continue;
    char byte = 1;
    EXPECT_LT(::pwrite(fd, &byte, 1, 0), 0);
    EXPECT_EQ(::mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
    EXPECT_NE(::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, kPage), 0);
  }
  EXPECT_NE(::mprotect(other.bytes().data(), kPage, PROT_READ | PROT_WRITE), 0);
  const Descriptor memory(::open("/proc/self/mem", O_RDWR));
  ASSERT_TRUE(memory.valid());
  char byte = 1;
  const auto at = static_cast<off_t>(reinterpret_cast<std::uintptr_t>(other.bytes().data()));
  EXPECT_LT(::pwrite(memory.get(), &byte, 1, at), 0);
  EXPECT_EQ(made.bytes()[0], std::byte{0});
  EXPECT_EQ(made.bytes()[5], std::byte{42});

  EXPECT_NE(Refusal(Copy(made.fd())).find("cannot be written"), std::string::npos);
}

TEST(SealedMemoryDeathTest, SW5_AStoreIntoReadOnlyMemoryEndsItsProcess) {
  const SealedMemory made = SealedMemory::Create("told", kPage, WrittenBy::kMaker).value();
  const Expected read_only{.bytes_min = kPage, .bytes_max = kPage, .access = Access::kReadOnly};
  const SealedMemory other = SealedMemory::Adopt(Copy(made.fd()), read_only).value();
  EXPECT_DEATH(*reinterpret_cast<volatile char*>(other.bytes().data()) = 1, "");
}

TEST(SealedMemory, P4_ADescriptorOfAnythingElseIsRefused) {
  const duramen::testing::TempDir directory;
  Descriptor file(::open((directory / "file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_EQ(::ftruncate(file.get(), 4 * kPage), 0);
  EXPECT_NE(Refusal(std::move(file)).find("no memfd"), std::string::npos);

  Descriptor named(::shm_open("/duramen-test-sealed", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  ::shm_unlink("/duramen-test-sealed");
  ASSERT_EQ(::ftruncate(named.get(), 4 * kPage), 0);
  EXPECT_NE(Refusal(std::move(named)), "taken");

  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  EXPECT_NE(Refusal(Descriptor(ends[0])).find("no memfd"), std::string::npos);
  EXPECT_NE(Refusal(Descriptor(ends[1])).find("no memfd"), std::string::npos);
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  EXPECT_NE(Refusal(Descriptor(ends[0])).find("no memfd"), std::string::npos);
  const Descriptor other_end(ends[1]);
  Descriptor folder(::open(directory.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  EXPECT_NE(Refusal(std::move(folder)).find("no memfd"), std::string::npos);
  EXPECT_NE(Refusal(Descriptor(::open("/dev/zero", O_RDWR))).find("no memfd"), std::string::npos);
  EXPECT_NE(Refusal(Descriptor(::open("/", O_PATH))), "taken");
  EXPECT_NE(Refusal(Descriptor(-1)), "taken");
}

TEST(SealedMemory, P4_EachMissingSealIsNamed) {
  EXPECT_NE(Refusal(Memfd(kPage, 0)).find("F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_SEAL"),
            std::string::npos);
  EXPECT_NE(Refusal(Memfd(kPage, kAll & ~F_SEAL_SHRINK)).find("lacks F_SEAL_SHRINK"),
            std::string::npos);
  EXPECT_NE(Refusal(Memfd(kPage, kAll & ~F_SEAL_GROW)).find("lacks F_SEAL_GROW"),
            std::string::npos);
  EXPECT_NE(Refusal(Memfd(kPage, kAll & ~F_SEAL_SEAL)).find("lacks F_SEAL_SEAL"),
            std::string::npos);
  EXPECT_NE(Refusal(Memfd(kPage, 0, 0)), "taken");  // Sealed against seals from birth.
  EXPECT_NE(Refusal(Memfd(kPage, kAll | F_SEAL_WRITE)).find("cannot be written"),
            std::string::npos);
  EXPECT_EQ(Refusal(Memfd(kPage, kAll)), "taken");
}

TEST(SealedMemory, P4_ASizeThatWasNotAskedForIsRefused) {
  EXPECT_NE(Refusal(Memfd(0, kAll)).find("0 bytes"), std::string::npos);
  EXPECT_NE(Refusal(Memfd(0, kAll), {.bytes_min = 0, .bytes_max = kPage}), "taken");
  EXPECT_NE(Refusal(Memfd(65 * kPage, kAll)).find("266240 bytes"), std::string::npos);
  EXPECT_NE(Refusal(Memfd(kPage, kAll), {.bytes_min = 2 * kPage, .bytes_max = 4 * kPage}), "taken");
  EXPECT_NE(Refusal(Memfd(kPage + 1, kAll)).find("whole pages"), std::string::npos);
  // A sparse file may claim anything; it is refused by its size, not mapped to see.
  EXPECT_NE(Refusal(Memfd(1ULL << 42, kAll)), "taken");
}

TEST(SealedMemory, P4_ADescriptorForReadingOnlyIsTakenForReadingOnly) {
  const Descriptor fd = Memfd(kPage, kAll);
  const std::string path = "/proc/self/fd/" + std::to_string(fd.get());
  EXPECT_NE(Refusal(Descriptor(::open(path.c_str(), O_RDONLY))).find("cannot be written"),
            std::string::npos);
  EXPECT_NE(Refusal(Descriptor(::open(path.c_str(), O_WRONLY))), "taken");
  Expected read_only = kAnySize;
  read_only.access = Access::kReadOnly;
  EXPECT_NE(Refusal(Descriptor(::open(path.c_str(), O_WRONLY)), read_only), "taken");
  EXPECT_EQ(Refusal(Descriptor(::open(path.c_str(), O_RDONLY)), read_only), "taken");
}

}  // namespace
}  // namespace duramen::shm
