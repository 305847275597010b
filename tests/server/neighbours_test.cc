// A system whose neighbours are the test: what reaches it late, twice or from who is gone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "server/command.h"
#include "server/local_network.h"
#include "tests/server/systems_fixture.h"

namespace duramen {
namespace {

using testing::In;

class Counter final : public Machine {
 public:
  Counter() { ++made; }
  void Apply(std::span<const Command> commands, Effects& effects) override {
    for (std::size_t at = 0; at < commands.size(); ++at)
      effects.Reply(at, std::to_string(++count_));
  }
  Status Query(Bytes query, std::string& answer) const override {
    if (AsText(query) == "wait") {
      std::unique_lock lock(mutex);
      ++waiting;
      changed.notify_all();
      changed.wait(lock, [] { return open; });
    }
    answer = std::to_string(count_);
    return {};
  }
  static inline std::atomic<int> made{0};
  static inline std::mutex mutex;
  static inline std::condition_variable changed;
  static inline int waiting = 0;
  static inline bool open = false;

 private:
  std::uint64_t count_ = 0;
};

/// A node that is the test's.
class Stranger final : public server::Neighbour {
 public:
  void Deliver(std::vector<server::Parcel> parcels) override {
    for (const server::Parcel& parcel : parcels) {
      if (const auto* envelope = std::get_if<server::Envelope>(&parcel); envelope && hears)
        hears(envelope->message);
    }
    const std::lock_guard lock(mutex_);
    for (server::Parcel& parcel : parcels) parcels_.push_back(std::move(parcel));
    changed_.notify_all();
  }
  void OnNode(const std::string&, std::optional<std::uint64_t>) override {}
  std::shared_ptr<server::Errand> Prepare(const ClusterOptions& cluster) override {
    auto errand = std::make_shared<server::Errand>();
    const Result<ServerUid> made = prepare ? prepare(cluster) : Result<ServerUid>(uid);
    if (made.ok()) errand->uid = *made;
    if (!made.ok()) errand->result = made.error();
    errand->Finish();
    return errand;
  }
  std::shared_ptr<server::Errand> Begin(const ClusterOptions&, const server::Birth& given,
                                        const ServerUid&, Deadline) override {
    birth = given;
    if (begun) begun();
    auto errand = std::make_shared<server::Errand>();
    if (begin) errand->result = begin();
    errand->Finish();
    return errand;
  }
  void Abandon(const std::string&, ClusterId, Deadline) override { ++abandoned; }

  /// The next parcel of that kind; those before it are gone.
  template <typename Kind>
  std::optional<Kind> Next(std::function<bool(const Kind&)> wanted = {}) {
    std::unique_lock lock(mutex_);
    std::optional<Kind> found;
    const auto take = [&] {
      while (!parcels_.empty() && !found) {
        server::Parcel parcel = std::move(parcels_.front());
        parcels_.erase(parcels_.begin());
        if (auto* kind = std::get_if<Kind>(&parcel); kind && (!wanted || wanted(*kind)))
          found = std::move(*kind);
      }
      return found.has_value();
    };
    (void)changed_.wait_until(lock, In(20), take);
    return found;
  }
  ServerUid uid = [] {
    ServerUid one;
    one.bytes.fill(7);
    return one;
  }();
  server::Birth birth;
  std::function<Result<ServerUid>(const ClusterOptions&)> prepare;
  std::function<Status()> begin;
  std::function<void(const core::Message&)> hears;  // in the thread of who says it
  std::function<void()> begun;
  int abandoned = 0;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<server::Parcel> parcels_;
};

class Neighbours : public testing::SystemsFixture {
 protected:
  Neighbours() {
    EXPECT_TRUE(network().Join("b", 1, stranger_).ok());
    Counter::open = false;
    Counter::waiting = 0;
  }
  ~Neighbours() override {
    CloseAll();
    network().Leave("b");
  }
  std::vector<MachineType> MachinesOf(const std::string&) override {
    return {{"counter", [] { return std::make_unique<Counter>(); }}};
  }
  server::Network& network() { return network_->impl().network; }
  void Start() {
    base_.workers = 1;
    base_.election_timeout_min = min_;
    base_.election_timeout_max = 2 * min_;
    base_.heartbeat_interval = min_ / 4;
    base_.inbox_bytes_max = inbox_bytes_;
    system_ = &SystemsFixture::Start("a");
  }
  void Stop() { SystemsFixture::Stop("a"); }
  void FoundWithStranger() {
    stranger_.begun = [this] {
      for (const core::Member& member : stranger_.birth.configuration.members)
        if (member.node == "a") uid_ = member.uid;
    };
    const auto started = system_->StartCluster(
        {.name = "one", .machine = "counter", .nodes = {"a", "b"}}, In(20));
    ASSERT_TRUE(started.ok()) << started.error().message;
  }
  void Lead(bool quiet = false) {
    core::AppendEntries append;
    append.quiet = quiet;
    Say(append);
  }
  /// Grants what it is asked for, and says that it has what it was sent.
  void Follow() {
    stranger_.hears = [this](const core::Message& message) {
      if (const auto* asked = std::get_if<core::PreVoteRequest>(&message.body))
        Say(core::PreVoteReply{.token = asked->token, .granted = true}, message.term);
      if (std::holds_alternative<core::VoteRequest>(message.body))
        Say(core::VoteReply{.granted = true}, message.term);
      const auto* append = std::get_if<core::AppendEntries>(&message.body);
      if (append == nullptr || silent_) return;
      Say(core::AppendReply{.success = true,
                            .match = append->end() - 1,
                            .last_index = append->end() - 1,
                            .round = append->round,
                            .sent_at = append->sent_at,
                            .standing = standing_,
                            .fault = standing_ == core::Standing::kFaulty ? 1u : 0u,
                            .number = ++number_},
          message.term);
    };
  }
  void Say(core::MessageBody body, Term term = 1) {
    server::Envelope envelope;
    envelope.message = {.cluster = stranger_.birth.cluster,
                        .from = stranger_.uid,
                        .to = uid_,
                        .boot = 1,
                        .term = term,
                        .body = std::move(body)};
    Give(std::move(envelope));
  }
  /// Nobody hears it while the system closes.
  void Give(server::Parcel parcel) {
    std::vector<server::Parcel> parcels;
    parcels.push_back(std::move(parcel));
    (void)network().Send("a", std::move(parcels));
  }
  void Answer(const server::Request& request, std::string answer) {
    Give(server::Response{request.asker.client, request.asker.call,
                          {.correlation = request.asker.correlation, .answer = answer}});
  }

  std::uint64_t min_ = 10'000;
  std::uint64_t inbox_bytes_ = 64u << 20;
  std::atomic<bool> silent_{false};
  std::atomic<core::Standing> standing_{core::Standing::kSound};
  std::atomic<std::uint64_t> number_{0};
  Stranger stranger_;
  ServerUid uid_;
  System* system_ = nullptr;
};

TEST_F(Neighbours, CM6_AnAnswerToAnEarlierLifeIsNoAnswerToThisOne) {
  ASSERT_NO_FATAL_FAILURE(Start());
  ASSERT_NO_FATAL_FAILURE(FoundWithStranger());
  Lead();
  ASSERT_EQ(system_->AwaitLeader("one", In(20)).value(), "b");
  std::optional<server::Request> first;
  {
    Client client = system_->NewClient();
    ASSERT_TRUE(client.Send("one", 7, AsBytes("first")).ok());
    first = stranger_.Next<server::Request>();
    ASSERT_TRUE(first);
  }
  Stop();
  ASSERT_NO_FATAL_FAILURE(Start());
  Lead();
  ASSERT_EQ(system_->AwaitLeader("one", In(20)).value(), "b");
  // As many clients as the life before had.
  for (int clients = 0; clients < 20; ++clients) {
    Client client = system_->NewClient();
    ASSERT_TRUE(client.Send("one", 7, AsBytes("second")).ok());
    ASSERT_TRUE(stranger_.Next<server::Request>());
    Answer(*first, "of the first");
    EXPECT_THAT(client.Poll(), ::testing::IsEmpty()) << "client " << clients;
  }
}

TEST_F(Neighbours, CM6_AnAnswerThatComesAfterItsOutcomeIsNoAnswerToTheNext) {
  ASSERT_NO_FATAL_FAILURE(Start());
  ASSERT_NO_FATAL_FAILURE(FoundWithStranger());
  Lead();
  ASSERT_EQ(system_->AwaitLeader("one", In(20)).value(), "b");
  Client client = system_->NewClient();
  ASSERT_TRUE(client.Send("one", 7, AsBytes("first")).ok());
  const std::optional<server::Request> first = stranger_.Next<server::Request>();
  ASSERT_TRUE(first);
  network().Leave("b");  // Its threads still run.
  ASSERT_TRUE(client.Wait(In(20)).ok());
  const std::span<const Outcome> unknown = client.Poll();
  ASSERT_EQ(unknown.size(), 1u);
  ASSERT_EQ(unknown[0].error->code, ErrorCode::kTimeout);
  ASSERT_TRUE(network().Join("b", 2, stranger_).ok());
  core::AppendEntries append;
  server::Envelope envelope;
  envelope.message = {.cluster = stranger_.birth.cluster, .from = stranger_.uid, .to = uid_,
                      .boot = 2, .term = 2, .body = append};
  Give(std::move(envelope));
  ASSERT_EQ(system_->AwaitLeader("one", In(20)).value(), "b");
  ASSERT_TRUE(client.Send("one", 7, AsBytes("second")).ok());
  const std::optional<server::Request> second = stranger_.Next<server::Request>();
  ASSERT_TRUE(second);
  Answer(*first, "of the first");
  EXPECT_THAT(client.Poll(), ::testing::IsEmpty());
  Answer(*second, "of the second");
  const std::span<const Outcome> outcomes = client.Poll();
  ASSERT_EQ(outcomes.size(), 1u);
  EXPECT_EQ(outcomes[0].answer, "of the second");
}

TEST_F(Neighbours, B6_NW2_WordOfALeaderThatStoppedIsNotLostInACrowd) {
  min_ = 100;
  inbox_bytes_ = 64u << 10;
  ASSERT_NO_FATAL_FAILURE(Start());
  ASSERT_NO_FATAL_FAILURE(FoundWithStranger());
  Lead(true);
  ASSERT_EQ(system_->AwaitLeader("one", In(20)).value(), "b");
  for (bool idle = false; !idle; std::this_thread::yield())
    idle = system_->StatusOf("one", In(20)).value().idle;
  std::thread asks([&] {
    (void)system_->Query("one", AsBytes("wait"), Consistency::kLocal, In(20));
  });
  {
    std::unique_lock lock(Counter::mutex);
    Counter::changed.wait(lock, [] { return Counter::waiting > 0; });
  }
  // A crowd that means nothing: of a cluster that is not this one.
  server::Envelope crowd;
  crowd.message = {.cluster = stranger_.birth.cluster + 1, .from = stranger_.uid, .to = uid_,
                   .boot = 1, .term = 1, .body = core::AppendEntries{}};
  crowd.payloads.push_back({.bytes = std::vector<std::byte>(256u << 10)});
  Give(std::move(crowd));
  Give(server::PeerNotice{.to = uid_, .about = stranger_.uid, .boot = std::nullopt});
  {
    const std::lock_guard lock(Counter::mutex);
    Counter::open = true;
  }
  Counter::changed.notify_all();
  asks.join();
  const auto asks_votes = [](const server::Envelope& envelope) {
    return std::holds_alternative<core::PreVoteRequest>(envelope.message.body);
  };
  EXPECT_TRUE(stranger_.Next<server::Envelope>(asks_votes)) << "nobody leads, and nobody minds";
}

TEST_F(Neighbours, CL3_AStartThatIsTakenBackLeavesWhatAnotherStarted) {
  ASSERT_NO_FATAL_FAILURE(Start());
  stranger_.prepare = [&](const ClusterOptions&) -> Result<ServerUid> {
    const auto other = system_->StartCluster({.name = "one", .machine = "counter"}, In(20));
    EXPECT_TRUE(other.ok()) << other.error().message;
    EXPECT_EQ(system_->Execute("one", AsBytes("count"), In(20)).value(), "1");
    return Error{ErrorCode::kNotFound, "no such machine", ""};
  };
  const auto started =
      system_->StartCluster({.name = "one", .machine = "counter", .nodes = {"a", "b"}}, In(20));
  EXPECT_FALSE(started.ok());
  const Result<std::string> after = system_->Execute("one", AsBytes("count"), In(20));
  EXPECT_TRUE(after.ok()) << after.error().message;
  if (after.ok()) {
    EXPECT_EQ(*after, "2");
  }
}

TEST_F(Neighbours, CL12_WhoIsAddedByTwoAtOnceIsNotTakenBack) {
  ASSERT_NO_FATAL_FAILURE(Start());
  ASSERT_TRUE(system_->StartCluster({.name = "one", .machine = "counter"}, In(20)).ok());
  stranger_.begin = [] { return Error{ErrorCode::kAlreadyExists, "somebody else has", ""}; };
  EXPECT_EQ(system_->AddMember("one", "b", In(20)).error().code, ErrorCode::kAlreadyExists);
  EXPECT_EQ(stranger_.abandoned, 0);
  stranger_.begin = [] { return Error{ErrorCode::kMachineFailed, "it throws in Init", ""}; };
  EXPECT_EQ(system_->AddMember("one", "b", In(20)).error().code, ErrorCode::kMachineFailed);
  EXPECT_EQ(stranger_.abandoned, 1);
}

TEST_F(Neighbours, EL6_CM4_WhatComesWhileLeadershipMovesWaits) {
  min_ = 100;
  ASSERT_NO_FATAL_FAILURE(Start());
  Follow();
  ASSERT_NO_FATAL_FAILURE(FoundWithStranger());
  ASSERT_EQ(system_->Execute("one", AsBytes("count"), In(20)).value(), "1");
  std::thread moves([&] { (void)system_->TransferLeadership("one", "b", In(20)); });
  ASSERT_TRUE(stranger_.Next<server::Envelope>([](const server::Envelope& envelope) {
    return std::holds_alternative<core::TimeoutNow>(envelope.message.body);
  }));
  // Nobody takes it.
  const Result<std::string> answer = system_->Execute("one", AsBytes("count"), In(20));
  EXPECT_TRUE(answer.ok()) << answer.error().message;
  moves.join();
}

TEST_F(Neighbours, A3_A4_WhatAnEarlierLifeSaidOfItselfIsVoid) {
  min_ = 100;
  ASSERT_NO_FATAL_FAILURE(Start());
  Follow();
  ASSERT_NO_FATAL_FAILURE(FoundWithStranger());
  for (const char* count : {"1", "2", "3"})
    ASSERT_EQ(system_->Execute("one", AsBytes("count"), In(20)).value(), count);
  // It is stopped, and started again: as a server of such a system says it.
  Give(server::PeerNotice{.to = uid_, .about = stranger_.uid, .boot = std::nullopt});
  standing_ = core::Standing::kFaulty;
  number_ = 0;
  Give(server::PeerNotice{.to = uid_, .about = stranger_.uid, .boot = 1});
  const Result<std::string> answer = system_->Execute("one", AsBytes("count"), In(1));
  EXPECT_FALSE(answer.ok()) << "a faulty member counted: " << *answer;
}

TEST_F(Neighbours, CL6_ARestartOfWhatRunsMakesNoSecondMachine) {
  ASSERT_NO_FATAL_FAILURE(Start());
  ASSERT_TRUE(system_->StartCluster({.name = "one", .machine = "counter"}, In(20)).ok());
  const int before = Counter::made;
  EXPECT_EQ(system_->RestartServer("one", In(20)).error().code, ErrorCode::kAlreadyExists);
  EXPECT_EQ(Counter::made, before);
}

/// One word may come too early, or to nobody: it is said again until it is answered.
TEST_F(Neighbours, CL8_AFarewellIsSaidUntilItIsAnswered) {
  min_ = 100;
  ASSERT_NO_FATAL_FAILURE(Start());
  Follow();
  ASSERT_NO_FATAL_FAILURE(FoundWithStranger());
  ASSERT_TRUE(system_->AwaitLeader("one", In(20)).ok());
  const Status deleted = system_->DeleteCluster("one", In(20));
  ASSERT_TRUE(deleted.ok()) << deleted.error().message;
  const auto first = stranger_.Next<server::Farewell>();
  const auto again = stranger_.Next<server::Farewell>();
  ASSERT_TRUE(first && again);
  EXPECT_EQ(again->to, stranger_.uid);
  EXPECT_THAT(system_->Clusters(), ::testing::ElementsAre("one"));
  Give(server::Farewell{
      .to = first->about, .about = stranger_.uid, .node = "b", .deleted = {}, .reply = true});
  while (!system_->Clusters().empty()) std::this_thread::yield();
  // Who is gone answers for itself.
  Give(server::Farewell{.to = first->about, .about = stranger_.uid, .node = "b", .deleted = {}});
  const auto gone =
      stranger_.Next<server::Farewell>([](const server::Farewell& one) { return one.reply; });
  ASSERT_TRUE(gone.has_value());
  EXPECT_TRUE(gone->reply);
  EXPECT_EQ(gone->about, first->about);
}

TEST_F(Neighbours, CL2_AClusterOfTooManyIsRefusedAndLeavesNothing) {
  ASSERT_NO_FATAL_FAILURE(Start());
  std::vector<std::unique_ptr<Stranger>> many;
  ClusterOptions cluster{.name = "many", .machine = "counter", .nodes = {"a"}};
  for (int at = 0; at < 64; ++at) {
    many.push_back(std::make_unique<Stranger>());
    many.back()->uid.bytes.fill(static_cast<std::uint8_t>(at + 1));
    cluster.nodes.push_back("s" + std::to_string(at));
    ASSERT_TRUE(network().Join(cluster.nodes.back(), 1, *many.back()).ok());
  }
  const auto started = system_->StartCluster(cluster, In(20));
  ASSERT_FALSE(started.ok());
  EXPECT_EQ(started.error().code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(system_->Clusters(), ::testing::IsEmpty());
  EXPECT_TRUE(system_->StartCluster({.name = "many", .machine = "counter"}, In(20)).ok());
  for (const std::string& node : cluster.nodes)
    if (node != "a") network().Leave(node);
}

// The stranger says nothing more, so nothing is committed.
TEST_F(Neighbours, ME1_ASecondChangeIsRefusedWhileTheFirstIsUnderWay) {
  min_ = 2000;  // For so long it leads without an answer.
  ASSERT_NO_FATAL_FAILURE(Start());
  Follow();
  ASSERT_NO_FATAL_FAILURE(FoundWithStranger());
  ASSERT_EQ(system_->Execute("one", AsBytes("count"), In(20)).value(), "1");
  Stranger third;
  third.uid.bytes.fill(8);
  ASSERT_TRUE(network().Join("c", 1, third).ok());
  silent_ = true;
  Result<bool> first = Error{};
  std::thread adds([&] { first = system_->AddMember("one", "c", In(20)); });
  const auto changes = [](const server::Envelope& envelope) {
    const auto* append = std::get_if<core::AppendEntries>(&envelope.message.body);
    return append != nullptr &&
           std::ranges::any_of(append->specials, [](const core::SpecialEntry& special) {
             return special.configuration && special.configuration->members.size() == 3;
           });
  };
  EXPECT_TRUE(stranger_.Next<server::Envelope>(changes));
  const Result<bool> second = system_->RemoveMember("one", "b", In(20));
  silent_ = false;
  adds.join();
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code, ErrorCode::kRefused);
  EXPECT_THAT(second.error().message, ::testing::HasSubstr("change_in_progress"));
  ASSERT_TRUE(first.ok()) << first.error().message;
  EXPECT_TRUE(*first);
  EXPECT_EQ(system_->Execute("one", AsBytes("count"), In(20)).value(), "2");
  network().Leave("c");
}

// It has nothing yet, and says nothing, so it stays without a vote.
TEST_F(Neighbours, EL6_EL10_WhoCannotLeadIsNotHandedTo) {
  ASSERT_NO_FATAL_FAILURE(Start());
  ASSERT_TRUE(system_->StartCluster({.name = "one", .machine = "counter"}, In(20)).ok());
  EXPECT_EQ(system_->Execute("one", AsBytes("count"), In(20)).value(), "1");
  const Result<bool> added = system_->AddMember("one", "b", In(20));
  ASSERT_TRUE(added.ok()) << added.error().message;
  EXPECT_EQ(system_->AddMember("one", "b", In(20)).value(), false);
  const auto refusal = [this](const std::string& node) {
    const Status moved = system_->TransferLeadership("one", node, In(20));
    return moved.ok() ? "it was done" : moved.error().message;
  };
  EXPECT_THAT(refusal("b"), ::testing::HasSubstr("non_voter"));
  EXPECT_THAT(refusal("a"), ::testing::HasSubstr("already_leader"));
  EXPECT_THAT(refusal("c"), ::testing::HasSubstr("no member"));
  const Result<bool> last = system_->RemoveMember("one", "a", In(20));
  ASSERT_FALSE(last.ok());
  EXPECT_EQ(last.error().code, ErrorCode::kRefused) << last.error().message;
  EXPECT_EQ(system_->Execute("one", AsBytes("count"), In(20)).value(), "2");
  EXPECT_EQ(system_->RemoveMember("one", "b", In(20)).value(), true);
  EXPECT_EQ(system_->Execute("one", AsBytes("count"), In(20)).value(), "3");
}

// It is elected, and hears nothing more.
TEST_F(Neighbours, ME6_RD3_ALeaderThatNobodyAnswersChangesNothingAndReadsNothing) {
  min_ = 2000;
  ASSERT_NO_FATAL_FAILURE(Start());
  silent_ = true;
  Follow();
  ASSERT_NO_FATAL_FAILURE(FoundWithStranger());
  ASSERT_EQ(system_->AwaitLeader("one", In(20)).value(), "a");
  const Result<bool> changed = system_->RemoveMember("one", "b", In(1));
  ASSERT_FALSE(changed.ok());  // Of not_ready and of the deadline one comes first.
  EXPECT_TRUE(changed.error().code == ErrorCode::kOverloaded ||
              changed.error().code == ErrorCode::kTimeout)
      << changed.error().message;
  const Result<std::string> read = system_->Query("one", {}, Consistency::kConsistent, In(1));
  EXPECT_FALSE(read.ok()) << *read;
  silent_ = false;
  const Result<std::string> later = system_->Query("one", {}, Consistency::kConsistent, In(20));
  ASSERT_TRUE(later.ok()) << later.error().message;
  EXPECT_EQ(*later, "0");
  EXPECT_EQ(system_->StatusOf("one", In(20)).value().members.size(), 2u);
  // And again, once it has committed something.
  EXPECT_EQ(system_->Execute("one", AsBytes("count"), In(20)).value(), "1");
  silent_ = true;
  EXPECT_FALSE(system_->Query("one", {}, Consistency::kConsistent, In(1)).ok());
}

TEST_F(Neighbours, CM3_WhoDoesNotLeadNamesTheLeader) {
  ASSERT_NO_FATAL_FAILURE(Start());
  ASSERT_NO_FATAL_FAILURE(FoundWithStranger());
  Lead();
  ASSERT_EQ(system_->AwaitLeader("one", In(20)).value(), "b");
  server::Request request{.ask = server::Ask::kCommand, .cluster = "one"};
  request.asker = {.node = "b", .client = 5};
  request.payload = server::EncodeCommand({.payload = AsBytes("count")});
  Give(std::move(request));
  const auto refused = stranger_.Next<server::Response>();
  ASSERT_TRUE(refused && refused->outcome.error);
  EXPECT_EQ(refused->outcome.error->code, ErrorCode::kNotLeader);
  EXPECT_EQ(refused->outcome.leader, "b");
  // Told so, a client that waits for no retry has it in its outcome.
  Client client = system_->NewClient();
  ASSERT_TRUE(client.Send("one", 7, AsBytes("count")).ok());
  const auto asked = stranger_.Next<server::Request>();
  ASSERT_TRUE(asked);
  Give(server::Response{asked->asker.client, asked->asker.call,
                        {.error = Error{ErrorCode::kNotLeader, "no longer", ""}, .leader = "c"}});
  ASSERT_TRUE(client.Wait(In(20)).ok());
  const std::span<const Outcome> outcomes = client.Poll();
  ASSERT_EQ(outcomes.size(), 1u);
  EXPECT_EQ(outcomes[0].error.value().code, ErrorCode::kNotLeader);
  EXPECT_EQ(outcomes[0].leader, "c");
}

}  // namespace
}  // namespace duramen
