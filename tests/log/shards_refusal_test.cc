// What a system with several WALs refuses, forgets and leaves alone, where something went wrong in
// one of them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/bytes.h"
#include "base/planted.h"
#include "tests/log/sharded.h"

namespace duramen::log {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

// Strict refuses before anything is changed: where the operator puts the right bytes back, nothing
// is lost. A shard that is to go is opened in another mode, which marks logs faulty for ever.
TEST(Shards, A3_AStrictStartThatIsRefusedForAShardThatIsToGoMarksNothing) {
  Sharded machine(2);
  machine.Start();
  machine.Fill(1, "b", {"one", "to-be-lost", "three"});
  machine.Idle();
  ASSERT_TRUE(machine.Close().ok());
  std::string path;
  std::size_t at = std::string_view::npos;
  for (const std::string& name : machine.NamesIn("/data/shards/1/wal")) {
    if (!name.ends_with(".wal") || at != std::string_view::npos) continue;
    path = "/data/shards/1/wal/" + name;
    const std::vector<std::byte> bytes = machine.FileBytes(path);
    at = AsText(bytes).find("to-be-lost");
  }
  ASSERT_NE(at, std::string_view::npos);
  machine.Rot(path, at);
  machine.options.recovery_mode = RecoveryMode::kStrict;
  machine.options.wal_shards = 1;
  std::string text;
  EXPECT_NE(machine.Refusal(text), ErrorCode::kNotFound) << text;
  machine.Rot(path, at);  // The right byte is back.
  machine.options.wal_shards = 2;
  const Status opened = machine.Open();
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  EXPECT_FALSE(machine.Faulty("b"));
  EXPECT_THAT(machine.Contents("b"), ElementsAre("1:1:one", "2:1:to-be-lost", "3:1:three"));
}

// A creation that nobody was told of, on a WAL that went down: what the disk kept of it must not
// come back in the place of a log of that name that was made, and deleted, elsewhere.
TEST(Shards, C9_WhatAWalThatWentDownLeftOfANameStaysGone) {
  Sharded machine(2);
  machine.options.wal_dir = "/fast";
  machine.options.memory_budget = 32 << 20;
  machine.Start();
  machine.Fill(0, "zero", {"x"});
  machine.Fill(1, "one", {"x"});
  machine.Settle();
  machine.disk().Schedule({.kind = sim::OpKind::kSyncData,
                           .file_class = "",
                           .times = UINT64_MAX,
                           .effect = sim::FaultEffect::kIoError});
  {
    Writer writer = machine.store().NewWriter(1).value();
    const LogRef log = machine.store().OpenLog(writer, "x", OpenMode::kCreate).value();
    const std::string text = "never acknowledged";
    const EntryView entry{1, 1, kFirstUserKind, AsBytes(text)};
    const LogAppend group{log, {&entry, 1}};
    const Ticket ticket = writer.Append({&group, 1}).value();
    const Status waited = writer.Wait(ticket, machine.In(60'000'000'000));
    ASSERT_FALSE(waited.ok());
    ASSERT_EQ(waited.error().code, ErrorCode::kWalDown) << waited.error().message;
  }
  const Result<LogRef> again = machine.store().OpenLog(machine.writer(0), "x", OpenMode::kCreate);
  ASSERT_FALSE(again.ok()) << "until a start has found out what became of it";
  EXPECT_EQ(again.error().code, ErrorCode::kInUse);
  machine.disk().ClearFaults();
  machine.Kill();
  machine.Start();
  EXPECT_THAT(machine.store().ShardOf("x").value(), 1u);
  machine.Delete("x");
  machine.PowerLoss();
  machine.Start();
  EXPECT_FALSE(machine.store().ShardOf("x").ok());
}

#if defined(DURAMEN_PLANTED_BUGS)
// An older log of a name has its uid for a name: it can be read and deleted, and the shard may go.
TEST(Shards, C9_A14_TheOlderLogOfANameIsKnownByItsUid) {
  Sharded machine(2);
  machine.Start();
  machine.Fill(1, "a", {"old"});
  const std::string uid = machine.UidOf("a");
  Plant(PlantedBug::kNameInTwoShards);
  machine.Fill(0, "a", {"new"});
  Plant(PlantedBug::kNone);
  machine.PowerLoss();
  machine.Start();
  EXPECT_THAT(machine.Contents("a"), ElementsAre("1:1:new"));
  EXPECT_THAT(machine.Contents(uid), ElementsAre("1:1:old"));
  EXPECT_EQ(machine.store().Logs().size(), 2u);
  machine.Delete(uid);
  machine.PowerLoss();
  machine.Start();
  EXPECT_EQ(machine.store().Logs().size(), 1u);
  ASSERT_TRUE(machine.Close().ok());
  machine.options.wal_shards = 1;
  machine.Start();
  EXPECT_THAT(machine.Contents("a"), ElementsAre("1:1:new"));
}
#endif

/// Syncs fail while it writes, and no other does.
void TakeDown(Sharded& machine, std::uint32_t shard) {
  machine.disk().Schedule({.kind = sim::OpKind::kSyncData,
                           .file_class = "",
                           .times = UINT64_MAX,
                           .effect = sim::FaultEffect::kIoError});
  const LogRef log = machine.Log("log" + std::to_string(shard), shard);
  const Status waited = machine.Wait(machine.Append(log, 1, 1, {"lost"}, shard).value(), shard);
  ASSERT_FALSE(waited.ok());
  ASSERT_EQ(waited.error().code, ErrorCode::kWalDown) << waited.error().message;
  machine.disk().ClearFaults();
}

/// Of a Writer that is made without saying where; a log can be created there, or not.
std::uint32_t ShardOfANewWriter(Sharded& machine, bool takes_logs = true) {
  static int logs = 0;
  const std::string name = "new" + std::to_string(logs++);
  Writer writer = machine.store().NewWriter().value();
  const Result<LogRef> log = machine.store().OpenLog(writer, name, OpenMode::kCreate);
  EXPECT_EQ(log.ok(), takes_logs) << (log.ok() ? "" : log.error().message);
  if (!log.ok()) return UINT32_MAX;
  return machine.store().ShardOf(name).value();
}

// A log that is created there is refused, and a Writer has no other shard.
TEST(Shards, PW16_AWriterIsNotMadeWhereTheWalIsDown) {
  Sharded machine(3);
  machine.options.memory_budget = 32 << 20;
  machine.Start();
  for (std::uint32_t shard = 0; shard < 3; ++shard) {
    machine.Log("log" + std::to_string(shard), shard);
  }
  machine.Settle();
  std::vector<Writer> others;
  for (const std::uint32_t shard : {0u, 2u, 2u}) {
    others.push_back(machine.store().NewWriter(shard).value());
  }
  EXPECT_EQ(ShardOfANewWriter(machine), 1u) << "the fewest";
  TakeDown(machine, 1);
  EXPECT_EQ(ShardOfANewWriter(machine), 0u);
  TakeDown(machine, 0);
  EXPECT_EQ(ShardOfANewWriter(machine), 2u);
  TakeDown(machine, 2);
  ShardOfANewWriter(machine, false);
}

TEST(Shards, PW16_AWriterIsNotMadeWhereTheDiskIsFull) {
  Sharded machine(2);
  machine.options.memory_budget = 32 << 20;
  machine.Start();
  const LogRef log = machine.Log("log1", 1);
  machine.Log("log0", 0);
  machine.Settle();
  machine.disk().Schedule({.kind = sim::OpKind::kAllocate,
                           .file_class = "",
                           .times = UINT64_MAX,
                           .effect = sim::FaultEffect::kDiskFull});
  Result<Ticket> ticket = Ticket{0};
  for (Index index = 1; ticket.ok() || ticket.error().code != ErrorCode::kDiskFull; ++index) {
    ASSERT_LT(index, 1000u) << (ticket.ok() ? "" : ticket.error().message);
    ticket = machine.Append(log, index, 1, {std::string(4000, 'x')}, 1);
    machine.Settle();
  }
  const Writer other = machine.store().NewWriter(0).value();
  EXPECT_EQ(ShardOfANewWriter(machine), 0u) << "the other has fewer";
}

#if defined(DURAMEN_PLANTED_BUGS)
// Else what is deleted would be there again, as an older log with older votes.
TEST(Shards, C9_TheOlderLogOfANameDoesNotGetItBack) {
  for (const std::uint32_t newer : {0u, 1u}) {
    Sharded machine(2);
    machine.Start();
    machine.Fill(1 - newer, "a", {"old"});
    const std::string uid = machine.UidOf("a");
    Plant(PlantedBug::kNameInTwoShards);
    machine.Fill(newer, "a", {"new"});
    Plant(PlantedBug::kNone);
    machine.PowerLoss();
    machine.Start();
    machine.Delete("a");
    for (int start = 0; start < 2; ++start) {
      machine.PowerLoss();
      machine.Start();
      EXPECT_FALSE(machine.store().ShardOf("a").ok());
      EXPECT_THAT(machine.Contents(uid), ElementsAre("1:1:old"));
      EXPECT_FALSE(machine.Faulty(uid));
    }
    machine.Fill(newer, "a", {"newest"});
    const LogRef old = machine.Log(uid, 1 - newer);
    ASSERT_TRUE(
        machine.Wait(machine.Append(old, 2, 1, {"goes on"}, 1 - newer).value(), 1 - newer).ok());
    machine.PowerLoss();
    machine.Start();
    EXPECT_THAT(machine.Contents("a"), ElementsAre("1:1:newest"));
    EXPECT_THAT(machine.Contents(uid), ElementsAre("1:1:old", "2:1:goes on"));
  }
}
#endif

// What an operator keeps beside a shard's WAL is not ours to remove.
TEST(Shards, A14_WhatIsNobodysStaysWhenAShardGoes) {
  Sharded machine(2);
  machine.options.wal_dir = "/fast";
  machine.Start();
  ASSERT_TRUE(machine.Close().ok());
  ASSERT_TRUE(machine.disk().CreateDirectories("/fast/1/elsewhere").ok());
  const auto foreign = machine.disk().Open("/fast/1/elsewhere");
  ASSERT_TRUE((*foreign)->Create("another-system's.wal").ok());
  machine.options.wal_shards = 1;
  machine.Start();
  EXPECT_THAT(machine.NamesIn("/fast/1/elsewhere"), ElementsAre("another-system's.wal"));
}

/// What a system with shards, whose directories come from `below`, does to a store in /fast/1.
void BesideAStore(std::string LogStoreOptions::*below) {
  Sharded machine(1);
  machine.options.data_dir = "/fast/1";
  machine.Start();
  machine.Fill(0, "precious", {"x"});
  ASSERT_TRUE(machine.Close().ok());
  machine.options.data_dir = "/data";
  machine.options.*below = "/fast";
  machine.options.wal_shards = 2;
  const std::vector<std::string> before = machine.NamesIn("/fast/1");
  std::string text;
  EXPECT_EQ(machine.Refusal(text), ErrorCode::kConfiguration);
  EXPECT_THAT(text, HasSubstr("WAL shard 1: '/fast/1' is the data_dir of a store"));
  EXPECT_EQ(machine.NamesIn("/fast/1"), before);
  machine.options.wal_shards = 1;
  machine.Start();
  ASSERT_TRUE(machine.Close().ok());
  machine.options.data_dir = "/fast/1";
  machine.options.*below = "";
  machine.Start();
  EXPECT_THAT(machine.Contents("precious"), ElementsAre("1:1:x"));
}
TEST(Shards, A14_AStoreIsNotTakenForAShardsWalDirectory) {
  BesideAStore(&LogStoreOptions::wal_dir);
}
TEST(Shards, A14_AStoreIsNotTakenForAShardsFailoverDirectory) {
  BesideAStore(&LogStoreOptions::wal_failover_dir);
}

// An earlier build let both be made there; and what came to lie there since is not the shard's.
TEST(Shards, A14_AStoreInAShardsWalDirectoryStaysWhenTheShardGoes) {
  Sharded machine(1);
  machine.options.data_dir = "/fast/1";
  machine.Start();
  machine.Fill(0, "precious", {"x"});
  ASSERT_TRUE(machine.Close().ok());
  const std::vector<std::string> before = machine.NamesIn("/fast/1");
  machine.Move("/fast/1", "SYSTEM", "hidden");
  machine.options.data_dir = "/data";
  machine.options.wal_dir = "/fast";
  machine.options.wal_shards = 2;
  machine.Start();
  ASSERT_TRUE(machine.Close().ok());
  machine.Move("/fast/1", "hidden", "SYSTEM");
  machine.options.wal_shards = 1;
  machine.Start();
  ASSERT_TRUE(machine.Close().ok());
  EXPECT_EQ(machine.NamesIn("/fast/1"), before);
  machine.options.data_dir = "/fast/1";
  machine.options.wal_dir = "";
  machine.Start();
  EXPECT_THAT(machine.Contents("precious"), ElementsAre("1:1:x"));
}

TEST(Shards, A14_AStoreIsNotMadeInAWalDirectory) {
  Sharded machine(2);
  machine.options.wal_dir = "/fast";
  machine.options.wal_failover_dir = "/away";
  machine.Start();
  ASSERT_TRUE(machine.Close().ok());
  machine.options = {};
  std::string text;
  machine.options.data_dir = "/fast/1";
  EXPECT_EQ(machine.Refusal(text), ErrorCode::kConfiguration);
  EXPECT_THAT(text, HasSubstr("'/fast/1' is a WAL directory of another system"));
  machine.options.data_dir = "/elsewhere";
  machine.options.wal_dir = "/away";
  EXPECT_EQ(machine.Refusal(text), ErrorCode::kConfiguration);
  EXPECT_THAT(text, HasSubstr("'/away' is a WAL directory of another system"));
}

// Nor is one of another system a shard's, though it has no WAL files.
TEST(Shards, A14_AShardTakesNoWalDirectoryOfAnother) {
  Sharded machine(1);
  machine.options.wal_failover_dir = "/fast/1";
  machine.Start();
  ASSERT_TRUE(machine.Close().ok());
  const std::vector<std::byte> before = machine.FileBytes("/fast/1/IDENTITY");
  machine.options.data_dir = "/elsewhere";
  machine.options.wal_dir = "/fast";
  machine.options.wal_failover_dir = "";
  machine.options.wal_shards = 2;
  std::string text;
  EXPECT_EQ(machine.Refusal(text), ErrorCode::kConfiguration);
  EXPECT_THAT(text, HasSubstr("'/fast/1' is a WAL directory of another system"));
  EXPECT_EQ(machine.FileBytes("/fast/1/IDENTITY"), before);
}

TEST(Shards, A14_AStoreWhereAShardIsToComeIsSeenBeforeAnyIsMade) {
  Sharded machine(1);
  machine.options.data_dir = "/data/shards/3";
  machine.Start();
  ASSERT_TRUE(machine.Close().ok());
  machine.options.data_dir = "/data";
  for (const std::uint64_t shards : {5u, 1u}) {
    machine.options.wal_shards = shards;
    std::string text;
    EXPECT_EQ(machine.Refusal(text), ErrorCode::kConfiguration);
    EXPECT_THAT(text, HasSubstr("'/data/shards/3' holds a store that is no shard of this system"));
    EXPECT_THAT(text, HasSubstr("move it away"));
    EXPECT_THAT(machine.NamesIn("/data/shards"), ElementsAre("3"));
  }
}

/// Of {data_dir, wal_dir, wal_failover_dir} and the shards: whether two of them meet.
struct Places {
  const char* data_dir;
  const char* wal_dir;
  const char* wal_failover_dir;
  std::uint64_t shards;
};

// Found after SYSTEM listed one of them, it would be refused at every start from then on.
TEST(Shards, CT1_A14_DirectoriesThatMeetAreRefusedBeforeAnythingIsMade) {
  for (const Places& places : {
           Places{"/data", "", "/data/shards", 3},
           Places{"/data", "", "/data//./shards/", 3},
           Places{"/data", "", "/data/shards", 1},
           Places{"/data", "", "/data/servers", 1},
           Places{"/data", "", "/data/meta/deeper", 1},
           Places{"/data", "", "/data/quarantine", 1},
           Places{"/data", "", "/data/shards/1/servers", 2},
           Places{"/data", "", "/data/wal/1", 1},
           Places{"/data", "/data/shards", "", 1},
           Places{"/data/", "/data/servers", "", 1},
           Places{"/data", "/x", "/x/1", 2},
           Places{"/data", "/x", "/x/2/deeper", 3},
           Places{"/data", "/x/1", "/x", 2},
           Places{"/data", "/x", "/y/../x", 1},
           Places{"/x/1", "/x", "", 2},
           Places{"/x/1", "", "/x", 2},
           Places{"/data", "/data/../data", "", 1},
       }) {
    Sharded machine(places.shards);
    machine.options.data_dir = places.data_dir;
    machine.options.wal_dir = places.wal_dir;
    machine.options.wal_failover_dir = places.wal_failover_dir;
    std::string text;
    EXPECT_EQ(machine.Refusal(text), ErrorCode::kConfiguration)
        << places.data_dir << ", " << places.wal_dir << ", " << places.wal_failover_dir;
    EXPECT_THAT(text, HasSubstr(" | "));
    EXPECT_FALSE(text.ends_with(" | ")) << "no hint: " << text;
    for (const char* path : {"/data", "/x", "/y"}) {
      EXPECT_FALSE(machine.disk().Open(path).ok()) << path << " was made: " << text;
    }
  }
}

TEST(Shards, CT1_A14_DirectoriesThatDoNotMeetAreTaken) {
  for (const Places& places : {
           Places{"/data", "/x", "/x/2", 2},
           Places{"/x/1", "/x", "", 1},
           Places{"/data", "/data/other", "/data/shards2", 3},
           Places{"/data", "/data/wal", "", 2},
           Places{"/data", "/x", "/x/10", 2},
           Places{"/data", "/", "", 2},
       }) {
    Sharded machine(places.shards);
    machine.options.data_dir = places.data_dir;
    machine.options.wal_dir = places.wal_dir;
    machine.options.wal_failover_dir = places.wal_failover_dir;
    for (int start = 0; start < 2; ++start) {
      machine.Start();
      ASSERT_TRUE(machine.Close().ok());
    }
  }
}

/// Shard 1 had log "gone", and a start that was to remove it died when only RETIRED said so.
void LeaveRetired(Sharded& machine) {
  machine.options.wal_shards = 2;
  machine.Start();
  machine.Fill(0, "kept", {"x"});
  machine.Fill(1, "gone", {"old"});
  machine.Delete("gone");
  ASSERT_TRUE(machine.Close().ok());
  const sim::DiskState disk = machine.disk().disk();
  machine.options.wal_shards = 1;
  const auto retired = [&] {
    const std::vector<std::string> names = machine.NamesIn("/data/shards/1");
    return std::ranges::count(names, "RETIRED") > 0;
  };
  for (std::uint64_t at = 1; !retired(); ++at) {
    ASSERT_LT(at, 1000u);
    machine.UseDisk(disk);
    machine.AtOperation(at, [&] { machine.disk().Crash(); });
    ASSERT_FALSE(machine.Open().ok());
    machine.Kill();
  }
  for (const std::uint64_t offset : {100u, 4196u}) machine.Rot("/data/shards/1/RETIRED", offset);
}

// Without it nothing tells what may be removed. What is left holds no log, but may hold entries of
// one without its tombstone: nothing may be made there, and nobody needs it.
TEST(Shards, C9_A14_WhereRetiredIsDamagedNothingIsRemovedAndNothingMade) {
  for (const char* wal_dir : {"", "/fast"}) {
    Sharded machine(2);
    machine.options.wal_dir = wal_dir;
    LeaveRetired(machine);
    if (testing::Test::HasFatalFailure()) return;
    const std::vector<std::string> before = machine.Everything();
    std::string text;
    machine.options.recovery_mode = RecoveryMode::kStrict;
    EXPECT_EQ(machine.Refusal(text), ErrorCode::kCorruption);
    EXPECT_THAT(text, HasSubstr("no copy in RETIRED can be read"));
    EXPECT_THAT(text, HasSubstr("move '/data/shards/1' away"));
    EXPECT_THAT(text, HasSubstr("recovery_mode contain"));
    EXPECT_EQ(machine.Everything(), before);
    machine.options.recovery_mode = RecoveryMode::kContain;
    const std::vector<std::string> left = machine.NamesIn("/data/shards/1");
    for (int start = 0; start < 2; ++start) {
      machine.Start();
      EXPECT_THAT(machine.Contents("kept"), ElementsAre("1:1:x"));
      EXPECT_THAT(machine.store().recovery_report().ToText(), HasSubstr("shards/1/RETIRED"));
      EXPECT_FALSE(machine.store().recovery_report().damaged());
      EXPECT_EQ(machine.NamesIn("/data/shards/1"), left);
      machine.PowerLoss();
    }
    machine.options.wal_shards = 2;
    EXPECT_EQ(machine.Refusal(text), ErrorCode::kCorruption);
    EXPECT_THAT(text, HasSubstr("move '/data/shards/1' away, and what wal_dir has of that shard"));
    EXPECT_EQ(machine.NamesIn("/data/shards/1"), left);
    EXPECT_EQ(machine.Counted(), 1u);
    // What the hint says works.
    machine.Move("/data/shards", "1", "away");
    if (wal_dir[0] != 0) machine.Move("/fast", "1", "away");
    machine.Start();
    EXPECT_EQ(machine.store().Logs().size(), 1u);
    machine.Fill(1, "gone", {"new"});
    machine.PowerLoss();
    machine.Start();
    EXPECT_THAT(machine.Contents("gone"), ElementsAre("1:1:new"));
    EXPECT_THAT(machine.store().recovery_report().ToText(), Not(HasSubstr("RETIRED")));
  }
}

// A growth that the disk has no room for must leave a way back to the number that was there.
TEST(Shards, B3_B4_AGrowthOnAFullDiskCanBeTakenBack) {
  Sharded machine(1);
  machine.Start();
  machine.Fill(0, "a", {"x"});
  ASSERT_TRUE(machine.Close().ok());
  machine.disk().Schedule({.kind = sim::OpKind::kAllocate,
                           .file_class = "",
                           .times = UINT64_MAX,
                           .effect = sim::FaultEffect::kDiskFull});
  machine.Start();  // Works without a byte free.
  ASSERT_TRUE(machine.Close().ok());
  machine.options.wal_shards = 2;
  std::string text;
  EXPECT_EQ(machine.Refusal(text), ErrorCode::kDiskFull) << text;
  machine.options.wal_shards = 1;
  const Status opened = machine.Open();
  EXPECT_TRUE(opened.ok()) << opened.error().message << " | " << opened.error().hint;
}

// Wherever the space gives out: what is half made cannot be recovered, which takes space too.
TEST(Shards, B3_B4_AGrowthThatFillsTheDiskCanBeTakenBack) {
  for (const char* wal_dir : {"", "/fast"}) {
    for (std::uint64_t skip = 0;; ++skip) {
      ASSERT_LT(skip, 200u);
      Sharded machine(1);
      machine.options.wal_dir = wal_dir;
      machine.Start();
      machine.Fill(0, "a", {"x"});
      ASSERT_TRUE(machine.Close().ok());
      machine.Start();
      ASSERT_TRUE(machine.Close().ok());
      machine.disk().Schedule({.kind = sim::OpKind::kAllocate,
                               .file_class = "",
                               .skip = skip,
                               .times = UINT64_MAX,
                               .effect = sim::FaultEffect::kDiskFull});
      machine.options.wal_shards = 4;
      const Status grown = machine.Open();
      if (grown.ok()) break;
      machine.options.wal_shards = 1;
      const Status back = machine.Open();
      ASSERT_TRUE(back.ok()) << skip << ": " << grown.error().message << "; then "
                             << back.error().message;
      EXPECT_THAT(machine.Contents("a"), ElementsAre("1:1:x"));
      EXPECT_EQ(machine.Counted(), 1u);
      for (const std::string& name : machine.NamesIn("/data/shards")) {
        EXPECT_THAT(machine.NamesIn("/data/shards/" + name), Not(Contains("SYSTEM")));
      }
    }
  }
}

// An old copy of SYSTEM does not count what holds logs; the shards beside it, which hold none, are
// still needed once the right one is back.
TEST(Shards, A14_WhereOneThatIsNotCountedHoldsLogsNoneGoes) {
  Sharded machine(1);
  machine.Start();
  machine.Fill(0, "a", {"x"});
  ASSERT_TRUE(machine.Close().ok());
  const std::vector<std::byte> old = machine.FileBytes("/data/SYSTEM");
  machine.options.wal_shards = 4;
  machine.Start();
  machine.Fill(2, "b", {"y"});
  ASSERT_TRUE(machine.Close().ok());
  const std::vector<std::byte> right = machine.FileBytes("/data/SYSTEM");
  const auto data = machine.disk().Open("/data");
  ASSERT_TRUE(ReplaceFile(**data, "SYSTEM", old).ok());
  machine.options.wal_shards = 1;
  std::string text;
  EXPECT_EQ(machine.Refusal(text), ErrorCode::kConfiguration);
  EXPECT_THAT(text, HasSubstr("WAL shard 2: SYSTEM does not count it, but it holds logs: 'b'"));
  ASSERT_TRUE(ReplaceFile(**data, "SYSTEM", right).ok());
  machine.options.wal_shards = 4;
  machine.Start();
  EXPECT_THAT(machine.Contents("b"), ElementsAre("1:1:y"));
}

}  // namespace
}  // namespace duramen::log
