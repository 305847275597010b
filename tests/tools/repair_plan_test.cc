// What a repair would do, from findings alone: no disk.
#include "tools/repair_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace duramen::tools {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

ServerUid UidOf(std::uint8_t number) {
  ServerUid uid;
  uid.bytes[3] = number;
  return uid;
}

std::vector<RepairStepKind> KindsOf(const RepairPlan& plan) {
  std::vector<RepairStepKind> kinds;
  for (const RepairStep& step : plan.steps) kinds.push_back(step.kind);
  return kinds;
}

RepairFinding Damage(std::string file, std::vector<RepairTouched> touched = {}) {
  return {.kind = FindingKind::kDamage,
          .file = std::move(file),
          .failed_check = true,
          .acknowledged = true,
          .touched = std::move(touched)};
}

RepairFacts FactsWith(std::vector<RepairFinding> findings) {
  RepairFacts facts;
  facts.path = "data";
  facts.findings = std::move(findings);
  return facts;
}

RepairServer Faulty(std::uint8_t number, Index from, Index to) {
  RepairServer server{.uid = UidOf(number), .name = "orders", .begin = 5, .end = 100};
  server.fault.from = from;
  server.fault.to = to;
  return server;
}

TEST(RepairPlan, TL3_NothingFoundNothingDone) {
  const Result<RepairPlan> plan = PlanRepair(FactsWith({}), {});
  ASSERT_TRUE(plan.ok());
  EXPECT_THAT(plan->steps, IsEmpty());
  EXPECT_THAT(plan->next, IsEmpty());
}

TEST(RepairPlan, TL3_EachSortOfFileHasItsStep) {
  const std::string segment = "servers/" + UidOf(3).ToString() + "/00000001.seg";
  const Result<RepairPlan> plan =
      PlanRepair(FactsWith({Damage("0000000000000002.wal", {{UidOf(1), 3, 5, false}}),
                            Damage("0000000000000003.wal", {{UidOf(1), 9, 9, false}}),
                            Damage(segment, {{UidOf(3), 1, 2, false}}), Damage("checkpoint-a"),
                            Damage("SYSTEM")}),
                 {});
  ASSERT_TRUE(plan.ok());
  EXPECT_THAT(KindsOf(*plan),
              ElementsAre(RepairStepKind::kRestoreSystem, RepairStepKind::kEmptyWal,
                          RepairStepKind::kRewriteSegments, RepairStepKind::kRebuildCheckpoints,
                          RepairStepKind::kMarkFaulty, RepairStepKind::kMarkFaulty));
  const RepairStep& lost = plan->steps[4];
  EXPECT_EQ(lost.uid, UidOf(1));
  EXPECT_EQ(lost.first, 3u);
  EXPECT_EQ(lost.last, 9u);
  EXPECT_EQ(plan->next.size(), 2u) << "both need a decision";
}

TEST(RepairPlan, A3_AnOpenEndStaysOpenAndRowsAreSaid) {
  const Result<RepairPlan> plan =
      PlanRepair(FactsWith({Damage("wal", {{UidOf(1), 7, 0, false}, {UidOf(1), 0, 0, true}})}), {});
  ASSERT_TRUE(plan.ok());
  ASSERT_EQ(plan->steps.size(), 2u);
  EXPECT_EQ(plan->steps[1].first, 7u);
  EXPECT_EQ(plan->steps[1].last, 0u);
  EXPECT_THAT(plan->steps[1].sentence, HasSubstr("term and vote may be lost"));
}

TEST(RepairPlan, A3_AnOpenEndIsBehindEveryOther) {
  const Result<RepairPlan> plan = PlanRepair(
      FactsWith({Damage("wal", {{UidOf(1), 7, 0, false}, {UidOf(1), 3, 5, false}})}), {});
  ASSERT_TRUE(plan.ok());
  ASSERT_EQ(plan->steps.size(), 2u);
  EXPECT_EQ(plan->steps[1].first, 3u);
  EXPECT_EQ(plan->steps[1].last, 0u);
}

TEST(RepairPlan, A3_WhatARowSaysIsNotSaidAgain) {
  RepairFacts facts = FactsWith({Damage("wal", {{UidOf(1), 10, 12, false}})});
  facts.servers.push_back(Faulty(1, 10, 12));
  const Result<RepairPlan> covered = PlanRepair(facts, {});
  ASSERT_TRUE(covered.ok());
  EXPECT_THAT(KindsOf(*covered), ElementsAre(RepairStepKind::kEmptyWal));
  facts.servers.front().fault.to = 11;
  const Result<RepairPlan> grown = PlanRepair(facts, {});
  ASSERT_TRUE(grown.ok());
  EXPECT_THAT(KindsOf(*grown), ElementsAre(RepairStepKind::kEmptyWal, RepairStepKind::kMarkFaulty));
}

TEST(RepairPlan, TL3_ATornTailAloneIsNoRepair) {
  RepairFinding torn{.kind = FindingKind::kTornTail, .file = "0000000000000002.wal"};
  RepairFinding unproven{.kind = FindingKind::kUnprovenTail, .file = "0000000000000002.wal"};
  const Result<RepairPlan> nothing = PlanRepair(FactsWith({torn}), {});
  ASSERT_TRUE(nothing.ok());
  EXPECT_THAT(nothing->steps, IsEmpty());
  const Result<RepairPlan> cut = PlanRepair(FactsWith({unproven}), {});
  ASSERT_TRUE(cut.ok());
  EXPECT_THAT(KindsOf(*cut), ElementsAre(RepairStepKind::kEmptyWal));
}

TEST(RepairPlan, A3_WhatWasNotAcknowledgedMakesNobodyFaulty) {
  RepairFinding finding = Damage("0000000000000002.wal", {{UidOf(1), 3, 5, true}});
  finding.acknowledged = false;
  const Result<RepairPlan> plan = PlanRepair(FactsWith({finding}), {});
  ASSERT_TRUE(plan.ok());
  EXPECT_THAT(KindsOf(*plan), ElementsAre(RepairStepKind::kEmptyWal));
}

TEST(RepairPlan, C15_ATruncationSaysWhoStaysFaulty) {
  RepairFacts facts = FactsWith({});
  facts.servers.push_back(Faulty(1, 10, 12));
  facts.target = facts.servers.front();
  const Result<RepairPlan> plan =
      PlanRepair(facts, {.action = RepairAction::kTruncate, .index = 10});
  ASSERT_TRUE(plan.ok());
  ASSERT_THAT(KindsOf(*plan), ElementsAre(RepairStepKind::kTruncate));
  EXPECT_EQ(plan->steps[0].first, 10u);
  EXPECT_EQ(plan->steps[0].last, 99u);
  EXPECT_THAT(plan->steps[0].sentence, HasSubstr("faulty until a leader"));
  EXPECT_THAT(plan->next, IsEmpty()) << "that is the decision";
  const Result<RepairPlan> forced =
      PlanRepair(facts, {.action = RepairAction::kTruncate, .index = 10, .force = true});
  ASSERT_TRUE(forced.ok());
  EXPECT_THAT(forced->steps[0].sentence, HasSubstr("healthy afterwards"));
}

TEST(RepairPlan, TL3_IndexesOutsideTheLogAreRefused) {
  RepairFacts facts = FactsWith({});
  facts.servers.push_back(Faulty(1, 10, 12));
  facts.target = facts.servers.front();
  for (const Index index : {Index{4}, Index{101}}) {
    const Result<RepairPlan> plan =
        PlanRepair(facts, {.action = RepairAction::kTruncate, .index = index});
    ASSERT_FALSE(plan.ok());
    EXPECT_EQ(plan.error().code, ErrorCode::kInvalidArgument);
    EXPECT_THAT(plan.error().message, HasSubstr("[5, 100)"));
  }
}

TEST(RepairPlan, TL3_AHealthyServerIsNotCutByAccident) {
  RepairFacts facts = FactsWith({});
  facts.target = Faulty(1, 0, 0);
  const Result<RepairPlan> refused =
      PlanRepair(facts, {.action = RepairAction::kTruncate, .index = 50});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kRefused);
  EXPECT_TRUE(
      PlanRepair(facts, {.action = RepairAction::kTruncate, .index = 50, .force = true}).ok());
}

TEST(RepairPlan, TL3_FillNamesWhatIsMissingBelowTheEnd) {
  RepairFacts facts = FactsWith({});
  facts.servers.push_back(Faulty(1, 10, 0));
  facts.target = facts.servers.front();
  const Result<RepairPlan> plan = PlanRepair(facts, {.action = RepairAction::kFill});
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->steps[0].first, 10u);
  EXPECT_EQ(plan->steps[0].last, 99u);
  facts.target->fault.from = 100;
  const Result<RepairPlan> behind = PlanRepair(facts, {.action = RepairAction::kFill});
  ASSERT_FALSE(behind.ok());
  EXPECT_EQ(behind.error().code, ErrorCode::kRefused);
}

TEST(RepairPlan, T6_AStrangerInTheWayIsNotTouched) {
  RepairFacts facts = FactsWith({Damage("checkpoint-a")});
  facts.strangers.push_back("meta/checkpoint-a");
  const Result<RepairPlan> plan = PlanRepair(facts, {});
  ASSERT_FALSE(plan.ok());
  EXPECT_EQ(plan.error().code, ErrorCode::kRefused);
  EXPECT_THAT(plan.error().message, HasSubstr("meta/checkpoint-a"));
}

}  // namespace
}  // namespace duramen::tools
