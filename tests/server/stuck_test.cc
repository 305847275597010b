// Machines that take long, or never return: their server waits, nobody else does. Real threads; the
// machines wait at a gate of the test's.
#include <gtest/gtest.h>

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/bytes.h"
#include "duramen/system.h"
#include "tests/base/temp_dir.h"

namespace duramen {
namespace {

Deadline Soon() { return std::chrono::steady_clock::now() + std::chrono::seconds(60); }

/// Shared by machines, which may outlive the test that left them behind it.
struct Gate {
  std::mutex mutex;
  std::condition_variable changed;
  bool shut = true;
  int inside = 0;
  int gone = 0;  // machines that are destroyed

  void Pass() {
    std::unique_lock lock(mutex);
    ++inside;
    changed.notify_all();
    changed.wait(lock, [this] { return !shut; });
    --inside;
    changed.notify_all();
  }
  void Open() {
    const std::lock_guard lock(mutex);
    shut = false;
    changed.notify_all();
  }
  void AwaitInside(int count) {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return inside >= count; });
  }
  void AwaitGone(int count) {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return gone >= count; });
  }
};

/// Counts; waits at the gate where it is told to: in a command, query or message "wait".
class Waiter final : public Machine {
 public:
  explicit Waiter(std::shared_ptr<Gate> gate) : gate_(std::move(gate)) {}
  ~Waiter() override {
    const std::lock_guard lock(gate_->mutex);
    ++gate_->gone;
    gate_->changed.notify_all();
  }
  void Apply(std::span<const Command> commands, Effects& effects) override {
    for (std::size_t at = 0; at < commands.size(); ++at) {
      if (AsText(commands[at].payload) == "wait") gate_->Pass();
      effects.Reply(at, std::to_string(++count_));
    }
  }
  Status Query(Bytes query, std::string& answer) const override {
    if (AsText(query) == "wait") gate_->Pass();
    answer = std::to_string(count_);
    return {};
  }
  void On(const MachineEvent& event, Effects&) override {
    const auto* aux = std::get_if<AuxEvent>(&event);
    if (aux == nullptr) return;
    if (AsText(aux->message) == "wait") gate_->Pass();
    if (aux->answer != nullptr) *aux->answer = "aux " + std::to_string(count_);
  }

 private:
  std::shared_ptr<Gate> gate_;
  std::uint64_t count_ = 0;
};

class StuckMachines : public ::testing::Test {
 protected:
  ~StuckMachines() override { gate_->Open(); }

  /// All servers are one thread's.
  void Open(std::uint64_t machine_timeout) {
    SystemOptions options;
    options.storage.data_dir = dir_.path() + "/data";
    options.storage.wal_max_size_bytes = 1 << 20;
    options.workers = 1;
    options.machine_timeout = machine_timeout;
    options.machines = {{"waiter", [gate = gate_] { return std::make_unique<Waiter>(gate); }}};
    Result<System> opened = System::Open(options);
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    system_.emplace(std::move(*opened));
  }
  void Begin(const std::string& name) {
    ASSERT_TRUE(system_->StartCluster({.name = name, .machine = "waiter"}, Soon()).ok());
    ASSERT_TRUE(system_->AwaitLeader(name, Soon()).ok());
  }
  std::string Do(const std::string& cluster, const std::string& command = "count") {
    const Result<std::string> answer = system_->Execute(cluster, AsBytes(command), Soon());
    return answer.ok() ? *answer : answer.error().message;
  }
  std::string Ask(const std::string& cluster, Consistency consistency) {
    const Result<std::string> answer = system_->Query(cluster, {}, consistency, Soon());
    return answer.ok() ? *answer : answer.error().message;
  }
  ServerStatus AwaitStopped(const std::string& cluster) {
    Result<ServerStatus> status = system_->StatusOf(cluster, Soon());
    while (status.ok() && !status->stopped) status = system_->StatusOf(cluster, Soon());
    EXPECT_TRUE(status.ok());
    return *status;
  }

  testing::TempDir dir_;
  std::shared_ptr<Gate> gate_ = std::make_shared<Gate>();
  std::optional<System> system_;
};

TEST_F(StuckMachines, SM12_ACallThatTakesLongHoldsItsServerAlone) {
  ASSERT_NO_FATAL_FAILURE(Open(0));
  for (const char* name : {"slow", "other"}) ASSERT_NO_FATAL_FAILURE(Begin(name));
  Client client = system_->NewClient();
  EXPECT_EQ(Do("slow"), "1");
  ASSERT_TRUE(client.Send("slow", 1, AsBytes("wait")).ok());
  gate_->AwaitInside(1);
  for (int at = 1; at <= 200; ++at) ASSERT_EQ(Do("other"), std::to_string(at));
  EXPECT_EQ(Ask("other", Consistency::kConsistent), "200");
  const Result<ServerStatus> slow = system_->StatusOf("slow", Soon());
  ASSERT_TRUE(slow.ok());
  EXPECT_TRUE(slow->machine_busy);
  EXPECT_FALSE(slow->stopped.has_value());
  EXPECT_EQ(system_->Overview().calls_left, 1u);
  // It goes on taking commands and questions, which wait.
  ASSERT_TRUE(client.Send("slow", 2, AsBytes("count")).ok());
  ASSERT_TRUE(client.Ask("slow", 3, {}, {.consistency = Consistency::kLocal}).ok());
  ASSERT_TRUE(client.Ask("slow", 4, {}, {.consistency = Consistency::kConsistent}).ok());
  EXPECT_EQ(Do("other"), "201");
  EXPECT_TRUE(client.Poll().empty());
  gate_->Open();
  std::map<std::uint64_t, std::string> answers;
  while (answers.size() < 4) {
    ASSERT_TRUE(client.Wait(Soon()).ok());
    for (const Outcome& outcome : client.Poll()) {
      EXPECT_FALSE(outcome.error.has_value()) << outcome.error->message;
      answers[outcome.correlation] = outcome.answer;
    }
  }
  EXPECT_EQ(answers[1], "2");
  EXPECT_EQ(answers[2], "3");
  EXPECT_NE(answers[4], "1") << "the command that was under way counts, the next one may";
  EXPECT_EQ(Do("slow"), "4");
  EXPECT_FALSE(system_->StatusOf("slow", Soon())->machine_busy);
  EXPECT_EQ(system_->Overview().calls_left, 0u);
}

TEST_F(StuckMachines, SM12_QueriesAndEventsMayTakeLongToo) {
  ASSERT_NO_FATAL_FAILURE(Open(0));
  for (const char* name : {"asked", "told", "other"}) ASSERT_NO_FATAL_FAILURE(Begin(name));
  Client client = system_->NewClient();
  ASSERT_TRUE(
      client.Ask("asked", 1, AsBytes("wait"), {.consistency = Consistency::kLocal}).ok());
  gate_->AwaitInside(1);
  EXPECT_EQ(Do("other"), "1");
  std::thread teller([this] {
    const Result<std::string> answer = system_->Aux("told", AsBytes("wait"), Soon());
    EXPECT_TRUE(answer.ok() && *answer == "aux 0");
  });
  gate_->AwaitInside(2);
  EXPECT_EQ(Do("other"), "2");
  EXPECT_EQ(system_->Overview().calls_left, 2u);
  gate_->Open();
  teller.join();
  while (client.Poll().empty()) ASSERT_TRUE(client.Wait(Soon()).ok());
  EXPECT_EQ(Do("asked"), "1");
  EXPECT_EQ(Do("told"), "1");
}

TEST_F(StuckMachines, SM12_OneThatDoesNotReturnStopsItsServerAlone) {
  ASSERT_NO_FATAL_FAILURE(Open(50));
  for (const char* name : {"stuck", "other"}) ASSERT_NO_FATAL_FAILURE(Begin(name));
  Client client = system_->NewClient();
  ASSERT_TRUE(client.Send("stuck", 1, AsBytes("wait")).ok());
  ASSERT_TRUE(client.Send("stuck", 2, AsBytes("count")).ok());
  const ServerStatus status = AwaitStopped("stuck");
  EXPECT_EQ(status.stopped->code, ErrorCode::kMachineFailed);
  EXPECT_EQ(status.stopped->message.rfind("stuck: ", 0), 0u) << status.stopped->message;
  int unknown = 0;
  while (unknown < 2) {
    ASSERT_TRUE(client.Wait(Soon()).ok());
    for (const Outcome& outcome : client.Poll()) {
      ASSERT_TRUE(outcome.error.has_value());
      EXPECT_EQ(outcome.error->code, ErrorCode::kMachineFailed);
      ++unknown;
    }
  }
  EXPECT_EQ(Do("other"), "1");
  // Its log has the command still: a new life comes to it again, and stops again.
  ASSERT_TRUE(system_->RestartServer("stuck", Soon()).ok());
  EXPECT_EQ(AwaitStopped("stuck").stopped->code, ErrorCode::kMachineFailed);
  EXPECT_EQ(system_->Overview().calls_left, 2u);
  EXPECT_EQ(Do("other"), "2");
  gate_->Open();
  ASSERT_TRUE(system_->RestartServer("stuck", Soon()).ok());
  EXPECT_EQ(Ask("stuck", Consistency::kConsistent), "2") << "nothing is lost, nothing ran twice";
  EXPECT_EQ(Do("other"), "3");
}

TEST_F(StuckMachines, SM12_ASystemClosesAllTheSame) {
  ASSERT_NO_FATAL_FAILURE(Open(0));
  for (const char* name : {"stuck", "other"}) ASSERT_NO_FATAL_FAILURE(Begin(name));
  {
    Client client = system_->NewClient();
    ASSERT_TRUE(client.Send("stuck", 1, AsBytes("wait")).ok());
    gate_->AwaitInside(1);
  }
  ASSERT_TRUE(system_->Close(Soon()).ok());
  system_.reset();
  gate_->AwaitGone(1);  // That of the other.
  gate_->Open();
  gate_->AwaitGone(2);
  ASSERT_NO_FATAL_FAILURE(Open(0));
  EXPECT_EQ(Ask("stuck", Consistency::kConsistent), "1");
}

TEST_F(StuckMachines, SM12_ADeletedServerIsGoneWhateverItsMachineDoes) {
  ASSERT_NO_FATAL_FAILURE(Open(0));
  for (const char* name : {"stuck", "other"}) ASSERT_NO_FATAL_FAILURE(Begin(name));
  Client client = system_->NewClient();
  ASSERT_TRUE(client.Send("stuck", 1, AsBytes("wait")).ok());
  gate_->AwaitInside(1);
  ASSERT_TRUE(system_->ForceDeleteServer("stuck", Soon()).ok());
  EXPECT_EQ(system_->Clusters(), std::vector<std::string>{"other"});
  ASSERT_NO_FATAL_FAILURE(Begin("stuck"));
  EXPECT_EQ(Do("stuck"), "1");
  gate_->Open();
  gate_->AwaitGone(1);
  EXPECT_EQ(Do("stuck"), "2");
}

}  // namespace
}  // namespace duramen
