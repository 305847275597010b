// A set that only grows: read, add, contains. What is in it follows from what was placed, so all
// states have number 0 and the model counts along.
#include <algorithm>
#include <map>

#include "history/model.h"

namespace duramen::history {
namespace {

class SetModel final : public Model {
 public:
  explicit SetModel(std::span<const Item> items) : items_(items), impossible_(items.size(), false) {
    for (const Item& item : items_) {
      std::vector<std::uint32_t> members;
      const Operation& operation = *item.operation;
      if (operation.function != Function::kRead) members.push_back(NumberOf(operation.value));
      if (operation.function == Function::kRead && item.known() && operation.elements) {
        for (const Value& element : *operation.elements) members.push_back(NumberOf(element));
        std::sort(members.begin(), members.end());
        const auto twice = std::unique(members.begin(), members.end());
        impossible_[members_.size()] = twice != members.end();
        members.erase(twice, members.end());
      }
      bytes_ += members.size() * sizeof(std::uint32_t);
      members_.push_back(std::move(members));
    }
    elements_.assign(names_.size(), {});
    for (std::size_t i = 0; i < items_.size(); ++i) {
      if (items_[i].known()) Look(i, +1);
    }
    for (Element& element : elements_) element.ever_seen = element.seen_by > 0;
  }

  State Initial() const override { return 0; }

  std::optional<State> Step(State, std::size_t item) override {
    switch (items_[item].operation->function) {
      case Function::kRead: {
        if (impossible_[item]) return std::nullopt;
        const std::vector<std::uint32_t>& members = members_[item];
        const bool all = std::all_of(members.begin(), members.end(),
                                     [&](std::uint32_t one) { return elements_[one].added > 0; });
        return all ? std::optional<State>(0) : std::nullopt;
      }
      case Function::kContains: {
        const bool wanted = items_[item].operation->result == Value{true};
        const bool is_in = elements_[members_[item].front()].added > 0;
        return wanted == is_in ? std::optional<State>(0) : std::nullopt;
      }
      default:
        break;
    }
    const Element& element = elements_[members_[item].front()];
    // Whoever does not see it has to be in front of it: nothing is ever taken out.
    if (reads_ - element.read_by + element.missed_by > 0) return std::nullopt;
    if (!items_[item].known() && element.added > 0) return std::nullopt;
    return 0;
  }

  Nature NatureOf(std::size_t) const override { return Nature::kForced; }
  bool Judges(std::size_t item) const override {
    return items_[item].operation->function != Function::kAdd;
  }

  bool Matters(std::size_t item) const override {
    return items_[item].operation->function == Function::kAdd &&
           elements_[members_[item].front()].ever_seen;
  }

  void Placed(std::size_t item) override {
    if (items_[item].operation->function == Function::kAdd) {
      ++elements_[members_[item].front()].added;
    } else {
      Look(item, -1);
    }
  }

  void Lifted(std::size_t item) override {
    if (items_[item].operation->function == Function::kAdd) {
      --elements_[members_[item].front()].added;
    } else {
      Look(item, +1);
    }
  }

  std::string TextOfState(State) const override {
    std::string text = "{";
    for (std::size_t i = 0; i < elements_.size(); ++i) {
      if (elements_[i].added == 0) continue;
      if (text.size() > 1) text += ", ";
      text += TextOf(names_[i]);
    }
    return text + "}";
  }

  std::uint64_t memory_bytes() const override {
    return bytes_ + names_.size() * (2 * sizeof(Value) + sizeof(Element) + 64);
  }

 private:
  /// What was placed of one element, and who has still to be placed.
  struct Element {
    std::int64_t added = 0;
    std::int64_t read_by = 0;    // reads that have it
    std::int64_t missed_by = 0;  // `contains` that answer false
    std::int64_t seen_by = 0;    // reads and `contains` that have it
    bool ever_seen = false;
  };

  /// Counts one that looks, in or out.
  void Look(std::size_t item, std::int64_t by) {
    const Operation& operation = *items_[item].operation;
    if (operation.function == Function::kRead) {
      reads_ += by;
      for (const std::uint32_t member : members_[item]) {
        elements_[member].read_by += by;
        elements_[member].seen_by += by;
      }
    } else if (operation.function == Function::kContains) {
      Element& element = elements_[members_[item].front()];
      (operation.result == Value{true} ? element.seen_by : element.missed_by) += by;
    }
  }

  std::uint32_t NumberOf(const Value& value) {
    const auto [place, added] =
        numbers_.try_emplace(value, static_cast<std::uint32_t>(names_.size()));
    if (added) names_.push_back(value);
    return place->second;
  }

  std::span<const Item> items_;
  std::vector<std::vector<std::uint32_t>> members_;  // by item: what it adds, looks for or has read
  std::vector<bool> impossible_;                     // reads that have something twice
  std::vector<Value> names_;
  std::map<Value, std::uint32_t> numbers_;
  std::vector<Element> elements_;
  std::int64_t reads_ = 0;  // that have still to be placed
  std::uint64_t bytes_ = 0;
};

}  // namespace

std::unique_ptr<Model> MakeSetModel(std::span<const Item> items) {
  return std::make_unique<SetModel>(items);
}

std::unique_ptr<Model> MakeModel(ModelKind kind, std::span<const Item> items) {
  switch (kind) {
    case ModelKind::kRegister:
      return MakeRegisterModel(items);
    case ModelKind::kKv:
      return MakeKvModel(items);
    case ModelKind::kSet:
      break;
  }
  return MakeSetModel(items);
}

}  // namespace duramen::history
