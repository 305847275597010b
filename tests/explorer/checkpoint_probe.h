// What a crash left, with one row of the newer checkpoint damaged: while both are whole, one of
// them may go without a loss [A2, B3].
//
// Pure. Owned by the explorer; one thread.
#pragma once

#include <optional>

#include "sim/disk_state.h"

namespace duramen::explorer {

/// None: there are no two whole checkpoints, or the newer one has no server.
std::optional<sim::Image> WithoutNewestRow(const sim::Image& image);

}  // namespace duramen::explorer
