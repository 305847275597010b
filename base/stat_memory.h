// Where a statistics page lives, and how another process gets at it.
//
// In production it is POSIX shared memory, mapped by Boost.Interprocess and named after the data
// directory: memory that no disk can slow down or take away (docs/decisions/0016). It outlives a
// killed process, until the next start replaces it or the machine goes down.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/shared_memory.h"
#include "duramen/result.h"

namespace duramen {

/// Zeroed, 64-byte aligned. Owned by who counts in it.
class StatMemory {
 public:
  /// This process's alone.
  static StatMemory Private(std::size_t size_bytes);
  /// Replaces what an earlier process of the directory has left; the caller has the directory's
  /// lock. Also removes pages of directories that are gone. All of it has memory behind it, so
  /// that counting in it never fails. Errors: kNotFound (the directory), kIo, kDiskFull,
  /// kPermission: the page has to be private then.
  static Result<StatMemory> Shared(const std::string& data_dir, std::size_t size_bytes);
  StatMemory(StatMemory&& other) noexcept;
  StatMemory& operator=(StatMemory&&) = delete;
  ~StatMemory();
  std::span<std::byte> bytes() const { return bytes_; }
  /// Takes the name away; who has it mapped keeps it.
  void Withdraw();

 private:
  struct Line {
    alignas(64) std::byte bytes[64];
  };
  StatMemory() = default;
  std::unique_ptr<Line[]> own_;
  std::unique_ptr<SharedMemory> shared_;
  std::string name_;  // empty: none
  int fd_ = -1;       // held for its lock, which says that the page is in use
  std::span<std::byte> bytes_;
};

/// What the page of a data directory holds at this moment.
struct StatCopy {
  std::vector<std::byte> bytes;
  bool in_use = false;  // the process that counts in it lives
};
/// Takes no lock and creates nothing. Errors: kNotFound (no directory, or no page), kPermission
/// (also when the page is another user's than the directory), kIo, kCorruption (too long).
Result<StatCopy> ReadStatMemory(const std::string& data_dir);
/// The name of its shared memory. Errors: kNotFound.
Result<std::string> StatMemoryName(const std::string& data_dir);

}  // namespace duramen
