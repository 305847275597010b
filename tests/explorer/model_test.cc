// The oracle itself: a model that is wrong proves nothing.
#include "tests/explorer/model.h"

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "tests/explorer/explorer.h"

namespace duramen::explorer {
namespace {

Step Entry(LogNumber log, Index index, Term term) {
  return {.kind = StepKind::kEntry,
          .log = log,
          .index = index,
          .term = term,
          .hash = index * 100 + term};
}

TEST(Model, AnOverwriteCutsWhatIsAbove) {
  LogState log;
  Apply({.kind = StepKind::kCreate}, log);
  for (Index index = 1; index <= 4; ++index) Apply(Entry(0, index, 3), log);
  Apply(Entry(0, 2, 2), log);  // a lower term wins: it came later
  EXPECT_EQ(log.end(), 3u);
  EXPECT_EQ(log.TermAt(2), 2u);
  Apply({.kind = StepKind::kTruncatePrefix, .index = 3}, log);
  EXPECT_EQ(log.begin, 3u);
  EXPECT_EQ(log.end(), 3u);
  EXPECT_EQ(log.TermAt(2), 2u);
  Apply({.kind = StepKind::kReset, .index = 50, .term = 9}, log);
  EXPECT_EQ(log.begin, 50u);
  EXPECT_EQ(log.last_term(), 9u);
}

TEST(Model, AdmissibleIsEveryPrefixFromTheAcknowledgedToTheSubmitted) {
  History history({}, {}, 2);
  const LogNumber a = history.AddLog(0);
  const LogNumber b = history.AddLog(1);
  history.Add(0, {.kind = StepKind::kCreate, .log = a});
  history.Add(1, {.kind = StepKind::kCreate, .log = b});
  for (Index index = 1; index <= 5; ++index) {
    history.Add(0, Entry(a, index, 1));
    history.Settle(0, index);
  }
  EXPECT_EQ(history.AcknowledgedSteps(0, 0), 0u);
  EXPECT_EQ(history.AcknowledgedSteps(0, 3), 4u);
  EXPECT_EQ(history.AcknowledgedSteps(1, 100), 0u);  // no ticket yet
  const Admissible admissible = history.AdmissibleAt({.acknowledged = {4, 0}, .submitted = {6, 1}});
  ASSERT_EQ(admissible.size(), 2u);
  EXPECT_EQ(admissible[0].digests.size(), 3u);
  EXPECT_EQ(admissible[1].digests.size(), 2u);
  for (std::uint32_t steps = 0; steps <= 6; ++steps) {
    const Logs logs = history.StateAfter({steps, 0});
    const std::uint64_t digest = DigestOf(admissible[0].logs, logs);
    const auto& digests = admissible[0].digests;
    EXPECT_EQ(std::find(digests.begin(), digests.end(), digest) != digests.end(), steps >= 4);
  }
}

TEST(Model, JudgesALossAResurrectionAndAStranger) {
  History history({}, {}, 1);
  const LogNumber log = history.AddLog(0);
  history.Add(0, {.kind = StepKind::kCreate, .log = log});
  for (Index index = 1; index <= 4; ++index) history.Add(0, Entry(log, index, 1));
  history.Add(0, {.kind = StepKind::kTruncateSuffix, .log = log, .index = 3});
  const Admissible admissible = history.AdmissibleAt({.acknowledged = {6}, .submitted = {6}});
  Observation observed{.logs = history.StateAfter({6}), .problem = {}};
  EXPECT_EQ(Judge(observed, admissible), "");
  observed.logs = history.StateAfter({2});
  EXPECT_NE(Judge(observed, admissible), "");
  observed.logs = history.StateAfter({5});
  EXPECT_NE(Judge(observed, admissible), "");
  observed.logs = history.StateAfter({6});
  observed.logs.emplace_back().exists = true;
  EXPECT_NE(Judge(observed, admissible), "");
}

TEST(Model, TakesBackARefusedStep) {
  History history({}, {}, 1);
  const LogNumber log = history.AddLog(0);
  history.Add(0, {.kind = StepKind::kCreate, .log = log});
  history.Add(0, Entry(log, 1, 1));
  history.Settle(0, 7);
  history.Add(0, {.kind = StepKind::kDelete, .log = log});
  history.TakeBack(0);
  EXPECT_EQ(history.now()[log].end(), 2u);
}

TEST(RunIds, AreReadAsTheyArePrinted) {
  const RunId id{
      .seed = 17, .workload = 2, .crashes = {{12, Crash::kAdversary, 99}, {3, Crash::kKill, 0}}};
  const auto parsed = RunId::Parse(id.ToString());
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->ToString(), "17/overwrite-truncate-jump/12.adversary.99/3.kill.0");
  EXPECT_EQ(parsed->Hash(), id.Hash());
  EXPECT_FALSE(RunId::Parse("17"));
  EXPECT_FALSE(RunId::Parse("17/nothing"));
  EXPECT_FALSE(RunId::Parse("17/many-writers/1.ext5.1"));
}

}  // namespace
}  // namespace duramen::explorer
