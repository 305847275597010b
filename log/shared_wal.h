// The WAL of another process, as a store that has no directory of its own uses it. Implemented in
// shm/. Everything below is asked seldom and waits for an answer; what is asked in each call of a
// Writer is in WalPort.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "log/hosted.h"
#include "log/wal_port.h"
#include "memtable/chunk_memory.h"

namespace duramen::log {

/// What the process that owns the directory says of it.
struct SharedLimits {
  std::uint64_t boot = 0;
  std::uint64_t payload_bytes_max = 0;
  std::uint64_t row_bytes_max = 0;
};

/// What a WAL has done.
struct WalTotals {
  std::uint64_t batches = 0;
  std::uint64_t entries = 0;
  std::uint64_t rows = 0;
  std::uint64_t bytes = 0;
  std::uint64_t syncs = 0;
  std::uint64_t rolls = 0;
};

class SharedWal : public WalPort {
 public:
  virtual SharedLimits limits() const = 0;
  virtual memtable::ChunkSource& chunks() = 0;
  /// Of bytes in memory of chunks(): what a descriptor calls that chunk.
  virtual std::uint32_t ChunkAt(const std::byte* memory) const = 0;
  /// `number` is what this process calls the log, below wal::kNoticeCells. Errors: as
  /// LogStore::OpenLog; kWalDown.
  virtual Result<HostedLog> Claim(Writer::Impl& writer, std::uint32_t number,
                                  std::string_view name, OpenMode mode) = 0;
  /// A log that this process has goes to another of its Writers.
  virtual Status Assign(Writer::Impl& writer, std::uint32_t number) = 0;
  /// The log is deleted, durably, or nothing of it was ever written.
  virtual void Drop(std::uint32_t number) = 0;
  /// Adds durable entries of `range` to `pin`, verified. Errors: as LogStore::Read; kWalDown.
  virtual Status Read(const ServerLog& log, IndexRange range, std::size_t max_bytes,
                      Pin::Impl& pin) = 0;
  /// For everybody, while this store was attached.
  virtual WalTotals totals() const = 0;
  /// All logs of the directory; LogInfo::log is not set. Errors: kWalDown.
  virtual Result<std::vector<LogInfo>> List() = 0;
  /// Counts the WAL processes that this store has had.
  virtual std::uint64_t link() const = 0;
  /// After kWalDown of one that hands over: waits for its successor. False: there is none, or it
  /// did not hand over. Requires: no lock that a claim needs.
  virtual bool AwaitNext(std::uint64_t link) const = 0;
  /// Gives back all logs; before it returns where nothing is on its way any more.
  virtual void Leave(bool drained) = 0;

 protected:
  using WalPort::WalPort;
};

}  // namespace duramen::log
