// What clients asked of a system and what they were told, in the order of the events.
//
// A History is made by a HistoryBuilder out of events, and is a value from then on. Each event has
// a position, which is also the number of its line in a file (docs/history-format.md): the header
// is line 1, the first event 2. An operation lasts from its call to its completion. One whose
// outcome is unknown never completes: it may take effect at any time after its call, or never.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "duramen/result.h"
#include "history/value.h"

namespace duramen::history {

/// What one key holds, and what may be asked of it.
enum class ModelKind : std::uint8_t {
  kRegister,  // one value, at first null: read, write, cas
  kKv,        // one text, at first empty: get, put, append
  kSet,       // values that are never taken out: read, add, contains
};

enum class Function : std::uint8_t { kRead, kWrite, kCas, kGet, kPut, kAppend, kAdd, kContains };

enum class EventKind : std::uint8_t {
  kInvoke,
  kOk,    // it took effect, with this result
  kFail,  // it did not and will not take effect
  kInfo,  // nobody knows
};

enum class Outcome : std::uint8_t { kOk, kFail, kUnknown };

/// Names as they stand in files: "register", "cas", "invoke".
std::string_view NameOf(ModelKind model);
std::string_view NameOf(Function function);
std::string_view NameOf(EventKind kind);
std::optional<ModelKind> ModelNamed(std::string_view name);
std::optional<Function> FunctionNamed(std::string_view name);
std::optional<EventKind> EventNamed(std::string_view name);

/// No position: of what never completes.
inline constexpr std::uint64_t kNever = UINT64_MAX;
/// Positions start here.
inline constexpr std::uint64_t kFirstPosition = 2;

struct Event {
  EventKind kind = EventKind::kInvoke;
  std::uint64_t process = 0;  // a client; one operation at a time
  Function function = Function::kRead;
  std::string key;
  // Of kInvoke:
  Value value;     // to write, put, append, add or look for; of cas what it puts there
  Value expected;  // of cas: what has to be there
  // Of kOk:
  Value result;                                // of read and get; of cas and contains true or false
  std::optional<std::vector<Value>> elements;  // of a set's read
  std::optional<std::uint64_t> time_ns;
  bool operator==(const Event&) const = default;
};

/// Whether it can stand in a line. Errors: kInvalidArgument: a text is not UTF-8, or a count takes
/// more than 63 bits.
Status CheckText(const Event& event);

struct Operation {
  std::uint64_t process = 0;
  Function function = Function::kRead;
  std::string key;
  Value value;
  Value expected;
  Value result;
  std::optional<std::vector<Value>> elements;
  Outcome outcome = Outcome::kUnknown;
  std::uint64_t call = 0;             // the position of its kInvoke
  std::uint64_t completion = kNever;  // of its kOk or kFail
  std::optional<std::uint64_t> call_time_ns;
  std::optional<std::uint64_t> completion_time_ns;
};

/// "cas 4 to 5: true", "read: 5", "write 5", for people.
std::string TextOf(const Operation& operation);

struct History {
  ModelKind model = ModelKind::kRegister;
  std::vector<Operation> operations;  // in the order of their calls
  std::uint64_t events = 0;
};

/// Takes events one by one and refuses what no history can hold.
class HistoryBuilder {
 public:
  /// Memory of the history at most.
  static constexpr std::uint64_t kBytesMax = 1ULL << 30;

  explicit HistoryBuilder(ModelKind model) { history_.model = model; }

  /// Errors: kInvalidArgument  a function or a value that the model does not have, what
  ///                           CheckText refuses, a process that has an operation already, or
  ///                           none, or another one; time that goes back.
  ///         kTooLarge         the history takes more than kBytesMax.
  /// After an error the builder is as before.
  Status Add(Event event);
  /// What is still open has an unknown outcome. Leaves nothing behind.
  History Take();
  const History& so_far() const { return history_; }

 private:
  Status Invoke(Event event);
  Status Complete(Event event);
  History history_;
  std::map<std::uint64_t, std::size_t> open_;  // by process
  std::uint64_t time_ns_ = 0;
  std::uint64_t bytes_ = 0;
};

}  // namespace duramen::history
