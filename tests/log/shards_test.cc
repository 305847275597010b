// Several WALs in one system: which log is in which, which names are free, and what becomes of a
// shard when it comes, goes, is damaged or is not there.
#include "log/shards.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <list>
#include <set>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/planted.h"
#include "base/settings.h"
#include "log/repair.h"
#include "tests/log/sharded.h"

namespace duramen::log {
namespace {

using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

/// Of a metric, over all shards.
std::uint64_t SumOf(Sharded& machine, std::string_view name) {
  struct Sum {
    std::string_view name;
    std::uint64_t value = 0;
  } sum{name};
  machine.store().VisitMetrics(
      [](void* argument, const Metric& metric) {
        Sum& into = *static_cast<Sum*>(argument);
        if (metric.name == into.name) into.value += metric.value;
      },
      &sum);
  return sum.value;
}

TEST(Shards, PW16_LogsOfSeveralWalsAreThereAfterAPowerLoss) {
  Sharded machine(3);
  machine.Start();
  EXPECT_EQ(machine.store().shards(), 3u);
  for (std::uint32_t shard = 0; shard < 3; ++shard) {
    for (const char* name : {"a", "b"}) {
      machine.Fill(shard, name + std::to_string(shard), {name, "two", "three"});
    }
  }
  machine.PowerLoss();
  machine.Start();
  EXPECT_EQ(machine.Counted(), 3u);
  EXPECT_THAT(machine.store().Logs(), SizeIs(6));
  for (const LogInfo& info : machine.store().Logs()) {
    const auto shard = static_cast<std::uint32_t>(info.name[1] - '0');
    EXPECT_EQ(info.shard, shard);
    EXPECT_EQ(machine.store().ShardOf(info.name).value(), shard);
    EXPECT_THAT(machine.Contents(info.log),
                ElementsAre("1:1:" + info.name.substr(0, 1), "2:1:two", "3:1:three"));
    const LogRef log = machine.Log(info.name, shard);
    EXPECT_EQ(log, info.log);
    ASSERT_TRUE(machine.Wait(machine.Append(log, 4, 2, {"on"}, shard).value(), shard).ok());
  }
  EXPECT_EQ(machine.store().ShardOf("nobody").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(machine.store().recovery_report().entries, 18u);
}

// Each has files and a stream of syncs of its own: what one Writer does costs the others none.
TEST(Shards, PW16_AShardSyncsWhatItsOwnWritersWrite) {
  Sharded machine(2);
  machine.Start();
  machine.Fill(0, "a", {"x"});
  machine.Fill(1, "b", {"y"});
  const auto syncs = [&] {
    std::vector<std::uint64_t> of(2);
    machine.store().VisitMetrics(
        [](void* argument, const Metric& metric) {
          if (metric.name != "wal_syncs") return;
          static_cast<std::vector<std::uint64_t>*>(argument)->at(metric.shard) = metric.value;
        },
        &of);
    return of;
  };
  const std::vector<std::uint64_t> before = syncs();
  const LogRef b = machine.Log("b", 1);
  for (Index index = 2; index < 12; ++index) {
    ASSERT_TRUE(machine.Wait(machine.Append(b, index, 1, {"z"}, 1).value(), 1).ok());
  }
  EXPECT_EQ(syncs()[0], before[0]);
  EXPECT_GE(syncs()[1], before[1] + 10);
  EXPECT_THAT(machine.NamesIn("/data/shards/1/wal"), Contains(HasSubstr(".wal")));
}

TEST(Shards, PW16_WritersGoWhereThereAreFewest) {
  Sharded machine(3);
  machine.Start();
  std::list<Writer> writers;
  std::multiset<std::uint32_t> where;
  for (int i = 0; i < 6; ++i) {
    writers.push_back(machine.store().NewWriter().value());
    const std::string name = "log" + std::to_string(i);
    ASSERT_TRUE(machine.store().OpenLog(writers.back(), name, OpenMode::kCreate).ok());
    where.insert(machine.store().ShardOf(name).value());
  }
  EXPECT_THAT(where, ElementsAre(0, 0, 1, 1, 2, 2));
  writers.erase(std::next(writers.begin()));
  writers.push_back(machine.store().NewWriter().value());
  ASSERT_TRUE(machine.store().OpenLog(writers.back(), "again", OpenMode::kCreate).ok());
  EXPECT_EQ(machine.store().ShardOf("again").value(), 1u);
  EXPECT_EQ(machine.store().NewWriter(3).error().code, ErrorCode::kInvalidArgument);
}

// A ref names its log in all of them, and a Writer takes only those of its own.
TEST(Shards, PW16_ARefIsOneLogsAndItsWritersAlone) {
  Sharded machine(2);
  machine.Start();
  std::set<std::uint32_t> slots;
  for (std::uint32_t i = 0; i < 8; ++i) {
    slots.insert(machine.Log("log" + std::to_string(i), i % 2).slot);
  }
  EXPECT_THAT(slots, SizeIs(8));
  EXPECT_LT(*slots.rbegin(), 8u) << "callers index by it";
  machine.Fill(0, "a", {"one"});
  machine.Fill(1, "b", {"two"});
  const LogRef b = machine.Log("b", 1);
  const Result<Ticket> wrong = machine.Append(b, 2, 1, {"x"}, 0);
  ASSERT_FALSE(wrong.ok());
  EXPECT_EQ(wrong.error().code, ErrorCode::kWrongWriter);
  EXPECT_THAT(wrong.error().hint, HasSubstr("NewWriter(1)"));
  EXPECT_EQ(machine.store().DeleteLog(machine.writer(0), b).error().code, ErrorCode::kWrongWriter);
  EXPECT_THAT(machine.Contents(b), ElementsAre("1:1:two"));
  machine.Delete("b");
  EXPECT_EQ(machine.store().BoundsOf(b).error().code, ErrorCode::kStaleRef);
}

TEST(Shards, C9_ANameIsOneLogsInWhicheverShard) {
  Sharded machine(2);
  machine.Start();
  machine.Fill(1, "a", {"old"});
  const auto open = [&](OpenMode mode) {
    return machine.store().OpenLog(machine.writer(0), "a", mode);
  };
  EXPECT_EQ(open(OpenMode::kCreate).error().code, ErrorCode::kAlreadyExists);
  for (const OpenMode mode : {OpenMode::kOpen, OpenMode::kOpenOrCreate}) {
    const Result<LogRef> wrong = open(mode);
    EXPECT_EQ(wrong.error().code, ErrorCode::kWrongWriter);
    EXPECT_THAT(wrong.error().hint, HasSubstr("NewWriter(1)"));
  }
  const LogRef a = machine.Log("a", 1);
  const Ticket deleted = machine.store().DeleteLog(machine.writer(1), a).value();
  for (const OpenMode mode : {OpenMode::kCreate, OpenMode::kOpenOrCreate}) {
    EXPECT_EQ(open(mode).error().code, ErrorCode::kInUse) << "a crash now may leave the old one";
  }
  ASSERT_TRUE(machine.Wait(deleted, 1).ok());
  EXPECT_EQ(open(OpenMode::kOpen).error().code, ErrorCode::kNotFound);
  machine.Fill(0, "a", {"new"});
  machine.PowerLoss();
  machine.Start();
  EXPECT_THAT(machine.store().Logs(), SizeIs(1));
  EXPECT_EQ(machine.store().ShardOf("a").value(), 0u);
  EXPECT_THAT(machine.Contents("a"), ElementsAre("1:1:new"));
}

#if defined(DURAMEN_PLANTED_BUGS)
// An operator's restore may bring back what was deleted: the newer one has the name, whichever
// shard was opened first, and the other one is told of.
TEST(Shards, C9_OfTwoOfANameTheNewerIncarnationHasIt) {
  for (const std::uint32_t newer : {0u, 1u}) {
    Sharded machine(2);
    machine.Start();
    // So many that a shard's own count of incarnations would make the old one the newer.
    for (int i = 0; i < 5; ++i) machine.Fill(1 - newer, "b" + std::to_string(i), {"x"});
    machine.Fill(1 - newer, "a", {"old"});
    machine.PowerLoss();
    machine.Start();
    Plant(PlantedBug::kNameInTwoShards);
    machine.Fill(newer, "a", {"new", "er"});
    Plant(PlantedBug::kNone);
    for (int start = 0; start < 2; ++start) {
      machine.PowerLoss();
      machine.Start();
      EXPECT_THAT(machine.store().Logs(), SizeIs(7));
      EXPECT_EQ(machine.store().ShardOf("a").value(), newer);
      EXPECT_THAT(machine.Contents("a"), ElementsAre("1:1:new", "2:1:er"));
      const std::string told = machine.store().recovery_report().ToText();
      EXPECT_EQ(told.find("newer there") != std::string::npos, start == 0) << told;
    }
  }
}
#endif

TEST(Shards, A14_AShardThatIsNotThereIsRefusedAndNothingIsMade) {
  Sharded machine(3);
  machine.Start();
  machine.Fill(2, "a", {"x"});
  ASSERT_TRUE(machine.Close().ok());
  for (const char* what : {"directory", "SYSTEM"}) {
    const bool directory = what == std::string("directory");
    const std::string where = directory ? "/data/shards" : "/data/shards/2";
    const std::string name = directory ? "2" : "SYSTEM";
    machine.Move(where, name, "away");
    const std::vector<std::string> before = machine.Everything();
    for (const std::uint64_t shards : {3u, 1u, 4u}) {
      machine.options.wal_shards = shards;
      std::string text;
      EXPECT_EQ(machine.Refusal(text), ErrorCode::kConfiguration);
      EXPECT_THAT(text, HasSubstr("WAL shard 2 is not in '/data/shards/2'"));
      EXPECT_THAT(text, HasSubstr("mount or restore"));
    }
    EXPECT_EQ(machine.Everything(), before);
    machine.Move(where, "away", name);
  }
  machine.options.wal_shards = 3;
  machine.Start();
  EXPECT_THAT(machine.Contents("a"), ElementsAre("1:1:x"));
}

TEST(Shards, A14_DirectoriesThatWereSwappedAreRefusedByName) {
  Sharded machine(3);
  machine.options.wal_dir = "/fast";
  machine.Start();
  machine.Fill(1, "a", {"x"});
  ASSERT_TRUE(machine.Close().ok());
  machine.Move("/data/shards", "1", "one");
  machine.Move("/data/shards", "2", "1");
  machine.Move("/data/shards", "one", "2");
  std::string text;
  EXPECT_EQ(machine.Refusal(text), ErrorCode::kConfiguration);
  EXPECT_THAT(text, HasSubstr("WAL shard 1: '/data/shards/1' belongs to shard 2 of this system"));
  for (const auto& [from, to] : {std::pair{"1", "one"}, {"2", "1"}, {"one", "2"}}) {
    machine.Move("/data/shards", from, to);
    machine.Move("/fast", from, to);
  }
  EXPECT_EQ(machine.Refusal(text), ErrorCode::kConfiguration);
  EXPECT_THAT(text, HasSubstr("WAL shard 1: '/fast/1' belongs to another system"));
  for (const auto& [from, to] : {std::pair{"1", "one"}, {"2", "1"}, {"one", "2"}}) {
    machine.Move("/fast", from, to);
  }
  machine.Start();
  EXPECT_THAT(machine.Contents("a"), ElementsAre("1:1:x"));
}

TEST(Shards, A14_AShardIsNotOpenedByItself) {
  Sharded machine(2);
  machine.Start();
  machine.Fill(1, "a", {"x"});
  ASSERT_TRUE(machine.Close().ok());
  machine.options.data_dir = "/data/shards/1";
  machine.options.wal_shards = 1;
  std::string text;
  EXPECT_EQ(machine.Refusal(text), ErrorCode::kConfiguration);
  EXPECT_THAT(text, HasSubstr("is a WAL shard of another data_dir"));
}

TEST(Shards, A14_AShardGoesWhenItHoldsNoLog) {
  Sharded machine(4);
  machine.Start();
  machine.Fill(0, "stays", {"x"});
  for (const char* name : {"a", "b", "c", "d", "e"}) machine.Fill(3, name, {name});
  machine.Fill(2, "f", {"f"});
  ASSERT_TRUE(machine.Close().ok());
  machine.options.wal_shards = 2;
  std::string text;
  EXPECT_EQ(machine.Refusal(text), ErrorCode::kConfiguration);
  EXPECT_THAT(text, HasSubstr("it holds logs: 'f'"));
  EXPECT_THAT(text, HasSubstr("set wal_shards to 4"));
  EXPECT_EQ(machine.Counted(), 4u);

  machine.options.wal_shards = 4;
  machine.Start();
  EXPECT_THAT(machine.store().Logs(), SizeIs(7));
  machine.Delete("f");
  machine.options.wal_shards = 3;
  ASSERT_TRUE(machine.Close().ok());
  EXPECT_EQ(machine.Refusal(text), ErrorCode::kConfiguration);
  EXPECT_THAT(text, HasSubstr("and 2 more"));
  machine.options.wal_shards = 4;
  machine.Start();
  for (const char* name : {"a", "b", "c", "d", "e"}) machine.Delete(name);
  ASSERT_TRUE(machine.Close().ok());

  machine.options.wal_shards = 2;
  machine.Start();
  EXPECT_EQ(machine.Counted(), 2u);
  EXPECT_THAT(machine.NamesIn("/data/shards"), ElementsAre("1"));
  EXPECT_THAT(machine.Contents("stays"), ElementsAre("1:1:x"));
  ASSERT_TRUE(machine.Close().ok());
  machine.options.wal_shards = 4;
  machine.Start();
  EXPECT_THAT(machine.store().Logs(), SizeIs(1)) << "a shard that comes again begins empty";
  machine.Fill(3, "a", {"again"});
  EXPECT_THAT(machine.Contents("a"), ElementsAre("1:1:again"));
}

TEST(Shards, A14_DevicesOfTheirOwnComeAndGoWithTheirShard) {
  Sharded machine(2);
  machine.options.wal_dir = "/fast";
  machine.options.wal_failover_dir = "/other";
  machine.Start();
  machine.Fill(1, "a", {"x"});
  EXPECT_THAT(machine.NamesIn("/fast/1"), Contains(HasSubstr(".wal")));
  EXPECT_THAT(machine.NamesIn("/other/1"), Contains("IDENTITY"));
  EXPECT_THAT(machine.NamesIn("/data/shards/1"), Not(Contains("wal")));
  machine.PowerLoss();
  machine.Move("/fast", "1", "gone");
  std::string text;
  EXPECT_EQ(machine.Refusal(text), ErrorCode::kNotFound);
  EXPECT_THAT(text, HasSubstr("WAL shard 1: the system wrote its WAL to '/fast/1'"));
  EXPECT_THAT(machine.NamesIn("/fast"), Not(Contains("1")));
  machine.Move("/fast", "gone", "1");
  machine.Start();
  machine.Delete("a");
  ASSERT_TRUE(machine.Close().ok());
  machine.options.wal_shards = 1;
  machine.Start();
  EXPECT_THAT(machine.NamesIn("/fast"), Not(Contains("1")));
  EXPECT_THAT(machine.NamesIn("/other"), Not(Contains("1")));
  EXPECT_THAT(machine.NamesIn("/data/shards"), IsEmpty());
}

/// What a crash at every operation of a start leaves, and the power loss behind it, must open with
/// either number of shards, with all that was acknowledged.
void CrashEverywhere(std::uint64_t before, std::uint64_t after) {
  sim::DiskState disk;
  {
    Sharded machine(before);
    machine.options.wal_dir = "/fast";
    machine.Start();
    machine.Fill(0, "a", {"kept"});
    machine.Fill(static_cast<std::uint32_t>(before - 1), "b", {"goes"});
    if (before > after) machine.Delete("b");
    ASSERT_TRUE(machine.Close().ok());
    disk = machine.disk().disk();
  }
  bool whole = false;
  for (std::uint64_t at = 1; !whole; ++at) {
    for (int kind = 0; kind < 4; ++kind) {
      Sharded machine(after);
      machine.options.wal_dir = "/fast";
      machine.seed = 2000 + at;
      machine.UseDisk(disk);
      bool crashed = false;
      machine.AtOperation(at, [&] {
        crashed = true;
        machine.disk().Crash();
      });
      const bool opened = machine.Open().ok();
      whole = !crashed;
      ASSERT_EQ(opened, !crashed);
      if (kind == 0) machine.Kill();
      if (kind == 1) machine.PowerLoss();
      if (kind > 1) machine.PowerLoss(sim::Profile::kAdversary, at * 7919 + kind);
      machine.options.wal_shards = kind % 2 == 0 ? after : before;
      machine.Start();
      if (testing::Test::HasFatalFailure()) FAIL() << "crash " << kind << " at operation " << at;
      EXPECT_EQ(machine.Counted(), machine.options.wal_shards);
      EXPECT_THAT(machine.Contents("a"), ElementsAre("1:1:kept"));
      EXPECT_THAT(machine.store().Logs(), SizeIs(before > after ? 1 : 2));
      machine.Fill(static_cast<std::uint32_t>(machine.options.wal_shards - 1), "c", {"new"});
      machine.PowerLoss();
      machine.Start();
      EXPECT_THAT(machine.Contents("c"), ElementsAre("1:1:new"));
    }
  }
}

TEST(Shards, A14_ACrashAnywhereInGrowthLosesNothing) { CrashEverywhere(2, 3); }
TEST(Shards, A14_ACrashAnywhereInTheFirstGrowthLosesNothing) { CrashEverywhere(1, 2); }
TEST(Shards, A14_ACrashAnywhereInAShardsRemovalLosesNothing) { CrashEverywhere(3, 1); }

/// Makes the checksums right, as in a file of that version.
void SetVersion(std::vector<std::byte>& system, std::uint32_t version) {
  Uid128 uuid;
  std::memcpy(uuid.bytes.data(), system.data() + 24, 16);
  for (std::size_t copy = 0; copy < kSystemCopies; ++copy) {
    const std::size_t at = copy * kSystemBlockBytes;
    const Bytes block = Bytes(system).subspan(at, kSystemBlockBytes);
    StoreLe(system.data() + at + 8, version);
    const std::uint64_t seed = SeedAt(FileSeed(uuid, FileKind::kSystem, 0), at);
    StoreLe(system.data() + at + 16, ChecksumAround(block, 16, seed));
  }
}

// A release without shards would open one of them, and the logs of the others would be gone.
TEST(Shards, PW6_A14_SystemSaysToAnEarlierReleaseThatThereAreShards) {
  Sharded machine(1);
  const auto version = [&](const char* path) {
    return LoadLe<std::uint32_t>(machine.FileBytes(path).data() + 8);
  };
  machine.Start();
  ASSERT_TRUE(machine.Close().ok());
  EXPECT_EQ(version("/data/SYSTEM"), 1u);
  machine.options.wal_shards = 2;
  machine.Start();
  machine.Fill(1, "a", {"x"});
  ASSERT_TRUE(machine.Close().ok());
  EXPECT_EQ(version("/data/SYSTEM"), 2u);
  EXPECT_EQ(version("/data/shards/1/SYSTEM"), 2u);
  // As a build between two releases wrote it.
  const auto data = machine.disk().Open("/data");
  std::vector<std::byte> bytes = machine.FileBytes("/data/SYSTEM");
  SetVersion(bytes, 1);
  ASSERT_TRUE(ReplaceFile(**data, "SYSTEM", bytes).ok());
  machine.Start();
  EXPECT_THAT(machine.Contents("a"), ElementsAre("1:1:x"));
  machine.Delete("a");
  ASSERT_TRUE(machine.Close().ok());
  machine.options.wal_shards = 1;
  machine.Start();
  ASSERT_TRUE(machine.Close().ok());
  EXPECT_EQ(version("/data/SYSTEM"), 1u);
  for (const std::uint32_t unknown : {0u, 3u}) {
    bytes = machine.FileBytes("/data/SYSTEM");
    SetVersion(bytes, unknown);
    const auto refused = DecodeSystemFile(bytes);
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code, ErrorCode::kUnknownVersion);
    EXPECT_THAT(refused.error().message, HasSubstr("this release reads 1 to 2"));
  }
}

// What SYSTEM does not count is removed only if no log is lost by it.
TEST(Shards, A14_AShardThatIsNotCountedAndHoldsLogsIsRefused) {
  Sharded machine(2);
  machine.Start();
  machine.Fill(1, "a", {"x"});
  ASSERT_TRUE(machine.Close().ok());
  SystemFile system = DecodeSystemFile(machine.FileBytes("/data/SYSTEM")).value().content;
  system.shards = 1;
  const auto data = machine.disk().Open("/data");
  ASSERT_TRUE(ReplaceFile(**data, "SYSTEM", EncodeSystemFile(system)).ok());
  for (const std::uint64_t shards : {1u, 2u}) {
    machine.options.wal_shards = shards;
    std::string text;
    EXPECT_EQ(machine.Refusal(text), ErrorCode::kConfiguration);
    EXPECT_THAT(text, HasSubstr("SYSTEM does not count it, but it holds logs: 'a'"));
  }
  system.shards = 2;
  ASSERT_TRUE(ReplaceFile(**data, "SYSTEM", EncodeSystemFile(system)).ok());
  machine.options.wal_shards = 2;
  machine.Start();
  EXPECT_THAT(machine.Contents("a"), ElementsAre("1:1:x"));
}

/// Changes a byte of `text` wherever it stands below /data/shards/1/wal.
void RotIn(Sharded& machine, const std::string& text) {
  for (const std::string& name : machine.NamesIn("/data/shards/1/wal")) {
    if (!name.ends_with(".wal")) continue;
    const std::string path = "/data/shards/1/wal/" + name;
    const std::vector<std::byte> bytes = machine.FileBytes(path);
    const std::size_t at = AsText(bytes).find(text);
    if (at != std::string_view::npos) machine.Rot(path, at);
  }
}

/// "a" is whole, in shard 0; of "b", in shard 1, the second of three entries is damaged.
void LoseOneOfB(Sharded& machine) {
  machine.Start();
  machine.Fill(0, "a", {"whole"});
  machine.Fill(1, "b", {"one", "to-be-lost", "three"});
  machine.Idle();
  ASSERT_TRUE(machine.Close().ok());
  RotIn(machine, "to-be-lost");
}

TEST(Shards, PW16_DamageInOneTouchesNoOther) {
  Sharded machine(2);
  LoseOneOfB(machine);
  machine.options.recovery_mode = RecoveryMode::kStrict;
  std::string text;
  EXPECT_EQ(machine.Refusal(text), ErrorCode::kCorruption);
  EXPECT_THAT(text, HasSubstr("WAL shard 1: "));
  machine.options.recovery_mode = RecoveryMode::kContain;
  machine.Start();
  EXPECT_FALSE(machine.Faulty("a"));
  EXPECT_TRUE(machine.Faulty("b"));
  const RecoveryReport& report = machine.store().recovery_report();
  EXPECT_TRUE(report.damaged());
  for (const Finding& finding : report.findings) {
    if (finding.kind != FindingKind::kDamage) continue;
    EXPECT_THAT(finding.file, testing::StartsWith("shards/1/"));
    if (!finding.kept_in.empty()) {
      EXPECT_THAT(finding.kept_in, testing::StartsWith("shards/1/quarantine/"));
    }
  }
  machine.Delete("b");
  ASSERT_TRUE(machine.Close().ok());
  machine.options.wal_shards = 1;
  machine.Start();
  EXPECT_THAT(machine.NamesIn("/data/shards/1"), ElementsAre("quarantine")) << "nobody removes it";
  EXPECT_THAT(machine.NamesIn("/data/shards/1/quarantine"), Not(IsEmpty()));
  ASSERT_TRUE(machine.Close().ok());
  machine.options.wal_shards = 2;
  machine.Start();
  EXPECT_THAT(machine.store().Logs(), SizeIs(1));
}

TEST(Shards, A14_ADamagedShardDoesNotGo) {
  Sharded machine(2);
  machine.Start();
  machine.Fill(1, "b", {"to-be-lost"});
  machine.Idle();
  machine.Delete("b");
  machine.Idle();
  ASSERT_TRUE(machine.Close().ok());
  RotIn(machine, "to-be-lost");
  machine.options.wal_shards = 1;
  std::string text;
  EXPECT_EQ(machine.Refusal(text), ErrorCode::kConfiguration);
  EXPECT_THAT(text, HasSubstr("it is damaged, so it cannot be taken out of use"));
  EXPECT_EQ(machine.Counted(), 2u);
}

// Nothing else counts the shards: a repair that made SYSTEM anew for one would shut out the others.
TEST(Shards, A14_ASystemFileThatIsLostIsMadeAnewWithItsShards) {
  Sharded machine(3);
  machine.Start();
  for (std::uint32_t shard = 0; shard < 3; ++shard) {
    machine.Fill(shard, std::to_string(shard), {"x"});
  }
  ASSERT_TRUE(machine.Close().ok());
  for (const std::string path : {"/data", "/data/shards/1"}) {
    ASSERT_TRUE((*machine.disk().Open(path))->Remove("SYSTEM").ok());
    std::string text;
    EXPECT_NE(machine.Refusal(text), ErrorCode::kNotFound);
    ManualClock clock;
    const Result<RepairOutcome> repaired =
        RepairStore({.data_dir = path, .wal_dir = "", .system = {}, .mend = {}, .log_sink = {}},
                    {machine.disk(), clock, machine.executor(), Rng(9)});
    ASSERT_TRUE(repaired.ok()) << repaired.error().message;
    machine.Start();
    EXPECT_THAT(machine.store().Logs(), SizeIs(3));
    ASSERT_TRUE(machine.Close().ok());
  }
  EXPECT_EQ(machine.Counted(), 3u);
  const auto shard = DecodeSystemFile(machine.FileBytes("/data/shards/1/SYSTEM"));
  EXPECT_EQ(shard.value().content.shards, kIsAShard);
}

TEST(Shards, PW8_SalvageFindsALogInWhicheverShard) {
  Sharded machine(2);
  LoseOneOfB(machine);
  machine.options.recovery_mode = RecoveryMode::kSalvage;
  machine.options.salvage_servers = {"b", "nobody"};
  std::string text;
  EXPECT_EQ(machine.Refusal(text), ErrorCode::kConfiguration);
  EXPECT_THAT(text, HasSubstr("'nobody'"));
  machine.options.salvage_servers = {"b"};
  machine.Start();
  EXPECT_FALSE(machine.Faulty("b"));
  EXPECT_THAT(machine.Contents("b"), ElementsAre("1:1:one"));
  EXPECT_EQ(machine.store().ShardOf("b").value(), 1u);
  EXPECT_THAT(machine.Contents("a"), ElementsAre("1:1:whole"));
}

// One budget: where a busy shard has too little left to give, what an idle one holds is flushed.
TEST(Shards, B1_AnIdleShardGivesItsMemoryBack) {
  Sharded machine(2);
  machine.options.memory_budget = 1 << 20;
  machine.options.wal_max_size_bytes = 2 << 20;
  machine.tuning.chunk_bytes = 64 << 10;
  machine.Start();
  const auto append = [&](LogRef log, Index index, std::uint32_t shard) {
    const Result<Ticket> ticket = machine.Append(log, index, 1, {std::string(4000, 'x')}, shard);
    return ticket.ok() && machine.Wait(*ticket, shard).ok();
  };
  const LogRef a = machine.Log("a", 0);
  const LogRef b = machine.Log("b", 1);
  for (Index index = 1; SumOf(machine, "memory_used_bytes") < 670'000; ++index) {
    ASSERT_TRUE(append(a, index, 0));
  }
  machine.Idle();  // From here on its WAL waits for nothing but to be woken.
  ASSERT_EQ(machine.store().pressure(), Pressure::kNone);
  ASSERT_EQ(SumOf(machine, "flush_bytes"), 0u);
  const std::uint64_t of_a = SumOf(machine, "memory_used_bytes");
  for (Index index = 1; index <= 40; ++index) ASSERT_TRUE(append(b, index, 1));
  machine.Idle();
  EXPECT_GT(SumOf(machine, "flush_bytes"), of_a / 2) << "more than the busy one has written";
  // Both WALs keep a buffer for their next batch.
  const std::uint64_t buffers = SumOf(machine, "memory_batch_bytes");
  EXPECT_LE(buffers, machine.options.memory_budget / 16);
  EXPECT_LT(SumOf(machine, "memory_used_bytes") - buffers, of_a / 2);
}

TEST(Shards, PW16_TheMethodChangesInAllOrInNone) {
  Sharded machine(2);
  machine.Start();
  machine.Fill(1, "a", {"x"});
  ASSERT_TRUE(machine.store().SetSyncMethod(SyncMethod::kFsync).ok());
  const LogRef a = machine.Log("a", 1);
  ASSERT_TRUE(machine.Wait(machine.Append(a, 2, 1, {"y"}, 1).value(), 1).ok());
  machine.Fill(0, "b", {"z"});
  machine.Settle();
  std::vector<std::uint64_t> methods;
  machine.store().VisitMetrics(
      [](void* argument, const Metric& metric) {
        if (metric.name != "wal_sync_method") return;
        static_cast<std::vector<std::uint64_t>*>(argument)->push_back(metric.value);
      },
      &methods);
  EXPECT_THAT(methods, ElementsAre(1, 1));
}

/// Of one Writer in each shard, on devices that take 2 ms for a batch of eight.
double EntriesPerSecond(std::uint32_t shards) {
  Sharded machine(shards);
  machine.options.wal_max_size_bytes = 4 << 20;
  machine.options.wal_max_files = 64;
  machine.options.wal_max_batch_size = 8;
  machine.Start();
  std::vector<LogRef> logs;
  for (std::uint32_t i = 0; i < shards; ++i) logs.push_back(machine.Log(std::to_string(i), i));
  machine.Settle();
  machine.disk().SetLatency(2'000'000);
  std::vector<Index> next(shards, 1);
  const auto now_ns = [&] { return machine.In(0).time_since_epoch().count(); };
  const auto end_ns = now_ns() + 1'000'000'000;
  while (now_ns() < end_ns) {
    for (std::uint32_t i = 0; i < shards; ++i) {
      while (machine.Append(logs[i], next[i], 1, {"payload"}, i).ok()) ++next[i];
    }
    machine.Settle();
    if (!machine.executor().AdvanceToNextTimer()) break;
    for (std::uint32_t i = 0; i < shards; ++i) {
      (void)machine.writer(i).TruncatePrefix(logs[i],
                                             machine.store().BoundsOf(logs[i])->written_end);
    }
  }
  double entries = 0;
  for (const LogRef log : logs) {
    entries += static_cast<double>(machine.store().BoundsOf(log)->written_end);
  }
  return entries;
}

TEST(Shards, PW16_TwoDevicesDoTwiceAsMuchAsOne) {
  const double one = EntriesPerSecond(1);
  const double two = EntriesPerSecond(2);
  EXPECT_GT(one, 1000);
  EXPECT_GE(two, 1.9 * one) << one << " entries/s with one";
}

/// What is told of, with the shard that it says; "" where it says none.
struct Events {
  std::vector<std::pair<std::string, std::string>> told;
  LogSink Sink() {
    return {[](void* argument, const LogEvent& event) noexcept {
              std::string shard;
              for (const LogField& field : event.fields) {
                if (field.key == "shard") shard = field.value;
              }
              static_cast<Events*>(argument)->told.emplace_back(event.code, shard);
            },
            this};
  }
};

TEST(Shards, TL5_AnEventSaysOfWhichShardItIs) {
  Events events;
  Sharded machine(2);
  machine.options.log_sink = events.Sink();
  machine.Start();
  EXPECT_THAT(events.told, Contains(std::pair<std::string, std::string>("store.recovered", "")));
  EXPECT_THAT(events.told, Contains(std::pair<std::string, std::string>("store.recovered", "1")));
}

TEST(Shards, CT1_WhatAShardNeedsIsNeededByEach) {
  LogStoreOptions options;
  options.data_dir = "/data";
  options.memory_budget = 64 << 20;
  options.wal_shards = 2;
  EXPECT_TRUE(ValidateOptions(options).ok());
  EXPECT_EQ(WalFileBytes(options), (64u << 20) / 8);
  options.wal_shards = 8;
  const Status refused = ValidateOptions(options);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kConfiguration);
  EXPECT_THAT(refused.error().message, HasSubstr("8 WAL shards, each with"));
  options.wal_shards = 17;
  EXPECT_FALSE(ValidateOptions(options).ok());
}

}  // namespace
}  // namespace duramen::log
