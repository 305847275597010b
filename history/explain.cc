// Why a key's history is not linearizable, for people.
#include <algorithm>
#include <set>

#include "base/check.h"
#include "history/checker.h"

namespace duramen::history {
namespace {

constexpr std::size_t kTextBytesMax = 96;  // of one operation or state
constexpr std::size_t kListedMax = 8;

/// A long text without its middle.
std::string Short(const std::string& text) {
  if (text.size() <= kTextBytesMax) return text;
  const auto is_start = [&](std::size_t at) {
    return (static_cast<unsigned char>(text[at]) & 0xC0) != 0x80;
  };
  std::size_t head = kTextBytesMax / 3;
  std::size_t tail = text.size() - kTextBytesMax / 2;
  while (!is_start(head)) --head;
  while (!is_start(tail)) ++tail;
  return text.substr(0, head) + " ... " + text.substr(tail);
}

std::string Seconds(std::uint64_t time_ns) {
  const std::uint64_t micros = time_ns / 1000;
  const std::string fraction = std::to_string(micros % 1'000'000);
  return std::to_string(micros / 1'000'000) + "." + std::string(6 - fraction.size(), '0') +
         fraction + " s";
}

/// "lines 3 to 9, 0.000001 s to 0.000017 s".
std::string Span(const Operation& operation) {
  std::string text = operation.completion == kNever
                         ? "from line " + std::to_string(operation.call) + " on"
                         : "lines " + std::to_string(operation.call) + " to " +
                               std::to_string(operation.completion);
  if (!operation.call_time_ns) return text;
  text += ", " + Seconds(*operation.call_time_ns);
  if (operation.completion_time_ns) text += " to " + Seconds(*operation.completion_time_ns);
  return text;
}

std::string Line(const Operation& operation) {
  std::string line = "process " + std::to_string(operation.process) + ", " + Span(operation) +
                     ": " + Short(TextOf(operation));
  if (operation.outcome == Outcome::kUnknown) line += " (outcome unknown)";
  if (operation.outcome == Outcome::kFail) line += " (failed)";
  return line;
}

class Explanation {
 public:
  Explanation(const History& history, const KeyReport& report)
      : history_(history), report_(report), violation_(*report.violation) {}

  std::string Text() {
    const Operation& culprit = At(violation_.operation);
    Add("key " + Short(Quoted(report_.key)) + ": " +
        (violation_.exact ? "up to line " + std::to_string(culprit.completion - 1) +
                                " there is an order that explains every answer, with line "
                          : "there is no order that explains every answer up to line ") +
        std::to_string(culprit.completion) + (violation_.exact ? " there is none:" : ":"));
    Add("  " + Line(culprit));
    AddWriters(culprit);
    AddElements(culprit);
    AddOrder();
    AddOpen();
    text_.pop_back();
    return std::move(text_);
  }

 private:
  const Operation& At(std::size_t place) const { return history_.operations[place]; }
  void Add(std::string_view line) { text_.append(line).push_back('\n'); }

  /// Of what was done to this key, what `is_listed`: `title`, then a line for each.
  template <typename Listed>
  std::size_t AddListed(const std::string& title, Listed is_listed) {
    std::size_t count = 0;
    for (const std::size_t place : violation_.of_key) {
      const Operation& operation = At(place);
      if (!is_listed(operation)) continue;
      if (++count == 1) Add(title);
      if (count <= kListedMax) Add("    " + Line(operation));
    }
    if (count > kListedMax) Add("    and " + std::to_string(count - kListedMax) + " more");
    return count;
  }

  /// Who wrote what was read or what a cas found, or added what was looked for.
  void AddWriters(const Operation& culprit) {
    const bool reads = culprit.function == Function::kRead && !culprit.elements;
    const bool swaps = culprit.function == Function::kCas && culprit.result == Value{true};
    const bool looks = culprit.function == Function::kContains;
    if (!reads && !swaps && !looks) return;
    const Value& value = reads ? culprit.result : looks ? culprit.value : culprit.expected;
    const std::string text = Short(TextOf(value));
    const std::string did = looks ? "added " : "written ";
    const std::size_t writers =
        AddListed("  " + text + " was " + did + "by", [&](const Operation& operation) {
          const bool writes =
              operation.function == Function::kWrite || operation.function == Function::kAdd ||
              (operation.function == Function::kCas && operation.result != Value{false});
          return writes && operation.value == value && operation.call < culprit.completion;
        });
    if (writers == 0 && value != Value{}) Add("  nobody had " + did + text);
  }

  /// What a set's read lacks or has too much.
  void AddElements(const Operation& culprit) {
    if (!culprit.elements) return;
    const std::set<Value> read(culprit.elements->begin(), culprit.elements->end());
    if (read.size() < culprit.elements->size()) Add("  it has something twice");
    AddListed("  it lacks what was added before it:", [&](const Operation& operation) {
      return operation.function == Function::kAdd && operation.outcome == Outcome::kOk &&
             operation.completion < culprit.call && !read.contains(operation.value);
    });
    std::set<Value> added;
    for (const std::size_t place : violation_.of_key) {
      const Operation& operation = At(place);
      if (operation.function == Function::kAdd && operation.outcome != Outcome::kFail &&
          operation.call < culprit.completion) {
        added.insert(operation.value);
      }
    }
    for (const Value& element : read) {
      if (!added.contains(element)) Add("  nobody had added " + Short(TextOf(element)));
    }
  }

  void AddOrder() {
    if (violation_.order.empty()) return;
    Add("  the end of one order that explains all before, and what the key holds after each, " +
        std::to_string(violation_.order.size()) + " of " + std::to_string(violation_.order_size) +
        ":");
    for (const Violation::Placed& placed : violation_.order) {
      Add("    " + Line(At(placed.operation)) + " -> " + Short(placed.state));
    }
    std::string line = "  in it, while the " +
                       std::string(NameOf(At(violation_.operation).function)) + " of line " +
                       std::to_string(At(violation_.operation).call) + " lasted, the key held";
    for (const std::string& state : violation_.states) line += " " + Short(state) + ",";
    line.pop_back();
    Add(line);
  }

  void AddOpen() {
    if (violation_.open.empty()) return;
    Add("  in flight at that time:");
    for (std::size_t i = 0; i < std::min(violation_.open.size(), kListedMax); ++i) {
      Add("    " + Line(At(violation_.open[i])));
    }
    if (violation_.open.size() > kListedMax) {
      Add("    and " + std::to_string(violation_.open.size() - kListedMax) + " more");
    }
  }

  const History& history_;
  const KeyReport& report_;
  const Violation& violation_;
  std::string text_;
};

}  // namespace

std::string Explain(const History& history, const KeyReport& report) {
  CHECK(report.violation.has_value());
  return Explanation(history, report).Text();
}

}  // namespace duramen::history
