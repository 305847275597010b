// A log of one file on base/io.h, just large enough to show that the simulator finds what it
// should: with both syncs in place no crash state loses an acknowledged record, without either one
// some do.
//
// Owned by a test; one thread. A record is a checksum (u64), its number (u64) and 1,008 bytes of
// it.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "base/io.h"

namespace duramen::sim {

struct ToyBugs {
  bool skip_data_sync = false;
  bool skip_directory_sync = false;
};

class ToyLog {
 public:
  static constexpr std::uint64_t kRecordBytes = 1024;

  /// Opens or makes "toy.log" in `path`; count() is what could be read.
  static Result<std::unique_ptr<ToyLog>> Open(FileSystem& file_system, const std::string& path,
                                              ToyBugs bugs);
  ToyLog(std::unique_ptr<File> file, ToyBugs bugs) : file_(std::move(file)), bugs_(bugs) {}
  /// Acknowledged when it returns success.
  Status Append();
  std::uint64_t count() const { return count_; }

 private:
  Status Recover();
  std::unique_ptr<File> file_;
  ToyBugs bugs_;
  std::uint64_t count_ = 0;
};

}  // namespace duramen::sim
