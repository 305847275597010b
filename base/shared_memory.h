// Memory mapped by Boost.Interprocess: anonymous for threads and forked children, or backed by a
// file descriptor (memfd) for another process. Page-aligned and zeroed when made.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "duramen/result.h"

namespace duramen {

class SharedMemory {
 public:
  /// Shared with children of a later fork. Errors: kIo (out of address space or memory).
  static Result<SharedMemory> Anonymous(std::size_t size_bytes);
  /// Maps all of a memfd or file of `size_bytes`. The descriptor stays the caller's.
  static Result<SharedMemory> Map(int fd, std::size_t size_bytes);
  /// The same, for memory that another writes: a store into it ends the process.
  static Result<SharedMemory> MapReadOnly(int fd, std::size_t size_bytes);
  /// Nothing is mapped.
  SharedMemory() noexcept;
  SharedMemory(SharedMemory&&) noexcept;
  SharedMemory& operator=(SharedMemory&&) noexcept;
  ~SharedMemory();
  std::span<std::byte> bytes() const;

 private:
  struct Impl;
  explicit SharedMemory(std::unique_ptr<Impl> impl);
  static Result<SharedMemory> MapAs(int fd, std::size_t size_bytes, bool writable);
  std::unique_ptr<Impl> impl_;
};

}  // namespace duramen
