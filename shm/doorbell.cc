#include "shm/doorbell.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <cerrno>

#include "base/posix_io.h"

namespace duramen::shm {
namespace {

constexpr std::size_t kHeardAtOnce = 4096;

bool HasOption(int fd, int name, int wanted) {
  int value = 0;
  socklen_t bytes = sizeof value;
  return ::getsockopt(fd, SOL_SOCKET, name, &value, &bytes) == 0 && value == wanted;
}

}  // namespace

Result<std::pair<Doorbell, Descriptor>> Doorbell::Make() {
  int ends[2] = {-1, -1};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
    return PosixError("make", "a doorbell", errno);
  }
  return std::pair(Doorbell(Descriptor(ends[0])), Descriptor(ends[1]));
}

Result<Doorbell> Doorbell::Adopt(Descriptor fd) {
  if (!HasOption(fd.get(), SO_DOMAIN, AF_UNIX) || !HasOption(fd.get(), SO_TYPE, SOCK_STREAM) ||
      !HasOption(fd.get(), SO_ACCEPTCONN, 0)) {
    return Error{ErrorCode::kInvalidArgument, "the descriptor is no end of a doorbell",
                 "hand over an end of a pair of Unix stream sockets"};
  }
  if (::fcntl(fd.get(), F_SETFD, FD_CLOEXEC) != 0) return PosixError("set up", "a bell", errno);
  return Doorbell(std::move(fd));
}

void Doorbell::Ring() const noexcept {
  const char byte = 1;
  // Full, it is readable anyway; closed, nobody is there to hear it.
  (void)!::send(fd_.get(), &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

bool Doorbell::Hear() const noexcept {
  char bytes[kHeardAtOnce];
  const ssize_t got = ::recv(fd_.get(), bytes, sizeof bytes, MSG_DONTWAIT);
  return got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR));
}

}  // namespace duramen::shm
