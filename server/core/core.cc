#include "server/core/core.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/planted.h"

namespace duramen::core {
namespace {

/// Messages that wait for a store; the oldest goes when there are more, as on a bad network.
constexpr std::size_t kHeldMessagesMax = 256;

TermRelation RelationOf(Term theirs, Term ours) {
  if (theirs < ours) return TermRelation::kOlder;
  return theirs == ours ? TermRelation::kSame : TermRelation::kNewer;
}

}  // namespace

std::string_view NameOf(Answer answer) {
  constexpr std::array<std::string_view, 20> kNames = {"done",
                                                       "already",
                                                       "not_leader",
                                                       "lost",
                                                       "not_ready",
                                                       "change_in_progress",
                                                       "configuration_moved",
                                                       "would_break_quorum",
                                                       "last_member",
                                                       "unknown_member",
                                                       "non_voter",
                                                       "not_up_to_date",
                                                       "already_leader",
                                                       "transfer_in_progress",
                                                       "cancelled",
                                                       "timeout",
                                                       "wal_down",
                                                       "faulty",
                                                       "overloaded",
                                                       "invalid"};
  return kNames[static_cast<std::size_t>(answer)];
}

Status Validate(const CoreSettings& settings) {
  const auto refused = [](const char* message, const char* hint) {
    return Error{ErrorCode::kConfiguration, message, hint};
  };
  if (settings.election_timeout_min >= settings.election_timeout_max) {
    return refused("election_timeout_min is not below election_timeout_max",
                   "set the longest to about twice the shortest, so that votes are rarely split");
  }
  if (settings.heartbeat_interval == 0 ||
      settings.heartbeat_interval >= settings.election_timeout_min) {
    return refused("heartbeat_interval is 0, or not below election_timeout_min",
                   "set it to about a quarter of election_timeout_min");
  }
  if (settings.clock_drift_margin >= settings.election_timeout_min) {
    return refused("clock_drift_margin is not below election_timeout_min",
                   "set it to how far clocks run apart within election_timeout_max, or to 0 for no "
                   "lease reads");
  }
  if (settings.append_entries_max == 0 || settings.append_entries_max > kEntriesInMessageMax) {
    return refused("append_entries_max is not in 1 to 65536", "128 does well");
  }
  if (settings.pipeline_entries_max == 0) {
    return refused("pipeline_entries_max is 0", "4096 does well");
  }
  return {};
}

Core::Core(CoreStart start)
    : cluster_(start.cluster),
      uid_(start.uid),
      boot_(start.boot),
      settings_(start.settings),
      rng_(start.seed),
      state_(std::move(start.state)),
      log_(std::move(start.log)),
      specials_(std::move(start.specials)),
      vote_lost_(start.vote_lost),
      now_(start.now),
      written_(start.written),
      epoch_(start.epoch),
      noticed_epoch_(start.epoch),
      commit_(start.commit),
      given_(std::max(start.applied, start.given)),
      applied_(start.applied),
      tail_kept_(state_.fault.has_value() && start.tail_kept),
      next_id_(((boot_ - 1) << 32) + 1) {
  CHECK(Validate(settings_).ok());
  CHECK(log_.last().term <= state_.term && written_ <= log_.last().index);
  CHECK(commit_ <= written_ && applied_ <= given_ && given_ <= commit_ &&
        commit_ + 1 >= log_.begin());
  if (state_.fault) fault_id_ = rng_.Next();
  role_ = Follower{.verified = std::min(commit_, log_.last().index)};
  RestartElectionTimer();
  if (MayCampaign() && configuration().voters() == 1) {
    deadline_ = now_;  // Nobody to ask, and nobody to have promised anything to [CL1].
  } else {
    no_votes_before_ = now_ + settings_.election_timeout_min;
  }
}

struct Core::Dispatch {
  Core& core;
  Effects& out;
  void operator()(const Tick&) const { core.OnTick(out); }
  void operator()(const Message& message) const { core.OnMessage(message, out); }
  void operator()(const Propose& propose) const { core.OnPropose(propose, out); }
  void operator()(const Change& change) const { core.OnChange(change, out); }
  void operator()(const ForceConfiguration& force) const { core.OnForceConfiguration(force, out); }
  void operator()(const Query& query) const { core.OnQuery(query, out); }
  void operator()(const Transfer& transfer) const { core.OnTransfer(transfer, out); }
  void operator()(const TriggerElection&) const { core.OnTriggerElection(out); }
  void operator()(const Stored& stored) const { core.OnStored(stored, out); }
  void operator()(const WrittenUpTo& written) const { core.OnWritten(written, out); }
  void operator()(const AppliedUpTo& applied) const { core.OnApplied(applied, out); }
  void operator()(const Compacted& compacted) const { core.OnCompacted(compacted); }
  void operator()(const Installed& installed) const { core.OnInstalled(installed, out); }
  void operator()(const SentUpTo& sent) const { core.OnSentUpTo(sent); }
  void operator()(const PeerFlow& flow) const { core.OnPeerFlow(flow, out); }
  void operator()(const PeerUp& up) const { core.OnPeerUp(up, out); }
  void operator()(const PeerDown& down) const { core.OnPeerDown(down, out); }
  void operator()(const WalDown&) const { core.OnWalDown(out); }
  void operator()(const WalUp&) const { core.OnWalUp(); }
  void operator()(const Damaged& damaged) const { core.OnDamaged(damaged, out); }
};

struct Core::MessageDispatch {
  Core& core;
  const Message& message;
  Effects& out;
  void operator()(const PreVoteRequest& body) const { core.OnPreVoteRequest(message, body, out); }
  void operator()(const PreVoteReply& body) const { core.OnPreVoteReply(message, body, out); }
  void operator()(const VoteRequest& body) const { core.OnVoteRequest(message, body, out); }
  void operator()(const VoteReply& body) const { core.OnVoteReply(message, body, out); }
  void operator()(const AppendEntries& body) const { core.OnAppend(message, body, out); }
  void operator()(const AppendReply& body) const { core.OnAppendReply(message, body, out); }
  void operator()(const TimeoutNow&) const { core.OnTimeoutNow(message, out); }
  void operator()(const ReadRequest& body) const { core.OnReadRequest(message, body, out); }
  void operator()(const ReadReply& body) const { core.OnReadReply(message, body, out); }
  void operator()(const InstallSnapshot& body) const { core.OnInstallSnapshot(message, body, out); }
  void operator()(const InstallReply& body) const { core.OnInstallReply(message, body, out); }
};

void Core::Step(const Event& event, Effects& effects) {
  CHECK(event.now >= now_);
  now_ = event.now;
  std::visit(Dispatch{*this, effects}, event.body);
  if (std::holds_alternative<Leader>(role_)) ReplicateAll(effects);
  if (store_needed_) {
    effects.store = Store{.sequence = store_sequence_, .state = state_};
    store_needed_ = false;
  }
}

std::optional<Microseconds> Core::next_deadline() const {
  std::optional<Microseconds> next = deadline_;
  const auto sooner = [&next](Microseconds at) { next = next ? std::min(*next, at) : at; };
  for (const Forwarded& read : forwarded_) sooner(read.deadline);
  if (const Leader* leader = std::get_if<Leader>(&role_); leader && leader->transfer) {
    sooner(leader->transfer->deadline);
  }
  return next;
}

RoleKind Core::role_kind() const {
  return wal_down_ ? RoleKind::kDown : static_cast<RoleKind>(role_.index());
}

std::optional<ServerUid> Core::leader() const {
  if (std::holds_alternative<Leader>(role_)) return uid_;
  const Follower* follower = std::get_if<Follower>(&role_);
  return follower != nullptr ? follower->leader : std::nullopt;
}

Standing Core::standing() const {
  if (vote_lost_) return Standing::kVoteLost;
  return state_.fault ? Standing::kFaulty : Standing::kSound;
}

void Core::OnTick(Effects& out) {
  const std::size_t before = forwarded_.size();
  for (const Forwarded& read : forwarded_) {
    if (now_ >= read.deadline)
      out.reply.push_back({.ticket = read.ticket, .answer = Answer::kTimeout});
  }
  if (before > 0)
    std::erase_if(forwarded_, [this](const Forwarded& read) { return now_ >= read.deadline; });
  if (std::holds_alternative<Leader>(role_)) return TickLeader(out);
  if (deadline_ && now_ >= *deadline_) StartPreVote(out);
}

void Core::OnMessage(const Message& message, Effects& out) {
  if (!Admit(message, out)) return;
  const TermRelation relation = RelationOf(message.term, state_.term);
  switch (DispositionOf(role_kind(), message.body.index(), relation)) {
    case Disposition::kDrop:
      return;
    case Disposition::kRefuse:
      return Refuse(message, out);
    case Disposition::kYield:
      BecomeFollower(message.from, out);
      break;
    case Disposition::kAdopt: {
      AdoptTerm(message.term, out);
      // What the sender asked of the old role it may not mean for the new one: the table again.
      const Disposition again =
          DispositionOf(role_kind(), message.body.index(), TermRelation::kSame);
      if (again == Disposition::kDrop) return;
      if (again == Disposition::kRefuse) return Refuse(message, out);
      break;
    }
    case Disposition::kHandle:
      break;
  }
  std::visit(MessageDispatch{*this, message, out}, message.body);
}

/// Whether a message counts at all: meant for this server, of a living sender, and allowed to move
/// its term [A4, A21].
bool Core::Admit(const Message& message, Effects& out) {
  const bool leaps = message.term > state_.term && message.term - state_.term > kTermLeapMax;
  if (message.cluster != cluster_ || message.to != uid_ || !IsSane(message) || leaps) {
    ++counters_.insane_messages;
    return false;
  }
  const bool member = configuration().Find(message.from) != nullptr;
  if (member) {
    const auto seen = seen_.find(message.from);
    if (seen != seen_.end() && message.boot < seen->second.boot &&
        !Planted(PlantedBug::kBootIgnored)) {
      ++counters_.void_messages;
      return false;
    }
    if (!wal_down_) NoteBoot(message.from, message.boot, out);
  }
  if (wal_down_) return true;  // The table drops it.
  const bool vote = std::holds_alternative<VoteRequest>(message.body);
  const bool pre_vote = std::holds_alternative<PreVoteRequest>(message.body);
  if (vote || pre_vote) {
    Follower* follower = std::get_if<Follower>(&role_);
    // Who asks for votes does not lead [B6].
    const Term asks_from =
        state_.term + (vote ? 1 : 0);  // Its request of this term came before it led.
    if (message.term >= asks_from) {
      Release(message.from);
      if (follower != nullptr && follower->leader == message.from) {
        BecomeFollower(std::nullopt, out);
      }
    }
    if (member || vote) Wake(out);  // A leader in silence shows that it is there.
    const bool transfer = vote && std::get<VoteRequest>(message.body).transfer && member;
    if (!transfer && (Sticks() || (vote && !member && JustBegan()))) {
      Refuse(message, out);
      return false;
    }
    return true;
  }
  // Entries and snapshots of a newer term are taken from anyone in this cluster, since a server may
  // not know yet whom the others elected. Nothing else of a stranger moves the term [A21, EL11].
  const bool leads = std::holds_alternative<AppendEntries>(message.body) ||
                     std::holds_alternative<InstallSnapshot>(message.body);
  const Leader* leader = std::get_if<Leader>(&role_);
  const bool leaving = leader != nullptr && leader->peers.count(message.from) > 0;
  // A leader that has removed itself is no member here, and yet it leads and hands over [ME4].
  const bool followed = this->leader() == message.from && message.term == state_.term;
  if (!leads && !member && !followed && (!leaving || message.term > state_.term)) {
    ++counters_.void_messages;
    return false;
  }
  return true;
}

void Core::NoteBoot(const ServerUid& from, std::uint64_t boot, Effects& out) {
  const auto [seen, first] = seen_.try_emplace(from, LastSeen{.boot = boot});
  if (first || boot == seen->second.boot || Planted(PlantedBug::kBootIgnored)) return;
  seen->second.boot = boot;
  Release(from);
  if (Leader* leader = std::get_if<Leader>(&role_)) {
    const auto at = leader->peers.find(from);
    if (at == leader->peers.end()) return;
    // What the former life had and promised is void, but for the entries that it had acknowledged
    // [A4].
    at->second = Peer{.next = log_.end(), .acknowledged = at->second.acknowledged};
    Wake(out);
    return;
  }
  Follower* follower = std::get_if<Follower>(&role_);
  if (follower != nullptr && follower->leader == from) BecomeFollower(std::nullopt, out);
}

namespace {

/// The answer that says nothing but "my term is this", for what wants an answer.
struct RefusalOfBody {
  const TermMap& log;
  Standing standing;
  std::optional<MessageBody> operator()(const PreVoteRequest& body) const {
    return PreVoteReply{.token = body.token};
  }
  std::optional<MessageBody> operator()(const VoteRequest&) const { return VoteReply{}; }
  std::optional<MessageBody> operator()(const AppendEntries&) const {
    return AppendReply{.hint = log.last(), .last_index = log.last().index, .standing = standing};
  }
  std::optional<MessageBody> operator()(const ReadRequest& body) const {
    return ReadReply{.id = body.id};
  }
  std::optional<MessageBody> operator()(const InstallSnapshot& body) const {
    return InstallReply{.transfer = body.transfer, .standing = standing};
  }
  template <typename Other>
  std::optional<MessageBody> operator()(const Other&) const {
    return std::nullopt;
  }
};

}  // namespace

void Core::Refuse(const Message& message, Effects& out) {
  std::optional<MessageBody> answer = std::visit(RefusalOfBody{log_, standing()}, message.body);
  if (answer) Send(message.from, std::move(*answer), out);
}

void Core::MarkStore() {
  if (store_needed_) return;
  store_needed_ = true;
  ++store_sequence_;
}

void Core::Send(const ServerUid& to, MessageBody body, Effects& out) {
  CHECK(to != uid_);
  Message message{.cluster = cluster_,
                  .from = uid_,
                  .to = to,
                  .boot = boot_,
                  .term = state_.term,
                  .body = std::move(body)};
  if (store_sequence_ == stored_sequence_ || Planted(PlantedBug::kVoteNotDurable)) {
    out.send.push_back(std::move(message));
    return;
  }
  // EL9: a term or vote that is forgotten could be given twice.
  if (held_.size() == kHeldMessagesMax) held_.pop_front();
  held_.push_back({store_sequence_, std::move(message)});
}

void Core::OnStored(const Stored& stored, Effects& out) {
  CHECK(stored.sequence <= store_sequence_);
  stored_sequence_ = std::max(stored_sequence_, stored.sequence);
  while (!held_.empty() && held_.front().sequence <= stored_sequence_) {
    out.send.push_back(std::move(held_.front().message));
    held_.pop_front();
  }
  Candidate* candidate = std::get_if<Candidate>(&role_);
  if (candidate == nullptr || stored_sequence_ < store_sequence_) return;
  candidate->votes[uid_] = true;  // Its own vote counts like any other: once durable.
  if (CountVotes(candidate->votes) == VoteOutcome::kWon) BecomeLeader(out);
}

/// C2: a notice of an older epoch knows nothing of the cuts since.
void Core::OnWritten(const WrittenUpTo& written, Effects& out) {
  CHECK(written.epoch <= epoch_);
  if (written.epoch < noticed_epoch_) return;
  noticed_epoch_ = written.epoch;
  Index end = written.end;
  for (const Cut& cut : cuts_) {
    if (Planted(PlantedBug::kOldEpochWritten)) break;
    if (cut.epoch > written.epoch) end = std::min(end, cut.end);
  }
  std::erase_if(cuts_, [&](const Cut& cut) { return cut.epoch <= written.epoch; });
  if (end == 0 || end - 1 <= written_) return;
  written_ = std::min(end - 1, log_.last().index);
  if (std::holds_alternative<Leader>(role_)) return Progress(out);
  Follower* follower = std::get_if<Follower>(&role_);
  if (follower == nullptr || !follower->leader) return;
  MaybeHeal(*follower);
  const bool unverified = Planted(PlantedBug::kUnverifiedAcknowledged);
  const Index sure = unverified ? written_ : std::min(written_, follower->verified);
  if (sure > follower->acked) Acknowledge(*follower, out);
}

void Core::OnApplied(const AppliedUpTo& applied, Effects& out) {
  CHECK(applied.index <= given_);
  applied_ = std::max(applied_, applied.index);
  ReleaseApplied(out);
}

void Core::RaiseCommit(Index index, Effects& out) {
  CHECK(index <= log_.last().index);
  if (index <= commit_) return EmitApply(out);  // What was lost may be back.
  out.removed = out.removed || IsRemovedBy(index);
  commit_ = index;
  EmitApply(out);
}

/// ME2: whether what becomes committed up to `index` takes away a membership that was there. Who is
/// being caught up sees configurations from before it came; they do not say that it has left.
bool Core::IsRemovedBy(Index index) const {
  const Index change = specials_.configuration_index();
  if (change <= commit_ || change > index || configuration().Find(uid_) != nullptr) return false;
  if (specials_.ConfigurationAt(commit_).Find(uid_) != nullptr) return true;
  const std::vector<SpecialEntry> changes = specials_.Within({commit_ + 1, change});
  return std::any_of(changes.begin(), changes.end(), [this](const SpecialEntry& entry) {
    return entry.configuration && entry.configuration->Find(uid_) != nullptr;
  });
}

/// SM8: a member whose machine does not know a version keeps replicating and stops applying before
/// it.
void Core::EmitApply(Effects& out) {
  Index end = std::min(commit_, log_.last().index) + 1;  // A faulty log may end before [A3].
  if (const auto above = specials_.FirstAbove(settings_.machine_version, given_)) {
    end = std::min(end, *above);
  }
  if (end <= given_ + 1) return;
  if (out.apply.empty()) out.apply = {given_ + 1, end};
  out.apply.end = end;
  given_ = end - 1;
}

void Core::CutLog(Index new_end, Effects& out) {
  CHECK(new_end > commit_ && !out.truncate);
  log_.CutFrom(new_end);
  specials_.CutFrom(new_end);
  written_ = std::min(written_, new_end - 1);
  if (Follower* follower = std::get_if<Follower>(&role_)) {
    follower->verified = std::min(follower->verified, new_end - 1);
    follower->acked = std::min(follower->acked, new_end - 1);
  }
  ++epoch_;
  // A cut below earlier ones makes them say nothing more, so the list is as long as it is needed.
  std::erase_if(cuts_, [&](const Cut& cut) { return cut.end >= new_end; });
  cuts_.push_back({epoch_, new_end});
  out.truncate = new_end;
  ForgetStrangers();
}

/// What is kept of others is kept of members alone.
void Core::ForgetStrangers() {
  std::erase_if(seen_,
                [this](const auto& seen) { return configuration().Find(seen.first) == nullptr; });
}

bool Core::IsUp(const ServerUid& uid) const {
  const auto seen = seen_.find(uid);
  return seen == seen_.end() || seen->second.up;
}

void Core::OnPeerUp(const PeerUp& up, Effects& out) {
  if (configuration().Find(up.peer) == nullptr) return;
  const auto seen = seen_.find(up.peer);
  if (seen != seen_.end() && up.boot < seen->second.boot) return;
  NoteBoot(up.peer, up.boot, out);
  LastSeen& last = seen_[up.peer];
  const bool was_up = last.up;
  last.up = true;
  if (Leader* leader = std::get_if<Leader>(&role_); leader != nullptr && !was_up) {
    const auto peer = leader->peers.find(up.peer);
    if (peer == leader->peers.end()) return;
    // Stopped and started again within its system's boot it begins a life all the same: what the
    // former one said is void [A4]. Resumes without waiting for a tick [R20].
    peer->second = Peer{.next = log_.end(), .acknowledged = peer->second.acknowledged};
    Wake(out);
  }
}

void Core::OnPeerDown(const PeerDown& down, Effects& out) {
  if (configuration().Find(down.peer) == nullptr) return;
  seen_[down.peer].up = false;
  Follower* follower = std::get_if<Follower>(&role_);
  if (follower == nullptr || follower->leader != down.peer) return;
  // Silence is no longer explained: the time to hear from a leader begins now.
  if (follower->quiet) {
    follower->quiet = false;
    RestartElectionTimer();
  }
  static_cast<void>(out);
}

/// C13: steps down in memory only, within its term; the vote is kept.
void Core::OnWalDown(Effects& out) {
  if (wal_down_) return;
  if (std::holds_alternative<Leader>(role_)) StepDown(out);
  BecomeFollower(std::nullopt, out);
  wal_down_ = true;
  deadline_.reset();
}

void Core::OnWalUp() {
  if (!wal_down_) return;
  wal_down_ = false;
  RestartElectionTimer();
}

/// A3: what was acknowledged and cannot be read. A leader hands over before it becomes useless.
void Core::OnDamaged(const Damaged& damaged, Effects& out) {
  if (std::holds_alternative<Leader>(role_)) {
    const std::optional<ServerUid> successor = BestSuccessor();
    if (successor) Send(*successor, TimeoutNow{}, out);
    StepDown(out);
  }
  const Index from = std::max(damaged.from, log_.begin());
  if (state_.fault && from >= log_.end()) return;  // Behind the hole that it has anyway.
  SetFault({.from = from, .to = damaged.to});
  if (from < log_.end()) {
    tail_kept_ = true;
    // What lies above the hole cannot be told equal to anybody's log; it is kept on disk until it
    // is replaced.
    log_.CutFrom(from);
    specials_.CutFrom(from);
    written_ = std::min(written_, from - 1);
    ForgetStrangers();
  }
  BecomeFollower(std::nullopt, out);
}

void Core::CheckInvariants() const {
  CHECK(log_.last().term <= state_.term);
  CHECK(written_ <= log_.last().index && applied_ <= given_ && given_ <= commit_);
  CHECK(state_.fault || commit_ <= log_.last().index);
  CHECK(stored_sequence_ <= store_sequence_ && held_.size() <= kHeldMessagesMax);
  CHECK(seen_.size() <= kMembersMax && configuration().IsValid());
  if (const Leader* leader = std::get_if<Leader>(&role_)) {
    CHECK(standing() == Standing::kSound && state_.voted_for == uid_ && !wal_down_);
    CHECK(stored_sequence_ == store_sequence_);
    for (const auto& [uid, peer] : leader->peers) {
      CHECK(uid != uid_ && peer.match < peer.next && peer.match <= log_.last().index);
    }
  }
  if (std::holds_alternative<Candidate>(role_)) CHECK(state_.voted_for == uid_);
}

}  // namespace duramen::core
