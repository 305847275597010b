// Where a verb writes: data on standard output, everything else on standard error.
//
// Owned by main() or by a test; one thread. Data is buffered until Flush(), so that a million rows
// are not a million system calls; what is said goes out at once. A failed write of data is kept and
// becomes the exit code, so that a full disk never looks like a short result.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "duramen/result.h"

namespace duramen::tools {

enum class ColorMode : unsigned char { kAuto, kAlways, kNever };

class Terminal {
 public:
  /// Standard output and error of this process.
  Terminal();
  /// Keeps all in memory; for tests.
  struct Captured {};
  explicit Terminal(Captured) : captured_(true) {}
  ~Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  /// `-o FILE`: data goes there from now on. Errors: kIo, kPermission.
  Status WriteTo(const std::string& path);
  void SetColor(ColorMode mode);

  void Out(std::string_view text);
  /// One line on standard error; a newline is added.
  void Say(std::string_view line);
  /// "error: MESSAGE" and "hint: HINT" on standard error.
  void Complain(const Error& error);
  /// What is said from now on is kept for TakeHeld, or no more.
  void HoldSaid(bool hold) { holding_ = hold; }
  /// What was held; holds no more.
  std::string TakeHeld();
  /// On standard error, as it is.
  void Repeat(std::string_view lines);
  /// Overwrites the current line of standard error; does nothing unless it is a terminal.
  void Progress(std::string_view line);
  Status Flush();

  bool color() const { return color_; }
  /// Columns of standard output; 0 where it is no terminal.
  std::size_t width() const { return width_; }
  /// Of data, so far.
  std::uint64_t out_bytes() const { return out_bytes_; }
  bool shows_progress() const { return err_is_terminal_; }
  const std::string& captured_out() const { return out_; }
  const std::string& captured_err() const { return err_; }

 private:
  bool captured_ = false;
  int out_fd_ = -1;
  bool owns_out_ = false;
  bool err_is_terminal_ = false;
  bool in_progress_ = false;
  bool holding_ = false;
  std::string held_;
  std::uint64_t out_bytes_ = 0;
  bool color_ = false;
  std::size_t width_ = 0;
  int failed_errno_ = 0;
  std::string path_ = "standard output";
  std::string out_;
  std::string err_;
};

}  // namespace duramen::tools
