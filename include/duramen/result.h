// Result, Status and Error: how every fallible call of Duramen answers.
//
// An Error says what happened (message) and what to do about it (hint). Codes are numbered and
// stable: the C ABI and the exit codes of the tools are derived from them, so a number is never
// reused. No exception leaves the library.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>
#include <variant>

namespace duramen {
inline namespace v1 {

enum class ErrorCode : std::uint16_t {
  kInvalidArgument = 1,        // a value that no call accepts: a bad name, an unknown kind
  kNotFound = 2,               // no such log, file or key
  kAlreadyExists = 3,          // create asked for something that is there
  kIo = 4,                     // the operating system refused a read, write or sync
  kCorruption = 5,             // bytes that do not match their checksum or their rules
  kShortRead = 6,              // bytes end before the structure does
  kUnknownVersion = 7,         // written by a newer release
  kInUse = 8,                  // the directory or log is held by someone else
  kPermission = 9,             // the operating system denies access
  kDiskFull = 10,              // no space for new entries
  kWalDown = 11,               // the WAL cannot make anything durable; its state says why
  kOverloaded = 12,            // a bounded queue or budget is full; retry after a while
  kTooLarge = 13,              // over a limit that is stated in the message
  kGap = 14,                   // an index that does not follow the log's last; resend from the hint
  kTermBelowPredecessor = 15,  // an entry's term is below that of the entry before it
  kFaulty = 16,                // this log has damage that needs a leader or `repair`
  kTimeout = 17,               // the deadline passed; the outcome is unknown
  kStaleRef = 18,              // a LogRef of a log that was deleted or of another store
  kConfiguration = 19,         // a setting that is unknown, out of range or contradicts another
  kOutOfRange = 20,            // an index below the log's begin or at or above its end
  kClosed = 21,                // the store is closed
  kForked = 22,                // used in a child of fork()
  kRefused = 23,               // possible, but only with explicit consent
  kUnsupported = 24,           // not on this kernel, file system or build
  kWrongWriter = 25,           // a log belongs to one Writer, and this is not it
  kNotLeader = 26,             // another server leads the cluster, or none; nothing happened
  kMachineFailed = 27,         // the user's machine threw; its server has stopped
};

/// The name of a code as it is printed: "disk_full", "gap", ...
const char* ErrorCodeName(ErrorCode code) noexcept;

struct Error {
  ErrorCode code = ErrorCode::kInvalidArgument;
  std::string message;  // what happened, one sentence
  std::string hint;     // what to do, may be empty
};

/// A value or an Error. Asking for the one that is not there is a bug and aborts.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT: implicit
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: implicit
  bool ok() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return ok(); }
  T& value() & { return Checked(*this); }
  const T& value() const& { return Checked(*this); }
  T&& value() && { return std::move(Checked(*this)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  const Error& error() const& {
    if (ok()) std::abort();
    return *std::get_if<1>(&state_);
  }
  Error&& error() && {
    if (ok()) std::abort();
    return std::move(*std::get_if<1>(&state_));
  }

 private:
  template <typename Self>
  static auto& Checked(Self& self) {
    if (!self.ok()) std::abort();
    return *std::get_if<0>(&self.state_);
  }
  std::variant<T, Error> state_;
};

/// Success or an Error. `return {};` is success.
template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: implicit
  bool ok() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return ok(); }
  const Error& error() const& {
    if (ok()) std::abort();
    return *std::get_if<1>(&state_);
  }
  Error&& error() && {
    if (ok()) std::abort();
    return std::move(*std::get_if<1>(&state_));
  }

 private:
  std::variant<std::monostate, Error> state_;
};
using Status = Result<void>;

}  // namespace v1
}  // namespace duramen
