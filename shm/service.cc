#include "shm/service.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "base/posix_io.h"
#include "base/try.h"

namespace duramen::shm {
namespace {

constexpr int kFirstActivated = 3;  // SD_LISTEN_FDS_START: behind the three standard streams
constexpr int kActivatedMax = 64;
constexpr timeval kSendTimeout = {.tv_sec = 5, .tv_usec = 0};

/// The value of an environment variable, which is removed.
std::optional<std::string> Take(const char* name) {
  const char* const value = std::getenv(name);
  if (value == nullptr) return {};
  std::string taken = value;
  ::unsetenv(name);
  return taken;
}

Error BadVariable(const char* name, const std::string& value, std::string why) {
  return {.code = ErrorCode::kConfiguration,
          .message = std::string(name) + "=" + value + ": " + std::move(why),
          .hint = "the service manager sets it; unset it to start without one"};
}

std::optional<long> NumberIn(const std::string& text) {
  long number = 0;
  const char* const end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || at != end) return {};
  return number;
}

/// The parts between colons, as many as there are descriptors; "unknown" is the protocol's word.
std::vector<std::string> NamesOf(const std::optional<std::string>& list, std::size_t count) {
  std::vector<std::string> names;
  for (std::size_t begin = 0; list && begin <= list->size();) {
    const std::size_t end = std::min(list->find(':', begin), list->size());
    names.push_back(list->substr(begin, end - begin));
    begin = end + 1;
  }
  names.resize(count, "unknown");
  return names;
}

}  // namespace

Result<std::vector<ActivatedSocket>> TakeActivatedSockets() {
  const std::optional<std::string> pid = Take("LISTEN_PID");
  const std::optional<std::string> count = Take("LISTEN_FDS");
  const std::optional<std::string> names = Take("LISTEN_FDNAMES");
  std::vector<ActivatedSocket> sockets;
  if (!pid || !count) return sockets;
  const std::optional<long> pid_number = NumberIn(*pid);
  if (!pid_number) return BadVariable("LISTEN_PID", *pid, "no number");
  if (*pid_number != ::getpid()) return sockets;  // Meant for a parent of ours.
  const std::optional<long> fds = NumberIn(*count);
  if (!fds || *fds < 0 || *fds > kActivatedMax) {
    return BadVariable("LISTEN_FDS", *count, "no number up to " + std::to_string(kActivatedMax));
  }
  for (int fd = kFirstActivated; fd < kFirstActivated + *fds; ++fd) {
    if (::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
      return BadVariable("LISTEN_FDS", *count, "descriptor " + std::to_string(fd) + " is not open");
    }
    sockets.push_back({"", Descriptor(fd)});
  }
  const std::vector<std::string> named = NamesOf(names, sockets.size());
  for (std::size_t i = 0; i < sockets.size(); ++i) sockets[i].name = named[i];
  return sockets;
}

Result<ServiceNotifier> ServiceNotifier::FromEnvironment() {
  ServiceNotifier notifier;
  const std::optional<std::string> path = Take("NOTIFY_SOCKET");
  if (!path || path->empty()) return notifier;
  const bool is_name = path->size() > 1 && ((*path)[0] == '/' || (*path)[0] == '@');
  if (!is_name || path->size() >= sizeof(sockaddr_un::sun_path)) {
    return BadVariable("NOTIFY_SOCKET", *path, "neither a path nor an abstract name");
  }
  notifier.path_ = *path;
  return notifier;
}

Status ServiceNotifier::Tell(std::string_view sentence) const {
  std::string message = "STATUS=" + std::string(sentence);
  std::replace_if(
      message.begin(), message.end(),
      [](char byte) { return static_cast<unsigned char>(byte) < ' '; }, ' ');
  return Send(message);
}

Status ServiceNotifier::Send(std::string_view message) const {
  if (path_.empty()) return {};
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path_.data(), path_.size());
  if (path_[0] == '@') address.sun_path[0] = '\0';
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path_.size());
  const Descriptor fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return PosixError("make a socket for", path_, errno);
  // A manager that does not read holds nobody up for long.
  (void)::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &kSendTimeout, sizeof kSendTimeout);
  ssize_t sent = -1;
  do {
    sent = ::sendto(fd.get(), message.data(), message.size(), MSG_NOSIGNAL,
                    reinterpret_cast<const sockaddr*>(&address), length);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0) return PosixError("notify", path_, errno);
  return {};
}

}  // namespace duramen::shm
