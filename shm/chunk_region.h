// The memory of all arenas of a client: one region that the WAL process maps too, cut into pieces
// of whole pages. A piece that comes back gives its memory to the system at once.
//
// Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <span>

#include "memtable/chunk_memory.h"

namespace duramen::shm {

class ChunkRegion final : public memtable::ChunkSource {
 public:
  /// All of `memory` is free; `fd` is what it maps. Both outlive the region.
  ChunkRegion(std::span<std::byte> memory, int fd);

  // memtable::ChunkSource
  Result<memtable::ChunkMemory> Take(std::size_t size_bytes) override;
  void GiveBack(std::span<std::byte> piece) noexcept override;

  /// As descriptors name the chunk that begins at `memory`: its page, from 1 on.
  std::uint32_t ChunkAt(const std::byte* memory) const;
  std::uint64_t free_bytes() const;

 private:
  std::span<std::byte> memory_;
  int fd_;
  mutable std::mutex mutex_;                  // guards all below
  std::map<std::size_t, std::size_t> free_;  // offset -> bytes; neighbours are one
};

}  // namespace duramen::shm
