// Systems of one process on a real disk, for tests: one network, a directory for each node, all
// gone with the test. One thread's. A test whose machines use what it owns calls CloseAll before
// that goes.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "base/bytes.h"
#include "duramen/system.h"

namespace duramen::testing {

inline Deadline In(int seconds) {
  return std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
}

class SystemsFixture : public ::testing::Test {
 protected:
  SystemsFixture() {
    base_.storage.memory_budget = 64u << 20;
    base_.workers = 2;
    base_.election_timeout_min = 100;
    base_.election_timeout_max = 200;
    base_.heartbeat_interval = 25;
  }
  ~SystemsFixture() override {
    CloseAll();
    std::filesystem::remove_all(root_);
  }
  void CloseAll() { systems_.clear(); }

  virtual std::vector<MachineType> MachinesOf(const std::string& node) = 0;

  std::string DirectoryOf(const std::string& node) const { return root_ + "/" + node; }
  /// `base_` on that node.
  SystemOptions OptionsOf(const std::string& node) {
    SystemOptions options = base_;
    options.storage.data_dir = DirectoryOf(node);
    options.node = node;
    options.network = network_;
    options.machines = MachinesOf(node);
    return options;
  }
  System& Start(const std::string& node) {
    Result<System> opened = System::Open(OptionsOf(node));
    if (!opened.ok()) throw std::runtime_error(opened.error().message);
    systems_[node] = std::make_unique<System>(std::move(*opened));
    return *systems_[node];
  }
  void Stop(const std::string& node) { systems_.erase(node); }
  System& On(const std::string& node) { return *systems_.at(node); }
  /// Starts those nodes, and a cluster of that name on all of them that has a leader.
  void FoundOn(const std::vector<std::string>& nodes, const ClusterOptions& cluster) {
    for (const std::string& node : nodes) Start(node);
    ClusterOptions options = cluster;
    options.nodes = nodes;
    const auto started = On(nodes[0]).StartCluster(options, In(20));
    ASSERT_TRUE(started.ok()) << started.error().message;
    EXPECT_EQ(started->started, nodes);
    EXPECT_TRUE(started->not_started.empty());
    ASSERT_TRUE(On(nodes[0]).AwaitLeader(cluster.name, In(20)).ok());
  }
  /// The answer, or the error.
  std::string Execute(const std::string& node, const std::string& cluster,
                      std::string_view command = "count") {
    const Result<std::string> answer = On(node).Execute(cluster, AsBytes(command), In(20));
    return answer.ok() ? *answer : answer.error().message;
  }
  ErrorCode CodeOf(const std::string& node, const std::string& cluster, std::string_view command) {
    const Result<std::string> answer = On(node).Execute(cluster, AsBytes(command), In(20));
    return answer.ok() ? ErrorCode{} : answer.error().code;
  }
  /// Again while it is refused: one change of members may be on its way, or a leader too new for
  /// one [ME1, ME6].
  template <typename Change>
  static Result<bool> Soon(Change change) {
    for (;;) {
      Result<bool> changed = change();
      if (changed.ok() || changed.error().code != ErrorCode::kRefused) return changed;
      std::this_thread::yield();
    }
  }
  /// Then the leader of cluster `one` is there, and `asked` knows it.
  void Lead(const std::string& node, const std::string& asked = "a") {
    const Status moved = On(asked).TransferLeadership("one", node, In(20));
    ASSERT_TRUE(moved.ok() || moved.error().message.find("already") != std::string::npos)
        << moved.error().message;
    for (std::string leader; leader != node; std::this_thread::yield()) {
      const Result<std::string> found = On(asked).AwaitLeader("one", In(20));
      ASSERT_TRUE(found.ok());
      leader = *found;
    }
  }
  /// Until the member of cluster `one` on that node is as it should be.
  template <typename Wanted>
  void AwaitStatus(const std::string& node, Wanted wanted) {
    for (bool is = false; !is; std::this_thread::yield()) {
      const Result<ServerStatus> status = On(node).StatusOf("one", In(20));
      ASSERT_TRUE(status.ok());
      is = wanted(*status);
    }
  }
  void AwaitVoters(const std::string& node, std::size_t voters) {
    AwaitStatus(node, [&](const ServerStatus& status) {
      EXPECT_FALSE(status.stopped);
      return status.stopped || static_cast<std::size_t>(std::ranges::count(
                                   status.members, MemberRole::kVoter, &MemberStatus::role)) ==
                                   voters;
    });
  }
  void AwaitIdle(const std::string& node) {
    AwaitStatus(node, [](const ServerStatus& status) {
      EXPECT_FALSE(status.stopped);
      return status.stopped || (status.idle && status.commit_index > 0);
    });
  }
  void AwaitStopped(const std::string& node) {
    AwaitStatus(node, [](const ServerStatus& status) { return status.stopped.has_value(); });
  }
  static std::vector<Outcome> Take(Client& client, std::size_t count) {
    std::vector<Outcome> outcomes;
    while (outcomes.size() < count) {
      if (!client.Wait(In(20)).ok()) throw std::runtime_error("no outcome");
      for (const Outcome& outcome : client.Poll()) outcomes.push_back(outcome);
    }
    return outcomes;
  }

  SystemOptions base_;
  std::shared_ptr<LocalNetwork> network_ = std::make_shared<LocalNetwork>();

 private:
  const std::string root_ =
      ::testing::TempDir() + "duramen-" +
      ::testing::UnitTest::GetInstance()->current_test_info()->test_suite_name() + "-" +
      std::to_string(::getpid()) + "-" +
      ::testing::UnitTest::GetInstance()->current_test_info()->name();
  std::map<std::string, std::unique_ptr<System>> systems_;
};

}  // namespace duramen::testing
