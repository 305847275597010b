// `duramen check-history FILE`: is a recorded history linearizable, and if not, why.
#pragma once

#include <cstdint>
#include <string>

#include "tools/exit_code.h"
#include "tools/output.h"
#include "tools/terminal.h"

namespace duramen::tools {

struct CheckHistoryOptions {
  std::string path;                          // "-": standard input
  std::string model;                         // register, kv or set; empty: as the header says
  std::uint64_t steps_max = 200'000'000;     // of each key
  std::uint64_t memory_max_bytes = 1 << 30;  // of each key
  OutputOptions output;
};

/// One row per key; in a table what there is to say of a violation stands before them. Exit 0
/// linearizable, 1 not, or undecided within the limits, 2 usage, 4 unreadable or no history, 6
/// unknown version, 130 interrupted.
ExitCode RunCheckHistory(const CheckHistoryOptions& options, Terminal& terminal);

}  // namespace duramen::tools
