// Compressed runs: what is written, what it reads as, and what damage and hostile sizes cost.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <set>

#include "segments/blocks.h"
#include "segments/reader.h"
#include "segments/scan.h"
#include "tests/segments/golden.h"
#include "tests/segments/read_back.h"

namespace duramen::segments::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

SegmentLimits Zstd(SegmentLimits limits = {}) {
  limits.compression = Compression::kZstd;
  return limits;
}

RunTable Walk(const Server& server, std::uint64_t number) {
  RunTable table{.context = {.number = number}};
  auto file = server.directory.Open(FileName(number), OpenFor::kRead).value();
  CHECK(WalkRuns(*file, Identity(), UINT64_MAX, table).ok());
  return table;
}

Result<ScanResult> Scan(const Server& server) {
  return ScanServer({.directory = server.directory,
                     .identity = Identity(),
                     .authority = server.flushed,
                     .begin = 1});
}

void ExpectAllReads(const Server& server, IndexRange range) {
  OpenFiles files(server.directory);
  ReadEntries read;
  ASSERT_TRUE(ExecutePlan(PlanRange(server.list, Identity(), range, UINT64_MAX), files, read).ok());
  ASSERT_EQ(read.entries.size(), range.size());
  for (const EntryView& entry : read.entries) {
    const Written& expected = server.model.at(entry.index);
    EXPECT_EQ(std::string(AsText(entry.payload)), expected.payload) << entry.index;
    EXPECT_EQ(entry.term, expected.term) << entry.index;
    EXPECT_EQ(entry.kind, expected.kind) << entry.index;
  }
}

std::string Noise(std::size_t bytes, std::uint64_t seed) {
  Rng rng(seed);
  std::string noise(bytes, '\0');
  for (char& one : noise) one = static_cast<char>(rng.Next());
  return noise;
}

/// Small blocks, several in a file; an overwrite cuts into one of the first file.
Server Specimen() {
  Server server(Zstd({.entries_max = 40, .block_bytes = 1200}));
  server.Flush(1, 0, Entries(1, 60, 1));
  server.Flush(35, 1, Entries(35, 40, 2));
  return server;
}

/// Gives a run of file 1 the header that `change` makes of its own, at both ends.
template <typename Change>
void ChangeRun(Server& server, std::size_t at, Change change) {
  RunTable table = Walk(server, 1);
  const RunPlace run = table.runs[at];
  std::byte* begin = server.Bytes(1).data() + run.offset;
  const std::uint64_t footer = FooterOffset(run.header);
  for (const std::uint64_t from : {std::uint64_t{0}, footer}) {
    change(begin + from);
    const std::uint64_t seed = SeedAt(table.context.seed, run.offset + from);
    StoreLe(begin + from + 8, ChecksumAround({begin + from, kRunHeaderBytes}, 8, seed));
  }
}

TEST(SegmentCompression, SG5_WhatShrinksIsCompressedAndReadsAsWritten) {
  Server plain;
  plain.Flush(1, 0, Entries(1, 4000, 1, 300));
  Server server(Zstd());
  server.Flush(1, 0, Entries(1, 2000, 1, 300));
  server.Flush(2001, 0, Entries(2001, 2000, 1, 300));  // Behind what is compressed, in one file.
  ASSERT_EQ(server.directory.files.size(), 1u);
  EXPECT_LT(server.Bytes(1).size() * 4, plain.Bytes(1).size());
  const RunTable table = Walk(server, 1);
  EXPECT_GT(table.runs.size(), 5u);
  for (const RunPlace& run : table.runs) {
    EXPECT_EQ(run.header.compression, Compression::kZstd);
    EXPECT_LE(run.header.raw_bytes, SegmentLimits().block_bytes);
    EXPECT_LT(run.header.records_bytes, run.header.raw_bytes);
  }
  ExpectAllReads(server, {1, 4001});
  ExpectAllReads(server, {777, 3001});
  const ScanResult scan = Scan(server).value();
  EXPECT_THAT(scan.findings, IsEmpty());
  EXPECT_TRUE(scan.may_append);
  EXPECT_TRUE(std::ranges::equal(scan.list.segments(), server.list.segments()));
  const VerifyResult verified = Verify(server, scan.list);
  EXPECT_THAT(verified.findings, IsEmpty());
  EXPECT_EQ(verified.entries, 4000u);
}

TEST(SegmentCompression, SG5_WhatDoesNotPayStaysAsItWasByteForByte) {
  Server plain;
  Server server(Zstd());
  for (Server* one : {&plain, &server}) {
    Batch batch;
    for (Index index = 1; index <= 300; ++index) batch.Add(index, 1, Noise(500, index));
    one->Flush(1, 0, batch);
    one->Flush(301, 0, Batch().Add(301, 1, "small"));
  }
  EXPECT_EQ(Walk(server, 1).runs.front().header.compression, Compression::kNone);
  ExpectAllReads(server, {1, 302});
  // Runs end where blocks do, so of the large round only what each run holds is the same.
  Server one_block(Zstd());
  Server one_run;
  for (Server* one : {&one_block, &one_run}) {
    one->Flush(1, 0, Batch().Add(1, 1, Noise(900, 1)).Add(2, 1, Noise(900, 2)));
  }
  EXPECT_EQ(one_block.Bytes(1), one_run.Bytes(1));
}

TEST(SegmentCompression, SG5_ABlockThatGainsLessThanAnEighthStaysRaw) {
  BlockPacker packer;
  // A part of `zeros` in noise: zstd leaves little of the zeros.
  const auto packed = [&](std::size_t zeros) {
    std::string text = Noise(8192 - zeros, 5) + std::string(zeros, '\0');
    return packer.Pack(AsBytes(text)).size();
  };
  EXPECT_EQ(packed(0), 0u);
  EXPECT_EQ(packed(1000), 0u);
  EXPECT_GT(packed(1100), 0u);
  EXPECT_LE(packed(1100), 8192u - 8192 / 8);
}

TEST(SegmentCompression, SG5_TheCountsSayWhatItGained) {
  Server server(Zstd());
  SegmentWriter writer = server.NewWriter();
  const Batch batch = Entries(1, 100, 1, 100);
  const Batch noise = Batch().Add(101, 2, Noise(1000, 3));
  ASSERT_TRUE(writer.Append(1, 0, batch.Records()).ok());
  ASSERT_TRUE(writer.Append(101, 0, noise.Records()).ok());
  const WrittenRound round = writer.Finish().value();
  const RunTable table = Walk(server, 1);
  ASSERT_EQ(table.runs.size(), 2u);
  EXPECT_EQ(round.packed_from_bytes,
            table.runs[0].header.raw_bytes + table.runs[1].header.raw_bytes);
  EXPECT_EQ(round.packed_to_bytes,
            table.runs[0].header.records_bytes + table.runs[1].header.records_bytes);
  EXPECT_EQ(round.bytes, server.Bytes(1).size());
  EXPECT_EQ(table.runs[1].header.compression, Compression::kNone);
}

TEST(SegmentCompression, SG5_AnEntryAboveABlockIsSeveralOfThem) {
  Server server(Zstd());
  std::string large(3 * kBlockBytesMax + 777, 'l');
  server.Flush(1, 0, Batch().Add(1, 1, "a").Add(2, 1, large).Add(3, 1, std::string(999, 'c')));
  const RunTable table = Walk(server, 1);
  ASSERT_EQ(table.runs.size(), 3u);
  EXPECT_GT(table.runs[1].header.raw_bytes, 3 * kBlockBytesMax);
  EXPECT_LT(server.Bytes(1).size(), 4000u);
  ExpectAllReads(server, {1, 4});
}

TEST(SegmentCompression, SG5_AFileMayHoldBoth) {
  Server server;
  server.Flush(1, 0, Entries(1, 50, 1));
  Server zstd(Zstd());
  zstd.directory.files = server.directory.files;
  zstd.list = server.list;
  zstd.flushed = server.flushed;
  zstd.model = server.model;
  zstd.next_number = server.next_number;
  zstd.Flush(51, 0, Entries(51, 50, 1));
  zstd.Flush(90, 1, Batch().Add(90, 2, "too small for a block"));
  ASSERT_EQ(zstd.directory.files.size(), 1u);
  EXPECT_EQ(Walk(zstd, 1).runs[1].header.compression, Compression::kZstd);
  EXPECT_EQ(Walk(zstd, 1).runs[2].header.compression, Compression::kNone);
  ExpectAllReads(zstd, {1, 91});
  ExpectAllReads(zstd, {40, 60});
  EXPECT_THAT(Scan(zstd)->findings, IsEmpty());
}

TEST(SegmentCompression, SG5_AReadOfLittleHoldsLittle) {
  Server server(Zstd());
  server.Flush(1, 0, Entries(1, 1000, 1, 200));
  OpenFiles files(server.directory);
  ReadEntries one;
  ASSERT_TRUE(ExecutePlan(PlanRange(server.list, Identity(), {500, 501}, 1), files, one).ok());
  ASSERT_EQ(one.buffers.size(), 1u);
  EXPECT_EQ(one.buffers[0].capacity(), one.entries[0].payload.size());
  ReadEntries some;
  ASSERT_TRUE(ExecutePlan(PlanRange(server.list, Identity(), {500, 520}, 1500), files, some).ok());
  EXPECT_EQ(some.entries.size(), 8u);
  EXPECT_LT(some.buffers[0].capacity(), 2500u);
  for (const EntryView& entry : some.entries) {
    EXPECT_EQ(std::string(AsText(entry.payload)), server.model.at(entry.index).payload);
  }
}

/// Room for so much, and what was ever taken of it at once.
struct Room final : ReadMemory {
  explicit Room(std::uint64_t room_bytes) : bytes(room_bytes) {}
  Status Take(std::uint64_t more) override {
    if (more > bytes - used) return Error{ErrorCode::kOverloaded, "no room", ""};
    used += more;
    peak = std::max(peak, used);
    return {};
  }
  void GiveBack(std::uint64_t less) override {
    CHECK(less <= used);
    used -= less;
  }
  std::uint64_t bytes;
  std::uint64_t used = 0;
  std::uint64_t peak = 0;
};

std::uint64_t BytesOf(const ReadEntries& read) {
  std::uint64_t bytes = 0;
  for (const std::vector<std::byte>& buffer : read.buffers) bytes += buffer.size();
  return bytes;
}

// Every bound, from none to more than it takes: a read that is refused has nothing, one that is not
// has counted what it holds.
TEST(SegmentCompression, SG5_B1_ABlockIsUnpackedWhereThereIsRoomForIt) {
  for (const Compression compression : {Compression::kNone, Compression::kZstd}) {
    SegmentLimits limits{.block_bytes = 1200};
    limits.compression = compression;
    Server server(limits);
    server.Flush(1, 0, Entries(1, 60, 1, 100));
    OpenFiles files(server.directory);
    std::size_t whole = 0;
    std::size_t some = 0;
    for (std::uint64_t bytes = 0; bytes < 40'000; bytes += 50) {
      SCOPED_TRACE(bytes);
      Room room(bytes);
      ReadEntries read{.memory = &room};
      const Status status =
          ExecutePlan(PlanRange(server.list, Identity(), {3, 61}, UINT64_MAX), files, read);
      ASSERT_EQ(room.used, BytesOf(read));
      if (status.ok()) {
        ASSERT_EQ(read.entries.size(), 58u);
        ++whole;
        continue;
      }
      ASSERT_EQ(status.error().code, ErrorCode::kOverloaded);
      some += read.entries.empty() ? 0 : 1;
      ASSERT_TRUE(bytes > 0 || read.buffers.empty());
    }
    EXPECT_GT(whole, 100u);
    EXPECT_GT(some, 10u) << "what fits is read";
  }
}

TEST(SegmentCompression, SG5_SparseRunsAreCompressedToo) {
  Server server(Zstd({.block_bytes = 1000}));
  SegmentWriter writer = server.NewWriter();
  Batch batch;
  std::vector<Index> wanted;
  for (Index index = 3; index < 120; index += 3) {
    batch.Add(index, 1, std::string(80, 's') + std::to_string(index));
    wanted.push_back(index);
  }
  server.PutSparse(writer, 0, batch);
  server.Commit(writer);
  const RunTable table = Walk(server, 1);
  ASSERT_GT(table.runs.size(), 2u);
  EXPECT_EQ(table.runs[1].header.compression, Compression::kZstd);
  OpenFiles files(server.directory);
  ReadEntries read;
  ASSERT_TRUE(ExecutePlan(PlanSparse(server.list, Identity(), wanted, 1 << 20), files, read).ok());
  ASSERT_EQ(read.entries.size(), wanted.size());
  for (const EntryView& entry : read.entries) {
    EXPECT_EQ(std::string(AsText(entry.payload)), server.sparse.at(entry.index).payload);
  }
  server.Bytes(1)[RecordsOffset(table.runs[1].offset) + 20] ^= std::byte{4};
  const VerifyResult verified = Verify(server, server.list);
  ASSERT_EQ(verified.findings.size(), 1u);
  EXPECT_TRUE(verified.findings[0].sparse_suspect);
  const std::vector<Index> lost{table.runs[1].header.first};
  EXPECT_EQ(ExecutePlan(PlanSparse(server.list, Identity(), lost, 1), files, read).error().code,
            ErrorCode::kCorruption);
}

TEST(SegmentCompression, SG5_G5_EveryFlippedByteIsFoundAndCostsItsBlockAlone) {
  Server server = Specimen();
  std::size_t blocks = 0;
  for (const SegmentSummary& segment : server.list.segments()) {
    const RunTable table = Walk(server, segment.number);
    FileBytes& bytes = server.Bytes(segment.number);
    for (std::size_t at = 0; at < bytes.size(); ++at) {
      SCOPED_TRACE(FileName(segment.number) + " byte " + std::to_string(at));
      std::set<Index> expected;
      bool compressed = true;
      for (const RunPlace& run : table.runs) {
        const std::uint64_t begin = RecordsOffset(run.offset);
        if (at < begin || at >= begin + run.header.records_bytes) continue;
        compressed = run.header.compression != Compression::kNone;
        if (!compressed) continue;  // Tested elsewhere.
        blocks += at == begin ? 1 : 0;
        for (Index i = run.header.first; i < run.header.end(); ++i) {
          if (server.model.at(i).term == run.header.term) expected.insert(i);
        }
      }
      bytes[at] ^= static_cast<std::byte>(1 << at % 8);
      const ScanResult scan = Scan(server).value();
      const VerifyResult verified = Verify(server, scan.list);
      EXPECT_FALSE(scan.findings.empty() && verified.findings.empty());
      EXPECT_THAT(scan.lost, IsEmpty());
      std::set<Index> blamed;
      for (const Finding& finding : verified.findings) {
        for (Index i = finding.lost.begin; i < finding.lost.end; ++i) blamed.insert(i);
      }
      if (compressed) {
        EXPECT_EQ(blamed, expected);
        EXPECT_EQ(Unreadable(server, scan.list), expected);
      }
      bytes[at] ^= static_cast<std::byte>(1 << at % 8);
      if (HasFailure()) return;
    }
  }
  EXPECT_GT(blocks, 4u);
}

TEST(SegmentCompression, SG5_A7_EveryCutIsDamageInExactlyTheBlocksThatAreMissing) {
  Server server(Zstd({.block_bytes = 1200}));
  server.Flush(1, 0, Entries(1, 50, 1));
  const FileBytes whole = server.Bytes(1);
  const RunTable table = Walk(server, 1);
  ASSERT_GT(table.runs.size(), 2u);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    SCOPED_TRACE(size);
    server.Bytes(1).assign(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    Index end = 51;
    for (const RunPlace& run : table.runs) {
      if (size < RecordsOffset(run.offset) + run.header.records_bytes) {
        end = std::min(end, run.header.first);
      }
    }
    const ScanResult scan = Scan(server).value();
    EXPECT_FALSE(scan.findings.empty());
    EXPECT_FALSE(scan.may_append);
    std::set<Index> lost;
    for (const IndexRange& range : scan.lost) {
      for (Index i = range.begin; i < range.end; ++i) lost.insert(i);
    }
    EXPECT_EQ(Unreadable(server, scan.list), lost);
    EXPECT_EQ(lost.empty() ? Index{51} : *lost.begin(), end);
    EXPECT_EQ(lost.size(), 51 - end);
    EXPECT_THAT(Verify(server, scan.list).findings.size(), ::testing::Le(3u));
    if (HasFailure()) return;
  }
}

TEST(SegmentCompression, SG5_AnUnknownMethodIsRefusedByName) {
  for (const std::uint8_t version : {std::uint8_t{2}, std::uint8_t{3}}) {
    Server server = Specimen();
    ChangeRun(server, 1, [&](std::byte* header) {
      header[4] = std::byte{version};
      header[7] = std::byte{9};
    });
    const std::string says = version == 2 ? "compressed by method 9" : "format version 3";
    const Result<ScanResult> scan = Scan(server);
    ASSERT_FALSE(scan.ok());
    EXPECT_EQ(scan.error().code, ErrorCode::kUnknownVersion);
    EXPECT_THAT(scan.error().message, HasSubstr("00000001.seg: run"));
    EXPECT_THAT(scan.error().message, HasSubstr(says));
    OpenFiles files(server.directory);
    ReadEntries read;
    const Status status = ExecutePlan(PlanRange(server.list, Identity(), {1, 2}, 1), files, read);
    EXPECT_EQ(status.error().code, ErrorCode::kUnknownVersion);
    EXPECT_THAT(status.error().message, HasSubstr(FileName(1)));
  }
}

// Right checksums over wrong sizes: a run says its raw size itself.
TEST(SegmentCompression, SG5_ASizeThatLiesTakesNoMemoryAndGivesNoEntry) {
  const auto with_raw_bytes = [](std::uint32_t bytes) {
    Server server = Specimen();
    ChangeRun(server, 0, [&](std::byte* header) { StoreLe(header + 76, bytes); });
    return server;
  };
  const RunHeader run = Walk(Specimen(), 1).runs[0].header;
  const auto raw = static_cast<std::uint32_t>(run.raw_bytes);
  for (const std::uint32_t bytes : {raw - 8, raw + 8, std::uint32_t{kBlockBytesMax}}) {
    SCOPED_TRACE(bytes);
    Server server = with_raw_bytes(bytes);
    const ScanResult scan = Scan(server).value();
    std::set<Index> all;
    for (Index i = run.first; i <= run.last; ++i) all.insert(i);
    EXPECT_EQ(Unreadable(server, scan.list), all);
    const VerifyResult verified = Verify(server, scan.list);
    ASSERT_FALSE(verified.findings.empty());
    EXPECT_EQ(verified.findings[0].lost, (IndexRange{run.first, run.end()}));
  }
  // More than a block for many entries, less than they take, or not less than is stored: no run.
  for (const std::uint32_t bytes : {std::uint32_t{kBlockBytesMax} + 8, UINT32_MAX - 7, 8U,
                                    static_cast<std::uint32_t>(run.records_bytes)}) {
    SCOPED_TRACE(bytes);
    Server server = with_raw_bytes(bytes);
    RunTable table = Walk(server, 1);
    EXPECT_EQ(table.gaps.size(), 1u);
  }
  // One entry may have as many blocks as the largest that there is; they have to be there.
  const auto of_one = [](std::uint32_t bytes) {
    Server server(Zstd());
    server.Flush(1, 0, Batch().Add(1, 1, std::string(9000, 'x')));
    ChangeRun(server, 0, [&](std::byte* header) { StoreLe(header + 76, bytes); });
    return server;
  };
  const Server larger = of_one(std::uint32_t{kPackedRunBytesMax} + 8);
  EXPECT_EQ(Walk(larger, 1).gaps.size(), 1u);
  const Server server = of_one(std::uint32_t{kPackedRunBytesMax});
  const RunTable table = Walk(server, 1);
  ASSERT_EQ(table.runs.size(), 1u);
  const auto file = server.directory.Open(FileName(1), OpenFor::kRead).value();
  const auto records = ReadRecords(*file, table.context, table.runs[0], UINT64_MAX);
  ASSERT_FALSE(records.ok());
  EXPECT_THAT(records.error().message, HasSubstr("no sensible size"));
}

// Whatever a block says under a right checksum, it fills its records exactly or is none.
TEST(SegmentCompression, SG5_HostileBlocksAreNoEntries) {
  Server server(Zstd());
  server.Flush(1, 0, Entries(1, 20, 1, 100));
  const FileBytes good = server.Bytes(1);
  const RunTable table = Walk(server, 1);
  const RunHeader& run = table.runs[0].header;
  const Bytes stored = Bytes(good).subspan(RecordsOffset(table.runs[0].offset), run.records_bytes);
  const auto unpack = [&](const FileBytes& packed, std::uint64_t raw_bytes) {
    RunHeader header = run;
    header.records_bytes = packed.size();
    header.raw_bytes = raw_bytes;
    header.records_checksum = ContentChecksum(packed, table.context, RecordsOffset(0));
    return Unpack(packed, header, table.context, 0);
  };
  const FileBytes packed(stored.begin(), stored.end());
  const auto whole = unpack(packed, run.raw_bytes);
  ASSERT_TRUE(whole.ok());
  EXPECT_FALSE(unpack(packed, run.raw_bytes + 8).ok());
  EXPECT_FALSE(unpack(packed, run.raw_bytes - 8).ok());
  EXPECT_FALSE(unpack({}, run.raw_bytes).ok());
  // Twenty kilobytes of blocks that are there, and are not what so many bytes come from.
  for (const std::uint64_t raw_bytes : {run.raw_bytes + 8, run.raw_bytes - 8, kRunBytesMax}) {
    FileBytes lie = packed;
    while (raw_bytes == kRunBytesMax && lie.size() < 20 << 10) {
      lie.insert(lie.end(), {std::byte{1}, {}, {}, {}, {}});
    }
    const auto records = unpack(lie, raw_bytes);
    ASSERT_FALSE(records.ok());
    EXPECT_THAT(records.error().message, HasSubstr("no sensible size")) << raw_bytes;
  }
  FileBytes longer = packed;
  longer.resize(packed.size() + 8);
  EXPECT_FALSE(unpack(longer, run.raw_bytes).ok());
  for (const std::uint32_t size : {0U, 1U, UINT32_MAX, static_cast<std::uint32_t>(packed.size())}) {
    FileBytes other = packed;
    StoreLe(other.data(), size);
    EXPECT_FALSE(unpack(other, run.raw_bytes).ok()) << size;
  }
  Rng rng(11);
  for (int round = 0; round < 2000; ++round) {
    FileBytes other = packed;
    other[4 + rng.Below(other.size() - 4)] = static_cast<std::byte>(rng.Next());
    const auto records = unpack(other, run.raw_bytes);
    EXPECT_TRUE(!records.ok() || records->size() == run.raw_bytes);
  }
}

TEST(SegmentCompression, SG5_PW6_AFileOfVersionTwoReadsAsEver) {
  std::ifstream in(std::string(DURAMEN_SOURCE_DIR) + "/tests/testdata/segments_v2/00000001.seg",
                   std::ios::binary);
  const std::string golden{std::istreambuf_iterator<char>(in), {}};
  ASSERT_FALSE(golden.empty());
  Server server = GoldenCompressedServer();
  // What zstd makes of the entries may change with its releases, and the file's size with it.
  server.Bytes(1).assign(AsBytes(golden).begin(), AsBytes(golden).end());
  const ScanResult scan =
      ScanServer({.directory = server.directory, .identity = Identity()}).value();
  EXPECT_THAT(scan.findings, IsEmpty());
  EXPECT_EQ(scan.list.Range(), (IndexRange{100, 160}));
  const RunTable table = Walk(server, 1);
  ASSERT_EQ(table.runs.size(), 3u);
  EXPECT_EQ(table.runs[0].header.compression, Compression::kZstd);
  EXPECT_EQ(table.runs[0].header.kind, RunKind::kSparse);
  EXPECT_EQ(table.runs[1].header.compression, Compression::kZstd);
  EXPECT_EQ(table.runs[2].header.compression, Compression::kNone);
  EXPECT_THAT(Unreadable(server, scan.list), IsEmpty());
  const VerifyResult verified = Verify(server, scan.list);
  EXPECT_THAT(verified.findings, IsEmpty());
  EXPECT_EQ(verified.entries, 80u);
  EXPECT_THAT(scan.list.FindSparse(7), ElementsAre(1u));
}

}  // namespace
}  // namespace duramen::segments::testing
