// Type-stable memory for the indexes of all mem tables of a store: blocks of atomic words that stay
// mapped until the pool dies, so that a reader which still looks at a block that was given back
// reads old words, finds its table's version changed, and starts again.
//
// Owned by the store, outlives its mem tables. Any thread; a mutex among writers, taken once per
// 32 entries or less; readers never come here. Bytes count in the MemoryBudget when the pool grows
// and until it dies: given-back blocks wait for the next table.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "base/memory_budget.h"

namespace duramen::memtable {

/// The words of a block. Stored with release and loaded with acquire, which costs nothing on x86:
/// whoever sees a word of the block's next user also sees that the former user's version moved on.
using BlockWord = std::atomic<std::uint64_t>;

/// Size class k is a block of 16 << k words (128 bytes << k).
using BlockClass = std::uint8_t;
inline constexpr BlockClass kBlockClasses = 24;
constexpr std::size_t BlockWords(BlockClass size_class) { return std::size_t{16} << size_class; }

class BlockPool {
 public:
  /// `budget` outlives the pool.
  explicit BlockPool(MemoryBudget& budget) : budget_(budget) {}
  /// Requires: every block was given back.
  ~BlockPool();
  BlockPool(const BlockPool&) = delete;
  BlockPool& operator=(const BlockPool&) = delete;

  /// A chain of `count` >= 1 blocks, linked by NextInChain, all or nothing; their words are
  /// unspecified. nullptr when the budget has no room.
  BlockWord* Allocate(BlockClass size_class, std::size_t count, BudgetUse use);
  /// The block after `block` in a chain that Allocate returned. Overwritten by the first word.
  static BlockWord* NextInChain(const BlockWord* block);
  /// Makes `next` (or nullptr) follow `block`. Requires: the caller holds both.
  static void Link(BlockWord* block, const BlockWord* next);
  /// Takes back all blocks of a chain. Requires: the version of the table that they were in has
  /// moved on, so that late readers turn back.
  void ReleaseChain(BlockWord* chain, BlockClass size_class);

  /// Goes on telling mapped_bytes() there too; it outlives the pool.
  void CountIn(Counter& mapped);
  /// Bytes counted in the budget, and bytes of them that tables use now.
  std::uint64_t mapped_bytes() const;
  std::uint64_t used_bytes() const;

 private:
  bool GrowLocked(BlockClass size_class, BudgetUse use);
  void PushLocked(BlockWord* block, BlockClass size_class);

  MemoryBudget& budget_;
  mutable std::mutex mutex_;  // guards everything below
  std::array<BlockWord*, kBlockClasses> free_{};
  std::array<std::size_t, kBlockClasses> free_count_{};
  std::vector<std::unique_ptr<BlockWord[]>> slabs_;
  std::uint64_t mapped_bytes_ = 0;
  Counter* told_ = nullptr;
  std::uint64_t used_bytes_ = 0;
};

}  // namespace duramen::memtable
