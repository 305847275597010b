#include "wal/landed_runs.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace duramen::wal {
namespace {

constexpr std::uint64_t kKeptBytesMax = 16 << 20;  // free blocks, for the next runs
constexpr std::uint64_t kKeptShare = 64;           // of the budget, if that is less

constexpr std::uint64_t BytesOf(std::size_t size_class) {
  return RunBlocks::RunsOf(size_class) * sizeof(LandedRun);
}

}  // namespace

RunBlocks::RunBlocks(MemoryBudget* budget)
    : budget_(budget),
      kept_bytes_max_(
          budget == nullptr ? 0 : std::min(kKeptBytesMax, budget->limit_bytes() / kKeptShare)) {}

RunBlocks::~RunBlocks() {
  CHECK(bytes_ == kept_bytes_);
  if (budget_ != nullptr) budget_->Release(bytes_);
}

RunBlocks::Block RunBlocks::Take(std::size_t size_class) {
  CHECK(size_class < kClasses);
  if (!kept_[size_class].empty()) {
    Block block = std::move(kept_[size_class].back());
    kept_[size_class].pop_back();
    kept_bytes_ -= BytesOf(size_class);
    return block;
  }
  bytes_ += BytesOf(size_class);
  if (told_ != nullptr) told_->Set(bytes_);
  if (budget_ != nullptr) (void)budget_->TryReserve(BytesOf(size_class), BudgetUse::kForced);
  return std::make_unique_for_overwrite<LandedRun[]>(RunsOf(size_class));
}

void RunBlocks::Give(Block block, std::size_t size_class) {
  const std::uint64_t size_bytes = BytesOf(size_class);
  if (kept_bytes_ + size_bytes <= kept_bytes_max_) {
    kept_bytes_ += size_bytes;
    kept_[size_class].push_back(std::move(block));
    return;
  }
  bytes_ -= size_bytes;
  if (told_ != nullptr) told_->Set(bytes_);
  if (budget_ != nullptr) budget_->Release(size_bytes);
}

const LandedRun& RunQueue::operator[](std::size_t i) const {
  const std::size_t at = head_ + i;
  return blocks_[at / RunBlocks::kRunsMax][at % RunBlocks::kRunsMax];
}

LandedRun& RunQueue::operator[](std::size_t i) {
  const std::size_t at = head_ + i;
  return blocks_[at / RunBlocks::kRunsMax][at % RunBlocks::kRunsMax];
}

void RunQueue::PushBack(const LandedRun& run, RunBlocks& blocks) {
  if (blocks_.empty()) {
    blocks_.push_back(blocks.Take(0));
  } else if (size_class_ < kLargest && head_ + size_ == capacity()) {
    const std::uint8_t larger =
        head_ > 0 ? size_class_ : static_cast<std::uint8_t>(size_class_ + 1);
    RunBlocks::Block to = blocks.Take(larger);
    for (std::size_t i = 0; i < size_; ++i) to[i] = (*this)[i];
    blocks.Give(std::exchange(blocks_.front(), std::move(to)), size_class_);
    size_class_ = larger;
    head_ = 0;
  } else if (head_ + size_ == capacity()) {
    blocks_.push_back(blocks.Take(kLargest));
  }
  ++size_;
  back() = run;
}

void RunQueue::PopBack(RunBlocks& blocks) {
  if (--size_ == 0) return Clear(blocks);
  if (head_ + size_ > capacity() - RunBlocks::RunsOf(size_class_)) return;
  blocks.Give(std::move(blocks_.back()), size_class_);
  blocks_.pop_back();
}

void RunQueue::PopFront(RunBlocks& blocks) {
  ++head_;
  if (--size_ == 0) return Clear(blocks);
  if (head_ < RunBlocks::RunsOf(size_class_)) return;
  blocks.Give(std::move(blocks_.front()), size_class_);
  blocks_.pop_front();
  head_ = 0;
}

void RunQueue::Clear(RunBlocks& blocks) {
  for (; !blocks_.empty(); blocks_.pop_back()) blocks.Give(std::move(blocks_.back()), size_class_);
  size_class_ = 0;
  head_ = size_ = 0;
}

}  // namespace duramen::wal
