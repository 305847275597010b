// `duramen demo --simulate`: a minute of a cluster's life under faults, told as it happens, and
// what was held against it.
#pragma once

#include "tools/demo.h"

namespace duramen::tools {

/// Of the options the seed alone counts. Exit 0 nothing went wrong, 1 something did, 130
/// interrupted.
ExitCode RunSimulatedDemo(const DemoOptions& options, Terminal& terminal);

}  // namespace duramen::tools
