// How the library's own code tells what happened: one sentence, a stable code, key-values.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "duramen/types.h"

namespace duramen {

/// Wraps the caller's sink; does nothing without one. Copyable, any thread.
class Log {
 public:
  Log() = default;
  /// Of a WAL shard but the first: each event has a field that says which.
  explicit Log(LogSink sink, std::uint32_t shard = 0) : sink_(sink), shard_(shard) {}
  void Write(LogLevel level, std::string_view code, std::string_view sentence,
             std::initializer_list<std::pair<std::string_view, std::string>> fields = {}) const;

 private:
  LogSink sink_;
  std::uint32_t shard_ = 0;
};

}  // namespace duramen
