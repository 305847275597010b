#include "tools/terminal.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <utility>

#include "base/posix_io.h"
#include "tools/text.h"

namespace duramen::tools {
namespace {

constexpr std::size_t kBufferBytes = 64 << 10;

/// 0 or errno.
int WriteAll(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return 0;
}

std::size_t WidthOf(int fd) {
  winsize size{};
  if (::isatty(fd) == 0 || ::ioctl(fd, TIOCGWINSZ, &size) != 0) return 0;
  return size.ws_col;
}

}  // namespace

Terminal::Terminal()
    : out_fd_(STDOUT_FILENO),
      err_is_terminal_(::isatty(STDERR_FILENO) == 1),
      width_(WidthOf(STDOUT_FILENO)) {
  SetColor(ColorMode::kAuto);
}

Terminal::~Terminal() {
  (void)Flush();
  if (owns_out_) ::close(out_fd_);
}

Status Terminal::WriteTo(const std::string& path) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return PosixError("write", path, errno);
  if (owns_out_) ::close(out_fd_);
  out_fd_ = fd;
  owns_out_ = true;
  captured_ = false;
  path_ = path;
  width_ = 0;
  color_ = false;
  return {};
}

void Terminal::SetColor(ColorMode mode) {
  const char* no_color = std::getenv("NO_COLOR");
  const bool wanted = no_color == nullptr || *no_color == '\0';
  color_ = mode == ColorMode::kAlways || (mode == ColorMode::kAuto && width_ > 0 && wanted);
}

void Terminal::Out(std::string_view text) {
  out_.append(text);
  out_bytes_ += text.size();
  if (!captured_ && out_.size() >= kBufferBytes) (void)Flush();
}

void Terminal::Say(std::string_view line) {
  std::string text;
  if (in_progress_) text = "\r\033[K";
  in_progress_ = false;
  text.append(line).push_back('\n');
  Repeat(text);
}

std::string Terminal::TakeHeld() {
  holding_ = false;
  return std::exchange(held_, {});
}

void Terminal::Repeat(std::string_view text) {
  if (holding_) {
    held_ += text;
    return;
  }
  if (captured_ || out_fd_ < 0) {
    err_ += text;
    return;
  }
  (void)WriteAll(STDERR_FILENO, text);  // Nobody is left to tell.
}

void Terminal::Complain(const Error& error) {
  Say("error: " + EscapeText(error.message));
  if (!error.hint.empty()) Say("hint: " + EscapeText(error.hint));
}

void Terminal::Progress(std::string_view line) {
  if (!err_is_terminal_) return;
  in_progress_ = true;
  (void)WriteAll(STDERR_FILENO, "\r\033[K" + std::string(line));
}

Status Terminal::Flush() {
  if (in_progress_) (void)WriteAll(STDERR_FILENO, "\r\033[K");
  in_progress_ = false;
  if (!captured_ && failed_errno_ == 0) failed_errno_ = WriteAll(out_fd_, out_);
  if (!captured_) out_.clear();
  if (failed_errno_ == 0) return {};
  return PosixError("write", path_, failed_errno_);
}

}  // namespace duramen::tools
