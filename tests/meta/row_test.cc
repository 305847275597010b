#include "meta/row.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/bytes.h"

namespace duramen::meta {
namespace {

ServerUid Uid(std::uint8_t number) {
  ServerUid uid;
  uid.bytes.fill(number);
  return uid;
}

std::vector<Row> Samples() {
  return {
      IdentityRow{Uid(7), "log-1", "node@host", 0x1122334455667788, 42},
      IdentityRow{Uid(0), std::string(255, 'n'), "", 0, 0},
      VoteRow{9, "candidate"},
      VoteRow{UINT64_MAX, ""},
      LastAppliedRow{77},
      BoundsRow{11, 3, 1000, 8, 5},
      BoundsRow{},
      ValueRow{"key", std::string("\0binary\xFF", 8)},
      ValueRow{std::string(255, 'k'), std::string(65536, 'v')},
      ValueRow{"removed", ""},
      FaultyRow{90, 100, true, "wal damage"},
      FaultyRow{90, 0, false, ""},
      FaultyRow{},
      TombstoneRow{},
      FlushedRow{3, 4096, 1001, 8, 5},
      FlushedRow{2, 0, 1, 0, 7},
      FlushedRow{},
  };
}

std::uint8_t Number(const Row& row) { return static_cast<std::uint8_t>(KindOf(row)); }

TEST(Row, MD1_EveryKindSurvivesARoundTrip) {
  for (const Row& row : Samples()) {
    SCOPED_TRACE(RowKindName(KindOf(row)));
    const std::vector<std::byte> bytes = EncodeRow(row);
    const Result<Row> decoded = DecodeRow(Number(row), bytes);
    ASSERT_TRUE(decoded.ok()) << decoded.error().message;
    EXPECT_EQ(*decoded, row);
    EXPECT_EQ(EncodeRow(*decoded), bytes);
  }
}

// The layout is on disk: these bytes never change (FORMAT.md).
TEST(Row, MD1_BytesAreThoseOfTheFormat) {
  const auto hex = [](const Row& row) {
    std::string text;
    for (const std::byte byte : EncodeRow(row)) {
      const auto value = std::to_integer<unsigned>(byte);
      text += "0123456789abcdef"[value / 16];
      text += "0123456789abcdef"[value % 16];
    }
    return text;
  };
  EXPECT_EQ(hex(IdentityRow{Uid(0xAB), "ab", "c", 0x0102, 3}),
            "01"
            "abababababababababababababababab"
            "02000000"
            "6162"
            "01000000"
            "63"
            "0201000000000000"
            "0300000000000000");
  EXPECT_EQ(hex(VoteRow{2, "x"}),
            "01"
            "0200000000000000"
            "01000000"
            "78");
  EXPECT_EQ(hex(LastAppliedRow{258}),
            "01"
            "0201000000000000");
  EXPECT_EQ(hex(BoundsRow{1, 0, 5, 2, 3}),
            "01"
            "0100000000000000"
            "0000000000000000"
            "0500000000000000"
            "0200000000000000"
            "0300000000000000");
  EXPECT_EQ(hex(ValueRow{"k", "v"}),
            "01"
            "01000000"
            "6b"
            "01000000"
            "76");
  EXPECT_EQ(hex(FaultyRow{1, 2, true, "r"}),
            "01"
            "0100000000000000"
            "0200000000000000"
            "01"
            "01000000"
            "72");
  EXPECT_EQ(hex(TombstoneRow{}), "01");
  EXPECT_EQ(hex(FlushedRow{3, 0x1000, 9, 2, 4, 7}),
            "01"
            "0300000000000000"
            "0010000000000000"
            "0900000000000000"
            "0200000000000000"
            "0400000000000000"
            "0700000000000000");
}

TEST(Row, MD2_NoPrefixAndNoExtensionDecodes) {
  for (const Row& row : Samples()) {
    SCOPED_TRACE(RowKindName(KindOf(row)));
    std::vector<std::byte> bytes = EncodeRow(row);
    const std::size_t step = bytes.size() > 1000 ? 997 : 1;
    for (std::size_t size = 0; size < bytes.size(); size += step) {
      const Result<Row> cut = DecodeRow(Number(row), Bytes(bytes).first(size));
      ASSERT_FALSE(cut.ok()) << size;
      EXPECT_EQ(cut.error().code, ErrorCode::kCorruption);
    }
    bytes.push_back(std::byte{0});
    const Result<Row> longer = DecodeRow(Number(row), bytes);
    ASSERT_FALSE(longer.ok());
    EXPECT_EQ(longer.error().code, ErrorCode::kCorruption);
  }
}

// Every byte set to every hostile value: an error, or a row that encodes to exactly these bytes.
TEST(Row, MD2_HostileBytesNeverDecodeToSomethingElse) {
  for (const Row& row : Samples()) {
    const std::vector<std::byte> bytes = EncodeRow(row);
    const std::size_t checked = std::min<std::size_t>(bytes.size(), 400);
    for (std::size_t at = 0; at < checked; ++at) {
      for (const unsigned value : {0x00u, 0x01u, 0x7Fu, 0x80u, 0xFFu}) {
        std::vector<std::byte> hostile = bytes;
        hostile[at] = static_cast<std::byte>(value);
        for (std::uint8_t kind = 0; kind <= kLastRowKind + 1; ++kind) {
          const Result<Row> decoded = DecodeRow(kind, hostile);
          if (decoded.ok()) {
            EXPECT_EQ(EncodeRow(*decoded), hostile);
          }
        }
      }
    }
  }
}

TEST(Row, MD2_ALengthIsCheckedBeforeItIsBelieved) {
  std::vector<std::byte> bytes;
  ByteWriter out(bytes);
  out.Put<std::uint8_t>(1);
  out.Put<std::uint64_t>(5);
  out.Put<std::uint32_t>(UINT32_MAX);
  const Result<Row> vote = DecodeRow(static_cast<std::uint8_t>(RowKind::kVote), bytes);
  ASSERT_FALSE(vote.ok());
  EXPECT_EQ(vote.error().code, ErrorCode::kCorruption);
}

TEST(Row, MD2_OverALimitIsCorruptOnDiskAndTooLargeFromACaller) {
  const Row large = VoteRow{1, std::string(256, 'v')};
  EXPECT_EQ(ValidateRow(large).error().code, ErrorCode::kTooLarge);
  EXPECT_EQ(ValidateRow(ValueRow{"k", std::string(65537, 'v')}).error().code, ErrorCode::kTooLarge);
  EXPECT_EQ(ValidateRow(ValueRow{"", "v"}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(ValidateRow(IdentityRow{}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(ValidateRow(BoundsRow{5, 0, 4, 0, 0}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(ValidateRow(BoundsRow{0, 0, 4, 0, 0}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(ValidateRow(FaultyRow{5, 4, false, ""}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(ValidateRow(FaultyRow{0, 4, false, ""}).error().code, ErrorCode::kInvalidArgument);
  std::vector<std::byte> bytes;
  ByteWriter out(bytes);
  out.Put<std::uint8_t>(1);
  out.Put<std::uint64_t>(1);
  out.PutString(std::string(256, 'v'));
  EXPECT_EQ(DecodeRow(2, bytes).error().code, ErrorCode::kCorruption);
}

// [A6] The row is the authority over segments; one that counts entries into no segment is none.
TEST(Row, A6_FlushedEntriesHaveASegment) {
  for (const Row& row : {Row(FlushedRow{0, 1, 1, 0, 0}), Row(FlushedRow{0, 0, 2, 0, 0}),
                         Row(FlushedRow{0, 0, 1, 1, 0}), Row(FlushedRow{1, 1, 0, 0, 0})}) {
    EXPECT_EQ(ValidateRow(row).error().code, ErrorCode::kInvalidArgument);
  }
  EXPECT_TRUE(ValidateRow(FlushedRow{0, 0, 1, 0, 9}).ok()) << "an epoch without a flush";
}

TEST(Row, MD2_AnUnknownLayoutIsRefusedByName) {
  std::vector<std::byte> bytes = EncodeRow(VoteRow{1, "a"});
  bytes[0] = std::byte{2};
  const Result<Row> decoded = DecodeRow(2, bytes);
  ASSERT_FALSE(decoded.ok());
  EXPECT_EQ(decoded.error().code, ErrorCode::kUnknownVersion);
  EXPECT_NE(decoded.error().message.find("vote"), std::string::npos);
  EXPECT_NE(decoded.error().message.find("layout 2"), std::string::npos);
}

TEST(Row, MD1_TheLargestRowFitsItsMaximum) {
  const Row largest = ValueRow{std::string(255, 'k'), std::string(65536, 'v')};
  EXPECT_EQ(EncodeRow(largest).size(), kRowBytesMax);
}

}  // namespace
}  // namespace duramen::meta
