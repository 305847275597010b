// The places where a search has been: keys of words, compared whole, in bounded memory.
//
// Owned by one search; one thread. A hash only says where to look: two places are the same if all
// of their words are.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace duramen::history {

class Visited {
 public:
  static constexpr std::size_t kKeyWordsMax = (1 << 17) - 1;

  enum class Answer : std::uint8_t { kNew, kSeen, kFull };

  explicit Visited(std::uint64_t memory_max_bytes);
  /// Puts `key` in, unless it is there or there is no memory left for it.
  /// Requires: at most kKeyWordsMax words.
  Answer Insert(std::span<const std::uint64_t> key);
  std::uint64_t memory_bytes() const;
  std::uint64_t size() const { return size_; }

 private:
  /// A slot of the table: where a key stands, with some bits of its hash above; 0 for none.
  using Slot = std::uint64_t;
  bool Equal(Slot slot, std::span<const std::uint64_t> key) const;
  std::uint64_t* At(Slot slot) const;
  bool Grow();
  Slot Store(std::span<const std::uint64_t> key, std::uint64_t hash);

  const std::uint64_t memory_max_bytes_;
  std::vector<Slot> slots_;
  std::uint64_t size_ = 0;
  std::vector<std::unique_ptr<std::uint64_t[]>> chunks_;
  std::size_t used_words_;  // of the last chunk
};

}  // namespace duramen::history
