// Tells a child of fork() that its memory is a copy of a store whose threads stayed behind.
#pragma once

#include <cstdint>

namespace duramen {

/// How many forks lie between this process and the one that first asked. Cheap: one load.
std::uint32_t ForkGeneration() noexcept;
/// Begins to count; before the first store opens.
void WatchForks();

}  // namespace duramen
