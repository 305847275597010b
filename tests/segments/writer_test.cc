// What the writer puts where, and what it never touches.
#include "segments/writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "segments/run_walk.h"
#include "segments/scan.h"
#include "tests/segments/specimen.h"

namespace duramen::segments::testing {
namespace {

RunTable Walk(const Server& server, std::uint64_t number) {
  RunTable table{.context = {.number = number}};
  auto file = server.directory.Open(FileName(number), OpenFor::kRead).value();
  CHECK(WalkRuns(*file, Identity(), UINT64_MAX, table).ok());
  return table;
}

TEST(Segments, SG1_ARunHoldsWhatWasAppended) {
  Server server;
  server.Flush(1, 0, Entries(1, 5, 1));
  ASSERT_EQ(server.directory.files.size(), 1u);
  const RunTable table = Walk(server, 1);
  ASSERT_EQ(table.runs.size(), 1u);
  EXPECT_EQ(table.runs[0].header.first, 1u);
  EXPECT_EQ(table.runs[0].header.last, 5u);
  EXPECT_TRUE(table.gaps.empty());
  EXPECT_EQ(table.walked_bytes, server.Bytes(1).size());
  EXPECT_EQ(server.flushed.bytes, server.Bytes(1).size());
  EXPECT_EQ(server.flushed.end, 6u);
  EXPECT_EQ(server.flushed.last_term, 1u);
  EXPECT_EQ(server.list.Range(), (IndexRange{1, 6}));
}

TEST(Segments, SG1_FilesAreLimitedInEntriesAndBytes) {
  Server by_entries({.entries_max = 4});
  by_entries.Flush(1, 0, Entries(1, 10, 1));
  EXPECT_EQ(by_entries.directory.files.size(), 3u);
  by_entries.Flush(11, 0, Entries(11, 2, 1));  // two more fit into the third
  EXPECT_EQ(by_entries.directory.files.size(), 3u);
  by_entries.Flush(13, 0, Entries(13, 1, 1));
  EXPECT_EQ(by_entries.directory.files.size(), 4u);
  Server by_bytes({.bytes_max = 4000});
  by_bytes.Flush(1, 0, Entries(1, 40, 1, 300));
  EXPECT_GT(by_bytes.directory.files.size(), 3u);
  for (const auto& [name, bytes] : by_bytes.directory.files) EXPECT_LE(bytes->size(), 4000u);
  EXPECT_EQ(by_bytes.list.Range(), (IndexRange{1, 41}));
}

TEST(Segments, SG1_AnEntryAboveTheLimitGetsAFileOfItsOwn) {
  Server server({.bytes_max = 2000});
  server.Flush(1, 0, Batch().Add(1, 1, "a").Add(2, 1, std::string(9000, 'b')).Add(3, 1, "c"));
  ASSERT_EQ(server.list.segments().size(), 3u);
  EXPECT_EQ(server.list.Find(2)->entries, 1u);
}

TEST(Segments, SG1_LargeRoundsAreWrittenInRunsOfTheBuffer) {
  Server server({.buffer_bytes = 1000});
  server.Flush(1, 0, Entries(1, 30, 1, 100));
  EXPECT_EQ(server.directory.files.size(), 1u);
  const RunTable table = Walk(server, 1);
  EXPECT_GT(table.runs.size(), 3u);
  for (std::size_t i = 1; i < table.runs.size(); ++i) {
    EXPECT_EQ(table.runs[i].header.cut, table.runs[i - 1].header.end());
  }
}

TEST(Segments, A8_ARunCutsWhatIsOlder) {
  Server server({.entries_max = 6});
  server.Flush(1, 0, Entries(1, 10, 1));
  server.Flush(4, 1, Entries(4, 1, 2));
  EXPECT_EQ(server.list.Range(), (IndexRange{1, 5}));
  EXPECT_EQ(server.list.Find(4)->number, 2u);
  EXPECT_EQ(server.list.Find(3)->number, 1u);
  EXPECT_EQ(server.list.Find(5), nullptr);
  EXPECT_EQ(server.flushed.epoch, 1u);
}

TEST(Segments, A8_AJumpIsAFileOfItsOwnUnlessNothingIsLeftBelow) {
  Server server;
  server.Flush(1, 0, Entries(1, 10, 1));
  server.Flush(11, 1, Entries(50, 3, 2));
  ASSERT_EQ(server.list.segments().size(), 2u);
  EXPECT_EQ(server.list.Find(20), nullptr);
  server.Flush(0, 2, Entries(80, 3, 2));
  EXPECT_EQ(server.list.segments().size(), 2u);
  EXPECT_EQ(server.list.Range(), (IndexRange{80, 83}));
  EXPECT_THAT(server.list.DeadFiles(80), ::testing::ElementsAre(1u));
}

TEST(Segments, SG6_A8_AJumpOverTheFloorStaysInTheFile) {
  Server server;
  server.Flush(1, 0, Entries(1, 10, 1));
  server.floor = 10;
  server.Flush(11, 0, Entries(50, 3, 1));
  EXPECT_EQ(server.list.segments().size(), 2u) << "entry 10 is of use";
  server.floor = 53;
  server.Flush(53, 0, Entries(80, 3, 1));
  ASSERT_EQ(server.list.segments().size(), 2u);
  EXPECT_EQ(server.list.last()->live, (IndexRange{80, 83}));
  EXPECT_EQ(server.flushed.segment_begin, 80u);
  server.Flush(83, 0, Entries(83, 2, 1));
  const ScanRequest request{.directory = server.directory,
                            .identity = Identity(),
                            .authority = server.flushed,
                            .begin = server.floor};
  const Result<ScanResult> scan = ScanServer(request);
  ASSERT_TRUE(scan.ok());
  EXPECT_TRUE(scan->findings.empty());
  EXPECT_TRUE(std::ranges::equal(scan->list.segments(), server.list.segments()));
  EXPECT_TRUE(scan->may_append);
  const Result<VerifyResult> verified = VerifyServer(request, scan->list);
  ASSERT_TRUE(verified.ok());
  EXPECT_TRUE(verified->findings.empty());
}

TEST(Segments, A6_AFileOfUnknownStateIsNeverAppendedTo) {
  Server server;
  server.Flush(1, 0, Entries(1, 3, 1));
  server.Bytes(1).push_back(std::byte{0});
  const FileBytes before = server.Bytes(1);
  server.Flush(4, 0, Entries(4, 3, 1));
  EXPECT_EQ(server.directory.files.size(), 2u);
  EXPECT_EQ(server.Bytes(1), before);
  server.may_append = false;
  server.Flush(7, 0, Entries(7, 3, 1));
  EXPECT_EQ(server.directory.files.size(), 3u);
}

TEST(Segments, A6_G4_AFailedRoundIsWrittenAgainIntoAnotherFile) {
  Server server;
  server.Flush(1, 0, Entries(1, 3, 1));
  const SegmentList before = server.list;
  server.directory.fail_writes = true;
  SegmentWriter failing = server.NewWriter();
  const Batch batch = Entries(4, 3, 1);
  ASSERT_TRUE(failing.Append(4, 0, batch.Records()).ok());  // still in the buffer
  EXPECT_EQ(failing.Finish().error().code, ErrorCode::kIo);
  EXPECT_EQ(failing.Append(7, 0, batch.Records()).error().code, ErrorCode::kIo);
  server.directory.fail_writes = false;
  server.next_number = failing.next_number();
  server.may_append = false;
  EXPECT_EQ(server.list.Range(), before.Range());
  server.Flush(4, 0, batch);
  EXPECT_EQ(server.list.last()->number, 2u);
}

TEST(Segments, A6_LeftoversAreSteppedOver) {
  Server server;
  server.directory.files[FileName(1)] = std::make_shared<FileBytes>(10);
  server.Flush(1, 0, Entries(1, 3, 1));
  EXPECT_EQ(server.list.last()->number, 2u);
  EXPECT_EQ(server.Bytes(1).size(), 10u);
}

TEST(Segments, C10_WhatChangedInMemoryIsNotWritten) {
  Server server;
  SegmentWriter writer = server.NewWriter();
  const Batch batch = Entries(1, 3, 1);
  auto records = batch.Records();
  records[1].entry_checksum ^= 1;
  EXPECT_EQ(writer.Append(1, 0, records).error().code, ErrorCode::kCorruption);
  EXPECT_FALSE(writer.Finish().ok());
}

}  // namespace
}  // namespace duramen::segments::testing
