#include "shm/chunk_region.h"

#include <fcntl.h>

#include <iterator>

#include "base/check.h"
#include "shm/layout.h"

namespace duramen::shm {

ChunkRegion::ChunkRegion(std::span<std::byte> memory, int fd) : memory_(memory), fd_(fd) {
  free_[0] = memory.size();
}

Result<memtable::ChunkMemory> ChunkRegion::Take(std::size_t size_bytes) {
  CHECK(size_bytes % kPageBytes == 0);
  const std::lock_guard lock(mutex_);
  for (auto at = free_.begin(); at != free_.end(); ++at) {
    if (at->second < size_bytes) continue;
    const std::size_t offset = at->first;
    const std::size_t left = at->second - size_bytes;
    free_.erase(at);
    if (left > 0) free_[offset + size_bytes] = left;
    return memtable::ChunkMemory(memory_.subspan(offset, size_bytes), *this);
  }
  return Error{ErrorCode::kOverloaded, "the memory that is shared with the WAL process is used up",
               "retry after a while; floors that move and reads that end free memory"};
}

void ChunkRegion::GiveBack(std::span<std::byte> piece) noexcept {
  const auto offset = static_cast<std::size_t>(piece.data() - memory_.data());
  // Refused, the memory stays in use until the piece is used again.
  (void)::fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                    static_cast<off_t>(piece.size()));
  const std::lock_guard lock(mutex_);
  auto placed = free_.emplace(offset, piece.size()).first;
  const auto next = std::next(placed);
  if (next != free_.end() && placed->first + placed->second == next->first) {
    placed->second += next->second;
    free_.erase(next);
  }
  if (placed == free_.begin()) return;
  const auto before = std::prev(placed);
  if (before->first + before->second != placed->first) return;
  before->second += placed->second;
  free_.erase(placed);
}

std::uint32_t ChunkRegion::ChunkAt(const std::byte* memory) const {
  const auto offset = static_cast<std::size_t>(memory - memory_.data());
  CHECK(offset < memory_.size() && offset % kPageBytes == 0);
  return static_cast<std::uint32_t>(offset / kPageBytes) + 1;
}

std::uint64_t ChunkRegion::free_bytes() const {
  const std::lock_guard lock(mutex_);
  std::uint64_t bytes = 0;
  for (const auto& [offset, size] : free_) bytes += size;
  return bytes;
}

}  // namespace duramen::shm
