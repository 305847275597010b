#include "shm/socket.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "base/check.h"
#include "base/posix_io.h"
#include "base/try.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77  // Linux 6.5
#endif

namespace duramen::shm {
namespace {

constexpr int kBacklog = 128;  // waiting to be accepted; those beyond it are told to try again
constexpr int kUnreadBytesMax = 256 << 10;  // of what one side has sent and the other not read

std::string Why(int error_number) { return std::generic_category().message(error_number); }

Error Gone() {
  return {.code = ErrorCode::kClosed, .message = "the other side of the socket is gone"};
}

Error Breach(std::string what) {
  return {.code = ErrorCode::kInvalidArgument,
          .message = "the other side of the socket sent " + std::move(what),
          .hint = "it is of another version, or no part of duramen; it is cut off"};
}

Result<sockaddr_un> AddressOf(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path || path.find('\0') != path.npos) {
    return Error{ErrorCode::kInvalidArgument, "'" + path + "' is no path for a socket",
                 "a path of 1 to " + std::to_string(sizeof address.sun_path - 1) + " bytes"};
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

const sockaddr* Generic(const sockaddr_un& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

Result<Descriptor> NewSocket(const std::string& path) {
  Descriptor fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return PosixError("make a socket for", path, errno);
  return fd;
}

template <typename T>
std::optional<T> OptionOf(int fd, int name) {
  T value{};
  socklen_t bytes = sizeof value;
  if (::getsockopt(fd, SOL_SOCKET, name, &value, &bytes) != 0 || bytes != sizeof value) return {};
  return value;
}

bool IsOurKind(int fd) {
  return OptionOf<int>(fd, SO_DOMAIN) == AF_UNIX && OptionOf<int>(fd, SO_TYPE) == SOCK_SEQPACKET;
}

Status SetNonBlocking(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) {
    return PosixError("set up", "a socket", errno);
  }
  if (::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) return PosixError("set up", "a socket", errno);
  return {};
}

/// Whether somebody listens at `path`, where a socket file stands.
Status CheckNobodyListens(const std::string& path, const sockaddr_un& address) {
  const Descriptor probe = TRY(NewSocket(path));
  const int connected = ::connect(probe.get(), Generic(address), sizeof address);
  if (connected != 0 && errno == ECONNREFUSED) return {};
  if (connected != 0 && errno == ENOENT) return {};  // Its owner removed it just now.
  if (connected != 0 && errno == EACCES) return PosixError("look at", path, EACCES);
  return Error{ErrorCode::kInUse, "somebody listens on the socket '" + path + "'",
               "stop that process first, or name another socket"};
}

/// Makes way for a new socket file. Requires: the directory is locked.
Status RemoveStale(const std::string& path, const sockaddr_un& address) {
  struct stat status = {};
  if (::lstat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return {};
    return PosixError("look at", path, errno);
  }
  if (!S_ISSOCK(status.st_mode)) {
    return Error{ErrorCode::kAlreadyExists, "'" + path + "' is there and is no socket",
                 "name another path, or move that file away"};
  }
  TRY(CheckNobodyListens(path, address));
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
    return PosixError("replace the stale socket", path, errno);
  }
  return {};
}

/// Held while one process looks whether a socket file is stale and replaces it: a second one that
/// does the same would remove the first one's new file.
Result<Descriptor> LockDirectoryOf(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  const std::string directory = slash == path.npos ? "." : path.substr(0, slash + 1);
  Descriptor fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return PosixError("open", directory, errno);
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    return Error{ErrorCode::kInUse, "another process makes a socket in '" + directory + "'",
                 "try again"};
  }
  return fd;
}

Status Publish(int fd, const std::string& path, const SocketOptions& options) {
  const sockaddr_un address = TRY(AddressOf(path));
  // The file gets the mode of the socket that is bound to it: at no moment is it open to others.
  if (::fchmod(fd, 0600) != 0) return PosixError("set the mode of", path, errno);
  if (::bind(fd, Generic(address), sizeof address) != 0) return PosixError("make", path, errno);
  if (options.group && ::lchown(path.c_str(), static_cast<uid_t>(-1), *options.group) != 0) {
    return PosixError("give to its group", path, errno);
  }
  if (::chmod(path.c_str(), options.mode) != 0) return PosixError("set the mode of", path, errno);
  if (::listen(fd, kBacklog) != 0) return PosixError("listen on", path, errno);
  return {};
}

/// Takes what descriptors a received message has, so that none is lost whatever else is wrong.
std::vector<Descriptor> TakeDescriptors(msghdr& header) {
  std::vector<Descriptor> taken;
  for (cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr; part = CMSG_NXTHDR(&header, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof(int));
      taken.emplace_back(fd);
    }
  }
  return taken;
}

constexpr std::size_t kControlBytes = CMSG_SPACE(kDescriptorsMax * sizeof(int));

}  // namespace

Connection::Connection(Descriptor fd, const Peer& peer) : fd_(std::move(fd)), peer_(peer) {}

Result<Connection> Connection::Connect(const std::string& path) {
  const sockaddr_un address = TRY(AddressOf(path));
  Descriptor fd = TRY(NewSocket(path));
  if (::connect(fd.get(), Generic(address), sizeof address) == 0) return Adopt(std::move(fd));
  if (errno == EAGAIN) {
    return Error{ErrorCode::kOverloaded, "too many wait to be let in at '" + path + "'",
                 "try again"};
  }
  if (errno == EPROTOTYPE) {
    return Error{ErrorCode::kInvalidArgument, "'" + path + "' is a socket of another kind",
                 "name the socket of a WAL process"};
  }
  if (errno == ENOENT) {
    return Error{ErrorCode::kNotFound, "there is no socket '" + path + "'",
                 "start the WAL process: duramen wal"};
  }
  if (errno == ECONNREFUSED) {
    return Error{ErrorCode::kNotFound, "nobody listens on '" + path + "'",
                 "start the WAL process: duramen wal"};
  }
  return PosixError("connect to", path, errno);
}

Result<Connection> Connection::Adopt(Descriptor fd) {
  const auto credentials = OptionOf<ucred>(fd.get(), SO_PEERCRED);
  if (!IsOurKind(fd.get()) || OptionOf<int>(fd.get(), SO_ACCEPTCONN) != 0 || !credentials) {
    return Error{ErrorCode::kInvalidArgument, "the descriptor is no connected socket",
                 "hand over a Unix socket of type SOCK_SEQPACKET"};
  }
  TRY(SetNonBlocking(fd.get()));
  // Refused, the system's default stands, which is as large.
  (void)::setsockopt(fd.get(), SOL_SOCKET, SO_SNDBUF, &kUnreadBytesMax, sizeof kUnreadBytesMax);
  return Connection(std::move(fd), {credentials->pid, credentials->uid, credentials->gid});
}

Status Connection::Send(std::span<const std::byte> bytes, std::span<const int> descriptors) {
  CHECK(!bytes.empty());
  if (bytes.size() > kMessageBytesMax || descriptors.size() > kDescriptorsMax) {
    return Error{ErrorCode::kTooLarge,
                 "a message of " + std::to_string(bytes.size()) + " bytes and " +
                     std::to_string(descriptors.size()) + " descriptors",
                 "at most " + std::to_string(kMessageBytesMax) + " bytes and " +
                     std::to_string(kDescriptorsMax) + " descriptors"};
  }
  iovec part = {const_cast<std::byte*>(bytes.data()), bytes.size()};
  alignas(cmsghdr) char control[kControlBytes] = {};
  msghdr header = {};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (!descriptors.empty()) {
    header.msg_control = control;
    header.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
    cmsghdr* const rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(descriptors.size_bytes());
    std::memcpy(CMSG_DATA(rights), descriptors.data(), descriptors.size_bytes());
  }
  ssize_t sent = -1;
  do {
    sent = ::sendmsg(fd_.get(), &header, MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent >= 0) return {};  // All of it: messages are not cut.
  if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN) return Gone();
  if (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM || errno == ETOOMANYREFS) {
    return Error{ErrorCode::kOverloaded,
                 "the other side of the socket does not read: " + Why(errno),
                 "try again, and give it up after a while"};
  }
  return PosixError("send to", "the socket", errno);
}

Result<std::optional<Message>> Connection::Receive(std::size_t descriptors_max) {
  CHECK(descriptors_max <= kDescriptorsMax);
  Message message;
  message.bytes.resize(kMessageBytesMax);
  iovec part = {message.bytes.data(), message.bytes.size()};
  alignas(cmsghdr) char control[kControlBytes];
  msghdr header = {};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  ssize_t got = -1;
  bool reset = false;
  do {
    // One that went with something unread is told of first; what it had said stands behind that.
    reset = got < 0 && errno == ECONNRESET;
    got = ::recvmsg(fd_.get(), &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  } while (got < 0 && (errno == EINTR || (errno == ECONNRESET && !reset)));
  if (got < 0 && errno == EAGAIN) return std::optional<Message>();
  if (got < 0 && (errno == ECONNRESET || errno == EPIPE)) return Gone();
  if (got < 0) return PosixError("receive from", "the socket", errno);
  message.descriptors = TakeDescriptors(header);
  if (got == 0) return Gone();  // An empty message is none of ours, and ends it too.
  if ((header.msg_flags & MSG_TRUNC) != 0) {
    return Breach("more than " + std::to_string(kMessageBytesMax) + " bytes in one message");
  }
  if ((header.msg_flags & MSG_CTRUNC) != 0) {
    return Breach("more than " + std::to_string(kDescriptorsMax) +
                  " descriptors, or this process has no room for them");
  }
  if (message.descriptors.size() > descriptors_max) {
    return Breach(std::to_string(message.descriptors.size()) + " descriptors where " +
                  std::to_string(descriptors_max) + " are expected");
  }
  message.bytes.resize(static_cast<std::size_t>(got));
  return std::optional<Message>(std::move(message));
}

Result<Descriptor> Connection::PeerProcess() const {
  int pidfd = -1;
  socklen_t bytes = sizeof pidfd;
  if (::getsockopt(fd_.get(), SOL_SOCKET, SO_PEERPIDFD, &pidfd, &bytes) == 0) {
    return Descriptor(pidfd);
  }
  if (errno == ENOPROTOOPT && peer_.pid > 0) {
    pidfd = static_cast<int>(::syscall(SYS_pidfd_open, peer_.pid, 0));
    if (pidfd >= 0) return Descriptor(pidfd);
  }
  if (errno == ESRCH || errno == ENODATA || errno == EINVAL) return Gone();
  if (errno == EMFILE || errno == ENFILE) return PosixError("watch", "a process", errno);
  return Error{ErrorCode::kUnsupported, "cannot watch the process behind a socket: " + Why(errno),
               "this needs Linux 5.3, and a process that is visible from here"};
}

Listener::Listener(Descriptor fd) : fd_(std::move(fd)) {}

Result<Listener> Listener::Listen(const std::string& path, const SocketOptions& options) {
  const sockaddr_un address = TRY(AddressOf(path));
  if ((options.mode & ~0660u) != 0) {
    return Error{ErrorCode::kInvalidArgument, "a socket mode lets in more than a group",
                 "0600 for one user, 0660 for a group"};
  }
  const Descriptor locked = TRY(LockDirectoryOf(path));
  TRY(RemoveStale(path, address));
  Listener listener(TRY(NewSocket(path)));
  if (const Status published = Publish(listener.fd(), path, options); !published.ok()) {
    // An address in use was not made by this call; anything else may have been.
    sockaddr_un bound = {};
    socklen_t bytes = sizeof bound;
    const int named = ::getsockname(listener.fd(), reinterpret_cast<sockaddr*>(&bound), &bytes);
    if (named == 0 && bytes > sizeof bound.sun_family) (void)::unlink(path.c_str());
    return published.error();
  }
  listener.OwnFile(path);
  if (!listener.owns_file()) return PosixError("look at", path, errno);
  return listener;
}

void Listener::OwnFile(const std::string& path) {
  struct stat status = {};
  if (::lstat(path.c_str(), &status) != 0 || !S_ISSOCK(status.st_mode)) return;
  path_ = path;
  device_ = status.st_dev;
  inode_ = status.st_ino;
}

Result<Listener> Listener::Adopt(Descriptor fd) {
  if (!IsOurKind(fd.get()) || OptionOf<int>(fd.get(), SO_ACCEPTCONN) != 1) {
    return Error{ErrorCode::kInvalidArgument, "the descriptor is no listening socket",
                 "it must be a Unix socket of type SOCK_SEQPACKET (ListenSequentialPacket=)"};
  }
  TRY(SetNonBlocking(fd.get()));
  return Listener(std::move(fd));
}

Listener::~Listener() {
  struct stat status = {};
  if (!fd_.valid() || path_.empty() || ::lstat(path_.c_str(), &status) != 0) return;
  if (status.st_dev == device_ && status.st_ino == inode_) (void)::unlink(path_.c_str());
}

Result<std::optional<Connection>> Listener::Accept() {
  Descriptor fd(::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (fd.valid()) return std::optional<Connection>(TRY(Connection::Adopt(std::move(fd))));
  const bool nobody = errno == EAGAIN || errno == ECONNABORTED || errno == EINTR;
  if (nobody) return std::optional<Connection>();  // Or whoever was next has gone.
  if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
    return Error{ErrorCode::kOverloaded, "cannot let a client in: " + Why(errno),
                 "raise the limit on open files (LimitNOFILE=)"};
  }
  return PosixError("accept on", "the socket", errno);
}

}  // namespace duramen::shm
