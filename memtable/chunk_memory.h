// Where the memory of arena chunks comes from: mapped for the chunk alone, or a piece of a region
// that another process maps too.
//
// A source outlives what it gave; Take and the return of a piece on any thread.
#pragma once

#include <cstddef>
#include <span>
#include <utility>

#include "base/shared_memory.h"
#include "duramen/result.h"

namespace duramen::memtable {

class ChunkSource;

/// The memory of one chunk, given back when destroyed.
class ChunkMemory {
 public:
  ChunkMemory() noexcept = default;
  explicit ChunkMemory(SharedMemory own) : own_(std::move(own)), bytes_(own_.bytes()) {}
  ChunkMemory(std::span<std::byte> piece, ChunkSource& source) : bytes_(piece), source_(&source) {}
  ChunkMemory(ChunkMemory&& other) noexcept { Swap(other); }
  ChunkMemory& operator=(ChunkMemory&& other) noexcept {
    Swap(other);
    return *this;
  }
  ~ChunkMemory();
  std::span<std::byte> bytes() const { return bytes_; }

 private:
  void Swap(ChunkMemory& other) noexcept {
    std::swap(own_, other.own_);
    std::swap(bytes_, other.bytes_);
    std::swap(source_, other.source_);
  }
  SharedMemory own_;
  std::span<std::byte> bytes_;
  ChunkSource* source_ = nullptr;
};

class ChunkSource {
 public:
  virtual ~ChunkSource() = default;
  /// `size_bytes` is a multiple of 4096; so is where it begins. Errors: kOverloaded.
  virtual Result<ChunkMemory> Take(std::size_t size_bytes) = 0;
  /// Of ~ChunkMemory.
  virtual void GiveBack(std::span<std::byte> piece) noexcept = 0;
};

inline ChunkMemory::~ChunkMemory() {
  if (source_ != nullptr) source_->GiveBack(bytes_);
}

}  // namespace duramen::memtable
