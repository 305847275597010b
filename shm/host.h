// The WAL process: it owns a data directory, and lets other processes of the machine append to it
// over shared memory. See shm/README.md.
//
// Threads: one accepts clients, one hears their bells and wakes the WAL's thread, one a client
// answers its requests. One that hangs holds nobody else.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/actor.h"
#include "base/posix_io.h"
#include "base/thread_executor.h"
#include "log/hosted.h"
#include "shm/layout.h"
#include "shm/sealed_memory.h"
#include "shm/session.h"
#include "shm/socket.h"

namespace duramen::shm {

struct HostOptions {
  std::string socket_path;
  /// A socket that listens there already, of a service manager; a copy is used. -1: there is none.
  int listening_fd = -1;
  /// Its file is removed at the end, as that of a socket which was made here.
  bool owns_socket_file = false;
  /// How the WAL process that had the directory a moment ago left it.
  std::optional<wal::WalEnd> wal_end;
  /// Whose processes may attach, besides those of the user that the WAL process runs as.
  std::vector<uid_t> users;
  /// That may open the socket at all; none: its owner alone.
  std::optional<gid_t> group;
  std::size_t clients_max = 64;
  Quota quota;
  int patience_ms = 5000;  // with a client that does not read its answers
};

class Host {
 public:
  /// Opens the directory, then the socket. Errors: as LogStore::Open; kInUse (somebody listens
  /// there), kConfiguration (the path is not a socket, or too long; wal_shards), kPermission.
  static Result<std::unique_ptr<Host>> Start(const LogStoreOptions& store_options,
                                             const HostOptions& options);
  ~Host();
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  /// What clients had committed becomes durable, they are let go, and the directory is closed.
  Status Close(Deadline deadline);
  std::size_t clients() const;
  /// Readable when a successor has taken the socket, and waits for the directory.
  int handed_over_fd() const { return handed_over_.get(); }
  /// Before Close, for a successor: clients go on while what is in the WAL is flushed, so that it
  /// has little to recover while they wait.
  void FlushForSuccessor(Deadline deadline);
  const RecoveryReport& report() const { return report_; }

 private:
  explicit Host(const HostOptions& options);
  Status OpenStore(const LogStoreOptions& store_options);
  Status Listen();
  void Accept();
  void Admit(Connection connection);
  Status CheckPeer(const Peer& peer) const;
  void HearBells();
  static void WatchBell(void* argument, const Doorbell& bell, bool begin);
  void HearBell(int fd);
  static void HandOver(void* argument, Connection successor, std::uint32_t request);
  bool FlushAll(Deadline deadline);
  void TellSuccessor();
  void Reap(bool all);

  HostOptions options_;
  std::unique_ptr<FileSystem> file_system_;
  std::unique_ptr<Clock> clock_;
  std::unique_ptr<ActorExecutor> executor_;
  std::optional<SealedMemory> status_;
  std::unique_ptr<LogStore::Impl> store_;
  std::unique_ptr<log::Hosting> hosting_;
  RecoveryReport report_;
  std::mutex successor_mutex_;  // guards the next three, once sessions are there
  std::optional<Listener> listening_;
  std::optional<Connection> successor_;
  std::uint32_t successors_request_ = 0;
  Descriptor stop_;   // an eventfd: the threads end
  Descriptor handed_over_;  // an eventfd
  Descriptor bells_;  // an epoll of doorbells
  std::atomic<bool> stopping_{false};
  bool closed_ = false;
  mutable std::mutex mutex_;  // guards sessions_
  std::vector<std::unique_ptr<Session>> sessions_;
  std::mutex bells_mutex_;                 // guards the next one
  std::map<int, const Doorbell*> heard_;  // by descriptor
  std::thread accepting_;
  std::thread hearing_;
};

}  // namespace duramen::shm
