// What each profile allows after a power loss, and that a log with its syncs in place survives all
// of it while one without any of them does not.
#include "sim/crash_states.h"

#include <gtest/gtest.h>

#include <set>

#include "base/bytes.h"
#include "sim/sim_file_system.h"
#include "tests/sim/toy_log.h"

namespace duramen::sim {
namespace {

constexpr Profile kProfiles[] = {Profile::kExt4, Profile::kAdversary};

std::string Show(const Image& image, const std::string& path) {
  const Node node = image.FindPath(path);
  if (node == 0) return "-";
  std::string text(image.content(node).size_bytes(), '?');
  image.content(node).Read(0, std::as_writable_bytes(std::span(text)));
  return text;
}

// What a path may show after power loss, each sector of 512 equal bytes as one letter.
std::set<std::string> Outcomes(const SimFileSystem& machine, Profile profile,
                               const std::vector<std::string>& paths) {
  std::set<std::string> found;
  const CrashStates states(machine.disk(), profile);
  for (std::uint64_t i = 0; i < states.count(); ++i) {
    const Image image = states.Materialize(states.At(i));
    std::string shown;
    for (const std::string& path : paths) {
      if (!shown.empty()) shown += ' ';
      const std::string text = Show(image, path);
      if (text == "-") shown += '-';
      for (std::size_t at = 0; text != "-" && at < text.size(); at += kSectorBytes) {
        shown += text[at] == '\0' ? '0' : text[at];
      }
    }
    found.insert(shown);
  }
  return found;
}

class CrashStatesTest : public testing::Test {
 protected:
  CrashStatesTest() {
    EXPECT_TRUE(machine_.CreateDirectories("/d").ok());
    directory_ = machine_.Open("/d").value();
  }
  std::unique_ptr<File> Durable(std::string_view name, const std::string& sectors) {
    auto file = directory_->Create(name).value();
    Put(*file, 0, sectors);
    EXPECT_TRUE(file->SyncAll().ok());
    EXPECT_TRUE(directory_->Sync().ok());
    return file;
  }
  static void Put(File& file, std::uint64_t sector, const std::string& sectors) {
    std::string bytes;
    for (const char letter : sectors) bytes += std::string(kSectorBytes, letter);
    EXPECT_TRUE(file.Write(sector * kSectorBytes, AsBytes(bytes)).ok());
  }
  SiteTable sites_;
  SimFileSystem machine_{DiskState(), sites_};
  std::unique_ptr<Directory> directory_;
};

using Set = std::set<std::string>;

TEST_F(CrashStatesTest, OverwritesSurviveInAnySubsetOfSectors) {
  auto file = Durable("a", "xyz");
  Put(*file, 0, "abc");
  for (const Profile profile : kProfiles) {
    EXPECT_EQ(Outcomes(machine_, profile, {"/d/a"}),
              (Set{"xyz", "ayz", "xbz", "xyc", "abz", "ayc", "xbc", "abc"}));
  }
}

TEST_F(CrashStatesTest, GrowthByAWriteComesWithItsDataUnderExt4) {
  auto file = Durable("a", "x");
  Put(*file, 1, "bc");
  EXPECT_EQ(Outcomes(machine_, Profile::kExt4, {"/d/a"}), (Set{"x", "xb", "xbc"}));
  EXPECT_EQ(Outcomes(machine_, Profile::kAdversary, {"/d/a"}), (Set{"x", "xb", "xbc", "x0c"}));
}

TEST_F(CrashStatesTest, AllocatedGrowthIsAbsentOrZerosOrStale) {
  auto old = Durable("old", "prq");
  ASSERT_TRUE(directory_->Remove("old").ok());
  ASSERT_TRUE(directory_->Sync().ok());
  auto file = Durable("a", "x");
  ASSERT_TRUE(file->Allocate(3 * kSectorBytes).ok());
  EXPECT_EQ(Outcomes(machine_, Profile::kExt4, {"/d/a"}), (Set{"x", "x00"}));
  EXPECT_EQ(Outcomes(machine_, Profile::kAdversary, {"/d/a"}), (Set{"x", "x00", "xrq"}));
  ASSERT_TRUE(file->SyncData().ok());
  EXPECT_EQ(Outcomes(machine_, Profile::kAdversary, {"/d/a"}), (Set{"x00"}));
}

TEST_F(CrashStatesTest, NamesAreInOrderUnderExt4AndInAnySubsetOtherwise) {
  auto a = Durable("a", "x");
  ASSERT_TRUE(directory_->Rename("a", "b").ok());
  auto c = directory_->Create("c").value();
  EXPECT_EQ(Outcomes(machine_, Profile::kExt4, {"/d/a", "/d/b", "/d/c"}),
            (Set{"x - -", "- x -", "- x "}));
  EXPECT_EQ(Outcomes(machine_, Profile::kAdversary, {"/d/a", "/d/b", "/d/c"}),
            (Set{"x - -", "- x -", "- x ", "x - "}));
}

TEST_F(CrashStatesTest, ASyncOfAFileCommitsTheJournalUnderExt4Only) {
  auto a = directory_->Create("a").value();
  Put(*a, 0, "x");
  ASSERT_TRUE(a->SyncData().ok());
  EXPECT_EQ(Outcomes(machine_, Profile::kExt4, {"/d/a"}), (Set{"x"}));
  EXPECT_EQ(Outcomes(machine_, Profile::kAdversary, {"/d/a"}), (Set{"-", "x"}));
}

TEST_F(CrashStatesTest, ARenameMayComeBeforeItsData) {
  auto a = Durable("a", "x");
  auto next = directory_->Create("next").value();
  Put(*next, 0, "y");
  ASSERT_TRUE(directory_->Rename("next", "a").ok());
  EXPECT_TRUE(Outcomes(machine_, Profile::kAdversary, {"/d/a"}).contains(""));
  EXPECT_TRUE(Outcomes(machine_, Profile::kExt4, {"/d/a"}).contains("y"));
}

TEST(Subsets, AllUpToTenThenTheNamedOnes) {
  std::set<std::vector<bool>> seen;
  for (std::uint64_t i = 0; i < SubsetCount(10); ++i) seen.insert(SubsetAt(10, i));
  EXPECT_EQ(seen.size(), 1024u);
  seen.clear();
  for (std::uint64_t i = 0; i < SubsetCount(12); ++i) seen.insert(SubsetAt(12, i));
  for (std::size_t cut = 0; cut <= 12; ++cut) {
    std::vector<bool> prefix(12, false);
    for (std::size_t i = 0; i < cut; ++i) prefix[i] = true;
    EXPECT_TRUE(seen.contains(prefix));
    for (std::size_t early = cut + 1; early < 12; ++early) {
      std::vector<bool> arrival = prefix;
      arrival[early] = true;
      EXPECT_TRUE(seen.contains(arrival));
    }
  }
  EXPECT_GT(seen.size(), 12u + 12u + 66u);
}

// Runs the toy log, crashes it everywhere under `profile`, and counts states that lost a record.
struct ToyRun : Observer {
  std::uint64_t Moment() override { return log == nullptr ? 0 : log->count(); }
  std::uint64_t Losses(ToyBugs bugs, Profile profile) {
    SiteTable sites;
    SimFileSystem machine(DiskState(), sites);
    machine.Observe(this);
    log = ToyLog::Open(machine, "/d", bugs).value();
    for (int i = 0; i < 5; ++i) EXPECT_TRUE(log->Append().ok());
    std::uint64_t losses = 0;
    DiskState disk = machine.start();
    for (std::size_t at = 0; at < machine.trace().size(); ++at) {
      disk.Apply(machine.trace()[at]);
      const bool last = at + 1 == machine.trace().size();
      const std::uint64_t acknowledged = last ? log->count() : machine.trace()[at + 1].moment;
      const CrashStates states(disk, profile);
      for (std::uint64_t i = 0; i < states.count(); ++i, ++seen) {
        SimFileSystem later(DiskState(states.Materialize(states.At(i))), sites);
        if (ToyLog::Open(later, "/d", {}).value()->count() < acknowledged) ++losses;
      }
    }
    return losses;
  }
  std::unique_ptr<ToyLog> log;
  std::uint64_t seen = 0;
};

TEST(ToyLogUnderCrashes, LosesNothingWithItsSyncsAndSomethingWithoutEither) {
  for (const Profile profile : kProfiles) {
    EXPECT_EQ(ToyRun().Losses({}, profile), 0u);
    EXPECT_GT(ToyRun().Losses({.skip_data_sync = true}, profile), 0u);
  }
  EXPECT_GT(ToyRun().Losses({.skip_directory_sync = true}, Profile::kAdversary), 0u);
}

// W27: a record read back from the page cache after a kill is acted on, then the power goes.
TEST(ToyLogUnderCrashes, W27_WhatAKillLeftIsDurableOnceItWasRead) {
  for (const bool careless : {false, true}) {
    SiteTable sites;
    SimFileSystem machine(DiskState(), sites);
    auto log = ToyLog::Open(machine, "/d", {}).value();
    ASSERT_TRUE(log->Append().ok());
    machine.Schedule({.kind = OpKind::kSyncData, .file_class = "", .effect = FaultEffect::kCrash});
    ASSERT_FALSE(log->Append().ok());
    SimFileSystem second(machine.disk(), sites);
    const auto again = ToyLog::Open(second, "/d", {.skip_data_sync = careless}).value();
    ASSERT_EQ(again->count(), 2u);
    SimFileSystem third(DiskState(second.disk().durable()), sites);
    EXPECT_EQ(ToyLog::Open(third, "/d", {}).value()->count(), careless ? 1u : 2u);
  }
}

}  // namespace
}  // namespace duramen::sim
