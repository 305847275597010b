// Followers: entries taken, acknowledged, refused (Raft §5.3, §5.4; rules A3, A4, A19).
#include <algorithm>

#include "base/check.h"
#include "base/planted.h"
#include "server/core/core.h"

namespace duramen::core {

void Core::OnAppend(const Message& message, const AppendEntries& append, Effects& out) {
  Follower* follower = std::get_if<Follower>(&role_);
  CHECK(follower != nullptr && message.term == state_.term);
  if (!follower->leader) {
    BecomeFollower(message.from, out);
    follower = std::get_if<Follower>(&role_);
  }
  if (follower->leader != message.from) {
    ++counters_.void_messages;  // Two leaders of one term: one of them is none.
    return;
  }
  PromiseTo(message.from);
  follower->quiet = false;
  follower->round = std::max(follower->round, append.round);
  follower->sent_at = std::max(follower->sent_at, append.sent_at);
  if (append.acknowledged > log_.last().index && !state_.fault) {
    // It was told durable here, and it is not there: lost, whatever the reason [A4].
    SetFault({.from = log_.end(), .to = append.acknowledged + 1});
    tail_kept_ = false;
  }
  const bool of_this_fault = state_.fault && append.heal_fault == fault_id_;
  follower->heal_upto = of_this_fault ? append.heal_upto : 0;
  const Index end_before = log_.end();
  const bool fits = TakeEntries(append, out);
  RestartElectionTimer();  // Behind the entries, which may make this server a voter.
  if (!fits) return;
  follower->verified = std::max(follower->verified, append.end() - 1);
  const Index verified =
      Planted(PlantedBug::kUnverifiedCommitted) ? log_.last().index : follower->verified;
  RaiseCommit(std::min(append.commit, verified), out);
  MaybeHeal(*follower);
  if (append.quiet && commit_ == log_.last().index && follower->verified == commit_) {
    follower->quiet = true;
    if (IsUp(message.from)) deadline_.reset();
  }
  // New entries are acknowledged once, when they are written; all else is answered now.
  const bool waits = log_.end() > end_before && written_ < follower->verified;
  if (!waits) Acknowledge(*follower, out);
}

namespace {

/// The term that the message gives to `index`. Requires: one of its entries, or the one before.
Term TermIn(const AppendEntries& append, Index index) {
  Index end = append.previous.index + 1;
  Term term = append.previous.term;
  for (const TermRun& run : append.runs) {
    if (index < end) break;
    term = run.term;
    end += run.count;
  }
  return term;
}

}  // namespace

/// Puts in what is new, cuts what contradicts it. False if the message does not fit; it was
/// answered then.
bool Core::TakeEntries(const AppendEntries& append, Effects& out) {
  const std::optional<Term> term_there = log_.TermAt(append.previous.index);
  if (append.previous.index + 1 >= log_.begin() && term_there != append.previous.term) {
    RefuseAppend(*std::get<Follower>(role_).leader, append, out);
    return false;
  }
  if (append.end() <= log_.begin())
    return true;  // All of it lies behind a snapshot, so it is committed.
  const Index before = log_.begin() - 1;
  if (append.previous.index < before && TermIn(append, before) != log_.TermAt(before)) {
    ++counters_.void_messages;  // A snapshot is committed: no leader has anything else there.
    return false;
  }
  const Index from = FirstDifference(append);
  if (from == append.end()) return true;
  if (from < log_.end() && Planted(PlantedBug::kTailNotTruncated)) return true;
  if (from <= commit_ && from < log_.end()) {
    ++counters_.void_messages;  // Nobody replaces what is committed.
    return false;
  }
  if (from < log_.end()) {
    CutLog(from, out);
  } else if (tail_kept_) {
    ++epoch_;
    cuts_.push_back({epoch_, from});
    out.truncate = from;
  }
  tail_kept_ = false;
  Index begin = append.previous.index + 1;
  for (const TermRun& run : append.runs) {
    const Index end = begin + run.count;
    if (end > from) {
      const Index first = std::max(begin, from);
      log_.Append({run.term, end - first});
      out.append.push_back({.begin = first, .run = {run.term, end - first}, .from_message = true});
    }
    begin = end;
  }
  for (const SpecialEntry& special : append.specials) {
    if (special.index >= from) specials_.Append(special);
  }
  ForgetStrangers();
  return true;
}

/// The first entry of the message that this log does not have, or has with another term; its end if
/// there is none.
Index Core::FirstDifference(const AppendEntries& append) const {
  Index begin = append.previous.index + 1;
  for (const TermRun& run : append.runs) {
    const Index end = begin + run.count;
    for (Index at = std::max(begin, log_.begin()); at < end;) {
      if (at >= log_.end()) return at;
      // Terms are equal over a whole run or differ at its first entry, as both logs are runs.
      const TermRun own = log_.Runs({at, std::min(end, log_.end())}).front();
      if (own.term != run.term) return at;
      at += own.count;
    }
    begin = end;
  }
  return begin;
}

/// What every reply to this leader says, whatever became of its entries.
AppendReply Core::ReplyTo(const Follower& follower) {
  return {.last_index = log_.last().index,
          .round = follower.round,
          .sent_at = follower.sent_at,
          .standing = standing(),
          .fault = state_.fault ? fault_id_ : 0,
          .number = ++replies_,
          .machine_version = settings_.machine_version};
}

/// RE3: names the last entry that could still be equal, so that the leader skips a term per round
/// trip.
void Core::RefuseAppend(const ServerUid& leader, const AppendEntries& append, Effects& out) {
  const Index at = log_.LastOfTermAtMost(append.previous.index, append.previous.term);
  AppendReply reply = ReplyTo(std::get<Follower>(role_));
  reply.hint = {log_.TermAt(at).value_or(0), at};
  reply.stream = append.stream;
  Send(leader, std::move(reply), out);
}

/// A19: durable here, and verified against this leader in this term.
void Core::Acknowledge(Follower& follower, Effects& out) {
  follower.acked = std::min(written_, follower.verified);
  if (Planted(PlantedBug::kUnwrittenAcknowledged)) follower.acked = follower.verified;
  if (Planted(PlantedBug::kUnverifiedAcknowledged)) follower.acked = written_;
  AppendReply reply = ReplyTo(follower);
  reply.success = true;
  reply.match = follower.acked;
  Send(*follower.leader, std::move(reply), out);
}

/// A3: one row for all that is lost. What a leader says of an earlier fault is not for this one.
void Core::SetFault(Fault fault) {
  if (state_.fault) {
    fault.from = std::min(fault.from, state_.fault->from);
    fault.to = fault.to == 0 || state_.fault->to == 0 ? 0 : std::max(fault.to, state_.fault->to);
  }
  state_.fault = fault;
  fault_id_ = rng_.Next();
  MarkStore();
}

/// A3: sound again when what is written equals the leader's log through the end that it had when it
/// was told of the fault.
void Core::MaybeHeal(Follower& follower) {
  if (!state_.fault || follower.heal_upto == 0) return;
  // No leader's log ends before what is committed, whatever it says.
  if (std::min(written_, follower.verified) < std::max(follower.heal_upto, commit_)) return;
  state_.fault.reset();
  MarkStore();
  RestartElectionTimer();
}

void Core::OnInstallSnapshot(const Message& message, const InstallSnapshot& install, Effects& out) {
  Follower* follower = std::get_if<Follower>(&role_);
  CHECK(follower != nullptr && message.term == state_.term);
  if (!follower->leader) {
    BecomeFollower(message.from, out);
    follower = std::get_if<Follower>(&role_);
  }
  if (follower->leader != message.from) {
    ++counters_.void_messages;
    return;
  }
  PromiseTo(message.from);
  follower->quiet = false;
  RestartElectionTimer();
  if (install.last.index <= commit_ && !state_.fault) {
    // Already ahead: say so, or the leader sends it again [S4].
    follower->verified = std::max(follower->verified, install.last.index);
    Send(message.from,
         InstallReply{.transfer = install.transfer,
                      .match = std::min(written_, follower->verified),
                      .standing = standing()},
         out);
    return;
  }
  out.install = install;
}

void Core::OnInstalled(const Installed& installed, Effects& out) {
  const InstallSnapshot& snapshot = installed.snapshot;
  const Index last = snapshot.last.index;
  if (last <= commit_ && !state_.fault) return;
  if (last + 1 < log_.begin()) return;  // One that came later was complete sooner.
  if (log_.TermAt(last) == snapshot.last.term && last < log_.end()) {
    log_.CutBefore(last + 1);
    specials_.FoldUpTo(last);
  } else {
    log_.Reset(snapshot.last);
    specials_.Reset(snapshot.base);
    out.reset = snapshot.base;
    out.reset_to = snapshot.last;
    cuts_.clear();
    cuts_.push_back({++epoch_, last + 1});
    written_ = last;
    tail_kept_ = false;
  }
  written_ = std::max(written_, last);
  commit_ = std::max(commit_, last);
  given_ = applied_ = std::max(given_, last);
  ForgetStrangers();
  ReleaseApplied(out);
  EmitApply(out);
  if (std::holds_alternative<Leader>(role_)) return;  // Its deadline is of heartbeats.
  Follower* follower = std::get_if<Follower>(&role_);
  if (follower != nullptr) {
    follower->verified = std::min(follower->verified, log_.last().index);
  } else if (!MayCampaign()) {
    BecomeFollower(std::nullopt, out);  // It is not who it was when it asked.
  }
  RestartElectionTimer();
  if (follower == nullptr || follower->leader != installed.from || installed.term != state_.term)
    return;
  follower->verified = std::max(follower->verified, last);
  MaybeHeal(*follower);
  Send(installed.from,
       InstallReply{.transfer = snapshot.transfer,
                    .match = std::min(written_, follower->verified),
                    .standing = standing()},
       out);
}

void Core::OnCompacted(const Compacted& compacted) {
  CHECK(compacted.floor <= commit_ + 1);
  if (compacted.floor <= log_.begin() || compacted.floor > log_.end()) return;
  log_.CutBefore(compacted.floor);
  specials_.FoldUpTo(compacted.floor - 1);
}

}  // namespace duramen::core
