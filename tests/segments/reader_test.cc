// Plans and their execution: what is read, in how many reads, and what damage costs.
#include "segments/reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/segments/specimen.h"

namespace duramen::segments::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Text(const EntryView& entry) { return std::string(AsText(entry.payload)); }

std::vector<Index> Indexes(const ReadEntries& read) {
  std::vector<Index> indexes;
  for (const EntryView& entry : read.entries) indexes.push_back(entry.index);
  return indexes;
}

/// Flips a byte of the payload of an entry.
void Damage(Server& server, std::uint64_t number, const std::string& payload) {
  FileBytes& bytes = server.Bytes(number);
  const Bytes wanted = AsBytes(payload);
  const auto found = std::search(bytes.begin(), bytes.end(), wanted.begin(), wanted.end());
  ASSERT_NE(found, bytes.end());
  *found ^= std::byte{1};
}

TEST(Segments, SG4_APlanReadsARangeOverRunsAndFiles) {
  Server server({.entries_max = 7, .buffer_bytes = 150});
  server.Flush(1, 0, Entries(1, 10, 1));
  server.Flush(6, 1, Entries(6, 12, 2));
  OpenFiles files(server.directory);
  for (Index begin = 1; begin < 18; ++begin) {
    for (Index end = begin + 1; end <= 18; ++end) {
      ReadEntries read;
      const ReadPlan plan = PlanRange(server.list, Identity(), {begin, end}, 1 << 20);
      ASSERT_TRUE(ExecutePlan(plan, files, read).ok());
      ASSERT_EQ(read.entries.size(), end - begin);
      for (const EntryView& entry : read.entries) {
        const Written& expected = server.model.at(entry.index);
        EXPECT_EQ(Text(entry), expected.payload);
        EXPECT_EQ(entry.term, expected.term);
        EXPECT_EQ(entry.kind, expected.kind);
      }
    }
  }
}

TEST(Segments, SG4_ABudgetEndsAReadAfterAtLeastOneEntry) {
  Server server;
  server.Flush(1, 0, Entries(1, 10, 1, 100));
  OpenFiles files(server.directory);
  ReadEntries one;
  ASSERT_TRUE(ExecutePlan(PlanRange(server.list, Identity(), {3, 9}, 0), files, one).ok());
  EXPECT_THAT(Indexes(one), ElementsAre(3u));
  ReadEntries some;
  ASSERT_TRUE(ExecutePlan(PlanRange(server.list, Identity(), {3, 9}, 250), files, some).ok());
  EXPECT_THAT(Indexes(some), ElementsAre(3u, 4u, 5u));
}

TEST(Segments, SG4_RunsNextToEachOtherAreOneRead) {
  Server server({.buffer_bytes = 300});
  server.Flush(1, 0, Entries(1, 100, 1, 50));
  OpenFiles files(server.directory);
  ReadEntries read;
  ASSERT_TRUE(ExecutePlan(PlanRange(server.list, Identity(), {1, 101}, 1 << 20), files, read).ok());
  EXPECT_EQ(read.entries.size(), 100u);
  EXPECT_EQ(read.buffers.size(), 1u);
}

TEST(Segments, SG4_SingleIndexesAreReadWithTheSparseRuns) {
  Server server;
  SegmentWriter writer = server.NewWriter();
  server.PutSparse(writer, 0, Batch().Add(3, 1, "three").Add(9, 1, "nine"));
  server.PutSparse(writer, 1, Batch().Add(9, 2, "nine again").Add(11, 2, "eleven"));
  server.Put(writer, 20, 1, Entries(20, 5, 2));
  server.Commit(writer);
  OpenFiles files(server.directory);
  ReadEntries read;
  const std::vector<Index> wanted{3, 9, 11, 21, 22, 24};
  ASSERT_TRUE(ExecutePlan(PlanSparse(server.list, Identity(), wanted, 1 << 20), files, read).ok());
  EXPECT_EQ(Indexes(read), wanted);
  EXPECT_EQ(Text(read.entries[1]), "nine again");
  EXPECT_EQ(Text(read.entries[5]), server.model.at(24).payload);
  const std::vector<Index> absent{10};
  EXPECT_EQ(ExecutePlan(PlanSparse(server.list, Identity(), absent, 1), files, read).error().code,
            ErrorCode::kNotFound);
  server.Flush(9, 2, Entries(9, 2, 3));  // cuts sparse entries too
  read = {};
  const std::vector<Index> now{3, 9, 10};
  ASSERT_TRUE(ExecutePlan(PlanSparse(server.list, Identity(), now, 1 << 20), files, read).ok());
  EXPECT_EQ(Text(read.entries[1]), server.model.at(9).payload);
  EXPECT_THAT(server.list.FindSparse(11), ElementsAre());
}

TEST(Segments, G5_DamageIsNamedAndCostsOneEntry) {
  Server server;
  server.Flush(1, 0, Entries(1, 10, 1));
  Damage(server, 1, server.model.at(4).payload);
  OpenFiles files(server.directory);
  ReadEntries read;
  const Status status =
      ExecutePlan(PlanRange(server.list, Identity(), {2, 11}, 1 << 20), files, read);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::kCorruption);
  EXPECT_THAT(status.error().message, HasSubstr("00000001.seg: offset "));
  EXPECT_THAT(status.error().message, HasSubstr("entry 4"));
  EXPECT_THAT(Indexes(read), ElementsAre(2u, 3u));
  read = {};
  ASSERT_TRUE(ExecutePlan(PlanRange(server.list, Identity(), {5, 11}, 1 << 20), files, read).ok());
  EXPECT_EQ(read.entries.size(), 6u);
}

TEST(Segments, G8_ADamagedTableIsRebuiltFromTheRecords) {
  Server server;
  server.Flush(1, 0, Entries(1, 10, 1));
  server.Bytes(1)[server.Bytes(1).size() - kRunHeaderBytes - 20] ^= std::byte{8};
  OpenFiles files(server.directory);
  for (Index index = 1; index <= 10; ++index) {
    ReadEntries read;
    ASSERT_TRUE(
        ExecutePlan(PlanRange(server.list, Identity(), {index, index + 1}, 1), files, read).ok());
    EXPECT_EQ(Text(read.entries[0]), server.model.at(index).payload);
  }
}

TEST(Segments, G12_FilesAreOpenWithinTheirLimit) {
  Server server({.entries_max = 1});
  server.Flush(1, 0, Entries(1, 20, 1));
  OpenFiles files(server.directory, 4);
  ReadEntries read;
  ASSERT_TRUE(ExecutePlan(PlanRange(server.list, Identity(), {1, 21}, 1 << 20), files, read).ok());
  EXPECT_EQ(read.entries.size(), 20u);
  EXPECT_EQ(files.open_count(), 4u);
  EXPECT_EQ(*server.directory.open_files, 4);
  files.Drop(Identity().uid, 20);
  EXPECT_EQ(files.open_count(), 3u);
  files.DropServer(Identity().uid);
  EXPECT_EQ(*server.directory.open_files, 0);
}

TEST(Segments, G12_WithoutDescriptorsIdleFilesAreClosedAndTheOpenIsTriedAgain) {
  Server server({.entries_max = 1});
  server.Flush(1, 0, Entries(1, 6, 1));
  OpenFiles files(server.directory);
  server.directory.descriptors_max = 3;
  ReadEntries read;
  ASSERT_TRUE(ExecutePlan(PlanRange(server.list, Identity(), {1, 7}, 1 << 20), files, read).ok());
  EXPECT_EQ(read.entries.size(), 6u);
  server.directory.descriptors_max = 0;
  files.DropServer(Identity().uid);
  EXPECT_EQ(files.Get(Identity(), *server.list.last()).error().code, ErrorCode::kIo);
}

TEST(Segments, G12_AFileThatGrewIsWalkedOn) {
  Server server;
  server.Flush(1, 0, Entries(1, 3, 1));
  OpenFiles files(server.directory);
  const SegmentList old = server.list;
  ReadEntries read;
  ASSERT_TRUE(ExecutePlan(PlanRange(old, Identity(), {1, 4}, 1 << 20), files, read).ok());
  server.Flush(3, 1, Entries(3, 4, 2));
  read = {};
  ASSERT_TRUE(ExecutePlan(PlanRange(server.list, Identity(), {1, 7}, 1 << 20), files, read).ok());
  EXPECT_EQ(read.entries.back().term, 2u);
  // A reader that holds the old list is not touched by the later cut.
  read = {};
  ASSERT_TRUE(ExecutePlan(PlanRange(old, Identity(), {1, 4}, 1 << 20), files, read).ok());
  EXPECT_EQ(read.entries.back().term, 1u);
}

TEST(Segments, G5_AFileOfAnotherLifeIsRefused) {
  Server server;
  server.Flush(1, 0, Entries(1, 3, 1));
  Server other({}, 99);
  other.Flush(1, 0, Entries(1, 3, 1));
  OpenFiles files(other.directory);
  EXPECT_EQ(files.Get(Identity(), *server.list.last()).error().code, ErrorCode::kCorruption);
}

}  // namespace
}  // namespace duramen::segments::testing
