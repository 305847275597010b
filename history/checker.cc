#include "history/checker.h"

#include <algorithm>
#include <map>

#include "base/check.h"

namespace duramen::history {
namespace {

constexpr std::size_t kOrderShownMax = 12;
constexpr std::size_t kStatesMax = 8;

/// The operations of one key that took effect or may have.
std::vector<Item> ItemsOf(const History& history, const std::vector<std::size_t>& operations) {
  std::vector<Item> items;
  for (const std::size_t place : operations) {
    const Operation& operation = history.operations[place];
    if (operation.outcome == Outcome::kFail) continue;
    items.push_back({&operation, operation.call, operation.completion});
  }
  return items;
}

/// What was known just after the event at `position`.
std::vector<Item> CutAfter(const std::vector<Item>& items, std::uint64_t position) {
  std::vector<Item> cut;
  for (Item item : items) {
    if (item.call > position) break;
    if (item.completion > position) item.completion = kNever;
    cut.push_back(item);
  }
  return cut;
}

/// Judges prefixes of one key's history, for the first that has no order.
class Prefixes {
 public:
  Prefixes(const History& history, const std::vector<Item>& items, const Budget& budget)
      : history_(history), items_(items), budget_(budget) {}

  /// Requires: the whole has no order.
  Violation FirstViolation() {
    std::vector<std::uint64_t> completions;
    for (const Item& item : items_) {
      if (item.known()) completions.push_back(item.completion);
    }
    std::sort(completions.begin(), completions.end());
    CHECK(!completions.empty());
    // A prefix of a linearizable history is linearizable, so the place can be halved down to.
    std::size_t begin = 0;
    std::size_t end = completions.size() - 1;
    while (begin < end) {
      const std::size_t middle = begin + (end - begin) / 2;
      const Verdict verdict = VerdictUpTo(completions[middle]);
      if (verdict == Verdict::kUndecided) violation_.exact = false;
      if (verdict == Verdict::kNotLinearizable) {
        end = middle;
      } else {
        begin = middle + 1;
      }
    }
    LookAt(completions[end]);
    return std::move(violation_);
  }

 private:
  Verdict VerdictUpTo(std::uint64_t position) {
    const std::vector<Item> cut = CutAfter(items_, position);
    const std::unique_ptr<Model> model = MakeModel(history_.model, cut);
    return Search(*model, cut, budget_).Run();
  }

  std::size_t PlaceOf(const Item& item) const {
    return static_cast<std::size_t>(item.operation - history_.operations.data());
  }

  void LookAt(std::uint64_t position) {
    for (const Item& item : CutAfter(items_, position)) {
      if (item.completion == position) {
        violation_.operation = PlaceOf(item);
      } else if (!item.known() && item.operation->completion != kNever) {
        violation_.open.push_back(PlaceOf(item));
      }
    }
    const std::vector<Item> before = CutAfter(items_, position - 1);
    const std::unique_ptr<Model> model = MakeModel(history_.model, before);
    Search search(*model, before, budget_);
    if (search.Run() == Verdict::kLinearizable) Tell(before, search.Order());
  }

  /// `order` once more from the start: a model that counts along can only tell of the state it is
  /// in.
  void Tell(const std::vector<Item>& items, const std::vector<Search::Placing>& order) {
    const std::uint64_t call = history_.operations[violation_.operation].call;
    std::size_t lasts_from = 0;  // in `order`
    for (std::size_t i = 0; i < order.size(); ++i) {
      if (items[order[i].item].completion < call) lasts_from = i + 1;
    }
    const std::unique_ptr<Model> model = MakeModel(history_.model, items);
    Model::State state = model->Initial();
    violation_.order_size = order.size();
    if (lasts_from == 0) TellState(model->TextOfState(state));
    for (std::size_t i = 0; i < order.size(); ++i) {
      state = model->Step(state, order[i].item).value_or(state);
      model->Placed(order[i].item);
      const bool shown = i + kOrderShownMax >= order.size();
      if (!shown && i + 1 < lasts_from) continue;
      const std::string text = model->TextOfState(state);
      if (i + 1 >= lasts_from) TellState(text);
      if (shown) violation_.order.push_back({PlaceOf(items[order[i].item]), text});
    }
  }

  void TellState(const std::string& text) {
    std::vector<std::string>& states = violation_.states;
    if (states.size() == kStatesMax) return;
    if (std::find(states.begin(), states.end(), text) == states.end()) states.push_back(text);
  }

  const History& history_;
  const std::vector<Item>& items_;
  const Budget& budget_;
  Violation violation_;
};

KeyReport CheckKey(const History& history, const std::vector<std::size_t>& operations,
                   const Budget& budget) {
  const std::vector<Item> items = ItemsOf(history, operations);
  KeyReport report;
  report.operations = operations.size();
  report.failed = operations.size() - items.size();
  report.unknown = static_cast<std::uint64_t>(
      std::count_if(items.begin(), items.end(), [](const Item& item) { return !item.known(); }));
  const std::unique_ptr<Model> model = MakeModel(history.model, items);
  Search search(*model, items, budget);
  report.verdict = search.Run();
  report.steps = search.steps();
  report.memory_bytes = search.memory_bytes();
  if (report.verdict != Verdict::kNotLinearizable) return report;
  report.violation = Prefixes(history, items, budget).FirstViolation();
  report.violation->of_key = operations;
  return report;
}

}  // namespace

Report CheckHistory(const History& history, const Budget& budget) {
  std::map<std::string_view, std::vector<std::size_t>> keys;
  for (std::size_t i = 0; i < history.operations.size(); ++i) {
    keys[history.operations[i].key].push_back(i);
  }
  Report report;
  bool undecided = false;
  for (const auto& [key, operations] : keys) {
    report.stopped = budget.stop && budget.stop();
    undecided = undecided || report.stopped;
    if (report.stopped) break;
    KeyReport one = CheckKey(history, operations, budget);
    one.key = std::string(key);
    if (one.verdict == Verdict::kNotLinearizable) report.verdict = Verdict::kNotLinearizable;
    undecided = undecided || one.verdict == Verdict::kUndecided;
    report.keys.push_back(std::move(one));
  }
  report.stopped = report.stopped || (budget.stop && budget.stop());
  if (undecided && report.verdict == Verdict::kLinearizable) report.verdict = Verdict::kUndecided;
  return report;
}

}  // namespace duramen::history
