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
  std::uint64_t bytes_read() const { return bytes_read_; }
  std::uint64_t unreadable_bytes() const { return unreadable_bytes_; }

 private:
  void Fill(std::uint64_t offset, std::uint64_t bytes);
  const File& file_;
  std::uint64_t size_bytes_;
  std::uint64_t start_ = 0;
  std::vector<std::byte> buffer_;
  std::uint64_t bytes_read_ = 0;
  std::uint64_t unreadable_bytes_ = 0;
};

/// What is scanned of a file whose header cannot be read; the largest wal_max_size_bytes.
inline constexpr std::uint64_t kScanBytesMax = 16ULL << 30;

/// One batch as it was found, or a stretch in which only a closing was found.
struct BatchSummary {
  std::uint64_t number = 0;
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
  std::uint64_t durable_upto = 0;
  std::uint64_t previous_checksum = 0;
  std::uint64_t checksum = 0;
  std::uint16_t flags = 0;
  bool header_ok = false;
  bool intact = false;  // header, body and closing
};

struct FileSummary {
  std::uint64_t number = 0;  // by its name
  std::uint64_t size_bytes = 0;
  bool copy_ok[kHeaderCopies] = {false, false};
  std::optional<FileHeader> header;   // of this number and in service
  bool former_header = false;         // a valid header of another number: a recycled file
  std::optional<Error> unknown_version;
  std::uint64_t life = 0;             // from the header, else from its batches; 0: none
  std::vector<BatchSummary> batches;  // in order of offset
  std::uint64_t end_offset = kFirstBatchOffset;  // behind the last batch found
  std::uint64_t highest_boot = 0;     // that a batch of it names
  bool torn_bytes = false;            // a batch header of this life that cannot be read at the end
  std::uint64_t bytes_read = 0;
  /// How far batches can stand; a file may be made larger than it was written, by accident or ill
  /// will, and is not read beyond.
  std::uint64_t scan_bytes() const;
  FileContext Context(const SystemUuid& system) const {
    return FileContext::Of(system, number, life);
  }
};

/// Reads headers only.
FileSummary ScanHeaders(FileWindow& window, std::uint64_t number, const SystemUuid& system);
/// Adds batches; behind the last batch looks at every block up to the end of the file, because a
/// later valid batch is the proof that an earlier bad one was durable [A12].
void ScanBatches(FileWindow& window, const SystemUuid& system, FileSummary& summary);

}  // namespace duramen::wal
