// A log that cannot be written holds the generation that it stands in, and those behind it: they go
// in order, and what was written last is what counts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/log/flush_machine.h"
#include "wal/format.h"

namespace duramen::log {
namespace {

constexpr char kServers[] = "/data/servers";
enum class Change { kOverwrite, kTruncate, kReset };

/// A store whose log "a" stands in an older generation as 1..3 of term 1 and in a newer one as
/// something else; a file in the place of its directory keeps it from segments.
struct Held {
  Machine machine;
  std::string uid;
  std::vector<std::string> contents;  // of "a", as it has to be

  explicit Held(Change change) {
    UseSmallFiles(machine);
    machine.Start();
    machine.Write(machine.Log("a"), 1, 1, {"a1", "a2", "a3"});
    machine.Write(machine.Log("b"), 1, 1, {"b1"});
    uid = machine.UidOf("a");
    const std::unique_ptr<Directory> servers = machine.disk().Open(kServers).value();
    EXPECT_TRUE(servers->Create(uid).ok());
    EXPECT_TRUE(servers->Sync().ok());
    CloseGenerations();
    Apply(change);
    CloseGenerations();
  }
  void Apply(Change change) {
    const LogRef a = machine.Log("a");
    switch (change) {
      case Change::kOverwrite:
        machine.Write(a, 2, 2, {"new"});
        contents = {"1:1:a1", "2:2:new"};
        return;
      case Change::kTruncate:
        EXPECT_TRUE(machine.Wait(machine.writer().TruncateSuffix(a, 2).value()).ok());
        contents = {"1:1:a1"};
        return;
      case Change::kReset:
        EXPECT_TRUE(machine.Wait(machine.writer().Reset(a, 3, 5).value()).ok());
        machine.Write(a, 3, 6, {"anew"});
        contents = {"3:6:anew"};
        return;
    }
  }
  /// Two WAL files more; time for the flusher to try again.
  void CloseGenerations() {
    const LogRef other = machine.Log("other");
    const std::uint64_t wanted = machine.Metric("wal_rolls") + 2;
    while (machine.Metric("wal_rolls") < wanted && !::testing::Test::HasFailure()) {
      machine.Write(other, machine.store().BoundsOf(other)->end, 1, {std::string(3000, 'o')});
      machine.Settle();
    }
    machine.Idle();
  }
  void Heal() {
    const std::unique_ptr<Directory> servers = machine.disk().Open(kServers).value();
    ASSERT_TRUE(servers->Remove(uid).ok());
    ASSERT_TRUE(servers->Sync().ok());
  }
  void ExpectContents() {
    EXPECT_EQ(machine.Contents("a"), contents);
    EXPECT_EQ(machine.Contents("b"), std::vector<std::string>{"1:1:b1"});
    EXPECT_FALSE(machine.store().recovery_report().damaged())
        << machine.store().recovery_report().ToText();
  }
};

/// Numbers of WAL files in the order in which they went.
std::vector<std::uint64_t> Gone(const std::vector<sim::Op>& trace, std::size_t from) {
  std::vector<std::uint64_t> numbers;
  for (std::size_t i = from; i < trace.size(); ++i) {
    const sim::Op& op = trace[i];
    if (op.kind != sim::OpKind::kRename && op.kind != sim::OpKind::kRemove) continue;
    const auto number = wal::ParseFileName(op.name);
    if (number) numbers.push_back(*number);
  }
  return numbers;
}

TEST(Generations, G17_G4_FilesGoInOrderAndTheLaterWriteWins) {
  for (const Change change : {Change::kOverwrite, Change::kTruncate, Change::kReset}) {
    SCOPED_TRACE(static_cast<int>(change));
    Held held(change);
    Machine& machine = held.machine;
    if (change != Change::kReset) {  // With nothing live in the older one it need not be written.
      EXPECT_EQ(machine.Metric("wal_recycled_files"), 0u) << "the older one holds the newer ones";
    }
    EXPECT_GT(machine.Metric("flush_failures"), 0u);
    held.ExpectContents();
    const std::size_t from = machine.disk().trace().size();
    held.Heal();
    for (int i = 0; i < 10; ++i) held.CloseGenerations();
    const std::vector<std::uint64_t> gone = Gone(machine.disk().trace(), from);
    EXPECT_GT(gone.size(), 4u);
    EXPECT_TRUE(std::is_sorted(gone.begin(), gone.end())) << ::testing::PrintToString(gone);
    held.ExpectContents();
    for (const bool power : {false, true}) {
      power ? machine.PowerLoss() : machine.Kill();
      machine.Start();
      held.ExpectContents();
    }
  }
}

// While it is held, and at every operation of the rounds that catch up.
TEST(Generations, G17_G3_ACrashAnywhereOnTheWayBringsNothingBack) {
  for (const Change change : {Change::kOverwrite, Change::kTruncate, Change::kReset}) {
    bool crashed = true;
    std::uint64_t crashes = 0;
    for (std::uint64_t skip = 0; crashed && !HasFailure(); ++skip) {
      SCOPED_TRACE(::testing::Message() << static_cast<int>(change) << " after " << skip);
      Held held(change);
      Machine& machine = held.machine;
      held.Heal();
      machine.disk().Schedule(
          {.kind = {}, .file_class = "", .skip = skip, .effect = sim::FaultEffect::kCrash});
      for (int second = 0; second < 4 && !machine.disk().crashed(); ++second) machine.Idle();
      crashed = machine.disk().crashed();
      crashes += crashed ? 1 : 0;
      skip % 2 == 0 ? machine.PowerLoss() : machine.Kill();
      machine.Start();
      held.ExpectContents();
      held.CloseGenerations();
      held.ExpectContents();
      machine.PowerLoss();
      machine.Start();
      held.ExpectContents();
    }
    EXPECT_GT(crashes, 10u);
  }
}

}  // namespace
}  // namespace duramen::log
