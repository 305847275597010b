// The file port with nothing on top: a file that is written front to back, again and again, each
// write made durable as the WAL does it: one after the other, or several direct ones in flight.
// Owned by a bench; one thread; removed when destroyed.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/aligned.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/write_queue.h"
#include "duramen/log_store.h"
#include "tools/latency.h"

namespace duramen::tools {

/// What the blocks of a file are when they are written.
enum class DiskLayout : std::uint8_t {
  kZeroFilled,  // written before, as those of the WAL
  kFallocated,  // allocated and never written
  kGrowing,     // not there: each write makes the file longer
};

class BareDisk {
 public:
  /// Errors: kIo, kDiskFull, kPermission, kAlreadyExists.
  /// kUnsupported (kDsync without direct I/O). `depth` is of kDsync.
  struct Options {
    std::uint64_t size_bytes = 0;
    SyncMethod method = SyncMethod::kDatasync;  // not kAuto
    std::uint32_t depth = 1;
    DiskLayout layout = DiskLayout::kZeroFilled;
    std::string name = "duramen-bench-disk";
  };
  static Result<BareDisk> Create(const std::string& directory, const Options& options);
  BareDisk(BareDisk&&);
  BareDisk& operator=(BareDisk&&) = delete;
  ~BareDisk();

  /// One write of `bytes` (rounded up to blocks), durable when it returns, or, at a depth above
  /// one, in flight when it returns and fewer than `depth` are.
  Status Write(std::uint64_t bytes);
  /// Nothing is in flight when it returns.
  Status Drain();
  /// Latencies are added to `latency`, which outlives this, from now on.
  void CountInto(LatencyHistogram& latency) { counts_ = &latency; }
  /// No more than so many in flight from now on.
  void LimitDepth(std::uint64_t depth) { limit_ = std::max<std::uint64_t>(depth, 1); }
  const LatencyHistogram& latency() const { return *latency_; }
  std::uint64_t syncs() const { return syncs_; }
  std::uint64_t bytes() const { return bytes_; }
  /// Spent on making the file anew (kFallocated and kGrowing, once it is full), which is no write.
  std::int64_t renewal_ns() const { return renewal_ns_; }

 private:
  class Doorbell;
  BareDisk();
  Status Prepare();
  Status Renew();
  Status AwaitBelow(std::uint64_t in_flight);
  Status Settle(const WriteDone& done);

  SystemClock clock_;
  std::unique_ptr<Directory> directory_;
  std::unique_ptr<File> file_;
  std::unique_ptr<LatencyHistogram> latency_ = std::make_unique<LatencyHistogram>();
  LatencyHistogram* counts_ = latency_.get();
  Options options_;
  MadeDurable how_ = MadeDurable::kData;
  std::uint64_t at_ = 0;
  std::uint64_t syncs_ = 0;
  std::uint64_t bytes_ = 0;
  std::int64_t renewal_ns_ = 0;
  AlignedBytes buffer_;
  std::uint64_t buffer_bytes_ = 0;
  std::vector<AlignedBytes> former_;  // smaller ones that may be in flight
  std::uint32_t in_flight_ = 0;
  std::uint64_t limit_ = UINT64_MAX;
  std::vector<WriteDone> done_;
  std::unique_ptr<Doorbell> doorbell_;
  std::unique_ptr<WriteQueue> queue_;  // null: one after the other
};

}  // namespace duramen::tools
