// Quorum arithmetic, on cases and over everything small.
#include "server/core/quorum.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/server/core/quorum_cases.h"

namespace duramen::core {
namespace {

const char kCases[] = R"(
# Three voters, one of them unknown.
committed cfg=(1,2,3) idx=(10,_,7)
----
7

committed cfg=(5,1,2,3) idx=(4,9,_,6)
----
the second of four is not a majority
4

committed cfg=(1,2,3) cfgj=(4, 5) idx=(9,9,_,8,7)
----
7

vote cfg=(1,2,3,4) votes=(y,y,n,_)
----
VotePending

# Two and two: nobody leads.
vote cfg=(1,2,3,4) votes=(y,y,n,n)
----
VoteLost

vote cfg=(1,2,3,4) votes=(y,y,n,y)
----
VoteWon

vote cfg=(1) cfgj=zero votes=(y)
----
VoteWon
)";

TEST(Quorum, R2_CasesComeOutAsTheySay) {
  const std::vector<testing::QuorumCase> cases = testing::ParseQuorumCases(kCases);
  EXPECT_EQ(cases.size(), 7U);
  for (const testing::QuorumCase& one : cases) {
    EXPECT_EQ(testing::AnswerTo(one), one.expected) << one.name;
  }
}

TEST(Quorum, R2_TwoQuorumsShareAMemberWhateverTheFloor) {
  for (std::size_t voters = 1; voters <= 9; ++voters) {
    for (std::size_t floor = 0; floor <= 12; ++floor) {
      const std::size_t quorum = QuorumSize(voters, floor);
      EXPECT_GT(2 * quorum, voters);
      EXPECT_LE(quorum, voters);
    }
    EXPECT_EQ(QuorumSize(voters), voters / 2 + 1);
  }
}

TEST(Quorum, EL7_AFloorRaisesAQuorumUpToAllVoters) {
  EXPECT_EQ(QuorumSize(5, 4), 4U);
  EXPECT_EQ(QuorumSize(5, 2), 3U);
  EXPECT_EQ(QuorumSize(3, 7), 3U);
}

/// By its definition: some quorum has reached it, and none has reached more.
TEST(Quorum, RE5_WhatAQuorumReachedIsReachedByThatManyAndNothingHigherIs) {
  for (std::size_t voters = 1; voters <= 5; ++voters) {
    std::vector<std::uint64_t> values(voters, 0);
    for (bool more = true; more;) {
      for (std::size_t quorum = 1; quorum <= voters; ++quorum) {
        const std::uint64_t reached = ReachedByQuorum(values, quorum);
        const auto at_least = [&](std::uint64_t least) {
          return static_cast<std::size_t>(std::count_if(
              values.begin(), values.end(), [&](std::uint64_t value) { return value >= least; }));
        };
        ASSERT_GE(at_least(reached), quorum);
        ASSERT_LT(at_least(reached + 1), quorum);
      }
      more = false;
      for (std::uint64_t& value : values) {
        if (++value <= 3) {
          more = true;
          break;
        }
        value = 0;
      }
    }
  }
}

/// By trying how those that are left may vote.
TEST(Quorum, R2_AVoteIsDecidedOnceNobodyLeftCanChangeIt) {
  for (std::size_t voters = 1; voters <= 7; ++voters) {
    for (std::size_t floor = 0; floor <= voters; ++floor) {
      const std::size_t quorum = QuorumSize(voters, floor);
      for (std::size_t granted = 0; granted <= voters; ++granted) {
        for (std::size_t refused = 0; granted + refused <= voters; ++refused) {
          const bool can_win = voters - refused >= quorum;
          const bool can_lose = granted < quorum;
          const VoteOutcome expected = !can_lose  ? VoteOutcome::kWon
                                       : !can_win ? VoteOutcome::kLost
                                                  : VoteOutcome::kPending;
          ASSERT_EQ(OutcomeOf({voters, granted, refused}, quorum), expected);
        }
      }
    }
  }
}

}  // namespace
}  // namespace duramen::core
