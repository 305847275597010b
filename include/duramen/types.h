// The plain types of Duramen's public interface.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace duramen {
inline namespace v1 {

using Bytes =
    std::span<const std::byte>;  // in: copied before the call returns. out: borrowed, see Pin
using Index = std::uint64_t;     // 1-based; 0 is "before the first"
using Term = std::uint64_t;
using Ticket = std::uint64_t;  // position in one Writer's order; 0 is "nothing"
using Deadline = std::chrono::steady_clock::time_point;

/// kSynced is acknowledged once durable and wakes the WAL; kLazy rides the next batch.
enum class Durability : std::uint8_t { kSynced, kLazy };

/// How entries stand on disk; the numbers are those of the formats.
enum class Compression : std::uint8_t { kNone = 0, kZstd = 1 };

/// Kinds 0..127 are Duramen's own, 128..255 the caller's.
inline constexpr std::uint8_t kFirstUserKind = 128;
/// An empty entry in the place of one that was lost, where somebody asked for it.
inline constexpr std::uint8_t kNoOpKind = 16;

struct EntryView {
  Index index = 0;
  Term term = 0;
  std::uint8_t kind = kFirstUserKind;
  Bytes payload;
};

/// The caller's executor: an asio strand, a libuv loop, a thread. Post never allocates or throws.
class Executor {
 public:
  virtual ~Executor() = default;
  virtual void Post(void (*run)(void*) noexcept, void* argument) noexcept = 0;
};

enum class LogLevel : std::uint8_t { kDebug, kInfo, kWarning, kError };
struct LogField {
  std::string_view key;
  std::string_view value;
};
/// One thing that happened. Everything is borrowed until the sink returns.
struct LogEvent {
  LogLevel level;
  std::string_view code;      // stable, for machines: "wal.rolled"
  std::string_view sentence;  // for people
  std::span<const LogField> fields;
};
/// Where the library tells what happened; it prints nothing itself. Called from any thread.
struct LogSink {
  void (*write)(void* argument, const LogEvent& event) noexcept = nullptr;
  void* argument = nullptr;
};

}  // namespace v1
}  // namespace duramen
