#include "tools/bare_disk.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/posix_io.h"
#include "base/rng.h"
#include "base/try.h"

namespace duramen::tools {
namespace {

constexpr std::uint64_t kBlockBytes = 4096;
constexpr std::uint64_t kZeroChunkBytes = 4 << 20;
constexpr const char* kFileName = "duramen-bench-disk";

}  // namespace

Result<BareDisk> BareDisk::Create(const std::string& directory, std::uint64_t size_bytes,
                                  SyncMethod method) {
  PosixFileSystem file_system;
  BareDisk disk;
  disk.directory_ = TRY(file_system.Open(directory));
  disk.method_ = method;
  disk.size_bytes_ = RoundUp(size_bytes, kBlockBytes);
  disk.file_ = TRY(disk.directory_->Create(kFileName));
  TRY(disk.file_->Allocate(disk.size_bytes_));
  // Written once, as the WAL's files are: a first write into a block costs a journal commit.
  const std::vector<std::byte> zeros(std::min(kZeroChunkBytes, disk.size_bytes_));
  for (std::uint64_t at = 0; at < disk.size_bytes_; at += zeros.size()) {
    const std::uint64_t size = std::min<std::uint64_t>(zeros.size(), disk.size_bytes_ - at);
    TRY(disk.file_->Write(at, Bytes(zeros).first(size)));
  }
  TRY(disk.file_->SyncAll());
  TRY(disk.directory_->Sync());
  return disk;
}

BareDisk::~BareDisk() {
  if (file_ == nullptr) return;  // Moved from.
  file_.reset();
  (void)directory_->Remove(kFileName);  // A bench's leftover harms nobody.
}

Status BareDisk::Write(std::uint64_t bytes) {
  const std::uint64_t size =
      std::min(RoundUp(std::max<std::uint64_t>(bytes, 1), kBlockBytes), size_bytes_);
  if (buffer_.size() < size) {
    // Not zeros: a device may do those for nothing.
    Rng rng(size);
    buffer_.resize(size);
    for (std::uint64_t at = 0; at + 8 <= size; at += 8) StoreLe(buffer_.data() + at, rng.Next());
  }
  if (at_ + size > size_bytes_) at_ = 0;
  const SystemClock clock;
  const std::int64_t begin_ns = clock.NowNs();
  TRY(file_->Write(at_, Bytes(buffer_).first(size)));
  if (method_ == SyncMethod::kDatasync) TRY(file_->SyncData());
  if (method_ == SyncMethod::kFsync) TRY(file_->SyncAll());
  latency_->Add(clock.NowNs() - begin_ns);
  at_ += size;
  bytes_ += size;
  ++syncs_;
  return {};
}

}  // namespace duramen::tools
