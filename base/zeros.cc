#include "base/zeros.h"

#include "base/check.h"

namespace duramen {
namespace {

// Not const, so that it takes no room in the program's file; nobody writes it.
alignas(kDirectAlign) std::byte zeros[kZeroBytesMax];

}  // namespace

Bytes ZeroBytes(std::size_t bytes) {
  CHECK(bytes <= kZeroBytesMax);
  return {zeros, bytes};
}

}  // namespace duramen
