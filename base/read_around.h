// Reading what a device still gives of a range.
#pragma once

#include "base/io.h"

namespace duramen {

struct AroundRead {
  std::size_t bytes = 0;               // as File::Read
  std::uint64_t unreadable_bytes = 0;  // of them: zeros, for want of what stands there
};

/// As File::Read; but where the device fails (kIo) it reads block by block and leaves zeros for
/// what cannot be read, so that one bad sector costs what stands in it and neither its neighbours
/// nor who asked. Who calls it checks what it got. Errors: those of File::Read but kIo.
Result<AroundRead> ReadAround(const File& file, std::uint64_t offset, std::span<std::byte> bytes);

}  // namespace duramen
