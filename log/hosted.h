// Logs of this store that other processes write: who has which, what a claim says of a log, and
// what a log is when it is given back. See shm/README.md for the whole.
//
// While a log is claimed, the store's own view of it is empty: what counts is what the follower and
// the durable rows have. Owned by who serves those processes; any thread, under the store's lock.
#pragma once

#include <cstdint>
#include <string_view>

#include "log/hosted_log.h"
#include "log/store.h"
#include "wal/ring_guard.h"

namespace duramen::log {

/// A process that has logs; known by its address here.
class LogHolder {
 public:
  explicit LogHolder(int process) : pid(process) {}
  virtual ~LogHolder() = default;
  /// It has ended or left: what it has is about to be given back. Any thread.
  virtual bool Gone() const = 0;
  const int pid;
};

class Hosting final : public wal::RowJudge {
 public:
  explicit Hosting(LogStore::Impl& store) : store_(store) {}

  /// Errors: as LogStore::OpenLog; kInUse names the process that has it; kTimeout: that one is
  /// gone, and the log will be free when what it had committed is durable.
  Result<HostedLog> Claim(const LogHolder& holder, std::string_view name, OpenMode mode);
  /// Errors: kCorruption (what is here contradicts what was acknowledged), kInUse, kTimeout,
  /// kAlreadyExists.
  Result<HostedLog> ClaimAgain(const LogHolder& holder, const Reclaim& reclaim);
  /// True: its deletion is durable, and `holder` has it no more.
  bool DropDeleted(const LogHolder& holder, const HostedLog& hosted);
  /// Nothing of it is on its way any more.
  void GiveBack(const LogHolder& holder, std::uint32_t slot);
  /// Of a log that somebody has: the entries of `range` that are durable. Errors: as
  /// LogStore::Read.
  Status Read(std::uint32_t slot, IndexRange range, std::size_t max_bytes, Pin::Impl& pin) const;
  // wal::RowJudge
  Status JudgeRow(const wal::RingGrant& grant, std::uint8_t kind, Bytes payload) override;

 private:
  struct Rows {
    bool registered = false;
    bool deleted = false;
    meta::ServerRows rows;
  };
  Rows RowsOf(const ServerUid& uid) const;
  Status JudgeFault(ServerLog& log, const meta::FaultyRow& fault);
  Result<HostedLog> Create(const LogHolder& holder, std::string_view name,
                           const wal::RecordOwner& owner);
  Result<HostedLog> CreateAgain(const LogHolder& holder, const Reclaim& reclaim);
  HostedLog Take(const LogHolder& holder, ServerLog& log);
  void FinishDeletion(ServerLog& log);
  void Unregister(ServerLog& log);
  void Restore(ServerLog& log, const Rows& rows);

  LogStore::Impl& store_;
};

}  // namespace duramen::log
