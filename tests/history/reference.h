// Linearizability by trying everything: short, slow, and nothing in common with the checker. And
// histories to try it on, from objects that are right and from objects that are not.
#pragma once

#include "base/rng.h"
#include "history/history.h"

namespace duramen::history::testing {

/// All keys at once, all orders. For a few operations.
bool IsLinearizable(const History& history);

/// The same, and what was known just after the event at `position`; what had failed is left out.
History CutAfter(const History& history, std::uint64_t position);

/// One object of the model per key, as the reference has it.
class Object {
 public:
  explicit Object(ModelKind model) : model_(model) {}
  /// What `operation` does and answers; its own answer is not looked at.
  Operation Apply(Operation operation);
  /// Whether it answers as it did.
  bool Answers(const Operation& operation);

 private:
  ModelKind model_;
  std::map<std::string, Value> values_;
  std::map<std::string, std::map<Value, bool>> sets_;
};

enum class Fault : std::uint8_t {
  kNone,
  kStaleReads,   // some reads answer from an earlier state
  kLostWrites,   // some are acknowledged and never take effect
  kLateWrites,   // some take effect after they were acknowledged
  kDirtyFails,   // some that failed take effect
  kWildAnswers,  // some answers are made up
};
inline constexpr int kFaults = 6;

struct Workload {
  ModelKind model = ModelKind::kRegister;
  Fault fault = Fault::kNone;
  std::uint64_t operations = 8;
  std::uint64_t clients = 3;
  std::uint64_t keys = 1;
  std::uint64_t values = 3;  // written ones; 0: each is new
  std::uint64_t unknown_percent = 15;
  std::uint64_t failed_percent = 5;
  bool cas = true;
};

/// Clients at once, with delays; one seed gives one history.
History MakeHistory(const Workload& workload, Rng& rng);

}  // namespace duramen::history::testing
