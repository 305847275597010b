#include "tests/server/core/words.h"

#include <sstream>

namespace duramen::core {
namespace {

std::string Name(const ServerUid& uid) {
  return uid.is_nil() ? "nobody" : std::to_string(int{uid.bytes.back()});
}

std::string At(const LogEnd& end) {
  return std::to_string(end.index) + "@" + std::to_string(end.term);
}

std::string Number(std::string_view word, std::uint64_t value) {
  return value == 0 ? "" : " " + std::string(word) + " " + std::to_string(value);
}

std::string SpecialInWords(const SpecialEntry& entry) {
  if (entry.configuration) return "members " + MembersInWords(*entry.configuration);
  return "no-op" + Number("version", entry.machine_version);
}

std::string StandingInWords(Standing standing) {
  if (standing == Standing::kSound) return "";
  return standing == Standing::kFaulty ? " FAULTY" : " VOTE LOST";
}

struct BodyInWords {
  std::string operator()(const PreVoteRequest& body) const {
    return " for term " + std::to_string(body.proposed_term) + " log ends " + At(body.last);
  }
  std::string operator()(const PreVoteReply& body) const { return body.granted ? " yes" : " no"; }
  std::string operator()(const VoteRequest& body) const {
    return " log ends " + At(body.last) + (body.transfer ? " (transfer)" : "");
  }
  std::string operator()(const VoteReply& body) const { return body.granted ? " yes" : " no"; }
  std::string operator()(const AppendEntries& body) const {
    std::string words = " after " + At(body.previous);
    if (!body.runs.empty()) {
      words += " entries " + RunsInWords(body.previous.index + 1, body.runs);
    }
    words += Number("commit", body.commit) + Number("round", body.round);
    words += Number("heal-upto", body.heal_upto) + Number("acknowledged", body.acknowledged);
    return words + (body.quiet ? " quiet" : "");
  }
  std::string operator()(const AppendReply& body) const {
    std::string words =
        body.success ? " match " + std::to_string(body.match) : " no, hint " + At(body.hint);
    words += Number("round", body.round);
    return words + StandingInWords(body.standing);
  }
  std::string operator()(const TimeoutNow&) const { return ""; }
  std::string operator()(const ReadRequest&) const { return ""; }
  std::string operator()(const ReadReply& body) const {
    return body.granted ? " at " + std::to_string(body.index) : " no";
  }
  std::string operator()(const InstallSnapshot& body) const {
    return " at " + At(body.last) + " members " + MembersInWords(*body.base.configuration);
  }
  std::string operator()(const InstallReply& body) const {
    return " match " + std::to_string(body.match) + StandingInWords(body.standing);
  }
};

std::string StateInWords(const HardState& state) {
  std::string words = "stores term " + std::to_string(state.term);
  words += ", vote for " + Name(state.voted_for);
  return words + (state.fault ? ", faulty " + FaultInWords(*state.fault) : "");
}

std::string AppendInWords(const Append& append) {
  std::string words = "appends " + RunsInWords(append.begin, {append.run});
  return words + (append.special ? " (" + SpecialInWords(*append.special) + ")" : "");
}

std::string ReplyInWords(const Reply& reply) {
  std::string words = "answers #" + std::to_string(reply.ticket) + ": ";
  words += NameOf(reply.answer);
  if (reply.at.term != 0) words += " at " + At(reply.at);
  if (reply.answer == Answer::kNotLeader && !reply.leader.is_nil())
    words += ", " + Name(reply.leader) + " is";
  return words;
}

}  // namespace

std::string RunsInWords(Index begin, const std::vector<TermRun>& runs) {
  std::ostringstream words;
  for (const TermRun& run : runs) {
    if (words.tellp() > 0) words << " ";
    words << begin;
    if (run.count > 1) words << ".." << begin + run.count - 1;
    words << "@" << run.term;
    begin += run.count;
  }
  return words.str();
}

std::string LogInWords(const TermMap& log) {
  std::string words;
  if (log.begin() > 1)
    words = "(behind " + At({*log.TermAt(log.begin() - 1), log.begin() - 1}) + ")";
  if (log.end() > log.begin()) {
    words +=
        (words.empty() ? "" : " ") + RunsInWords(log.begin(), log.Runs({log.begin(), log.end()}));
  }
  return words.empty() ? "empty" : words;
}

std::string MembersInWords(const Configuration& members) {
  std::string words;
  for (const Member& member : members.members) {
    words += (words.empty() ? "" : " ") + Name(member.uid);
    if (member.role == MemberRole::kPromotable) {
      words += "(promotable at " + std::to_string(member.promote_at) + ")";
    }
    if (member.role == MemberRole::kNonVoter) words += "(non-voter)";
  }
  return words;
}

std::string FaultInWords(const Fault& fault) {
  return "from " + std::to_string(fault.from) +
         (fault.to == 0 ? "" : " below " + std::to_string(fault.to));
}

std::string MessageInWords(const Message& message) {
  return std::string(NameOfMessage(message.body.index())) + " term " +
         std::to_string(message.term) + std::visit(BodyInWords{}, message.body);
}

std::vector<std::string> EffectsInWords(const Effects& effects) {
  std::vector<std::string> lines;
  if (effects.store) lines.push_back(StateInWords(effects.store->state));
  if (effects.truncate) lines.push_back("cuts its log from " + std::to_string(*effects.truncate));
  if (effects.reset) lines.push_back("begins its log anew behind " + At(effects.reset_to));
  for (const Append& append : effects.append) lines.push_back(AppendInWords(append));
  for (const Message& message : effects.send)
    lines.push_back("-> " + Name(message.to) + ": " + MessageInWords(message));
  for (const SendSnapshot& send : effects.send_snapshot)
    lines.push_back("starts to send a snapshot to " + Name(send.peer));
  if (effects.install) lines.push_back("asks for the snapshot at " + At(effects.install->last));
  if (!effects.apply.empty()) {
    const std::string first = std::to_string(effects.apply.begin);
    const std::string last = std::to_string(effects.apply.end - 1);
    lines.push_back("applies " + (first == last ? first : first + ".." + last));
  }
  for (const QueryReady& ready : effects.query)
    lines.push_back("answers #" + std::to_string(ready.ticket) + ": read at " +
                    std::to_string(ready.index));
  for (const Reply& reply : effects.reply) lines.push_back(ReplyInWords(reply));
  if (effects.removed) lines.push_back("is no member any more");
  return lines;
}

std::string RoleInWords(const Core& core) {
  std::string words(NameOf(core.role_kind()));
  if (core.role_kind() == RoleKind::kLeader) {
    return words + " of term " + std::to_string(core.term());
  }
  if (core.leader()) words += " of " + Name(*core.leader());
  return words + " in term " + std::to_string(core.term());
}

}  // namespace duramen::core
