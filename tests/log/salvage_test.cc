// Starts in mode `salvage`: a faulty log begins anew, once, whatever interrupts it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/bytes.h"
#include "log/mender.h"
#include "tests/log/damaged_log.h"

namespace duramen::log {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

/// One record a batch, so that a crash finds every step of it alone.
void Salvage(Machine& machine, const std::string& named) {
  machine.options.wal_max_batch_size = 1;
  machine.options.recovery_mode = RecoveryMode::kSalvage;
  machine.options.salvage_servers = {named};
}

/// Starts on a damaged disk, "a" being named so or by its uid. Returns the uid it had.
std::string StartSalvage(Machine& machine, bool by_uid) {
  std::string uid;
  machine.seed = 2000;
  machine.UseDisk(DamagedLog(uid));
  Salvage(machine, by_uid ? uid : "a");
  machine.Start();
  return uid;
}

std::string Told(Machine& machine) {
  std::string text;
  for (const Finding& finding : machine.store().recovery_report().findings) {
    if (finding.kind == FindingKind::kSalvaged) text += finding.sentence;
  }
  return text;
}

TEST(Salvage, PW8_C9_AFaultyLogThatIsNamedBeginsAnew) {
  for (const bool by_uid : {false, true}) {
    Machine machine;
    const std::string uid = StartSalvage(machine, by_uid);
    EXPECT_TRUE(machine.store().recovery_report().damaged());
    EXPECT_THAT(Told(machine), HasSubstr("begins anew"));
    EXPECT_FALSE(machine.Faulty("a"));
    EXPECT_NE(machine.UidOf("a"), uid);
    EXPECT_THAT(machine.Contents("a"), ElementsAre("1:1:a1", "2:1:a2"));
    EXPECT_THAT(machine.Contents("b"), ElementsAre("1:2:b1", "2:2:b2"));
    EXPECT_EQ(machine.store().VoteOf(machine.Log("a"))->term, 0u);
    machine.Write(machine.Log("a"), 3, 4, {"on"});
    EXPECT_THAT(machine.store().Logs(), SizeIs(2));
  }
}

TEST(Salvage, PW8_AnotherStartWithTheSameSettingsDoesNothing) {
  for (const bool by_uid : {false, true}) {
    Machine machine;
    StartSalvage(machine, by_uid);
    const std::string anew = machine.UidOf("a");
    machine.Write(machine.Log("a"), 3, 4, {"on"});
    for (int start = 0; start < 4; ++start) {
      start % 2 == 0 ? machine.PowerLoss() : machine.Kill();
      machine.Start();
      EXPECT_EQ(machine.UidOf("a"), anew);
      EXPECT_THAT(Told(machine), Not(HasSubstr("begins anew")));
      EXPECT_THAT(machine.Contents("a"), ElementsAre("1:1:a1", "2:1:a2", "3:4:on"));
      const LogRef b = machine.Log("b");  // Files roll and go meanwhile.
      for (int i = 0; i < 20; ++i) {
        const Index end = machine.store().BoundsOf(b)->end;
        machine.Write(b, end, 9, {std::string(3000, 'b')});
      }
      machine.Settle();
    }
  }
}

TEST(Salvage, PW8_WhoIsNotNamedStaysFaulty) {
  std::string uid;
  Machine machine;
  machine.UseDisk(DamagedLog(uid));
  Salvage(machine, "b");
  machine.Start();
  EXPECT_TRUE(machine.Faulty("a"));
  EXPECT_EQ(machine.UidOf("a"), uid);
  EXPECT_THAT(Told(machine), HasSubstr("'b' is not faulty"));
}

TEST(Salvage, PW8_AnUnknownNameIsRefusedBeforeAnythingIsChanged) {
  std::string uid;
  Machine machine;
  machine.UseDisk(DamagedLog(uid));
  machine.options.recovery_mode = RecoveryMode::kSalvage;
  machine.options.salvage_servers = {"a", "nobody"};
  const std::vector<std::string> before = machine.WalFiles();
  const Status opened = machine.Open();
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().code, ErrorCode::kConfiguration);
  EXPECT_THAT(opened.error().message, HasSubstr("'nobody'"));
  EXPECT_EQ(machine.WalFiles(), before);
  machine.options.salvage_servers = {};
  EXPECT_EQ(machine.Open().error().code, ErrorCode::kConfiguration);
  machine.options.recovery_mode = RecoveryMode::kContain;
  machine.Start();
  EXPECT_TRUE(machine.Faulty("a"));
}

TEST(Salvage, ReasonsNameTheLogThatWasGivenUp) {
  Rng rng(5);
  const ServerUid uid = rng.NextUid();
  EXPECT_EQ(UnfinishedSalvage({.from = 1, .reason = UnfinishedReason(uid)}), uid);
  EXPECT_EQ(UnfinishedSalvage({.from = 0, .reason = UnfinishedReason(uid)}), std::nullopt);
  for (const char* reason : {"", "a salvage of ", "a salvage of x is not finished", "damage",
                             "a salvage of  is not finished", "a salvage of is not finished"}) {
    EXPECT_EQ(UnfinishedSalvage({.from = 1, .reason = reason}), std::nullopt) << reason;
  }
}

/// A start that was cut off during its salvage.
sim::DiskState Interrupted(const sim::DiskState& disk, std::uint64_t skip, bool& over,
                           std::uint64_t seed = 2000) {
  Machine machine;
  machine.seed = seed;
  machine.UseDisk(disk);
  machine.disk().Schedule(
      {.kind = {}, .file_class = "", .skip = skip, .effect = sim::FaultEffect::kCrash});
  Salvage(machine, "a");
  over = machine.Open().ok() && !machine.disk().crashed();
  machine.disk().Crash();
  return machine.disk().disk();
}

/// After whatever was cut off: faulty, or all of the prefix; then a salvage gets to the end.
void ExpectWholeOrFaulty(const sim::DiskState& disk, bool through_contain) {
  Machine machine;
  machine.seed = 4000;
  machine.UseDisk(disk);
  if (through_contain) {
    machine.Start();
    if (!machine.Faulty("a")) {
      ASSERT_THAT(machine.Contents("a"), ElementsAre("1:1:a1", "2:1:a2"));
    } else {
      ASSERT_EQ(machine.Append(machine.Log("a"), 3, 4, {"x"}).ok(), false);
    }
    ASSERT_THAT(machine.Contents("b"), ElementsAre("1:2:b1", "2:2:b2"));
    machine.Kill();
  }
  Salvage(machine, "a");
  for (int start = 0; start < 2; ++start) {
    machine.Start();
    ASSERT_FALSE(machine.Faulty("a")) << machine.store().recovery_report().ToText();
    ASSERT_THAT(machine.Contents("a"), ElementsAre("1:1:a1", "2:1:a2"));
    ASSERT_THAT(machine.Contents("b"), ElementsAre("1:2:b1", "2:2:b2"));
    ASSERT_EQ(machine.store().VoteOf(machine.Log("a"))->term, 0u);
    ASSERT_THAT(machine.store().recovery_report().ToText(), Not(HasSubstr("is not finished")));
    machine.PowerLoss();
  }
}

TEST(Salvage, PW8_W17_CutOffAnywhereItIsFaultyOrWholeAndTheNextOneFinishes) {
  std::string uid;
  const sim::DiskState disk = DamagedLog(uid);
  constexpr std::uint64_t kSamples = 4;
  bool over = false;
  for (std::uint64_t skip = 0; !over; ++skip) {
    const sim::DiskState cut = Interrupted(disk, skip, over);
    const auto check = [&](const char* how, const sim::DiskState& left) {
      SCOPED_TRACE(::testing::Message() << "operation " << skip << ", " << how);
      ExpectWholeOrFaulty(left, true);
      if (!::testing::Test::HasFailure()) ExpectWholeOrFaulty(left, false);
    };
    check("killed", cut);
    check("power", sim::DiskState(cut.durable()));
    for (const sim::Profile profile : {sim::Profile::kExt4, sim::Profile::kAdversary}) {
      const sim::CrashStates states(cut, profile);
      for (std::uint64_t i = 0; i < std::min(kSamples, states.count()); ++i) {
        const std::uint64_t ordinal = (skip * 7919 + i * 104'729) % states.count();
        check(sim::ProfileName(profile), sim::DiskState(states.Materialize(states.At(ordinal))));
      }
    }
    ASSERT_FALSE(HasFailure());
  }
}

TEST(Salvage, PW8_W13_CutOffTwice) {
  std::string uid;
  const sim::DiskState disk = DamagedLog(uid);
  bool over = false;
  for (std::uint64_t first = 1; !over; first += 3) {
    const sim::DiskState once = Interrupted(disk, first, over);
    bool through = false;
    for (std::uint64_t second = first % 2; !through; second += 2) {
      SCOPED_TRACE(::testing::Message() << first << " then " << second);
      const sim::DiskState twice = Interrupted(once, second, through, 3000);
      ExpectWholeOrFaulty(second % 4 == 0 ? sim::DiskState(twice.durable()) : twice, true);
      ASSERT_FALSE(HasFailure());
    }
  }
}

// Long enough to roll files, and to be flushed, while it is on its way.
TEST(Salvage, PW8_A11_ALongOneIsFlushedOnItsWay) {
  constexpr Index kIntact = 40;
  const auto text = [](Index i) { return std::to_string(i) + std::string(1500, 'x'); };
  Machine source;
  source.options.wal_max_size_bytes = 32 << 10;
  source.Start();
  const LogRef a = source.Log("a");
  for (Index i = 1; i <= kIntact; ++i) source.Write(a, i, 1 + i / 7, {text(i)});
  source.Write(a, kIntact + 1, 9, {"the-lost-one", "behind"});
  source.Idle();
  ASSERT_TRUE(source.Close().ok());
  for (const std::string& name : source.WalFiles()) {
    const std::vector<std::byte> bytes = source.FileBytes("/data/wal/" + name);
    const std::size_t at = AsText(bytes).find("the-lost-one");
    if (at != std::string_view::npos) source.Rot("/data/wal/" + name, at);
  }
  bool over = false;
  for (std::uint64_t skip = 0; !over; skip += 2) {
    SCOPED_TRACE(skip);
    Machine machine;
    machine.options = source.options;
    machine.seed = 2000;
    machine.UseDisk(source.disk().disk());
    machine.disk().Schedule(
        {.kind = {}, .file_class = "", .skip = skip, .effect = sim::FaultEffect::kCrash});
    Salvage(machine, "a");
    over = machine.Open().ok() && !machine.disk().crashed();
    skip % 4 == 0 ? machine.PowerLoss() : machine.Kill();
    machine.options.recovery_mode = RecoveryMode::kContain;
    machine.Start();
    const std::vector<std::string> now = machine.Contents("a");
    ASSERT_TRUE(machine.Faulty("a") || now.size() == kIntact) << now.size();
    machine.Kill();
    machine.options.recovery_mode = RecoveryMode::kSalvage;
    for (int start = 0; start < 2; ++start) {
      machine.Start();
      ASSERT_FALSE(machine.Faulty("a"));
      const std::vector<std::string> all = machine.Contents("a");
      ASSERT_EQ(all.size(), kIntact);
      for (Index i = 1; i <= kIntact; ++i) {
        ASSERT_EQ(all[i - 1], std::to_string(i) + ":" + std::to_string(1 + i / 7) + ":" + text(i));
      }
      machine.PowerLoss();
    }
  }
}

TEST(Salvage, C9_AStartInAnotherModeLeavesAnUnfinishedOneFaultyAndSaysSo) {
  std::string uid;
  const sim::DiskState disk = DamagedLog(uid);
  bool over = false;
  int seen = 0;
  for (std::uint64_t skip = 0; !over; ++skip) {
    Machine machine;
    machine.seed = 4000;
    machine.UseDisk(Interrupted(disk, skip, over));
    machine.Start();
    if (machine.UidOf("a") == uid || !machine.Faulty("a")) continue;
    ++seen;
    const RecoveryReport& report = machine.store().recovery_report();
    EXPECT_THAT(report.ToText(), HasSubstr("a salvage of " + uid + " is not finished"));
    const LogRef a = machine.Log("a");
    EXPECT_THAT(machine.Append(a, 1, 4, {"x"}).error().message, HasSubstr(uid));
    EXPECT_EQ(machine.writer().PutVote(a, 9, "n").error().code, ErrorCode::kFaulty);
  }
  EXPECT_GT(seen, 4);
}

}  // namespace
}  // namespace duramen::log
