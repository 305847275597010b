#include "server/sessions.h"

#include <gtest/gtest.h>

#include <string>

namespace duramen::server {
namespace {

using Standing = SessionTable::Standing;

TEST(Sessions, CM2_ACommandThatIsSentAgainGetsItsAnswer) {
  SessionTable table;
  ASSERT_EQ(table.Find({.client = 1, .sequence = 1}, 10).standing, Standing::kNew);
  table.Record({.client = 1, .sequence = 1}, "one");
  const SessionTable::Finding again = table.Find({.client = 1, .sequence = 1}, 11);
  EXPECT_EQ(again.standing, Standing::kExecuted);
  EXPECT_EQ(again.answer, "one");
  EXPECT_EQ(table.Find({.client = 2, .sequence = 1}, 12).standing, Standing::kNew);
}

/// 5 is lost on the way, 6 is applied, then 5 comes: it has not run yet, and is no repetition.
TEST(Sessions, A20_OneBelowTheHighestIsNoRepetition) {
  SessionTable table;
  ASSERT_EQ(table.Find({.client = 1, .sequence = 6, .acknowledged = 4}, 1).standing,
            Standing::kNew);
  table.Record({.client = 1, .sequence = 6, .acknowledged = 4}, "six");
  EXPECT_EQ(table.Find({.client = 1, .sequence = 5, .acknowledged = 4}, 2).standing,
            Standing::kNew);
}

TEST(Sessions, A20_WhatIsNeitherKeptNorNewNeverRuns) {
  SessionTable table;
  for (std::uint64_t sequence = 1; sequence <= 3; ++sequence) {
    ASSERT_EQ(table.Find({.client = 1, .sequence = sequence}, sequence).standing, Standing::kNew);
    table.Record({.client = 1, .sequence = sequence}, "answer");
  }
  // The client has had answers up to 2: they are forgotten, and come late.
  EXPECT_EQ(table.Find({.client = 1, .sequence = 3, .acknowledged = 2}, 4).standing,
            Standing::kExecuted);
  EXPECT_EQ(table.Find({.client = 1, .sequence = 2, .acknowledged = 1}, 5).standing,
            Standing::kExpired);
  const std::uint64_t last = 2 + SessionTable::kWindow;
  EXPECT_EQ(table.Find({.client = 1, .sequence = last, .acknowledged = 2}, 6).standing,
            Standing::kNew);
  EXPECT_EQ(table.Find({.client = 1, .sequence = last + 1, .acknowledged = 2}, 7).standing,
            Standing::kExpired);
}

TEST(Sessions, CM2_TheTableIsBoundedAndWhoWasForgottenNeverRunsAgain) {
  SessionTable table;
  for (std::uint64_t client = 1; client <= SessionTable::kClientsMax + 1; ++client) {
    ASSERT_EQ(table.Find({.client = client, .sequence = 1}, client).standing, Standing::kNew);
    table.Record({.client = client, .sequence = 1}, "");
  }
  EXPECT_EQ(table.size(), SessionTable::kClientsMax);
  EXPECT_EQ(table.Find({.client = 1, .sequence = 1}, 1'000'000).standing, Standing::kExpired);
  EXPECT_EQ(table.Find({.client = 2, .sequence = 1}, 1'000'001).standing, Standing::kExecuted);
}

}  // namespace
}  // namespace duramen::server
