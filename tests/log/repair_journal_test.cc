// A repair is carried out as a whole or not at all, whatever stops it, and back again.
#include "log/repair_journal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <optional>

#include "base/try.h"
#include "tests/log/disk_tree.h"
#include "tests/log/machine.h"
#include "sim/crash_states.h"

namespace duramen::log {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr char kId[] = "20260101-1";
constexpr char kPendingPath[] = "/data/quarantine/PENDING";

sim::SiteTable& Sites() {
  static auto* const sites = std::make_unique<sim::SiteTable>().release();
  return *sites;
}

/// Text whose sectors differ, so that a torn copy shows.
std::string Long(const std::string& what) {
  std::string text;
  for (int i = 0; text.size() < 2500; ++i) text += what + std::to_string(i);
  return text;
}

/// Everything that the tests compare: the store without its quarantine, and the other WAL
/// directory.
Tree StoreOn(const sim::Image& image) {
  Tree tree = StoreOnly(TreeOf(image, "/data"));
  for (auto& [path, text] : TreeOf(image, "/wal2")) tree["wal2:" + path] = text;
  return tree;
}

/// A durable store of two directories, and files of all that a repair does: replaced, removed,
/// added, a directory that goes, one that comes, one that becomes a file.
sim::DiskState StartDisk() {
  sim::SimFileSystem disk(sim::DiskState(), Sites());
  EXPECT_TRUE(disk.CreateDirectories("/data/wal").ok());
  EXPECT_TRUE(disk.CreateDirectories("/data/servers/A").ok());
  EXPECT_TRUE(disk.CreateDirectories("/data/servers/B").ok());
  EXPECT_TRUE(disk.CreateDirectories("/data/odd").ok());
  EXPECT_TRUE(disk.CreateDirectories("/wal2").ok());
  const auto fill = [&](const char* path, const std::vector<std::string>& names) {
    const auto directory = disk.Open(path).value();
    for (const std::string& name : names) {
      EXPECT_TRUE(WriteFile(*directory, name, Long(name)).ok());
    }
  };
  fill("/data", {"SYSTEM"});
  fill("/data/servers/A", {"1.seg", "2.seg", "3.seg"});
  fill("/data/servers/B", {"1.seg"});
  fill("/data/odd", {"inside"});
  fill("/wal2", {"IDENTITY", "7.wal", "8.wal"});
  EXPECT_TRUE(disk.Open("/").value()->SyncFileSystem().ok());
  return sim::DiskState(disk.disk().durable());
}

Status ChangeStore(FileSystem& overlay) {
  const auto a = TRY(overlay.Open("/data/servers/A"));
  const auto written = TRY(a->Open("1.seg", OpenFor::kReadWrite));
  TRY(written->Write(700, AsBytes(Long("written"))));
  TRY(a->Remove("2.seg"));
  TRY(WriteFile(*a, "4.seg", Long("added")));
  TRY(WriteFile(*a, "empty.seg", ""));
  const auto b = TRY(overlay.Open("/data/servers/B"));
  TRY(b->Remove("1.seg"));
  const auto servers = TRY(overlay.Open("/data/servers"));
  TRY(servers->RemoveDirectory("B"));
  TRY(servers->CreateDirectory("C"));
  const auto c = TRY(servers->OpenDirectory("C"));
  TRY(WriteFile(*c, "1.seg", Long("new server")));
  const auto odd = TRY(overlay.Open("/data/odd"));
  TRY(odd->Remove("inside"));
  const auto data = TRY(overlay.Open("/data"));
  TRY(data->RemoveDirectory("odd"));
  TRY(WriteFile(*data, "odd", "a file now"));
  const auto wal = TRY(overlay.Open("/wal2"));
  TRY(wal->Rename("7.wal", "9.wal"));
  const auto recycled = TRY(wal->Open("9.wal", OpenFor::kReadWrite));
  return recycled->Write(0, AsBytes("recycled"));
}

/// Everything up to the commit.
Status PrepareAndCommit(sim::SimFileSystem& disk, const std::string& id) {
  const auto data = TRY(disk.Open("/data"));
  RepairJournal journal(disk, *data);
  RepairJournal::Plan plan{.id = id, .wal_dir = "/wal2", .created_unix_ms = 77, .changes = {}};
  {
    const auto staging = TRY(journal.Begin(id));
    OverlayFileSystem overlay(disk, {"/data", "/wal2"}, *staging);
    TRY(ChangeStore(overlay));  // Not synced: the commit does.
    plan.changes = TRY(overlay.Changes());
  }
  return journal.Commit(plan);
}

Status FinishOn(sim::SimFileSystem& disk) {
  const auto data = TRY(disk.Open("/data"));
  return FinishPendingRepair(disk, *data);
}

Status UndoOn(sim::SimFileSystem& disk, bool force = false) {
  const auto data = TRY(disk.Open("/data"));
  TRY(RepairJournal(disk, *data).Undo(kId, force));
  return {};
}

Status Repair(sim::SimFileSystem& disk) {
  TRY(PrepareAndCommit(disk, kId));
  return FinishOn(disk);
}

Status Undo(sim::SimFileSystem& disk) { return UndoOn(disk); }

/// What a crash leaves: the page cache, or states of both profiles: of whole operations first, all
/// of them if they are few, then some of the others.
std::vector<sim::DiskState> CrashedDisks(const sim::DiskState& disk, std::uint64_t samples) {
  std::vector<sim::DiskState> disks{disk};
  for (const auto profile : {sim::Profile::kExt4, sim::Profile::kAdversary}) {
    const sim::CrashStates states(disk, profile);
    const auto draw = [&](std::uint64_t begin, std::uint64_t end, std::uint64_t most) {
      const std::uint64_t count = std::min(end - begin, most);
      for (std::uint64_t i = 0; i < count; ++i) {
        disks.emplace_back(states.Materialize(states.At(begin + i * (end - begin) / count)));
      }
    };
    draw(0, states.whole_count(), samples);
    draw(states.whole_count(), states.count(), samples / 4);
  }
  return disks;
}

/// What the quarantine says of kId; nothing where it says nothing.
std::optional<RepairBundle::State> StateOf(sim::SimFileSystem& disk) {
  const auto data = disk.Open("/data").value();
  const std::vector<RepairBundle> bundles = RepairJournal(disk, *data).List().value();
  if (bundles.empty()) return std::nullopt;
  EXPECT_EQ(bundles[0].id, kId);
  return bundles[0].state;
}

/// Runs something that changes a store from one tree to another, stopped in every way.
class Stopped {
 public:
  using Run = Status (*)(sim::SimFileSystem&);
  Stopped(sim::DiskState start, Run run) : start_(std::move(start)), run_(run) {
    sim::SimFileSystem disk(start_, Sites());
    before_ = StoreOn(disk.disk().visible());
    before_state_ = StateOf(disk);
    const Status done = run(disk);
    EXPECT_TRUE(done.ok()) << done.error().message;
    after_ = StoreOn(disk.disk().visible());
    after_state_ = StateOf(disk);
    operations_ = disk.trace().size();
  }

  const Tree& before() const { return before_; }
  const Tree& after() const { return after_; }
  std::uint64_t operations() const { return operations_; }
  std::uint64_t completed() const { return completed_; }
  std::uint64_t dropped() const { return dropped_; }

  /// At each operation, and in each of the states then.
  void AtEachOperation(std::uint64_t samples) {
    for (std::uint64_t at = 0; at <= operations_ && !::testing::Test::HasFailure(); ++at) {
      SCOPED_TRACE(::testing::Message() << "stopped at operation " << at);
      sim::SimFileSystem disk(start_, Sites());
      disk.Schedule({.kind = {}, .file_class = "", .skip = at, .effect = sim::FaultEffect::kCrash});
      const bool done = run_(disk).ok();
      std::uint64_t number = 0;
      for (const sim::DiskState& crashed : CrashedDisks(disk.disk(), samples)) {
        SCOPED_TRACE(::testing::Message() << "state " << number);
        Restart(crashed, done, number % 12 == at % 12);
        ++number;
      }
    }
  }

 private:
  /// What a start finds, also one that is stopped itself.
  void Restart(const sim::DiskState& crashed, bool must_be_done, bool again) {
    sim::SimFileSystem disk(crashed, Sites());
    const bool pending = disk.disk().visible().FindPath(kPendingPath) != 0;
    const Tree decided = Decide(disk, must_be_done || pending);
    if (!again || !pending) return;
    for (std::uint64_t at = 0; !::testing::Test::HasFailure(); at += 3) {
      SCOPED_TRACE(::testing::Message() << "and again at " << at);
      sim::SimFileSystem second(crashed, Sites());
      second.Schedule(
          {.kind = {}, .file_class = "", .skip = at, .effect = sim::FaultEffect::kCrash});
      if (FinishOn(second).ok()) return;
      for (const sim::DiskState& twice : CrashedDisks(second.disk(), 3)) {
        sim::SimFileSystem third(twice, Sites());
        // The power may have taken PENDING too, as long as nobody acted on it.
        Decide(third, must_be_done);
      }
    }
  }

  /// Finishes; all before or all after; and that stays when the power goes right then, under a
  /// store that has written.
  Tree Decide(sim::SimFileSystem& disk, bool must_be_done) {
    const Status finished = FinishOn(disk);
    EXPECT_TRUE(finished.ok()) << finished.error().message;
    EXPECT_EQ(disk.disk().visible().FindPath(kPendingPath), 0u);
    const Tree tree = StoreOn(disk.disk().visible());
    const bool is_after = tree == after_;
    EXPECT_TRUE(is_after || tree == before_)
        << ::testing::PrintToString(Differences(after_, tree)) << "\n"
        << ::testing::PrintToString(Differences(before_, tree));
    EXPECT_TRUE(is_after || !must_be_done);
    ++(is_after ? completed_ : dropped_);
    const auto servers = disk.Open("/data/servers/A").value();
    EXPECT_TRUE(
        servers->Open("1.seg", OpenFor::kReadWrite).value()->Write(3, AsBytes("life")).ok());
    EXPECT_TRUE(servers->Open("1.seg", OpenFor::kReadWrite).value()->SyncAll().ok());
    const Tree lived = StoreOn(disk.disk().visible());
    const auto state = StateOf(disk);
    EXPECT_EQ(state, is_after ? after_state_ : before_state_);
    for (const sim::DiskState& crashed : CrashedDisks(disk.disk(), 2)) {
      sim::SimFileSystem later(crashed, Sites());
      EXPECT_TRUE(FinishOn(later).ok());
      EXPECT_THAT(Differences(lived, StoreOn(later.disk().visible())), IsEmpty());
      EXPECT_EQ(StateOf(later), state);
      if (state != RepairBundle::State::kApplied) continue;
      EXPECT_TRUE(UndoOn(later, true).ok());
      const Tree& original = after_state_ == RepairBundle::State::kApplied ? before_ : after_;
      EXPECT_THAT(Differences(original, StoreOn(later.disk().visible())), IsEmpty());
    }
    return tree;
  }

  const sim::DiskState start_;
  const Run run_;
  Tree before_;
  Tree after_;
  std::optional<RepairBundle::State> before_state_;
  std::optional<RepairBundle::State> after_state_;
  std::uint64_t operations_ = 0;
  std::uint64_t completed_ = 0;
  std::uint64_t dropped_ = 0;
};

/// The store after the repair.
sim::DiskState RepairedDisk() {
  sim::SimFileSystem disk(StartDisk(), Sites());
  const Status repaired = Repair(disk);
  EXPECT_TRUE(repaired.ok()) << repaired.error().message;
  return disk.disk();
}

std::vector<std::string> NamesIn(const sim::SimFileSystem& disk, const std::string& path) {
  std::vector<std::string> names;
  for (const auto& [name, text] : TreeOf(disk.disk().visible(), path)) names.push_back(name);
  return names;
}

TEST(RepairJournal, T2_ChangesWhatTheOverlayShowedAndBack) {
  sim::SimFileSystem disk(StartDisk(), Sites());
  const Tree before = StoreOn(disk.disk().visible());
  ASSERT_TRUE(PrepareAndCommit(disk, kId).ok());
  EXPECT_THAT(Differences(before, StoreOn(disk.disk().visible())), IsEmpty());
  ASSERT_TRUE(FinishOn(disk).ok());
  const Tree after = StoreOn(disk.disk().visible());
  EXPECT_THAT(
      Differences(before, after),
      ElementsAre("-odd/", "-odd/inside", "*servers/A/1.seg", "-servers/A/2.seg", "-servers/B/",
                  "-servers/B/1.seg", "-wal2:7.wal", "+odd", "+servers/A/4.seg",
                  "+servers/A/empty.seg", "+servers/C/", "+servers/C/1.seg", "+wal2:9.wal"));
  EXPECT_EQ(after.at("odd"), "a file now");
  EXPECT_THAT(NamesIn(disk, "/data/quarantine"),
              ElementsAre("20260101-1/", "20260101-1/journal", "20260101-1/new/", "20260101-1/old/",
                          "20260101-1/old/1", "20260101-1/old/2", "20260101-1/old/3",
                          "20260101-1/old/4", "20260101-1/old/5"));
  ASSERT_TRUE(UndoOn(disk).ok());
  EXPECT_THAT(Differences(before, StoreOn(disk.disk().visible())), IsEmpty());
  const Status again = UndoOn(disk);
  ASSERT_FALSE(again.ok());
  EXPECT_EQ(again.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(again.error().message, HasSubstr("undone already"));
}

TEST(RepairJournal, T2_KilledAnywhereItIsWholeAfterTheNextStart) {
  Stopped stopped(StartDisk(), Repair);
  stopped.AtEachOperation(8);
  EXPECT_GT(stopped.operations(), 80u);
  EXPECT_GT(stopped.completed(), 500u);
  EXPECT_GT(stopped.dropped(), 500u);
}

TEST(RepairJournal, T2_AnUndoKilledAnywhereIsWholeAfterTheNextStart) {
  Stopped stopped(RepairedDisk(), Undo);
  stopped.AtEachOperation(8);
  EXPECT_GT(stopped.operations(), 40u);
  EXPECT_GT(stopped.completed(), 500u);
  EXPECT_GT(stopped.dropped(), 50u);
  EXPECT_EQ(stopped.after(), StoreOn(StartDisk().visible()));
}

/// The disk refuses at each operation, once or for ever; then it answers again.
void FailAtEachOperation(const sim::DiskState& start, Stopped::Run run) {
  const Stopped whole(start, run);
  std::uint64_t refused = 0;
  for (const auto effect : {sim::FaultEffect::kIoError, sim::FaultEffect::kDiskFull}) {
    for (const std::uint64_t times : {std::uint64_t{1}, UINT64_MAX}) {
      for (std::uint64_t at = 0; at < whole.operations(); ++at) {
        SCOPED_TRACE(::testing::Message() << static_cast<int>(effect) << " " << times << " " << at);
        sim::SimFileSystem disk(start, Sites());
        disk.Schedule({.kind = {}, .file_class = "", .skip = at, .times = times, .effect = effect});
        const Status done = run(disk);
        const bool pending = disk.disk().visible().FindPath(kPendingPath) != 0;
        const Tree left = StoreOn(disk.disk().visible());
        if (!done.ok()) {
          ++refused;
          EXPECT_FALSE(done.error().message.empty());
          if (effect == sim::FaultEffect::kDiskFull && times == 1) {
            EXPECT_EQ(done.error().code, ErrorCode::kDiskFull) << done.error().message;
          }
        }
        ASSERT_TRUE(pending || left == whole.before() || left == whole.after());
        sim::SimFileSystem healed(disk.disk(), Sites());
        ASSERT_TRUE(FinishOn(healed).ok());
        const Tree tree = StoreOn(healed.disk().visible());
        ASSERT_TRUE(tree == whole.after() || (!pending && !done.ok() && tree == whole.before()))
            << ::testing::PrintToString(Differences(whole.after(), tree));
      }
    }
  }
  EXPECT_GT(refused, whole.operations());
}

TEST(RepairJournal, T2_AnErrorAtAnyOperationLeavesAllOrNothing) {
  FailAtEachOperation(StartDisk(), Repair);
}

TEST(RepairJournal, T2_AnErrorInAnUndoLeavesAllOrNothing) {
  FailAtEachOperation(RepairedDisk(), Undo);
}

TEST(RepairJournal, B3_WithoutSpaceForTheOriginalsNothingIsLeft) {
  sim::SimFileSystem disk(StartDisk(), Sites());
  const Tree before = StoreOn(disk.disk().visible());
  disk.Schedule({.kind = sim::OpKind::kWrite,
                 .file_class = "old/",
                 .skip = 2,
                 .times = UINT64_MAX,
                 .effect = sim::FaultEffect::kDiskFull});
  EXPECT_EQ(Repair(disk).error().code, ErrorCode::kDiskFull);
  EXPECT_THAT(NamesIn(disk, "/data/quarantine"), IsEmpty());
  EXPECT_EQ(StoreOn(disk.disk().visible()), before);
}

TEST(RepairJournal, T2_WhatNeverCommittedGoesWithTheNextOne) {
  sim::SimFileSystem disk(StartDisk(), Sites());
  const auto data = disk.Open("/data").value();
  RepairJournal journal(disk, *data);
  ASSERT_TRUE(WriteFile(*journal.Begin("killed").value(), "1", "staged").ok());
  const auto quarantine = data->OpenDirectory(kQuarantineName).value();
  ASSERT_TRUE(WriteFile(*quarantine, "0000001.wal.5.4096.bytes", "kept by a start").ok());
  ASSERT_TRUE(quarantine->CreateDirectory("mine").ok());
  ASSERT_TRUE(WriteFile(*quarantine->OpenDirectory("mine").value(), "notes", "kept").ok());
  EXPECT_THAT(journal.List().value(), IsEmpty());
  ASSERT_TRUE(journal.Begin("next").ok());
  EXPECT_THAT(NamesIn(disk, "/data/quarantine"),
              ElementsAre("0000001.wal.5.4096.bytes", "mine/", "mine/notes", "next/", "next/new/",
                          "next/old/"));
  ASSERT_TRUE(journal.Discard("next").ok());
  EXPECT_THAT(NamesIn(disk, "/data/quarantine"), SizeIs(3));
}

// The commit failed, and so did the sync that takes PENDING back: it may return with the next power
// loss, so what it needs stays until its absence is durable.
TEST(RepairJournal, T2_APendingThatWasTakenBackFindsItsBundleOrNeverReturns) {
  std::uint64_t taken_back = 0;
  for (std::uint64_t fault = 0; fault < 12; ++fault) {
    SCOPED_TRACE(fault);
    sim::SimFileSystem disk(StartDisk(), Sites());
    const Tree before = StoreOn(disk.disk().visible());
    disk.Schedule({.kind = sim::OpKind::kSyncDirectory,
                   .file_class = "quarantine",
                   .skip = fault / 2,
                   .times = 2 + fault % 2,  // Discard's too, or not.
                   .effect = sim::FaultEffect::kIoError});
    const Status committed = PrepareAndCommit(disk, kId);
    if (committed.ok()) continue;
    taken_back += committed.error().message.find("taken back") != std::string::npos ? 1 : 0;
    for (std::uint64_t at = 0; at < 20; ++at) {
      sim::SimFileSystem healed(disk.disk(), Sites());
      healed.Schedule(
          {.kind = {}, .file_class = "", .skip = at, .effect = sim::FaultEffect::kCrash});
      const auto data = healed.Open("/data").value();
      (void)RepairJournal(healed, *data).Begin("next");
      for (const sim::DiskState& crashed : CrashedDisks(healed.disk(), 16)) {
        sim::SimFileSystem later(crashed, Sites());
        const bool pending = later.disk().visible().FindPath(kPendingPath) != 0;
        const Status finished = FinishOn(later);
        ASSERT_TRUE(finished.ok()) << finished.error().message;
        ASSERT_EQ(StoreOn(later.disk().visible()) == before, !pending);
      }
    }
  }
  EXPECT_EQ(taken_back, 2u);
}

TEST(RepairJournal, T2_ListsWhatCanBeUndone) {
  sim::SimFileSystem disk(StartDisk(), Sites());
  const auto data = disk.Open("/data").value();
  RepairJournal journal(disk, *data);
  const auto state = [&]() -> std::optional<RepairBundle::State> {
    const std::vector<RepairBundle> bundles = journal.List().value();
    if (bundles.empty()) return std::nullopt;
    EXPECT_EQ(bundles[0].id, kId);
    EXPECT_EQ(bundles[0].created_unix_ms, 77);
    EXPECT_EQ(bundles[0].steps, 12u);
    return bundles[0].state;
  };
  EXPECT_EQ(state(), std::nullopt);
  ASSERT_TRUE(PrepareAndCommit(disk, kId).ok());
  EXPECT_EQ(state(), RepairBundle::State::kApplying);
  EXPECT_EQ(journal.Begin("other").error().code, ErrorCode::kInUse);
  EXPECT_EQ(journal.Discard(kId).error().code, ErrorCode::kInUse);
  ASSERT_TRUE(journal.Finish().ok());
  EXPECT_EQ(state(), RepairBundle::State::kApplied);
  EXPECT_EQ(journal.Begin(kId).error().code, ErrorCode::kAlreadyExists);
  ASSERT_TRUE(journal.Discard(kId).ok());
  EXPECT_EQ(state(), RepairBundle::State::kApplied) << "a journal is not discarded";
  ASSERT_TRUE(journal.Undo(kId, false).ok());
  EXPECT_EQ(state(), RepairBundle::State::kUndone);
  disk.Rot("/data/quarantine/20260101-1/undone", 40, std::byte{0xEE});
  EXPECT_EQ(journal.List().value()[0].state, RepairBundle::State::kUnreadable);
}

TEST(RepairJournal, T2_AnUndoRefusesAStoreThatWentOn) {
  const auto refuses = [](const std::function<void(sim::SimFileSystem&)>& change) {
    sim::SimFileSystem disk(RepairedDisk(), Sites());
    change(disk);
    const Tree changed = StoreOn(disk.disk().visible());
    const Status undone = UndoOn(disk);
    ASSERT_FALSE(undone.ok());
    EXPECT_EQ(undone.error().code, ErrorCode::kRefused);
    EXPECT_THAT(undone.error().hint, HasSubstr("--force"));
    EXPECT_EQ(StoreOn(disk.disk().visible()), changed);
  };
  refuses([](sim::SimFileSystem& disk) {
    (void)WriteFile(*disk.Open("/wal2").value(), "10.wal", "of a start");
  });
  refuses([](sim::SimFileSystem& disk) {
    (void)disk.Open("/data/servers/A")
        .value()
        ->Open("4.seg", OpenFor::kReadWrite)
        .value()
        ->Write(0, AsBytes("x"));
  });
  refuses([](sim::SimFileSystem& disk) {
    (void)WriteFile(*disk.Open("/data/servers/A").value(), "2.seg", "it is back");
  });
  refuses([](sim::SimFileSystem& disk) {
    (void)disk.Open("/data/servers/C").value()->Remove("1.seg");
  });
}

TEST(RepairJournal, T2_ForcePutsTheOldFilesBackAllTheSame) {
  sim::SimFileSystem disk(RepairedDisk(), Sites());
  ASSERT_TRUE(disk.Open("/data/servers/A").value()->Remove("4.seg").ok());
  ASSERT_TRUE(WriteFile(*disk.Open("/wal2").value(), "10.wal", "of a start").ok());
  ASSERT_TRUE(UndoOn(disk, true).ok());
  EXPECT_THAT(Differences(StoreOn(StartDisk().visible()), StoreOn(disk.disk().visible())),
              IsEmpty());
}

// Room that is missing after the commit would leave half a repair behind.
TEST(RepairJournal, B3_WithoutRoomForWhatIsPutInPlaceNothingIsCommitted) {
  sim::SimFileSystem disk(StartDisk(), Sites());
  const Tree before = StoreOn(disk.disk().visible());
  disk.SayFree((1u << 20) + 1000);
  const Status committed = PrepareAndCommit(disk, kId);
  ASSERT_FALSE(committed.ok());
  EXPECT_EQ(committed.error().code, ErrorCode::kDiskFull);
  EXPECT_EQ(disk.disk().visible().FindPath(kPendingPath), 0u);
  EXPECT_EQ(disk.disk().visible().FindPath("/data/quarantine/20260101-1"), 0u);
  EXPECT_EQ(StoreOn(disk.disk().visible()), before);
  disk.SayFree(2u << 20);
  EXPECT_TRUE(PrepareAndCommit(disk, kId).ok());
}

// What came since into a directory that the repair has made.
TEST(RepairJournal, T2_ForcedADirectoryThatFilledSinceGoes) {
  sim::SimFileSystem disk(RepairedDisk(), Sites());
  ASSERT_TRUE(WriteFile(*disk.Open("/data/servers/C").value(), "2.seg", "of a flush").ok());
  ASSERT_TRUE(disk.CreateDirectories("/data/servers/D").ok());
  ASSERT_TRUE(WriteFile(*disk.Open("/data/servers/D").value(), "1.seg", "a new log").ok());
  ASSERT_TRUE(UndoOn(disk, true).ok());
  EXPECT_THAT(Differences(StoreOn(StartDisk().visible()), StoreOn(disk.disk().visible())),
              IsEmpty());
  EXPECT_EQ(disk.disk().visible().FindPath(kPendingPath), 0u);
}

TEST(RepairJournal, T2_ForcedWithoutAFileOfTheOldWalNothingChanges) {
  sim::SimFileSystem disk(RepairedDisk(), Sites());
  ASSERT_TRUE(disk.Open("/wal2").value()->Remove("8.wal").ok());
  const Tree before = StoreOn(disk.disk().visible());
  EXPECT_EQ(UndoOn(disk, true).error().code, ErrorCode::kRefused);
  EXPECT_THAT(Differences(before, StoreOn(disk.disk().visible())), IsEmpty());
  EXPECT_EQ(disk.disk().visible().FindPath(kPendingPath), 0u);
}

// A log was deleted or cut since: the old rows speak of what is gone.
TEST(RepairJournal, T2_ForcedWithoutASegmentThatTheOldRowsNameNothingChanges) {
  for (const char* name : {"3.seg", "1.seg"}) {  // Left alone; and one that comes back.
    sim::SimFileSystem disk(RepairedDisk(), Sites());
    ASSERT_TRUE(disk.Open("/data/servers/A").value()->Remove(name).ok());
    ASSERT_TRUE(WriteFile(*disk.Open("/wal2").value(), "10.wal", "of a start").ok());
    const Tree before = StoreOn(disk.disk().visible());
    const Status undone = UndoOn(disk, true);
    EXPECT_EQ(undone.ok(), std::string(name) == "1.seg");
    if (!undone.ok()) {
      EXPECT_EQ(undone.error().code, ErrorCode::kRefused);
      EXPECT_THAT(undone.error().message, HasSubstr("servers/A/3.seg"));
      EXPECT_THAT(Differences(before, StoreOn(disk.disk().visible())), IsEmpty());
    }
    EXPECT_EQ(disk.disk().visible().FindPath(kPendingPath), 0u);
  }
}

TEST(RepairJournal, T2_ForcedTwiceIsSaid) {
  sim::SimFileSystem disk(RepairedDisk(), Sites());
  ASSERT_TRUE(WriteFile(*disk.Open("/wal2").value(), "10.wal", "of a start").ok());
  ASSERT_TRUE(UndoOn(disk, true).ok());
  ASSERT_TRUE(WriteFile(*disk.Open("/wal2").value(), "11.wal", "of another start").ok());
  const Tree before = StoreOn(disk.disk().visible());
  const Status again = UndoOn(disk, true);
  ASSERT_FALSE(again.ok());
  EXPECT_THAT(again.error().hint, HasSubstr("--undo 20260101-1-undo"));
  EXPECT_THAT(Differences(before, StoreOn(disk.disk().visible())), IsEmpty());
}

TEST(RepairJournal, T2_UnknownRepairsAreNamed) {
  sim::SimFileSystem disk(StartDisk(), Sites());
  EXPECT_EQ(UndoOn(disk).error().code, ErrorCode::kNotFound);
  const auto data = disk.Open("/data").value();
  RepairJournal journal(disk, *data);
  EXPECT_EQ(journal.Begin("a/b").error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(journal.Begin("PENDING").error().code, ErrorCode::kInvalidArgument);
  ASSERT_TRUE(journal.Begin("begun").ok());
  EXPECT_EQ(journal.Undo("begun", true).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(journal.Undo("../data", true).error().code, ErrorCode::kNotFound);
}

TEST(RepairJournal, T2_ADamagedCopyIsNeverPutBack) {
  sim::SimFileSystem disk(RepairedDisk(), Sites());
  const Tree after = StoreOn(disk.disk().visible());
  disk.Rot("/data/quarantine/20260101-1/old/2", 100, std::byte{0xEE});
  for (const bool force : {false, true}) {
    EXPECT_EQ(UndoOn(disk, force).error().code, ErrorCode::kCorruption);
    EXPECT_EQ(disk.disk().visible().FindPath(kPendingPath), 0u);
    EXPECT_EQ(StoreOn(disk.disk().visible()), after);
  }
}

// What the repair was to put in place has rotten between its commit and the start.
TEST(RepairJournal, T2_ARepairThatIsStuckCanBeUndone) {
  sim::SimFileSystem disk(StartDisk(), Sites());
  const Tree before = StoreOn(disk.disk().visible());
  ASSERT_TRUE(PrepareAndCommit(disk, kId).ok());
  disk.Rot("/data/quarantine/20260101-1/new/2", 100, std::byte{0xEE});
  for (int start = 0; start < 2; ++start) {
    const Status finished = FinishOn(disk);
    ASSERT_FALSE(finished.ok());
    EXPECT_EQ(finished.error().code, ErrorCode::kCorruption);
    EXPECT_THAT(finished.error().hint, HasSubstr("--undo 20260101-1 --force"));
  }
  EXPECT_NE(StoreOn(disk.disk().visible()), before);
  EXPECT_EQ(UndoOn(disk).error().code, ErrorCode::kCorruption);
  ASSERT_TRUE(UndoOn(disk, true).ok());
  EXPECT_THAT(Differences(before, StoreOn(disk.disk().visible())), IsEmpty());
}

// The disk with the WAL is not mounted when the machine comes up.
TEST(RepairJournal, A14_AMissingWalDirectoryIsNotTakenForAChangedOne) {
  sim::SimFileSystem disk(StartDisk(), Sites());
  ASSERT_TRUE(PrepareAndCommit(disk, kId).ok());
  const Tree before = StoreOn(disk.disk().visible());
  const auto root = disk.Open("/").value();
  ASSERT_TRUE(root->Rename("wal2", "unmounted").ok());
  EXPECT_EQ(FinishOn(disk).error().code, ErrorCode::kNotFound);
  ASSERT_TRUE(root->CreateDirectory("wal2").ok());  // The empty mount point.
  EXPECT_EQ(FinishOn(disk).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(UndoOn(disk, true).error().code, ErrorCode::kNotFound);
  EXPECT_NE(disk.disk().visible().FindPath(kPendingPath), 0u);
  ASSERT_TRUE(root->RemoveDirectory("wal2").ok());
  ASSERT_TRUE(root->Rename("unmounted", "wal2").ok());
  ASSERT_TRUE(FinishOn(disk).ok());
  EXPECT_EQ(StoreOn(disk.disk().visible()), before) << "undone, as was asked last";
}

TEST(RepairJournal, T2_AnUnreadablePendingIsToldWithTheWayOut) {
  sim::SimFileSystem disk(StartDisk(), Sites());
  ASSERT_TRUE(PrepareAndCommit(disk, kId).ok());
  disk.Rot("/data/quarantine/20260101-1/plan", 60, std::byte{0xEE});
  EXPECT_EQ(FinishOn(disk).error().code, ErrorCode::kCorruption);
  EXPECT_THAT(FinishOn(disk).error().hint, HasSubstr("/old"));
  disk.Rot(kPendingPath, 24, std::byte{0xEE});
  EXPECT_EQ(FinishOn(disk).error().code, ErrorCode::kCorruption);
  EXPECT_THAT(FinishOn(disk).error().hint, HasSubstr("PENDING"));
}

}  // namespace
}  // namespace duramen::log
