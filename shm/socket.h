// The Unix socket between a WAL process and those who attach: whole messages with descriptors, the
// kernel's word on who the other side is, and no call that waits.
//
// Distrust: a message is at most kMessageBytesMax long and brings at most as many descriptors as
// the receiver asks for; of anything else all are closed and an Error says what was wrong.
// To close a descriptor may take as long as its owner likes (a file system of his own), so a thread
// that others wait for must not serve a socket.
//
// Values that move. One thread at a time.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/descriptor.h"
#include "duramen/result.h"

namespace duramen::shm {

inline constexpr std::size_t kMessageBytesMax = 64 << 10;
inline constexpr std::size_t kDescriptorsMax = 8;

struct Message {
  std::vector<std::byte> bytes;
  std::vector<Descriptor> descriptors;
};

/// The other side as the kernel saw it when it connected, or, for who connected, when it listened:
/// under socket activation that is the service manager.
struct Peer {
  pid_t pid = 0;  // 0: a process that this one cannot see
  uid_t uid = 0;
  gid_t gid = 0;
};

class Connection {
 public:
  /// Errors: kNotFound    no socket there, or nobody listens on it any more.
  ///         kPermission  the socket's mode keeps this user out.
  ///         kOverloaded  the listener has not accepted those before; try again.
  ///         kInvalidArgument  no socket of this kind, or a path too long for one.
  static Result<Connection> Connect(const std::string& path);
  /// Takes over a connected socket of this kind. Errors: kInvalidArgument.
  static Result<Connection> Adopt(Descriptor fd);

  /// Sends all or nothing, at once. Requires: at least one byte.
  /// Errors: kTooLarge    over kMessageBytesMax or kDescriptorsMax.
  ///         kOverloaded  the other side does not read and what it has not read fills the socket;
  ///                      how long to bear with it is the caller's to say.
  ///         kClosed      the other side is gone.
  Status Send(std::span<const std::byte> bytes, std::span<const int> descriptors = {});
  /// The next message, or nothing when none is there yet (poll fd() for it).
  /// Errors: kClosed           the other side is gone, everything it sent was received.
  ///         kInvalidArgument  it sent too much, or descriptors nobody asked for: cut it off.
  Result<std::optional<Message>> Receive(std::size_t descriptors_max = 0);

  const Peer& peer() const { return peer_; }
  /// A pidfd of the peer, readable once it has ended. Where the kernel has SO_PEERPIDFD (Linux 6.5)
  /// it is of the process that connected, for certain. Before that it is made from peer().pid:
  /// if that process has ended and its number was given away in the meantime, it is of a stranger,
  /// so a connection that is closed counts as an end too.
  /// Errors: kClosed       it has ended.
  ///         kUnsupported  the kernel has neither, or hides the process.
  Result<Descriptor> PeerProcess() const;
  int fd() const { return fd_.get(); }

 private:
  friend class Listener;
  Connection(Descriptor fd, const Peer& peer);

  Descriptor fd_;
  Peer peer_;
};

struct SocketOptions {
  mode_t mode = 0600;          // 0660 lets a group in; never more than this at any moment
  std::optional<gid_t> group;  // of the socket file; this process's where there is none
};

class Listener {
 public:
  /// Makes the socket file. One whose owner is gone is replaced.
  /// Errors: kInUse            somebody listens there.
  ///         kAlreadyExists    there is something that is no socket.
  ///         kInvalidArgument  a path too long for a socket, or a mode for more than a group.
  ///         others            as of PosixError.
  static Result<Listener> Listen(const std::string& path, const SocketOptions& options = {});
  /// Takes over a listening socket: of the service manager, or of a predecessor. Its file stays.
  /// Errors: kInvalidArgument  it is no such thing.
  static Result<Listener> Adopt(Descriptor fd);
  Listener(Listener&&) noexcept = default;
  /// Removes the socket file if it made it and it still is there.
  ~Listener();

  /// The next who connected, or nothing.
  /// Errors: kOverloaded  no descriptors left. The connection still waits, so fd() stays readable:
  ///                      do not poll it for a while.
  Result<std::optional<Connection>> Accept();
  int fd() const { return fd_.get(); }
  /// The file is a successor's from here on, which adopts a copy of fd().
  void LeaveFile() { path_.clear(); }
  /// The file at `path` is removed in the end, as one that was made here.
  void OwnFile(const std::string& path);
  bool owns_file() const { return !path_.empty(); }

 private:
  explicit Listener(Descriptor fd);

  Descriptor fd_;
  std::string path_;  // empty: the file is not ours to remove
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

}  // namespace duramen::shm
