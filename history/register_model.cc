// One value: read, write, cas. A state is the number of a value; 0 is null.
#include <algorithm>
#include <map>

#include "history/model.h"

namespace duramen::history {
namespace {

class RegisterModel final : public Model {
 public:
  explicit RegisterModel(std::span<const Item> items) : items_(items) {
    NumberOf(Value{});
    for (const Item& item : items_) {
      const Operation& operation = *item.operation;
      steps_.push_back({NumberOf(operation.value), NumberOf(operation.expected),
                        operation.function == Function::kRead ? NumberOf(operation.result) : 0,
                        KindOf(item)});
    }
    FindWhatMatters();
    supply_.assign(values_.size(), 0);
    demand_.assign(values_.size(), 0);
    maybe_demand_.assign(values_.size(), 0);
    refused_by_.assign(values_.size(), 0);
    for (std::size_t i = 0; i < items_.size(); ++i) {
      if (items_[i].known() || matters_[i]) Count(i, +1);
    }
  }

  State Initial() const override { return 0; }

  std::optional<State> Step(State state, std::size_t item) override {
    const Move& move = steps_[item];
    switch (move.kind) {
      case Kind::kRead:
        return state == move.result ? std::optional(state) : std::nullopt;
      case Kind::kRefused:
        return state != move.expected ? std::optional(state) : std::nullopt;
      case Kind::kWrite:
        break;
      case Kind::kSwap:
        if (state != move.expected) return std::nullopt;
    }
    if (state == move.value) return items_[item].known() ? std::optional(state) : std::nullopt;
    // Whoever has still to see what is there now would never see it.
    const std::uint32_t seen_by_item = IsKnownSwap(item) ? 1 : 0;
    if (supply_[state] == 0 && demand_[state] > seen_by_item) return std::nullopt;
    return move.value;
  }

  Nature NatureOf(std::size_t item) const override {
    const Move& move = steps_[item];
    if (move.kind == Kind::kSwap) return Nature::kOther;
    if (move.kind != Kind::kWrite) return Nature::kForced;
    if (demand_[move.value] + maybe_demand_[move.value] > 0) return Nature::kOverwrites;
    if (refused_ == 0) return Nature::kHidden;
    // All that can be seen of it is that what was there is gone, unless a refused cas names it.
    const bool alike = !items_[item].known() && refused_by_[move.value] == 0;
    return alike ? Nature::kAlike : Nature::kOverwrites;
  }

  bool Judges(std::size_t item) const override { return steps_[item].kind != Kind::kWrite; }
  bool Matters(std::size_t item) const override { return matters_[item]; }

  void Placed(std::size_t item) override { Count(item, -1); }
  void Lifted(std::size_t item) override { Count(item, +1); }

  std::string TextOfState(State state) const override { return TextOf(values_[state]); }
  std::uint64_t memory_bytes() const override {
    return steps_.size() * sizeof(Move) + values_.size() * (2 * sizeof(Value) + 64);
  }

 private:
  enum class Kind : std::uint8_t { kRead, kRefused, kWrite, kSwap };
  struct Move {
    State value = 0;
    State expected = 0;
    State result = 0;
    Kind kind = Kind::kRead;
  };

  static Kind KindOf(const Item& item) {
    const Operation& operation = *item.operation;
    if (operation.function == Function::kRead) return Kind::kRead;
    if (operation.function == Function::kWrite) return Kind::kWrite;
    return item.known() && operation.result == Value{false} ? Kind::kRefused : Kind::kSwap;
  }

  State NumberOf(const Value& value) {
    const auto [place, added] = numbers_.try_emplace(value, static_cast<State>(values_.size()));
    if (added) values_.push_back(value);
    return place->second;
  }

  bool IsKnownSwap(std::size_t item) const {
    return items_[item].known() && steps_[item].kind == Kind::kSwap;
  }

  void Count(std::size_t item, int by) {
    const Move& move = steps_[item];
    const auto change = static_cast<std::uint32_t>(by);  // wraps, down as well
    if (move.kind == Kind::kWrite || move.kind == Kind::kSwap) supply_[move.value] += change;
    if (move.kind == Kind::kRead) demand_[move.result] += change;
    if (move.kind == Kind::kRefused) {
      refused_ += change;
      refused_by_[move.expected] += change;
    }
    if (move.kind != Kind::kSwap) return;
    (items_[item].known() ? demand_ : maybe_demand_)[move.expected] += change;
  }

  /// An unknown write or cas matters if what it leaves can be seen by what completes after its
  /// call: a read of that value, a cas that expects it, or a refused cas, which sees any other
  /// value.
  void FindWhatMatters() {
    std::vector<std::uint64_t> seen(values_.size(), 0);  // last completion of who sees this value
    std::uint64_t refused = 0;
    for (std::size_t i = 0; i < items_.size(); ++i) {
      const Move& move = steps_[i];
      if (!items_[i].known()) continue;
      const std::uint64_t completion = items_[i].completion;
      if (move.kind == Kind::kRead) seen[move.result] = std::max(seen[move.result], completion);
      if (move.kind == Kind::kSwap) seen[move.expected] = std::max(seen[move.expected], completion);
      if (move.kind == Kind::kRefused) refused = std::max(refused, completion);
    }
    std::vector<std::vector<std::size_t>> leaves(values_.size());  // unknown items, by their value
    std::vector<std::size_t> to_judge;
    for (std::size_t i = 0; i < items_.size(); ++i) {
      if (items_[i].known() || steps_[i].kind == Kind::kRead) continue;
      leaves[steps_[i].value].push_back(i);
      to_judge.push_back(i);
    }
    matters_.assign(items_.size(), false);
    while (!to_judge.empty()) {
      const std::size_t item = to_judge.back();
      to_judge.pop_back();
      const Move& move = steps_[item];
      if (matters_[item] || std::max(seen[move.value], refused) <= items_[item].call) continue;
      matters_[item] = true;
      if (move.kind != Kind::kSwap || seen[move.expected] == kNever) continue;
      seen[move.expected] = kNever;  // It may be what sees the value that another leaves.
      to_judge.insert(to_judge.end(), leaves[move.expected].begin(), leaves[move.expected].end());
    }
  }

  std::span<const Item> items_;
  std::vector<Move> steps_;
  std::vector<Value> values_;
  std::map<Value, State> numbers_;
  std::vector<bool> matters_;
  std::vector<std::uint32_t> supply_;        // by value: who leaves it and is not placed
  std::vector<std::uint32_t> demand_;        // by value: known ones that see it and are not placed
  std::vector<std::uint32_t> maybe_demand_;  // the same of unknown ones
  std::uint32_t refused_ = 0;                // refused swaps that are not placed
  std::vector<std::uint32_t> refused_by_;    // by value: those of them that expect it
};

}  // namespace

std::unique_ptr<Model> MakeRegisterModel(std::span<const Item> items) {
  return std::make_unique<RegisterModel>(items);
}

}  // namespace duramen::history
