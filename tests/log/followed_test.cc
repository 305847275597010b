// What is known of a log that another process writes is what became durable of it.
#include "log/followed.h"

#include <gmock/gmock.h>

namespace duramen::log {
namespace {

using ::testing::ElementsAre;
using wal::RunHeader;
using wal::RunKind;

memtable::TermRun TermsFrom(Index first, Term term) { return {first, term}; }

class Follower : public ::testing::Test {
 protected:
  Follower() { follower_.Follow(3, {.bounds = {}, .terms = {TermsFrom(0, 0)}}); }
  void See(const RunHeader& run) { follower_.OnDurable({&run, 1}); }
  FollowedLog Now() const { return follower_.Find(3).value(); }
  DurableFollower follower_;
};

TEST_F(Follower, SW2_EntriesRaiseTheEndAndTerms) {
  See({.slot = 3, .count = 5, .first = 1, .term = 1});
  See({.slot = 3, .count = 5, .first = 6, .term = 1});
  See({.slot = 3, .count = 2, .first = 11, .term = 4});
  See({.slot = 9, .count = 2, .first = 1, .term = 4});
  EXPECT_EQ(Now().bounds.end, 13u);
  EXPECT_EQ(Now().bounds.last_term, 4u);
  EXPECT_THAT(Now().terms, ElementsAre(TermsFrom(0, 0), TermsFrom(1, 1), TermsFrom(11, 4)));
  EXPECT_FALSE(follower_.Find(9).has_value());
}

TEST_F(Follower, SW2_CutsTakeTermsAway) {
  See({.slot = 3, .count = 10, .first = 1, .term = 1});
  See({.slot = 3, .count = 10, .first = 11, .term = 2});
  See({.slot = 3, .count = 1, .first = 15, .term = 3, .epoch = 1, .kind = RunKind::kOverwrite});
  EXPECT_THAT(Now().terms, ElementsAre(TermsFrom(0, 0), TermsFrom(1, 1), TermsFrom(11, 2),
                                       TermsFrom(15, 3)));
  EXPECT_EQ(Now().bounds.end, 16u);
  See({.slot = 3, .first = 11, .term = 1, .epoch = 2, .kind = RunKind::kTruncateSuffix});
  EXPECT_THAT(Now().terms, ElementsAre(TermsFrom(0, 0), TermsFrom(1, 1)));
  EXPECT_EQ(Now().bounds.end, 11u);
  EXPECT_EQ(Now().bounds.epoch, 2u);
  EXPECT_EQ(Now().bounds.last_term, 1u);
}

TEST_F(Follower, SW2_AFloorKeepsTheTermBeforeIt) {
  See({.slot = 3, .count = 10, .first = 1, .term = 1});
  See({.slot = 3, .count = 10, .first = 11, .term = 2});
  See({.slot = 3, .first = 11, .term = 1, .kind = RunKind::kFloor});
  EXPECT_EQ(Now().bounds.begin, 11u);
  EXPECT_THAT(Now().terms, ElementsAre(TermsFrom(1, 1), TermsFrom(11, 2)));
  See({.slot = 3, .first = 21, .term = 2, .kind = RunKind::kFloor});
  EXPECT_THAT(Now().terms, ElementsAre(TermsFrom(11, 2)));
  See({.slot = 3, .count = 1, .first = 21, .term = 2});
  EXPECT_THAT(Now().terms, ElementsAre(TermsFrom(11, 2)));
}

TEST_F(Follower, SW2_AResetBeginsAnew) {
  See({.slot = 3, .count = 10, .first = 1, .term = 1});
  See({.slot = 3, .first = 100, .term = 7, .epoch = 1, .kind = RunKind::kReset});
  EXPECT_EQ(Now().bounds.begin, 100u);
  EXPECT_EQ(Now().bounds.end, 100u);
  EXPECT_THAT(Now().terms, ElementsAre(TermsFrom(99, 7)));
  See({.slot = 3, .count = 1, .first = 100, .term = 8, .epoch = 1});
  EXPECT_THAT(Now().terms, ElementsAre(TermsFrom(99, 7), TermsFrom(100, 8)));
}

}  // namespace
}  // namespace duramen::log
