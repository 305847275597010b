// Reading what a device still gives of a range.
#pragma once

#include "base/io.h"

namespace duramen {

/// As File::Read; but where that fails it reads block by block and leaves zeros for what cannot be
/// read, so that one bad sector costs what stands in it and not its neighbours. Who calls it checks
/// what it got. Errors: kIo when nothing at all can be read.
Result<std::size_t> ReadAround(const File& file, std::uint64_t offset, std::span<std::byte> bytes);

}  // namespace duramen
