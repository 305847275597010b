#include "server/core/messages.h"

namespace duramen::core {
namespace {

bool InRange(const LogEnd& end) { return end.term < kTermEnd && end.index < kIndexEnd; }

bool IsSaneSpecial(const SpecialEntry& entry) {
  return !entry.configuration || entry.configuration->IsValid();
}

bool IsSaneAppend(const AppendEntries& append, Term term) {
  if (!InRange(append.previous) || append.commit >= kIndexEnd || append.heal_upto >= kIndexEnd ||
      append.acknowledged >= kIndexEnd || append.runs.size() > kEntriesInMessageMax) {
    return false;
  }
  Term before = append.previous.term;
  std::uint64_t count = 0;
  for (const TermRun& run : append.runs) {
    // Within one message terms only grow, and none is above the leader's own, or before the first.
    if (run.term == 0 || run.count == 0 || run.count > kEntriesInMessageMax || run.term < before ||
        run.term > term) {
      return false;
    }
    before = run.term;
    count += run.count;
  }
  if (count > kEntriesInMessageMax || append.previous.term > term ||
      append.previous.index + count >= kIndexEnd) {
    return false;
  }
  Index behind = append.previous.index;
  for (const SpecialEntry& special : append.specials) {
    if (special.index <= behind || special.index > append.previous.index + count ||
        !IsSaneSpecial(special)) {
      return false;
    }
    behind = special.index;
  }
  return true;
}

struct Sanity {
  Term term;
  bool operator()(const PreVoteRequest& request) const {
    return InRange(request.last) && request.proposed_term > 0 && request.proposed_term < kTermEnd &&
           request.last.term < request.proposed_term;
  }
  bool operator()(const PreVoteReply&) const { return true; }
  bool operator()(const VoteRequest& request) const {
    return InRange(request.last) && request.last.term < term;
  }
  bool operator()(const VoteReply&) const { return true; }
  bool operator()(const AppendEntries& append) const { return IsSaneAppend(append, term); }
  bool operator()(const AppendReply& reply) const {
    return reply.match < kIndexEnd && InRange(reply.hint) &&
           reply.last_index < kIndexEnd && reply.standing <= Standing::kVoteLost &&
           reply.match <= reply.last_index;
  }
  bool operator()(const TimeoutNow&) const { return true; }
  bool operator()(const ReadRequest&) const { return true; }
  bool operator()(const ReadReply& reply) const { return reply.index < kIndexEnd; }
  bool operator()(const InstallSnapshot& install) const {
    return InRange(install.last) && install.last.index > 0 && install.last.term <= term &&
           install.base.configuration && install.base.index <= install.last.index &&
           IsSaneSpecial(install.base);
  }
  bool operator()(const InstallReply& reply) const {
    return reply.match < kIndexEnd && reply.standing <= Standing::kVoteLost;
  }
};

}  // namespace

Index AppendEntries::end() const {
  Index at = previous.index + 1;
  for (const TermRun& run : runs) at += run.count;
  return at;
}

bool IsSane(const Message& message) {
  if (message.term >= kTermEnd || message.from.is_nil() || message.from == message.to) return false;
  // Term 0 is "before the first election": nobody leads, votes or is elected in it.
  const bool may_be_before_first = std::holds_alternative<PreVoteRequest>(message.body) ||
                                   std::holds_alternative<PreVoteReply>(message.body);
  if (message.term == 0 && !may_be_before_first) return false;
  return std::visit(Sanity{message.term}, message.body);
}

}  // namespace duramen::core
