// Words and bytes that several threads or processes look at at the same time: what the standard
// has, under names of ours. The test that tries all interleavings puts its own in their place
// (DURAMEN_ATOMICS_HEADER), and so runs the very code of ring.cc and handshake.h.
#pragma once

#ifdef DURAMEN_ATOMICS_HEADER
#include DURAMEN_ATOMICS_HEADER
#else

#include <atomic>
#include <cstddef>
#include <cstring>

namespace duramen {

template <typename T>
using Atomic = std::atomic<T>;

/// Copies into or out of memory that others see. What orders it is the atomic word beside it.
inline void CopyShared(void* to, const void* from, std::size_t size_bytes) {
  std::memcpy(to, from, size_bytes);
}

}  // namespace duramen

#endif
