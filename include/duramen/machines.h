// Machines that are ready to use. Their commands, queries and answers are text, so that a shell, a
// log and a person can read them; keys and values are any bytes.
//
//   options.machines = {duramen::CounterMachine(), duramen::KvMachine()};
//   system.Execute("scores", AsBytes(Kv::Put("ann", "7")), deadline);
//
// C++20, standard library only.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "duramen/machine.h"

namespace duramen {
inline namespace v1 {

/// "counter". Command: a number that is added, empty for 1. Answer, also to any query: the sum.
/// Errors of Validate: kInvalidArgument: no number of 64 bits. It wraps around.
MachineType CounterMachine();

/// "register": one value, empty at first.
struct Register {
  static std::string Set(std::string_view value);  // answer: the value before
  /// Sets it if it is `expected`. Answer: "ok", or "no " and what it is.
  static std::string CompareAndSet(std::string_view expected, std::string_view value);
};
/// A query has the value as its answer.
MachineType RegisterMachine();

/// "kv": a map from keys to values.
struct Kv {
  static std::string Put(std::string_view key, std::string_view value);  // answer: "ok"
  static std::string Delete(std::string_view key);                       // answer: "ok", or "none"
  /// Of a key that is not there `expected` is nothing. Answer: as Register's.
  static std::string CompareAndPut(std::string_view key, std::string_view expected,
                                   std::string_view value);
  // Queries.
  static std::string Get(std::string_view key);  // answer: "ok " and the value, or "none"
  static std::string Size();                     // answer: how many keys there are
  /// Answer: the keys that begin with `prefix`, in order, each as its length, a space and itself.
  static std::string Keys(std::string_view prefix);
};
MachineType KvMachine();

}  // namespace v1
}  // namespace duramen
