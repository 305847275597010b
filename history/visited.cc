#include "history/visited.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/checksum.h"

namespace duramen::history {
namespace {

constexpr std::size_t kChunkWords = Visited::kKeyWordsMax + 1;
constexpr std::size_t kFirstSlots = 1024;
constexpr int kPlaceBits = 44;  // of a slot: chunk and word, plus one; the rest is of the hash
constexpr std::uint64_t kPlaceMask = (1ULL << kPlaceBits) - 1;

std::uint64_t HashOf(std::span<const std::uint64_t> key) { return Checksum(std::as_bytes(key), 0); }

}  // namespace

Visited::Visited(std::uint64_t memory_max_bytes)
    : memory_max_bytes_(memory_max_bytes), slots_(kFirstSlots, 0), used_words_(kChunkWords) {}

std::uint64_t Visited::memory_bytes() const {
  return slots_.size() * sizeof(Slot) + chunks_.size() * kChunkWords * sizeof(std::uint64_t);
}

Visited::Answer Visited::Insert(std::span<const std::uint64_t> key) {
  CHECK(key.size() <= kKeyWordsMax);
  if (2 * (size_ + 1) > slots_.size() && !Grow()) return Answer::kFull;
  const std::uint64_t hash = HashOf(key);
  const std::size_t mask = slots_.size() - 1;
  std::size_t at = hash & mask;
  for (; slots_[at] != 0; at = (at + 1) & mask) {
    const bool alike = (slots_[at] >> kPlaceBits) == (hash >> kPlaceBits);
    if (alike && Equal(slots_[at], key)) return Answer::kSeen;
  }
  const Slot slot = Store(key, hash);
  if (slot == 0) return Answer::kFull;
  slots_[at] = slot;
  ++size_;
  return Answer::kNew;
}

std::uint64_t* Visited::At(Slot slot) const {
  const std::uint64_t place = (slot & kPlaceMask) - 1;
  return chunks_[place / kChunkWords].get() + place % kChunkWords;
}

bool Visited::Equal(Slot slot, std::span<const std::uint64_t> key) const {
  const std::uint64_t* stored = At(slot);
  return stored[0] == key.size() && std::equal(key.begin(), key.end(), stored + 1);
}

bool Visited::Grow() {
  // While keys move, both tables are there.
  if (memory_bytes() + 2 * slots_.size() * sizeof(Slot) > memory_max_bytes_) return false;
  std::vector<Slot> larger(2 * slots_.size(), 0);
  const std::size_t mask = larger.size() - 1;
  for (const Slot slot : slots_) {
    if (slot == 0) continue;
    const std::uint64_t* stored = At(slot);
    std::size_t at = HashOf({stored + 1, stored[0]}) & mask;
    while (larger[at] != 0) at = (at + 1) & mask;
    larger[at] = slot;
  }
  slots_ = std::move(larger);
  return true;
}

/// 0 without memory.
Visited::Slot Visited::Store(std::span<const std::uint64_t> key, std::uint64_t hash) {
  if (used_words_ + 1 + key.size() > kChunkWords) {
    if (memory_bytes() + kChunkWords * sizeof(std::uint64_t) > memory_max_bytes_) return 0;
    chunks_.push_back(std::make_unique_for_overwrite<std::uint64_t[]>(kChunkWords));
    used_words_ = 0;
  }
  const std::uint64_t place = (chunks_.size() - 1) * kChunkWords + used_words_;
  std::uint64_t* stored = chunks_.back().get() + used_words_;
  stored[0] = key.size();
  std::copy(key.begin(), key.end(), stored + 1);
  used_words_ += 1 + key.size();
  return (place + 1) | (hash >> kPlaceBits << kPlaceBits);
}

}  // namespace duramen::history
