// What the search has to know of a kind of object: which operation may come next, and when.
//
// A Model is of one key, made anew for each search over its items; one thread. Its states are
// numbers that it gives out; two texts of one state may have two numbers, which costs time and
// nothing else. Placed and Lifted tell it what stands in the order so far, the last one lifted
// first; a model whose state follows from that alone may have one number for all.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "history/history.h"

namespace duramen::history {

/// An operation in a search. Where a history is cut, what completes later is unknown in it.
struct Item {
  const Operation* operation = nullptr;
  std::uint64_t call = 0;
  std::uint64_t completion = kNever;
  bool known() const { return completion != kNever; }
};

class Model {
 public:
  using State = std::uint32_t;

  /// What may be taken for granted about an item that is not placed; README.md has the proofs. It
  /// follows from what is placed.
  enum class Nature : std::uint8_t {
    kForced,      // where it may come next, it may as well be next
    kOverwrites,  // what is after it does not depend on what was before, and it answers nothing
    kHidden,      // it overwrites, or adds to what is there, and whoever could see that is placed
    kAlike,       // as kOverwrites, of an unknown item: nobody can tell it from another such one
    kOther,
  };

  virtual ~Model() = default;
  virtual State Initial() const = 0;
  /// What is after `item` where `state` was before it; nothing where it cannot come next. An
  /// unknown item also cannot where it would change nothing.
  virtual std::optional<State> Step(State state, std::size_t item) = 0;
  virtual Nature NatureOf(std::size_t item) const = 0;
  /// Whether there are states that a known item cannot come after. When all of those are placed,
  /// the others can follow in the order of their calls.
  virtual bool Judges(std::size_t item) const = 0;
  /// Of an unknown item: false where no order needs it.
  virtual bool Matters(std::size_t item) const = 0;
  virtual void Placed(std::size_t) {}
  virtual void Lifted(std::size_t) {}
  /// For people.
  virtual std::string TextOfState(State state) const = 0;
  virtual std::uint64_t memory_bytes() const = 0;
};

/// `items` are in the order of their calls, none failed, and outlive the model.
std::unique_ptr<Model> MakeModel(ModelKind kind, std::span<const Item> items);
std::unique_ptr<Model> MakeRegisterModel(std::span<const Item> items);
std::unique_ptr<Model> MakeKvModel(std::span<const Item> items);
std::unique_ptr<Model> MakeSetModel(std::span<const Item> items);

}  // namespace duramen::history
