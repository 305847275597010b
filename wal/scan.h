// Reads a WAL file and says what stands where: the input of the tail verdict, of replay, and of
// `dump` and `verify`. Reads only; never follows an unchecked length; tolerates unreadable blocks
// (they count as wrong bytes) and files cut short.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/io.h"
#include "wal/batch.h"
#include "wal/format.h"
#include "wal/summary.h"

namespace duramen::wal {

/// A window over a file that grows and moves as needed. Bytes past the end or unreadable read as
/// zeros in Block(), so that their checksums fail.
class FileWindow {
 public:
  explicit FileWindow(const File& file, std::uint64_t size_bytes)
      : file_(file), size_bytes_(size_bytes) {}
  std::uint64_t size_bytes() const { return size_bytes_; }
  /// Up to `bytes` at `offset`, fewer at the end of the file; valid until the next call.
  Bytes At(std::uint64_t offset, std::uint64_t bytes);
  /// The first block at `offset` or behind it that may hold anything but zeros. Requires: `offset`
  /// is the beginning of a block.
  std::uint64_t NextBlock(std::uint64_t offset) const;
  std::uint64_t bytes_read() const { return bytes_read_; }
  std::uint64_t unreadable_bytes() const { return unreadable_bytes_; }
  /// Why a read failed that says nothing of the bytes: memory ran out, say. Nothing may be judged.
  const std::optional<Error>& refused() const { return refused_; }

 private:
  void Fill(std::uint64_t offset, std::uint64_t bytes);
  const File& file_;
  std::uint64_t size_bytes_;
  std::uint64_t start_ = 0;
  std::unique_ptr<std::byte[]> buffer_;  // Not zeroed: it is read into.
  std::uint64_t capacity_ = 0;
  std::uint64_t filled_ = 0;
  std::uint64_t bytes_read_ = 0;
  std::uint64_t unreadable_bytes_ = 0;
  std::optional<Error> refused_;
};

/// Reads headers only.
FileSummary ScanHeaders(FileWindow& window, std::uint64_t number, const SystemUuid& system);
/// Adds batches; behind the last batch looks at every block up to the end of the file, because a
/// later valid batch is the proof that an earlier bad one was durable [A12]. `end_offset`: where
/// the file ends for who is told so.
void ScanBatches(FileWindow& window, const SystemUuid& system, FileSummary& summary,
                 std::uint64_t end_offset = UINT64_MAX);

}  // namespace duramen::wal
