// The WAL of another process, as this one's store sees it: the connection, the memory that is
// shared, and the way back when the WAL process is gone.
//
// When it is gone, rings and arenas stay as they are, calls answer kWalDown, and a thread looks for
// the successor with growing patience. Where it said that it hands over, calls go on meanwhile for
// a while: Writers fill their rings, and what is asked waits. One that does not answer is left, and
// is gone then. The successor gets the same memory, and for each log what is known to
// be durable; both agree how far the log is there, what is in the rings goes on from there, and
// positions and tickets stay what they were [B10].
//
// Owned by the store. Any thread; requests go one at a time.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "log/shared_wal.h"
#include "shm/chunk_region.h"
#include "shm/client_executor.h"
#include "shm/doorbell.h"
#include "shm/layout.h"
#include "shm/protocol.h"
#include "shm/sealed_memory.h"
#include "shm/socket.h"

namespace duramen::shm {

struct RemoteOptions {
  std::string socket_path;
  std::uint64_t region_bytes = 0;
  int answer_ms = 30'000;  // a WAL process that has not answered in that time is left
  int moving_ms = 10'000;  // so long one that hands over counts as there
};

class RemoteWal final : public log::SharedWal {
  struct Private {};

 public:
  /// For Attach alone.
  RemoteWal(Private only, const RemoteOptions& options, SealedMemory region,
            SealedMemory control);
  /// Errors: kNotFound (nobody listens), kConfiguration (not a socket), kPermission, kOverloaded,
  /// kTimeout (it does not answer), kUnknownVersion, kIo.
  static Result<std::unique_ptr<RemoteWal>> Attach(const RemoteOptions& options);
  ~RemoteWal() override;
  /// The store that has it; before its first Writer.
  void Serve(LogStore::Impl& store);
  ClientExecutor& executor() { return executor_; }

  // log::WalPort
  std::string state_reason() const override;
  std::uint64_t free_bytes() const override;
  void Wake() override;
  void OpenSlot(std::uint32_t slot, const wal::RecordOwner& owner) override;
  void CloseSlot(std::uint32_t slot) override;
  Result<SharedMemory> RingMemory(std::size_t size_bytes) override;
  Status AddRing(Writer::Impl& writer) override;
  void RemoveRing(Writer::Impl& writer) override;
  bool HasNotices(const Writer::Impl& writer) const override;
  void TakeNotices(Writer::Impl& writer, std::vector<wal::Notice>& out) override;
  bool ended() const override;
  void Listens() override;
  // log::SharedWal
  log::SharedLimits limits() const override { return limits_; }
  memtable::ChunkSource& chunks() override { return chunks_; }
  std::uint32_t ChunkAt(const std::byte* memory) const override { return chunks_.ChunkAt(memory); }
  Result<log::HostedLog> Claim(Writer::Impl& writer, std::uint32_t number, std::string_view name,
                               OpenMode mode) override;
  Status Assign(Writer::Impl& writer, std::uint32_t number) override;
  void Drop(std::uint32_t number) override;
  Status Read(const log::ServerLog& log, IndexRange range, std::size_t max_bytes,
              Pin::Impl& pin) override;
  log::WalTotals totals() const override;
  Result<std::vector<LogInfo>> List() override;
  std::uint64_t link() const override;
  bool AwaitNext(std::uint64_t link) const override;
  void Leave(bool drained) override;

 private:
  /// A Writer's memory; the number of its ring is its place in `rings_`.
  struct Ring {
    std::uint32_t number = 0;
    SealedMemory memory;
    std::size_t ring_bytes = 0;
    const std::byte* mapped = nullptr;  // where its Writer has it
    Writer::Impl* writer = nullptr;
    std::unique_ptr<wal::NoticeSink> notices;
  };
  /// What came with a WAL process; the pages of earlier ones stay mapped, for who still looks.
  struct Link {
    Connection socket;
    std::unique_ptr<Doorbell> bell;
    bool hears = true;  // the WAL process has not ended it
    std::optional<SealedMemory> page;
    std::uint32_t last_id = 0;
  };

  ControlPage& control() const;
  const StatusPage* page() const { return page_.load(std::memory_order_acquire); }
  Result<std::vector<std::byte>> Ask(Kind kind, std::vector<std::byte> body) const;
  /// Where the WAL process hands over, of its successor. Not under open_mutex_, which the way to
  /// that one needs.
  Result<std::vector<std::byte>> AskPatiently(Kind kind, const std::vector<std::byte>& body) const;
  Result<std::vector<std::byte>> AskOn(Link& connection, Frame request,
                                       const std::vector<int>& fds) const;
  Result<std::vector<std::byte>> BodyOf(Frame message, shm::Message& packet) const;
  static log::WalTotals TotalsOf(const StatusPage& page);
  log::WalTotals CountedSoFar() const;
  bool Moves() const;
  void TellLink() const;
  Error Silent() const;
  Error Gone() const;
  Error CutOff(const Error& reason) const;
  Error LastWord(Link& link) const;
  Result<Link> Connect();
  Status TryAddRing(Writer::Impl& writer);
  Status SendRing(Link& connection, const Ring& ring) const;
  void Use(Link connection);
  static Ring& RingOf(const Writer::Impl& writer);
  bool WasNotDropped(std::uint32_t number);
  // remote_again.cc: a WAL process that is gone, and the next one
  void Listen();
  bool WaitForNews();
  void OnGone();
  bool ComeBack();
  void StopMoving();
  Status AttachAgain(Link& connection);
  Status ClaimAgainAll(Link& connection);
  void NotifyWriters() const;

  const std::string socket_path_;
  const int answer_ms_;
  const int moving_ms_;
  SealedMemory region_;
  SealedMemory control_;
  ChunkRegion chunks_;
  ClientExecutor executor_;
  log::SharedLimits limits_;
  LogStore::Impl* store_ = nullptr;
  wal::WalStatus gone_;                    // what Writers see while there is no WAL process
  wal::WalStatus moving_;                  // or where one hands over: they fill their rings
  std::vector<SealedMemory> pages_;        // the last one counts
  std::atomic<const StatusPage*> page_{nullptr};  // null: there is no WAL process
  std::atomic<const Doorbell*> bell_{nullptr};
  std::vector<std::unique_ptr<Doorbell>> old_bells_;  // somebody may be about to ring them
  Descriptor stop_;
  std::atomic<bool> leaving_{false};
  mutable std::atomic<bool> cut_off_{false};

  mutable std::mutex request_mutex_;  // guards the connection, for a request and its answer
  mutable std::optional<Link> connection_;
  std::uint64_t links_ = 0;                      // that were used; guarded by it too
  mutable std::condition_variable link_changed_;  // or is not waited for any more
  mutable std::mutex rings_mutex_;  // guards all below but the thread
  std::vector<std::unique_ptr<Ring>> rings_;
  std::uint32_t ring_count_ = 0;  // numbers that were given
  log::WalTotals past_;                     // of earlier WAL processes
  const StatusPage* counted_ = nullptr;     // whose totals are counted now, from
  log::WalTotals base_;                     // these on
  std::set<std::uint32_t> not_dropped_;  // numbers of logs
  mutable Error cut_off_by_;  // where it is cut off
  std::string not_back_;  // why the way back to a WAL process has not led there
  std::thread listener_;
};

}  // namespace duramen::shm
