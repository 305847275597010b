// One client, as the WAL process sees it: its memory, its rings, the logs that it has, and the
// thread that answers its requests. Whatever the client does, it harms nobody else: what it says is
// judged, what it writes is judged (wal/ring_guard.h), and when it is gone or cut off, its logs are
// free for the next claim as soon as what it had committed is durable.
//
// Owned by the host. The thread is its own; `Kick` and `done` on any.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/client_table.h"
#include "log/hosted.h"
#include "shm/doorbell.h"
#include "shm/guarded_copy.h"
#include "shm/layout.h"
#include "shm/protocol.h"
#include "shm/sealed_memory.h"
#include "shm/socket.h"
#include "wal/ring_guard.h"

namespace duramen::shm {

/// What one client may have at most.
struct Quota {
  std::uint64_t bytes = 8ULL << 30;  // of memory that is mapped from it
  std::uint32_t logs = wal::kNoticeCells;
  std::uint32_t rings = 64;
};

class Session final : public log::LogHolder {
 public:
  /// All outlive it.
  struct Environment {
    LogStore::Impl& store;
    log::Hosting& hosting;
    const SealedMemory& status;
    Quota quota;
    int patience_ms = 0;
    /// Called on the session's thread when its bell is there, and before it goes.
    void (*watch_bell)(void* argument, const Doorbell& bell, bool begin) = nullptr;
    /// A successor is there, and waits on this connection for the answer to its request.
    void (*hand_over)(void* argument, Connection successor, std::uint32_t request) = nullptr;
    void* argument = nullptr;
  };
  Session(Connection connection, const Environment& environment);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  void Start();
  /// The WAL process goes: what is committed is taken, then the client is let go.
  void Kick();
  bool Gone() const override;
  bool done() const { return done_.load(std::memory_order_acquire); }

 private:
  /// One Writer of the client.
  struct Ring {
    Session* session = nullptr;
    std::optional<SealedMemory> memory;
    std::optional<GuardedRegion> guarded;
    RingConsumer consumer;
    std::unique_ptr<wal::RingGuard> guard;
    wal::RingPort port;
    bool started = false;
  };
  struct Log {
    log::HostedLog hosted;  // as it was claimed; without terms and values
    std::uint32_t ring = kNoRing;
  };
  struct Answer {
    std::vector<std::byte> body;
    std::vector<int> fds;  // borrowed
  };

  void Run();
  bool Serve();
  bool Reply(std::uint32_t id, const Result<Answer>& answer);
  Result<Answer> Handle(const Frame& request, Message& packet);
  Result<Answer> OnHello(const Frame& request, Message& packet);
  Result<Answer> OnAddRing(const Frame& request, Message& packet);
  Result<Answer> OnStartRing(const Frame& request);
  Result<Answer> OnRemoveRing(const Frame& request);
  Result<Answer> OnClaim(const Frame& request);
  Result<Answer> OnClaimAgain(const Frame& request);
  template <typename Try>
  Result<log::HostedLog> WhenFree(Try attempt) const;
  Result<Answer> OnAssign(const Frame& request);
  Result<Answer> OnDrop(const Frame& request);
  Result<Answer> OnRead(const Frame& request);
  Result<Answer> OnList() const;
  Result<Answer> OnReason() const;
  bool OnTakeOver(const Frame& request);
  Status CheckTakeOver(const Frame& request) const;
  Result<Ring*> FindRing(std::uint32_t number);
  Status CheckNumber(std::uint32_t number) const;
  void Keep(std::uint32_t number, const log::HostedLog& hosted, std::uint32_t ring);
  void GrantTo(Ring& ring, std::uint32_t number, const log::HostedLog& hosted) const;
  void Refuse(Ring& ring, std::uint32_t number, const log::HostedLog& hosted) const;
  /// `patient`: also while nothing can become durable.
  void EndRings(bool patient);
  void GiveBackAll();
  void EndRing(Ring& ring, bool patient);
  void End();
  void TellTotals() const noexcept;
  void ShowRow();
  void ShowUse() noexcept;
  void LeaveRow();
  static bool Intact(const void* argument);
  static void Notify(void* argument) noexcept;

  Environment environment_;
  Connection socket_;
  Descriptor process_;  // a pidfd; none: the end of the connection has to do
  int kick_fd_ = -1;
  std::optional<Doorbell> bell_;  // the client rings it for the WAL's thread, and hears it
  Descriptor other_end_;          // of it; the client has a copy
  std::optional<SealedMemory> region_;
  std::optional<SealedMemory> control_;
  std::optional<GuardedRegion> guarded_region_;   // they go before what they guard
  std::optional<GuardedRegion> guarded_control_;
  std::uint64_t bytes_ = 0;  // mapped
  ClientRow unseen_;         // where the table is full
  ClientRow* row_ = nullptr;  // null: no hello yet
  std::map<std::uint32_t, std::unique_ptr<Ring>> rings_;
  std::map<std::uint32_t, Log> logs_;      // by the client's number
  std::vector<std::uint32_t> held_;        // slots of all that it ever claimed
  std::string why_;                        // it is cut off
  std::atomic<bool> kicked_{false};
  std::atomic<bool> leaves_{false};
  std::atomic<bool> done_{false};
  std::thread thread_;
};

}  // namespace duramen::shm
