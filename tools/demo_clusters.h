// `duramen demo [FILE]`: a real text into 200 replicated clusters on three nodes; one of them is
// stopped in the middle and comes back; shows that every member holds what was acknowledged, once,
// and what sharing a WAL saved.
//
// The nodes are systems of this process, so none of them can be killed: SIGKILL is for
// `demo --logs` and `demo --shared-wal`.
#pragma once

#include "tools/demo.h"

namespace duramen::tools {

/// `servers` are the clusters, `kills` the stops. Exit codes as RunDemo's.
ExitCode RunClusterDemo(const DemoOptions& options, Terminal& terminal);

}  // namespace duramen::tools
