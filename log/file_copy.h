// Whole files, in bounded memory: checksums, comparisons, and copies that leave zeros as holes.
// Holes cost nothing, however large. What the device cannot give counts as zeros, block by block,
// so the same file gives the same sum as long as the same sectors are bad. Requires of all: nobody
// writes the files meanwhile. Errors: those of base/io.h.
#pragma once

#include <cstdint>

#include "base/io.h"

namespace duramen::log {

/// What a file holds; equal sums are taken for equal bytes.
struct ContentSum {
  std::uint64_t size_bytes = 0;
  std::uint64_t checksum = 0;          // ContentChecksum of log/repair_format.h
  std::uint64_t unreadable_bytes = 0;  // that count as zeros
  bool operator==(const ContentSum& other) const {
    return size_bytes == other.size_bytes && checksum == other.checksum;
  }
};

/// Of a file: all of it, unless told.
struct ContentRange {
  std::uint64_t offset = 0;
  std::uint64_t bytes_max = UINT64_MAX;
};

Result<ContentSum> SumOf(const File& file);
/// Copies what is there of the range into `to`, a new and empty file; returns what was copied.
Result<ContentSum> CopyContent(const File& from, File& to, const ContentRange& range = {});
Result<bool> SameContent(const File& a, const File& b);

}  // namespace duramen::log
