// What a zstd frame is believed before any memory is taken for it.
#include "base/zstd.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/bytes.h"
#include "base/rng.h"

namespace duramen {
namespace {

constexpr std::uint32_t kBlockMax = 128 << 10;  // RFC 8878: what one block becomes

/// Magic, a descriptor with four bytes of size and no window; then blocks that each repeat a byte.
std::vector<std::byte> Frame(std::uint32_t says_bytes, std::uint32_t blocks) {
  std::vector<std::byte> frame(9 + 4 * blocks);
  StoreLe(frame.data(), std::uint32_t{0xFD2FB528});
  frame[4] = std::byte{0xA0};
  StoreLe(frame.data() + 5, says_bytes);
  for (std::uint32_t block = 0; block < blocks; ++block) {
    const std::uint32_t last = block + 1 == blocks ? 1 : 0;
    StoreLe(frame.data() + 9 + std::size_t{4} * block, last | 1 << 1 | kBlockMax << 3 | 7U << 24);
  }
  return frame;
}

TEST(Zstd, PW14_SG5_NoFrameIsBelievedMoreThanItsBlocksCanHold) {
  for (const std::uint32_t blocks : {1U, 2U, 100U}) {
    SCOPED_TRACE(blocks);
    const auto whole = static_cast<std::uint32_t>(blocks * kBlockMax);
    const std::vector<std::byte> frame = Frame(whole, blocks);
    EXPECT_TRUE(ZstdHolds(frame, whole));
    std::vector<std::byte> out(whole);
    EXPECT_TRUE(ZstdDecompress(frame, out)) << "no test of ours, but of zstd";
    // Its own bytes may be blocks, as far as is known without looking.
    const auto most = static_cast<std::uint32_t>(frame.size() / 4 * kBlockMax);
    EXPECT_TRUE(ZstdHolds(Frame(most, blocks), most));
    for (const std::uint32_t lie : {most + 1, 1U << 28, UINT32_MAX}) {
      EXPECT_FALSE(ZstdHolds(Frame(lie, blocks), lie)) << lie;
    }
  }
}

TEST(Zstd, PW14_SG5_WhatWeCompressIsBelievedInItsSizeAlone) {
  Rng rng(3);
  std::vector<std::byte> noise(3 << 20);
  for (std::byte& one : noise) one = static_cast<std::byte>(rng.Next());
  const std::vector<std::byte> zeros(3 << 20);
  ZstdCompressor zstd;
  for (const std::size_t bytes : {std::size_t{1}, std::size_t{999}, std::size_t{kBlockMax},
                                  std::size_t{kBlockMax} + 1, std::size_t{1} << 20, zeros.size()}) {
    for (const Bytes raw : {Bytes(zeros).first(bytes), Bytes(noise).first(bytes)}) {
      std::vector<std::byte> packed(bytes + 4096);
      packed.resize(zstd.Compress(raw, packed));
      EXPECT_TRUE(ZstdHolds(packed, bytes));
      EXPECT_FALSE(ZstdHolds(packed, bytes + 1));
      EXPECT_FALSE(ZstdHolds(packed, bytes - 1));
      EXPECT_FALSE(ZstdHolds(Bytes(packed).first(packed.size() - 1), bytes));
    }
  }
}

}  // namespace
}  // namespace duramen
