#include "meta/checkpoint.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

#include "base/bytes.h"
#include "base/checksum.h"
#include "tests/meta/checkpoint_samples.h"

namespace duramen::meta {
namespace {

using Buffer = std::vector<std::byte>;

Buffer Encode(const SampleCheckpoint& sample) {
  return EncodeCheckpoint(SampleSystem(), sample.content());
}

Result<DecodedCheckpoint> Decode(Bytes bytes) { return DecodeCheckpoint(bytes, SampleSystem()); }

void ExpectSameServers(const std::vector<CheckpointServer>& found,
                       const std::vector<CheckpointServer>& wanted) {
  ASSERT_EQ(found.size(), wanted.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    EXPECT_EQ(found[i].uid, wanted[i].uid);
    EXPECT_EQ(RowBytes(found[i]), RowBytes(wanted[i])) << i;
  }
}

/// Where the record of each server begins, and at the end where the last one ends.
std::vector<std::uint64_t> RecordOffsets(const SampleCheckpoint& sample) {
  std::vector<std::uint64_t> offsets{kCheckpointHeaderBytes};
  for (const CheckpointServer& server : sample.servers) {
    offsets.push_back(offsets.back() + 40 + RowBytes(server).size());
  }
  return offsets;
}

TEST(Checkpoint, M2_EverythingSurvivesARoundTrip) {
  for (const std::uint32_t count : {0u, 1u, 9u, 101u, 102u, 103u, 500u}) {
    SCOPED_TRACE(count);
    const SampleCheckpoint sample(count, 6);
    const Buffer bytes = Encode(sample);
    const Result<DecodedCheckpoint> decoded = Decode(bytes);
    ASSERT_TRUE(decoded.ok()) << decoded.error().message;
    EXPECT_TRUE(decoded->whole() && decoded->names_all());
    EXPECT_TRUE(decoded->damage.empty());
    EXPECT_EQ(decoded->sequence, 6u);
    EXPECT_EQ(decoded->covers, sample.content().covers);
    EXPECT_EQ(decoded->created_unix_ms, 1700000000000);
    EXPECT_EQ(decoded->highest_incarnation, count);
    EXPECT_EQ(decoded->size_bytes, bytes.size());
    EXPECT_EQ(*CheckpointBytes(Bytes(bytes).first(kCheckpointHeaderBytes), SampleSystem()),
              bytes.size());
    ExpectSameServers(decoded->servers, sample.servers);
  }
}

TEST(Checkpoint, M2_AStampKeepsItsSequenceAndStandsInTheCoveredFile) {
  const SampleCheckpoint sample(2, 6);
  const Result<DecodedCheckpoint> decoded = Decode(Encode(sample));
  const ServerRows& rows = decoded->servers[0].rows;
  EXPECT_EQ(rows.stamp(RowKind::kFlushed).sequence, 7u);
  EXPECT_EQ(rows.stamp(RowKind::kFlushed).file, 6u);
  EXPECT_EQ(rows.values.at("key").stamp.sequence, 5u);
  EXPECT_EQ(rows.values.at("removed").value, "");
  EXPECT_EQ(rows.highest_sequence, 7u);
  EXPECT_EQ(rows.flushed, sample.servers[0].rows.flushed);
  EXPECT_FALSE(rows.has(RowKind::kFaulty));
}

// A full directory behind the last row, a file that is larger: the same checkpoint.
TEST(Checkpoint, B3_BytesBehindTheCheckpointAreIgnored) {
  const SampleCheckpoint sample(4, 6);
  Buffer bytes = Encode(sample);
  bytes.resize(bytes.size() + 70000, std::byte{0xEE});
  const Result<DecodedCheckpoint> decoded = Decode(bytes);
  ASSERT_TRUE(decoded.ok());
  EXPECT_TRUE(decoded->whole() && decoded->damage.empty());
}

// Every byte changed in three ways: the server whose rows it is in is named and lost, and nobody
// else; a byte of anything else loses nothing.
TEST(Checkpoint, M3_EveryByteHasExactlyOneOwner) {
  const SampleCheckpoint sample(6, 3);
  const Buffer bytes = Encode(sample);
  const std::vector<std::uint64_t> offsets = RecordOffsets(sample);
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    for (const unsigned flip : {0x01u, 0x80u, 0xFFu}) {
      Buffer damaged = bytes;
      damaged[at] ^= static_cast<std::byte>(flip);
      const Result<DecodedCheckpoint> decoded = Decode(damaged);
      ASSERT_TRUE(decoded.ok()) << at << decoded.error().message;
      ASSERT_EQ(decoded->damage.size(), 1u) << at;
      const CheckpointDamage& damage = decoded->damage[0];
      ASSERT_LE(damage.offset, at);
      ASSERT_GT(damage.offset + damage.bytes, at);
      const auto next = std::upper_bound(offsets.begin(), offsets.end(), at);
      const bool in_record = next != offsets.begin() && next != offsets.end();
      const auto owner = static_cast<std::size_t>(next - offsets.begin()) - 1;
      if (!in_record || at < offsets[owner] + 40) {
        ASSERT_TRUE(decoded->whole()) << at;
        ASSERT_EQ(decoded->servers.size(), sample.servers.size());
        continue;
      }
      ASSERT_TRUE(damage.row_lost) << at;
      ASSERT_EQ(damage.uid, sample.servers[owner].uid) << at;
      std::vector<CheckpointServer> others = sample.servers;
      others.erase(others.begin() + static_cast<std::ptrdiff_t>(owner));
      ASSERT_NO_FATAL_FAILURE(ExpectSameServers(decoded->servers, others));
    }
  }
}

// A whole sector gone, at every sector: only servers with bytes in it, by name unless the directory
// is gone too.
TEST(Checkpoint, M3_ALostSectorCostsItsOwners) {
  const SampleCheckpoint sample(300, 3);
  const Buffer bytes = Encode(sample);
  const std::vector<std::uint64_t> offsets = RecordOffsets(sample);
  for (std::size_t sector = 0; sector < bytes.size(); sector += 512) {
    Buffer damaged = bytes;
    std::fill_n(damaged.begin() + static_cast<std::ptrdiff_t>(sector), 512, std::byte{0x77});
    const Result<DecodedCheckpoint> decoded = Decode(damaged);
    ASSERT_TRUE(decoded.ok()) << sector;
    std::set<ServerUid> lost;
    for (const CheckpointDamage& damage : decoded->damage) {
      ASSERT_TRUE(!damage.row_lost || damage.uid) << sector;
      if (damage.row_lost) lost.insert(*damage.uid);
    }
    ASSERT_EQ(lost.size() + decoded->servers.size(), 300u);
    for (std::size_t i = 0; i < 300; ++i) {
      const bool touched = offsets[i] < sector + 512 && offsets[i + 1] > sector;
      ASSERT_TRUE(touched || lost.count(sample.servers[i].uid) == 0) << sector << " " << i;
    }
  }
}

TEST(Checkpoint, M3_WithRecordAndDirectoryGoneTheRowsBehindAreFound) {
  const SampleCheckpoint sample(300, 3);
  Buffer bytes = Encode(sample);
  bytes[RecordOffsets(sample)[150]] ^= std::byte{1};
  bytes[bytes.size() - 2 * kCheckpointBlockBytes + 100] ^= std::byte{1};  // Rows 102 to 203.
  const Result<DecodedCheckpoint> decoded = Decode(bytes);
  ASSERT_TRUE(decoded.ok());
  EXPECT_FALSE(decoded->whole() || decoded->names_all());
  EXPECT_EQ(decoded->servers.size(), 150u + 300u - 204u);
  EXPECT_EQ(decoded->servers.back().uid, sample.servers.back().uid);
}

TEST(Checkpoint, M3_ACutFileKeepsTheRowsBeforeTheCut) {
  const SampleCheckpoint sample(120, 3);
  const Buffer bytes = Encode(sample);
  const std::vector<std::uint64_t> offsets = RecordOffsets(sample);
  for (std::size_t size = 0; size < bytes.size(); size += 61) {
    const Result<DecodedCheckpoint> decoded = Decode(Bytes(bytes).first(size));
    ASSERT_EQ(decoded.ok(), size >= kCheckpointBlockBytes) << size;
    if (!decoded.ok()) continue;
    const auto behind = std::upper_bound(offsets.begin(), offsets.end(), size);
    const auto kept = std::max<std::ptrdiff_t>(behind - offsets.begin() - 1, 0);
    ASSERT_EQ(decoded->servers.size(), static_cast<std::size_t>(kept)) << size;
  }
}

// M2: any mixture of two checkpoints in one file is the newer one, the older one, or not whole, and
// never gives a row that neither wrote under its own header.
TEST(Checkpoint, M2_AMixtureOfTwoIsNeverWhole) {
  const SampleCheckpoint before(6, 3);
  const SampleCheckpoint after(6, 5);
  const Buffer old_bytes = Encode(before);
  const Buffer new_bytes = Encode(after);
  ASSERT_EQ(old_bytes.size(), new_bytes.size());
  const std::size_t sectors = old_bytes.size() / 512;
  for (std::size_t from = 0; from <= sectors; ++from) {
    for (std::size_t to = from; to <= sectors; ++to) {
      Buffer mixed = old_bytes;
      std::copy(new_bytes.begin() + static_cast<std::ptrdiff_t>(from * 512),
                new_bytes.begin() + static_cast<std::ptrdiff_t>(to * 512),
                mixed.begin() + static_cast<std::ptrdiff_t>(from * 512));
      const Result<DecodedCheckpoint> decoded = Decode(mixed);
      ASSERT_TRUE(decoded.ok());
      const SampleCheckpoint& named = decoded->sequence == 3 ? before : after;
      ASSERT_EQ(decoded->covers, named.content().covers);
      for (const CheckpointServer& server : decoded->servers) {
        const auto same = [&](const auto& one) { return one.uid == server.uid; };
        const auto wrote = std::find_if(named.servers.begin(), named.servers.end(), same);
        ASSERT_EQ(RowBytes(server), RowBytes(*wrote));
      }
      if (decoded->whole()) {
        ASSERT_EQ(decoded->servers.size(), 6u);
      }
    }
  }
}

// Two attempts under one number (the first was lost before anyone saw its header) differ all the
// same: the rows of the first do not verify under the second.
TEST(Checkpoint, M2_RowsOfAnEarlierAttemptUnderTheSameNumberAreNotRead) {
  const SampleCheckpoint first(6, 3);
  SampleCheckpoint second = first;
  second.servers[0].rows.vote.term += 1;
  Buffer mixed = Encode(second);
  const Buffer earlier = Encode(first);
  const auto begin = static_cast<std::ptrdiff_t>(kCheckpointHeaderBytes);
  std::copy(earlier.begin() + begin, earlier.end(), mixed.begin() + begin);
  const Result<DecodedCheckpoint> decoded = Decode(mixed);
  ASSERT_TRUE(decoded.ok());
  EXPECT_TRUE(decoded->servers.empty());
  EXPECT_FALSE(decoded->whole());
}

TEST(Checkpoint, M2_AnInterruptedHeaderLeavesTheOlderOneIfItsRowsAreThere) {
  Buffer mixed = Encode(SampleCheckpoint(6, 3));
  const Buffer newer = Encode(SampleCheckpoint(6, 5));
  std::copy_n(newer.begin(), kCheckpointBlockBytes, mixed.begin());
  const Result<DecodedCheckpoint> decoded = Decode(mixed);
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(decoded->sequence, 3u);
  EXPECT_TRUE(decoded->whole());
  EXPECT_EQ(HighestCheckpointSequence(mixed, SampleSystem()), 5u);
  ASSERT_EQ(decoded->damage.size(), 1u);
  EXPECT_NE(decoded->damage[0].sentence.find("interrupted"), std::string::npos);
}

TEST(Checkpoint, A14_AnotherSystemsCheckpointIsNotRead) {
  const Buffer bytes = Encode(SampleCheckpoint(2, 3));
  const Result<DecodedCheckpoint> decoded = DecodeCheckpoint(bytes, SampleUid(1));
  ASSERT_FALSE(decoded.ok());
  EXPECT_EQ(decoded.error().code, ErrorCode::kCorruption);
  EXPECT_NE(decoded.error().message.find("another system"), std::string::npos);
}

/// Copy 0 of the header with one field changed and its checksum made right.
Buffer WithHeaderField(Buffer bytes, std::size_t at, std::uint64_t value) {
  StoreLe(bytes.data() + at, value);
  const auto sequence = LoadLe<std::uint64_t>(bytes.data() + 40);
  const std::uint64_t seed = SeedAt(FileSeed(SampleSystem(), FileKind::kCheckpoint, sequence), 0);
  StoreLe(bytes.data() + 16, Checksum(Bytes(bytes).subspan(24, kCheckpointBlockBytes - 24),
                                      Checksum(Bytes(bytes).first(16), seed)));
  return bytes;
}

TEST(Checkpoint, M2_AnUnknownVersionIsRefusedByName) {
  const Buffer bytes = WithHeaderField(Encode(SampleCheckpoint(2, 3)), 8, 2);
  const Result<DecodedCheckpoint> decoded = Decode(bytes);
  ASSERT_FALSE(decoded.ok());
  EXPECT_EQ(decoded.error().code, ErrorCode::kUnknownVersion);
  EXPECT_NE(decoded.error().message.find("version 2"), std::string::npos);
}

// Hostile fields under a right checksum: rows, directory offset, size, life.
TEST(Checkpoint, M2_NoFieldIsBelievedBeyondTheFile) {
  const SampleCheckpoint sample(3, 3);
  const Buffer bytes = Encode(sample);
  for (const std::size_t at : {40u, 96u, 104u, 112u, 120u}) {
    for (const std::uint64_t value :
         {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{4}, std::uint64_t{4096},
          std::uint64_t{12288}, std::uint64_t{1} << 40, UINT64_MAX, UINT64_MAX - 4095}) {
      Buffer hostile = WithHeaderField(bytes, at, value);
      std::fill_n(hostile.begin() + kCheckpointBlockBytes, 8, std::byte{0});  // Only copy 0.
      const Result<DecodedCheckpoint> decoded = Decode(hostile);
      if (decoded.ok() && decoded->whole()) {
        ASSERT_NO_FATAL_FAILURE(ExpectSameServers(decoded->servers, sample.servers));
      }
    }
  }
}

std::string Hex(Bytes bytes) {
  std::string text;
  for (const std::byte byte : bytes) {
    const auto value = std::to_integer<unsigned>(byte);
    text += "0123456789abcdef"[value / 16];
    text += "0123456789abcdef"[value % 16];
  }
  return text;
}

/// Every word of eight bytes that is not zero, by offset.
constexpr const char* kGolden =
    "0 44555241434b5031\n"
    "8 0100000000000000\n"
    "16 91c1afd55a1f1d47\n"
    "24 5a5a5a5a5a5a5a5a\n"
    "32 5a5a5a5a5a5a5a5a\n"
    "40 1100000000000000\n"
    "48 0500000000000000\n"
    "56 0600000000000000\n"
    "64 0100000000000000\n"
    "72 0200000000000000\n"
    "80 0300000000000000\n"
    "88 0400000000000000\n"
    "96 0100000000000000\n"
    "104 0030000000000000\n"
    "112 0040000000000000\n"
    "120 54e97384961160f9\n"
    "4096 44555241434b5031\n"
    "4104 0100000000000000\n"
    "4112 602972c1b6a82219\n"
    "4120 5a5a5a5a5a5a5a5a\n"
    "4128 5a5a5a5a5a5a5a5a\n"
    "4136 1100000000000000\n"
    "4144 0500000000000000\n"
    "4152 0600000000000000\n"
    "4160 0100000000000000\n"
    "4168 0200000000000000\n"
    "4176 0300000000000000\n"
    "4184 0400000000000000\n"
    "4192 0100000000000000\n"
    "4200 0030000000000000\n"
    "4208 0040000000000000\n"
    "4216 54e97384961160f9\n"
    "8192 abababababababab\n"
    "8200 abababababababab\n"
    "8208 2300000000000000\n"
    "8216 4c9f10da2d45131d\n"
    "8224 78737513439c4043\n"
    "8232 0900000000000000\n"
    "8240 0204000000000000\n"
    "8248 000e000000010200\n"
    "8256 0000000000000100\n"
    "8264 0000780000000000\n"
    "12288 01eb6a31e34a4cef\n"
    "12296 abababababababab\n"
    "12304 abababababababab\n"
    "12312 0020000000000000\n"
    "12320 2300000000000000\n"
    "12328 4c9f10da2d45131d\n";

// The layout is on disk: these bytes never change (FORMAT.md). What is not shown is zero.
TEST(Checkpoint, M2_BytesAreThoseOfTheFormat) {
  CheckpointServer server;
  server.uid.bytes.fill(0xAB);
  server.rows.vote = {2, "x"};
  server.rows.stamp(RowKind::kVote).sequence = 4;
  server.rows.highest_sequence = 9;
  const Buffer bytes = EncodeCheckpoint(SampleSystem(), {.sequence = 0x11,
                                                         .covers = {1, 2, 3, 4},
                                                         .created_unix_ms = 5,
                                                         .highest_incarnation = 6,
                                                         .servers = {&server, 1}});
  ASSERT_EQ(bytes.size(), 4 * kCheckpointBlockBytes);
  const Bytes all(bytes);
  std::string shown;
  for (std::size_t at = 0; at < bytes.size(); at += 8) {
    const std::string word = Hex(all.subspan(at, 8));
    if (word != std::string(16, '0')) shown += std::to_string(at) + " " + word + "\n";
  }
  EXPECT_EQ(shown, kGolden);
  const Result<DecodedCheckpoint> decoded = Decode(bytes);
  ASSERT_TRUE(decoded.ok());
  EXPECT_TRUE(decoded->whole());
}

}  // namespace
}  // namespace duramen::meta
