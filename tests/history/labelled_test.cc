// Histories that came with a verdict.
#include "tests/history/labelled.h"

#include <gtest/gtest.h>

#include "history/checker.h"
#include "tests/history/reference.h"

namespace duramen::history {
namespace {

const char kFolder[] = DURAMEN_SOURCE_DIR "/tests/testdata/histories";

TEST(Labelled, CT4_HistoriesAreJudgedAsLabelled) { testing::ExpectVerdictsOf(kFolder); }

TEST(Labelled, CT4_AnAnswerThatNobodyWroteIsNoticed) { testing::ExpectAlteredOnesFail(kFolder); }

/// What others say of them is what trying everything says.
TEST(Labelled, CT4_TheReferenceAgrees) {
  for (const testing::Labelled& one : testing::ReadLabelled(kFolder)) {
    EXPECT_EQ(testing::IsLinearizable(testing::Read(one.text)), one.linearizable) << one.file;
  }
}

/// Every answer of a right history, and every other one that somebody wrote or could have had: some
/// are still right, and trying everything says which.
TEST(Labelled, CT4_AnAnswerThatSomebodyWroteIsJudgedAsByTryingEverything) {
  int wrong = 0;
  int right = 0;
  for (const testing::Labelled& one : testing::ReadLabelled(kFolder)) {
    const History history = testing::Read(one.text);
    for (std::size_t i = 0; i < history.operations.size(); ++i) {
      const Operation& look = history.operations[i];
      const bool looks = look.function == Function::kRead || look.function == Function::kGet;
      if (look.outcome != Outcome::kOk || !looks || look.elements) continue;
      for (const Operation& other : history.operations) {
        History altered = history;
        altered.operations[i].result = other.value;
        if (other.function == Function::kCas || other.key != look.key) continue;
        const bool expected = testing::IsLinearizable(altered);
        const Report report = CheckHistory(altered, {});
        EXPECT_EQ(report.verdict == Verdict::kLinearizable, expected) << one.file << " " << i;
        ++(expected ? right : wrong);
      }
    }
  }
  EXPECT_GT(right, 10);
  EXPECT_GT(wrong, 50);
}

}  // namespace
}  // namespace duramen::history
