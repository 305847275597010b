// The marks that lead from what a log was to what it is, for who says again what stood in a file
// that held no entries. Pure.
#pragma once

#include <cstdint>
#include <vector>

#include "wal/format.h"
#include "wal/replay.h"

namespace duramen::wal {

/// Each cut has its epoch, as if none had been left out, so that a replay misses none. Requires: no
/// entry was appended in between.
void AppendMarks(std::uint32_t slot, const SlotBounds& before, const SlotBounds& now,
                 std::vector<RunHeader>& marks);

}  // namespace duramen::wal
