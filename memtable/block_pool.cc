#include "memtable/block_pool.h"

#include <new>
#include <utility>

#include "base/check.h"

namespace duramen::memtable {
namespace {

constexpr std::size_t kSlabBytes = 64u << 10;

constexpr std::size_t BlockBytes(BlockClass size_class) {
  return BlockWords(size_class) * sizeof(BlockWord);
}

std::uint64_t ToWord(const BlockWord* block) { return reinterpret_cast<std::uintptr_t>(block); }

}  // namespace

BlockPool::~BlockPool() {
  CHECK(used_bytes_ == 0);
  budget_.Release(mapped_bytes_);
}

BlockWord* BlockPool::Allocate(BlockClass size_class, std::size_t count, BudgetUse use) {
  CHECK(size_class < kBlockClasses);
  CHECK(count > 0);
  const std::lock_guard<std::mutex> lock(mutex_);
  while (free_count_[size_class] < count) {
    if (!GrowLocked(size_class, use)) return nullptr;
  }
  BlockWord* const chain = free_[size_class];
  BlockWord* last = chain;
  for (std::size_t i = 1; i < count; ++i) last = NextInChain(last);
  free_[size_class] = NextInChain(last);
  Link(last, nullptr);
  free_count_[size_class] -= count;
  used_bytes_ += count * BlockBytes(size_class);
  return chain;
}

BlockWord* BlockPool::NextInChain(const BlockWord* block) {
  return reinterpret_cast<BlockWord*>(
      static_cast<std::uintptr_t>(block->load(std::memory_order_relaxed)));
}

void BlockPool::Link(BlockWord* block, const BlockWord* next) {
  // Release, as every store to a block: a late reader that sees the link sees the version too.
  block->store(ToWord(next), std::memory_order_release);
}

void BlockPool::ReleaseChain(BlockWord* chain, BlockClass size_class) {
  const std::lock_guard<std::mutex> lock(mutex_);
  while (chain != nullptr) {
    BlockWord* const next = NextInChain(chain);
    PushLocked(chain, size_class);
    CHECK(used_bytes_ >= BlockBytes(size_class));
    used_bytes_ -= BlockBytes(size_class);
    chain = next;
  }
}

void BlockPool::CountIn(Counter& mapped) {
  const std::lock_guard<std::mutex> lock(mutex_);
  told_ = &mapped;
  mapped.Set(mapped_bytes_);
}

std::uint64_t BlockPool::mapped_bytes() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return mapped_bytes_;
}

std::uint64_t BlockPool::used_bytes() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return used_bytes_;
}

bool BlockPool::GrowLocked(BlockClass size_class, BudgetUse use) {
  const std::size_t block_bytes = BlockBytes(size_class);
  const std::size_t blocks = block_bytes * 2 <= kSlabBytes ? kSlabBytes / block_bytes : 1;
  const std::size_t slab_bytes = blocks * block_bytes;
  if (!budget_.TryReserve(slab_bytes, use)) return false;
  try {
    slabs_.push_back(std::make_unique<BlockWord[]>(slab_bytes / sizeof(BlockWord)));
  } catch (const std::bad_alloc&) {
    budget_.Release(slab_bytes);
    return false;
  }
  mapped_bytes_ += slab_bytes;
  if (told_ != nullptr) told_->Set(mapped_bytes_);
  BlockWord* const words = slabs_.back().get();
  for (std::size_t i = blocks; i > 0; --i) {
    PushLocked(words + (i - 1) * BlockWords(size_class), size_class);
  }
  return true;
}

void BlockPool::PushLocked(BlockWord* block, BlockClass size_class) {
  Link(block, free_[size_class]);
  free_[size_class] = block;
  ++free_count_[size_class];
}

}  // namespace duramen::memtable
