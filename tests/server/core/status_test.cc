// What a core says of itself and of its peers, and the settings that it takes.
#include <gtest/gtest.h>

#include <set>

#include "tests/server/core/scene.h"

namespace duramen::core {
namespace {

CoreStart OfThree(std::uint64_t seed) {
  CoreStart start{.cluster = kSceneCluster, .uid = Scene::Uid(1), .log = TermMap(1, 0)};
  Configuration members;
  for (int id = 1; id <= 3; ++id) members = members.With({.uid = Scene::Uid(id)});
  start.specials = SpecialHistory({.index = 0, .configuration = members});
  start.seed = seed;
  return start;
}

TEST(CoreStatus, EL1_ElectionTimeoutsAreRandomWithinTheirRange) {
  std::set<Microseconds> drawn;
  const CoreSettings settings;
  for (std::uint64_t seed = 1; seed <= 1000; ++seed) {
    const Core core(OfThree(seed));
    const Microseconds due = core.next_deadline().value();
    EXPECT_GE(due, settings.election_timeout_min);
    EXPECT_LT(due, settings.election_timeout_max);
    drawn.insert(due);
  }
  EXPECT_GT(drawn.size(), 900U);
}

TEST(CoreStatus, EL1_SettingsThatCannotWorkAreRefused) {
  EXPECT_TRUE(Validate({}).ok());
  const CoreSettings wrong[] = {
      {.election_timeout_min = 300, .election_timeout_max = 300, .heartbeat_interval = 30},
      {.heartbeat_interval = 0},
      {.heartbeat_interval = 1'000'000},
      {.append_entries_max = 0},
      {.append_entries_max = 65537},
      {.pipeline_entries_max = 0},
      {.clock_drift_margin = 1'000'000}};
  for (const CoreSettings& settings : wrong) {
    const Status valid = Validate(settings);
    ASSERT_FALSE(valid.ok());
    EXPECT_EQ(valid.error().code, ErrorCode::kConfiguration);
    EXPECT_FALSE(valid.error().hint.empty());
  }
}

TEST(CoreStatusDeath, EL1_ARangeThatIsNoneIsRefused) {
  CoreStart start = OfThree(1);
  start.settings.election_timeout_max = start.settings.election_timeout_min;
  EXPECT_DEATH(Core{start}, "Validate");
}

TEST(CoreStatus, RE7_ALeaderSaysHowEachPeerIs) {
  Scene scene(RoleKind::kLeader);
  const std::vector<PeerStatus> peers = scene.core().Peers();
  ASSERT_EQ(peers.size(), 2U);
  EXPECT_EQ(peers[0].uid, Scene::Uid(2));
  EXPECT_EQ(peers[0].progress, Peer::Progress::kSnapshot);
  EXPECT_EQ(peers[0].match, 0U);
  EXPECT_EQ(peers[0].lag, 5U);
  EXPECT_EQ(peers[1].match, 5U);
  EXPECT_EQ(peers[1].next, 6U);
  EXPECT_EQ(peers[1].lag, 0U);
  EXPECT_TRUE(peers[1].responsive);
  // Two of the longest timeouts later nobody has answered again.
  scene.Step(WrittenUpTo{.end = 6});
  for (const PeerStatus& peer : scene.core().Peers()) EXPECT_FALSE(peer.responsive);
  EXPECT_TRUE(Scene(RoleKind::kFollower).core().Peers().empty());
}

}  // namespace
}  // namespace duramen::core
