// Notices on their way to a Writer of another process, in memory that both map: a cell per log, so
// that one which nobody reads is written over and costs nothing more. A producer that dies between
// any two of its stores, or a consumer that writes what it likes, harms nobody but the consumer.
//
// Fixed layout without pointers, zeroed when made. One thread publishes and one takes; neither
// waits for the other.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "wal/port.h"

namespace duramen::wal {

inline constexpr std::uint32_t kNoticeCells = 65536;

/// Of one log; the words are read under `version`, which is odd while they change.
struct NoticeCell {
  std::atomic<std::uint64_t> version;
  std::atomic<std::uint64_t> epoch;
  std::atomic<std::uint64_t> end;
  std::atomic<std::uint64_t> row_sequence;
  std::atomic<std::uint64_t> refused_position;
  std::atomic<std::uint32_t> refused;
  std::atomic<std::uint32_t> refusal;
  std::uint64_t reserved[2];
};
static_assert(sizeof(NoticeCell) == 64);

struct NoticeMemory {
  static constexpr std::uint32_t kWords = kNoticeCells / 64;
  alignas(64) std::atomic<std::uint64_t> published;  // counts calls of Publish that had any
  alignas(64) std::atomic<std::uint64_t> groups[kWords / 64];  // of words that are not zero
  alignas(64) std::atomic<std::uint64_t> words[kWords];        // of cells with news
  alignas(64) NoticeCell cells[kNoticeCells];
};

/// The publishing side. One thread.
class NoticeSource {
 public:
  explicit NoticeSource(NoticeMemory& memory) : memory_(memory) {}
  /// Notice::slot is the number of its cell. Requires: below kNoticeCells.
  void Publish(std::span<const Notice> notices);

 private:
  NoticeMemory& memory_;
};

/// The taking side. One thread; empty() on any.
class NoticeSink {
 public:
  explicit NoticeSink(NoticeMemory& memory) : memory_(memory) {}
  bool empty() const {
    return memory_.published.load(std::memory_order_acquire) ==
           seen_.load(std::memory_order_relaxed);
  }
  /// Moves what waits to `out`, which is emptied first.
  void Take(std::vector<Notice>& out);

 private:
  void TakeWord(std::uint32_t word, std::vector<Notice>& out);
  NoticeMemory& memory_;
  std::atomic<std::uint64_t> seen_{0};
};

}  // namespace duramen::wal
