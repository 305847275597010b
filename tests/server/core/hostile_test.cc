// What a peer says that no honest peer would say, and what arrives when nobody counts on it:
// nothing of it may end a process, end a leadership, or count for more than it is.
#include <gtest/gtest.h>

#include <memory>

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
  explicit Server(TermMap log, Index behind = 0, const CoreSettings& settings = kSettings) {
    CoreStart start{
        .cluster = kSceneCluster, .uid = Scene::Uid(1), .state = {.term = 5}, .log = log};
    start.specials = SpecialHistory({.index = 0, .configuration = MembersUpTo(3)});
    start.written = log.last().index;
    start.commit = start.applied = log.last().index - behind;
    start.settings = settings;
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

/// Who heals is told how far; no word of that ends a fault below what is committed.
TEST(Hostile, A3_NoWordHealsBelowWhatIsCommitted) {
  TermMap log(1, 0);
  log.Append({3, 40});
  Server server(log);
  server.Step(Damaged{.from = 20, .to = 30});
  const Effects told = server.Step(From(2, 5, AppendEntries{.previous = {3, 19}}));
  server.Step(Stored{1});
  const Effects again = server.Step(From(2, 5, AppendEntries{.previous = {3, 19}}));
  const std::uint64_t fault = std::get<AppendReply>(again.send.front().body).fault;
  server.Step(From(2, 5, AppendEntries{.previous = {3, 19}, .heal_upto = 5, .heal_fault = fault}));
  EXPECT_EQ(server.core().standing(), Standing::kFaulty);
}

TEST(Hostile, R4_NoEntryLiesBehindTheLastIndex) {
  Message message = From(2, 5, AppendEntries{.previous = {5, kIndexEnd - 3}, .runs = {{5, 2}}});
  EXPECT_TRUE(IsSane(message));
  std::get<AppendEntries>(message.body).runs[0].count = 3;
  EXPECT_FALSE(IsSane(message));
}

/// The cut that it does not know is forgotten, once a newer notice has told of it.
TEST(Hostile, C2_ALateNoticeOfAnEarlierEpochIsVoid) {
  Server server(ShortLog());
  server.Step(From(2, 5, AppendEntries{.previous = {3, 4}, .runs = {{4, 6}}}));
  server.Step(From(2, 5, AppendEntries{.previous = {3, 4}, .runs = {{5, 2}}}));
  ASSERT_EQ(server.core().epoch(), 1U);
  server.Step(WrittenUpTo{.epoch = 1, .end = 7});
  server.Step(From(2, 5, AppendEntries{.previous = {5, 6}, .runs = {{5, 4}}}));
  server.Step(WrittenUpTo{.epoch = 0, .end = 11});
  EXPECT_EQ(server.core().written(), 6U);
}

TEST(Hostile, A19_WhatASnapshotReplacesIsVerifiedNoLonger) {
  Server server(ShortLog());
  server.Step(From(2, 5, AppendEntries{.previous = {3, 4}, .runs = {{5, 16}}}));
  SpecialEntry base{.index = 0, .configuration = MembersUpTo(3)};
  server.Step(
      Installed{.from = Scene::Uid(3), .term = 4, .snapshot = {.last = {4, 9}, .base = base}});
  ASSERT_EQ(server.core().log().last().index, 9U);
  server.Step(From(2, 5, AppendEntries{.previous = {4, 9}, .commit = 12}));
  EXPECT_EQ(server.core().commit(), 9U);
}

TEST(Hostile, R22_ARightNumberFromTheWrongServerGrantsNoRead) {
  Server server(ShortLog());
  server.Step(From(2, 5, AppendEntries{.previous = {3, 4}}));
  const Effects asked = server.Step(Query{.ticket = 7});
  const std::uint64_t id = std::get<ReadRequest>(asked.send.at(0).body).id;
  const ReadReply granted{.id = id, .granted = true, .index = 4};
  EXPECT_TRUE(server.Step(From(3, 5, granted)).query.empty());
  EXPECT_EQ(server.Step(From(2, 5, granted)).query.size(), 1U);
}

TEST(Hostile, R24_ATermThatNoServerComesToEndsNoLeadership) {
  Server server(ShortLog());
  server.Lead();
  for (const Term term : {kTermEnd - 1, 6 + kTermLeapMax + 1, 6 + kTermLeapMax}) {
    EXPECT_EQ(server.core().role_kind(), RoleKind::kLeader);
    server.Step(From(2, term, AppendReply{.number = 9}));
  }
  EXPECT_EQ(server.core().term(), 6 + kTermLeapMax);
}

/// Who was removed and never answers is not told for ever.
TEST(Leadership, ME2_WhoCannotBeToldIsGivenUp) {
  Server server(ShortLog());
  server.Lead();
  server.Step(Change{.kind = Change::Kind::kRemove, .member = {.uid = Scene::Uid(3)}});
  server.Step(WrittenUpTo{.end = server.core().log().end()});
  server.Answer(2, Standing::kSound);
  ASSERT_EQ(server.core().commit(), server.core().log().last().index);
  const auto tell = [&](Microseconds time) {
    for (const Microseconds end = server.now() + time; server.now() < end;) {
      server.Pass(kSettings.heartbeat_interval);
      server.Step(Tick{});
      server.Answer(2, Standing::kSound);
    }
    return server.core().Peers().size();
  };
  EXPECT_EQ(tell(4 * kSettings.election_timeout_max), 2U);
  EXPECT_EQ(tell(5 * kSettings.election_timeout_max), 1U);
}

/// The only answer of a step.
Answer AnswerTo(Server& server, EventBody body) {
  const Effects effects = server.Step(std::move(body));
  EXPECT_EQ(effects.reply.size(), 1U);
  return effects.reply.empty() ? Answer::kDone : effects.reply[0].answer;
}

TEST(Leadership, RD4_NoLeaseBeforeTheNoOp) {
  CoreSettings settings = kSettings;
  settings.clock_drift_margin = 10;
  Server server(ShortLog(), 0, settings);
  server.Elect();
  for (const int id : {2, 3}) {
    server.Step(From(
        id, 6,
        AppendReply{.success = true, .match = 4, .last_index = 4, .sent_at = 1000, .number = 1}));
  }
  ASSERT_TRUE(server.core().HoldsLease(server.now()));
  EXPECT_TRUE(server.Step(Query{.ticket = 1, .kind = Query::Kind::kLease}).query.empty());
}

TEST(Leadership, ME3_InSilenceWhoIsDownDoesNotAnswer) {
  Server server(ShortLog());
  server.Lead();
  server.Rest(Standing::kSound);
  server.Step(PeerDown{Scene::Uid(3)});
  EXPECT_EQ(
      AnswerTo(server, Change{.kind = Change::Kind::kRemove, .member = {.uid = Scene::Uid(2)}}),
      Answer::kWouldBreakQuorum);
}

TEST(Leadership, EL6_A3_NothingIsHandedToAFaultyMember) {
  Server server(ShortLog());
  server.Lead();
  server.Answer(2, Standing::kFaulty);
  EXPECT_EQ(AnswerTo(server, Transfer{.ticket = 1, .target = Scene::Uid(2)}), Answer::kNotUpToDate);
  const Effects effects = server.Step(Damaged{.from = 2, .to = 3});
  ASSERT_EQ(effects.send.size(), 1U);
  EXPECT_EQ(effects.send[0].to, Scene::Uid(3));
}

TEST(Leadership, ME1_EL6_NoChangeDuringATransfer) {
  Server server(ShortLog());
  server.Lead();
  server.Step(Transfer{.ticket = 1, .target = Scene::Uid(2)});
  EXPECT_EQ(AnswerTo(server, Change{.member = {.uid = Scene::Uid(4)}}),
            Answer::kTransferInProgress);
}

TEST(Leadership, EL10_A3_AFaultyLearnerIsNotPromoted) {
  Server server(ShortLog());
  server.Lead();
  server.Step(Change{.member = {.uid = Scene::Uid(4), .role = MemberRole::kPromotable}});
  server.Step(WrittenUpTo{.end = server.core().log().end()});
  for (const int id : {2, 4}) server.Answer(id, id == 4 ? Standing::kVoteLost : Standing::kSound);
  server.Answer(3, Standing::kSound);
  ASSERT_EQ(server.core().commit(), server.core().log().last().index);
  EXPECT_FALSE(server.core().configuration().IsVoter(Scene::Uid(4)));
  server.Answer(4, Standing::kSound);
  EXPECT_TRUE(server.core().configuration().IsVoter(Scene::Uid(4)));
}

/// The version that the log is at, whether it still stands in it or is folded into a snapshot.
TEST(Leadership, EL8_SM8_ANoOpKeepsTheMachineVersion) {
  for (const bool folded : {false, true}) {
    CoreSettings settings = kSettings;
    settings.machine_version = 7;
    Server server(ShortLog(), 0, settings);
    AppendEntries append{.previous = {3, 4}, .runs = {{5, 2}}, .commit = 6};
    append.specials = {{.index = 5, .machine_version = 7}};
    server.Step(From(2, 5, append));
    server.Step(WrittenUpTo{.end = 7});
    server.Step(AppliedUpTo{6});
    if (folded) server.Step(Compacted{.floor = 7});
    server.Pass(kSettings.election_timeout_max);
    server.Elect();
    EXPECT_EQ(server.core().specials().MachineVersionAt(7), 7U);
  }
}

TEST(Leadership, A3_ALateAnswerMakesNobodySound) {
  Server server(ShortLog());
  server.Lead();
  server.Answer(2, Standing::kFaulty);
  const Index last = server.core().log().last().index;
  server.Step(
      From(2, 6, AppendReply{.success = true, .match = last, .last_index = last, .number = 1}));
  EXPECT_EQ(server.core().Peers()[0].standing, Standing::kFaulty);
}

TEST(Leadership, A16_AnAnswerFromTheFutureIsVoid) {
  for (const bool round : {false, true}) {
    Server server(ShortLog());
    server.Lead();
    AppendReply reply{.success = true, .match = 5, .last_index = 5, .number = 99};
    (round ? reply.round : reply.sent_at) = 5000;
    server.Step(From(2, 6, reply));
    EXPECT_EQ(server.core().counters().void_messages, 1U);
  }
}

TEST(Leadership, R20_WhoIsBackIsWrittenToAtOnce) {
  Server server(ShortLog());
  server.Elect();
  server.Step(PeerUp{.peer = Scene::Uid(2), .boot = 1});
  server.Step(PeerDown{Scene::Uid(2)});
  EXPECT_EQ(server.Step(PeerUp{.peer = Scene::Uid(2), .boot = 1}).send.size(), 1U);
}

TEST(Leadership, EL7_AFloorAboveTheMajorityHolds) {
  CoreSettings settings = kSettings;
  settings.min_quorum = 3;
  Server server(ShortLog(), 0, settings);
  const Effects asked = server.Step(Tick{});
  const std::uint64_t token = std::get<PreVoteRequest>(asked.send.front().body).token;
  server.Step(From(2, 5, PreVoteReply{.token = token, .granted = true}));
  EXPECT_EQ(server.core().role_kind(), RoleKind::kPreCandidate);
  server.Step(From(3, 5, PreVoteReply{.token = token, .granted = true}));
  EXPECT_EQ(server.core().role_kind(), RoleKind::kCandidate);
}

/// What waits has an end, and says so.
TEST(Leadership, CM11_WhatIsTooMuchIsRefused) {
  CoreSettings settings = kSettings;
  settings.uncommitted_entries_max = 3;
  settings.waiting_reads_max = 2;
  Server leader(ShortLog(), 0, settings);
  leader.Lead();
  EXPECT_EQ(AnswerTo(leader, Propose{.count = 2}), Answer::kDone);
  EXPECT_EQ(AnswerTo(leader, Propose{.count = 2}), Answer::kOverloaded);
  EXPECT_EQ(AnswerTo(leader, Propose{.count = ~0ULL}), Answer::kOverloaded);
  Server follower(ShortLog(), 0, settings);
  follower.Step(From(2, 5, AppendEntries{.previous = {3, 4}, .commit = 4}));
  for (int query = 0; query < 2; ++query) {
    EXPECT_TRUE(follower.Step(Query{.ticket = 1}).reply.empty());
  }
  EXPECT_EQ(AnswerTo(follower, Query{.ticket = 3}), Answer::kOverloaded);
  for (const std::uint64_t id : {1, 2, 3}) {
    EXPECT_EQ(leader.Step(From(3, 6, ReadRequest{.id = id})).send.empty(), id == 2);
  }
}

/// Draws messages whose numbers lie around what the core has, and at the ends of what there is.
class Liar {
 public:
  Liar(std::uint64_t seed, const Core& core) : rng_(seed), core_(core) {}

  Message Draw() {
    const std::uint64_t kind = rng_.Below(kMessageKinds);
    const bool odd = rng_.Below(8) == 0;
    Message message = From(static_cast<int>(2 + rng_.Below(odd ? 8 : 2)), Near(core_.term()), {});
    if (rng_.Below(4) != 0) message.term = std::max<Term>(core_.term(), 1);
    message.boot = rng_.Below(20) == 0 ? boot_++ : 1;
    message.body = BodyOf(kind);
    return message;
  }
  Rng& rng() { return rng_; }
  /// Its rounds of pre-votes, and its faults, are no secrets.
  void Hear(const Message& message) {
    if (const auto* ask = std::get_if<PreVoteRequest>(&message.body)) token_ = ask->token;
    const auto* reply = std::get_if<AppendReply>(&message.body);
    if (reply != nullptr && reply->fault != 0) fault_ = reply->fault;
  }
  std::uint64_t Near(std::uint64_t value) {
    constexpr std::uint64_t kFar[] = {0, 1, kIndexEnd - 1, kIndexEnd, ~0ULL};
    if (rng_.Below(200) == 0) return kFar[rng_.Below(5)];
    const std::uint64_t to = value + rng_.Below(5);
    return to >= 2 ? to - 2 : 0;
  }
  Index AnIndex() {
    switch (rng_.Below(4)) {
      case 0:
        return Near(core_.log().last().index);
      case 1:
        return Near(core_.commit());
      case 2:
        return Near(core_.log().begin());
      default:
        return rng_.Below(core_.log().last().index + 4);
    }
  }
  LogEnd AnEnd() {
    const Index index = AnIndex();
    const std::optional<Term> there = core_.log().TermAt(index);
    if (there && rng_.Below(4) != 0) return {*there, index};
    return {Near(core_.log().last().term), index};
  }
  SpecialEntry ASpecial(Index index) {
    SpecialEntry special{.index = index};
    if (rng_.Below(2) == 0) {
      special.machine_version = static_cast<std::uint32_t>(rng_.Below(3));
      return special;
    }
    Configuration members;
    for (int id = 1; id <= 4; ++id) {
      if (rng_.Below(5) == 0) continue;
      members =
          members.With({.uid = Scene::Uid(id),
                        .role = static_cast<MemberRole>(rng_.Below(8) == 0 ? rng_.Below(4) : 0),
                        .promote_at = AnIndex()});
    }
    special.configuration = members;
    return special;
  }

 private:
  AppendEntries Entries() {
    AppendEntries append{.previous = AnEnd(), .commit = AnIndex()};
    Term term = append.previous.term;
    for (std::uint64_t run = rng_.Below(3); run-- > 0;) {
      term = std::max(term, rng_.Below(2) == 0 ? core_.term() : Near(term));
      append.runs.push_back({term, rng_.Below(100) == 0 ? Near(65536) : 1 + rng_.Below(4)});
    }
    for (Index at = append.previous.index + 1; at < append.end() && at < append.previous.index + 8;
         ++at) {
      if (rng_.Below(4) == 0) append.specials.push_back(ASpecial(at));
    }
    append.round = rng_.Below(20);
    append.sent_at = rng_.Below(3000);
    append.quiet = rng_.Below(3) == 0;
    append.heal_upto = rng_.Below(2) == 0 ? 0 : AnIndex();
    append.heal_fault = fault_;
    append.acknowledged = rng_.Below(10) == 0 ? AnIndex() : 0;
    return append;
  }
  AppendReply AReply(std::uint64_t id, bool yes, Standing standing) {
    const Leader* leader = std::get_if<Leader>(&core_.role());
    return {.success = yes,
            .match = AnIndex(),
            .hint = AnEnd(),
            .stream = rng_.Below(3),
            .last_index = AnIndex() + rng_.Below(3),
            .round = Near(leader == nullptr ? 0 : leader->round),
            .sent_at = rng_.Below(3000),
            .standing = standing,
            .fault = id,
            .number = ++number_,
            .machine_version = static_cast<std::uint32_t>(rng_.Below(3))};
  }
  std::uint64_t ATransfer(std::uint64_t otherwise) const {
    const Leader* leader = std::get_if<Leader>(&core_.role());
    if (leader == nullptr) return otherwise;
    for (const auto& [uid, peer] : leader->peers) {
      if (peer.transfer != 0) return peer.transfer;
    }
    return otherwise;
  }
  MessageBody BodyOf(std::uint64_t kind) {
    const bool yes = rng_.Below(2) == 0;
    const std::uint64_t id = rng_.Below(10) == 0 ? Near(1) : 1 + rng_.Below(5);
    const auto standing = static_cast<Standing>(rng_.Below(5) == 0 ? rng_.Below(4) : 0);
    switch (kind) {
      case 0:
        return PreVoteRequest{
            .proposed_term = Near(core_.term() + 1), .last = AnEnd(), .token = id};
      case 1:
        return PreVoteReply{.token = token_, .granted = yes};
      case 2:
        return VoteRequest{.last = AnEnd(), .transfer = yes};
      case 3:
        return VoteReply{.granted = yes};
      case 4:
        return Entries();
      case 5:
        return AReply(id, yes, standing);
      case 6:
        return TimeoutNow{};
      case 7:
        return ReadRequest{.id = id};
      case 8:
        return ReadReply{.id = id, .granted = yes, .index = AnIndex()};
      case 9:
        return InstallSnapshot{.last = AnEnd(), .base = ASpecial(AnIndex()), .transfer = id};
      default:
        return InstallReply{.transfer = ATransfer(id), .match = AnIndex(), .standing = standing};
    }
  }
  Rng rng_;
  const Core& core_;
  std::uint64_t token_ = 0;
  std::uint64_t fault_ = 0;
  std::uint64_t boot_ = 2;
  std::uint64_t number_ = 0;
};

/// A life among liars, with a disk and callers that are honest.
class Life {
 public:
  explicit Life(std::uint64_t seed)
      : server_(LogOf(seed), seed % 2 == 0 && seed % 5 != 0 ? 2 : 0), liar_(seed, server_.core()) {
    applied_ = server_.core().commit();
  }
  void Live(int steps) {
    for (int step = 0; step < steps; ++step) {
      EventBody event = liar_.rng().Below(2) == 0 ? liar_.Draw() : AnEvent();
      Look(server_.Step(std::move(event)));
    }
  }

 private:
  static TermMap LogOf(std::uint64_t seed) {
    TermMap log = seed % 3 == 0 ? TermMap(11, 2) : TermMap(1, 0);
    log.Append({3, seed % 5 == 0 ? 0U : 6U});
    return log;
  }
  void Look(const Effects& effects) {
    const Core& core = server_.core();
    if (effects.store) stored_ = effects.store->sequence;
    if (effects.install) install_ = effects.install;
    if (effects.reset) applied_ = std::max(applied_, effects.reset_to.index);
    if (!effects.apply.empty()) {
      EXPECT_GE(effects.apply.begin, core.log().begin());
      EXPECT_LE(effects.apply.end, core.log().end());
      applied_ = effects.apply.end - 1;
      server_.Step(AppliedUpTo{applied_});
    }
    EXPECT_LE(effects.send.size(), 600U);
    const bool at_the_end = core.term() + 2 >= kTermEnd;
    for (const Message& message : effects.send) {
      liar_.Hear(message);
      EXPECT_TRUE(IsSane(message) || at_the_end) << NameOfMessage(message.body.index());
    }
  }
  EventBody AnEvent() {
    Rng& rng = liar_.rng();
    const ServerUid peer = Scene::Uid(static_cast<int>(1 + rng.Below(5)));
    const bool yes = rng.Below(2) == 0;
    switch (rng.Below(16)) {
      case 0:
        server_.Pass(rng.Below(300));
        return Tick{};
      case 1:
        return Propose{.ticket = 1, .count = liar_.Near(2)};
      case 2:
        return Change{.ticket = 2,
                      .kind = yes ? Change::Kind::kAdd : Change::Kind::kRemove,
                      .member = {.uid = peer, .role = static_cast<MemberRole>(rng.Below(3))}};
      case 3:
        return Query{.ticket = 3, .kind = yes ? Query::Kind::kLease : Query::Kind::kConsistent};
      case 4:
        return Transfer{.ticket = 4, .target = peer};
      case 5:
        return SentUpTo{.peer = peer, .end = liar_.AnIndex()};
      case 6:
        return PeerUp{.peer = peer, .boot = rng.Below(4)};
      case 7:
        return PeerDown{.peer = peer};
      case 8:
        return PeerFlow{.peer = peer, .open = yes};
      case 9:
        return TriggerElection{};
      case 10:
        return AStorageEvent();
      case 11:
        return Stored{stored_};
      case 12:
        server_.Pass(rng.Below(20));
        return Tick{};
      default:
        return WrittenUpTo{.epoch = server_.core().epoch(), .end = server_.core().log().end()};
    }
  }
  EventBody AStorageEvent() {
    Rng& rng = liar_.rng();
    const TermMap& log = server_.core().log();
    switch (rng.Below(4)) {
      case 0:
        if (rng.Below(4) == 0) return WalDown{};
        return WalUp{};
      case 1:
        if (rng.Below(4) == 0) return Damaged{.from = liar_.AnIndex(), .to = liar_.AnIndex()};
        return WalUp{};
      case 2:
        if (!install_) return WalUp{};
        return Installed{
            .from = Scene::Uid(2), .term = server_.core().term(), .snapshot = *install_};
      default:
        if (applied_ + 1 < log.begin() || applied_ >= log.end()) return WalUp{};
        return Compacted{.floor = log.begin() + rng.Below(applied_ + 2 - log.begin())};
    }
  }

  Server server_;
  Liar liar_;
  std::uint64_t stored_ = 0;
  Index applied_ = 0;
  std::optional<InstallSnapshot> install_;
};

/// CheckInvariants after each step, and no CHECK ever.
TEST(Hostile, R4_LivesAmongLiars) {
  for (std::uint64_t seed = 1; seed <= 3000; ++seed) {
    SCOPED_TRACE(seed);
    Life(seed).Live(150);
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace duramen::core
