// The core alone, through millions of random steps, on Raft's five safety properties (figure 3 of
// the paper): a network that loses, doubles and overtakes, stores that end late, crashes that keep
// any prefix, clocks that differ, changes of members, transfers. World::Check looks after every few
// steps.
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "tests/server/core/world.h"

namespace duramen::core {
namespace {

struct Tally {
  std::uint64_t steps = 0;
  std::uint64_t elections = 0;
  std::uint64_t commits = 0;
  std::uint64_t overwritten = 0;
  std::uint64_t crashes = 0;
  std::uint64_t changes = 0;
};

/// One life of a cluster under one seed; settings are drawn too, and often extreme.
class Life {
 public:
  explicit Life(std::uint64_t seed) : world_(seed), rng_(seed ^ 0x5eed) {
    CoreSettings settings{
        .election_timeout_min = 100, .election_timeout_max = 200, .heartbeat_interval = 30};
    settings.append_entries_max = 1 + rng_.Below(8);
    settings.pipeline_entries_max = 1 + rng_.Below(16);
    settings.quiet_when_idle = rng_.OneIn(2);
    members_ = 1 + static_cast<int>(rng_.Below(5));
    world_.AddCluster(members_, settings);
    for (int id = members_ + 1; id <= members_ + 2; ++id) world_.AddNode(id, settings);
    loss_ = rng_.OneIn(2) ? 0 : 2 + rng_.Below(20);
    doubling_ = rng_.OneIn(2) ? 0 : 2 + rng_.Below(20);
    crash_ = 20 + rng_.Below(400);
    change_ = rng_.OneIn(2) ? 0 : 20 + rng_.Below(200);
  }

  void Run(int steps, Tally& tally) {
    for (int step = 0; step < steps; ++step) {
      One(tally);
      if (step % 16 == 0) world_.Check();
    }
    world_.Check();
    tally.steps += static_cast<std::uint64_t>(steps);
    tally.elections += world_.elections();
    tally.commits += world_.commits();
    tally.overwritten += world_.overwritten();
  }

 private:
  int AnyNode() { return 1 + static_cast<int>(rng_.Below(world_.nodes().size())); }

  void One(Tally& tally) {
    const std::uint64_t what = rng_.Below(20);
    const int id = AnyNode();
    if (what < 9) return Network();
    if (what < 14) return world_.Advance(id, rng_.Below(40));
    if (what < 17) return world_.EndStores(id, 1 + rng_.Below(4));
    if (what < 19)
      return world_.Propose(rng_.OneIn(4) ? id : world_.Leader() + (world_.Leader() == 0),
                            ++tickets_, 1 + rng_.Below(3));
    if (rng_.OneIn(crash_ / 20 + 1)) return CrashOrRestart(id, tally);
    if (change_ != 0 && rng_.OneIn(change_ / 20 + 1)) return ChangeSomething(tally);
    world_.Step(id, Query{.ticket = ++tickets_});
  }

  void Network() {
    if (world_.wires().empty()) return;
    if (world_.wires().size() > 200)
      return world_.wires().clear();  // The network is down for a moment.
    const std::size_t at = rng_.OneIn(3) ? rng_.Below(world_.wires().size()) : 0;
    if (loss_ != 0 && rng_.OneIn(loss_)) return world_.Drop(at);
    world_.Deliver(at, doubling_ != 0 && rng_.OneIn(doubling_));
  }

  void CrashOrRestart(int id, Tally& tally) {
    Node& node = world_.node(id);
    if (!node.core) return world_.Restart(id);
    ++tally.crashes;
    if (rng_.OneIn(2)) node.disk_applied = node.applied;
    world_.Crash(id, rng_.Below(node.on_the_way.size() + 1));
  }

  void ChangeSomething(Tally& tally) {
    const int leader = world_.Leader();
    if (leader == 0) return;
    ++tally.changes;
    const ServerUid target = World::UidOf(AnyNode());
    switch (rng_.Below(4)) {
      case 0:
        return world_.Step(leader, Transfer{.ticket = ++tickets_, .target = target});
      case 1:
        return world_.Step(
            leader,
            Change{.ticket = ++tickets_, .kind = Change::Kind::kRemove, .member = {.uid = target}});
      default:
        return world_.Step(
            leader,
            Change{.ticket = ++tickets_,
                   .member = {.uid = target, .role = static_cast<MemberRole>(rng_.Below(3))}});
    }
  }

  World world_;
  Rng rng_;
  int members_ = 0;
  std::uint64_t loss_ = 0;
  std::uint64_t doubling_ = 0;
  std::uint64_t crash_ = 0;
  std::uint64_t change_ = 0;
  std::uint64_t tickets_ = 0;
};

TEST(CoreRandom, R4_SafetyHoldsOverRandomSteps) {
  const char* asked = std::getenv("DURAMEN_CORE_SEED");
  const std::uint64_t first = asked != nullptr ? std::stoull(asked) : 1;
  const std::uint64_t lives = asked != nullptr ? 1 : 5000;
  Tally tally;
  for (std::uint64_t seed = first; seed < first + lives; ++seed) {
    SCOPED_TRACE(seed);
    Life(seed).Run(4000, tally);
  }
  if (asked != nullptr) return;
  // A harness that never gets anywhere shows nothing.
  EXPECT_GT(tally.elections, 1000U);
  EXPECT_GT(tally.commits, 100'000U);
  EXPECT_GT(tally.overwritten, 1000U);
  EXPECT_GT(tally.crashes, 1000U);
  EXPECT_GT(tally.changes, 1000U);
  std::printf("%lu steps, %lu elections, %lu commits, %lu overwritten, %lu crashes, %lu changes\n",
              tally.steps, tally.elections, tally.commits, tally.overwritten, tally.crashes,
              tally.changes);
}

}  // namespace
}  // namespace duramen::core
