// Is a history linearizable, key by key; and if not, from where on, and why.
//
// Pure but for the question whether to stop: the same history and budget give the same report. A
// history is linearizable if that of each key is (Herlihy and Wing), and so keys are judged alone.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "history/history.h"
#include "history/search.h"

namespace duramen::history {

/// Where a key's history stops being linearizable. Operations are places in History::operations.
struct Violation {
  /// Up to just before its completion there is an order, with it there is none.
  std::size_t operation = 0;
  /// False where the budget ended before a shorter prefix was judged, so that it may begin earlier.
  bool exact = true;
  /// What the key held in `order` while `operation` lasted, each once. Not all, if there are many.
  std::vector<std::string> states;

  struct Placed {
    std::size_t operation = 0;
    std::string state;  // after it
  };
  /// The end of one order that explains all before; empty where the budget ended first.
  std::vector<Placed> order;
  std::uint64_t order_size = 0;  // of all of it
  /// Those in flight when it completed.
  std::vector<std::size_t> open;
  /// All of the key. What explains thousands of keys cannot look through the history for each.
  std::vector<std::size_t> of_key;
};

struct KeyReport {
  std::string key;
  Verdict verdict = Verdict::kUndecided;
  std::uint64_t operations = 0;
  std::uint64_t unknown = 0;
  std::uint64_t failed = 0;
  std::uint64_t steps = 0;         // of its verdict
  std::uint64_t memory_bytes = 0;  // of its verdict
  std::optional<Violation> violation;
};

struct Report {
  /// kNotLinearizable if any key is; kLinearizable only if all keys are.
  Verdict verdict = Verdict::kLinearizable;
  std::vector<KeyReport> keys;  // by key
  bool stopped = false;         // budget.stop said so; keys not looked at are missing
};

/// `budget` is that of each search; a violation takes as many more as it takes to find its place.
Report CheckHistory(const History& history, const Budget& budget);

/// What happened to a key that is not linearizable, in lines for people, without a break at the
/// end. Requires: a violation, in a report on this history.
std::string Explain(const History& history, const KeyReport& report);

}  // namespace duramen::history
