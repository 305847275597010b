// Systems as their users have them: real threads, a real disk.
#include "duramen/system.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>

#include "tests/server/systems_fixture.h"

namespace duramen {
namespace {

using testing::In;

class Counter final : public Machine {
 public:
  Status Init(const MachineInit& init) override {
    uid_ = init.uid;
    return {};
  }
  Status Validate(Bytes command) const override {
    if (AsText(command) != "no") return {};
    return Error{ErrorCode::kInvalidArgument, "no is no command", ""};
  }
  void Apply(std::span<const Command> commands, Effects& effects) override {
    for (std::size_t at = 0; at < commands.size(); ++at) {
      if (AsText(commands[at].payload) == "throw") throw std::runtime_error("asked to");
      if (throws.load() && uid_ == throws_at) throw std::runtime_error("asked to");
      effects.Reply(at, std::to_string(++count_));
    }
  }
  Status Query(Bytes, std::string& answer) const override {
    answer = std::to_string(count_);
    return {};
  }

  /// On one server alone; `throws_at` is set before.
  static inline std::string throws_at;
  static inline std::atomic<bool> throws{false};

 private:
  std::string uid_;
  std::uint64_t count_ = 0;
};

class Systems : public testing::SystemsFixture {
 protected:
  std::vector<MachineType> MachinesOf(const std::string&) override {
    std::vector<MachineType> machines = {{"counter", [] { return std::make_unique<Counter>(); }}};
    if (!no_machine_) return machines;
    machines.push_back({"null", [] { return std::unique_ptr<Machine>(); }});
    machines.push_back({"throws", []() -> std::unique_ptr<Machine> {
                          throw std::runtime_error("asked to");
                        }});
    return machines;
  }
  void FoundOnThree(const std::string& cluster) {
    FoundOn({"a", "b", "c"}, {.name = cluster, .machine = "counter"});
  }

  bool no_machine_ = false;
};

TEST_F(Systems, CL1_CM1_AClusterOfOneServesAtOnceAndAfterARestart) {
  Start("a");
  const auto started = On("a").StartCluster({.name = "one", .machine = "counter"}, In(20));
  ASSERT_TRUE(started.ok()) << started.error().message;
  EXPECT_EQ(Execute("a", "one"), "1");
  EXPECT_EQ(Execute("a", "one"), "2");
  Stop("a");
  Start("a");
  EXPECT_EQ(Execute("a", "one"), "3");
  const Result<std::string> asked =
      On("a").Query("one", {}, Consistency::kConsistent, In(20));
  ASSERT_TRUE(asked.ok()) << asked.error().message;
  EXPECT_EQ(*asked, "3");
}

TEST_F(Systems, CL11_R18_ThreeSystemsGoOnWithoutTheirLeader) {
  for (const char* node : {"a", "b", "c"}) Start(node);
  const auto started = On("a").StartCluster(
      {.name = "three", .machine = "counter", .nodes = {"a", "b", "c"}}, In(20));
  ASSERT_TRUE(started.ok()) << started.error().message;
  EXPECT_EQ(Execute("b", "three"), "1");
  const std::string leader = On("b").AwaitLeader("three", In(20)).value();
  Stop(leader);
  const std::string other = leader == "a" ? "b" : "a";
  EXPECT_EQ(Execute(other, "three"), "2");
  Start(leader);
  EXPECT_EQ(Execute(leader, "three"), "3");
  for (const char* node : {"a", "b", "c"}) {
    const Result<std::string> asked =
        On(node).Query("three", {}, Consistency::kConsistent, In(20));
    ASSERT_TRUE(asked.ok()) << asked.error().message;
    EXPECT_EQ(*asked, "3");
  }
}

TEST_F(Systems, CM6_AClientHasAnOutcomeForEachCommand) {
  Start("a");
  ASSERT_TRUE(On("a").StartCluster({.name = "one", .machine = "counter"}, In(20)).ok());
  ASSERT_TRUE(On("a").AwaitLeader("one", In(20)).ok());
  Client client = On("a").NewClient();
  constexpr std::uint64_t kCommands = 1000;
  for (std::uint64_t at = 0; at < kCommands; ++at) {
    ASSERT_TRUE(client.Send("one", at, AsBytes("count")).ok());
  }
  std::set<std::uint64_t> done;
  while (done.size() < kCommands) {
    ASSERT_TRUE(client.Wait(In(20)).ok());
    for (const Outcome& outcome : client.Poll()) {
      ASSERT_FALSE(outcome.error) << outcome.error->message;
      EXPECT_EQ(outcome.answer, std::to_string(outcome.correlation + 1));
      EXPECT_GT(outcome.index, 0u);
      EXPECT_GT(outcome.term, 0u);
      EXPECT_TRUE(done.insert(outcome.correlation).second);
    }
  }
  EXPECT_TRUE(client.Poll().empty());
}

TEST_F(Systems, CM2_R12_ACommandInASessionRunsOnce) {
  FoundOnThree("three");
  const Result<std::uint64_t> session = On("a").OpenSession("three", In(20));
  ASSERT_TRUE(session.ok()) << session.error().message;
  const auto once = [&](const std::string& node, std::uint64_t sequence,
                        std::uint64_t acknowledged) {
    const Result<std::string> answer =
        On(node).ExecuteOnce("three", AsBytes("count"), {*session, sequence, acknowledged}, In(20));
    return answer.ok() ? *answer : answer.error().message;
  };
  EXPECT_EQ(once("a", 1, 0), "1");
  EXPECT_EQ(once("b", 1, 0), "1");
  EXPECT_EQ(once("b", 3, 0), "2");
  EXPECT_EQ(once("c", 2, 0), "3");
  const std::string leader = On("b").AwaitLeader("three", In(20)).value();
  Stop(leader);
  const std::string other = leader == "a" ? "b" : "a";
  EXPECT_EQ(once(other, 3, 0), "2");
  EXPECT_EQ(once(other, 4, 3), "4");
  EXPECT_THAT(once(other, 3, 1), ::testing::HasSubstr("session_expired"));
  EXPECT_THAT(once(other, 0, 0), ::testing::HasSubstr("no place"));
  EXPECT_EQ(Execute(other, "three"), "5");
}

TEST_F(Systems, SM12_AMachineThatThrowsStopsItsServerOnly) {
  Start("a");
  for (const char* name : {"one", "other"}) {
    ASSERT_TRUE(On("a").StartCluster({.name = name, .machine = "counter"}, In(20)).ok());
  }
  EXPECT_EQ(Execute("a", "one"), "1");
  const Result<std::string> thrown = On("a").Execute("one", AsBytes("throw"), In(20));
  ASSERT_FALSE(thrown.ok());
  EXPECT_EQ(thrown.error().code, ErrorCode::kMachineFailed);
  EXPECT_THAT(thrown.error().message, ::testing::HasSubstr("asked to"));
  EXPECT_EQ(Execute("a", "other"), "1");
  const Result<ServerStatus> status = On("a").StatusOf("one", In(20));
  ASSERT_TRUE(status.ok() && status->stopped);
  EXPECT_EQ(status->stopped->code, ErrorCode::kMachineFailed);
}

TEST_F(Systems, SM12_B6_OthersGoOnWhereALeadersMachineFails) {
  FoundOnThree("three");
  EXPECT_EQ(Execute("a", "three"), "1");
  const std::string leader = On("a").AwaitLeader("three", In(20)).value();
  Counter::throws_at = On(leader).StatusOf("three", In(20)).value().uid;
  Counter::throws = true;
  const Result<std::string> failed = On(leader).Execute("three", AsBytes("count"), In(20));
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().code, ErrorCode::kMachineFailed);
  // It was committed, and counts where the machine is sound.
  EXPECT_EQ(Execute(leader == "a" ? "b" : "a", "three"), "3");
  EXPECT_EQ(Execute(leader, "three"), "4");
  Counter::throws = false;
}

// Whether it ran where the machine failed nobody knows; in a session it is found out.
TEST_F(Systems, CM2_SM12_ACommandInASessionOutlivesALeadersMachine) {
  FoundOnThree("three");
  const std::uint64_t session = On("a").OpenSession("three", In(20)).value();
  const std::string leader = On("a").AwaitLeader("three", In(20)).value();
  Counter::throws_at = On(leader).StatusOf("three", In(20)).value().uid;
  Counter::throws = true;
  const Result<std::string> answer =
      On(leader).ExecuteOnce("three", AsBytes("count"), {session, 1, 0}, In(20));
  Counter::throws = false;
  ASSERT_TRUE(answer.ok()) << answer.error().message;
  EXPECT_EQ(*answer, "1");
  EXPECT_EQ(Execute(leader, "three"), "2");
}

TEST_F(Systems, CL9_WhoIsStoppedLeadsNobody) {
  Start("a");
  ASSERT_TRUE(On("a").StartCluster({.name = "one", .machine = "counter"}, In(20)).ok());
  EXPECT_EQ(On("a").AwaitLeader("one", In(20)).value(), "a");
  ASSERT_TRUE(On("a").StopServer("one", In(20)).ok());
  const Result<std::string> leader = On("a").AwaitLeader("one", In(0));
  EXPECT_FALSE(leader.ok()) << *leader;
}

TEST_F(Systems, CL11_WhoWaitsForOutcomesOfAClosedSystemIsToldSo) {
  Start("a");
  Client client = On("a").NewClient();
  ASSERT_TRUE(On("a").Close(In(20)).ok());
  EXPECT_EQ(client.Wait(In(5)).error().code, ErrorCode::kClosed);
}

// A cluster at rest has no timer: only word of the leader itself wakes it.
TEST_F(Systems, B6_CL7_AnIdleClusterNoticesThatItsLeaderIsStopped) {
  FoundOnThree("one");
  EXPECT_EQ(Execute("a", "one"), "1");
  for (const char* node : {"a", "b", "c"}) AwaitIdle(node);
  const std::string leader = On("a").AwaitLeader("one", In(20)).value();
  ASSERT_TRUE(On(leader).StopServer("one", In(20)).ok());
  EXPECT_EQ(Execute(leader == "a" ? "b" : "a", "one"), "2");
  EXPECT_TRUE(On(leader).RestartServer("one", In(20)).ok());
  EXPECT_EQ(Execute(leader, "one"), "3");
}

TEST_F(Systems, CM9_CM11_WhatIsNoCommandIsRefusedBeforeItIsReplicated) {
  Start("a");
  ASSERT_TRUE(On("a").StartCluster({.name = "one", .machine = "counter"}, In(20)).ok());
  EXPECT_EQ(CodeOf("a", "one", "no"), ErrorCode::kInvalidArgument);
  EXPECT_EQ(CodeOf("a", "one", std::string(2u << 20, 'x')), ErrorCode::kTooLarge);
  EXPECT_EQ(CodeOf("a", "nobody", "count"), ErrorCode::kNotFound);
  EXPECT_EQ(Execute("a", "one"), "1");
}

TEST_F(Systems, CL6_CL7_AStoppedServerComesBackFromItsLog) {
  Start("a");
  ASSERT_TRUE(On("a").StartCluster({.name = "one", .machine = "counter"}, In(20)).ok());
  EXPECT_EQ(Execute("a", "one"), "1");
  EXPECT_EQ(On("a").RestartServer("one", In(20)).error().code, ErrorCode::kAlreadyExists);
  EXPECT_TRUE(On("a").StopServer("one", In(20)).ok());
  EXPECT_TRUE(On("a").StopServer("one", In(20)).ok());
  EXPECT_EQ(On("a").Execute("one", AsBytes("count"), In(20)).error().code, ErrorCode::kClosed);
  EXPECT_EQ(On("a").RestartServer("nobody", In(20)).error().code, ErrorCode::kNotFound);
  const Status restarted = On("a").RestartServer("one", In(20));
  ASSERT_TRUE(restarted.ok()) << restarted.error().message;
  EXPECT_EQ(Execute("a", "one"), "2");
}

TEST_F(Systems, EL6_LeadershipGoesWhereItIsWanted) {
  FoundOnThree("three");
  EXPECT_EQ(Execute("a", "three"), "1");
  const std::string leader = On("a").AwaitLeader("three", In(20)).value();
  const std::string other = leader == "a" ? "b" : "a";
  const Status moved = On("c").TransferLeadership("three", other, In(20));
  ASSERT_TRUE(moved.ok()) << moved.error().message;
  EXPECT_EQ(Execute("c", "three"), "2");
  EXPECT_EQ(On(other).AwaitLeader("three", In(20)).value(), other);
  EXPECT_EQ(On("a").TransferLeadership("three", "nowhere", In(20)).error().code,
            ErrorCode::kNotFound);
  // The member that is here is asked to campaign, and not who leads.
  ASSERT_TRUE(On("c").TriggerElection("three", In(20)).ok());
  ASSERT_TRUE(On("c").StopServer("three", In(20)).ok());
  EXPECT_EQ(On("c").TriggerElection("three", In(20)).error().code, ErrorCode::kClosed);
}

TEST_F(Systems, RD2_RD4_ALeaderAnswersByItsLease) {
  base_.clock_drift_margin = 20;
  FoundOnThree("three");
  EXPECT_EQ(Execute("a", "three"), "1");
  for (const Consistency how : {Consistency::kLease, Consistency::kLeader}) {
    for (const char* node : {"a", "b", "c"}) {
      const Result<std::string> asked = On(node).Query("three", {}, how, In(20));
      ASSERT_TRUE(asked.ok()) << asked.error().message;
      EXPECT_EQ(*asked, "1");
    }
  }
}

TEST_F(Systems, ME1_ME2_ME5_CL12_MembersComeAndGoWhileItCounts) {
  for (const char* node : {"a", "b", "c"}) Start(node);
  ASSERT_TRUE(On("a").StartCluster({.name = "one", .machine = "counter"}, In(20)).ok());
  EXPECT_EQ(Execute("a", "one"), "1");
  for (const char* node : {"b", "c"}) {
    const Result<bool> added = Soon([&] { return On("a").AddMember("one", node, In(20)); });
    ASSERT_TRUE(added.ok()) << added.error().message;
    EXPECT_TRUE(*added);
    EXPECT_EQ(On("a").AddMember("one", node, In(20)).value(), false);
  }
  EXPECT_EQ(Execute("b", "one"), "2");
  EXPECT_EQ(On("b").AddMember("one", "nowhere", In(20)).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(On("b").RemoveMember("one", "nowhere", In(20)).value(), false);
  AwaitVoters("b", 3);

  // The first goes, which may well lead; the others have all that it had.
  const Result<bool> removed = Soon([&] { return On("b").RemoveMember("one", "a", In(20)); });
  ASSERT_TRUE(removed.ok()) << removed.error().message;
  EXPECT_TRUE(*removed);
  EXPECT_EQ(Execute("c", "one"), "3");
  AwaitStopped("a");
  const std::string before = On("a").StatusOf("one", In(20))->uid;
  ASSERT_TRUE(On("a").ForceDeleteServer("one", In(20)).ok());
  EXPECT_EQ(On("a").ForceDeleteServer("one", In(20)).error().code, ErrorCode::kNotFound);
  const Result<bool> again = Soon([&] { return On("b").AddMember("one", "a", In(20)); });
  ASSERT_TRUE(again.ok()) << again.error().message;
  AwaitVoters("b", 3);
  EXPECT_NE(On("a").StatusOf("one", In(20))->uid, before);
  EXPECT_EQ(On("a").Query("one", {}, Consistency::kConsistent, In(20)).value(), "3");
}

// Its first word comes from somebody whom nothing that it has names.
TEST_F(Systems, A21_CL4_AMemberThatComesUnderALaterLeaderGetsTheLog) {
  for (const char* node : {"a", "b", "c"}) Start(node);
  ASSERT_TRUE(On("a").StartCluster({.name = "one", .machine = "counter"}, In(20)).ok());
  ASSERT_TRUE(Soon([&] { return On("a").AddMember("one", "b", In(20)); }).value());
  AwaitVoters("a", 2);
  ASSERT_TRUE(On("a").TransferLeadership("one", "b", In(20)).ok());
  EXPECT_EQ(Execute("a", "one"), "1");
  ASSERT_TRUE(Soon([&] { return On("a").AddMember("one", "c", In(20)); }).value());
  AwaitVoters("a", 3);
  EXPECT_EQ(Execute("c", "one"), "2");
  const Result<std::string> leader = On("c").AwaitLeader("one", In(5));
  ASSERT_TRUE(leader.ok()) << leader.error().message;
  EXPECT_EQ(*leader, "b");
}

TEST_F(Systems, A21_WhoWasDownWhileMembersCameFollowsOneOfThose) {
  FoundOnThree("one");
  Start("d");
  EXPECT_EQ(Execute("a", "one"), "1");
  Stop("c");
  ASSERT_TRUE(Soon([&] { return On("a").AddMember("one", "d", In(20)); }).value());
  AwaitVoters("a", 4);
  ASSERT_TRUE(On("a").TransferLeadership("one", "d", In(20)).ok());
  EXPECT_EQ(Execute("d", "one"), "2");
  Start("c");
  for (std::string seen; seen != "2"; std::this_thread::yield())
    seen = On("c").Query("one", {}, Consistency::kLocal, In(20)).value();
  EXPECT_EQ(On("a").AwaitLeader("one", In(20)).value(), "d");
}

TEST_F(Systems, CL6_C9_EachClusterIsBackWhateverTheWorkersAndShardsAre) {
  Start("a");
  for (int cluster = 0; cluster < 8; ++cluster) {
    ASSERT_TRUE(On("a").StartCluster({.name = std::to_string(cluster), .machine = "counter"},
                                     In(20)).ok());
  }
  std::uint64_t count = 0;
  const auto again = [&](std::uint64_t workers, std::uint64_t shards) {
    SCOPED_TRACE(std::to_string(workers) + " workers, " + std::to_string(shards) + " shards");
    Stop("a");
    base_.workers = workers;
    base_.storage.wal_shards = shards;
    Start("a");
    ++count;
    EXPECT_EQ(On("a").Clusters().size(), 8u);
    for (int cluster = 0; cluster < 8; ++cluster)
      EXPECT_EQ(Execute("a", std::to_string(cluster)), std::to_string(count));
  };
  again(3, 1);
  again(2, 2);
  again(3, 2);
}

TEST_F(Systems, RD1_AMemberAnswersLocallyWithoutTheOthers) {
  FoundOnThree("one");
  EXPECT_EQ(Execute("a", "one"), "1");
  for (const char* node : {"a", "b", "c"}) AwaitIdle(node);
  const std::string leader = On("a").AwaitLeader("one", In(20)).value();
  const std::string left = leader == "a" ? "b" : "a";
  for (const std::string node : {"a", "b", "c"}) {
    if (node != left) Stop(node);
  }
  const Result<std::string> asked = On(left).Query("one", {}, Consistency::kLocal, In(20));
  ASSERT_TRUE(asked.ok()) << asked.error().message;
  EXPECT_EQ(*asked, "1");
}

TEST_F(Systems, SM12_AMachineThatIsNotMadeStartsNothing) {
  no_machine_ = true;
  Start("a");
  for (const char* name : {"throws", "null"}) {
    const auto started = On("a").StartCluster({.name = name, .machine = name}, In(20));
    ASSERT_FALSE(started.ok());
    EXPECT_EQ(started.error().code, ErrorCode::kMachineFailed);
  }
  EXPECT_THAT(On("a").Clusters(), ::testing::IsEmpty());
}

// Done, or unknown: never nothing.
TEST_F(Systems, CM6_CM10_WhoIsUnderWayWhenASystemClosesHasAnOutcome) {
  Start("a");
  ASSERT_TRUE(On("a").StartCluster({.name = "one", .machine = "counter"}, In(20)).ok());
  ASSERT_TRUE(On("a").AwaitLeader("one", In(20)).ok());
  Client client = On("a").NewClient();
  constexpr std::uint64_t kCommands = 2000;
  for (std::uint64_t at = 0; at < kCommands; ++at) {
    ASSERT_TRUE(client.Send("one", at, AsBytes("count")).ok());
  }
  ASSERT_TRUE(On("a").Close(In(20)).ok());
  std::set<std::uint64_t> outcomes;
  for (const Outcome& outcome : client.Poll()) {
    EXPECT_TRUE(!outcome.error || outcome.error->code == ErrorCode::kClosed);
    EXPECT_TRUE(outcomes.insert(outcome.correlation).second);
  }
  EXPECT_EQ(outcomes.size(), kCommands);
  EXPECT_EQ(client.Send("one", 0, AsBytes("count")).error().code, ErrorCode::kClosed);
  EXPECT_EQ(On("a").Execute("one", {}, In(20)).error().code, ErrorCode::kClosed);
}

TEST_F(Systems, CL2_AStartThatWasCutShortIsNoServerAndCanBeMadeAgain) {
  {
    LogStoreOptions options;
    options.data_dir = DirectoryOf("a");
    LogStore store = LogStore::Open(options).value();
    Writer writer = store.NewWriter().value();
    ASSERT_TRUE(store.OpenLog(writer, "one", OpenMode::kCreate).ok());
  }
  Start("a");
  const Result<ServerStatus> status = On("a").StatusOf("one", In(20));
  ASSERT_TRUE(status.ok() && status->stopped);
  EXPECT_THAT(status->stopped->message, ::testing::HasSubstr("cut short"));
  const auto started = On("a").StartCluster({.name = "one", .machine = "counter"}, In(20));
  ASSERT_TRUE(started.ok()) << started.error().message;
  EXPECT_EQ(Execute("a", "one"), "1");
  EXPECT_EQ(On("a").StartCluster({.name = "one", .machine = "counter"}, In(20)).error().code,
            ErrorCode::kAlreadyExists);
}

TEST_F(Systems, CL3_AClusterThatCannotStartOnAMajorityStartsNowhere) {
  for (const char* node : {"a", "b"}) Start(node);
  const ClusterOptions cluster{
      .name = "three", .machine = "counter", .nodes = {"a", "b", "x", "y"}};
  EXPECT_EQ(On("a").StartCluster(cluster, In(20)).error().code, ErrorCode::kNotFound);
  EXPECT_THAT(On("a").Clusters(), ::testing::IsEmpty());
  EXPECT_THAT(On("b").Clusters(), ::testing::IsEmpty());
  EXPECT_EQ(
      On("a").StartCluster({.name = "two", .machine = "counter", .nodes = {"b", "b"}}, In(20))
          .error()
          .code,
      ErrorCode::kInvalidArgument);
  EXPECT_EQ(On("a").StartCluster({.name = "one", .machine = "none"}, In(20)).error().code,
            ErrorCode::kNotFound);
  ASSERT_TRUE(On("a").StartCluster({.name = "three", .machine = "counter", .nodes = {"a", "b"}},
                                   In(20)).ok());
  EXPECT_EQ(Execute("b", "three"), "1");
}

TEST_F(Systems, CL11_ASystemThatCannotOpenSaysWhatToDo) {
  Start("a");
  SystemOptions options = OptionsOf("a");
  options.storage.data_dir = DirectoryOf("other");
  const auto code = [&] {
    const Result<System> opened = System::Open(options);
    return opened.ok() ? ErrorCode{} : opened.error().code;
  };
  EXPECT_EQ(code(), ErrorCode::kAlreadyExists);  // A node of that name is there.
  options.node = "";
  EXPECT_EQ(code(), ErrorCode::kConfiguration);
  options.node = "other";
  options.workers = 65;
  EXPECT_EQ(code(), ErrorCode::kConfiguration);
  options.workers = 1;
  options.election_timeout_max = options.election_timeout_min - 1;
  EXPECT_EQ(code(), ErrorCode::kConfiguration);
}

TEST_F(Systems, CL6_ARestartKeepsIdentityTermAndLog) {
  FoundOnThree("one");
  for (const char* count : {"1", "2"}) EXPECT_EQ(Execute("a", "one"), count);
  for (const std::string node : {"a", "b", "c"}) {
    AwaitIdle(node);
    const ServerStatus before = On(node).StatusOf("one", In(20)).value();
    Stop(node);
    Start(node);
    const ServerStatus after = On(node).StatusOf("one", In(20)).value();
    EXPECT_EQ(after.uid, before.uid);
    EXPECT_GE(after.term, before.term);
    EXPECT_GE(after.last_index, before.last_index);
    EXPECT_EQ(after.members.size(), 3u);
  }
  EXPECT_EQ(Execute("b", "one"), "3");
}

TEST_F(Systems, CL7_WhatIsDeletedByForceLeavesNothing) {
  Start("a");
  for (const char* name : {"one", "other"}) {
    ASSERT_TRUE(On("a").StartCluster({.name = name, .machine = "counter"}, In(20)).ok());
    EXPECT_EQ(Execute("a", name), "1");
  }
  const std::string uid = On("a").StatusOf("one", In(20)).value().uid;
  ASSERT_TRUE(On("a").ForceDeleteServer("one", In(20)).ok());
  const auto gone = [&] {
    EXPECT_THAT(On("a").Clusters(), ::testing::ElementsAre("other"));
    EXPECT_EQ(On("a").StatusOf("one", In(20)).error().code, ErrorCode::kNotFound);
    EXPECT_EQ(On("a").MetricsOf("one").error().code, ErrorCode::kNotFound);
    EXPECT_EQ(On("a").RestartServer("one", In(20)).error().code, ErrorCode::kNotFound);
    EXPECT_EQ(On("a").Overview().servers, 1u);
    EXPECT_EQ(On("a").Leaderboard().size(), 1u);
    EXPECT_FALSE(std::filesystem::exists(DirectoryOf("a") + "/servers/" + uid));
  };
  gone();
  Stop("a");
  Start("a");
  gone();
  ASSERT_TRUE(On("a").StartCluster({.name = "one", .machine = "counter"}, In(20)).ok());
  EXPECT_EQ(Execute("a", "one"), "1");
  EXPECT_NE(On("a").StatusOf("one", In(20)).value().uid, uid);
  EXPECT_EQ(Execute("a", "other"), "2");
}

TEST_F(Systems, ME3_WhoseRemovalWouldLeaveTooFewStays) {
  FoundOnThree("one");
  ASSERT_NO_FATAL_FAILURE(Lead("a"));
  EXPECT_EQ(Execute("a", "one"), "1");
  Stop("c");
  const auto refusal = [this](const std::string& node) {
    for (;;) {
      const Result<bool> removed = On("a").RemoveMember("one", node, In(20));
      if (removed.ok()) return std::string("it was done");
      // A leader finds out within an election timeout who is gone.
      if (removed.error().code == ErrorCode::kRefused) return removed.error().message;
    }
  };
  EXPECT_THAT(refusal("b"), ::testing::HasSubstr("would_break_quorum"));
  EXPECT_EQ(Execute("a", "one"), "2");
  // Who is down may go, and then the others are enough.
  EXPECT_EQ(Soon([&] { return On("a").RemoveMember("one", "c", In(20)); }).value(), true);
  EXPECT_EQ(Soon([&] { return On("a").RemoveMember("one", "b", In(20)); }).value(), true);
  EXPECT_THAT(refusal("a"), ::testing::HasSubstr("last_member"));
  EXPECT_EQ(Execute("a", "one"), "3");
}

TEST_F(Systems, ME2_ME4_ALeaderThatIsRemovedHandsOverFirst) {
  base_.election_timeout_min = 500;  // Nobody else takes over meanwhile.
  base_.election_timeout_max = 1000;
  FoundOnThree("one");
  ASSERT_NO_FATAL_FAILURE(Lead("a"));
  EXPECT_EQ(Execute("a", "one"), "1");
  Client client = On("b").NewClient();
  constexpr std::uint64_t kCommands = 200;
  for (std::uint64_t at = 0; at < kCommands; ++at)
    ASSERT_TRUE(client.Send("one", at, AsBytes("count")).ok());
  EXPECT_EQ(Soon([&] { return On("b").RemoveMember("one", "a", In(20)); }).value(), true);
  AwaitStopped("a");
  std::uint64_t done = 0;
  std::uint64_t unknown = 0;  // It may be gone before it has seen what became of them.
  for (const Outcome& outcome : Take(client, kCommands)) {
    done += outcome.error ? 0 : 1;
    unknown += outcome.error && outcome.error->code == ErrorCode::kTimeout ? 1 : 0;
  }
  while (On("b").AwaitLeader("one", In(20)).value() == "a") std::this_thread::yield();
  const std::uint64_t count = std::stoull(Execute("c", "one"));
  EXPECT_GE(count, done + 2);
  EXPECT_LE(count, done + unknown + 2);
  EXPECT_EQ(On("b").StatusOf("one", In(20)).value().members.size(), 2u);
}

}  // namespace
}  // namespace duramen
