// Cases of quorum arithmetic as text, and what the core answers to them.
//
//   committed cfg=(1,2,3) cfgj=(2,3,4) idx=(100,_,99,101)        # a comment may stand before it
//   ----
//   anything, and in the last line the index that is committed; the infinity sign for no voters
//
//   vote cfg=(1,2,3) votes=(y,n,_)
//   ----
//   VoteWon, VoteLost or VotePending
//
// Values belong to the voters in the order in which they are named first, `_` is unknown. With
// `cfgj` both groups of voters have to agree; `zero` is a group of none.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace duramen::core::testing {

struct QuorumCase {
  std::string name;  // its command, for messages
  bool vote = false;
  std::vector<std::uint64_t> voters;
  std::optional<std::vector<std::uint64_t>> joint;
  std::map<std::uint64_t, std::string> values;  // by voter, without unknown ones
  std::string expected;
};

/// Reports a test failure for what it cannot read.
std::vector<QuorumCase> ParseQuorumCases(const std::string& text);

/// By server/core/quorum.h, in the words of the cases.
std::string AnswerTo(const QuorumCase& one);

}  // namespace duramen::core::testing
