// Memory that is taken away under its reader. Each SIGBUS here is a true one.
#include "shm/guarded_copy.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <thread>
#include <vector>

#include "base/descriptor.h"
#include "base/shared_memory.h"
#include "shm/sealed_memory.h"

namespace duramen::shm {
namespace {

constexpr std::size_t kPage = 4096;

/// Memory without seals, which can be cut under its map.
struct Loose {
  explicit Loose(std::size_t pages) {
    EXPECT_EQ(::ftruncate(fd.get(), static_cast<off_t>(pages * kPage)), 0);
    memory = SharedMemory::Map(fd.get(), pages * kPage).value();
    std::fill(memory.bytes().begin(), memory.bytes().end(), std::byte{7});
  }
  void Cut(std::size_t pages) {
    ASSERT_EQ(::ftruncate(fd.get(), static_cast<off_t>(pages * kPage)), 0);
  }
  Descriptor fd{::memfd_create("loose", MFD_CLOEXEC)};
  SharedMemory memory;
};

std::uint8_t ByteAt(const SharedMemory& memory, std::size_t offset) {
  return *reinterpret_cast<const volatile std::uint8_t*>(memory.bytes().data() + offset);
}

TEST(GuardedCopy, C12_CopiesWhatIsInsideAndNothingElse) {
  const BusGuard guard;
  const Loose loose(4);
  const GuardedRegion region = GuardedRegion::Over(loose.memory.bytes()).value();
  std::vector<std::byte> out(300);
  ASSERT_TRUE(region.Copy(kPage - 100, out).ok());
  EXPECT_EQ(out, std::vector<std::byte>(300, std::byte{7}));
  ASSERT_TRUE(region.Copy(4 * kPage - 300, out).ok());
  ASSERT_TRUE(region.Copy(4 * kPage, {}).ok());
  constexpr std::uint64_t kEnd = 4 * kPage;
  constexpr std::uint64_t kLast = ~std::uint64_t{0};
  for (const std::uint64_t offset : {kEnd - 299, kEnd + 1, kLast, kLast - 298}) {
    EXPECT_EQ(region.Copy(offset, out).error().code, ErrorCode::kOutOfRange) << offset;
  }
  std::vector<std::byte> large(4 * kPage + 1);
  EXPECT_EQ(region.Copy(0, large).error().code, ErrorCode::kOutOfRange);
  EXPECT_EQ(region.lost_pages(), 0u);
}

TEST(GuardedCopy, P4_C12_MemoryCutUnderTheMapIsAnErrorAndNobodyEnds) {
  const BusGuard guard;
  Loose loose(4);
  const Loose other(1);
  const GuardedRegion region = GuardedRegion::Over(loose.memory.bytes()).value();
  const GuardedRegion untouched = GuardedRegion::Over(other.memory.bytes()).value();
  loose.Cut(2);
  std::vector<std::byte> out(3 * kPage);
  ASSERT_TRUE(region.Copy(kPage, std::span(out).first(kPage)).ok());
  const Status lost = region.Copy(kPage, out);
  ASSERT_FALSE(lost.ok());
  EXPECT_EQ(lost.error().code, ErrorCode::kIo);
  EXPECT_EQ(region.lost_pages(), 2u);
  // The rest still is there, but the region is not believed any more.
  EXPECT_EQ(ByteAt(loose.memory, kPage), 7u);
  EXPECT_FALSE(region.Copy(0, std::span(out).first(1)).ok());
  EXPECT_EQ(untouched.lost_pages(), 0u);
  EXPECT_TRUE(untouched.Copy(0, std::span(out).first(kPage)).ok());
}

TEST(GuardedCopy, P4_C12_AnyPlainReadOrStoreGoesOn) {
  const BusGuard guard;
  Loose loose(3);
  const GuardedRegion region = GuardedRegion::Over(loose.memory.bytes()).value();
  loose.Cut(0);
  EXPECT_EQ(ByteAt(loose.memory, 5), 0u);
  loose.memory.bytes()[2 * kPage + 1] = std::byte{9};
  EXPECT_EQ(ByteAt(loose.memory, 2 * kPage + 1), 9u);
  EXPECT_EQ(region.lost_pages(), 2u);
}

TEST(GuardedCopy, P4_C12_ManyLostPagesAreOneMap) {
  const BusGuard guard;
  constexpr std::size_t kPages = 4096;
  Loose loose(kPages);
  const GuardedRegion region = GuardedRegion::Over(loose.memory.bytes()).value();
  loose.Cut(0);
  std::vector<std::byte> out(kPages * kPage);
  EXPECT_FALSE(region.Copy(0, out).ok());
  EXPECT_EQ(std::count(out.begin(), out.end(), std::byte{0}),
            static_cast<std::ptrdiff_t>(out.size()));
  EXPECT_GT(region.lost_pages(), 1u);
  EXPECT_LT(region.lost_pages(), 100u);
}

TEST(GuardedCopy, C12_AHoleInSealedMemoryReadsAsZerosAndLosesNothing) {
  const BusGuard guard;
  const SealedMemory sealed = SealedMemory::Create("ring", 4 * kPage).value();
  const GuardedRegion region = GuardedRegion::Over(sealed.bytes()).value();
  std::fill(sealed.bytes().begin(), sealed.bytes().end(), std::byte{7});
  ASSERT_EQ(::fallocate(sealed.fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, kPage, kPage), 0);
  std::vector<std::byte> out(kPage);
  ASSERT_TRUE(region.Copy(kPage, out).ok());
  EXPECT_EQ(out, std::vector<std::byte>(kPage));
  ASSERT_TRUE(region.Copy(0, out).ok());
  EXPECT_EQ(out, std::vector<std::byte>(kPage, std::byte{7}));
}

TEST(GuardedCopy, P4_C12_SeveralThreadsLoseTheSamePages) {
  const BusGuard guard;
  constexpr std::size_t kPages = 40;
  for (int round = 0; round < 50; ++round) {
    Loose loose(kPages);
    const GuardedRegion region = GuardedRegion::Over(loose.memory.bytes()).value();
    std::atomic<int> errors{0};
    loose.Cut(1);
    std::vector<std::thread> readers;
    for (int i = 0; i < 3; ++i) {
      readers.emplace_back([&] {
        std::vector<std::byte> out(kPages * kPage);
        errors += region.Copy(0, out).ok() ? 0 : 1;
      });
    }
    for (std::thread& reader : readers) reader.join();
    EXPECT_EQ(errors.load(), 3);
  }
}

TEST(GuardedCopy, C12_RegionsComeAndGo) {
  const BusGuard guard;
  const Loose loose(1);
  for (int round = 0; round < 2; ++round) {
    std::vector<GuardedRegion> regions;
    for (std::size_t i = 0; i < kGuardedRegionsMax; ++i) {
      regions.push_back(GuardedRegion::Over(loose.memory.bytes()).value());
    }
    EXPECT_EQ(GuardedRegion::Over(loose.memory.bytes()).error().code, ErrorCode::kOverloaded);
  }
  GuardedRegion first = GuardedRegion::Over(loose.memory.bytes()).value();
  first = GuardedRegion::Over(loose.memory.bytes()).value();
  std::vector<std::byte> out(1);
  EXPECT_TRUE(first.Copy(0, out).ok());
}

std::atomic<int> former_calls{0};

TEST(GuardedCopy, C12_AnotherSigbusGoesToTheFormerHandler) {
  struct sigaction before = {};
  struct sigaction mine = {};
  mine.sa_handler = [](int) { ++former_calls; };
  ASSERT_EQ(::sigaction(SIGBUS, &mine, &before), 0);
  {
    const BusGuard guard;
    ::raise(SIGBUS);
    EXPECT_EQ(former_calls.load(), 1);
  }
  struct sigaction after = {};
  ASSERT_EQ(::sigaction(SIGBUS, &before, &after), 0);
  EXPECT_EQ(after.sa_handler, mine.sa_handler);  // Back in its place.
}

/// As a process has it that nobody prepared, whatever a sanitizer put there.
void UsualSigbus() { ::signal(SIGBUS, SIG_DFL); }

TEST(GuardedCopyDeathTest, C12_AnotherSigbusEndsTheProcessAsWithoutAGuard) {
  Loose loose(2);
  Loose guarded_one(2);
  const auto touch = [&](auto how) {
    UsualSigbus();
    const BusGuard guard;
    const GuardedRegion region = GuardedRegion::Over(guarded_one.memory.bytes()).value();
    how();
  };
  EXPECT_EXIT(touch([&] {
                loose.Cut(1);
                (void)ByteAt(loose.memory, kPage);
              }),
              ::testing::KilledBySignal(SIGBUS), "");
  EXPECT_EXIT(touch([] { ::raise(SIGBUS); }), ::testing::KilledBySignal(SIGBUS), "");
}

TEST(GuardedCopyDeathTest, C12_AnEndedRegionIsNotGuarded) {
  Loose loose(2);
  EXPECT_EXIT(
      {
        UsualSigbus();
        const BusGuard guard;
        { const GuardedRegion region = GuardedRegion::Over(loose.memory.bytes()).value(); }
        loose.Cut(1);
        (void)ByteAt(loose.memory, kPage);
      },
      ::testing::KilledBySignal(SIGBUS), "");
}

}  // namespace
}  // namespace duramen::shm
