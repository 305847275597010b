// What a peer says that no honest peer would say, and what arrives when nobody counts on it:
// nothing of it may end a process, end a leadership, or count for more than it is.
#include <gtest/gtest.h>

#include "base/rng.h"
#include "tests/server/core/scene.h"

namespace duramen::core {
namespace {

constexpr CoreSettings kSettings{
    .election_timeout_min = 100, .election_timeout_max = 200, .heartbeat_interval = 30};

Configuration MembersUpTo(int last) {
  Configuration members;
  for (int id = 1; id <= last; ++id) members = members.With({.uid = Scene::Uid(id)});
  return members;
}

Message From(int id, Term term, MessageBody body) {
  return {.cluster = kSceneCluster,
          .from = Scene::Uid(id),
          .to = Scene::Uid(1),
          .boot = 1,
          .term = term,
          .body = std::move(body)};
}

/// A core and its clock; its log is `log`, all of it, but for what is `behind`, committed and
/// applied.
class Server {
 public:
  explicit Server(TermMap log, Index behind = 0) {
    CoreStart start{
        .cluster = kSceneCluster, .uid = Scene::Uid(1), .state = {.term = 5}, .log = log};
    start.specials = SpecialHistory({.index = 0, .configuration = MembersUpTo(3)});
    start.written = log.last().index;
    start.commit = start.applied = log.last().index - behind;
    start.settings = kSettings;
    core_ = std::make_unique<Core>(std::move(start));
    now_ = 1000;
  }
  Core& core() { return *core_; }
  Microseconds now() const { return now_; }
  void Pass(Microseconds time) { now_ += time; }
  Effects Step(EventBody body) {
    Effects effects;
    core_->Step({.now = now_, .body = std::move(body)}, effects);
    core_->CheckInvariants();
    return effects;
  }
  void Elect() {
    const Effects asked = Step(Tick{});
    const std::uint64_t token = std::get<PreVoteRequest>(asked.send.front().body).token;
    const Effects won = Step(From(2, 5, PreVoteReply{.token = token, .granted = true}));
    Step(Stored{won.store->sequence});
    Step(From(2, 6, VoteReply{.granted = true}));
  }
  /// Leads, its own entry written, and everybody has it.
  void Lead() {
    Elect();
    Step(WrittenUpTo{.end = core_->log().end()});
    for (const int id : {2, 3}) Answer(id, Standing::kSound);
  }
  void Answer(int id, Standing standing) {
    const Leader& leader = std::get<Leader>(core_->role());
    const Index last = core_->log().last().index;
    Step(From(id, core_->term(),
              AppendReply{.success = true,
                          .match = last,
                          .last_index = last,
                          .round = leader.round,
                          .sent_at = now_,
                          .standing = standing,
                          .number = ++replies_}));
  }
  /// Ticks and answers until the leader is silent.
  void Rest(Standing standing_of_3) {
    for (int time = 0; time < 5 && !std::get<Leader>(core_->role()).quiet; ++time) {
      Pass(kSettings.heartbeat_interval);
      Step(Tick{});
      Answer(2, Standing::kSound);
      Answer(3, standing_of_3);
    }
    ASSERT_TRUE(std::get<Leader>(core_->role()).quiet);
  }

 private:
  std::unique_ptr<Core> core_;
  Microseconds now_ = 0;
  std::uint64_t replies_ = 0;
};

TermMap LogBehindSnapshot() { return TermMap(101, 5); }

TermMap ShortLog() {
  TermMap log(1, 0);
  log.Append({3, 4});
  return log;
}

TEST(Hostile, R4_EntriesOverASnapshotMustAgreeWithIt) {
  Server server(LogBehindSnapshot());
  const Effects effects =
      server.Step(From(2, 5, AppendEntries{.previous = {1, 90}, .runs = {{1, 20}}, .commit = 110}));
  EXPECT_TRUE(effects.append.empty());
  EXPECT_EQ(server.core().log().last().index, 100U);
}

TEST(Hostile, A19_WhatIsCutIsVerifiedNoLonger) {
  Server server(ShortLog());
  server.Step(From(2, 5, AppendEntries{.previous = {3, 4}, .runs = {{5, 10}}, .commit = 4}));
  server.Step(From(2, 5, AppendEntries{.previous = {3, 4}, .runs = {{4, 2}}, .commit = 12}));
  EXPECT_LE(server.core().commit(), server.core().log().last().index);
}

TEST(Hostile, ME3_AVoteLostDoesNotCarryAQuorumInSilence) {
  Server server(ShortLog());
  server.Lead();
  server.Rest(Standing::kVoteLost);
  const Effects effects = server.Step(
      Change{.ticket = 9, .kind = Change::Kind::kRemove, .member = {.uid = Scene::Uid(2)}});
  ASSERT_EQ(effects.reply.size(), 1U);
  EXPECT_EQ(effects.reply[0].answer, Answer::kWouldBreakQuorum);
}

TEST(Hostile, EL11_AStrangerEndsNoLeadershipInSilence) {
  Server server(ShortLog());
  server.Lead();
  server.Rest(Standing::kSound);
  server.Pass(10 * kSettings.election_timeout_max);
  for (int time = 0; time < 3; ++time) {
    server.Step(From(9, 50, VoteRequest{.last = {6, 1000}}));
    EXPECT_EQ(server.core().role_kind(), RoleKind::kLeader);
    server.Pass(5);
  }
}

TEST(Hostile, A3_AFaultySnapshotReplyCountsForNothing) {
  Server server(ShortLog());
  server.Lead();
  server.Step(Compacted{.floor = 5});
  server.Step(Propose{.ticket = 1});
  // Member 2 comes back with nothing: sound, as far as it says.
  Message back = From(2, 6, AppendReply{.hint = {0, 0}, .number = 1});
  back.boot = 2;
  Effects effects = server.Step(back);
  ASSERT_EQ(effects.send_snapshot.size(), 1U);
  back.body = InstallReply{.transfer = effects.send_snapshot[0].transfer,
                           .match = server.core().log().last().index,
                           .standing = Standing::kFaulty};
  server.Step(back);
  server.Step(WrittenUpTo{.end = server.core().log().end()});
  EXPECT_LT(server.core().commit(), server.core().log().last().index);
}

/// Asked for as a follower, complete when it leads.
TEST(Hostile, EL4_ASnapshotThatIsLateDoesNotDelayALeader) {
  Server server(ShortLog(), 2);
  server.Elect();
  const auto due = server.core().next_deadline();
  SpecialEntry base{.index = 0, .configuration = MembersUpTo(3)};
  server.Step(
      Installed{.from = Scene::Uid(2), .term = 5, .snapshot = {.last = {3, 4}, .base = base}});
  EXPECT_EQ(server.core().commit(), 4U);
  EXPECT_EQ(server.core().next_deadline(), due);
}

TEST(Hostile, ME10_ASnapshotWithoutThisServerEndsItsCandidacy) {
  for (const RoleKind role : {RoleKind::kPreCandidate, RoleKind::kCandidate}) {
    Scene scene(role);
    const Message vote = scene.Sane(role == RoleKind::kCandidate ? 3 : 1, TermRelation::kSame);
    SpecialEntry base{.index = 8, .configuration = MembersUpTo(3).Without(Scene::Uid(1))};
    scene.Step(
        Installed{.from = Scene::Uid(2), .term = 5, .snapshot = {.last = {5, 9}, .base = base}});
    for (const int id : {2, 3}) {
      Message granted = vote;
      granted.from = Scene::Uid(id);
      scene.Step(granted);
      EXPECT_EQ(scene.core().role_kind(), RoleKind::kFollower);
    }
  }
}

/// A faulty server that stopped before a machine version: its hole is not applied over.
TEST(Hostile, SM8_A3_NothingBehindAHoleIsApplied) {
  Server server(ShortLog());
  AppendEntries append{.previous = {3, 4}, .runs = {{5, 16}}, .commit = 20};
  append.specials = {{.index = 8, .machine_version = 7}};
  EXPECT_EQ(server.Step(From(2, 5, append)).apply, (IndexRange{5, 8}));
  server.Step(WrittenUpTo{.end = 21});
  server.Step(Damaged{.from = 8, .to = 12});
  SpecialEntry base{.index = 0, .configuration = MembersUpTo(3)};
  const Effects effects = server.Step(
      Installed{.from = Scene::Uid(2), .term = 5, .snapshot = {.last = {5, 10}, .base = base}});
  EXPECT_TRUE(effects.apply.empty());
}

/// Two snapshots that end in the wrong order.
TEST(Hostile, S4_A3_AnOlderSnapshotTakesNothingBack) {
  TermMap log(1, 0);
  log.Append({3, 40});
  Server server(log);
  server.Step(Damaged{.from = 20, .to = 30});
  SpecialEntry base{.index = 0, .configuration = MembersUpTo(3)};
  server.Step(From(2, 5, InstallSnapshot{.last = {3, 35}, .base = base, .transfer = 1}));
  server.Step(
      Installed{.from = Scene::Uid(2), .term = 5, .snapshot = {.last = {3, 35}, .base = base}});
  server.Step(
      Installed{.from = Scene::Uid(2), .term = 5, .snapshot = {.last = {3, 25}, .base = base}});
  EXPECT_EQ(server.core().log().last().index, 35U);
  server.Step(From(2, 5, AppendEntries{.previous = {3, 25}, .runs = {{3, 2}}, .commit = 33}));
}

}  // namespace
}  // namespace duramen::core
