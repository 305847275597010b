// A file descriptor that is closed with its owner. A value that moves; any thread, one at a time.
#pragma once

#include <unistd.h>

#include <utility>

namespace duramen {

class Descriptor {
 public:
  /// Takes `fd` over; -1 stands for none.
  explicit Descriptor(int fd = -1) noexcept : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(other.Give()) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    if (this != &other) {
      Close();
      fd_ = other.Give();
    }
    return *this;
  }
  ~Descriptor() { Close(); }
  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  /// It is the caller's from here on.
  int Give() noexcept { return std::exchange(fd_, -1); }

 private:
  void Close() noexcept {
    if (fd_ >= 0) ::close(fd_);  // Nothing is left to learn: what must be durable was synced.
  }

  int fd_;
};

}  // namespace duramen
