// Whole systems in one seeded order: the threads of production as actors, disks that die, a network
// within the process. What a machine applied is what it is asked for at the end.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/loop_executor.h"
#include "server/system_impl.h"
#include "sim/sim_file_system.h"
#include "simulator/operator.h"

namespace duramen::simulator {
namespace {

constexpr std::int64_t kSecondNs = 1'000'000'000;
constexpr std::uint64_t kNodes = 3;
constexpr std::uint64_t kClusters = 3;
constexpr std::uint64_t kDeeds = 400;
constexpr std::uint64_t kSessions = 3;  // of each cluster

/// How often the effect of a command was executed, by cluster and index: once at most [SM5].
using Executions = std::map<std::pair<std::string, Index>, int>;

/// Keeps every command, so that none can be lost or doubled unseen.
class Diary final : public Machine {
 public:
  explicit Diary(Executions& executions) : executions_(executions) {}
  Status Init(const MachineInit& init) override {
    cluster_ = init.cluster;
    return {};
  }
  void Apply(std::span<const Command> commands, Effects& effects) override {
    for (std::size_t at = 0; at < commands.size(); ++at) {
      const Index index = commands[at].meta.index;
      effects.Call([this, index] { ++executions_[{cluster_, index}]; });
      if (index % 16 == 0 && AsText(commands[at].payload).starts_with("line"))
        effects.Append(AsBytes("echo-" + std::to_string(index)));
      lines_ += std::string(AsText(commands[at].payload)) + "\n";
      if (effects.wants_reply(at)) effects.Reply(at, AsText(commands[at].payload));
    }
  }
  Status Query(Bytes, std::string& answer) const override {
    answer = lines_;
    return {};
  }

 private:
  Executions& executions_;
  std::string cluster_;
  std::string lines_;
};

std::string NodeName(std::uint64_t node) { return "node-" + std::to_string(node); }
std::string ClusterName(std::uint64_t cluster) { return "cluster-" + std::to_string(cluster); }

class SystemsWorld {
 public:
  explicit SystemsWorld(std::uint64_t seed) : rng_(seed), executor_(Rng(rng_.Next()), clock_) {}
  ~SystemsWorld() {
    for (Home& home : homes_) Crash(home, false);
  }

  void Live() {
    for (Home& home : homes_) ASSERT_NO_FATAL_FAILURE(Start(home));
    for (std::uint64_t cluster = 0; cluster < kClusters; ++cluster) {
      ClusterOptions options{.name = ClusterName(cluster), .machine = "diary"};
      for (std::uint64_t node = 0; node < kNodes; ++node) options.nodes.push_back(NodeName(node));
      const auto started = homes_[0].system->StartCluster(options, In(60));
      ASSERT_TRUE(started.ok()) << started.error().message;
    }
    for (std::uint64_t number = 0; number < kClusters * kSessions; ++number) {
      const std::uint64_t cluster = number % kClusters;
      const Result<std::uint64_t> session =
          homes_[0].system->OpenSession(ClusterName(cluster), In(60));
      ASSERT_TRUE(session.ok()) << session.error().message;
      sessions_.push_back({.cluster = cluster, .place = {.session = *session}});
    }
    for (std::uint64_t deed = 0; deed < kDeeds; ++deed) ASSERT_NO_FATAL_FAILURE(Act());
    for (Home& home : homes_) {
      if (home.system) continue;
      ASSERT_NO_FATAL_FAILURE(Start(home));
    }
    Compare();
  }
  std::uint64_t acknowledged() const { return acknowledged_; }
  std::uint64_t crashes() const { return crashes_; }
  std::uint64_t retries() const { return retries_; }
  std::uint64_t deletions() const { return deletions_; }
  std::uint64_t executed() const { return executed_; }

 private:
  struct Home {
    std::uint64_t number = 0;
    sim::DiskState disk;
    std::unique_ptr<sim::SimFileSystem> machine;
    std::optional<System> system;
    std::optional<Client> client;
  };
  struct Sent {
    std::uint64_t cluster = 0;
    std::string line;
    std::optional<std::uint64_t> session;
  };
  /// One command after the other, each sent again until it is known to have run.
  struct Session {
    std::uint64_t cluster = 0;
    InSession place;
    std::string line;        // empty: none is under way
    std::uint64_t sent = 0;  // the correlation of the newest attempt; 0: its outcome is unknown
    std::uint64_t node = 0;  // of that attempt
  };

  Deadline In(std::int64_t seconds) const {
    return Deadline(std::chrono::nanoseconds(clock_.NowNs() + seconds * kSecondNs));
  }

  void Start(Home& home) {
    home.machine = std::make_unique<sim::SimFileSystem>(home.disk, sites_);
    home.machine->KeepNoTrace();
    home.machine->SeedFlight(rng_.Next());
    SystemOptions options;
    options.storage.data_dir = "/data";
    options.storage.wal_max_size_bytes = 64u << 10;
    options.storage.memory_budget = 8u << 20;
    options.storage.flush_delay = 0;
    options.node = NodeName(home.number);
    options.network = network_;
    options.machines = {{"diary", [this] { return std::make_unique<Diary>(executions_); }}};
    options.workers = 2;
    log::StorageTuning tuning;
    tuning.ring_records = 256;
    tuning.ring_bytes = 64u << 10;
    tuning.chunk_bytes = 8u << 10;
    tuning.batch_bytes_max = 32u << 10;
    Result<System> opened = server::OpenSystem(
        options, {*home.machine, clock_, executor_, Rng(rng_.Next())}, tuning, 8);
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    home.system.emplace(std::move(*opened));
    home.client.emplace(home.system->NewClient());
  }

  void Crash(Home& home, bool power_lost) {
    if (!home.system) return;
    home.machine->Crash();
    Take(home);
    home.client.reset();
    home.system.reset();
    // What was sent from there has no outcome.
    for (Session& session : sessions_) {
      if (session.node == home.number) session.sent = 0;
    }
    home.disk = home.machine->disk();
    home.machine.reset();
    if (power_lost) {
      LosePowerOf(home.disk, rng_);
    } else {
      home.disk.SettleFlight(rng_.Next());
    }
    ++crashes_;
  }

  void Act() {
    Home& home = homes_[rng_.Below(kNodes)];
    const std::uint64_t deed = rng_.Below(100);
    if (!home.system) {
      if (deed < 10) {
        ASSERT_NO_FATAL_FAILURE(Start(home));
      }
    } else if (deed < 4) {
      Crash(home, rng_.OneIn(2));
    } else if (deed < 6) {
      (void)home.system->TransferLeadership(ClusterName(rng_.Below(kClusters)),
                                            NodeName(rng_.Below(kNodes)), In(2));
    } else if (deed < 8) {
      const std::string cluster = ClusterName(rng_.Below(kClusters));
      ASSERT_TRUE(home.system->StopServer(cluster, In(60)).ok());
      const Status restarted = home.system->RestartServer(cluster, In(60));
      ASSERT_TRUE(restarted.ok()) << restarted.error().message;
    } else if (deed < 9) {
      ASSERT_NO_FATAL_FAILURE(FoundOrDelete(home));
    } else if (deed < 45) {
      Send(home);
    } else if (deed < 80) {
      SendInSession(home, rng_.Below(sessions_.size()));
    } else {
      (void)executor_.AdvanceToNextTimer();
    }
    (void)executor_.RunUntilIdle(1 + rng_.Below(60));
    for (Home& one : homes_) ASSERT_NO_FATAL_FAILURE(Take(one));
  }

  /// Several at once, which become one range where they arrive in one step.
  void Send(Home& home) {
    for (std::uint64_t left = 1 + rng_.Below(8); left > 0; --left) {
      const std::uint64_t correlation = ++next_;
      const Sent sent{rng_.Below(kClusters), "line-" + std::to_string(correlation), {}};
      SendOptions options;
      if (rng_.OneIn(4)) options.priority = Priority::kLow;
      if (rng_.OneIn(4)) options.reply_from = NodeName(rng_.Below(kNodes));
      const Status posted = home.client->Send(ClusterName(sent.cluster), correlation,
                                              AsBytes(sent.line), options);
      if (posted.ok()) sent_[correlation] = sent;
    }
  }

  /// One more cluster, now and then, which is deleted again.
  void FoundOrDelete(Home& home) {
    if (passing_.empty()) {
      ClusterOptions options{.name = "passing-" + std::to_string(++next_), .machine = "diary"};
      for (std::uint64_t node = 0; node < kNodes; ++node) options.nodes.push_back(NodeName(node));
      if (home.system->StartCluster(options, In(5)).ok()) passing_ = options.name;
      return;
    }
    const Status deleted = home.system->DeleteCluster(passing_, In(5));
    if (deleted.ok()) deleted_.insert(passing_);
    // Whether one that timed out is deleted is unknown.
    if (deleted.ok() || deleted.error().code == ErrorCode::kTimeout) passing_.clear();
  }

  void SendInSession(Home& home, std::uint64_t number) {
    Session& session = sessions_[number];
    if (session.sent != 0) return;
    if (session.line.empty()) {
      session.line = "once-" + std::to_string(++next_);
      session.place.acknowledged = session.place.sequence++;
    }
    const std::uint64_t correlation = ++next_;
    const Status sent = home.client->Send(ClusterName(session.cluster), correlation,
                                          AsBytes(session.line), {.place = session.place});
    if (!sent.ok()) return;
    session.sent = correlation;
    session.node = home.number;
    sent_[correlation] = {session.cluster, session.line, number};
  }

  void TakeInSession(const Outcome& outcome, Session& session) {
    if (session.sent != outcome.correlation) return;
    session.sent = 0;
    if (outcome.error) {
      ASSERT_NE(outcome.error->code, ErrorCode::kStaleRef) << outcome.error->message;
      ++retries_;
    } else {
      session.line.clear();
    }
  }

  /// Each has an outcome once; only what was done is promised.
  void Take(Home& home) {
    if (!home.client) return;
    for (const Outcome& outcome : home.client->Poll()) {
      const auto sent = sent_.find(outcome.correlation);
      ASSERT_NE(sent, sent_.end()) << "an outcome of nothing, or a second one";
      if (!outcome.error) {
        ASSERT_EQ(outcome.answer, sent->second.line);
        promised_[sent->second.cluster].insert(sent->second.line);
        ++acknowledged_;
      }
      if (sent->second.session) {
        ASSERT_NO_FATAL_FAILURE(TakeInSession(outcome, sessions_[*sent->second.session]));
      }
      sent_.erase(sent);
    }
  }

  void Compare() {
    for (std::uint64_t cluster = 0; cluster < kClusters; ++cluster) {
      std::string before;
      for (Home& home : homes_) {
        const Result<std::string> lines = home.system->Query(ClusterName(cluster), {},
                                                             Consistency::kConsistent, In(600));
        ASSERT_TRUE(lines.ok()) << lines.error().message;
        // What was under way may have come meanwhile.
        ASSERT_EQ(lines->substr(0, before.size()), before);
        before = *lines;
      }
      std::multiset<std::string> there;
      for (std::size_t at = 0; at < before.size();) {
        const std::size_t end = before.find('\n', at);
        there.insert(before.substr(at, end - at));
        at = end + 1;
      }
      for (const std::string& line : promised_[cluster]) {
        ASSERT_EQ(there.count(line), 1u) << line << " of " << ClusterName(cluster);
      }
      for (const std::string& line : there) ASSERT_EQ(there.count(line), 1u) << line;
    }
    for (const auto& [command, times] : executions_)
      ASSERT_EQ(times, 1) << command.first << " at " << command.second;
    executed_ += executions_.size();
    ASSERT_NO_FATAL_FAILURE(AwaitDeletions());
  }

  /// Everybody is there: nothing is left of them [CL8].
  void AwaitDeletions() {
    const Deadline deadline = In(600);
    for (Home& home : homes_) {
      const auto gone = [&] {
        const std::vector<std::string> left = home.system->Clusters();
        return std::ranges::none_of(left, [&](const auto& one) { return deleted_.contains(one); });
      };
      while (!gone() && In(0) < deadline) {
        if (!executor_.AdvanceToNextTimer()) break;
        (void)executor_.RunUntilIdle(1000);
      }
      ASSERT_TRUE(gone()) << NodeName(home.number);
    }
    deletions_ += deleted_.size();
  }

  Rng rng_;
  ManualClock clock_;
  LoopExecutor executor_;
  sim::SiteTable sites_;
  std::shared_ptr<LocalNetwork> network_ = std::make_shared<LocalNetwork>();
  std::vector<Home> homes_ = [] {
    std::vector<Home> homes(kNodes);
    for (std::uint64_t node = 0; node < kNodes; ++node) homes[node].number = node;
    return homes;
  }();
  std::map<std::uint64_t, Sent> sent_;  // by correlation
  std::map<std::uint64_t, std::set<std::string>> promised_;
  std::uint64_t next_ = 0;
  std::uint64_t acknowledged_ = 0;
  std::uint64_t crashes_ = 0;
  std::uint64_t retries_ = 0;
  std::vector<Session> sessions_;
  std::string passing_;  // a cluster that is there; empty: none
  std::set<std::string> deleted_;
  std::uint64_t deletions_ = 0;
  Executions executions_;
  std::uint64_t executed_ = 0;
};

TEST(SimulatedSystems, CM1_CM2_CM6_CL6_CL8_SM5_R12_NothingAcknowledgedIsLostOrDoubled) {
  std::uint64_t acknowledged = 0;
  std::uint64_t crashes = 0;
  std::uint64_t retries = 0;
  std::uint64_t deletions = 0;
  std::uint64_t executed = 0;
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(seed);
    SystemsWorld world(seed);
    ASSERT_NO_FATAL_FAILURE(world.Live());
    acknowledged += world.acknowledged();
    crashes += world.crashes();
    retries += world.retries();
    deletions += world.deletions();
    executed += world.executed();
  }
  std::printf("%llu acknowledged over %llu crashes, %llu unknown and sent again\n",
              static_cast<unsigned long long>(acknowledged),
              static_cast<unsigned long long>(crashes), static_cast<unsigned long long>(retries));
  EXPECT_GT(acknowledged, 10'000u);
  EXPECT_GT(crashes, 1000u);
  EXPECT_GT(retries, 1000u);
  EXPECT_GT(deletions, 100u);
  EXPECT_GT(executed, 10'000u);
}

}  // namespace
}  // namespace duramen::simulator
