// A system whose SYSTEM files are lost, several at a time: a repair makes each what it was, or
// says what has to come first.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "base/clock.h"
#include "log/repair.h"
#include "log/shards.h"
#include "tests/log/sharded.h"

namespace duramen::log {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

/// Three shards with a log each, closed.
class LostShards : public ::testing::Test {
 protected:
  void Make(const std::string& wal_dir = "") {
    machine_->options.wal_dir = wal_dir;
    machine_->Start();
    for (std::uint32_t shard = 0; shard < 3; ++shard) {
      machine_->Fill(shard, std::to_string(shard), {"x"});
    }
    ASSERT_TRUE(machine_->Close().ok());
  }
  void Lose(const std::string& directory, const std::string& name = kSystemName) {
    const auto opened = machine_->disk().Open(directory);
    ASSERT_TRUE(opened.ok()) << directory;
    ASSERT_TRUE((*opened)->Remove(name).ok()) << directory;
    ASSERT_TRUE((*opened)->Sync().ok());
  }
  Result<RepairOutcome> Repair(const std::string& path, const std::string& wal_dir = "") {
    ManualClock clock;
    return RepairStore(
        {.data_dir = path, .wal_dir = wal_dir, .system = {}, .mend = {}, .log_sink = {}},
        {machine_->disk(), clock, machine_->executor(), Rng(++repairs_)});
  }
  std::uint32_t ShardsIn(const std::string& directory) const {
    return DecodeSystemFile(machine_->FileBytes(directory + "/SYSTEM")).value().content.shards;
  }
  void ExpectAll() {
    const Status opened = machine_->Open();
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    EXPECT_THAT(machine_->store().Logs(), SizeIs(3));
    ASSERT_TRUE(machine_->Close().ok());
  }
  std::uint64_t repairs_ = 0;
  std::unique_ptr<Sharded> machine_ = std::make_unique<Sharded>(3);
};

TEST_F(LostShards, A14_AShardStaysOneHoweverItsPathIsSpelled) {
  Make();
  for (const char* path : {"/data/shards/1", "/data/shards/1/", "/data/shards//1",
                           "/data/./shards/1/.", "//data/shards/2/../1", "/data/shards/1//"}) {
    Lose("/data/shards/1");
    const Result<RepairOutcome> repaired = Repair(path);
    ASSERT_TRUE(repaired.ok()) << path << ": " << repaired.error().message;
    EXPECT_EQ(ShardsIn("/data/shards/1"), kIsAShard) << path;
    ExpectAll();
  }
  Lose("/data/shards/1");
  const Result<RepairOutcome> relative = Repair("shards/1");
  ASSERT_FALSE(relative.ok()) << "from here nobody sees what is above";
  EXPECT_EQ(relative.error().code, ErrorCode::kInvalidArgument);
}

TEST_F(LostShards, A14_AShardWaitsForTheRootThatHasLostItsOwn) {
  Make();
  Lose("/data");
  Lose("/data/shards/1");
  const std::vector<std::string> before = machine_->Everything();
  const Result<RepairOutcome> early = Repair("/data/shards/1");
  ASSERT_FALSE(early.ok());
  EXPECT_EQ(early.error().code, ErrorCode::kRefused);
  EXPECT_THAT(early.error().hint, HasSubstr("duramen repair /data --apply"));
  EXPECT_EQ(machine_->Everything().size(), before.size() + 1) << "an empty quarantine/";
  ASSERT_TRUE(Repair("/data").ok());
  ASSERT_TRUE(Repair("/data/shards/1").ok());
  EXPECT_EQ(ShardsIn("/data/shards/1"), kIsAShard);
  ExpectAll();
}

// One too few, and a start would leave its logs out without a word.
TEST_F(LostShards, C9_ALastShardWithoutSystemCountsByItsWal) {
  for (const std::string wal_dir : {"", "/fast"}) {
    for (const bool identity : {true, false}) {
      machine_ = std::make_unique<Sharded>(3);
      Make(wal_dir);
      Lose("/data");
      Lose("/data/shards/2");
      const std::string shard_wal = wal_dir.empty() ? "/data/shards/2/wal" : "/fast/2";
      if (!identity) Lose(shard_wal, kIdentityName);
      const Result<RepairOutcome> root = Repair("/data", wal_dir);
      ASSERT_TRUE(root.ok()) << root.error().message;
      EXPECT_EQ(ShardsIn("/data"), 3u) << wal_dir << identity;
      std::string text;
      EXPECT_EQ(machine_->Refusal(text), ErrorCode::kConfiguration);
      EXPECT_THAT(text, HasSubstr("WAL shard 2"));
    }
  }
}

TEST_F(LostShards, C9_WhatMayBeAShardIsNotGuessed) {
  Make();
  Lose("/data");
  Lose("/data/shards/2");
  const std::string wal = "/data/shards/2/wal";
  Lose(wal, kIdentityName);
  for (const std::string& name : machine_->NamesIn(wal)) {
    if (!name.ends_with(".wal")) continue;
    for (const std::size_t at : {0u, 4096u}) machine_->Rot(wal + "/" + name, at + 20);
  }
  const Result<RepairOutcome> repaired = Repair("/data");
  ASSERT_FALSE(repaired.ok());
  EXPECT_EQ(repaired.error().code, ErrorCode::kRefused);
  EXPECT_THAT(repaired.error().message, HasSubstr("nothing tells whose"));
  machine_->Move("/data/shards", "2", "elsewhere");
  ASSERT_TRUE(Repair("/data").ok());
  EXPECT_EQ(ShardsIn("/data"), 2u);
}

// RETIRED is there until nothing else is.
TEST_F(LostShards, C9_AShardThatIsBeingRemovedDoesNotCount) {
  Make();
  Lose("/data");
  machine_->Move("/data/shards/2", kSystemName, kRetiredName);
  ASSERT_TRUE(Repair("/data").ok());
  EXPECT_EQ(ShardsIn("/data"), 2u);
}

TEST_F(LostShards, A14_AStoreOfItsOwnBelowShardsIsAskedFor) {
  machine_ = std::make_unique<Sharded>(1);
  const std::string own = "/srv/shards/1";
  for (const char* data_dir : {"/srv/shards/1", "/srv"}) {
    machine_->options.data_dir = data_dir;
    if (data_dir != own) machine_->Move("/srv/shards", "1", "away");
    machine_->Start();
    ASSERT_TRUE(machine_->Close().ok());
    if (data_dir != own) machine_->Move("/srv/shards", "away", "1");
    Lose(own);
    const Result<RepairOutcome> repaired = Repair(own);
    EXPECT_EQ(repaired.ok(), data_dir == own) << "nothing of a store is above it";
    if (repaired.ok()) {
      EXPECT_EQ(ShardsIn(own), 1u);
    } else {
      EXPECT_EQ(repaired.error().code, ErrorCode::kConfiguration);
      EXPECT_THAT(repaired.error().message, HasSubstr("no WAL shard of that system"));
    }
  }
}

}  // namespace
}  // namespace duramen::log
