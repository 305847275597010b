#include "tools/line_reader.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/posix_io.h"
#include "base/try.h"

namespace duramen::tools {
namespace {

constexpr std::size_t kChunkBytes = 256 << 10;

}  // namespace

Result<LineReader> LineReader::Open(const std::string& path) {
  const bool standard_input = path.empty() || path == "-";
  const int fd = standard_input ? STDIN_FILENO : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return PosixError("open", path, errno);
  LineReader reader(fd, !standard_input);
  reader.path_ = standard_input ? "standard input" : path;
  struct stat status {};
  if (::fstat(fd, &status) != 0) return PosixError("look at", reader.path_, errno);
  if (S_ISDIR(status.st_mode)) {
    return Error{ErrorCode::kInvalidArgument, path + " is a directory", "name a file of lines"};
  }
  if (S_ISREG(status.st_mode)) reader.total_bytes_ = static_cast<std::uint64_t>(status.st_size);
  return reader;
}

LineReader::LineReader(LineReader&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      owns_(other.owns_),
      path_(std::move(other.path_)),
      buffer_(std::move(other.buffer_)),
      at_(other.at_),
      at_end_(other.at_end_),
      bytes_(other.bytes_),
      total_bytes_(other.total_bytes_) {}

LineReader::~LineReader() {
  if (owns_ && fd_ >= 0) ::close(fd_);
}

Result<std::optional<std::string_view>> LineReader::Next() {
  std::size_t searched = at_;
  while (true) {
    const std::size_t newline = buffer_.find('\n', searched);
    if (newline != std::string::npos) {
      const std::string_view line = std::string_view(buffer_).substr(at_, newline - at_);
      at_ = newline + 1;
      bytes_ += line.size() + 1;
      return std::optional(line);
    }
    if (at_end_) break;
    if (buffer_.size() - at_ > kLineBytesMax) {
      return Error{ErrorCode::kTooLarge, path_ + ": a line has more than 64 MiB",
                   "an entry cannot be larger"};
    }
    searched = buffer_.size() - at_;
    TRY(Fill());  // Moves what is left to the front.
  }
  const std::string_view rest = std::string_view(buffer_).substr(at_);
  at_ = buffer_.size();
  bytes_ += rest.size();
  return rest.empty() ? std::optional<std::string_view>() : std::optional(rest);
}

bool LineReader::Ready() const {
  if (at_end_ || buffer_.find('\n', at_) != std::string::npos) return true;
  pollfd input{fd_, POLLIN, 0};
  return ::poll(&input, 1, 0) > 0;
}

Status LineReader::Fill() {
  buffer_.erase(0, at_);
  at_ = 0;
  const std::size_t kept = buffer_.size();
  buffer_.resize(kept + kChunkBytes);
  const ssize_t read = ::read(fd_, buffer_.data() + kept, kChunkBytes);
  const int error = errno;
  buffer_.resize(kept + (read > 0 ? static_cast<std::size_t>(read) : 0));
  // A signal asks the caller to look whether it should go on.
  if (read < 0 && error != EINTR) return PosixError("read", path_, error);
  if (read < 0) return Error{ErrorCode::kIo, "interrupted", ""};
  at_end_ = read == 0;
  return {};
}

}  // namespace duramen::tools
