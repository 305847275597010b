// Labelled histories of others, where they are at hand: DURAMEN_OUTSIDE_DATA.
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/history/labelled.h"

namespace duramen::history {
namespace {

std::string Folder() {
  const char* outside = std::getenv("DURAMEN_OUTSIDE_DATA");
  EXPECT_NE(outside, nullptr) << "set it to the folder that has histories/verdicts.tsv";
  return std::string(outside == nullptr ? "." : outside) + "/histories";
}

TEST(OutsideHistories, CT4_AreJudgedAsLabelled) { testing::ExpectVerdictsOf(Folder()); }

TEST(OutsideHistories, CT4_AreRefusedWithOneAnswerThatNobodyWrote) {
  testing::ExpectAlteredOnesFail(Folder());
}

}  // namespace
}  // namespace duramen::history
