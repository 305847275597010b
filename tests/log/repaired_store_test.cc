// A store whose repair was a life on an overlay; and the bytes of the journal that says so.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/posix_io.h"
#include "base/thread_executor.h"
#include "base/try.h"
#include "log/overlay.h"
#include "log/repair.h"
#include "log/repair_journal.h"
#include "log/system_file.h"
#include "tests/base/temp_dir.h"
#include "tests/log/disk_tree.h"
#include "tests/log/flush_machine.h"

namespace duramen::log {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr char kId[] = "a-life";

Status FinishOn(sim::SimFileSystem& disk) {
  return FinishPendingRepair(disk, *disk.Open("/data").value());
}

Status UndoOn(sim::SimFileSystem& disk) {
  const auto data = disk.Open("/data").value();
  TRY(RepairJournal(disk, *data).Undo(kId, false));
  return {};
}

TEST(RepairFormat, T1_EveryFlippedOrMissingByteIsRefused) {
  const RepairRecord record{.id = "id",
                            .created_unix_ms = 5,
                            .wal_dir = "/wal2",
                            .steps = {{.root = 0,
                                       .path = "servers",
                                       .old = {},
                                       .fresh = {.kind = RepairSide::Kind::kDirectory, .copy = ""}},
                                      {.root = 1,
                                       .path = "a/b",
                                       .old = {RepairSide::Kind::kFile, 7, 8, "1"},
                                       .fresh = {RepairSide::Kind::kFile, 9, 10, "2"}}},
                            .wal_names = {"1.wal", "IDENTITY"}};
  const std::vector<std::byte> bytes = EncodeRepairRecord(record);
  EXPECT_EQ(DecodeRepairRecord(bytes).value(), record);
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    std::vector<std::byte> damaged = bytes;
    damaged[at] ^= std::byte{1};
    EXPECT_FALSE(DecodeRepairRecord(damaged).ok()) << at;
    EXPECT_FALSE(DecodeRepairRecord(Bytes(bytes).first(at)).ok()) << at;
  }
  const PendingRepair pending{.id = "id", .direction = RepairDirection::kUndo};
  EXPECT_EQ(DecodePendingRepair(EncodePendingRepair(pending)).value(), pending);
}

TEST(RepairFormat, T1_PathsStayBelowTheirRoots) {
  const auto decodes = [](const std::string& path, std::uint8_t root, const std::string& copy) {
    const RepairRecord record{.id = "id",
                              .wal_dir = "",
                              .steps = {{.root = root,
                                         .path = path,
                                         .old = {},
                                         .fresh = {RepairSide::Kind::kFile, 1, 1, copy}}},
                              .wal_names = {}};
    return DecodeRepairRecord(EncodeRepairRecord(record)).ok();
  };
  EXPECT_TRUE(decodes("a/b", 0, "1"));
  EXPECT_FALSE(decodes("a/b", 1, "1")) << "there is no such root";
  for (const char* path : {"", "/a", "a/", "a//b", ".", "..", "a/../b", "../a"}) {
    EXPECT_FALSE(decodes(path, 0, "1")) << path;
  }
  EXPECT_FALSE(decodes("a", 0, "../1"));
  EXPECT_FALSE(decodes("a", 0, ""));
}

/// A closed store with some logs, and the files that its life left.
void FillStore(Machine& machine) {
  UseSmallFiles(machine);
  machine.Start();
  machine.Write(machine.Log("a"), 1, 1, {"a1", "a2", "a3"});
  const LogRef other = machine.Log("other");
  for (Index i = 1; i <= 20; ++i) machine.Write(other, i, 1, {std::string(3000, 'o')});
  machine.Settle();
  ASSERT_GT(machine.Metric("flush_rounds"), 0u);
  ASSERT_TRUE(machine.Close().ok());
  ASSERT_TRUE(machine.disk().Open("/").value()->SyncFileSystem().ok());  // ATTEMPT is never synced.
}

/// A life of a store: it starts, writes, rolls, flushes, and closes. `loop` is null with threads.
Status Live(const Machine& like, StorageEnvironment environment, LoopExecutor* loop) {
  LogStore store = TRY(OpenLogStore(like.options, environment, like.tuning));
  {
    Writer writer = TRY(store.NewWriter());
    const LogRef log = TRY(store.OpenLog(writer, "b", OpenMode::kOpenOrCreate));
    const LogRef a = TRY(store.OpenLog(writer, "a", OpenMode::kOpenOrCreate));
    const Ticket cut = TRY(writer.TruncateSuffix(a, 3));
    TRY(writer.Wait(cut, Deadline::max()));
    const std::string text(3000, 'b');
    for (Index i = 1; i <= 20; ++i) {
      const EntryView entry{i, 2, kFirstUserKind, AsBytes(text)};
      const LogAppend group{log, {&entry, 1}};
      const Ticket ticket = TRY(writer.Append({&group, 1}));
      TRY(writer.Wait(ticket, Deadline::max()));
      if (loop != nullptr) (void)loop->RunUntilIdle(1'000'000);
    }
  }
  return store.Close(Deadline::max());
}

/// Does each write when it is submitted, as an overlay does: the two lives take the same steps.
class InlineDisk final : public FileSystem {
 public:
  explicit InlineDisk(FileSystem& disk) : disk_(disk) {}
  Result<std::unique_ptr<Directory>> Open(const std::string& path) override {
    return disk_.Open(path);
  }
  Status CreateDirectories(const std::string& path) override {
    return disk_.CreateDirectories(path);
  }

 private:
  FileSystem& disk_;
};

Status LiveInALoop(FileSystem& file_system, const Machine& like) {
  ManualClock clock;
  LoopExecutor loop(Rng(3), clock);
  return Live(like, {file_system, clock, loop, Rng(4)}, &loop);
}

/// Live on an overlay of the machine's disk, and its commit.
void CommitALife(Machine& machine) {
  const auto data = machine.disk().Open("/data").value();
  RepairJournal journal(machine.disk(), *data);
  const auto staging = journal.Begin(kId).value();
  OverlayFileSystem overlay(machine.disk(), {"/data"}, *staging);
  const Tree before = StoreOnly(TreeOf(machine.disk().disk().visible(), "/data"));
  const Status lived = LiveInALoop(overlay, machine);
  ASSERT_TRUE(lived.ok()) << lived.error().message;
  EXPECT_EQ(StoreOnly(TreeOf(machine.disk().disk().visible(), "/data")), before);
  ASSERT_TRUE(overlay.SyncStaged().ok());
  const std::vector<OverlayChange> changes = overlay.Changes().value();
  EXPECT_GT(changes.size(), 4u);
  ASSERT_TRUE(
      journal.Commit({.id = kId, .wal_dir = "", .created_unix_ms = 1, .changes = changes}).ok());
}

TEST(RepairedStore, T2_ALifeOnTheOverlayBecomesTheFilesOfADirectOne) {
  Machine machine;
  FillStore(machine);
  Machine direct;
  direct.options = machine.options;
  direct.UseDisk(machine.disk().disk());
  InlineDisk disk(direct.disk());
  ASSERT_TRUE(LiveInALoop(disk, machine).ok());
  CommitALife(machine);
  ASSERT_TRUE(FinishOn(machine.disk()).ok());
  EXPECT_THAT(Differences(StoreOnly(TreeOf(direct.disk().disk().visible(), "/data")),
                          StoreOnly(TreeOf(machine.disk().disk().visible(), "/data"))),
              IsEmpty());
  machine.Start();
  EXPECT_THAT(machine.Contents("a"), ElementsAre("1:1:a1", "2:1:a2"));
  EXPECT_THAT(machine.Contents("b"), SizeIs(20));
  EXPECT_FALSE(machine.store().recovery_report().damaged());
  machine.Kill();
  EXPECT_EQ(UndoOn(machine.disk()).error().code, ErrorCode::kRefused) << "it was started";
}

// A start finishes a repair that was decided, also one that is killed meanwhile itself.
TEST(RepairedStore, T2_AStartFinishesWhatWasDecided) {
  Machine committed;
  FillStore(committed);
  CommitALife(committed);
  const sim::DiskState disk = committed.disk().disk();
  std::uint64_t stopped = 0;
  for (std::uint64_t at = 0; at < 200; ++at) {
    for (const bool power : {false, true}) {
      SCOPED_TRACE(::testing::Message() << "operation " << at << " power " << power);
      Machine machine;
      machine.options = committed.options;
      machine.UseDisk(disk);
      machine.disk().Schedule(
          {.kind = {}, .file_class = "", .skip = at, .effect = sim::FaultEffect::kCrash});
      if (!machine.Open().ok()) ++stopped;
      power ? machine.PowerLoss(sim::Profile::kAdversary, at * 7919) : machine.Kill();
      machine.Start();
      ASSERT_THAT(machine.Contents("a"), ElementsAre("1:1:a1", "2:1:a2"));
      ASSERT_THAT(machine.Contents("b"), SizeIs(20));
      ASSERT_FALSE(machine.store().recovery_report().damaged());
    }
  }
  EXPECT_GT(stopped, 60u);
}

TEST(RepairedStore, T2_UndoneTheStoreIsAsIfNothingHadBeen) {
  Machine machine;
  FillStore(machine);
  const Tree before = StoreOnly(TreeOf(machine.disk().disk().visible(), "/data"));
  CommitALife(machine);
  ASSERT_TRUE(FinishOn(machine.disk()).ok());
  ASSERT_TRUE(UndoOn(machine.disk()).ok());
  EXPECT_THAT(Differences(before, StoreOnly(TreeOf(machine.disk().disk().visible(), "/data"))),
              IsEmpty());
  machine.PowerLoss();
  EXPECT_EQ(StoreOnly(TreeOf(machine.disk().disk().visible(), "/data")), before);
  machine.Start();
  EXPECT_THAT(machine.Contents("a"), SizeIs(3));
}

/// The store is repaired and has run since: entries for both logs, a new log, and flushes.
void RepairAndRun(Machine& machine) {
  CommitALife(machine);
  ASSERT_TRUE(FinishOn(machine.disk()).ok());
  machine.Start();
  machine.Write(machine.Log("a"), 3, 3, {"a3 of the repaired one"});
  const LogRef late = machine.Log("late");
  for (Index i = 1; i <= 30; ++i) machine.Write(late, i, 3, {std::string(3000, 'l')});
  machine.Settle();
  ASSERT_GT(machine.Metric("flush_rounds"), 0u);
  ASSERT_TRUE(machine.Close().ok());
  ASSERT_TRUE(machine.disk().Open("/").value()->SyncFileSystem().ok());
}

Result<std::string> ForceUndoOn(sim::SimFileSystem& disk, const std::string& id) {
  const auto data = TRY(disk.Open("/data"));
  return RepairJournal(disk, *data).Undo(id, true);
}

/// Without segments: what was flushed since stays behind what counts.
Tree WalAndMeta(Machine& machine) {
  Tree tree = StoreOnly(TreeOf(machine.disk().disk().visible(), "/data"));
  std::erase_if(tree, [](const auto& entry) {
    return !entry.first.starts_with("wal/") && !entry.first.starts_with("meta/");
  });
  return tree;
}

// The chain of WAL files is read from the newest: one that stayed would hide all that came back.
TEST(RepairedStore, T2_ForcedOverAStoreThatRanTheOldOneComesBackWhole) {
  Machine machine;
  FillStore(machine);
  const Tree before = WalAndMeta(machine);
  ASSERT_GT(before.size(), 3u);
  RepairAndRun(machine);
  const Tree after = WalAndMeta(machine);
  EXPECT_EQ(UndoOn(machine.disk()).error().code, ErrorCode::kRefused);
  const Result<std::string> undone = ForceUndoOn(machine.disk(), kId);
  ASSERT_TRUE(undone.ok()) << undone.error().message;
  EXPECT_EQ(*undone, std::string(kId) + "-undo");
  EXPECT_THAT(Differences(before, WalAndMeta(machine)), IsEmpty());
  const sim::DiskState disk = machine.disk().disk();
  machine.Start();
  EXPECT_THAT(machine.Contents("a"), ElementsAre("1:1:a1", "2:1:a2", "3:1:a3"));
  EXPECT_THAT(machine.Contents("other"), SizeIs(20));
  EXPECT_EQ(machine.store().Logs().size(), 2u);
  EXPECT_FALSE(machine.store().recovery_report().damaged());
  machine.Kill();
  // And what was written since is not lost either.
  Machine again;
  again.options = machine.options;
  again.UseDisk(disk);
  const auto data = again.disk().Open("/data").value();
  ASSERT_TRUE(RepairJournal(again.disk(), *data).Undo(*undone, false).ok());
  EXPECT_THAT(Differences(after, WalAndMeta(again)), IsEmpty());
  again.Start();
  EXPECT_THAT(again.Contents("a"), SizeIs(3));
  EXPECT_THAT(again.Contents("late"), SizeIs(30));
  EXPECT_FALSE(again.store().recovery_report().damaged());
}

TEST(RepairedStore, T2_AForcedUndoThatIsStoppedAnywhereIsOneOrTheOther) {
  Machine ran;
  FillStore(ran);
  RepairAndRun(ran);
  const sim::DiskState disk = ran.disk().disk();
  std::uint64_t old_ones = 0;
  std::uint64_t new_ones = 0;
  for (std::uint64_t at = 0; at < 400; ++at) {
    SCOPED_TRACE(::testing::Message() << "operation " << at);
    Machine machine;
    machine.options = ran.options;
    machine.UseDisk(disk);
    machine.disk().Schedule(
        {.kind = {}, .file_class = "", .skip = at, .effect = sim::FaultEffect::kCrash});
    const bool undone = ForceUndoOn(machine.disk(), kId).ok();
    machine.PowerLoss(sim::Profile::kAdversary, at * 7919);
    machine.Start();
    ASSERT_FALSE(machine.store().recovery_report().damaged());
    const bool old = machine.store().Logs().size() == 2;
    ASSERT_THAT(machine.Contents("a"), SizeIs(3));
    ASSERT_THAT(machine.Contents(old ? "other" : "late"), SizeIs(old ? 20 : 30));
    ASSERT_TRUE(old || !undone);
    ++(old ? old_ones : new_ones);
    if (undone) break;
  }
  EXPECT_GT(old_ones, 20u);
  EXPECT_GT(new_ones, 20u);
}

/// The WAL files of another system are mounted in the place of this one's.
SystemUuid MountWalOf(Machine& other, Machine& machine) {
  const auto wal = machine.disk().Open("/data/wal").value();
  const std::vector<DirectoryEntry> own = wal->List().value();
  for (const DirectoryEntry& entry : own) {
    EXPECT_TRUE(wal->Remove(entry.name).ok());
  }
  const auto from = other.disk().Open("/data/wal").value();
  const std::vector<DirectoryEntry> foreign = from->List().value();
  for (const DirectoryEntry& entry : foreign) {
    const std::vector<std::byte> bytes = other.FileBytes("/data/wal/" + entry.name);
    EXPECT_TRUE(wal->Create(entry.name).value()->Write(0, bytes).ok());
  }
  return DecodeSystemFile(other.FileBytes("/data/SYSTEM")).value().content.system;
}

// IDENTITY and the WAL travel together, so they are one witness against SYSTEM.
TEST(RepairedStore, A14_AWrongWalDirectoryDoesNotOutvoteSystem) {
  Machine machine;
  FillStore(machine);
  Machine other;
  other.seed = 77;
  FillStore(other);
  const SystemUuid foreign = MountWalOf(other, machine);
  const Tree before = StoreOnly(TreeOf(machine.disk().disk().visible(), "/data"));
  ManualClock clock;
  LoopExecutor loop(Rng(3), clock);
  const Result<RepairOutcome> outcome =
      RepairStore({.data_dir = "/data", .system = foreign}, {machine.disk(), clock, loop, Rng(4)});
  ASSERT_FALSE(outcome.ok());
  EXPECT_EQ(outcome.error().code, ErrorCode::kConfiguration);
  EXPECT_EQ(StoreOnly(TreeOf(machine.disk().disk().visible(), "/data")), before);
  // Without SYSTEM, IDENTITY and the WAL files have to agree.
  ASSERT_TRUE(machine.disk().Open("/data").value()->Remove("SYSTEM").ok());
  const Result<RepairOutcome> differ = RepairStore(
      {.data_dir = "/data", .system = Rng(9).NextUid()}, {machine.disk(), clock, loop, Rng(5)});
  ASSERT_FALSE(differ.ok());
  EXPECT_EQ(differ.error().code, ErrorCode::kConfiguration);
}

// The same on a real disk, with the threads of production on the overlay.
TEST(RepairedStore, T2_ThreadsOnARealDisk) {
  const testing::TempDir temp;
  PosixFileSystem posix;
  Machine like;  // For its sizes.
  like.options.data_dir = temp / "data";
  UseSmallFiles(like);
  SystemClock clock;
  ThreadExecutor threads;
  const auto open = [&] {
    return OpenLogStore(like.options, {posix, clock, threads, Rng(3)}, like.tuning);
  };
  {
    LogStore store = open().value();
    Writer writer = store.NewWriter().value();
    const LogRef a = store.OpenLog(writer, "a", OpenMode::kCreate).value();
    std::vector<EntryView> entries;
    for (Index i = 1; i <= 3; ++i) entries.push_back({i, 1, kFirstUserKind, AsBytes("text")});
    const LogAppend group{a, entries};
    ASSERT_TRUE(writer.Wait(writer.Append({&group, 1}).value(), Deadline::max()).ok());
  }
  const Tree before = StoreOnly(TreeOf(posix, like.options.data_dir));
  const auto data = posix.Open(like.options.data_dir).value();
  RepairJournal journal(posix, *data);
  {
    const auto staging = journal.Begin(kId).value();
    OverlayFileSystem overlay(posix, {like.options.data_dir}, *staging);
    const Status lived = Live(like, {overlay, clock, threads, Rng(4)}, nullptr);
    ASSERT_TRUE(lived.ok()) << lived.error().message;
    EXPECT_EQ(StoreOnly(TreeOf(posix, like.options.data_dir)), before);
    const std::vector<OverlayChange> changes = overlay.Changes().value();
    ASSERT_TRUE(
        journal.Commit({.id = kId, .wal_dir = "", .created_unix_ms = 1, .changes = changes}).ok());
  }
  ASSERT_TRUE(journal.Finish().ok());
  EXPECT_NE(StoreOnly(TreeOf(posix, like.options.data_dir)), before);
  ASSERT_TRUE(journal.Undo(kId, false).ok());
  EXPECT_THAT(Differences(before, StoreOnly(TreeOf(posix, like.options.data_dir))), IsEmpty());
  EXPECT_TRUE(open().ok());
}

}  // namespace
}  // namespace duramen::log
