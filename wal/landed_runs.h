// The landed runs of one log in order, and the blocks of memory that the queues of all logs share:
// a run comes with every batch that a log has entries in, so none of them may cost a heap call.
//
// Owned by LandedIndex, which guards them by its lock. Blocks count in the budget from the heap to
// the heap; what is landed is on disk already, so it is counted and never refused (rule B2).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/memory_budget.h"
#include "base/ring_queue.h"
#include "wal/format.h"

namespace duramen::wal {

struct LandedRun {
  std::uint64_t file = 0;
  std::uint64_t offset = 0;  // of the run header
  Index first = 0;           // of the run as written
  std::uint32_t count = 0;   // as written
  std::uint32_t bytes = 0;   // of its records
  Term term = 0;
  Index live_begin = 0;  // what is still live of it
  Index live_end = 0;
};

/// Blocks of RunsOf(size class) runs.
class RunBlocks {
 public:
  static constexpr std::size_t kClasses = 4;
  static constexpr std::size_t kRunsMax = 32;
  static constexpr std::size_t RunsOf(std::size_t size_class) {
    return kRunsMax >> (kClasses - 1 - size_class);
  }
  /// `budget`, which may be null, outlives the blocks.
  explicit RunBlocks(MemoryBudget* budget);
  /// Requires: every block was given back.
  ~RunBlocks();
  RunBlocks(const RunBlocks&) = delete;
  RunBlocks& operator=(const RunBlocks&) = delete;

  using Block = std::unique_ptr<LandedRun[]>;
  Block Take(std::size_t size_class);
  void Give(Block block, std::size_t size_class);
  /// Tells there what is in use and kept.
  void CountIn(Counter& bytes) {
    told_ = &bytes;
    told_->Set(bytes_);
  }

 private:
  MemoryBudget* budget_;
  std::uint64_t kept_bytes_max_;
  std::uint64_t kept_bytes_ = 0;
  std::uint64_t bytes_ = 0;
  Counter* told_ = nullptr;
  std::array<std::vector<Block>, kClasses> kept_;
};

/// In order of writing. One block that grows while it is small, then a row of large ones, so that
/// memory comes in steps of 2 KiB a log. References are valid until the next call that is not
/// const.
class RunQueue {
 public:
  bool empty() const { return size_ == 0; }
  std::size_t size() const { return size_; }
  const LandedRun& operator[](std::size_t i) const;
  LandedRun& operator[](std::size_t i);
  const LandedRun& front() const { return (*this)[0]; }
  LandedRun& front() { return (*this)[0]; }
  const LandedRun& back() const { return (*this)[size_ - 1]; }
  LandedRun& back() { return (*this)[size_ - 1]; }
  void PushBack(const LandedRun& run, RunBlocks& blocks);
  void PopBack(RunBlocks& blocks);
  void PopFront(RunBlocks& blocks);
  void Clear(RunBlocks& blocks);

 private:
  static constexpr std::uint8_t kLargest = RunBlocks::kClasses - 1;
  std::size_t capacity() const { return blocks_.size() * RunBlocks::RunsOf(size_class_); }

  RingQueue<RunBlocks::Block> blocks_;
  std::uint8_t size_class_ = 0;  // of the one block; kLargest when there are more
  std::size_t head_ = 0;         // of the first run, in the first block
  std::size_t size_ = 0;
};

}  // namespace duramen::wal
