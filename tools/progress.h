// How far the reading of a store is: a line on the terminal, and the place where Ctrl-C is noticed.
//
// Owned by a verb, told of every read by the files that it was given to; one thread. Once stopped()
// every read fails, so what was found since counts for nothing.
#pragma once

#include <cstdint>
#include <string>

#include "base/clock.h"
#include "tools/terminal.h"

namespace duramen::tools {

class ReadProgress {
 public:
  explicit ReadProgress(Terminal& terminal) : terminal_(terminal) {}
  ReadProgress(const ReadProgress&) = delete;
  ReadProgress& operator=(const ReadProgress&) = delete;

  /// `what` is read next, `total_bytes` of it.
  void Begin(std::string what, std::uint64_t total_bytes);
  /// False: the user has had enough.
  bool OnRead(std::uint64_t bytes);
  bool stopped() const { return stopped_; }
  /// Of everything so far; what was read twice counts twice.
  std::uint64_t bytes_read() const { return bytes_read_; }

 private:
  void Show(double seconds);
  Terminal& terminal_;
  SystemClock clock_;
  std::string what_ = "headers";
  std::uint64_t total_bytes_ = 0;
  std::uint64_t done_bytes_ = 0;
  std::uint64_t bytes_read_ = 0;
  std::int64_t begin_ns_ = 0;
  double show_at_s_ = 0;
  bool stopped_ = false;
};

}  // namespace duramen::tools
