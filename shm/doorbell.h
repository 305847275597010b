// How one process tells another to look: a bell between two that do not trust each other.
//
// Not an eventfd: one that both hold has one O_NONBLOCK for both, so the other side can clear it,
// and then fill the counter under a write or empty it under a read, which waits for ever. Each end
// of a socket pair is a file of its own, and what may not wait says so with each call.
//
// A value that moves; Ring on any thread, Hear on one.
#pragma once

#include <utility>

#include "base/descriptor.h"
#include "duramen/result.h"

namespace duramen::shm {

class Doorbell {
 public:
  /// The two ends; what is rung at one is heard at the other. Errors: kIo and others of PosixError.
  static Result<std::pair<Doorbell, Descriptor>> Make();
  /// Takes over the end that was handed over. Errors: kInvalidArgument  it is no end of a bell.
  static Result<Doorbell> Adopt(Descriptor fd);

  /// Never waits. Rings that are not heard yet may become one.
  void Ring() const noexcept;
  /// Takes what was rung, a bounded part of it, and never waits. False: the other side has ended
  /// it; fd() is readable for ever from then on, so poll it no more.
  bool Hear() const noexcept;
  /// Readable when it was rung.
  int fd() const { return fd_.get(); }

 private:
  explicit Doorbell(Descriptor fd) : fd_(std::move(fd)) {}

  Descriptor fd_;
};

}  // namespace duramen::shm
