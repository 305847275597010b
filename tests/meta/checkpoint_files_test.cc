// The two files on the simulated disk: crashed at every operation under both profiles, with full
// disks, failed syncs and rotten rows.
#include "meta/checkpoint_files.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "tests/meta/checkpoint_samples.h"
#include "sim/crash_states.h"
#include "sim/sim_file_system.h"

namespace duramen::meta {
namespace {

using sim::DiskState;
using sim::FaultEffect;
using sim::OpKind;
using sim::Profile;

constexpr Profile kProfiles[] = {Profile::kExt4, Profile::kAdversary};

/// A process that has the files open. Checkpoint n has the rows of generation n.
struct Process {
  Process(const DiskState& disk, sim::SiteTable& sites) : machine(disk, sites) {
    EXPECT_TRUE(machine.CreateDirectories("/meta").ok());
    directory = machine.Open("/meta").value();
    files = std::make_unique<CheckpointFiles>(*directory, SampleSystem());
  }
  LoadedCheckpoints Load() const { return files->Load().value(); }
  Result<WrittenCheckpoint> Write(std::uint64_t generation, std::size_t value_bytes = 40) const {
    return files->Write(SampleCheckpoint(6, generation, value_bytes).content());
  }
  sim::SimFileSystem machine;
  std::unique_ptr<Directory> directory;
  std::unique_ptr<CheckpointFiles> files;
};

/// Every row that a start would take is one that was written in the generation it comes with, which
/// is not below `durable`; and nobody is lost.
void ExpectSound(const LoadedCheckpoints& loaded, std::uint64_t durable, std::uint64_t newest) {
  std::uint64_t whole = 0;
  for (const CheckpointFile& file : loaded.files) {
    if (!file.content) continue;
    if (file.content->whole()) whole = std::max(whole, file.content->covers.file);
    for (const CheckpointServer& server : file.content->servers) {
      const std::uint64_t generation = file.content->covers.file;
      const std::size_t position = static_cast<std::size_t>(server.uid.bytes[1]);
      const auto wrote = SampleServer(static_cast<std::uint32_t>(position), generation);
      ASSERT_EQ(RowBytes(server), RowBytes(wrote));
    }
    if (file.content->whole()) {
      ASSERT_EQ(file.content->servers.size(), 6u);
    }
  }
  ASSERT_GE(whole, durable);
  ASSERT_LE(whole, newest);
  if (durable == 0) return;
  const MergedCheckpoints merged = MergeCheckpoints(loaded.files[0], loaded.files[1]);
  ASSERT_EQ(merged.servers.size(), 6u);
  ASSERT_TRUE(merged.unreadable.empty() && merged.only_in_wal.empty() && !merged.unnamed_lost);
  for (const MergedServer& server : merged.servers) ASSERT_GE(server.covers.file, durable);
  ASSERT_GE(merged.replay_from.file, durable);
}

/// Crashes at every `step`th state behind every operation of the trace from `first` on.
void CrashEverywhere(const Process& process, std::size_t first, std::uint64_t step,
                     const std::function<std::uint64_t(std::size_t)>& durable_at) {
  sim::SiteTable sites;
  DiskState disk = process.machine.start();
  const auto& trace = process.machine.trace();
  for (std::size_t at = 0; at < trace.size(); ++at) {
    disk.Apply(trace[at]);
    if (at < first) continue;
    for (const Profile profile : kProfiles) {
      const sim::CrashStates states(disk, profile);
      for (std::uint64_t i = at % step; i < states.count(); i += step) {
        SCOPED_TRACE(Describe(trace[at]) + " state " + std::to_string(i));
        const Process later(DiskState(states.Materialize(states.At(i))), sites);
        ASSERT_NO_FATAL_FAILURE(
            ExpectSound(later.Load(), durable_at(at), durable_at(trace.size()) + 1));
      }
    }
  }
}

class CheckpointFilesTest : public testing::Test {
 protected:
  /// A process that has written checkpoints 1 to `count`.
  std::unique_ptr<Process> Started(std::uint64_t count, std::size_t value_bytes = 40) {
    auto process = std::make_unique<Process>(DiskState(), sites_);
    (void)process->Load();
    for (std::uint64_t n = 1; n <= count; ++n) EXPECT_TRUE(process->Write(n, value_bytes).ok());
    return process;
  }
  /// The next process after a kill: the page cache survives.
  std::unique_ptr<Process> Restarted(const Process& before) {
    return std::make_unique<Process>(before.machine.disk(), sites_);
  }
  sim::SiteTable sites_;
};

TEST_F(CheckpointFilesTest, B3_TheyAreWrittenInTurnsAndInPlaceWithOneSync) {
  const auto process = Started(0);
  EXPECT_EQ(process->Write(1)->file, "checkpoint-a");
  EXPECT_EQ(process->Write(2)->file, "checkpoint-b");
  for (std::uint64_t n = 3; n <= 6; ++n) {
    const std::size_t before = process->machine.trace().size();
    const Result<WrittenCheckpoint> written = process->Write(n);
    ASSERT_TRUE(written.ok());
    EXPECT_EQ(written->file, kCheckpointNames[(n + 1) % 2]);
    EXPECT_TRUE(written->in_place);
    EXPECT_EQ(written->sequence, n);
    const auto& trace = process->machine.trace();
    ASSERT_EQ(trace.size(), before + 2) << "a write and a sync";
    EXPECT_EQ(trace.back().kind, OpKind::kSyncData);
  }
  const auto later = Restarted(*process);
  const LoadedCheckpoints loaded = later->Load();
  EXPECT_TRUE(loaded.findings.empty());
  EXPECT_EQ(loaded.files[0].content->sequence, 5u);
  EXPECT_EQ(loaded.files[1].content->sequence, 6u);
  EXPECT_STREQ(later->files->next_file(), "checkpoint-a");
}

TEST_F(CheckpointFilesTest, M2_ACrashAnywhereLeavesTheNewestDurableOneWhole) {
  std::vector<std::size_t> ends;
  const auto process = Started(0);
  for (std::uint64_t n = 1; n <= 5; ++n) {
    ASSERT_TRUE(process->Write(n).ok());
    ends.push_back(process->machine.trace().size());
  }
  const auto durable_at = [&](std::size_t at) {
    const auto done =
        std::count_if(ends.begin(), ends.end(), [&](auto end) { return end <= at + 1; });
    return static_cast<std::uint64_t>(done);
  };
  ASSERT_NO_FATAL_FAILURE(CrashEverywhere(*process, 0, 1, durable_at));
}

// [A5] A start after a kill finds pages that are in the cache alone; then it writes, and the power
// goes. Killed at every operation of two writes, crashed at every operation of the next one.
TEST_F(CheckpointFilesTest, A5_WhatAKillLeftIsDurableBeforeTheOtherFileIsTouched) {
  const auto first = Started(2);
  const std::size_t two = first->machine.trace().size();
  ASSERT_TRUE(first->Write(3).ok());
  const std::size_t three = first->machine.trace().size();
  ASSERT_TRUE(first->Write(4).ok());
  DiskState disk = first->machine.start();
  for (std::size_t killed = 0; killed < first->machine.trace().size(); ++killed) {
    disk.Apply(first->machine.trace()[killed]);
    if (killed + 1 < two) continue;
    const std::uint64_t durable = killed + 1 < three ? 2 : 3;
    const Process second(disk, sites_);
    const LoadedCheckpoints loaded = second.Load();
    EXPECT_EQ(second.files->covered_file(), 0u) << "nothing is known durable yet [A2]";
    ASSERT_TRUE(second.Write(5).ok());
    ASSERT_NO_FATAL_FAILURE(CrashEverywhere(second, 0, 5, [&](std::size_t at) {
      return at + 1 >= second.machine.trace().size() ? 5u : durable;
    }));
  }
}

TEST_F(CheckpointFilesTest, B3_AFullDiskStopsNoCheckpointThatFits) {
  const auto process = Started(2);
  process->machine.Schedule({.kind = OpKind::kAllocate,
                             .file_class = "",
                             .times = UINT64_MAX,
                             .effect = FaultEffect::kDiskFull});
  ASSERT_TRUE(process->Write(3).ok());
  const Result<WrittenCheckpoint> grown = process->Write(4, 60000);
  ASSERT_FALSE(grown.ok());
  EXPECT_EQ(grown.error().code, ErrorCode::kDiskFull);
  EXPECT_EQ(process->files->covered_file(), 2u) << "both files are as they were";
  const Result<WrittenCheckpoint> fits = process->Write(5);
  ASSERT_TRUE(fits.ok());
  EXPECT_EQ(fits->file, "checkpoint-b");
}

TEST_F(CheckpointFilesTest, B3_GrowthIsAllocatedInSteps) {
  const auto process = Started(2);
  ASSERT_TRUE(process->Write(3, 50000).ok());
  const auto size = [&](const char* name) {
    const auto& disk = process->machine.disk().visible();
    return disk.content(disk.FindPath(std::string("/meta/") + name)).size_bytes();
  };
  EXPECT_EQ(size("checkpoint-b"), kCheckpointGrainBytes);
  EXPECT_EQ(size("checkpoint-a") % kCheckpointGrainBytes, 0u);
  EXPECT_GT(size("checkpoint-a"), 6 * 50000u);
  ASSERT_TRUE(process->Write(4, 50000).ok());
  const std::size_t before = process->machine.trace().size();
  ASSERT_TRUE(process->Write(5, 55000).ok()) << "within the step";
  EXPECT_EQ(process->machine.trace().size(), before + 2);
}

TEST_F(CheckpointFilesTest, T6_AFileThatGrewByAccidentIsReplaced) {
  const auto process = Started(2);
  const auto directory = process->machine.Open("/meta").value();
  const auto file = directory->Open("checkpoint-a", OpenFor::kReadWrite).value();
  ASSERT_TRUE(file->Truncate(1ull << 40).ok());
  const auto later = Restarted(*process);
  ASSERT_TRUE(later->Load().files[0].content->whole());
  const Result<WrittenCheckpoint> written = later->Write(3);
  ASSERT_TRUE(written.ok());
  EXPECT_EQ(written->file, "checkpoint-a");
  EXPECT_FALSE(written->in_place);
  const auto& disk = later->machine.disk().visible();
  EXPECT_EQ(disk.content(disk.FindPath("/meta/checkpoint-a")).size_bytes(), kCheckpointGrainBytes);
}

// A crash while the disk is full leaves one file torn; the next start must go on all the same.
TEST_F(CheckpointFilesTest, B3_ATornFileOnAFullDiskIsWrittenInPlace) {
  const auto process = Started(4);
  process->machine.Rot("/meta/checkpoint-a", kCheckpointHeaderBytes + 50, std::byte{0x99});
  const auto later = Restarted(*process);
  later->machine.Schedule({.kind = OpKind::kAllocate,
                           .file_class = "",
                           .times = UINT64_MAX,
                           .effect = FaultEffect::kDiskFull});
  ASSERT_FALSE(later->Load().files[0].content->whole());
  const Result<WrittenCheckpoint> written = later->Write(5);
  ASSERT_TRUE(written.ok());
  EXPECT_EQ(written->file, "checkpoint-a");
  EXPECT_TRUE(written->in_place);
}

TEST_F(CheckpointFilesTest, M2_AFailedSyncMovesToANewFile) {
  const auto process = Started(2);
  process->machine.Schedule({.kind = OpKind::kSyncData, .file_class = "checkpoint-a"});
  const Result<WrittenCheckpoint> failed = process->Write(3);
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().code, ErrorCode::kIo);
  EXPECT_EQ(process->files->covered_file(), 0u);
  const std::size_t before = process->machine.trace().size();
  const Result<WrittenCheckpoint> again = process->Write(4);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->file, "checkpoint-a");
  EXPECT_FALSE(again->in_place);
  const std::size_t end = process->machine.trace().size();
  ASSERT_NO_FATAL_FAILURE(CrashEverywhere(*process, before, 1,
                                          [&](std::size_t at) { return at + 1 >= end ? 4u : 2u; }));
  EXPECT_EQ(process->Write(5)->file, "checkpoint-b");
  EXPECT_TRUE(process->Write(6)->in_place);
}

// Its pages may be marked clean, so not even a full disk brings the file back into service.
TEST_F(CheckpointFilesTest, M2_AFileWithAFailedSyncIsNotWrittenAgainOnAFullDisk) {
  const auto process = Started(2);
  process->machine.Schedule({.kind = OpKind::kSyncData, .file_class = "checkpoint-a"});
  ASSERT_FALSE(process->Write(3).ok());
  process->machine.Schedule(
      {.kind = OpKind::kAllocate, .file_class = "", .effect = FaultEffect::kDiskFull});
  const Result<WrittenCheckpoint> full = process->Write(4);
  ASSERT_FALSE(full.ok());
  EXPECT_EQ(full.error().code, ErrorCode::kDiskFull);
  EXPECT_EQ(process->Write(5)->file, "checkpoint-a") << "there is room again";
}

// Whatever fails, once, at whatever operation: the write says so, the next one succeeds, and the
// newest that succeeded is durable all the time.
TEST_F(CheckpointFilesTest, M2_EveryOperationMayFailOnce) {
  for (const FaultEffect effect : {FaultEffect::kIoError, FaultEffect::kDiskFull}) {
    for (std::uint64_t skip = 0; skip < 14; ++skip) {
      const auto process = Started(0);
      process->machine.Schedule({.kind = {}, .file_class = "", .skip = skip, .effect = effect});
      std::uint64_t last = 0;
      std::uint64_t failures = 0;
      for (std::uint64_t n = 1; n <= 6; ++n) {
        const bool ok = process->Write(n).ok();
        if (ok) last = n;
        failures += ok ? 0 : 1;
        if (last == 0) continue;
        const DiskState lost(process->machine.disk().durable());
        ASSERT_NO_FATAL_FAILURE(ExpectSound(Process(lost, sites_).Load(), last, n));
      }
      EXPECT_LE(failures, 1u);
      EXPECT_EQ(last, 6u);
      EXPECT_EQ(process->files->covered_file(), 5u);
    }
  }
}

TEST_F(CheckpointFilesTest, A2_RecyclingGoesByTheLowerOfBothAndBothDurable) {
  const auto process = Started(0);
  EXPECT_EQ(process->files->covered_file(), 0u);
  ASSERT_TRUE(process->Write(1).ok());
  EXPECT_EQ(process->files->covered_file(), 0u);
  ASSERT_TRUE(process->Write(2).ok());
  EXPECT_EQ(process->files->covered_file(), 1u);
  const auto later = Restarted(*process);
  (void)later->Load();
  EXPECT_EQ(later->files->covered_file(), 0u);
  ASSERT_TRUE(later->Write(3).ok());
  EXPECT_EQ(later->files->covered_file(), 2u);
}

// M3: a rotten row is reported with its file, place and server, taken from the other file, and the
// damaged file is the next one written.
TEST_F(CheckpointFilesTest, M3_ARottenRowIsReportedAndItsFileIsWrittenNext) {
  const auto process = Started(3);
  const std::uint64_t in_first_row = kCheckpointHeaderBytes + 60;
  process->machine.Rot("/meta/checkpoint-a", in_first_row, std::byte{0x99});
  const auto later = Restarted(*process);
  const LoadedCheckpoints loaded = later->Load();
  ASSERT_EQ(loaded.findings.size(), 1u);
  EXPECT_EQ(loaded.findings[0].file, "checkpoint-a");
  EXPECT_EQ(loaded.findings[0].damage.offset, kCheckpointHeaderBytes);
  EXPECT_EQ(loaded.findings[0].damage.uid, SampleUid(1));
  ASSERT_NO_FATAL_FAILURE(ExpectSound(loaded, 2, 3));
  EXPECT_STREQ(later->files->next_file(), "checkpoint-a");
  EXPECT_EQ(later->Write(4)->sequence, 4u);
  EXPECT_EQ(Restarted(*later)->Load().findings.size(), 0u);
}

TEST_F(CheckpointFilesTest, M2_AFileThatIsNoCheckpointIsReportedAndReplaced) {
  const auto process = Started(2);
  for (const std::uint64_t offset : {0u, 4096u}) {
    process->machine.Rot("/meta/checkpoint-b", offset, std::byte{0x99});
  }
  const auto later = Restarted(*process);
  const LoadedCheckpoints loaded = later->Load();
  ASSERT_EQ(loaded.findings.size(), 1u);
  EXPECT_TRUE(loaded.files[1].present && !loaded.files[1].content);
  ASSERT_NO_FATAL_FAILURE(ExpectSound(loaded, 1, 1));
  EXPECT_STREQ(later->files->next_file(), "checkpoint-b");
  EXPECT_TRUE(later->Write(3).ok());
}

}  // namespace
}  // namespace duramen::meta
