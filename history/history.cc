#include "history/history.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/try.h"
#include "base/utf8.h"

namespace duramen::history {
namespace {

constexpr std::array<std::string_view, 3> kModelNames = {"register", "kv", "set"};
constexpr std::array<std::string_view, 8> kFunctionNames = {"read", "write",  "cas", "get",
                                                            "put",  "append", "add", "contains"};
constexpr std::array<std::string_view, 4> kEventNames = {"invoke", "ok", "fail", "info"};

template <typename Kind, std::size_t kSize>
std::optional<Kind> Named(const std::array<std::string_view, kSize>& names, std::string_view name) {
  for (std::size_t i = 0; i < kSize; ++i) {
    if (names[i] == name) return static_cast<Kind>(i);
  }
  return std::nullopt;
}

Error Wrong(std::string message) { return {ErrorCode::kInvalidArgument, std::move(message), ""}; }

bool Has(ModelKind model, Function function) {
  switch (function) {
    case Function::kRead:
      return model != ModelKind::kKv;
    case Function::kWrite:
    case Function::kCas:
      return model == ModelKind::kRegister;
    case Function::kGet:
    case Function::kPut:
    case Function::kAppend:
      return model == ModelKind::kKv;
    case Function::kAdd:
    case Function::kContains:
      return model == ModelKind::kSet;
  }
  return false;
}

bool IsNull(const Value& value) { return std::holds_alternative<std::monostate>(value); }
bool IsText(const Value& value) { return std::holds_alternative<std::string>(value); }
bool IsFlag(const Value& value) { return std::holds_alternative<bool>(value); }

/// What is wrong with what an operation is given; empty for nothing.
std::string FaultOfInput(const Event& event) {
  const std::string name(NameOf(event.function));
  if (!IsNull(event.result) || event.elements) return name + " is called with a result";
  if (event.function != Function::kCas && !IsNull(event.expected)) {
    return name + " expects nothing";
  }
  switch (event.function) {
    case Function::kRead:
    case Function::kGet:
      return IsNull(event.value) ? "" : name + " takes no value";
    case Function::kPut:
    case Function::kAppend:
      return IsText(event.value) ? "" : name + " takes a text";
    case Function::kAdd:
    case Function::kContains:
      return IsNull(event.value) ? name + " takes a value" : "";
    default:
      return "";  // A register holds anything, null too.
  }
}

/// What is wrong with what an operation answers.
std::string FaultOfResult(const Event& event, ModelKind model) {
  const std::string name(NameOf(event.function));
  if (!IsNull(event.value) || !IsNull(event.expected)) return name + " completes with a value";
  const bool reads_set = event.function == Function::kRead && model == ModelKind::kSet;
  if (reads_set != event.elements.has_value()) {
    return name + (reads_set ? " of a set answers with a list" : " answers with no list");
  }
  for (const Value& element : event.elements.value_or(std::vector<Value>())) {
    if (IsNull(element)) return name + " answers with null, which is in no set";
  }
  switch (event.function) {
    case Function::kRead:
      return reads_set && !IsNull(event.result) ? name + " of a set answers with a list" : "";
    case Function::kGet:
      return IsText(event.result) || IsNull(event.result) ? "" : name + " answers with a text";
    case Function::kCas:
    case Function::kContains:
      return IsFlag(event.result) ? "" : name + " answers true or false";
    default:
      return IsNull(event.result) ? "" : name + " answers nothing";
  }
}

std::uint64_t BytesOf(const Value& value) {
  const auto* text = std::get_if<std::string>(&value);
  return text == nullptr ? 0 : text->size();
}

/// Of memory that a history keeps of it.
std::uint64_t BytesOf(const Event& event) {
  // What an operation and its place among the open ones take, whatever it holds.
  std::uint64_t bytes = event.kind == EventKind::kInvoke ? sizeof(Operation) + 64 : 0;
  bytes += event.key.size() + BytesOf(event.value) + BytesOf(event.expected);
  bytes += BytesOf(event.result);
  for (const Value& element : event.elements.value_or(std::vector<Value>())) {
    bytes += sizeof element + BytesOf(element);
  }
  return bytes;
}

bool IsPrintable(const Value& value) {
  const auto* text = std::get_if<std::string>(&value);
  return text == nullptr || IsUtf8(*text);
}

}  // namespace

std::string_view NameOf(ModelKind model) { return kModelNames[static_cast<std::size_t>(model)]; }
std::string_view NameOf(Function function) {
  return kFunctionNames[static_cast<std::size_t>(function)];
}
std::string_view NameOf(EventKind kind) { return kEventNames[static_cast<std::size_t>(kind)]; }
std::optional<ModelKind> ModelNamed(std::string_view name) {
  return Named<ModelKind>(kModelNames, name);
}
std::optional<Function> FunctionNamed(std::string_view name) {
  return Named<Function>(kFunctionNames, name);
}
std::optional<EventKind> EventNamed(std::string_view name) {
  return Named<EventKind>(kEventNames, name);
}

Status CheckText(const Event& event) {
  const std::vector<Value> elements = event.elements.value_or(std::vector<Value>());
  const bool printable = IsUtf8(event.key) && IsPrintable(event.value) &&
                         IsPrintable(event.expected) && IsPrintable(event.result) &&
                         std::all_of(elements.begin(), elements.end(),
                                     [](const Value& element) { return IsPrintable(element); });
  if (!printable) return Wrong("a text is not UTF-8");
  constexpr std::uint64_t kCountMax = INT64_MAX;
  if (event.process > kCountMax || event.time_ns.value_or(0) > kCountMax) {
    return Wrong("a count takes more than 63 bits");
  }
  return {};
}

std::string TextOf(const Operation& operation) {
  std::string text(NameOf(operation.function));
  const bool known = operation.outcome == Outcome::kOk;
  switch (operation.function) {
    case Function::kRead:
    case Function::kGet:
      break;
    case Function::kCas:
      text += " " + TextOf(operation.expected) + " to " + TextOf(operation.value);
      break;
    default:
      text += " " + TextOf(operation.value);
  }
  if (known && operation.elements) {
    text += ": {";
    for (const Value& element : *operation.elements) {
      if (text.back() != '{') text += ", ";
      text += TextOf(element);
    }
    return text + "}";
  }
  const bool answers =
      operation.function == Function::kRead || operation.function == Function::kGet ||
      operation.function == Function::kCas || operation.function == Function::kContains;
  if (known && answers) text += ": " + TextOf(operation.result);
  return text;
}

Status HistoryBuilder::Add(Event event) {
  if (!Has(history_.model, event.function)) {
    return Wrong("a " + std::string(NameOf(history_.model)) + " has no " +
                 std::string(NameOf(event.function)));
  }
  if (event.time_ns && *event.time_ns < time_ns_) return Wrong("time goes back");
  TRY(CheckText(event));
  const std::uint64_t bytes = BytesOf(event);
  if (bytes > kBytesMax - bytes_) {
    return Error{ErrorCode::kTooLarge, "the history takes more than 1 GiB of memory",
                 "record fewer operations at a time"};
  }
  const std::optional<std::uint64_t> time_ns = event.time_ns;
  TRY(event.kind == EventKind::kInvoke ? Invoke(std::move(event)) : Complete(std::move(event)));
  if (time_ns) time_ns_ = *time_ns;
  bytes_ += bytes;
  ++history_.events;
  return {};
}

Status HistoryBuilder::Invoke(Event event) {
  const std::string fault = FaultOfInput(event);
  if (!fault.empty()) return Wrong(fault);
  if (open_.contains(event.process)) {
    return Wrong("process " + std::to_string(event.process) + " has not completed that of line " +
                 std::to_string(history_.operations[open_[event.process]].call));
  }
  open_[event.process] = history_.operations.size();
  Operation operation;
  operation.process = event.process;
  operation.function = event.function;
  operation.key = std::move(event.key);
  operation.value = std::move(event.value);
  operation.expected = std::move(event.expected);
  operation.call = kFirstPosition + history_.events;
  operation.call_time_ns = event.time_ns;
  history_.operations.push_back(std::move(operation));
  return {};
}

Status HistoryBuilder::Complete(Event event) {
  const auto open = open_.find(event.process);
  if (open == open_.end()) {
    return Wrong("process " + std::to_string(event.process) + " has nothing to complete");
  }
  Operation& operation = history_.operations[open->second];
  if (operation.function != event.function || operation.key != event.key) {
    return Wrong("process " + std::to_string(event.process) + " is at the " +
                 std::string(NameOf(operation.function)) + " of key " + Quoted(operation.key) +
                 " of line " + std::to_string(operation.call));
  }
  if (event.kind == EventKind::kOk) {
    const std::string fault = FaultOfResult(event, history_.model);
    if (!fault.empty()) return Wrong(fault);
    operation.result = std::move(event.result);
    operation.elements = std::move(event.elements);
    operation.outcome = Outcome::kOk;
  } else if (!IsNull(event.result) || event.elements || !IsNull(event.value) ||
             !IsNull(event.expected)) {
    return Wrong("a " + std::string(NameOf(event.kind)) + " answers nothing");
  }
  if (event.kind == EventKind::kFail) operation.outcome = Outcome::kFail;
  if (event.kind != EventKind::kInfo) {
    operation.completion = kFirstPosition + history_.events;
    operation.completion_time_ns = event.time_ns;
  }
  open_.erase(open);
  return {};
}

History HistoryBuilder::Take() {
  open_.clear();
  time_ns_ = 0;
  bytes_ = 0;
  History taken = std::move(history_);
  history_ = History{};
  history_.model = taken.model;
  return taken;
}

}  // namespace duramen::history
