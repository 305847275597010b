// Memory at an address that direct I/O takes.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>

#include "base/bytes.h"
#include "base/check.h"
#include "base/io.h"

namespace duramen {

struct AlignedFree {
  void operator()(std::byte* bytes) const { std::free(bytes); }
};
using AlignedBytes = std::unique_ptr<std::byte[], AlignedFree>;

/// At least `size` bytes of any content.
inline AlignedBytes MakeAligned(std::size_t size) {
  void* bytes = std::aligned_alloc(kDirectAlign, RoundUp(size, kDirectAlign));
  CHECK(bytes != nullptr);
  return AlignedBytes(static_cast<std::byte*>(bytes));
}

}  // namespace duramen
