// What a start makes of the files that are there, against what the durable row says.
#include "segments/scan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "segments/reader.h"
#include "tests/segments/read_back.h"
#include "tests/segments/specimen.h"

namespace duramen::segments::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

ScanResult Scan(const Server& server, bool with_authority = true, Index begin = 1) {
  ScanRequest request{.directory = server.directory, .identity = Identity(), .begin = begin};
  if (with_authority) request.authority = server.flushed;
  return ScanServer(request).value();
}

/// Zeros where `flush` appended to the first file; returns from where on.
template <typename Flush>
std::size_t LoseTheRunOf(Server& server, Flush flush) {
  const auto at = static_cast<std::ptrdiff_t>(server.Bytes(1).size());
  flush();
  std::fill(server.Bytes(1).begin() + at, server.Bytes(1).end(), std::byte{0});
  return static_cast<std::size_t>(at);
}

std::set<Index> IndexesOf(const std::vector<IndexRange>& ranges) {
  std::set<Index> all;
  for (const IndexRange& range : ranges) {
    for (Index index = range.begin; index < range.end; ++index) all.insert(index);
  }
  return all;
}

/// Three files, runs that follow, overwrite and stand alone.
Server Specimen() {
  Server server({.entries_max = 6});
  server.Flush(1, 0, Entries(1, 4, 1));
  server.Flush(5, 0, Entries(5, 5, 1));
  server.Flush(8, 1, Entries(8, 6, 2));
  server.Flush(14, 1, Entries(14, 2, 2));
  return server;
}

TEST(Segments, A7_AScanFindsWhatTheRowSays) {
  const Server server = Specimen();
  const ScanResult scan = Scan(server);
  EXPECT_THAT(scan.findings, IsEmpty());
  EXPECT_THAT(scan.lost, IsEmpty());
  EXPECT_TRUE(scan.may_append);
  EXPECT_EQ(scan.next_number, server.next_number);
  EXPECT_TRUE(std::ranges::equal(scan.list.segments(), server.list.segments()));
  EXPECT_THAT(Unreadable(server, scan.list), IsEmpty());
  const VerifyResult verified = Verify(server, scan.list);
  EXPECT_THAT(verified.findings, IsEmpty());
  EXPECT_EQ(verified.entries, 17u);
}

// Without its row nothing else says which cluster the entries are of, and no checksum fits.
TEST(Segments, A18_TheClusterIdIsLearntWhereTheRegistrationIsLost) {
  Server server = Specimen();
  ServerIdentity unknown = Identity();
  unknown.cluster_id = 0;
  EXPECT_EQ(LearnClusterId(server.directory, unknown).value(), Identity().cluster_id);
  server.Bytes(1)[60] ^= std::byte{1};
  EXPECT_EQ(LearnClusterId(server.directory, unknown).value(), Identity().cluster_id)
      << "another file says it";
  server.Bytes(2)[60] ^= std::byte{1};
  server.Bytes(3)[60] ^= std::byte{1};
  EXPECT_EQ(LearnClusterId(server.directory, unknown).value(), 0u);
  unknown.uid.bytes[0] ^= 1;
  EXPECT_EQ(LearnClusterId(Specimen().directory, unknown).value(), 0u) << "a stranger's files";
}

TEST(Segments, A6_WhatNoRowKnowsIsLeftOver) {
  Server server = Specimen();
  const Flushed row = server.flushed;
  server.Flush(16, 1, Entries(16, 9, 2));
  server.flushed = row;
  const ScanResult scan = Scan(server);
  ASSERT_EQ(scan.findings.size(), 3u);
  EXPECT_EQ(scan.findings[0].kind, FindingKind::kLeftoverBytes);
  EXPECT_EQ(scan.findings[0].offset, row.bytes);
  EXPECT_EQ(scan.findings[1].kind, FindingKind::kLeftoverFile);
  EXPECT_EQ(scan.findings[2].kind, FindingKind::kLeftoverFile);
  EXPECT_THAT(scan.lost, IsEmpty());
  EXPECT_FALSE(scan.may_append);
  EXPECT_EQ(scan.list.Range(), (IndexRange{1, 16}));
  server.flushed = {};
  EXPECT_TRUE(Scan(server).list.empty());  // a server that never flushed, by its row
}

TEST(Segments, A7_AScanWithoutARowTakesWhatIsThere) {
  const Server server = Specimen();
  EXPECT_EQ(Scan(server, false, 0).list.Range(), (IndexRange{1, 16}));
  EXPECT_THAT(Scan(server, false, 0).findings, IsEmpty());
}

TEST(Segments, G16_AMissingLastFileIsDamageInItsRange) {
  Server server = Specimen();
  const IndexRange held = server.list.last()->live;
  server.directory.files.erase(FileName(server.list.last()->number));
  const ScanResult scan = Scan(server);
  EXPECT_THAT(scan.lost, ElementsAre(held));
  EXPECT_EQ(Unreadable(server, scan.list), IndexesOf(scan.lost));
  EXPECT_GT(scan.next_number, server.flushed.segment);
  EXPECT_FALSE(scan.may_append);
}

TEST(Segments, A7_AMissingFileIsDamageInItsRange) {
  for (const std::uint64_t number : {1, 2, 3}) {
    SCOPED_TRACE(number);
    Server server({.entries_max = 5});
    server.Flush(1, 0, Entries(1, 10, 1));
    server.Flush(4, 1, Entries(4, 5, 2));  // the third; the second is dead
    server.Flush(9, 2, Entries(9, 5, 3));
    const IndexRange held = server.list.FindNumber(number)->live;
    server.directory.files.erase(FileName(number));
    const ScanResult scan = Scan(server);
    if (held.empty()) {
      EXPECT_THAT(scan.lost, IsEmpty());
      EXPECT_THAT(scan.findings, IsEmpty());
    } else {
      EXPECT_THAT(scan.lost, ElementsAre(held));
    }
    EXPECT_EQ(Unreadable(server, scan.list), IndexesOf(scan.lost));
  }
}

TEST(Segments, A7_AFileBelowTheFloorMayBeGone) {
  Server server({.entries_max = 5});
  server.Flush(1, 0, Entries(1, 15, 1));
  for (const std::uint32_t number : server.list.DeadFiles(11)) {
    server.directory.files.erase(FileName(number));
  }
  EXPECT_EQ(server.directory.files.size(), 1u);
  const ScanResult scan = Scan(server, true, 11);
  EXPECT_THAT(scan.findings, IsEmpty());
  EXPECT_THAT(scan.lost, IsEmpty());
  EXPECT_EQ(Scan(server, false, 0).list.Range(), (IndexRange{11, 16}));
}

TEST(Segments, A7_WhatWasTruncatedSinceIsNotServed) {
  Server server = Specimen();
  server.flushed.end = 10;
  EXPECT_EQ(Scan(server).list.Range(), (IndexRange{1, 10}));
}

TEST(Segments, A8_ALaterRunCutsWhatWasLost) {
  Server server({.entries_max = 4});
  server.Flush(1, 0, Entries(1, 8, 1));
  server.Flush(3, 1, Entries(3, 4, 2));
  server.Bytes(2).assign(server.Bytes(2).size(), std::byte{0});
  const ScanResult scan = Scan(server);
  EXPECT_THAT(scan.lost, IsEmpty());
  EXPECT_THAT(Unreadable(server, scan.list), IsEmpty());
}

// Where a lost run may have cut older entries and nothing tells, none of them is served.
TEST(Segments, A8_AnEntryThatMayBeOverwrittenIsNotServed) {
  Server server;
  server.Flush(1, 0, Entries(1, 9, 1));
  (void)LoseTheRunOf(server, [&] { server.Flush(4, 1, Entries(4, 3, 2)); });
  server.Flush(7, 1, Entries(7, 3, 2));
  const ScanResult scan = Scan(server);
  EXPECT_THAT(scan.lost, ElementsAre(IndexRange{1, 7}));
  EXPECT_EQ(scan.list.Range(), (IndexRange{7, 10}));
}

TEST(Segments, G5_ALostRunOfTheSameEpochCostsItsRangeAlone) {
  Server server;
  server.Flush(1, 0, Entries(1, 3, 1));
  const std::size_t at = LoseTheRunOf(server, [&] { server.Flush(4, 0, Entries(4, 3, 1)); });
  const std::size_t end = server.Bytes(1).size();
  server.Flush(7, 0, Entries(7, 3, 1));
  const ScanResult scan = Scan(server);
  EXPECT_THAT(scan.lost, ElementsAre(IndexRange{4, 7}));
  ASSERT_EQ(scan.findings.size(), 1u);
  EXPECT_EQ(scan.findings[0].offset, at);
  EXPECT_EQ(scan.findings[0].bytes, end - at);
  EXPECT_EQ(Unreadable(server, scan.list), (std::set<Index>{4, 5, 6}));
}

/// Bytes of records, and whose they are: what a flipped byte may cost.
std::map<std::size_t, std::pair<Index, Term>> RecordBytesOf(const Server& server,
                                                            std::uint64_t number) {
  std::map<std::size_t, std::pair<Index, Term>> owners;
  const auto file = server.directory.Open(FileName(number), OpenFor::kRead).value();
  RunTable table{.context = {.number = number}};
  CHECK(WalkRuns(*file, Identity(), UINT64_MAX, table).ok());
  for (const RunPlace& run : table.runs) {
    const auto offsets = LoadTable(*file, table.context, run, UINT64_MAX).value();
    for (const TableEntry& entry : offsets) {
      const std::size_t at = run.offset + kRunHeaderBytes + entry.offset;
      const auto record = DecodeRecordHeader(
          Bytes(server.directory.files.at(FileName(number))->data() + at, kRecordHeaderBytes),
          table.context, at);
      const std::size_t size = kRecordHeaderBytes + record->payload_bytes;
      for (std::size_t i = 0; i < size; ++i) owners[at + i] = {entry.index, record->term};
    }
  }
  return owners;
}

TEST(Segments, G5_EveryFlippedByteIsFoundAndCostsItsEntryAlone) {
  Server server = Specimen();
  for (const SegmentSummary& segment : server.list.segments()) {
    const auto owners = RecordBytesOf(server, segment.number);
    FileBytes& bytes = server.Bytes(segment.number);
    for (std::size_t at = 0; at < bytes.size(); ++at) {
      SCOPED_TRACE(FileName(segment.number) + " byte " + std::to_string(at));
      bytes[at] ^= static_cast<std::byte>(1 << at % 8);
      const ScanResult scan = Scan(server);
      const VerifyResult verified = Verify(server, scan.list);
      EXPECT_FALSE(scan.findings.empty() && verified.findings.empty());
      EXPECT_THAT(scan.lost, IsEmpty());  // headers are there twice
      std::set<Index> blamed;
      for (const Finding& finding : verified.findings) {
        EXPECT_FALSE(finding.sparse_suspect);
        for (Index i = finding.lost.begin; i < finding.lost.end; ++i) blamed.insert(i);
      }
      const auto owner = owners.find(at);
      const bool live = owner != owners.end() &&
                        server.model.at(owner->second.first).term == owner->second.second;
      const std::set<Index> expected =
          live ? std::set<Index>{owner->second.first} : std::set<Index>{};
      EXPECT_EQ(blamed, expected);
      EXPECT_EQ(Unreadable(server, scan.list), expected);
      bytes[at] ^= static_cast<std::byte>(1 << at % 8);
      if (HasFailure()) return;
    }
  }
}

TEST(Segments, A7_EveryCutOfTheLastFileIsDamageInExactlyWhatIsMissing) {
  Server server({.entries_max = 6});
  server.Flush(1, 0, Entries(1, 8, 1));
  server.Flush(9, 0, Entries(9, 2, 1));
  server.Flush(11, 0, Entries(11, 2, 1));
  const FileBytes whole = server.Bytes(2);
  const auto owners = RecordBytesOf(server, 2);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    SCOPED_TRACE(size);
    server.Bytes(2).assign(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    const auto cut = owners.lower_bound(size);
    const Index first_lost = cut == owners.end() ? 13 : cut->second.first;
    const ScanResult scan = Scan(server);
    EXPECT_FALSE(scan.findings.empty());
    EXPECT_FALSE(scan.may_append);
    EXPECT_EQ(Unreadable(server, scan.list), IndexesOf(scan.lost));
    // A record of a run whose header is cut too, or whose header alone is left, is lost with it.
    EXPECT_EQ(scan.lost.empty() ? Index{13} : scan.lost[0].begin, first_lost);
    EXPECT_EQ(scan.lost.empty() ? Index{13} : scan.lost[0].end, 13u);
    const ScanResult without = Scan(server, false);
    EXPECT_EQ(without.list.Range().end, first_lost);
    if (HasFailure()) return;
  }
}

TEST(Segments, A7_EveryCutOfAFileInTheMiddleIsFound) {
  Server server = Specimen();
  const FileBytes whole = server.Bytes(2);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    SCOPED_TRACE(size);
    server.Bytes(2).assign(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    const ScanResult scan = Scan(server);
    EXPECT_FALSE(scan.findings.empty());
    EXPECT_EQ(Unreadable(server, scan.list), IndexesOf(scan.lost));
    if (HasFailure()) return;
  }
}

TEST(Segments, SG1_AnotherVersionIsRefusedByName) {
  Server server = Specimen();
  FileBytes& bytes = server.Bytes(1);
  StoreLe(bytes.data() + 8, std::uint32_t{2});
  const auto life = LoadLe<std::uint64_t>(bytes.data() + 72);
  const std::uint64_t seed = SeedAt(FileContext::Of(Identity(), 1, life).seed, 0);
  StoreLe(bytes.data() + 16, Checksum(Bytes(bytes).subspan(24, kFileHeaderBytes - 24),
                                      Checksum(Bytes(bytes).first(16), seed)));
  const auto scan = ScanServer({.directory = server.directory, .identity = Identity()});
  ASSERT_FALSE(scan.ok());
  EXPECT_EQ(scan.error().code, ErrorCode::kUnknownVersion);
  EXPECT_THAT(scan.error().message, HasSubstr("00000001.seg"));
}

// Random rounds against a map: what is in memory, what a scan finds, and what is read agree.
TEST(Segments, A8_RoundsOfAppendsAndCutsMatchTheModel) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(seed);
    Rng rng(seed);
    Server server({.entries_max = 3 + rng.Below(20),
                   .bytes_max = 600 + rng.Below(3000),
                   .buffer_bytes = 100 + rng.Below(1000)},
                  seed);
    std::uint64_t epoch = 0;
    Index floor = 1;
    Index sparse_next = 1;
    for (int round = 0; round < 25; ++round) {
      SegmentWriter writer = server.NewWriter();
      for (std::uint64_t runs = rng.Below(4); runs > 0; --runs) {
        const Index end = server.model.empty() ? floor : server.model.rbegin()->first + 1;
        Index cut = end;
        if (rng.OneIn(4) && end > floor) cut = floor + rng.Below(end - floor);
        if (cut != end) ++epoch;
        Index first = cut;
        if (rng.OneIn(12)) {  // a snapshot: the log begins anew
          first = floor = end + rng.Below(5);
          cut = rng.OneIn(2) ? 1 : end;
          server.model.clear();
          ++epoch;
        }
        if (rng.OneIn(6) && sparse_next < floor) {
          server.PutSparse(writer, epoch, Entries(sparse_next, 1, 1));
          sparse_next += 1 + rng.Below(3);
        }
        server.Put(writer, cut, epoch, Entries(first, 1 + rng.Below(9), 1 + epoch, rng.Below(90)));
      }
      if (rng.OneIn(8)) {  // the round fails, and what it wrote stays
        (void)writer.Finish();
        server.next_number = writer.next_number();
        server.may_append = false;
        const ScanResult left = Scan(server, true, floor);
        EXPECT_EQ(left.list.Range(), server.list.Range());
        EXPECT_THAT(left.lost, IsEmpty());
        break;
      }
      server.Commit(writer);
      const ScanResult scan = Scan(server, true, floor);
      ASSERT_THAT(scan.findings, IsEmpty()) << scan.findings[0].sentence;
      ASSERT_EQ(scan.lost.size(), 0u);
      ASSERT_TRUE(std::ranges::equal(scan.list.segments(), server.list.segments()));
      ASSERT_TRUE(std::ranges::equal(scan.list.sparse(), server.list.sparse()));
      ASSERT_THAT(Unreadable(server, scan.list), IsEmpty());
      ASSERT_THAT(Verify(server, scan.list).findings, IsEmpty());
    }
  }
}

}  // namespace
}  // namespace duramen::segments::testing
