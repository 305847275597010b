// What users of a system get wrong: each the error that its header names, at once, and nobody else
// notices. Real threads, a real disk.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/server/journal.h"
#include "tests/server/systems_fixture.h"

namespace duramen {
namespace {

using testing::In;
using testing::Journal;

/// Does what a command says: throws where it is told to, and asks for what makes no sense.
class Clown final : public Machine {
 public:
  explicit Clown(Journal& journal) : journal_(journal) {}
  Status Init(const MachineInit& init) override {
    if (init.config == "throw in Init") throw 42;
    if (init.config == "refuse in Init")
      return Error{ErrorCode::kInvalidArgument, "a config that it does not like", ""};
    return {};
  }
  Status Validate(Bytes command) const override {
    if (AsText(command) == "throw in Validate") throw std::runtime_error("asked to");
    return {};
  }
  void Apply(std::span<const Command> commands, Effects& effects) override {
    for (std::size_t at = 0; at < commands.size(); ++at) {
      const std::string text(AsText(commands[at].payload));
      ++count_;
      if (text == "throw in Apply") throw 42;
      if (text == "throw in Call") effects.Call([] { throw std::runtime_error("asked to"); });
      if (text == "throw in On") effects.Aux(AsBytes("throw"));
      if (text == "nonsense") Babble(effects);
      if (text == "shout") effects.Reply(at, std::string(4u << 20, 'A'));
      if (text != "nonsense" && text != "shout") effects.Reply(at, std::to_string(count_));
    }
  }
  Status Query(Bytes query, std::string& answer) const override {
    if (AsText(query) == "throw") throw std::runtime_error("asked to");
    answer = std::to_string(count_);
    return {};
  }
  void On(const MachineEvent& event, Effects& effects) override {
    if (const auto* aux = std::get_if<AuxEvent>(&event)) {
      if (AsText(aux->message) == "throw") throw std::runtime_error("asked to");
      effects.Reply(0, "to nobody");
      journal_.Add("aux " + std::string(AsText(aux->message)));
    }
    if (const auto* timer = std::get_if<TimerEvent>(&event)) journal_.Add("rang " + timer->name);
    if (const auto* node = std::get_if<NodeEvent>(&event))
      journal_.Add(node->node + (node->up ? " up" : " down"));
  }

 private:
  void Babble(Effects& effects) {
    effects.Reply(SIZE_MAX, "to no command");
    (void)effects.wants_reply(SIZE_MAX);
    effects.Send("", AsBytes("x"));
    effects.Send("@", AsBytes("x"), Sender::kNearest);
    effects.Send(std::string(100'000, '9') + "@a", AsBytes("x"));
    effects.SetTimer("never", UINT64_MAX);
    effects.SetTimerAt("past", INT64_MIN);
    effects.SetTimerAt("far", INT64_MAX);
    effects.CancelTimer("none");
    effects.Monitor("nobody");
    effects.Demonitor("somebody");
    effects.Aux({});
    effects.Call(nullptr);
    effects.Append(AsBytes(std::string(128u << 20, 'x')));  // No log takes it.
  }

  Journal& journal_;
  std::uint64_t count_ = 0;
};

class BadInput : public testing::SystemsFixture {
 protected:
  ~BadInput() override { CloseAll(); }
  std::vector<MachineType> MachinesOf(const std::string&) override {
    return {{"clown", [this] { return std::make_unique<Clown>(journal_); }}};
  }
  /// On node a, a cluster of its own for each name.
  void StartAlone(const std::vector<std::string>& clusters) {
    Start("a");
    for (const std::string& name : clusters) {
      const auto started = On("a").StartCluster({.name = name, .machine = "clown"}, In(20));
      ASSERT_TRUE(started.ok()) << started.error().message;
      ASSERT_TRUE(On("a").AwaitLeader(name, In(20)).ok());
    }
  }
  template <typename Call>
  static ErrorCode CodeOf(const Call& outcome) {
    return outcome.ok() ? ErrorCode{} : outcome.error().code;
  }
  using SystemsFixture::CodeOf;

  Journal journal_;
};

TEST_F(BadInput, CL7_CM1_CM6_EveryCallOfAClusterThatIsNotThereSaysSoAtOnce) {
  ASSERT_NO_FATAL_FAILURE(StartAlone({"one"}));
  for (const std::string& name : {std::string("nobody"), std::string(), std::string(70'000, 'x')}) {
    SCOPED_TRACE(name.substr(0, 10));
    System& system = On("a");
    int call = 0;
    const auto not_found = [&](const auto& outcome) {
      const ErrorCode code = CodeOf(outcome);
      const bool no_name = name != "nobody" && code == ErrorCode::kInvalidArgument;
      EXPECT_TRUE(code == ErrorCode::kNotFound || no_name) << "call " << call;
      ++call;
    };
    not_found(system.Execute(name, AsBytes("count"), In(20)));
    not_found(system.ExecuteOnce(name, AsBytes("count"), {1, 1, 0}, In(20)));
    not_found(system.OpenSession(name, In(20)));
    for (const Consistency how : {Consistency::kLocal, Consistency::kLeader,
                                  Consistency::kConsistent, Consistency::kLease,
                                  Consistency::kThroughLog}) {
      not_found(system.Query(name, {}, how, In(20)));
    }
    not_found(system.Aux(name, {}, In(20)));
    not_found(system.StopServer(name, In(20)));
    not_found(system.RestartServer(name, In(20)));
    not_found(system.ForceDeleteServer(name, In(20)));
    not_found(system.DeleteCluster(name, In(20)));
    not_found(system.AddMember(name, "a", In(20)));
    not_found(system.RemoveMember(name, "a", In(20)));
    not_found(system.Leave(name, System::Leaving::kStop, In(20)));
    not_found(system.AwaitLeader(name, In(20)));
    not_found(system.TransferLeadership(name, "a", In(20)));
    not_found(system.TriggerElection(name, In(20)));
    not_found(system.StatusOf(name, In(20)));
    not_found(system.MetricsOf(name));
    Client client = system.NewClient();
    not_found(client.Send(name, 1, AsBytes("count")));
    not_found(client.Ask(name, 2, {}));
    EXPECT_TRUE(client.Poll().empty());
  }
  EXPECT_EQ(Execute("a", "one"), "1");
  EXPECT_THAT(On("a").Clusters(), ::testing::ElementsAre("one"));
}

TEST_F(BadInput, CL3_NamesThatAreNoneAreRefusedAndLeaveNothing) {
  Start("a");
  const auto code = [this](const std::string& cluster, const std::string& machine) {
    return CodeOf(On("a").StartCluster({.name = cluster, .machine = machine}, In(20)));
  };
  for (const std::string& name : {std::string(), std::string(256, 'x'), std::string("\xff\xfe")})
    EXPECT_EQ(code(name, "clown"), ErrorCode::kInvalidArgument) << name.size();
  EXPECT_EQ(code("one", ""), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code("one", "clown\nconfig"), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code("one", "unknown"), ErrorCode::kNotFound);
  EXPECT_THAT(On("a").Clusters(), ::testing::IsEmpty());
  EXPECT_EQ(code(std::string(255, 'x'), "clown"), ErrorCode{});
  EXPECT_EQ(Execute("a", std::string(255, 'x')), "1");
}

TEST_F(BadInput, CM11_ACommandAtTheLimitIsTakenAndOneAboveItIsNot) {
  base_.max_command_bytes = 1000;
  ASSERT_NO_FATAL_FAILURE(StartAlone({"one"}));
  const std::string at(1000, 'x');
  const std::string above(1001, 'x');
  EXPECT_EQ(Execute("a", "one", at), "1");
  EXPECT_EQ(CodeOf("a", "one", above), ErrorCode::kTooLarge);
  Client client = On("a").NewClient();
  EXPECT_EQ(CodeOf(client.Send("one", 1, AsBytes(above))), ErrorCode::kTooLarge);
  EXPECT_EQ(CodeOf(client.Send("one", 1, AsBytes(above), {.place = InSession{1, 1, 0}})),
            ErrorCode::kTooLarge);
  EXPECT_EQ(CodeOf(client.Ask("one", 1, AsBytes(above))), ErrorCode::kTooLarge);
  EXPECT_TRUE(client.Poll().empty());
  const std::uint64_t session = On("a").OpenSession("one", In(20)).value();
  EXPECT_EQ(On("a").ExecuteOnce("one", AsBytes(at), {session, 1, 0}, In(20)).value(), "2");
  EXPECT_EQ(Execute("a", "one"), "3");
}

TEST_F(BadInput, SM12_WhatThrowsWhereItIsAskedStopsNothing) {
  ASSERT_NO_FATAL_FAILURE(StartAlone({"one"}));
  EXPECT_EQ(CodeOf("a", "one", "throw in Validate"), ErrorCode::kMachineFailed);
  for (const Consistency how : {Consistency::kLocal, Consistency::kLeader,
                                Consistency::kConsistent, Consistency::kThroughLog}) {
    EXPECT_EQ(CodeOf(On("a").Query("one", AsBytes("throw"), how, In(20))),
              ErrorCode::kMachineFailed);
  }
  EXPECT_EQ(Execute("a", "one"), "1");
  EXPECT_FALSE(On("a").StatusOf("one", In(20)).value().stopped);
}

TEST_F(BadInput, SM12_WhatThrowsWhileItWorksStopsItsServerAndNoOther) {
  const std::vector<std::string> deeds = {"throw in Apply", "throw in Call", "throw in On"};
  std::vector<std::string> clusters = deeds;
  clusters.push_back("other");
  ASSERT_NO_FATAL_FAILURE(StartAlone(clusters));
  for (const std::string& deed : deeds) {
    SCOPED_TRACE(deed);
    (void)On("a").Execute(deed, AsBytes(deed), In(20));  // Its answer may come before it.
    std::optional<Error> stopped;
    while (!(stopped = On("a").StatusOf(deed, In(20)).value().stopped)) std::this_thread::yield();
    EXPECT_EQ(stopped->code, ErrorCode::kMachineFailed);
    EXPECT_EQ(CodeOf("a", deed, "count"), ErrorCode::kMachineFailed);
    EXPECT_EQ(CodeOf(On("a").Query(deed, {}, Consistency::kLocal, In(20))),
              ErrorCode::kMachineFailed);
    EXPECT_FALSE(On("a").MetricsOf(deed).value().running);
  }
  EXPECT_EQ(Execute("a", "other"), "1");
  EXPECT_EQ(On("a").Overview().running, 1u);
}

TEST_F(BadInput, SM1_SM12_AMachineThatCannotBeginStartsNoCluster) {
  ASSERT_NO_FATAL_FAILURE(StartAlone({"other"}));
  const auto code = [this](const std::string& config) {
    return CodeOf(
        On("a").StartCluster({.name = "one", .machine = "clown", .config = config}, In(20)));
  };
  EXPECT_EQ(code("throw in Init"), ErrorCode::kMachineFailed);
  EXPECT_EQ(code("refuse in Init"), ErrorCode::kInvalidArgument);
  EXPECT_THAT(On("a").Clusters(), ::testing::ElementsAre("other"));
  EXPECT_EQ(code(""), ErrorCode{});
  EXPECT_EQ(Execute("a", "one"), "1");
}

TEST_F(BadInput, SM6_SM12_WhatMakesNoSenseIsNotDoneAndHarmsNobody) {
  ASSERT_NO_FATAL_FAILURE(StartAlone({"one", "other"}));
  std::optional<Client> client = On("a").NewClient();
  EXPECT_EQ(Execute("a", "one", "nonsense"), "");
  journal_.Await("rang past");
  journal_.Await("nobody down");
  journal_.Await("aux ");
  EXPECT_EQ(Execute("a", "one", "shout").size(), 4u << 20);
  EXPECT_EQ(Execute("a", "one"), "3");
  EXPECT_EQ(Execute("a", "other"), "1");
  EXPECT_EQ(journal_.Count("rang never") + journal_.Count("rang far"), 0u);
  EXPECT_TRUE(client->Messages().empty());
  client.reset();
  EXPECT_FALSE(On("a").StatusOf("one", In(20)).value().stopped);
  // Nor does it come back with the log.
  Stop("a");
  Start("a");
  EXPECT_EQ(Execute("a", "one"), "4");
}

TEST_F(BadInput, CL5_CL11_ADirectoryThatIsInUseOpensNoSecondTime) {
  ASSERT_NO_FATAL_FAILURE(StartAlone({"one"}));
  SystemOptions options = OptionsOf("a");
  options.node = "b";
  EXPECT_EQ(CodeOf(System::Open(options)), ErrorCode::kInUse);
  EXPECT_EQ(CodeOf(On("a").RestartServer("one", In(20))), ErrorCode::kAlreadyExists);
  EXPECT_EQ(Execute("a", "one"), "1");
}

TEST_F(BadInput, CL6_CL11_ADirectoryOfAnotherNodeStartsNoneOfItsServers) {
  ASSERT_NO_FATAL_FAILURE(StartAlone({"one"}));
  Start("b");
  const ClusterOptions two{.name = "two", .machine = "clown", .nodes = {"a", "b"}};
  ASSERT_TRUE(On("a").StartCluster(two, In(20)).ok());
  EXPECT_EQ(Execute("b", "two"), "1");
  EXPECT_EQ(Execute("a", "one"), "1");
  Stop("a");
  SystemOptions options = OptionsOf("a");
  options.node = "c";
  {
    Result<System> other = System::Open(options);
    ASSERT_TRUE(other.ok()) << other.error().message;
    for (const char* cluster : {"one", "two"}) {
      const std::optional<Error> stopped = other->StatusOf(cluster, In(20)).value().stopped;
      ASSERT_TRUE(stopped);
      EXPECT_EQ(stopped->code, ErrorCode::kConfiguration);
      EXPECT_THAT(stopped->message,
                  ::testing::HasSubstr("on node 'a', and the system is node 'c'"));
      EXPECT_EQ(CodeOf(other->RestartServer(cluster, In(20))), ErrorCode::kConfiguration);
    }
    EXPECT_EQ(CodeOf(other->Execute("one", AsBytes("count"), In(20))), ErrorCode::kConfiguration);
  }
  Start("a");
  EXPECT_EQ(Execute("a", "one"), "2");
  EXPECT_EQ(Execute("b", "two"), "2");
}

/// What waits for what will never come.
TEST_F(BadInput, CM10_CL9_EveryoneWhoIsInsideASystemThatClosesIsToldSo) {
  ASSERT_NO_FATAL_FAILURE(StartAlone({"one", "stopped"}));
  ASSERT_TRUE(On("a").StopServer("stopped", In(20)).ok());
  System& system = On("a");
  const QueryOptions far{Consistency::kLocal, {1'000'000, 1}};
  std::atomic<int> inside{0};
  std::vector<ErrorCode> codes(2);
  std::vector<std::thread> threads;
  threads.emplace_back([&] {
    ++inside;
    codes[0] = CodeOf(system.AwaitLeader("stopped", In(60)));
  });
  threads.emplace_back([&] {
    ++inside;
    codes[1] = CodeOf(system.Query("one", {}, far, In(60)));
  });
  Client client = system.NewClient();
  ASSERT_TRUE(client.Ask("one", 7, {}, far).ok());
  while (inside.load() < 2) std::this_thread::yield();
  ASSERT_TRUE(system.Close(In(60)).ok());
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(codes, ::testing::Each(ErrorCode::kClosed));
  const std::span<const Outcome> outcomes = client.Poll();
  ASSERT_EQ(outcomes.size(), 1u);
  EXPECT_EQ(outcomes[0].error.value().code, ErrorCode::kClosed);
  EXPECT_EQ(CodeOf(system.StopServer("one", In(20))), ErrorCode::kClosed);
  EXPECT_EQ(CodeOf(system.AddMember("one", "b", In(20))), ErrorCode::kClosed);
  EXPECT_EQ(CodeOf(system.StartCluster({.name = "two", .machine = "clown"}, In(20))),
            ErrorCode::kClosed);
  EXPECT_TRUE(system.Close(In(20)).ok());
}

}  // namespace
}  // namespace duramen
