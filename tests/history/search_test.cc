// The checker against trying everything, on histories of objects that are right and of ones that
// are not.
#include "history/search.h"

#include <gtest/gtest.h>

#include "history/checker.h"
#include "history/event_line.h"
#include "tests/history/reference.h"

namespace duramen::history {
namespace {

using testing::Fault;
using testing::MakeHistory;
using testing::Object;
using testing::Workload;

constexpr int kHistories = 24'000;

std::string TextOf(const History& history) {
  std::string text;
  for (const Operation& operation : history.operations) {
    text += std::to_string(operation.call) + " to " +
            (operation.completion == kNever ? "?" : std::to_string(operation.completion)) + " " +
            operation.key + " " + history::TextOf(operation) + "\n";
  }
  return text;
}

std::vector<Item> ItemsOf(const History& history) {
  std::vector<Item> items;
  for (const Operation& operation : history.operations) {
    if (operation.outcome == Outcome::kFail) continue;
    items.push_back({&operation, operation.call, operation.completion});
  }
  return items;
}

/// The order that a search found is one: nothing known is missing or twice, none comes before what
/// had completed before its call, and each answers as it did.
void ExpectCertificate(const History& history) {
  const std::vector<Item> items = ItemsOf(history);
  const std::unique_ptr<Model> model = MakeModel(history.model, items);
  Search search(*model, items, {});
  ASSERT_EQ(search.Run(), Verdict::kLinearizable);
  std::vector<bool> placed(items.size(), false);
  std::uint64_t latest_call = 0;
  Object object(history.model);
  for (const Search::Placing& placing : search.Order()) {
    const Item& item = items[placing.item];
    EXPECT_FALSE(placed[placing.item]);
    placed[placing.item] = true;
    EXPECT_GT(item.completion, latest_call);
    latest_call = std::max(latest_call, item.call);
    EXPECT_TRUE(object.Answers(*item.operation));
  }
  for (std::size_t i = 0; i < items.size(); ++i) EXPECT_TRUE(placed[i] || !items[i].known());
}

void ExpectRightPlace(const History& history, const Report& report) {
  for (const KeyReport& key : report.keys) {
    if (key.verdict != Verdict::kNotLinearizable) continue;
    History alone = history;
    std::erase_if(alone.operations, [&](const Operation& one) { return one.key != key.key; });
    ASSERT_TRUE(key.violation.has_value());
    const std::uint64_t place = history.operations[key.violation->operation].completion;
    EXPECT_TRUE(key.violation->exact);
    EXPECT_FALSE(testing::IsLinearizable(testing::CutAfter(alone, place)));
    EXPECT_TRUE(testing::IsLinearizable(testing::CutAfter(alone, place - 1)));
    EXPECT_NE(Explain(history, key), "");
  }
}

void ExpectSameAsReference(ModelKind model) {
  Rng rng(20260301 + static_cast<std::uint64_t>(model));
  int linearizable = 0;
  int faulty = 0;
  for (int i = 0; i < kHistories && !::testing::Test::HasFailure(); ++i) {
    const Workload workload{.model = model,
                            .fault = static_cast<Fault>(i % testing::kFaults),
                            .operations = 3 + rng.Below(6),
                            .clients = 2 + rng.Below(3),
                            .keys = 1 + rng.Below(2),
                            .values = rng.Below(4),
                            .unknown_percent = rng.Below(3) * 20,
                            .failed_percent = rng.Below(2) * 20};
    const History history = MakeHistory(workload, rng);
    SCOPED_TRACE(TextOf(history));
    const Report report = CheckHistory(history, {});
    const bool expected = testing::IsLinearizable(history);
    ASSERT_EQ(report.verdict, expected ? Verdict::kLinearizable : Verdict::kNotLinearizable);
    ASSERT_TRUE(expected || workload.fault != Fault::kNone);
    ++(expected ? linearizable : faulty);
    ExpectRightPlace(history, report);
    if (expected && workload.keys == 1) ExpectCertificate(history);
  }
  EXPECT_GT(linearizable, kHistories / 5);
  EXPECT_GT(faulty, kHistories / 8);
}

TEST(Search, CT4_RegistersAreJudgedAsByTryingEverything) {
  ExpectSameAsReference(ModelKind::kRegister);
}

TEST(Search, CT4_KvsAreJudgedAsByTryingEverything) { ExpectSameAsReference(ModelKind::kKv); }

TEST(Search, CT4_SetsAreJudgedAsByTryingEverything) { ExpectSameAsReference(ModelKind::kSet); }

}  // namespace
}  // namespace duramen::history
