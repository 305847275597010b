// Damaged bytes outlast the start that hides them [PW7].
#include "log/quarantine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "base/bytes.h"
#include "tests/log/machine.h"

namespace duramen::log {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr char kQuarantine[] = "/data/quarantine";
constexpr char kText[] = "the payload that rots";
constexpr std::uint64_t kOperationsMax = 400;

bool HoldsBytes(Machine& machine, const std::string& path, Bytes wanted) {
  if (machine.disk().disk().visible().FindPath(path) == 0) return false;
  const std::vector<std::byte> bytes = machine.FileBytes(path);
  return std::search(bytes.begin(), bytes.end(), wanted.begin(), wanted.end()) != bytes.end();
}

std::string FileThatHolds(Machine& machine, Bytes wanted) {
  for (const std::string& name : machine.WalFiles()) {
    if (HoldsBytes(machine, "/data/wal/" + name, wanted)) return "/data/wal/" + name;
  }
  return "";
}

std::vector<Finding> KeptFindings(Machine& machine) {
  std::vector<Finding> found = machine.store().recovery_report().findings;
  std::erase_if(found, [](const Finding& finding) { return finding.kept_in.empty(); });
  return found;
}

/// As the text reads once it has rotted: Machine::Rot flips bit 2.
std::vector<std::byte> Rotten() {
  std::vector<std::byte> bytes(sizeof kText - 1);
  std::memcpy(bytes.data(), kText, bytes.size());
  bytes[0] ^= std::byte{4};
  return bytes;
}

void RotText(Machine& machine) {
  const std::string path = FileThatHolds(machine, AsBytes(std::string_view(kText)));
  ASSERT_NE(path, "");
  const std::vector<std::byte> bytes = machine.FileBytes(path);
  const Bytes text = AsBytes(std::string_view(kText));
  const auto at = std::search(bytes.begin(), bytes.end(), text.begin(), text.end());
  machine.Rot(path, static_cast<std::uint64_t>(at - bytes.begin()));
}

/// An acknowledged entry of "a" has rotted, with a seal behind it that proves it.
void LeaveDamage(Machine& machine) {
  machine.Start();
  machine.Write(machine.Log("a"), 1, 1, {"a1", kText, "a3"});
  machine.Write(machine.Log("b"), 1, 1, {"b1"});
  ASSERT_TRUE(machine.Close().ok());
  RotText(machine);
}

/// The last batch has rotted before anything proved it: it is cut.
void LeaveUnproven(Machine& machine) {
  machine.Start();
  machine.Write(machine.Log("b"), 1, 1, {"b1"});
  machine.Write(machine.Log("a"), 1, 1, {"a1", kText});
  machine.Kill();
  RotText(machine);
}

/// Appends until the WAL files that the last start found are gone.
void Outlive(Machine& machine) {
  const LogRef other = machine.Log("other");
  for (int i = 0; i < 80 && machine.Metric("wal_recycled_files") < 2; ++i) {
    machine.Write(other, machine.store().BoundsOf(other)->end, 9, {std::string(3000, 'o')});
    machine.Settle();
  }
  ASSERT_GE(machine.Metric("wal_recycled_files"), 2u);
}

TEST(Quarantine, PW7_DamageIsCopiedOnceAndOutlivesItsFile) {
  Machine machine;
  LeaveDamage(machine);
  const std::string file = FileThatHolds(machine, Rotten());
  std::string kept;
  for (int start = 0; start < 3; ++start) {
    machine.Start();
    const std::vector<Finding> found = KeptFindings(machine);
    ASSERT_THAT(found, SizeIs(1));
    EXPECT_EQ(found[0].kind, FindingKind::kDamage);
    EXPECT_THAT(machine.store().recovery_report().ToText(), HasSubstr("kept in quarantine/"));
    kept = "/data/" + found[0].kept_in;
    const std::vector<std::byte> bytes = machine.FileBytes(file);
    const std::vector<std::byte> copy = machine.FileBytes(kept);
    ASSERT_EQ(copy.size(), found[0].size_bytes);
    EXPECT_TRUE(std::equal(copy.begin(), copy.end(),
                           bytes.begin() + static_cast<std::ptrdiff_t>(found[0].offset_bytes)));
    EXPECT_THAT(machine.NamesIn(kQuarantine), SizeIs(1));
    start == 0 ? machine.Kill() : machine.PowerLoss();
  }
  machine.Start();
  Outlive(machine);
  EXPECT_EQ(machine.disk().disk().visible().FindPath(file), 0u);
  machine.PowerLoss();
  EXPECT_TRUE(HoldsBytes(machine, kept, Rotten()));
}

TEST(Quarantine, PW7_AStartWithoutDamageMakesNoDirectory) {
  Machine machine;
  machine.Start();
  machine.Write(machine.Log("a"), 1, 1, {"a1"});
  machine.Kill();
  machine.Start();
  EXPECT_EQ(machine.disk().disk().visible().FindPath(kQuarantine), 0u);
}

// Whenever a start dies, the bytes are where they were or in a durable copy; and the start that
// gets through leaves one copy, and nothing half made.
TEST(Quarantine, PW7_AStartThatDiesAnywhereLosesNoDamagedByte) {
  for (const bool unproven : {false, true}) {
    Machine machine;
    unproven ? LeaveUnproven(machine) : LeaveDamage(machine);
    const sim::DiskState damaged = machine.disk().disk();
    for (const bool power : {false, true}) {
      for (std::uint64_t skip = 0; skip < kOperationsMax; ++skip) {
        SCOPED_TRACE(::testing::Message() << unproven << power << " after " << skip);
        machine.UseDisk(damaged);
        machine.disk().Schedule(
            {.kind = {}, .file_class = "", .skip = skip, .effect = sim::FaultEffect::kCrash});
        const bool over = machine.Open().ok() && !machine.disk().crashed();
        power ? machine.PowerLoss() : machine.Kill();
        bool there = FileThatHolds(machine, Rotten()) != "";
        for (const std::string& name : machine.NamesIn(kQuarantine)) {
          if (name.ends_with(".tmp")) continue;
          there = there || HoldsBytes(machine, std::string(kQuarantine) + "/" + name, Rotten());
        }
        ASSERT_TRUE(there);
        machine.Start();
        Outlive(machine);
        machine.PowerLoss();
        const std::vector<std::string> names = machine.NamesIn(kQuarantine);
        ASSERT_THAT(names, SizeIs(1));
        ASSERT_TRUE(HoldsBytes(machine, std::string(kQuarantine) + "/" + names[0], Rotten()));
        if (over) break;
        ASSERT_LT(skip + 1, kOperationsMax);
      }
    }
  }
}

// Copying fails in each of its steps: the start goes on, and the WAL file is not used again.
TEST(Quarantine, PW7_B3_WithoutACopyTheFileItselfIsKept) {
  struct Case {
    sim::OpKind kind;
    sim::FaultEffect effect;
  };
  const Case cases[] = {{sim::OpKind::kMakeDirectory, sim::FaultEffect::kDiskFull},
                        {sim::OpKind::kCreate, sim::FaultEffect::kDiskFull},
                        {sim::OpKind::kWrite, sim::FaultEffect::kDiskFull},
                        {sim::OpKind::kSyncAll, sim::FaultEffect::kIoError},
                        {sim::OpKind::kRename, sim::FaultEffect::kIoError},
                        {sim::OpKind::kSyncDirectory, sim::FaultEffect::kIoError}};
  for (const bool unproven : {false, true}) {
    for (const Case& fault : cases) {
      SCOPED_TRACE(::testing::Message() << unproven << sim::OpKindName(fault.kind));
      Machine machine;
      unproven ? LeaveUnproven(machine) : LeaveDamage(machine);
      machine.disk().Schedule({.kind = fault.kind,
                               .file_class = "quarantine",
                               .times = UINT64_MAX,
                               .effect = fault.effect});
      machine.Start();
      const std::vector<Finding> found = KeptFindings(machine);
      ASSERT_THAT(found, SizeIs(1));
      EXPECT_THAT(found[0].sentence, HasSubstr("could not be copied"));
      const std::string kept = "/data/wal/" + found[0].kept_in;
      Outlive(machine);
      machine.PowerLoss();
      ASSERT_NE(machine.disk().disk().visible().FindPath(kept), 0u);
      EXPECT_TRUE(HoldsBytes(machine, kept, Rotten()));
      machine.Start();  // Nobody minds it.
      EXPECT_THAT(machine.Contents("b"), ElementsAre("1:1:b1"));
      EXPECT_THAT(KeptFindings(machine), IsEmpty());
      EXPECT_TRUE(HoldsBytes(machine, kept, Rotten()));
    }
  }
}

TEST(Quarantine, PW7_AHeaderCopyIsKeptBeforeItIsWrittenAgain) {
  Machine machine;
  machine.Start();
  machine.Write(machine.Log("a"), 1, 1, {"a1"});
  ASSERT_TRUE(machine.Close().ok());
  const std::string file = FileThatHolds(machine, AsBytes(std::string_view("a1")));
  machine.Rot(file, 4096 + 40);
  const std::vector<std::byte> rotten = machine.FileBytes(file);
  machine.Start();
  const std::vector<Finding> found = KeptFindings(machine);
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].kind, FindingKind::kHeaderCopy);
  EXPECT_EQ(machine.FileBytes("/data/" + found[0].kept_in),
            std::vector<std::byte>(rotten.begin() + 4096, rotten.begin() + 8192));
}

/// Both checkpoints have lost every row.
void LeaveLostCheckpoints(Machine& machine) {
  machine.options.wal_max_size_bytes = 32 << 10;
  machine.Start();
  machine.Write(machine.Log("a"), 1, 1, {"a1"});
  Outlive(machine);
  ASSERT_TRUE(machine.Close().ok());
  for (const char* name : {"checkpoint-a", "checkpoint-b"}) {
    const std::string path = std::string("/data/meta/") + name;
    for (std::uint64_t at = 0; at < machine.FileBytes(path).size(); at += 97) {
      machine.Rot(path, at);
    }
  }
}

TEST(Quarantine, PW7_ACheckpointThatLostARowIsKeptWhole) {
  Machine machine;
  LeaveLostCheckpoints(machine);
  for (int start = 0; start < 2; ++start) {
    machine.Start();
    const std::vector<std::string> names = machine.NamesIn(kQuarantine);
    ASSERT_THAT(names, SizeIs(2));
    for (std::size_t i = 0; i < names.size(); ++i) {
      EXPECT_EQ(machine.FileBytes(std::string(kQuarantine) + "/" + names[i]),
                machine.FileBytes("/data/meta/" + names[i].substr(0, 12)));
    }
    machine.Kill();
  }
}

// Memory and disk: what is copied of it is bounded, whatever its size says.
TEST(Quarantine, PW7_ACheckpointGrownToATerabyteIsKeptAsFarAsItMatters) {
  constexpr std::uint64_t kTerabyte = 1ull << 40;
  Machine machine;
  LeaveLostCheckpoints(machine);
  const auto meta = machine.disk().Open("/data/meta").value();
  const auto file = meta->Open("checkpoint-a", OpenFor::kReadWrite).value();
  ASSERT_TRUE(file->Truncate(kTerabyte).ok());
  machine.Start();
  const sim::Image& image = machine.disk().disk().visible();
  std::uint64_t kept = 0;
  for (const std::string& name : machine.NamesIn(kQuarantine)) {
    if (!name.starts_with("checkpoint-a")) continue;
    const sim::Node node = image.FindPath(std::string(kQuarantine) + "/" + name);
    kept = image.content(node).size_bytes();
  }
  EXPECT_GT(kept, 64u << 10);
  EXPECT_LE(kept, 1u << 30);
}

TEST(Quarantine, PW7_ARangeThatIsTooLargeLeavesNoCopy) {
  Machine machine;
  machine.Start();
  const auto data = machine.disk().Open("/data").value();
  const auto file = data->Create("strange").value();
  ASSERT_TRUE(file->Truncate(1ull << 40).ok());
  Quarantine quarantine(*data);
  const Result<KeptDamage> kept =
      quarantine.Keep({.directory = data.get(), .file = "strange", .bytes = UINT64_MAX});
  ASSERT_FALSE(kept.ok());
  EXPECT_EQ(kept.error().code, ErrorCode::kTooLarge);
  EXPECT_THAT(machine.NamesIn(kQuarantine), IsEmpty());
}

}  // namespace
}  // namespace duramen::log
