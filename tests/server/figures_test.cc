// Figures that are promised of systems: many clusters of which one fails, many retries over many
// leaders. The counts of the second are those of a test; DURAMEN_RETRIES and DURAMEN_LEADER_CHANGES
// make them the full ones (tests/README.md).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/server/session_load.h"
#include "tests/server/systems_fixture.h"

namespace duramen {
namespace {

using testing::In;
using testing::Ledger;
using testing::SessionLoad;

std::uint64_t CountOf(const char* variable, std::uint64_t otherwise) {
  const char* given = std::getenv(variable);
  return given == nullptr ? otherwise : std::strtoull(given, nullptr, 10);
}

class Figures : public testing::SystemsFixture {
 protected:
  Figures() {
    base_.storage.memory_budget = 256u << 20;
    base_.election_timeout_min = 1000;
    base_.election_timeout_max = 2000;
    base_.heartbeat_interval = 250;
  }
  ~Figures() override { CloseAll(); }
  std::vector<MachineType> MachinesOf(const std::string&) override {
    return {{"ledger", [] { return std::make_unique<Ledger>(); }}};
  }
  std::string StateOf(const std::string& node, const std::string& cluster) {
    const Result<std::string> state =
        On(node).Query(cluster, {}, Consistency::kConsistent, In(60));
    return state.ok() ? *state : state.error().message;
  }
};

constexpr std::uint64_t kClusters = 100;
constexpr std::uint64_t kCommandsOfEach = 1000;
constexpr std::uint64_t kFails = 42;  // the one whose machine throws half-way

TEST_F(Figures, SM12_OneOfAHundredFailsAndTheOthersHaveAllTheirs) {
  Start("a");
  const auto name_of = [](std::uint64_t cluster) { return "cluster-" + std::to_string(cluster); };
  std::vector<std::unique_ptr<SessionLoad>> loads;
  for (std::uint64_t cluster = 0; cluster < kClusters; ++cluster) {
    const std::string name = name_of(cluster);
    const auto started = On("a").StartCluster(
        {.name = name, .machine = "ledger", .config = cluster == kFails ? "500" : "never"}, In(60));
    ASSERT_TRUE(started.ok()) << started.error().message;
    const Result<std::uint64_t> session = On("a").OpenSession(name, In(60));
    ASSERT_TRUE(session.ok()) << session.error().message;
    loads.push_back(std::make_unique<SessionLoad>(
        std::vector<System*>{&On("a")}, *session,
        SessionLoad::Plan{.cluster = name, .commands = kCommandsOfEach}));
  }
  std::atomic<std::uint64_t> done{0};
  const Deadline deadline = In(240);
  for (bool more = true; more && std::chrono::steady_clock::now() < deadline;) {
    more = false;
    for (const auto& load : loads) {
      if (load->finished()) continue;
      load->Step(done, false);
      more = true;
    }
  }
  for (std::uint64_t cluster = 0; cluster < kClusters; ++cluster) {
    SCOPED_TRACE(name_of(cluster));
    const SessionLoad& load = *loads[cluster];
    ASSERT_TRUE(load.finished());
    const Result<ServerStatus> status = On("a").StatusOf(name_of(cluster), In(60));
    ASSERT_TRUE(status.ok());
    if (cluster == kFails) {
      ASSERT_TRUE(load.fatal() && status->stopped);
      EXPECT_EQ(load.fatal()->code, ErrorCode::kMachineFailed) << load.fatal()->message;
      EXPECT_EQ(status->stopped->code, ErrorCode::kMachineFailed);
      EXPECT_THAT(status->stopped->message, ::testing::HasSubstr("it is told to at 500"));
      continue;
    }
    EXPECT_EQ(load.error(), "");
    EXPECT_EQ(load.sent(), kCommandsOfEach + load.unknown());
    EXPECT_FALSE(status->stopped);
    EXPECT_EQ(status->role, ServerRole::kLeader);
    EXPECT_EQ(StateOf("a", name_of(cluster)), "1000 different, 0 twice");
  }
  EXPECT_GE(done.load(), (kClusters - 1) * kCommandsOfEach);
  EXPECT_EQ(On("a").Overview().leading, kClusters - 1);
}

/// Each with its own machine and log, on two threads, over a restart.
TEST_F(Figures, MG1_ThousandsOfClustersShareTwoThreads) {
  constexpr std::uint64_t kMany = 2000;
  base_.workers = 2;
  Start("a");
  const auto name_of = [](std::uint64_t cluster) { return "cluster-" + std::to_string(cluster); };
  for (std::uint64_t cluster = 0; cluster < kMany; ++cluster) {
    const auto started =
        On("a").StartCluster({.name = name_of(cluster), .machine = "ledger"}, In(60));
    ASSERT_TRUE(started.ok()) << started.error().message;
  }
  const auto serve = [&](const std::string& command, const std::string& answer) {
    for (std::uint64_t cluster = 0; cluster < kMany; ++cluster)
      ASSERT_TRUE(On("a").AwaitLeader(name_of(cluster), In(60)).ok()) << cluster;
    Client client = On("a").NewClient();
    for (std::uint64_t cluster = 0; cluster < kMany; ++cluster)
      ASSERT_TRUE(client.Send(name_of(cluster), cluster, AsBytes(command)).ok());
    for (const Outcome& outcome : Take(client, kMany)) {
      ASSERT_FALSE(outcome.error) << outcome.error->message;
      ASSERT_EQ(outcome.answer, answer);
    }
    const SystemOverview overview = On("a").Overview();
    EXPECT_EQ(overview.workers, 2u);
    EXPECT_EQ(overview.running, kMany);
    EXPECT_EQ(overview.leading, kMany);
  };
  ASSERT_NO_FATAL_FAILURE(serve("1", "1"));
  Stop("a");
  Start("a");
  ASSERT_NO_FATAL_FAILURE(serve("2", "2"));
}

class Retries : public Figures {
 protected:
  static constexpr std::uint64_t kThreads = 3;
  static constexpr std::uint64_t kSends = 5;  // of each command: four of them retries

  /// Another leader than now, in one of the ways there are; again if that has not moved it.
  void ChangeLeader(std::uint64_t number) {
    const auto [before, leader] = Leader();
    const std::vector<std::string> others =
        leader == "a" ? std::vector<std::string>{"b", "c"}
                      : std::vector<std::string>{"a", leader == "b" ? "c" : "b"};
    const std::string& other = others[number % 2];
    const bool stops = number % 4 == 3;
    if (stops) {
      ASSERT_TRUE(On(leader).StopServer("one", In(60)).ok());
      ASSERT_TRUE(On(other).TriggerElection("one", In(60)).ok());
    }
    for (bool moves = !stops; Leader().first == before; std::this_thread::yield()) {
      if (moves) moves = !On(other).TransferLeadership("one", other, In(60)).ok();
    }
    ++changes_;
    if (!stops) return;
    const Status restarted = On(leader).RestartServer("one", In(120));
    ASSERT_TRUE(restarted.ok()) << restarted.error().message;
  }
  /// Of the highest term that any of them knows.
  std::pair<Term, std::string> Leader() {
    for (;; std::this_thread::yield()) {
      std::pair<Term, std::string> found;
      for (const char* node : {"a", "b", "c"}) {
        const Result<KeyMetrics> numbers = On(node).MetricsOf("one");
        if (!numbers.ok() || !numbers->running || numbers->role != ServerRole::kLeader) continue;
        if (numbers->term > found.first) found = {numbers->term, node};
      }
      if (found.first != 0) return found;
    }
  }

  std::uint64_t changes_ = 0;
};

TEST_F(Retries, CM2_A20_R12_ACommandThatIsSentAgainAndAgainOverManyLeadersRunsOnce) {
  const std::uint64_t retries = CountOf("DURAMEN_RETRIES", 20'000);
  const std::uint64_t changes = CountOf("DURAMEN_LEADER_CHANGES", 10);
  const std::uint64_t of_each = retries / (kSends - 1) / kThreads + 1;
  ASSERT_NO_FATAL_FAILURE(FoundOn({"a", "b", "c"}, {.name = "one", .machine = "ledger"}));
  const std::vector<System*> systems = {&On("a"), &On("b"), &On("c")};
  std::vector<std::unique_ptr<SessionLoad>> loads;
  for (std::uint64_t number = 0; number < kThreads; ++number) {
    loads.push_back(std::make_unique<SessionLoad>(
        systems, On("a").OpenSession("one", In(60)).value(),
        SessionLoad::Plan{.cluster = "one",
                          .first = number * of_each,
                          .commands = of_each,
                          .sends = kSends}));
  }
  std::atomic<std::uint64_t> done{0};
  std::atomic<std::uint64_t> running{kThreads};
  std::vector<std::thread> threads;
  for (const auto& load : loads) {
    threads.emplace_back([&load = *load, &done, &running] {
      EXPECT_TRUE(load.Run(done)) << load.error();
      running.fetch_sub(1);
    });
  }
  const std::uint64_t all = kThreads * of_each * kSends;
  for (std::uint64_t number = 0; number < changes && !HasFatalFailure(); ++number) {
    // Spread over the load, whatever its speed is.
    while (done.load() < number * all / changes && running.load() > 0) std::this_thread::yield();
    ChangeLeader(number);
  }
  for (std::thread& thread : threads) thread.join();
  std::uint64_t sent = 0;
  std::uint64_t unknown = 0;
  std::uint64_t refused = 0;
  for (const auto& load : loads) {
    sent += load->sent();
    unknown += load->unknown();
    refused += load->refused();
  }
  const std::uint64_t commands = kThreads * of_each;
  std::printf("%llu commands, %llu retries over %llu leaders, %llu unknown, %llu refused\n",
              static_cast<unsigned long long>(commands),
              static_cast<unsigned long long>(sent - commands),
              static_cast<unsigned long long>(changes_),
              static_cast<unsigned long long>(unknown), static_cast<unsigned long long>(refused));
  EXPECT_GE(sent - commands, retries);
  EXPECT_GE(changes_, changes);
  for (const char* node : {"a", "b", "c"})
    EXPECT_EQ(StateOf(node, "one"), std::to_string(commands) + " different, 0 twice");
}

}  // namespace
}  // namespace duramen
