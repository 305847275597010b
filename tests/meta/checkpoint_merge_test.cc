#include "meta/checkpoint_merge.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/meta/checkpoint_samples.h"

namespace duramen::meta {
namespace {

using Uids = std::vector<ServerUid>;

/// A file with the servers `numbers` as of a generation.
CheckpointFile FileOf(std::uint64_t generation, const std::vector<std::uint32_t>& numbers) {
  SampleCheckpoint sample(0, generation);
  for (const std::uint32_t number : numbers) {
    sample.servers.push_back(SampleServer(number, generation));
  }
  const auto bytes = EncodeCheckpoint(SampleSystem(), sample.content());
  return {.present = true, .content = *DecodeCheckpoint(bytes, SampleSystem())};
}

/// The rows of that server are lost.
CheckpointFile Losing(CheckpointFile file, std::uint32_t number, bool named = true) {
  const ServerUid uid = SampleUid(number);
  std::erase_if(file.content->servers, [&](const auto& server) { return server.uid == uid; });
  file.content->damage.push_back(
      {9000, 10, true, named ? std::optional(uid) : std::nullopt, "rotten"});
  return file;
}

std::uint64_t GenerationOf(const MergedCheckpoints& merged, std::uint32_t number) {
  for (const MergedServer& server : merged.servers) {
    if (server.uid == SampleUid(number)) return server.covers.file;
  }
  return 0;
}

TEST(MergeCheckpoints, A2_EachServerTakesItsNewestIntactRow) {
  for (const bool swapped : {false, true}) {
    CheckpointFile older = FileOf(5, {1, 2, 3});
    CheckpointFile newer = Losing(FileOf(6, {1, 2, 3}), 2);
    if (swapped) std::swap(older, newer);
    const MergedCheckpoints merged = MergeCheckpoints(older, newer);
    EXPECT_EQ(GenerationOf(merged, 1), 6u);
    EXPECT_EQ(GenerationOf(merged, 2), 5u);
    EXPECT_EQ(GenerationOf(merged, 3), 6u);
    EXPECT_EQ(merged.replay_from.file, 5u) << "for server 2";
    EXPECT_TRUE(merged.unreadable.empty() && merged.only_in_wal.empty());
    EXPECT_FALSE(merged.unnamed_lost);
  }
}

TEST(MergeCheckpoints, A2_AWholeNewerFileNeedsNoOlderWal) {
  const MergedCheckpoints merged =
      MergeCheckpoints(Losing(FileOf(5, {1, 2, 3}), 2), FileOf(6, {1, 2, 3}));
  EXPECT_EQ(merged.servers.size(), 3u);
  EXPECT_EQ(merged.replay_from.file, 6u);
  EXPECT_TRUE(merged.unreadable.empty());
}

TEST(MergeCheckpoints, M3_LostInBothIsUnreadable) {
  const MergedCheckpoints merged =
      MergeCheckpoints(Losing(FileOf(5, {1, 2, 3}), 2), Losing(FileOf(6, {1, 2, 3}), 2));
  EXPECT_EQ(merged.servers.size(), 2u);
  EXPECT_EQ(merged.unreadable, Uids{SampleUid(2)});
  EXPECT_FALSE(merged.unnamed_lost);
}

TEST(MergeCheckpoints, M3_LostInOneAndNamelessInTheOtherIsUnreadable) {
  for (const bool newer_names : {false, true}) {
    const MergedCheckpoints merged = MergeCheckpoints(Losing(FileOf(5, {1, 2, 3}), 2, !newer_names),
                                                      Losing(FileOf(6, {1, 2, 3}), 2, newer_names));
    EXPECT_EQ(merged.unreadable, Uids{SampleUid(2)});
    EXPECT_FALSE(merged.unnamed_lost) << "one of the files names all";
  }
  EXPECT_TRUE(
      MergeCheckpoints(Losing(FileOf(5, {1, 2}), 2, false), Losing(FileOf(6, {1, 2}), 2, false))
          .unnamed_lost);
}

TEST(MergeCheckpoints, M3_AServerThatTheOlderFileNeverKnewIsInTheWal) {
  const MergedCheckpoints merged = MergeCheckpoints(FileOf(5, {1}), Losing(FileOf(6, {1, 2}), 2));
  EXPECT_EQ(merged.only_in_wal, Uids{SampleUid(2)});
  EXPECT_EQ(merged.replay_from.file, 5u);
  EXPECT_TRUE(merged.unreadable.empty());
}

// Before the first checkpoint there was none, so the WAL still has everything.
TEST(MergeCheckpoints, A2_TheFirstCheckpointStandsForBoth) {
  const MergedCheckpoints merged = MergeCheckpoints(Losing(FileOf(1, {1, 2}), 2), {});
  EXPECT_EQ(merged.only_in_wal, Uids{SampleUid(2)});
  EXPECT_EQ(merged.replay_from, Covers{});
  const MergedCheckpoints later = MergeCheckpoints(Losing(FileOf(7, {1, 2}), 2), {});
  EXPECT_EQ(later.unreadable, Uids{SampleUid(2)});
  EXPECT_EQ(later.replay_from.file, 7u);
}

TEST(MergeCheckpoints, A18_ATombstoneDeletesWhatTheOlderFileHas) {
  CheckpointFile older = FileOf(4, {4, 6});
  // As server 4 was before: alive under the uid of server 5, which is deleted in generation 6.
  older.content->servers[0].uid = SampleUid(5);
  older.content->servers[0].rows.identity.uid = SampleUid(5);
  const MergedCheckpoints merged = MergeCheckpoints(older, FileOf(6, {5, 6}));
  ASSERT_EQ(merged.servers.size(), 2u);
  EXPECT_EQ(merged.servers[0].uid, SampleUid(5));
  EXPECT_TRUE(merged.servers[0].rows.deleted());
}

TEST(MergeCheckpoints, A18_AForgottenTombstoneStaysForgottenUnlessItsRowMayBeLost) {
  EXPECT_EQ(MergeCheckpoints(FileOf(4, {1, 5}), FileOf(6, {1})).servers.size(), 1u);
  const MergedCheckpoints damaged =
      MergeCheckpoints(FileOf(4, {1, 5}), Losing(FileOf(6, {1, 5}), 5, false));
  ASSERT_EQ(damaged.servers.size(), 2u);
  EXPECT_TRUE(damaged.servers[1].rows.deleted());
}

// A18: a live row goes by a tombstone only, never by being missed.
TEST(MergeCheckpoints, A18_ALiveServerIsNotDeletedByItsAbsence) {
  const MergedCheckpoints merged = MergeCheckpoints(FileOf(4, {1, 2}), FileOf(6, {1}));
  EXPECT_EQ(GenerationOf(merged, 2), 4u);
  EXPECT_EQ(merged.replay_from.file, 4u);
}

TEST(MergeCheckpoints, M2_WithoutAnyReadableFileSomebodyMayBeLost) {
  EXPECT_FALSE(MergeCheckpoints({}, {}).unnamed_lost);
  EXPECT_TRUE(MergeCheckpoints({.present = true, .content = {}}, {}).unnamed_lost);
  const MergedCheckpoints one = MergeCheckpoints({.present = true, .content = {}}, FileOf(6, {1}));
  EXPECT_FALSE(one.unnamed_lost) << "the file that is left names all";
  EXPECT_EQ(one.replay_from.file, 6u);
  EXPECT_EQ(one.highest_incarnation, 1u);
}

}  // namespace
}  // namespace duramen::meta
