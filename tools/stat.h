// `duramen stat DIR`: how full the WAL is and of what; `duramen names DIR`: who is in it.
#pragma once

#include <string>

#include "tools/exit_code.h"
#include "tools/output.h"
#include "tools/terminal.h"

namespace duramen::tools {

struct StatOptions {
  std::string path;
  std::string by = "file";  // or "server"
  std::string sort;         // a column; numbers from the highest; empty: as they stand
  OutputOptions output;
};

/// Errors: kInvalidArgument: an unknown column, or neither by file nor by server.
Status CheckUsage(const StatOptions& options);
/// Takes no lock, writes nothing. Exit 0; 1 when damage hides some of it; 2 usage (an unknown
/// column), 4 unreadable, 6 unknown version.
ExitCode RunStat(const StatOptions& options, Terminal& terminal);

struct NamesOptions {
  std::string path;
  OutputOptions output;
};

/// The same exits.
ExitCode RunNames(const NamesOptions& options, Terminal& terminal);

}  // namespace duramen::tools
