#include "tests/server/core/quorum_cases.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "server/core/quorum.h"

namespace duramen::core::testing {
namespace {

/// "(1, 2,_)" as its parts; "zero" as none.
std::vector<std::string> PartsOf(const std::string& list) {
  std::vector<std::string> parts;
  std::string part;
  for (const char letter : list) {
    if (letter == ',' || letter == ')') {
      if (!part.empty()) parts.push_back(part);
      part.clear();
    } else if (letter != '(' && letter != ' ') {
      part.push_back(letter);
    }
  }
  EXPECT_TRUE(part.empty() || part == "zero") << list;
  return parts;
}

/// What stands behind `name=` in a command; nothing where it is not there.
std::optional<std::vector<std::string>> Argument(const std::string& command,
                                                 const std::string& name) {
  const std::size_t at = command.find(" " + name + "=");
  if (at == std::string::npos) return std::nullopt;
  const std::size_t begin = at + name.size() + 2;
  const bool in_brackets = command[begin] == '(';
  const std::size_t end = command.find(in_brackets ? ')' : ' ', begin);
  if (end == std::string::npos) return PartsOf(command.substr(begin));
  return PartsOf(command.substr(begin, end - begin + (in_brackets ? 1 : 0)));
}

std::vector<std::uint64_t> VotersOf(const std::vector<std::string>& parts) {
  std::vector<std::uint64_t> voters;
  for (const std::string& part : parts) voters.push_back(std::stoull(part));
  return voters;
}

QuorumCase ParseCommand(const std::string& command) {
  QuorumCase one;
  one.name = command;
  one.vote = command.starts_with("vote");
  EXPECT_TRUE(one.vote || command.starts_with("committed")) << command;
  one.voters = VotersOf(Argument(command, "cfg").value_or(std::vector<std::string>()));
  const auto joint = Argument(command, "cfgj");
  if (joint) one.joint = VotersOf(*joint);
  const auto values =
      Argument(command, one.vote ? "votes" : "idx").value_or(std::vector<std::string>());
  std::vector<std::uint64_t> named;
  for (const std::vector<std::uint64_t>& group :
       {one.voters, one.joint.value_or(std::vector<std::uint64_t>())}) {
    for (const std::uint64_t voter : group) {
      if (std::find(named.begin(), named.end(), voter) == named.end()) named.push_back(voter);
    }
  }
  EXPECT_EQ(named.size(), values.size()) << command;
  for (std::size_t i = 0; i < std::min(named.size(), values.size()); ++i) {
    if (values[i] != "_") one.values[named[i]] = values[i];
  }
  return one;
}

std::uint64_t CommittedBy(const std::vector<std::uint64_t>& voters, const QuorumCase& one) {
  std::vector<std::uint64_t> reached;
  for (const std::uint64_t voter : voters) {
    const auto known = one.values.find(voter);
    reached.push_back(known == one.values.end() ? 0 : std::stoull(known->second));
  }
  return ReachedByQuorum(reached, QuorumSize(voters.size()));
}

VoteOutcome VotedBy(const std::vector<std::uint64_t>& voters, const QuorumCase& one) {
  VoteCount count{.voters = voters.size()};
  for (const std::uint64_t voter : voters) {
    const auto known = one.values.find(voter);
    if (known == one.values.end()) continue;
    ++(known->second == "y" ? count.granted : count.refused);
  }
  return OutcomeOf(count, QuorumSize(voters.size()));
}

}  // namespace

std::vector<QuorumCase> ParseQuorumCases(const std::string& text) {
  std::vector<QuorumCase> all;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    if (line.empty() || line.starts_with("#")) continue;
    QuorumCase one = ParseCommand(line);
    EXPECT_TRUE(std::getline(in, line) && line == "----") << one.name;
    while (std::getline(in, line) && !line.empty()) one.expected = line;
    EXPECT_NE(one.expected, "") << one.name;
    all.push_back(std::move(one));
  }
  return all;
}

std::string AnswerTo(const QuorumCase& one) {
  std::vector<std::vector<std::uint64_t>> groups = {one.voters};
  if (one.joint) groups.push_back(*one.joint);
  if (!one.vote) {
    std::uint64_t committed = std::numeric_limits<std::uint64_t>::max();
    for (const auto& group : groups) committed = std::min(committed, CommittedBy(group, one));
    const bool all = committed == std::numeric_limits<std::uint64_t>::max();
    return all ? "\u221e" : std::to_string(committed);
  }
  bool pending = false;
  for (const auto& group : groups) {
    const VoteOutcome outcome = VotedBy(group, one);
    if (outcome == VoteOutcome::kLost) return "VoteLost";
    pending = pending || outcome == VoteOutcome::kPending;
  }
  return pending ? "VotePending" : "VoteWon";
}

}  // namespace duramen::core::testing
