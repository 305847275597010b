// Zeros to write, at an address that direct I/O takes; no memory of its own as long as they are
// only read.
#pragma once

#include <cstddef>

#include "base/io.h"

namespace duramen {

constexpr std::size_t kZeroBytesMax = 4 << 20;

/// Requires: bytes <= kZeroBytesMax. Any thread.
Bytes ZeroBytes(std::size_t bytes);

}  // namespace duramen
