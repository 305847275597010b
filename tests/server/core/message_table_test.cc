// The role x message table against the core, cell by cell, and what stands before the table: who
// may say anything at all. Every message is delivered twice.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <functional>
#include <sstream>

#include "tests/server/core/message_page.h"
#include "tests/server/core/scene.h"

namespace duramen::core {
namespace {

/// Of one cell of the table.
struct Cell {
  RoleKind role;
  std::size_t kind;
  TermRelation relation;
};

std::string Describe(const Cell& cell) {
  return std::string(NameOf(cell.role)) + ", " + std::string(NameOfMessage(cell.kind)) + ", " +
         std::string(NameOf(cell.relation));
}

void ForEachCell(const std::function<void(const Cell&)>& look) {
  for (std::size_t role = 0; role < kRoleKinds; ++role) {
    for (std::size_t kind = 0; kind < kMessageKinds; ++kind) {
      for (std::size_t relation = 0; relation < 3; ++relation) {
        const Cell cell{static_cast<RoleKind>(role), kind, static_cast<TermRelation>(relation)};
        SCOPED_TRACE(Describe(cell));
        look(cell);
      }
    }
  }
}

bool IsLead(std::size_t kind) { return kind == 4 || kind == 9; }  // entries, snapshots

void ExpectDropped(Scene& scene, const Message& message) {
  const std::string before = scene.Fingerprint();
  for (int time = 0; time < 2; ++time) {
    EXPECT_TRUE(IsNothing(scene.Step(message)));
    EXPECT_EQ(scene.Fingerprint(), before);
  }
}

void ExpectRefused(Scene& scene, const Message& message) {
  const std::string before = scene.Fingerprint();
  for (int time = 0; time < 2; ++time) {
    Effects effects = scene.Step(message);
    ASSERT_EQ(effects.send.size(), 1U);
    const Message& answer = effects.send.front();
    EXPECT_EQ(answer.body.index(), AnswerTo(message.body.index()));
    EXPECT_EQ(answer.term, scene.core().term());
    EXPECT_EQ(answer.to, message.from);
    if (const auto* reply = std::get_if<PreVoteReply>(&answer.body)) {
      EXPECT_FALSE(reply->granted);
    }
    if (const auto* reply = std::get_if<VoteReply>(&answer.body)) {
      EXPECT_FALSE(reply->granted);
    }
    if (const auto* reply = std::get_if<AppendReply>(&answer.body)) {
      EXPECT_FALSE(reply->success);
    }
    if (const auto* reply = std::get_if<ReadReply>(&answer.body)) {
      EXPECT_FALSE(reply->granted);
    }
    if (const auto* reply = std::get_if<InstallReply>(&answer.body)) {
      EXPECT_EQ(reply->match, 0U);
    }
    effects.send.clear();
    EXPECT_TRUE(IsNothing(effects));
    EXPECT_EQ(scene.Fingerprint(), before);
  }
}

/// The role in which a core is after it has dealt with a message in `cell`.
RoleKind RoleAfter(const Cell& cell) {
  const bool granted_round = cell.role == RoleKind::kPreCandidate && cell.kind == 1;
  const bool told_to = cell.role == RoleKind::kFollower && cell.kind == 6;
  if (granted_round || told_to) return RoleKind::kCandidate;
  if (cell.role == RoleKind::kCandidate && cell.kind == 3) return RoleKind::kLeader;
  return cell.role;
}

void ExpectHandled(Scene& scene, const Message& message, const Cell& cell) {
  const std::string before = scene.Fingerprint();
  const Term term = scene.core().term();
  const Effects effects = scene.Step(message);
  EXPECT_TRUE(!IsNothing(effects) || scene.Fingerprint() != before) << "it does nothing";
  EXPECT_EQ(scene.core().role_kind(), RoleAfter(cell));
  EXPECT_EQ(scene.core().term(),
            term + (RoleAfter(cell) == RoleKind::kCandidate && cell.role != RoleKind::kCandidate));
  const std::string after = scene.Standing();
  scene.Step(message);
  EXPECT_EQ(scene.Standing(), after) << "twice is not once";
}

void ExpectYields(Scene& scene, const Message& message) {
  const Term term = scene.core().term();
  EXPECT_FALSE(IsNothing(scene.Step(message)));
  EXPECT_EQ(scene.core().role_kind(), RoleKind::kFollower);
  EXPECT_EQ(scene.core().term(), term);
  EXPECT_EQ(scene.core().leader(), message.from);
  const std::string after = scene.Standing();
  scene.Step(message);
  EXPECT_EQ(scene.Standing(), after);
}

/// Takes the term, says nothing before it is durable, and then what is due.
void ExpectAdopted(Scene& scene, const Message& message, const Cell& cell) {
  const Effects effects = scene.Step(message);
  ASSERT_TRUE(effects.store);
  EXPECT_EQ(effects.store->state.term, message.term);
  EXPECT_TRUE(effects.send.empty());
  EXPECT_EQ(scene.core().role_kind(), RoleKind::kFollower);
  EXPECT_EQ(scene.core().term(), message.term);
  EXPECT_EQ(scene.core().leader().has_value(), IsLead(cell.kind));
  EXPECT_EQ(effects.leading.has_value(), cell.role == RoleKind::kLeader);
  EXPECT_EQ(effects.install.has_value(), cell.kind == 9);
  const std::string after = scene.Standing();
  scene.Step(message);
  EXPECT_EQ(scene.Standing(), after);
  std::size_t answers = scene.Step(Stored{effects.store->sequence}).send.size();
  if (!effects.append.empty()) {
    answers +=
        scene.Step(WrittenUpTo{.epoch = scene.core().epoch(), .end = scene.core().log().end()})
            .send.size();
  }
  if (cell.kind == 2 || cell.kind == 7) {
    EXPECT_EQ(answers, 2U);  // one for each time that it asked
  } else if (cell.kind == 4) {
    EXPECT_GE(answers, 1U);
  } else {
    EXPECT_EQ(answers, 0U);
  }
}

TEST(MessageTable, R4_EveryCellDoesWhatItSays) {
  int cells = 0;
  ForEachCell([&](const Cell& cell) {
    ++cells;
    Scene scene(cell.role);
    const Message message = scene.Sane(cell.kind, cell.relation);
    ASSERT_TRUE(IsSane(message));
    switch (DispositionOf(cell.role, cell.kind, cell.relation)) {
      case Disposition::kDrop:
        return ExpectDropped(scene, message);
      case Disposition::kRefuse:
        return ExpectRefused(scene, message);
      case Disposition::kHandle:
        return ExpectHandled(scene, message, cell);
      case Disposition::kYield:
        return ExpectYields(scene, message);
      case Disposition::kAdopt:
        return ExpectAdopted(scene, message, cell);
    }
  });
  EXPECT_EQ(cells, 165);
}

TEST(MessageTable, R4_ThePageIsTheTable) {
  const std::string path = std::string(DURAMEN_SOURCE_DIR) + "/docs/raft-messages.md";
  if (std::getenv("REWRITE") != nullptr) std::ofstream(path) << MessagePage();
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  EXPECT_EQ(text.str(), MessagePage()) << "run this test with REWRITE=1";
}

TEST(MessageTable, RE10_A15_WhatIsNotMeantForThisServerDoesNothing) {
  ForEachCell([&](const Cell& cell) {
    const auto expect_nothing = [&](const std::function<void(Message&)>& spoil) {
      Scene scene(cell.role);
      Message message = scene.Sane(cell.kind, cell.relation);
      spoil(message);
      ExpectDropped(scene, message);
      EXPECT_GE(scene.core().counters().insane_messages, 2U);
    };
    expect_nothing([](Message& message) { message.cluster = kSceneCluster + 1; });
    // Another incarnation of this server: its name, and not its uid.
    expect_nothing([](Message& message) { message.to = Scene::Uid(77); });
    expect_nothing([](Message& message) { message.from = message.to; });
    expect_nothing([](Message& message) { message.from = {}; });
    expect_nothing([](Message& message) { message.term = kTermEnd; });
  });
}

TEST(MessageTable, A4_AnEarlierBootSaysNothing) {
  ForEachCell([&](const Cell& cell) {
    if (cell.role == RoleKind::kDown) return;  // It drops everything, and learns nothing of it.
    Scene scene(cell.role);
    Message message = scene.Sane(cell.kind, cell.relation);
    scene.Step(PeerUp{.peer = message.from, .boot = 5});
    message.boot = 4;
    ExpectDropped(scene, message);
    EXPECT_EQ(scene.core().counters().void_messages, 2U);
  });
}

TEST(MessageTable, EL11_A21_OfAStrangerOnlyEntriesAndVotesCountAndReplies) {
  ForEachCell([&](const Cell& cell) {
    Scene scene(cell.role);
    Message message = scene.Sane(cell.kind, cell.relation);
    message.from = Scene::Uid(9);
    if (IsLead(cell.kind) || cell.kind == 0 || cell.kind == 2 || cell.role == RoleKind::kDown) {
      for (int time = 0; time < 2; ++time) scene.Step(message);
      const bool adopts = DispositionOf(cell.role, cell.kind, cell.relation) == Disposition::kAdopt;
      EXPECT_EQ(scene.core().term() == message.term,
                adopts || cell.relation == TermRelation::kSame);
      if (const Leader* leader = std::get_if<Leader>(&scene.core().role())) {
        EXPECT_EQ(leader->peers.size(), 2U);
      }
      return;
    }
    ExpectDropped(scene, message);
  });
}

/// Two of three elect; nobody's word counts for two, and none that is no voter's.
TEST(MessageTable, EL10_EL11_OnlyVotersElect) {
  for (const RoleKind role : {RoleKind::kPreCandidate, RoleKind::kCandidate}) {
    Scene scene(role, true);
    Message message = scene.Sane(role == RoleKind::kCandidate ? 3 : 1, TermRelation::kSame);
    for (const int from : {4, 4, 9}) {
      message.from = Scene::Uid(from);
      scene.Step(message);
      EXPECT_EQ(scene.core().role_kind(), role);
    }
    message.from = Scene::Uid(3);
    scene.Step(message);
    EXPECT_NE(scene.core().role_kind(), role);
  }
}

/// What a quorum still answers, no stranger ends, and no member that asks for votes.
TEST(MessageTable, EL3_EL11_ALeaderThatIsHeardRefusesVotes) {
  for (const std::size_t kind : {std::size_t{0}, std::size_t{2}}) {
    for (const int from : {2, 9}) {
      Scene scene(RoleKind::kLeader);
      scene.Step(
          Message{.cluster = kSceneCluster,
                  .from = Scene::Uid(3),
                  .to = Scene::Uid(1),
                  .boot = 1,
                  .term = scene.core().term(),
                  .body = AppendReply{
                      .success = true, .match = 5, .last_index = 5, .sent_at = 1390, .number = 2}});
      Message message = scene.Sane(kind, TermRelation::kNewer);
      message.from = Scene::Uid(from);
      ExpectRefused(scene, message);
    }
  }
}

constexpr std::uint64_t kExtremes[] = {0,         1,          1ULL << 32, kIndexEnd - 1,
                                       kIndexEnd, 1ULL << 63, ~0ULL - 1,  ~0ULL};

using Numbers = std::vector<std::uint64_t*>;
struct NumbersOf {
  Numbers operator()(PreVoteRequest& body) const {
    return {&body.proposed_term, &body.last.term, &body.last.index, &body.token};
  }
  Numbers operator()(PreVoteReply& body) const { return {&body.token}; }
  Numbers operator()(VoteRequest& body) const { return {&body.last.term, &body.last.index}; }
  Numbers operator()(VoteReply&) const { return {}; }
  Numbers operator()(AppendEntries& body) const {
    return {&body.previous.term, &body.previous.index, &body.runs[0].term,
            &body.runs[0].count, &body.commit,         &body.round,
            &body.sent_at,       &body.heal_upto,      &body.heal_fault, &body.acknowledged};
  }
  Numbers operator()(AppendReply& body) const {
    return {&body.match, &body.hint.term, &body.hint.index, &body.last_index,
            &body.round, &body.sent_at,   &body.fault, &body.number};
  }
  Numbers operator()(TimeoutNow&) const { return {}; }
  Numbers operator()(ReadRequest& body) const { return {&body.id}; }
  Numbers operator()(ReadReply& body) const { return {&body.id, &body.index}; }
  Numbers operator()(InstallSnapshot& body) const {
    return {&body.last.term, &body.last.index, &body.base.index, &body.transfer};
  }
  Numbers operator()(InstallReply& body) const { return {&body.transfer, &body.match}; }
};

Numbers NumbersIn(Message& message) {
  Numbers numbers = std::visit(NumbersOf{}, message.body);
  numbers.push_back(&message.cluster);
  numbers.push_back(&message.boot);
  numbers.push_back(&message.term);
  return numbers;
}

/// Whatever it says, it is ignored or dealt with, and moves nothing but by what it may.
void ExpectHarmless(Scene& scene, const Message& message) {
  const std::string before = scene.Fingerprint();
  const Term term = scene.core().term();
  const Index end = scene.core().log().end();
  const bool counts = IsSane(message) && message.cluster == kSceneCluster;
  for (int time = 0; time < 2; ++time) {
    const Effects effects = scene.Step(message);
    EXPECT_LE(effects.send.size(), 4U);
    if (!counts) {
      EXPECT_TRUE(IsNothing(effects));
    }
  }
  if (!counts) {
    EXPECT_EQ(scene.Fingerprint(), before);
  }
  EXPECT_GE(scene.core().term(), term);
  EXPECT_LE(scene.core().term(), std::max(term + 1, message.term));
  EXPECT_LE(scene.core().log().end(), end + kEntriesInMessageMax);
}

TEST(MessageTable, R4_EveryNumberOutOfRangeIsHarmless) {
  int tried = 0;
  ForEachCell([&](const Cell& cell) {
    Message first = Scene(cell.role).Sane(cell.kind, cell.relation);
    const std::size_t numbers = NumbersIn(first).size();
    for (std::size_t number = 0; number < numbers; ++number) {
      for (const std::uint64_t extreme : kExtremes) {
        Scene scene(cell.role);
        Message message = scene.Sane(cell.kind, cell.relation);
        *NumbersIn(message)[number] = extreme;
        SCOPED_TRACE(testing::Message() << "number " << number << " is " << extreme);
        ExpectHarmless(scene, message);
        ++tried;
      }
    }
  });
  EXPECT_GT(tried, 5000);
}

TEST(MessageTable, R4_EntriesThatContradictThemselvesAreNotTaken) {
  const auto insane = [](const std::function<void(AppendEntries&)>& spoil) {
    Scene scene(RoleKind::kFollower);
    Message message = scene.Sane(4, TermRelation::kSame);
    spoil(std::get<AppendEntries>(message.body));
    ExpectDropped(scene, message);
    EXPECT_EQ(scene.core().counters().insane_messages, 2U);
  };
  const auto change = [](Index index) {
    SpecialEntry entry{.index = index, .configuration = Configuration{}};
    entry.configuration = entry.configuration->With({.uid = Scene::Uid(1)});
    return entry;
  };
  insane([](AppendEntries& append) { append.runs = {{4, 1}, {3, 1}}; });  // terms fall
  insane([](AppendEntries& append) { append.runs = {{2, 1}}; });          // below what is before
  insane([](AppendEntries& append) { append.runs = {{6, 1}}; });          // above the leader's own
  insane([](AppendEntries& append) { append.runs = {{5, 0}}; });          // no entry
  insane([](AppendEntries& append) { append.runs = {{0, 1}}, append.previous = {0, 0}; });
  insane([](AppendEntries& append) { append.runs = {{5, 40'000}, {5, 40'000}}; });
  insane([](AppendEntries& append) { append.runs.assign(70'000, {5, 1}); });
  insane([&](AppendEntries& append) {
    append.specials = {change(5)};
    append.specials[0].configuration->members[0].node.assign(kNodeNameBytesMax + 1, 'a');
  });
  insane([&](AppendEntries& append) { append.specials = {change(4)}; });  // before its entries
  insane([&](AppendEntries& append) { append.specials = {change(6)}; });  // behind them
  insane([&](AppendEntries& append) { append.specials = {change(5), change(5)}; });
  insane([&](AppendEntries& append) {
    append.specials = {change(5)};
    append.specials[0].configuration = Configuration{};  // without members
  });
  insane([&](AppendEntries& append) {
    append.specials = {change(5)};
    append.specials[0].configuration->members[0].role = MemberRole::kNonVoter;  // without voters
  });
  insane([&](AppendEntries& append) {
    append.specials = {change(5)};
    std::vector<Member>& members = append.specials[0].configuration->members;
    members.push_back(members[0]);  // one twice
  });
  insane([&](AppendEntries& append) {
    append.specials = {change(5)};
    for (int id = 2; id <= 65; ++id) {
      append.specials[0].configuration =
          append.specials[0].configuration->With({.uid = Scene::Uid(id)});
    }
  });
}

TEST(MessageTable, R4_AFloodGrowsNothing) {
  for (std::size_t role = 0; role < kRoleKinds; ++role) {
    Scene scene(static_cast<RoleKind>(role));
    for (int id = 1; id < 256; ++id) {
      for (std::size_t kind = 0; kind < kMessageKinds; ++kind) {
        Message message = scene.Sane(kind, TermRelation::kSame);
        if (kind == 9) std::get<InstallSnapshot>(message.body).transfer = scene.core().term();
        message.from.bytes[0] = static_cast<std::uint8_t>(id);  // nobody's
        message.boot = static_cast<std::uint64_t>(id);
        const Effects effects = scene.Step(message);  // CheckInvariants has the bounds.
        EXPECT_LE(effects.send.size(), 3U);
      }
    }
    EXPECT_LE(scene.core().log().last().index, 5U);
    EXPECT_LE(scene.core().specials().size(), 1U);
  }
}

}  // namespace
}  // namespace duramen::core
