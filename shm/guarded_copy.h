// Reading memory that another process may change, punch or lose while it is read [C12].
//
// A page that cannot be had (a mapping past its file's end, no memory for a hole, failed memory)
// raises SIGBUS in whoever touches it. In a process with a BusGuard the handler puts a page of
// zeros in its place, if it is of a GuardedRegion, counts it there and lets the reader go on: any
// plain read survives, also one by code that knows nothing of this, and what it read is judged
// afterwards as all that another process wrote is: by its checksum, and by lost_pages().
//
// Why not a call that fails instead: for 256 bytes a copy takes 13 ns, pread on the memfd 760,
// process_vm_readv 1,870; for 64 KiB 15, 21 and 24 us. The WAL thread copies millions of entries a
// second. And why not siglongjmp: it would skip destructors of the code that it leaves.
//
// Only a process of ours makes a BusGuard; a library that is embedded installs no handler.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "duramen/result.h"

namespace duramen::shm {

/// At most as many at a time: the handler looks through them.
inline constexpr std::size_t kGuardedRegionsMax = 4096;

/// Installs the handler as long as it lives. One at a time (CHECK), any thread. A SIGBUS that is of
/// no GuardedRegion goes to the handler that was there before, or ends the process as without it.
class BusGuard {
 public:
  BusGuard();
  ~BusGuard();
  BusGuard(const BusGuard&) = delete;
  BusGuard& operator=(const BusGuard&) = delete;
};

struct GuardedSlot;

/// A map whose pages may be lost. Requires: a BusGuard that outlives it; the map outlives it too,
/// and nobody reads the map while this ends. Any thread may read.
class GuardedRegion {
 public:
  /// Requires: whole pages, mapped for reading at least. Errors: kOverloaded (kGuardedRegionsMax).
  static Result<GuardedRegion> Over(std::span<const std::byte> memory);
  GuardedRegion(GuardedRegion&& other) noexcept;
  GuardedRegion& operator=(GuardedRegion&& other) noexcept;
  ~GuardedRegion();

  /// Copies `out.size()` bytes from `offset` on. What it copies may change meanwhile: look at the
  /// copy, never again at the memory.
  /// Errors: kOutOfRange  they are not all inside; nothing was copied.
  ///         kIo          a page was lost, now or before: of the copy nothing may be believed.
  Status Copy(std::uint64_t offset, std::span<std::byte> out) const;
  /// Pages of zeros where something else should be. Above 0 its owner has lost bytes: cut it off.
  std::uint32_t lost_pages() const;

 private:
  explicit GuardedRegion(GuardedSlot& slot) : slot_(&slot) {}
  void End() noexcept;

  GuardedSlot* slot_;
};

}  // namespace duramen::shm
