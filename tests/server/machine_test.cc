// What machines ask for and hear, and what clients may ask of commands: real threads, a real disk.
#include "duramen/machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <map>

#include "tests/server/journal.h"
#include "tests/server/systems_fixture.h"

namespace duramen {
namespace {

using testing::In;
using testing::Journal;

/// A command is a verb and its words: `call`, `append TEXT`, `timer NAME MS`, `cancel NAME`,
/// `monitor NODE`, `send ADDRESS`, `near ADDRESS`, `aux TEXT`, `pass`; all are counted.
class Spy final : public Machine {
 public:
  explicit Spy(Journal& journal) : journal_(journal) {}
  Status Init(const MachineInit& init) override {
    node_ = init.node;
    return {};
  }
  void Apply(std::span<const Command> commands, Effects& effects) override {
    for (std::size_t at = 0; at < commands.size(); ++at) {
      ++count_;
      const std::string text(AsText(commands[at].payload));
      const std::string verb = text.substr(0, text.find(' '));
      const std::string rest = verb.size() < text.size() ? text.substr(verb.size() + 1) : "";
      Do(verb, rest, effects);
      const ApplyMeta& meta = commands[at].meta;
      if (verb == "meta") {
        journal_.Add("meta " + std::to_string(meta.index) + " " + std::to_string(meta.term) +
                     " at " + std::to_string(meta.leader_unix_ms));
        journal_.Add("time " + std::to_string(meta.leader_unix_ms));
        last_unix_ms = meta.leader_unix_ms;
      }
      journal_.Add(node_ + " applied " + text);
      journal_.Add("version " + std::to_string(commands[at].meta.machine_version) + " " + text);
      effects.Reply(at, std::to_string(count_));
    }
  }
  Status Query(Bytes query, std::string& answer) const override {
    if (AsText(query) == "no") return Error{ErrorCode::kInvalidArgument, "no is no question", ""};
    answer = std::to_string(count_);
    return {};
  }
  void On(const MachineEvent& event, Effects& effects) override {
    if (const auto* role = std::get_if<RoleEvent>(&event)) {
      if (role->role == ServerRole::kLeader)
        journal_.Add(node_ + " leads with " + std::to_string(count_));
    } else if (const auto* timer = std::get_if<TimerEvent>(&event)) {
      journal_.Add("rang " + timer->name);
      effects.Append(AsBytes("rang-" + timer->name));
    } else if (std::get_if<TickEvent>(&event) != nullptr) {
      journal_.Add(node_ + " ticked");
    } else if (const auto* node = std::get_if<NodeEvent>(&event)) {
      journal_.Add(node->node + (node->up ? " is up" : " is down"));
    } else if (const auto* members = std::get_if<MembersEvent>(&event)) {
      journal_.Add(node_ + " has members " + std::to_string(members->nodes.size()));
    } else if (const auto* aux = std::get_if<AuxEvent>(&event)) {
      journal_.Add(node_ + " aux " + std::string(AsText(aux->message)));
      if (aux->answer != nullptr) *aux->answer = node_;
      if (AsText(aux->message) == "throw") throw std::runtime_error("asked to");
    } else {
      journal_.Add(node_ + " stops");
    }
  }

  static inline std::atomic<std::int64_t> last_unix_ms{0};

 private:
  void Do(const std::string& verb, const std::string& rest, Effects& effects) {
    const std::string first = rest.substr(0, rest.find(' '));
    if (verb == "call") effects.Call([this] { journal_.Add("called"); });
    if (verb == "append") effects.Append(AsBytes(rest));
    if (verb == "timer") effects.SetTimer(first, std::stoull(rest.substr(first.size() + 1)));
    if (verb == "cancel") effects.CancelTimer(first);
    if (verb == "monitor") effects.Monitor(first);
    if (verb == "send") effects.Send(first, AsBytes("hello"));
    if (verb == "near") effects.Send(first, AsBytes("from " + node_), Sender::kNearest);
    if (verb == "aux") effects.Aux(AsBytes(rest));
    if (verb.starts_with("pass")) journal_.Pass(node_);
  }

  Journal& journal_;
  std::string node_;
  std::uint64_t count_ = 0;
};

class Machines : public testing::SystemsFixture {
 protected:
  Machines() { base_.workers = 1; }
  ~Machines() override {
    journal_.Release();
    CloseAll();
  }
  std::vector<MachineType> MachinesOf(const std::string& node) override {
    return {{.name = "spy",
             .make = [this] { return std::make_unique<Spy>(journal_); },
             .version = versions_[node],
             .tick = tick_}};
  }
  void Found(const std::vector<std::string>& nodes) {
    FoundOn(nodes, {.name = "one", .machine = "spy"});
  }
  void Remove(const std::string& node) {
    const Result<bool> removed = Soon([&] { return On("a").RemoveMember("one", node, In(20)); });
    ASSERT_TRUE(removed.ok()) << removed.error().message;
  }
  void Leave(const std::string& node, System::Leaving leaving) {
    const Result<bool> left = Soon([&] { return On(node).Leave("one", leaving, In(20)); });
    ASSERT_TRUE(left.ok()) << left.error().message;
    EXPECT_TRUE(*left);
  }
  using SystemsFixture::Execute;
  std::string Execute(const std::string& command) { return Execute("a", "one", command); }
  static std::vector<Message> TakeMessages(Client& client, std::size_t count) {
    std::vector<Message> messages;
    while (messages.size() < count) {
      if (!client.Wait(In(20)).ok()) throw std::runtime_error("no message");
      for (const Message& message : client.Messages()) messages.push_back(message);
    }
    return messages;
  }

  std::uint64_t tick_ = 0;
  std::map<std::string, std::uint32_t> versions_;
  Journal journal_;
};

TEST_F(Machines, SM5_R16_AnEffectIsTheLeadersAndIsNotRepeatedByARestart) {
  ASSERT_NO_FATAL_FAILURE(Found({"a", "b", "c"}));
  for (int at = 0; at < 10; ++at) Execute("call");
  for (const char* node : {"a", "b", "c"}) journal_.Await(std::string(node) + " applied call", 10);
  for (const char* node : {"a", "b", "c"}) Stop(node);
  EXPECT_EQ(journal_.Count("called"), 10u);
  for (const char* node : {"a", "b", "c"}) Start(node);
  EXPECT_EQ(Execute("call"), "11");
  journal_.Await("called", 11);
  for (const char* node : {"a", "b", "c"}) journal_.Await(std::string(node) + " applied call", 21);
  EXPECT_EQ(journal_.Count("called"), 11u);
}

TEST_F(Machines, SM4_SM10_ALeaderHearsItOnceItHasWhatWasThereBefore) {
  ASSERT_NO_FATAL_FAILURE(Found({"a", "b", "c"}));
  ASSERT_NO_FATAL_FAILURE(Lead("a"));
  for (int at = 1; at <= 5; ++at) EXPECT_EQ(Execute("count"), std::to_string(at));
  ASSERT_NO_FATAL_FAILURE(Lead("b"));
  journal_.Await("b leads with 5");
  journal_.Await("c has members 3");
  ASSERT_NO_FATAL_FAILURE(Remove("c"));
  journal_.Await("a has members 2");
  journal_.Await("c stops");
  ASSERT_TRUE(On("b").StopServer("one", In(20)).ok());
  journal_.Await("b stops");
  EXPECT_FALSE(On("b").MetricsOf("one")->running);
  EXPECT_EQ(On("b").MetricsOf("one")->role, ServerRole::kFollower);
}

TEST_F(Machines, SM6_ATimerRingsAtTheLeaderAndWhatItAppendsIsACommand) {
  ASSERT_NO_FATAL_FAILURE(Found({"a", "b", "c"}));
  Execute("timer first 1");
  for (const char* node : {"a", "b", "c"})
    journal_.Await(std::string(node) + " applied rang-first");
  EXPECT_EQ(journal_.Count("rang first"), 1u);
  Execute("timer never 100000");
  Execute("timer second 200000");
  Execute("timer second 1");  // Takes the place of the one before.
  Execute("cancel never");
  journal_.Await("a applied rang-second");
  EXPECT_EQ(journal_.Count("rang never"), 0u);
  Execute("append more");
  journal_.Await("c applied more");
  EXPECT_EQ(journal_.Count("c applied more"), 1u);
}

TEST_F(Machines, SM6_AMonitoredNodeIsToldOfWhenItComesAndGoes) {
  ASSERT_NO_FATAL_FAILURE(Found({"a", "b", "c"}));
  ASSERT_NO_FATAL_FAILURE(Lead("a"));
  Execute("monitor c");
  journal_.Await("c is up");
  EXPECT_EQ(journal_.Count("c is up"), 1u);
  Stop("c");
  journal_.Await("c is down");
  Start("c");
  journal_.Await("c is up", 2);
  EXPECT_EQ(journal_.Count("c is down"), 1u);
}

TEST_F(Machines, SM5_SM6_AMessageComesOnceFromTheLeaderOrTheNearest) {
  ASSERT_NO_FATAL_FAILURE(Found({"a", "b"}));
  ASSERT_NO_FATAL_FAILURE(Lead("a"));
  System& far = Start("far");
  Client near = On("b").NewClient();
  Client distant = far.NewClient();
  Execute("send " + near.address());
  Execute("near " + near.address());
  Execute("near " + distant.address());
  const std::vector<Message> messages = TakeMessages(near, 2);
  ASSERT_EQ(messages.size(), 2u);
  EXPECT_EQ(messages[0].cluster, "one");
  EXPECT_THAT((std::vector{messages[0].payload, messages[1].payload}),
              ::testing::UnorderedElementsAre("hello", "from b"));
  EXPECT_EQ(TakeMessages(distant, 1)[0].payload, "from a");
  Execute("send nonsense");
  Execute("send 99999@a");
  EXPECT_TRUE(near.Messages().empty());
}

TEST_F(Machines, SM7_SM9_TheLeaderTicksAndAnyMemberHasItsOwnState) {
  tick_ = 5;
  ASSERT_NO_FATAL_FAILURE(Found({"a", "b"}));
  ASSERT_NO_FATAL_FAILURE(Lead("a"));
  journal_.Await("a ticked", 3);
  const Result<std::string> answer = On("b").Aux("one", AsBytes("hello"), In(20));
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(*answer, "b");
  EXPECT_EQ(journal_.Count("b aux hello"), 1u);
  Execute("aux more");
  journal_.Await("a aux more");
  EXPECT_EQ(On("b").Aux("two", AsBytes("x"), In(20)).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(On("b").Aux("one", AsBytes("throw"), In(20)).error().code, ErrorCode::kMachineFailed);
  EXPECT_TRUE(On("b").StatusOf("one", In(20))->stopped.has_value());
}

TEST_F(Machines, CM5_CM8_ACommandIsAnsweredWhenItsSenderWants) {
  ASSERT_NO_FATAL_FAILURE(Found({"a"}));
  Client client = On("a").NewClient();
  journal_.Hold("a");
  ASSERT_TRUE(client.Send("one", 0, AsBytes("silent"), {.reply = ReplyWhen::kNever}).ok());
  ASSERT_TRUE(client.Send("one", 0, AsBytes("count"), {.reply = ReplyWhen::kWritten}).ok());
  ASSERT_TRUE(client.Send("one", 1, AsBytes("count")).ok());
  std::vector<Outcome> outcomes = Take(client, 2);
  std::ranges::sort(outcomes, {}, &Outcome::correlation);
  EXPECT_FALSE(outcomes[0].error.has_value());
  EXPECT_EQ(outcomes[0].answer, "");
  EXPECT_EQ(outcomes[1].answer, "3");
  EXPECT_EQ(outcomes[1].index, outcomes[0].index + 1);
  EXPECT_EQ(outcomes[1].term, outcomes[0].term);
  EXPECT_TRUE(client.Poll().empty());
}

TEST_F(Machines, CM7_LowPriorityComesBehindAndIsNotLost) {
  base_.low_priority_commands_flush_size = 4;
  ASSERT_NO_FATAL_FAILURE(Found({"a"}));
  Client client = On("a").NewClient();
  journal_.Hold("a");
  ASSERT_TRUE(client.Send("one", 1000, AsBytes("pass")).ok());
  journal_.Await("a held");
  for (std::uint64_t at = 0; at < 100; ++at) {
    ASSERT_TRUE(client.Send("one", at, AsBytes("low"), {.priority = Priority::kLow}).ok());
  }
  ASSERT_TRUE(client.Send("one", 1001, AsBytes("normal")).ok());
  journal_.Release();
  const std::vector<Outcome> outcomes = Take(client, 102);
  std::map<std::uint64_t, Index> places;
  for (const Outcome& outcome : outcomes) {
    EXPECT_FALSE(outcome.error.has_value());
    places[outcome.correlation] = outcome.index;
  }
  ASSERT_EQ(places.size(), 102u);
  EXPECT_EQ(places[1001], places[1000] + 1);
  for (std::uint64_t at = 1; at < 100; ++at) EXPECT_EQ(places[at], places[at - 1] + 1);
}

TEST_F(Machines, CM8_AnOutcomeComesFromTheMemberThatIsNamed) {
  ASSERT_NO_FATAL_FAILURE(Found({"a", "b", "c"}));
  ASSERT_NO_FATAL_FAILURE(Lead("a"));
  Client client = On("a").NewClient();
  journal_.Hold("b");
  ASSERT_TRUE(client.Send("one", 1, AsBytes("pass"), {.reply_from = "b"}).ok());
  journal_.Await("b held");
  ASSERT_TRUE(client.Send("one", 2, AsBytes("count")).ok());
  const std::vector<Outcome> first = Take(client, 1);
  EXPECT_EQ(first[0].correlation, 2u);
  journal_.Release();
  const std::vector<Outcome> second = Take(client, 1);
  EXPECT_EQ(second[0].correlation, 1u);
  EXPECT_EQ(second[0].answer, "1");
  EXPECT_GE(On("b").MetricsOf("one")->applied_index, second[0].index);
  // Who has no server is no reason to wait.
  Start("d");
  for (const char* nowhere : {"d", "e"}) {
    ASSERT_TRUE(client.Send("one", 3, AsBytes("count"), {.reply_from = nowhere}).ok());
    EXPECT_FALSE(Take(client, 1)[0].error.has_value());
  }
}

TEST_F(Machines, RD5_AQueryWaitsForWhatItsAskerWrote) {
  ASSERT_NO_FATAL_FAILURE(Found({"a", "b", "c"}));
  ASSERT_NO_FATAL_FAILURE(Lead("a"));
  Client writer = On("a").NewClient();
  Client reader = On("b").NewClient();
  journal_.Hold("b");
  ASSERT_TRUE(writer.Send("one", 1, AsBytes("pass")).ok());
  const Outcome written = Take(writer, 1)[0];
  const Token token{written.index, written.term};
  ASSERT_TRUE(reader.Ask("one", 1, {}, {.consistency = Consistency::kLocal, .after = token}).ok());
  journal_.Release();
  EXPECT_EQ(Take(reader, 1)[0].answer, "1");
  const QueryOptions lost{Consistency::kLocal, {written.index, written.term + 1}};
  EXPECT_EQ(On("b").Query("one", {}, lost, In(20)).error().code, ErrorCode::kRefused);
  const QueryOptions half{Consistency::kLocal, {written.index, 0}};
  EXPECT_EQ(On("b").Query("one", {}, half, In(20)).error().code, ErrorCode::kInvalidArgument);
}

TEST_F(Machines, RD5_AQueryWaitsNoLongerThanItMay) {
  base_.await_condition_timeout = 20;
  ASSERT_NO_FATAL_FAILURE(Found({"a"}));
  const QueryOptions far{Consistency::kLocal, {1'000'000, 1}};
  EXPECT_EQ(On("a").Query("one", {}, far, In(20)).error().code, ErrorCode::kTimeout);
}

TEST_F(Machines, CM11_QueriesThatWaitAreBoundedInBytes) {
  base_.inbox_bytes_max = 4096;
  ASSERT_NO_FATAL_FAILURE(Found({"a"}));
  Client client = On("a").NewClient();
  const std::string query(3000, 'q');
  const QueryOptions far{Consistency::kLocal, {1'000'000, 1}};
  ASSERT_TRUE(client.Ask("one", 1, AsBytes(query), far).ok());
  Execute("count");  // Behind it: it waits by now.
  ASSERT_TRUE(client.Ask("one", 2, AsBytes(query), far).ok());
  const Outcome refused = Take(client, 1)[0];
  EXPECT_EQ(refused.correlation, 2u);
  ASSERT_TRUE(refused.error.has_value());
  EXPECT_EQ(refused.error->code, ErrorCode::kOverloaded);
}

TEST_F(Machines, RD1_RD6_QueriesGoThroughTheLogAndLocalOnesCanBeSwitchedOff) {
  base_.local_queries = false;
  ASSERT_NO_FATAL_FAILURE(Found({"a", "b", "c"}));
  EXPECT_EQ(Execute("count"), "1");
  const Result<std::string> through = On("b").Query("one", {}, Consistency::kThroughLog, In(20));
  ASSERT_TRUE(through.ok());
  EXPECT_EQ(*through, "1");
  EXPECT_EQ(On("b").Query("one", AsBytes("no"), Consistency::kThroughLog, In(20)).error().code,
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(On("b").Query("one", {}, Consistency::kLocal, In(20)).error().code,
            ErrorCode::kRefused);
  EXPECT_EQ(Execute("count"), "2");
}

TEST_F(Machines, CL3_CL5_AClusterStartsOnThoseThatAreThere) {
  for (const char* node : {"a", "b"}) Start(node);
  const ClusterOptions three{.name = "one", .machine = "spy", .nodes = {"a", "b", "c"}};
  const ClusterOptions five{.name = "five", .machine = "spy", .nodes = {"a", "b", "c", "d", "e"}};
  EXPECT_EQ(On("a").StartCluster(five, In(20)).error().code, ErrorCode::kNotFound);
  const auto started = On("a").StartCluster(three, In(20));
  ASSERT_TRUE(started.ok()) << started.error().message;
  EXPECT_THAT(started->started, ::testing::ElementsAre("a", "b"));
  EXPECT_THAT(started->not_started, ::testing::ElementsAre("c"));
  EXPECT_EQ(Execute("count"), "1");
  EXPECT_THAT(On("a").Clusters(), ::testing::ElementsAre("one"));
  EXPECT_TRUE(On("a").StartOrRestartCluster(three, In(20)).ok());
  ASSERT_TRUE(On("a").StopServer("one", In(20)).ok());
  EXPECT_TRUE(On("a").StartOrRestartCluster(three, In(20)).ok());
  EXPECT_EQ(Execute("count"), "2");
  EXPECT_TRUE(On("a").StartOrRestartCluster({.name = "two", .machine = "spy"}, In(20)).ok());
}

TEST_F(Machines, CL13_ASystemStartsTheServersThatItsStrategyNames) {
  Start("a");
  for (const char* name : {"one", "two"}) {
    ASSERT_TRUE(On("a").StartCluster({.name = name, .machine = "spy"}, In(20)).ok());
    ASSERT_TRUE(On("a").Execute(name, AsBytes("count"), In(20)).ok());
  }
  Stop("a");
  base_.server_recovery_strategy = RecoveryStrategy::kNone;
  Start("a");
  EXPECT_EQ(On("a").Overview().servers, 2u);
  EXPECT_EQ(On("a").Overview().running, 0u);
  EXPECT_TRUE(On("a").StatusOf("one", In(20))->stopped.has_value());
  ASSERT_TRUE(On("a").RestartServer("one", In(20)).ok());
  EXPECT_EQ(Execute("count"), "2");
  Stop("a");
  base_.recovers = [](std::string_view cluster) { return cluster == "two"; };
  Start("a");
  EXPECT_FALSE(On("a").MetricsOf("one")->running);
  EXPECT_TRUE(On("a").MetricsOf("two")->running);
}

TEST_F(Machines, ME7_AMemberLeaves) {
  ASSERT_NO_FATAL_FAILURE(Found({"a", "b", "c"}));
  ASSERT_NO_FATAL_FAILURE(Leave("c", System::Leaving::kDelete));
  EXPECT_TRUE(On("c").Clusters().empty());
  EXPECT_EQ(Execute("count"), "1");
  ASSERT_NO_FATAL_FAILURE(Leave("b", System::Leaving::kStop));
  EXPECT_TRUE(On("b").StatusOf("one", In(20))->stopped.has_value());
  EXPECT_EQ(Execute("count"), "2");
}

TEST_F(Machines, CL8_ADeletedClusterLeavesNothing) {
  ASSERT_NO_FATAL_FAILURE(Found({"a", "b", "c"}));
  EXPECT_EQ(Execute("count"), "1");
  ASSERT_TRUE(On("b").DeleteCluster("one", In(20)).ok());
  for (const char* node : {"a", "b", "c"}) {
    while (!On(node).Clusters().empty()) std::this_thread::yield();
  }
  EXPECT_EQ(On("a").DeleteCluster("one", In(20)).error().code, ErrorCode::kNotFound);
  ASSERT_TRUE(
      On("a").StartCluster({.name = "one", .machine = "spy", .nodes = {"a", "b"}}, In(20)).ok());
  EXPECT_EQ(Execute("count"), "1");
}

TEST_F(Machines, CL8_R17_WhoWasAwayWhenItsClusterWasDeletedDoesNotComeBack) {
  ASSERT_NO_FATAL_FAILURE(Found({"a", "b", "c"}));
  ASSERT_NO_FATAL_FAILURE(Lead("a"));
  EXPECT_EQ(Execute("count"), "1");
  Stop("c");
  ASSERT_TRUE(On("a").DeleteCluster("one", In(20)).ok());
  EXPECT_EQ(On("a").Execute("one", AsBytes("count"), In(20)).error().code, ErrorCode::kNotFound);
  journal_.Await("b stops");
  // Who waits for it does so over a restart of its own.
  Stop("b");
  Start("b");
  EXPECT_TRUE(On("b").StatusOf("one", In(20))->stopped.has_value());
  EXPECT_EQ(On("b").RestartServer("one", In(20)).error().code, ErrorCode::kNotFound);
  EXPECT_THAT(On("a").Clusters(), ::testing::ElementsAre("one"));
  Start("c");
  for (const char* node : {"a", "b", "c"}) {
    while (!On(node).Clusters().empty()) std::this_thread::yield();
  }
}

TEST_F(Machines, CL8_R17_AClusterIsNotDeletedInAMinority) {
  ASSERT_NO_FATAL_FAILURE(Found({"a", "b", "c"}));
  ASSERT_NO_FATAL_FAILURE(Lead("a"));
  EXPECT_EQ(Execute("count"), "1");
  Stop("b");
  Stop("c");
  const Status deleted = On("a").DeleteCluster("one", In(3));
  ASSERT_FALSE(deleted.ok());
  Start("b");
  EXPECT_EQ(Execute("count"), "2");
}

TEST_F(Machines, RE7_NumbersOfABusyServerWaitForNobody) {
  ASSERT_NO_FATAL_FAILURE(Found({"a", "b"}));
  ASSERT_NO_FATAL_FAILURE(Lead("a"));
  EXPECT_EQ(Execute("count"), "1");
  Client client = On("a").NewClient();
  journal_.Hold("a");
  ASSERT_TRUE(client.Send("one", 1, AsBytes("pass")).ok());
  journal_.Await("a held");
  const Result<KeyMetrics> numbers = On("a").MetricsOf("one");
  ASSERT_TRUE(numbers.ok());
  EXPECT_TRUE(numbers->running);
  EXPECT_EQ(numbers->role, ServerRole::kLeader);
  EXPECT_GE(numbers->applied_index, 2u);
  EXPECT_EQ(On("a").Overview().leading, 1u);
  EXPECT_EQ(On("a").Overview().nodes.size(), 2u);
  EXPECT_EQ(On("b").Leaderboard()[0].leader, "a");
  EXPECT_EQ(On("a").MetricsOf("two").error().code, ErrorCode::kNotFound);
  journal_.Release();
  (void)Take(client, 1);
  const Result<ServerStatus> status = On("a").StatusOf("one", In(20));
  ASSERT_TRUE(status.ok());
  ASSERT_EQ(status->peers.size(), 1u);
  EXPECT_EQ(status->peers[0].node, "b");
  EXPECT_TRUE(status->peers[0].responsive);
}

TEST_F(Machines, SM8_R15_AVersionIsRaisedOnceTheLaggardHasGone) {
  versions_ = {{"a", 1}, {"b", 1}, {"c", 0}};
  ASSERT_NO_FATAL_FAILURE(Found({"a", "b", "c"}));
  Execute("early");
  EXPECT_EQ(journal_.Count("version 0 early"), journal_.Count("a applied early") +
                                                   journal_.Count("b applied early") +
                                                   journal_.Count("c applied early"));
  ASSERT_NO_FATAL_FAILURE(Lead("a"));
  ASSERT_NO_FATAL_FAILURE(Remove("c"));
  for (std::uint32_t version = 0; version == 0; std::this_thread::yield())
    version = On("a").StatusOf("one", In(20))->machine_version;
  Execute("late");
  EXPECT_GE(journal_.Count("version 1 late"), 1u);
  EXPECT_EQ(journal_.Count("version 0 late"), 0u);
}

TEST_F(Machines, CL4_OptionsThatCannotWorkAreRefused) {
  SystemOptions options = OptionsOf("a");
  options.machines.push_back(options.machines[0]);
  EXPECT_EQ(System::Open(options).error().code, ErrorCode::kConfiguration);
  options.machines = {{"", options.machines[0].make}};
  EXPECT_EQ(System::Open(options).error().code, ErrorCode::kConfiguration);
  options.machines = {{"none", nullptr}};
  EXPECT_EQ(System::Open(options).error().code, ErrorCode::kConfiguration);
  options.machines.clear();
  options.low_priority_commands_flush_size = 0;
  EXPECT_EQ(System::Open(options).error().code, ErrorCode::kConfiguration);
}

/// As often as each of them comes by it, from its leader or again from its log.
TEST_F(Machines, SM2_AllMembersHaveTheSameMetadataOfACommand) {
  ASSERT_NO_FATAL_FAILURE(Found({"a", "b", "c"}));
  std::optional<Client> client = On("a").NewClient();
  ASSERT_TRUE(client->Send("one", 1, AsBytes("meta")).ok());
  const Outcome outcome = Take(*client, 1)[0];
  client.reset();
  ASSERT_FALSE(outcome.error) << outcome.error->message;
  const std::int64_t unix_ms = Spy::last_unix_ms.load();
  EXPECT_GT(unix_ms, 1'700'000'000'000);
  const std::string seen = "meta " + std::to_string(outcome.index) + " " +
                           std::to_string(outcome.term) + " at " + std::to_string(unix_ms);
  journal_.Await(seen, 3);
  for (const char* node : {"a", "b", "c"}) Stop(node);
  for (const char* node : {"a", "b", "c"}) Start(node);
  EXPECT_EQ(Execute("count"), "2");
  journal_.Await(seen, 6);
  EXPECT_EQ(journal_.Count("time " + std::to_string(unix_ms)), 6u);
}

TEST_F(Machines, CM11_ABusyServerTakesSoManyBytesAndRefusesMoreAtOnce) {
  base_.inbox_bytes_max = 64u << 10;
  ASSERT_NO_FATAL_FAILURE(Found({"a"}));
  const std::string large = "count " + std::string(10'000, 'x');
  for (const Priority priority : {Priority::kNormal, Priority::kLow}) {
    Client client = On("a").NewClient();
    const std::uint64_t before = journal_.Count("a held");
    journal_.Hold("a");
    ASSERT_TRUE(client.Send("one", 1000, AsBytes("pass")).ok());
    journal_.Await("a held", before + 1);
    std::uint64_t taken = 0;
    Status refused;
    while (taken < 100 && refused.ok()) {
      refused = client.Send("one", taken, AsBytes(large), {.priority = priority});
      if (refused.ok()) ++taken;
    }
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code, ErrorCode::kOverloaded);
    EXPECT_EQ(taken, 6u);  // Of 65,536 bytes.
    EXPECT_LE(On("a").Overview().inbox_bytes, 64u << 10);
    journal_.Release();
    for (const Outcome& outcome : Take(client, taken + 1)) EXPECT_FALSE(outcome.error);
    EXPECT_EQ(On("a").Overview().inbox_bytes, 0u);
  }
  EXPECT_EQ(Execute("count"), "15");
}

}  // namespace
}  // namespace duramen
