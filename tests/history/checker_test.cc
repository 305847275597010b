// What the checker says of single histories: verdicts by the book, what it tells of a violation,
// and that it never passes what it did not judge.
#include "history/checker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/history/labelled.h"
#include "tests/history/reference.h"

namespace duramen::history {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

/// Events as in a file, for one register "x": "0 invoke write 1", "1 ok read 1", "0 ok cas true".
History RegisterHistory(const std::vector<std::string>& events) {
  HistoryBuilder builder(ModelKind::kRegister);
  for (const std::string& text : events) {
    std::istringstream words(text);
    std::string kind, function, first, second;
    Event event{.key = "x"};
    words >> event.process >> kind >> function >> first >> second;
    event.kind = *EventNamed(kind);
    event.function = *FunctionNamed(function);
    const auto number = [](const std::string& word) {
      return word.empty() ? Value{} : Value{static_cast<std::int64_t>(std::stoll(word))};
    };
    if (event.kind == EventKind::kInvoke && event.function == Function::kCas) {
      event.expected = number(first);
      event.value = number(second);
    } else if (event.kind == EventKind::kInvoke) {
      event.value = number(first);
    } else if (event.function == Function::kCas && event.kind == EventKind::kOk) {
      event.result = Value{first == "true"};
    } else {
      event.result = number(first);
    }
    const Status added = builder.Add(event);
    EXPECT_TRUE(added.ok()) << text << ": " << added.error().message;
  }
  return builder.Take();
}

Verdict VerdictOf(const std::vector<std::string>& events) {
  return CheckHistory(RegisterHistory(events), {}).verdict;
}

TEST(Checker, CT4_NoHistoryIsLinearizable) {
  const Report report = CheckHistory(RegisterHistory({}), {});
  EXPECT_EQ(report.verdict, Verdict::kLinearizable);
  EXPECT_TRUE(report.keys.empty());
}

TEST(Checker, CT4_AReadOverlappingAWriteMaySeeEither) {
  const std::vector<std::string> begin = {"0 invoke write 1", "1 invoke read"};
  for (const char* read : {"1 ok read", "1 ok read 1"}) {
    std::vector<std::string> events = begin;
    events.insert(events.end(), {read, "0 ok write"});
    EXPECT_EQ(VerdictOf(events), Verdict::kLinearizable) << read;
  }
}

TEST(Checker, CT4_AReadAfterAWriteSeesIt) {
  EXPECT_EQ(VerdictOf({"0 invoke write 1", "0 ok write", "1 invoke read", "1 ok read"}),
            Verdict::kNotLinearizable);
}

TEST(Checker, CT4_AReadDoesNotGoBack) {
  EXPECT_EQ(VerdictOf({"0 invoke write 1", "1 invoke read", "1 ok read 1", "1 invoke read",
                       "1 ok read", "0 ok write"}),
            Verdict::kNotLinearizable);
}

TEST(Checker, CT4_AnUnknownWriteTakesEffectLateOrNever) {
  const std::vector<std::string> begin = {"0 invoke write 1", "0 info write",  "1 invoke write 2",
                                          "1 ok write",       "1 invoke read", "1 ok read 2"};
  EXPECT_EQ(VerdictOf(begin), Verdict::kLinearizable);
  std::vector<std::string> late = begin;
  late.insert(late.end(), {"1 invoke read", "1 ok read 1"});
  EXPECT_EQ(VerdictOf(late), Verdict::kLinearizable);
  // But once only.
  late.insert(late.end(), {"1 invoke read", "1 ok read 2"});
  EXPECT_EQ(VerdictOf(late), Verdict::kNotLinearizable);
}

TEST(Checker, CT4_AnUnknownOneHasNoEffectBeforeItsCall) {
  EXPECT_EQ(VerdictOf({"1 invoke read", "1 ok read 1", "0 invoke write 1", "0 info write"}),
            Verdict::kNotLinearizable);
}

TEST(Checker, CT4_WhatIsOpenAtTheEndIsUnknown) {
  EXPECT_EQ(VerdictOf({"0 invoke write 1", "1 invoke read", "1 ok read 1"}),
            Verdict::kLinearizable);
}

TEST(Checker, CT4_AFailedWriteIsNeverSeen) {
  EXPECT_EQ(VerdictOf({"0 invoke write 1", "0 fail write", "1 invoke read", "1 ok read 1"}),
            Verdict::kNotLinearizable);
}

TEST(Checker, CT4_ARefusedCasSawAnotherValue) {
  const std::vector<std::string> refused = {"1 invoke cas 1 5", "1 ok cas false"};
  std::vector<std::string> events = {"0 invoke write 1", "0 ok write"};
  events.insert(events.end(), refused.begin(), refused.end());
  EXPECT_EQ(VerdictOf(events), Verdict::kNotLinearizable);
  // An unknown write that nobody reads may be what it saw.
  events.insert(events.begin(), {"7 invoke write 3", "7 info write"});
  EXPECT_EQ(VerdictOf(events), Verdict::kLinearizable);
}

TEST(Checker, CT4_UnknownCasesMayBuildOnEachOther) {
  std::vector<std::string> events = {"0 invoke cas 1 2", "0 info cas",       "1 invoke cas 2 3",
                                     "1 info cas",       "2 invoke write 1", "2 ok write",
                                     "3 invoke read",    "3 ok read 3"};
  EXPECT_EQ(VerdictOf(events), Verdict::kLinearizable);
  events.erase(events.begin(), events.begin() + 2);
  EXPECT_EQ(VerdictOf(events), Verdict::kNotLinearizable);
}

TEST(Checker, CT4_AViolationIsToldWithItsPlaceAndAnOrderBeforeIt) {
  const History history = RegisterHistory(
      {"0 invoke write 1", "0 ok write", "0 invoke write 2", "1 invoke read", "1 ok read 2",
       "2 invoke read", "3 invoke write 9", "2 ok read 1", "0 ok write", "3 ok write"});
  const Report report = CheckHistory(history, {});
  ASSERT_EQ(report.verdict, Verdict::kNotLinearizable);
  ASSERT_EQ(report.keys.size(), 1U);
  const Violation& violation = *report.keys[0].violation;
  EXPECT_EQ(violation.operation, 3U);
  EXPECT_TRUE(violation.exact);
  EXPECT_EQ(violation.order_size, 3U);
  const std::string text = Explain(history, report.keys[0]);
  EXPECT_EQ(text,
            "key \"x\": up to line 8 there is an order that explains every answer, with line 9 "
            "there is none:\n"
            "  process 2, lines 7 to 9: read: 1\n"
            "  1 was written by\n"
            "    process 0, lines 2 to 3: write 1\n"
            "  the end of one order that explains all before, and what the key holds after each, "
            "3 of 3:\n"
            "    process 0, lines 2 to 3: write 1 -> 1\n"
            "    process 0, lines 4 to 10: write 2 -> 2\n"
            "    process 1, lines 5 to 6: read: 2 -> 2\n"
            "  in it, while the read of line 7 lasted, the key held 2\n"
            "  in flight at that time:\n"
            "    process 0, lines 4 to 10: write 2\n"
            "    process 3, lines 8 to 11: write 9");
}

TEST(Checker, CT4_AViolationIsToldOfEachKeyAlone) {
  HistoryBuilder builder(ModelKind::kSet);
  std::uint64_t time_ns = 0;
  const auto add = [&](Event event) { ASSERT_TRUE(builder.Add(std::move(event)).ok()); };
  for (const std::int64_t value : {1, 2, 3}) {
    const std::string key = value == 3 ? "whole" : "broken";
    add({.function = Function::kAdd,
         .key = key,
         .value = Value{value},
         .time_ns = time_ns += 1500});
    add({.kind = EventKind::kOk,
         .function = Function::kAdd,
         .key = key,
         .time_ns = time_ns += 2'000'000});
  }
  add({.function = Function::kRead, .key = "broken"});
  add({.kind = EventKind::kOk,
       .function = Function::kRead,
       .key = "broken",
       .elements = {{Value{std::int64_t{2}}, Value{std::int64_t{8}}}}});
  const History history = builder.Take();
  const Report report = CheckHistory(history, {});
  EXPECT_EQ(report.verdict, Verdict::kNotLinearizable);
  ASSERT_EQ(report.keys.size(), 2U);
  EXPECT_EQ(report.keys[0].key, "broken");
  EXPECT_EQ(report.keys[1].verdict, Verdict::kLinearizable);
  const std::string text = Explain(history, report.keys[0]);
  EXPECT_THAT(text, HasSubstr("process 0, lines 8 to 9: read: {2, 8}\n"));
  EXPECT_THAT(text, HasSubstr("  it lacks what was added before it:\n"
                              "    process 0, lines 2 to 3, 0.000001 s to 0.002001 s: add 1\n"));
  EXPECT_THAT(text, HasSubstr("  nobody had added 8\n"));
  EXPECT_THAT(text, Not(HasSubstr("whole")));
}

/// A register of few values, many clients, unknown outcomes and refused cases: slow to judge.
History SlowHistory() {
  Rng rng(7);
  return testing::MakeHistory({.model = ModelKind::kKv,
                               .operations = 2000,
                               .clients = 10,
                               .values = 5,
                               .unknown_percent = 5},
                              rng);
}

TEST(Checker, CT4_WhatIsNotJudgedIsUndecided) {
  const History history = SlowHistory();
  const Report few_steps = CheckHistory(history, {.steps_max = 1000});
  EXPECT_EQ(few_steps.verdict, Verdict::kUndecided);
  EXPECT_LT(few_steps.keys[0].steps, 1100U);
  const Report little_memory = CheckHistory(history, {.memory_max_bytes = 3 << 20});
  EXPECT_EQ(little_memory.verdict, Verdict::kUndecided);
  EXPECT_LT(little_memory.keys[0].memory_bytes, 5U << 20);
  int asked = 0;
  const auto stop = [&asked] { return ++asked > 2; };
  const Report stopped = CheckHistory(history, {.stop = stop});
  EXPECT_EQ(stopped.verdict, Verdict::kUndecided);
  EXPECT_TRUE(stopped.stopped);
  EXPECT_LT(stopped.keys[0].steps, 10'000U);
}

TEST(Checker, CT4_OneKeyThatFailsCountsMoreThanOneThatIsUndecided) {
  History history = SlowHistory();
  History wrong = RegisterHistory({"1 invoke read", "1 ok read 1"});
  wrong.operations[0].function = Function::kGet;
  wrong.operations[0].result = Value{"never put"};
  wrong.operations[0].key = "z";
  history.operations.push_back(wrong.operations[0]);
  EXPECT_EQ(CheckHistory(history, {.steps_max = 1000}).verdict, Verdict::kNotLinearizable);
}

TEST(Checker, CT4_APlaceThatIsNotExactIsSaidToBe) {
  History history = SlowHistory();
  std::size_t last = 0;
  for (std::size_t i = 0; i < history.operations.size(); ++i) {
    const Operation& operation = history.operations[i];
    if (operation.function == Function::kGet && operation.outcome == Outcome::kOk) last = i;
  }
  history.operations[last].result = Value{"never put"};
  // With it nobody knows an order at once; without it the search takes longer than it may.
  const Report report = CheckHistory(history, {.steps_max = 50'000});
  ASSERT_EQ(report.verdict, Verdict::kNotLinearizable);
  EXPECT_FALSE(report.keys[0].violation->exact);
  EXPECT_THAT(Explain(history, report.keys[0]),
              HasSubstr("there is no order that explains every answer up to line "));
}

/// The load that a simulation has: it has to be judged in no time, whatever becomes of the
/// unknown ones. Steps instead of seconds: ten million of them take some seconds.
TEST(Checker, CT4_TwoThousandOperationsOfTenClientsAreJudgedInFewSteps) {
  for (int model = 0; model < 3; ++model) {
    for (const std::uint64_t keys : {1, 5}) {
      for (std::uint64_t seed = 0; seed < 10; ++seed) {
        const auto workload = testing::Workload{.model = static_cast<ModelKind>(model),
                                                .operations = 2000,
                                                .clients = 10,
                                                .keys = keys,
                                                .values = 0,
                                                .unknown_percent = 5};
        Rng rng(seed);
        const History history = testing::MakeHistory(workload, rng);
        const Report report = CheckHistory(history, {.steps_max = 1'000'000});
        EXPECT_EQ(report.verdict, Verdict::kLinearizable) << model << " " << keys << " " << seed;
      }
    }
  }
}

/// 1,500 writes of unknown outcome and as many refused cases, each of which any of them explains.
TEST(Checker, CT4_ALongHistoryOfOneRegisterIsJudgedInFewSteps) {
  Rng rng(1);
  const History history = testing::MakeHistory(
      {.operations = 30'000, .clients = 10, .values = 0, .unknown_percent = 5}, rng);
  const Report report = CheckHistory(history, {.steps_max = 2'000'000});
  EXPECT_EQ(report.verdict, Verdict::kLinearizable);
}

/// Ten writes at once, and nobody can have seen the last one: all of their orders are tried, but
/// each set of them once for each that may be its last, which is not ten factorial.
TEST(Checker, CT4_APlaceIsLookedAtOnce) {
  std::vector<std::string> events;
  for (int i = 0; i < 10; ++i) {
    events.push_back(std::to_string(i) + " invoke write " + std::to_string(i));
  }
  for (int i = 0; i < 10; ++i) events.push_back(std::to_string(i) + " ok write");
  // A refused cas may have seen any of them.
  events.insert(events.end(),
                {"0 invoke cas 50 1", "1 invoke read", "1 ok read 77", "0 ok cas false"});
  const Report report = CheckHistory(RegisterHistory(events), {.steps_max = 100'000});
  EXPECT_EQ(report.verdict, Verdict::kNotLinearizable);
}

TEST(Checker, CT4_TheSameHistoryTakesTheSameSteps) {
  Rng rng(3);
  const History history = testing::MakeHistory({.operations = 300, .clients = 8}, rng);
  const Report once = CheckHistory(history, {});
  const Report again = CheckHistory(history, {});
  ASSERT_EQ(once.keys.size(), again.keys.size());
  EXPECT_EQ(once.keys[0].steps, again.keys[0].steps);
}

/// Thousands of keys may be wrong at once: what explains one goes by its operations alone.
TEST(Checker, CT4_AnExplanationDoesNotLookThroughOtherKeys) {
  HistoryBuilder builder(ModelKind::kRegister);
  const auto add = [&](EventKind kind, Function function, const std::string& key, Value value) {
    const bool answers = kind == EventKind::kOk;
    const Event event{.kind = kind,
                      .function = function,
                      .key = key,
                      .value = answers ? Value{} : value,
                      .result = answers ? value : Value{}};
    ASSERT_TRUE(builder.Add(event).ok());
  };
  add(EventKind::kInvoke, Function::kWrite, "other", Value{std::int64_t{2}});
  add(EventKind::kOk, Function::kWrite, "other", {});
  add(EventKind::kInvoke, Function::kRead, "wrong", {});
  add(EventKind::kOk, Function::kRead, "wrong", Value{std::int64_t{2}});
  History history = builder.Take();
  const Report report = CheckHistory(history, {});
  ASSERT_EQ(report.keys.back().verdict, Verdict::kNotLinearizable);
  ASSERT_THAT(report.keys.back().violation->of_key, ElementsAre(1));
  history.operations[0].key = "wrong";  // Whoever looked at it would believe it.
  EXPECT_THAT(Explain(history, report.keys.back()), HasSubstr("nobody had written 2"));
}

}  // namespace
}  // namespace duramen::history
