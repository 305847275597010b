#include "tests/server/core/scene.h"

#include <array>
#include <sstream>

#include "base/check.h"

namespace duramen::core {
namespace {

constexpr CoreSettings kSettings{
    .election_timeout_min = 100, .election_timeout_max = 200, .heartbeat_interval = 30};

/// A body of each kind, in the order of MessageBody.
struct Said {
  Term term = 0;
  LogEnd last;  // of the receiver's log
  std::uint64_t token = 0;
  std::uint64_t transfer = 0;
};
MessageBody BodyOf(std::size_t kind, const Said& said) {
  SpecialEntry base{.index = 3};
  for (int id = 1; id <= 3; ++id) {
    if (!base.configuration) base.configuration.emplace();
    base.configuration = base.configuration->With({.uid = Scene::Uid(id)});
  }
  const std::array<MessageBody, kMessageKinds> bodies = {
      PreVoteRequest{.proposed_term = said.term + 1, .last = {3, 9}, .token = 77},
      PreVoteReply{.token = said.token, .granted = true},
      VoteRequest{.last = {3, 9}},
      VoteReply{.granted = true},
      AppendEntries{.previous = said.last, .runs = {{said.term, 1}}, .commit = 2},
      AppendReply{.success = true, .match = 5, .last_index = 5, .number = 1},
      TimeoutNow{},
      ReadRequest{.id = 9},
      ReadReply{.id = 1, .granted = true, .index = 2},
      InstallSnapshot{.last = {3, 9}, .base = base, .transfer = 8},
      InstallReply{.transfer = said.transfer, .match = 4}};
  return bodies.at(kind);
}

}  // namespace

ServerUid Scene::Uid(int id) {
  ServerUid uid;
  uid.bytes.back() = static_cast<std::uint8_t>(id);
  return uid;
}

Scene::Scene(RoleKind role, bool learner) {
  CoreStart start{
      .cluster = kSceneCluster, .uid = Uid(1), .state = {.term = 5}, .log = TermMap(1, 0)};
  start.log.Append({1, 2});
  start.log.Append({3, 2});
  Configuration members;
  for (int id = 1; id <= 3; ++id) members = members.With({.uid = Uid(id)});
  if (learner) members = members.With({.uid = Uid(4), .role = MemberRole::kNonVoter});
  start.specials = SpecialHistory({.index = 0, .configuration = members});
  start.written = 4;
  start.commit = start.applied = 2;
  start.settings = kSettings;
  core_ = std::make_unique<Core>(std::move(start));
  now_ = 1000;
  if (role == RoleKind::kFollower) Follow();
  if (role == RoleKind::kPreCandidate) Campaign(false);
  if (role == RoleKind::kCandidate) Campaign(true);
  if (role == RoleKind::kLeader) Lead();
  if (role == RoleKind::kDown) Step(WalDown{});
  now_ += 2 * kSettings.election_timeout_max;
  CHECK(core_->role_kind() == role);
}

Effects Scene::Step(EventBody body) {
  Effects effects;
  core_->Step({.now = now_, .body = std::move(body)}, effects);
  core_->CheckInvariants();
  return effects;
}

Message Scene::From(int id, Term term, MessageBody body) const {
  return {.cluster = kSceneCluster,
          .from = Uid(id),
          .to = Uid(1),
          .boot = 1,
          .term = term,
          .body = std::move(body)};
}

void Scene::Follow() {
  Step(From(2, 5, AppendEntries{.previous = {3, 4}, .commit = 2}));
  Step(Query{.ticket = 40});  // Asked of the leader as number 1.
}

void Scene::Campaign(bool to_the_end) {
  const Effects asked = Step(Tick{});
  token_ = std::get<PreVoteRequest>(asked.send.front().body).token;
  if (!to_the_end) return;
  const Effects won = Step(From(2, 5, PreVoteReply{.token = token_, .granted = true}));
  Step(Stored{won.store->sequence});
}

void Scene::Lead() {
  Campaign(true);
  Step(From(2, 6, VoteReply{.granted = true}));
  Step(WrittenUpTo{.end = 6});
  Step(From(3, 6, AppendReply{.success = true, .match = 5, .last_index = 5, .number = 1}));
  Step(Compacted{.floor = 3});
  transfer_ = Step(SentUpTo{.peer = Uid(2), .end = 1}).send_snapshot.front().transfer;
}

Message Scene::Sane(std::size_t kind, TermRelation relation) const {
  const Term term = core_->term() + static_cast<std::uint64_t>(relation) - 1;
  const LogEnd last = core_->log().last();
  // Who is followed does not ask for votes.
  const bool asks_for_votes = kind == 0 || kind == 2;
  return From(asks_for_votes ? 3 : 2, term,
              BodyOf(kind, {term, last.term > term ? LogEnd{3, 4} : last, token_, transfer_}));
}

std::string Scene::Standing() const {
  std::ostringstream line;
  const HardState& state = core_->state();
  line << NameOf(core_->role_kind()) << " term " << state.term << " vote "
       << int{state.voted_for.bytes.back()} << " log " << core_->log().begin() << ".."
       << core_->log().last().index << "@" << core_->log().last().term << " commit "
       << core_->commit() << " leader " << int{core_->leader().value_or(ServerUid{}).bytes.back()}
       << " standing " << static_cast<int>(core_->standing()) << " members at "
       << core_->specials().configuration_index();
  return line.str();
}

std::string Scene::Fingerprint() const {
  std::ostringstream line;
  line << Standing() << " written " << core_->written() << " deadline "
       << core_->next_deadline().value_or(0);
  if (const Leader* leader = std::get_if<Leader>(&core_->role())) {
    line << " round " << leader->round << " reads " << leader->reads.size();
    for (const auto& [uid, peer] : leader->peers) {
      line << " peer " << int{uid.bytes.back()} << ":" << peer.match << "," << peer.next << ","
           << static_cast<int>(peer.progress) << "," << peer.reply_number << "," << peer.acked_round
           << "," << static_cast<int>(peer.standing);
    }
  }
  if (const Candidate* candidate = std::get_if<Candidate>(&core_->role()))
    line << " votes " << candidate->votes.size();
  if (const PreCandidate* asking = std::get_if<PreCandidate>(&core_->role()))
    line << " votes " << asking->votes.size();
  if (const Follower* follower = std::get_if<Follower>(&core_->role()))
    line << " verified " << follower->verified;
  return line.str();
}

bool IsNothing(const Effects& effects) {
  return !effects.store && !effects.truncate && !effects.reset && effects.append.empty() &&
         effects.send.empty() && effects.send_snapshot.empty() && !effects.install &&
         effects.apply.empty() && effects.query.empty() && effects.reply.empty() &&
         !effects.leading && !effects.removed;
}

std::optional<std::size_t> AnswerTo(std::size_t kind) {
  constexpr std::array<std::size_t, kMessageKinds> kAnswers = {1, 0, 3, 0, 5, 0, 0, 8, 0, 10, 0};
  return kAnswers.at(kind) == 0 ? std::nullopt : std::optional(kAnswers.at(kind));
}

}  // namespace duramen::core
