// Cases of quorum arithmetic of others, where they are at hand: DURAMEN_OUTSIDE_DATA.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "tests/server/core/quorum_cases.h"

namespace duramen::core {
namespace {

void ExpectAnswers(const std::string& file) {
  const char* outside = std::getenv("DURAMEN_OUTSIDE_DATA");
  ASSERT_NE(outside, nullptr) << "set it to the folder that has quorum/";
  std::ifstream in(std::string(outside) + "/quorum/" + file);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  const std::vector<testing::QuorumCase> cases = testing::ParseQuorumCases(text);
  EXPECT_GT(cases.size(), 10U) << file;
  for (const testing::QuorumCase& one : cases) {
    const std::string no_voters = "<empty majority quorum>";
    const std::string expected =
        one.expected.starts_with(no_voters) ? one.expected.substr(no_voters.size()) : one.expected;
    EXPECT_EQ(testing::AnswerTo(one), expected) << file << ": " << one.name;
  }
  std::printf("%zu cases of %s\n", cases.size(), file.c_str());
}

TEST(OutsideQuorum, RE5_MajoritiesCommitAsOthersSay) { ExpectAnswers("majority_commit.txt"); }
TEST(OutsideQuorum, RE5_JointMajoritiesCommitAsOthersSay) { ExpectAnswers("joint_commit.txt"); }
TEST(OutsideQuorum, R2_MajoritiesVoteAsOthersSay) { ExpectAnswers("majority_vote.txt"); }
TEST(OutsideQuorum, R2_JointMajoritiesVoteAsOthersSay) { ExpectAnswers("joint_vote.txt"); }

}  // namespace
}  // namespace duramen::core
