// Damage of any size, and threads: what is served is what was appended, whatever is on the disk.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <set>
#include <thread>

#include "base/posix_io.h"
#include "segments/reader.h"
#include "segments/scan.h"
#include "tests/base/temp_dir.h"
#include "tests/segments/specimen.h"

namespace duramen::segments::testing {
namespace {

Server RandomServer(Rng& rng) {
  const bool compressed = rng.OneIn(2);
  Server server({.entries_max = 4 + rng.Below(12),
                 .buffer_bytes = 200 + rng.Below(600),
                 .compression = compressed ? Compression::kZstd : Compression::kNone,
                 .block_bytes = 300 + rng.Below(600)},
                rng.Next());
  std::uint64_t epoch = 0;
  Index end = 1;
  for (int round = 0; round < 8; ++round) {
    Index cut = end;
    if (rng.OneIn(3) && end > 1) {
      cut = 1 + rng.Below(end - 1);
      ++epoch;
    }
    const std::size_t count = 1 + rng.Below(8);
    server.Flush(cut, epoch, Entries(cut, count, 1 + epoch, rng.Below(60)));
    end = cut + count;
  }
  return server;
}

void DamageSome(Server& server, Rng& rng) {
  const auto segments = server.list.segments();
  const std::uint64_t number = segments[rng.Below(segments.size())].number;
  FileBytes& bytes = server.Bytes(number);
  switch (rng.Below(4)) {
    case 0:
      bytes.resize(rng.Below(bytes.size() + 1));
      break;
    case 1:
      server.directory.files.erase(FileName(number));
      break;
    default: {
      const std::size_t at = rng.Below(bytes.size());
      const std::size_t end = std::min<std::size_t>(bytes.size(), at + 1 + rng.Below(512));
      for (std::size_t i = at; i < end; ++i) bytes[i] = static_cast<std::byte>(rng.Next());
    }
  }
}

// One damaged stretch of any size: every entry is read as it was appended, or blamed.
TEST(Segments, G5_NoDamageMakesWrongEntries) {
  std::size_t lost_entries = 0;
  std::size_t all_entries = 0;
  for (std::uint64_t seed = 1; seed <= 3000; ++seed) {
    SCOPED_TRACE(seed);
    Rng rng(seed);
    Server server = RandomServer(rng);
    DamageSome(server, rng);
    const ScanRequest request{.directory = server.directory,
                              .identity = Identity(),
                              .authority = server.flushed,
                              .begin = 1};
    const ScanResult scan = ScanServer(request).value();
    std::set<Index> blamed;
    for (const IndexRange& range : scan.lost) {
      for (Index i = range.begin; i < range.end; ++i) blamed.insert(i);
    }
    const VerifyResult verified = VerifyServer(request, scan.list).value();
    for (const Finding& finding : verified.findings) {
      for (Index i = finding.lost.begin; i < finding.lost.end; ++i) blamed.insert(i);
    }
    OpenFiles files(server.directory);
    std::set<Index> unreadable;
    for (const auto& [index, expected] : server.model) {
      ReadEntries read;
      const ReadPlan plan = PlanRange(scan.list, Identity(), {index, index + 1}, 1);
      if (!ExecutePlan(plan, files, read).ok()) {
        unreadable.insert(index);
        continue;
      }
      ASSERT_EQ(AsText(read.entries[0].payload), expected.payload) << index;
      ASSERT_EQ(read.entries[0].term, expected.term) << index;
    }
    ASSERT_EQ(unreadable, blamed);
    lost_entries += unreadable.size();
    all_entries += server.model.size();
  }
  // Most of what is not touched is kept: 4096 random bytes at the most were changed in each.
  EXPECT_LT(lost_entries * 2, all_entries);
}

TEST(Segments, G5_RandomBytesAreNoEntries) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    Rng rng(seed);
    Server server;
    auto bytes = std::make_shared<FileBytes>(rng.Below(3000));
    for (std::byte& one : *bytes) one = static_cast<std::byte>(rng.Next());
    server.directory.files[FileName(1)] = bytes;
    const ScanRequest request{.directory = server.directory,
                              .identity = Identity(),
                              .authority = Flushed{.segment = 1, .bytes = bytes->size(), .end = 9},
                              .begin = 1};
    const ScanResult scan = ScanServer(request).value();
    EXPECT_TRUE(scan.list.Range().empty());
    EXPECT_THAT(scan.lost, ::testing::ElementsAre(IndexRange{1, 9}));
  }
}

// A flusher appends and cuts while readers read by copies of the list, with few descriptors.
TEST(Segments, SG4_ReadersKeepTheirListWhileTheFlusherGoesOn) {
  ::duramen::testing::TempDir place;
  PosixFileSystem file_system;
  const auto servers = file_system.Open(place.path()).value();
  ASSERT_TRUE(servers->CreateDirectory(Identity().uid.ToString()).ok());
  const auto directory = servers->OpenDirectory(Identity().uid.ToString()).value();
  OpenFiles files(*servers, 3);
  std::mutex mutex;
  std::pair<SegmentList, std::uint64_t> shown;  // under mutex; the second is the epoch
  std::atomic<bool> stop{false};
  const auto read = [&] {
    std::uint64_t reads = 0;
    while (!stop.load() || reads < 20) {
      std::pair<SegmentList, std::uint64_t> seen;
      {
        const std::lock_guard lock(mutex);
        seen = shown;
      }
      const IndexRange range = seen.first.Range();
      if (range.empty()) continue;
      ReadEntries entries;
      const Status status =
          ExecutePlan(PlanRange(seen.first, Identity(), range, 1 << 20), files, entries);
      CHECK(status.ok() && entries.entries.size() == range.size());
      CHECK(entries.entries.back().term == seen.second + 1);
      ++reads;
    }
  };
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i) readers.emplace_back(read);
  Rng rng(7);
  WriterSetup setup{
      .directory = *directory, .identity = Identity(), .limits = {.entries_max = 40}, .rng = rng};
  for (std::uint64_t epoch = 0; epoch < 60; ++epoch) {
    const Index end = setup.list.Range().end;
    const Index cut = end == 0 ? 1 : end - rng.Below(std::min<Index>(end, 10));
    SegmentWriter writer(setup);
    const Batch batch = Entries(cut, 12, epoch + 1);
    ASSERT_TRUE(writer.Append(cut, epoch, batch.Records()).ok());
    WrittenRound round = writer.Finish().value();
    setup.list = round.list;
    setup.flushed = round.flushed;
    setup.next_number = writer.next_number();
    setup.may_append = true;
    const std::lock_guard lock(mutex);
    shown = {round.list, epoch};
  }
  stop.store(true);
  for (std::thread& reader : readers) reader.join();
  EXPECT_LE(files.open_count(), 3u);
}

}  // namespace
}  // namespace duramen::segments::testing
