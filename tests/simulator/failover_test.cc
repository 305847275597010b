// How long clusters are without a leader when a system dies under load, in simulated time: the
// threads of production as actors, disks that die, a network within the process.
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

constexpr std::int64_t kMsNs = 1'000'000;
constexpr std::uint64_t kNodes = 3;
constexpr std::uint64_t kClusters = 12;
constexpr std::uint64_t kDeaths = 6;
constexpr std::uint64_t kLoadSteps = 60;
constexpr std::int64_t kElectionTimeoutMs = 2000;  // the longest

/// Keeps every line, so that none can be lost or doubled unseen.
class Lines final : public Machine {
 public:
  void Apply(std::span<const Command> commands, Effects& effects) override {
    for (std::size_t at = 0; at < commands.size(); ++at) {
      lines_ += std::string(AsText(commands[at].payload)) + "\n";
      effects.Reply(at, AsText(commands[at].payload));
    }
  }
  Status Query(Bytes, std::string& answer) const override {
    answer = lines_;
    return {};
  }

 private:
  std::string lines_;
};

std::string NodeName(std::uint64_t node) { return "node-" + std::to_string(node); }
std::string ClusterName(std::uint64_t cluster) { return "cluster-" + std::to_string(cluster); }

class FailoverWorld {
 public:
  explicit FailoverWorld(std::uint64_t seed) : rng_(seed), executor_(Rng(rng_.Next()), clock_) {}
  ~FailoverWorld() {
    for (Home& home : homes_) Kill(home);
  }

  void Live() {
    for (Home& home : homes_) ASSERT_NO_FATAL_FAILURE(Start(home));
    for (std::uint64_t cluster = 0; cluster < kClusters; ++cluster) {
      ClusterOptions options{.name = ClusterName(cluster), .machine = "lines"};
      for (const Home& home : homes_) options.nodes.push_back(NodeName(home.number));
      const auto started = homes_[0].system->StartCluster(options, In(60'000));
      ASSERT_TRUE(started.ok()) << started.error().message;
    }
    for (std::uint64_t death = 0; death < kDeaths; ++death) {
      ASSERT_NO_FATAL_FAILURE(SpreadLeaders());
      Rest();
      for (std::uint64_t step = 0; step < kLoadSteps; ++step) Load();
      Home& victim = homes_[death % kNodes];
      Kill(victim);
      ASSERT_NO_FATAL_FAILURE(AwaitService(homes_[(death + 1) % kNodes]));
      ASSERT_NO_FATAL_FAILURE(Start(victim));
    }
    ASSERT_NO_FATAL_FAILURE(Compare());
  }
  std::uint64_t acknowledged() const { return acknowledged_; }
  std::uint64_t failed_over() const { return failed_over_; }
  std::uint64_t failed() const { return failed_; }
  std::int64_t longest_ms() const { return longest_ns_ / kMsNs; }

 private:
  struct Home {
    std::uint64_t number = 0;
    sim::DiskState disk;
    std::unique_ptr<sim::SimFileSystem> machine;
    std::optional<System> system;
    std::optional<Client> client;
  };

  Deadline In(std::int64_t ms) const {
    return Deadline(std::chrono::nanoseconds(clock_.NowNs() + ms * kMsNs));
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
    options.machines = {{"lines", [] { return std::make_unique<Lines>(); }}};
    options.workers = 2;
    options.election_timeout_max = static_cast<std::uint64_t>(kElectionTimeoutMs);
    log::StorageTuning tuning;
    tuning.ring_records = 256;
    tuning.ring_bytes = 64u << 10;
    tuning.chunk_bytes = 8u << 10;
    tuning.batch_bytes_max = 32u << 10;
    Result<System> opened = server::OpenSystem(
        options, {*home.machine, clock_, executor_, Rng(rng_.Next())}, tuning);
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    home.system.emplace(std::move(*opened));
    home.client.emplace(home.system->NewClient());
  }

  /// In the middle of what it does: nothing reaches its disk from here on, and what is there but
  /// not synced is a draw.
  void Kill(Home& home) {
    if (!home.system) return;
    home.machine->Crash();
    Take(home);
    home.client.reset();
    home.system.reset();
    home.disk = home.machine->disk();
    home.machine.reset();
    if (rng_.OneIn(2)) {
      LosePowerOf(home.disk, rng_);
    } else {
      home.disk.SettleFlight(rng_.Next());
    }
  }

  /// Each node leads some, so that whoever dies leaves some without a leader.
  void SpreadLeaders() {
    for (std::uint64_t cluster = 0; cluster < kClusters; ++cluster) {
      const std::string wanted = NodeName(cluster % kNodes);
      for (int times = 0; LeaderOf(cluster) != wanted; ++times) {
        ASSERT_LT(times, 100) << ClusterName(cluster);
        (void)homes_[0].system->TransferLeadership(ClusterName(cluster), wanted, In(5000));
        (void)executor_.RunUntilIdle(10'000);
      }
    }
  }
  std::string LeaderOf(std::uint64_t cluster) {
    const auto leader = homes_[0].system->AwaitLeader(ClusterName(cluster), In(10'000));
    return leader.ok() ? *leader : leader.error().message;
  }

  /// Then every cluster is silent, and only word of a death wakes those that have no load [B6].
  void Rest() {
    const std::int64_t end_ns = clock_.NowNs() + 3 * kElectionTimeoutMs * kMsNs;
    do {
      (void)executor_.RunUntilIdle(1'000'000);
    } while (clock_.NowNs() < end_ns && executor_.AdvanceToNextTimer());
  }

  /// Of half of them, from every node, and cut off anywhere.
  void Load() {
    for (Home& home : homes_) Send(home, rng_.Below(kClusters / 2), "line");
    (void)executor_.RunUntilIdle(1 + rng_.Below(80));
    for (Home& home : homes_) Take(home);
  }
  void Send(Home& home, std::uint64_t cluster, const std::string& what) {
    const std::uint64_t correlation = ++next_;
    const std::string line = what + "-" + std::to_string(correlation);
    if (home.client->Send(ClusterName(cluster), correlation, AsBytes(line)).ok())
      sent_[correlation] = {cluster, line};
  }
  void Take(Home& home) {
    if (!home.client) return;
    for (const Outcome& outcome : home.client->Poll()) {
      const auto sent = sent_.find(outcome.correlation);
      if (sent == sent_.end()) {
        ADD_FAILURE() << "an outcome of nothing, or a second one";
        continue;
      }
      const auto& [cluster, line] = sent->second;
      if (!outcome.error) {
        EXPECT_EQ(outcome.answer, line);
        promised_[cluster].insert(line);
        if (line.starts_with("probe")) served_.insert(cluster);
        ++acknowledged_;
      } else {
        ++failed_;
        if (line.starts_with("probe")) unserved_.insert(cluster);
      }
      sent_.erase(sent);
    }
  }

  /// One command for each cluster, sent again where it has failed, until each was served.
  void AwaitService(Home& home) {
    const std::int64_t begin_ns = clock_.NowNs();
    const std::int64_t bound_ns = 2 * kElectionTimeoutMs * kMsNs;
    served_.clear();
    for (std::uint64_t cluster = 0; cluster < kClusters; ++cluster) unserved_.insert(cluster);
    while (served_.size() < kClusters) {
      for (const std::uint64_t cluster : std::exchange(unserved_, {})) Send(home, cluster, "probe");
      ASSERT_TRUE(executor_.RunUntilIdle(1'000'000));
      for (Home& one : homes_) Take(one);
      if (served_.size() == kClusters) break;
      ASSERT_TRUE(executor_.AdvanceToNextTimer()) << "nobody will ever lead them";
      ASSERT_LE(clock_.NowNs() - begin_ns, bound_ns)
          << kClusters - served_.size() << " clusters do not serve";
    }
    longest_ns_ = std::max(longest_ns_, clock_.NowNs() - begin_ns);
    failed_over_ += kClusters / kNodes;
  }

  void Compare() {
    for (std::uint64_t cluster = 0; cluster < kClusters; ++cluster) {
      const Result<std::string> lines = homes_[rng_.Below(kNodes)].system->Query(
          ClusterName(cluster), {}, Consistency::kConsistent, In(60'000));
      ASSERT_TRUE(lines.ok()) << lines.error().message;
      std::multiset<std::string> there;
      for (std::size_t at = 0; at < lines->size();) {
        const std::size_t end = lines->find('\n', at);
        there.insert(lines->substr(at, end - at));
        at = end + 1;
      }
      for (const std::string& line : promised_[cluster])
        ASSERT_EQ(there.count(line), 1u) << line << " of " << ClusterName(cluster);
      for (const std::string& line : there) ASSERT_EQ(there.count(line), 1u) << line;
    }
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
  std::map<std::uint64_t, std::pair<std::uint64_t, std::string>> sent_;  // by correlation
  std::map<std::uint64_t, std::set<std::string>> promised_;              // by cluster
  std::set<std::uint64_t> served_;
  std::set<std::uint64_t> unserved_;  // with no probe under way
  std::uint64_t next_ = 0;
  std::uint64_t acknowledged_ = 0;
  std::uint64_t failed_ = 0;
  std::uint64_t failed_over_ = 0;
  std::int64_t longest_ns_ = 0;
};

TEST(Failover, B6_CM4_CL6_EveryClusterServesWithinTwoElectionTimeoutsOfADeath) {
  std::uint64_t acknowledged = 0;
  std::uint64_t failed = 0;
  std::uint64_t failed_over = 0;
  std::int64_t longest_ms = 0;
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(seed);
    FailoverWorld world(seed);
    ASSERT_NO_FATAL_FAILURE(world.Live());
    ASSERT_FALSE(::testing::Test::HasFailure());
    acknowledged += world.acknowledged();
    failed += world.failed();
    failed_over += world.failed_over();
    longest_ms = std::max(longest_ms, world.longest_ms());
  }
  std::printf("%llu lost their leader, none for more than %lld ms; %llu acknowledged, %llu not\n",
              static_cast<unsigned long long>(failed_over), static_cast<long long>(longest_ms),
              static_cast<unsigned long long>(acknowledged),
              static_cast<unsigned long long>(failed));
  EXPECT_GT(acknowledged, 10'000u);
  EXPECT_GT(failed, 100u);
}

}  // namespace
}  // namespace duramen::simulator
