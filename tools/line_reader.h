// Lines of a file or of standard input, one at a time, in bounded memory.
//
// Owned by one run of `load`; one thread. A line is what stands before a newline or before the end;
// its bytes come out as they are.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "duramen/result.h"

namespace duramen::tools {

class LineReader {
 public:
  static constexpr std::size_t kLineBytesMax = 64 << 20;

  /// Empty path or "-": standard input. Errors: kNotFound, kPermission, kIo.
  static Result<LineReader> Open(const std::string& path);
  LineReader(LineReader&& other) noexcept;
  LineReader& operator=(LineReader&&) = delete;
  ~LineReader();

  /// The next line, borrowed until the next call; nothing at the end. Blocks until there is one.
  /// Errors: kIo, kTooLarge.
  Result<std::optional<std::string_view>> Next();
  /// False when Next() would have to wait for more input.
  bool Ready() const;
  int fd() const { return fd_; }
  /// Bytes taken so far, newlines included.
  std::uint64_t bytes() const { return bytes_; }
  /// Of a regular file; nothing where that is not known.
  std::optional<std::uint64_t> total_bytes() const { return total_bytes_; }

 private:
  LineReader(int fd, bool owns) : fd_(fd), owns_(owns) {}
  Status Fill();
  int fd_;
  bool owns_;
  std::string path_;
  std::string buffer_;
  std::size_t at_ = 0;
  bool at_end_ = false;
  std::uint64_t bytes_ = 0;
  std::optional<std::uint64_t> total_bytes_;
};

}  // namespace duramen::tools
