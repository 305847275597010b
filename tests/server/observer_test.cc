// What observers are told, and by whom: real threads, a real disk.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/server/journal.h"
#include "tests/server/systems_fixture.h"

namespace duramen {
namespace {

using testing::In;
using testing::Journal;

class Counter final : public Machine {
 public:
  void Apply(std::span<const Command> commands, Effects& effects) override {
    for (std::size_t at = 0; at < commands.size(); ++at)
      effects.Reply(at, std::to_string(++count_));
  }
  Status Query(Bytes query, std::string& answer) const override {
    if (AsText(query) == "no") return Error{ErrorCode::kInvalidArgument, "no is no question", ""};
    answer = std::to_string(count_);
    return {};
  }

 private:
  std::uint64_t count_ = 0;
};

/// Writes down what it is told, each line in words.
class Clerk final : public Observer {
 public:
  explicit Clerk(Journal& journal) : journal_(journal) {}
  void OnCommitted(const Observed& server, std::span<const Command> commands,
                   std::span<const std::string_view> answers) override {
    if (commands.size() != answers.size()) journal_.Add("not an answer for each");
    for (std::size_t at = 0; at < commands.size(); ++at) {
      const bool of_term = commands[at].meta.term == server.term;
      Add(std::string(AsText(commands[at].payload)) + " -> " + std::string(answers[at]) +
          (of_term ? "" : " of another term"));
    }
    if (CountOf(server) < answers.back()) journal_.Add("a machine that has not applied it");
    Throw();
  }
  void OnAnswered(const Observed&, Bytes query, std::string_view answer) override {
    Add(std::string(AsText(query)) + " ? " + std::string(answer));
    Throw();
  }
  void OnMemberAdded(const Observed&, std::string_view node) override {
    Add("added " + std::string(node));
    Throw();
  }
  void OnMemberRemoved(const Observed&, std::string_view node) override {
    Add("removed " + std::string(node));
    Throw();
  }
  void OnElected(const Observed& server) override {
    Add(std::string(server.node) + " elected in " + std::string(server.cluster) + " with " +
        CountOf(server));
    Throw();
  }
  void OnRestored(const Observed& server, Index applied) override {
    Add(std::string(server.node) + " restored" + (applied > 0 ? " something" : ""));
    Throw();
  }
  std::atomic<bool> throws{false};

 private:
  static std::string CountOf(const Observed& server) {
    std::string count;
    (void)server.machine.Query({}, count);
    return count;
  }
  void Add(const std::string& line) { journal_.Add(line); }
  void Throw() const {
    if (throws.load()) throw std::runtime_error("asked to");
  }

  Journal& journal_;
};

class Observers : public testing::SystemsFixture {
 protected:
  Observers() {
    base_.observer = clerk_;
    // What a leader that falls leaves untold is not what is tested.
    base_.election_timeout_min = 500;
    base_.election_timeout_max = 1000;
    base_.heartbeat_interval = 100;
  }
  ~Observers() override { CloseAll(); }
  std::vector<MachineType> MachinesOf(const std::string&) override {
    return {{"counter", [] { return std::make_unique<Counter>(); }}};
  }
  void Found() { FoundOn({"a", "b", "c"}, {.name = "one", .machine = "counter"}); }

  Journal journal_;
  std::shared_ptr<Clerk> clerk_ = std::make_shared<Clerk>(journal_);
};

TEST_F(Observers, SM3_WhatIsCommittedAndAnsweredIsToldOnceByTheLeader) {
  ASSERT_NO_FATAL_FAILURE(Found());
  ASSERT_NO_FATAL_FAILURE(Lead("a"));
  EXPECT_EQ(Execute("b", "one", "first"), "1");
  const std::uint64_t session = On("a").OpenSession("one", In(20)).value();
  for (int times = 0; times < 3; ++times) {
    EXPECT_EQ(On("b").ExecuteOnce("one", AsBytes("again"), {session, 1, 0}, In(20)).value(), "2");
  }
  EXPECT_EQ(journal_.Count("first -> 1"), 1u);
  EXPECT_EQ(journal_.Count("again -> 2"), 1u);
  const auto ask = [this](const std::string& node, std::string_view query, Consistency how) {
    return On(node).Query("one", AsBytes(query), how, In(20));
  };
  EXPECT_EQ(ask("b", "consistent", Consistency::kConsistent).value(), "2");
  EXPECT_EQ(ask("b", "leader", Consistency::kLeader).value(), "2");
  EXPECT_EQ(ask("c", "through", Consistency::kThroughLog).value(), "2");
  EXPECT_EQ(ask("a", "near", Consistency::kLocal).value(), "2");
  EXPECT_TRUE(ask("b", "far", Consistency::kLocal).ok());
  EXPECT_FALSE(ask("a", "no", Consistency::kConsistent).ok());
  for (const char* query : {"consistent", "leader", "through", "near"})
    EXPECT_EQ(journal_.Count(std::string(query) + " ? 2"), 1u) << query;
  EXPECT_EQ(journal_.Count("far ? 1") + journal_.Count("far ? 2"), 0u);
  EXPECT_EQ(journal_.Count("no ? "), 0u);
  EXPECT_EQ(journal_.Count("not an answer for each"), 0u);
  EXPECT_EQ(journal_.Count("a machine that has not applied it"), 0u);
}

TEST_F(Observers, SM3_ALogThatIsReadAgainIsRestoredAndNotToldAgain) {
  ASSERT_NO_FATAL_FAILURE(Found());
  EXPECT_EQ(Execute("a", "one", "first"), "1");
  for (const char* node : {"a", "b", "c"}) {
    AwaitIdle(node);
    EXPECT_EQ(journal_.Count(std::string(node) + " restored") +
                  journal_.Count(std::string(node) + " restored something"),
              0u);
  }
  for (const char* node : {"a", "b", "c"}) Stop(node);
  for (const char* node : {"a", "b", "c"}) Start(node);
  EXPECT_EQ(Execute("a", "one", "second"), "2");
  EXPECT_EQ(journal_.Count("first -> 1"), 1u);
  EXPECT_EQ(journal_.Count("second -> 2"), 1u);
  for (const char* node : {"a", "b", "c"})
    journal_.Await(std::string(node) + " restored something");
}

TEST_F(Observers, SM3_WhoIsElectedHasWhatWasThereBeforeAndTellsOfMembers) {
  ASSERT_NO_FATAL_FAILURE(Found());
  Start("d");
  ASSERT_NO_FATAL_FAILURE(Lead("a"));
  for (const char* count : {"1", "2", "3"}) EXPECT_EQ(Execute("a", "one"), count);
  ASSERT_NO_FATAL_FAILURE(Lead("b"));
  journal_.Await("b elected in one with 3");
  ASSERT_TRUE(Soon([&] { return On("a").AddMember("one", "d", In(20)); }).value());
  AwaitVoters("b", 4);
  ASSERT_NO_FATAL_FAILURE(Lead("c"));
  ASSERT_TRUE(Soon([&] { return On("a").RemoveMember("one", "d", In(20)); }).value());
  EXPECT_EQ(Execute("a", "one"), "4");
  EXPECT_EQ(journal_.Count("added d"), 1u);
  EXPECT_EQ(journal_.Count("removed d"), 1u);
  EXPECT_EQ(journal_.Count("count -> 4"), 1u);
  EXPECT_EQ(journal_.Count("count -> 4 of another term"), 0u);
}

TEST_F(Observers, SM3_WhatAnObserverThrowsIsCountedAndChangesNothing) {
  clerk_->throws = true;
  ASSERT_NO_FATAL_FAILURE(Found());
  ASSERT_NO_FATAL_FAILURE(Lead("a"));
  for (const char* count : {"1", "2", "3"}) EXPECT_EQ(Execute("b", "one"), count);
  EXPECT_EQ(On("b").Query("one", {}, Consistency::kConsistent, In(20)).value(), "3");
  std::uint64_t failures = 0;
  for (const char* node : {"a", "b", "c"}) {
    EXPECT_FALSE(On(node).StatusOf("one", In(20)).value().stopped);
    failures += On(node).MetricsOf("one").value().observer_failures;
  }
  EXPECT_GE(failures, 5u);  // One election at least, three commands, a query.
}

}  // namespace
}  // namespace duramen
