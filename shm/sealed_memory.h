// Memory that two processes map and neither can resize: a memfd whose seals forbid to shrink it, to
// grow it and to change the seals. So what was checked about its size stays true, and a read inside
// of it cannot run past its end.
//
// What stays possible, and whoever reads must expect: the other side changes any byte at any time,
// and punches holes, which read as zeros [C12]. A page that the kernel cannot provide raises SIGBUS
// (shm/guarded_copy.h).
//
// A value that moves; it owns the map and the descriptor. Any thread.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "base/descriptor.h"
#include "base/shared_memory.h"
#include "duramen/result.h"

namespace duramen::shm {

/// Who may write. Of memory for kMaker the descriptor and every later map of it can only read, in
/// any process and for any user; the map that its maker has from before stays writable.
enum class WrittenBy { kBoth, kMaker };

enum class Access { kReadWrite, kReadOnly };

/// What memory of another process is expected to be.
struct Expected {
  std::size_t bytes_min = 0;
  std::size_t bytes_max = 0;
  Access access = Access::kReadWrite;
};

class SealedMemory {
 public:
  /// Makes memory of `size_bytes` zeros, rounded up to whole pages. `name` is what /proc shows.
  /// Errors: kIo           out of memory or descriptors.
  ///         kUnsupported  this kernel has no such seals.
  static Result<SealedMemory> Create(const std::string& name, std::size_t size_bytes,
                                     WrittenBy written_by = WrittenBy::kBoth);
  /// Maps all of what another process made, after a look at what it is.
  /// Errors: kInvalidArgument  it is no memfd, lacks a seal, or has another size than expected;
  ///                           the other side erred.
  ///         kIo               it cannot be mapped.
  static Result<SealedMemory> Adopt(Descriptor fd, const Expected& expected);

  /// Whole pages. Memory adopted for Access::kReadOnly must not be written: that ends the process.
  std::span<std::byte> bytes() const { return memory_.bytes(); }
  /// For sending; it stays this object's.
  int fd() const { return fd_.get(); }

 private:
  SealedMemory(Descriptor fd, SharedMemory memory);

  Descriptor fd_;
  SharedMemory memory_;
};

}  // namespace duramen::shm
