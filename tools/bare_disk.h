// The file port with nothing on top: a zero-filled file that is written front to back, again and
// again, with one sync after each write. Owned by a bench; one thread; removed when destroyed.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/io.h"
#include "duramen/log_store.h"
#include "tools/latency.h"

namespace duramen::tools {

class BareDisk {
 public:
  /// Errors: kIo, kDiskFull, kPermission, kAlreadyExists.
  static Result<BareDisk> Create(const std::string& directory, std::uint64_t size_bytes,
                                 SyncMethod method);
  BareDisk(BareDisk&&) = default;
  BareDisk& operator=(BareDisk&&) = delete;
  ~BareDisk();

  /// One write of `bytes` (rounded up to blocks) and its sync.
  Status Write(std::uint64_t bytes);
  const LatencyHistogram& latency() const { return *latency_; }
  std::uint64_t syncs() const { return syncs_; }
  std::uint64_t bytes() const { return bytes_; }

 private:
  BareDisk() = default;
  std::unique_ptr<Directory> directory_;
  std::unique_ptr<File> file_;
  std::unique_ptr<LatencyHistogram> latency_ = std::make_unique<LatencyHistogram>();
  SyncMethod method_ = SyncMethod::kDatasync;
  std::uint64_t size_bytes_ = 0;
  std::uint64_t at_ = 0;
  std::uint64_t syncs_ = 0;
  std::uint64_t bytes_ = 0;
  std::vector<std::byte> buffer_;
};

}  // namespace duramen::tools
