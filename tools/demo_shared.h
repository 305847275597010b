// `duramen demo --shared-wal [FILE]`: four services on one WAL process, a text through them,
// services and the WAL process killed on the way; then the same on four WALs, to see what sharing
// saved.
#pragma once

#include "tools/demo.h"

namespace duramen::tools {

/// Exit codes as RunDemo's.
ExitCode RunSharedDemo(const DemoOptions& options, Terminal& terminal);

}  // namespace duramen::tools
