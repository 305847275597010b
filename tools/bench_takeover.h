// `duramen bench wal --shared --takeover N`: live upgrades of a WAL process under full load.
#pragma once

#include "tools/bench_shared.h"

namespace duramen::tools {

/// Services in this process write as fast as they can to a WAL process, which is followed by a
/// successor so many times. Prints the longest time in which one of them heard of nothing durable
/// while it waited, within the upgrades and outside. An error that a service got ends it.
ExitCode RunBenchTakeover(const BenchSharedOptions& options, Terminal& terminal);

}  // namespace duramen::tools
