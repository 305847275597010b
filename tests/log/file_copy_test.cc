// Sums, comparisons and copies of whole files: what holes cost, and what bad sectors do.
#include "log/file_copy.h"

#include <gtest/gtest.h>

#include "log/repair_format.h"
#include "sim/sim_file_system.h"

namespace duramen::log {
namespace {

constexpr std::uint64_t kLarge = 4ull << 30;  // 16384 pieces
constexpr std::uint64_t kMiddle = kLarge / 2 + 12345;

class FileCopy : public ::testing::Test {
 protected:
  FileCopy() { EXPECT_TRUE(disk_.CreateDirectories("/d").ok()); }

  std::unique_ptr<File> Make(const std::string& name, std::uint64_t size_bytes) {
    std::unique_ptr<File> file = disk_.Open("/d").value()->Create(name).value();
    EXPECT_TRUE(file->Truncate(size_bytes).ok());
    return file;
  }
  std::uint64_t Reads() const {
    std::uint64_t calls = 0;
    for (const sim::Site& site : sites_.sites()) calls += site.operation == "read" ? site.calls : 0;
    return calls;
  }

  sim::SiteTable sites_;
  sim::SimFileSystem disk_{sim::DiskState(), sites_};
};

TEST_F(FileCopy, T6_HolesCostNoRead) {
  const auto file = Make("a", kLarge);
  const std::byte byte{7};
  ASSERT_TRUE(file->Write(kMiddle, Bytes(&byte, 1)).ok());
  const auto copy = Make("b", 0);
  const ContentSum copied = CopyContent(*file, *copy).value();
  EXPECT_EQ(copied.size_bytes, kLarge);
  EXPECT_EQ(SumOf(*file).value(), copied);
  EXPECT_EQ(SumOf(*copy).value(), copied);
  EXPECT_TRUE(SameContent(*file, *copy).value());
  EXPECT_LT(Reads(), 20u);
  const std::byte other{8};
  ASSERT_TRUE(copy->Write(kLarge - 1, Bytes(&other, 1)).ok());
  EXPECT_FALSE(SameContent(*file, *copy).value());
  EXPECT_FALSE(SumOf(*copy).value() == copied);
}

TEST_F(FileCopy, T6_WrittenZerosAreWhatAHoleIs) {
  constexpr std::uint64_t kSize = 3 * kContentPieceBytes + 5;
  const auto hole = Make("hole", kSize);
  const auto written = Make("written", 0);
  ASSERT_TRUE(written->Write(0, std::vector<std::byte>(kSize)).ok());
  EXPECT_EQ(SumOf(*hole).value(), SumOf(*written).value());
  EXPECT_TRUE(SameContent(*hole, *written).value());
  EXPECT_FALSE(SumOf(*Make("longer", kSize + 1)).value() == SumOf(*hole).value());
}

// A piece counts with its place: zeros before it leave no trace of their own.
TEST_F(FileCopy, T6_TheSamePieceInAnotherPlaceIsAnotherSum) {
  const std::vector<std::byte> piece(kContentPieceBytes, std::byte{3});
  const auto first = Make("first", 4 * kContentPieceBytes);
  const auto second = Make("second", 4 * kContentPieceBytes);
  ASSERT_TRUE(first->Write(kContentPieceBytes, piece).ok());
  ASSERT_TRUE(second->Write(2 * kContentPieceBytes, piece).ok());
  EXPECT_FALSE(SumOf(*first).value() == SumOf(*second).value());
}

TEST_F(FileCopy, T5_ABadSectorIsZerosInTheCopyAndInEverySum) {
  constexpr std::uint64_t kSize = 2 * kContentPieceBytes;
  const auto file = Make("a", 0);
  ASSERT_TRUE(file->Write(0, std::vector<std::byte>(kSize, std::byte{9})).ok());
  disk_.FailReads("/d/a", 8192 + 512, 8192 + 1024);
  const auto copy = Make("b", 0);
  const ContentSum copied = CopyContent(*file, *copy).value();
  EXPECT_EQ(copied.unreadable_bytes, 4096u);
  EXPECT_EQ(SumOf(*file).value(), copied);
  const ContentSum again = SumOf(*copy).value();
  EXPECT_EQ(again, copied);
  EXPECT_EQ(again.unreadable_bytes, 0u);
  std::vector<std::byte> bytes(kSize);
  ASSERT_EQ(copy->Read(0, bytes).value(), kSize);
  for (std::uint64_t at = 0; at < kSize; ++at) {
    ASSERT_EQ(bytes[at], std::byte(at / 4096 == 2 ? 0 : 9)) << at;
  }
}

}  // namespace
}  // namespace duramen::log
