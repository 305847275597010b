// What was found in a WAL file, without its bytes: the input of the tail verdict. Pure.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "wal/format.h"

namespace duramen::wal {

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
  std::uint64_t number = 0;      // by its name
  std::uint64_t size_bytes = 0;  // of what is looked at: without a hole at the end, say
  std::uint64_t file_bytes = 0;  // of the file
  bool copy_ok[kHeaderCopies] = {false, false};
  std::optional<FileHeader> header;  // of this number and in service
  bool former_header = false;        // a valid header of another number: a recycled file
  std::optional<Error> unknown_version;
  std::uint64_t life = 0;                        // from the header, else from its batches; 0: none
  std::vector<BatchSummary> batches;             // in order of offset
  std::uint64_t end_offset = kFirstBatchOffset;  // behind the last batch found
  std::uint64_t highest_boot = 0;                // that a batch of it names
  bool torn_bytes = false;  // a batch header of this life that cannot be read at the end
  std::uint64_t bytes_read = 0;
  /// How far batches can stand; a file may be made larger than it was written, by accident or ill
  /// will, and is not read beyond.
  std::uint64_t scan_bytes() const {
    return std::min(size_bytes, header ? header->size_bytes : kScanBytesMax);
  }
  FileContext Context(const SystemUuid& system) const {
    return FileContext::Of(system, number, life);
  }
};

}  // namespace duramen::wal
