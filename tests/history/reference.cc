#include "tests/history/reference.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace duramen::history::testing {
namespace {

bool TryAll(const std::vector<Operation>& left, const Object& object) {
  std::uint64_t first_completion = kNever;
  for (const Operation& one : left) first_completion = std::min(first_completion, one.completion);
  if (first_completion == kNever) return true;  // Whatever is left may never take effect.
  for (std::size_t i = 0; i < left.size(); ++i) {
    if (left[i].call > first_completion) continue;
    Object after = object;
    if (!after.Answers(left[i])) continue;
    std::vector<Operation> rest = left;
    rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(i));
    if (TryAll(rest, after)) return true;
  }
  return false;
}

std::string TextIn(const Value& value) {
  const auto* text = std::get_if<std::string>(&value);
  return text == nullptr ? "" : *text;
}

}  // namespace

bool IsLinearizable(const History& history) {
  std::vector<Operation> left;
  for (const Operation& operation : history.operations) {
    if (operation.outcome != Outcome::kFail) left.push_back(operation);
  }
  return TryAll(left, Object(history.model));
}

History CutAfter(const History& history, std::uint64_t position) {
  History cut = history;
  cut.operations.clear();
  for (Operation operation : history.operations) {
    if (operation.call > position || operation.outcome == Outcome::kFail) continue;
    if (operation.completion > position) {
      operation.completion = kNever;
      operation.outcome = Outcome::kUnknown;
      operation.result = {};
      operation.elements.reset();
    }
    cut.operations.push_back(operation);
  }
  return cut;
}

Operation Object::Apply(Operation operation) {
  Value& value = values_[operation.key];
  std::map<Value, bool>& set = sets_[operation.key];
  operation.result = {};
  operation.elements.reset();
  switch (operation.function) {
    case Function::kRead:
      if (model_ == ModelKind::kRegister) {
        operation.result = value;
      } else {
        operation.elements.emplace();
        for (const auto& [element, is_in] : set) operation.elements->push_back(element);
      }
      break;
    case Function::kGet:
      operation.result = Value{TextIn(value)};
      break;
    case Function::kWrite:
    case Function::kPut:
      value = operation.value;
      break;
    case Function::kAppend:
      value = Value{TextIn(value) + TextIn(operation.value)};
      break;
    case Function::kCas:
      operation.result = Value{value == operation.expected};
      if (value == operation.expected) value = operation.value;
      break;
    case Function::kAdd:
      set[operation.value] = true;
      break;
    case Function::kContains:
      operation.result = Value{set.contains(operation.value)};
      break;
  }
  operation.outcome = Outcome::kOk;
  return operation;
}

bool Object::Answers(const Operation& operation) {
  const Operation applied = Apply(operation);
  if (operation.outcome == Outcome::kUnknown) return true;
  if (operation.function == Function::kGet)
    return TextIn(operation.result) == TextIn(applied.result);
  std::optional<std::vector<Value>> elements = operation.elements;
  if (elements) std::sort(elements->begin(), elements->end());
  return operation.result == applied.result && elements == applied.elements;
}

namespace {

class Recording {
 public:
  Recording(const Workload& workload, Rng& rng)
      : load_(workload), rng_(rng), builder_(workload.model), object_(workload.model) {
    for (std::uint64_t i = 0; i < load_.clients; ++i) clients_.push_back({.process = i});
    next_process_ = load_.clients;
  }

  History Make() {
    std::uint64_t called = 0;
    while (true) {
      Client& client = clients_[rng_.Below(clients_.size())];
      if (client.stage == Stage::kIdle) {
        if (called == load_.operations) {
          if (std::all_of(clients_.begin(), clients_.end(),
                          [](const Client& one) { return one.stage == Stage::kIdle; })) {
            return builder_.Take();
          }
          continue;
        }
        Call(client);
        ++called;
      } else if (client.stage == Stage::kCalled) {
        TakeEffect(client);
      } else {
        Complete(client);
      }
      ApplyLate();
    }
  }

 private:
  enum class Stage { kIdle, kCalled, kDone };
  struct Client {
    std::uint64_t process = 0;
    Stage stage = Stage::kIdle;
    Operation operation = {};
    EventKind end = EventKind::kOk;
  };

  bool Percent(std::uint64_t percent) { return rng_.Below(100) < percent; }
  bool Faulty(Fault fault) { return load_.fault == fault && rng_.OneIn(2); }

  Value NewValue() {
    const std::uint64_t number = load_.values == 0 ? ++values_ : 1 + rng_.Below(load_.values);
    if (load_.model == ModelKind::kKv) return Value{"<" + std::to_string(number) + ">"};
    return Value{static_cast<std::int64_t>(number)};
  }

  /// One that was written, or may be.
  Value OldValue() {
    if (load_.values != 0) return NewValue();
    return Value{static_cast<std::int64_t>(values_ - std::min(values_, rng_.Below(5)))};
  }

  void Call(Client& client) {
    Operation operation;
    operation.key = std::string(1, static_cast<char>('a' + rng_.Below(load_.keys)));
    const std::uint64_t dice = rng_.Below(load_.cas || load_.model != ModelKind::kRegister ? 3 : 2);
    const Function kChoices[3][3] = {{Function::kRead, Function::kWrite, Function::kCas},
                                     {Function::kGet, Function::kPut, Function::kAppend},
                                     {Function::kRead, Function::kAdd, Function::kContains}};
    operation.function = kChoices[static_cast<int>(load_.model)][dice];
    if (operation.function == Function::kCas) operation.expected = OldValue();
    if (operation.function == Function::kContains) {
      operation.value = OldValue();
      if (operation.value == Value{std::int64_t{0}}) operation.value = Value{std::int64_t{1}};
    } else if (dice != 0) {
      operation.value = NewValue();
    }
    client.operation = operation;
    client.stage = Stage::kCalled;
    Tell(client, EventKind::kInvoke);
  }

  void TakeEffect(Client& client) {
    client.stage = Stage::kDone;
    client.end = Percent(load_.unknown_percent)  ? EventKind::kInfo
                 : Percent(load_.failed_percent) ? EventKind::kFail
                                                 : EventKind::kOk;
    if (client.end == EventKind::kFail && !Faulty(Fault::kDirtyFails)) return;
    if (client.end == EventKind::kInfo && rng_.OneIn(3)) {
      if (rng_.OneIn(2)) late_.push_back(client.operation);
      return;
    }
    if (Faulty(Fault::kStaleReads)) {
      Object old = earlier_;
      client.operation = old.Apply(client.operation);
      return;
    }
    Object before = object_;
    if (Faulty(Fault::kLostWrites) || Faulty(Fault::kLateWrites)) {
      if (load_.fault == Fault::kLateWrites) late_.push_back(client.operation);
      client.operation = before.Apply(client.operation);
      return;
    }
    client.operation = object_.Apply(client.operation);
    if (rng_.OneIn(2)) earlier_ = before;
    if (Faulty(Fault::kWildAnswers)) MakeUp(client.operation);
  }

  void MakeUp(Operation& operation) {
    if (operation.function == Function::kRead && load_.model == ModelKind::kRegister) {
      operation.result = NewValue();
    } else if (operation.function == Function::kGet) {
      operation.result = Value{TextIn(operation.result) + TextIn(NewValue())};
    } else if (operation.elements) {
      operation.elements->push_back(NewValue());
    } else if (const auto* flag = std::get_if<bool>(&operation.result)) {
      operation.result = Value{!*flag};
    }
  }

  void ApplyLate() {
    if (late_.empty() || !rng_.OneIn(4)) return;
    (void)object_.Apply(late_.back());
    late_.pop_back();
  }

  void Complete(Client& client) {
    Tell(client, client.end);
    client.stage = Stage::kIdle;
    if (client.end == EventKind::kInfo) client.process = next_process_++;
  }

  void Tell(const Client& client, EventKind kind) {
    const Operation& operation = client.operation;
    Event event{.kind = kind,
                .process = client.process,
                .function = operation.function,
                .key = operation.key};
    if (kind == EventKind::kInvoke) {
      event.value = operation.value;
      event.expected = operation.expected;
    } else if (kind == EventKind::kOk) {
      event.result = operation.result;
      event.elements = operation.elements;
    }
    const Status added = builder_.Add(event);
    EXPECT_TRUE(added.ok()) << added.error().message;
  }

  const Workload& load_;
  Rng& rng_;
  HistoryBuilder builder_;
  Object object_;
  Object earlier_{load_.model};
  std::vector<Operation> late_;
  std::vector<Client> clients_;
  std::uint64_t next_process_ = 0;
  std::uint64_t values_ = 0;
};

}  // namespace

History MakeHistory(const Workload& workload, Rng& rng) { return Recording(workload, rng).Make(); }

}  // namespace duramen::history::testing
