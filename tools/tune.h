// `duramen tune DIR`: what each way of making a write durable gives on this disk, whether its syncs
// can be believed, and the settings that follow.
#pragma once

#include <cstdint>
#include <string>

#include "tools/exit_code.h"
#include "tools/output.h"
#include "tools/terminal.h"

namespace duramen::tools {

struct TuneOptions {
  std::string path;            // an existing directory; may be one that a store has open
  std::uint64_t seconds = 30;  // all of it
  std::uint64_t depth = 4;     // direct writes in flight at most
  OutputOptions output;
};

/// Works on files in a directory of its own below `path`, which is removed. Exit 0; 1 where a sync
/// is dishonest; 2, 4, 5; 130 with what was measured until then.
ExitCode RunTune(const TuneOptions& options, Terminal& terminal);

}  // namespace duramen::tools
