// The WAL as Writers see it: their own in this process, or that of another process. What every call
// asks is read from WalStatus, without a virtual call; the rest is asked seldom, Wake once a call.
//
// Owned by the store. Any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/actor.h"
#include "base/shared_memory.h"
#include "duramen/log_store.h"
#include "wal/port.h"
#include "wal/status.h"
#include "wal/wal.h"

namespace duramen::log {

class WalPort {
 public:
  virtual ~WalPort() = default;

  std::optional<ErrorCode> refuses_entries() const { return status().RefusesEntries(); }
  /// What is larger than LogStore::Impl::row_bytes_max goes as entries do.
  std::optional<ErrorCode> refuses_rows() const { return status().RefusesRows(); }
  std::optional<ErrorCode> refuses_marks() const { return status().RefusesMarks(); }
  wal::WalState state() const { return status().state.load(std::memory_order_acquire); }
  /// The file that is written now. Read behind a durable position, it is at or behind every file
  /// that the records up to there landed in [A11].
  std::uint64_t current_file() const {
    return files().current_file.load(std::memory_order_acquire);
  }
  /// What landed in WAL files up to it is in segments.
  std::uint64_t flushed_upto() const {
    return files().flushed_upto.load(std::memory_order_acquire);
  }
  bool stuck() const { return status().Stuck(); }
  /// Accepted entries wait for space on the disk; rows and marks do not.
  bool strands() const { return status().strands.load(std::memory_order_acquire); }

  virtual std::string state_reason() const = 0;
  /// UINT64_MAX: not known.
  virtual std::uint64_t free_bytes() const = 0;
  /// There is something in a ring.
  virtual void Wake() = 0;
  /// Before the first record of `slot`.
  virtual void OpenSlot(std::uint32_t slot, const wal::RecordOwner& owner) = 0;
  /// After its last record is durable.
  virtual void CloseSlot(std::uint32_t slot) = 0;
  /// Memory for a Writer's ring, zeroed. Errors: kIo; kWalDown.
  virtual Result<SharedMemory> RingMemory(std::size_t size_bytes) = 0;
  /// Begins to take from the Writer's ring. Errors: kWalDown, kOverloaded.
  virtual Status AddRing(Writer::Impl& writer) = 0;
  /// Returns when nobody touches the Writer any more.
  virtual void RemoveRing(Writer::Impl& writer) = 0;
  /// Whether the Writer has notices that TakeNotices would give. Its thread, in every call.
  virtual bool HasNotices(const Writer::Impl& writer) const = 0;
  virtual void TakeNotices(Writer::Impl& writer, std::vector<wal::Notice>& out) = 0;
  /// Somebody looks at a Writer's descriptor, or has a callback.
  virtual void Listens() {}
  /// Nothing that is on its way becomes durable until the caller does something about it.
  virtual bool ended() const = 0;

 protected:
  explicit WalPort(const wal::WalStatus& status) : status_(&status), files_(&status) {}
  const wal::WalStatus& status() const { return *status_.load(std::memory_order_acquire); }
  const wal::WalStatus& files() const { return *files_.load(std::memory_order_acquire); }
  std::atomic<const wal::WalStatus*> status_;
  /// What it says of files; of a WAL that is gone too, as it may have written to the last.
  std::atomic<const wal::WalStatus*> files_;
};

/// The WAL of this process.
class OwnWal final : public WalPort {
 public:
  /// Both outlive it.
  OwnWal(wal::Wal& wal, ActorExecutor& executor, const wal::FilePool& pool)
      : WalPort(wal.status()), wal_(wal), executor_(executor), pool_(pool) {}

  std::string state_reason() const override { return wal_.state_reason(); }
  std::uint64_t free_bytes() const override { return pool_.FreeBytes(); }
  void Wake() override { executor_.Wake(wal_); }
  void OpenSlot(std::uint32_t slot, const wal::RecordOwner& owner) override;
  void CloseSlot(std::uint32_t slot) override;
  Result<SharedMemory> RingMemory(std::size_t size_bytes) override;
  Status AddRing(Writer::Impl& writer) override;
  void RemoveRing(Writer::Impl& writer) override;
  bool HasNotices(const Writer::Impl& writer) const override;
  void TakeNotices(Writer::Impl& writer, std::vector<wal::Notice>& out) override;
  bool ended() const override { return state() == wal::WalState::kDown; }

 private:
  wal::Wal& wal_;
  ActorExecutor& executor_;
  const wal::FilePool& pool_;
};

}  // namespace duramen::log
