// `duramen du DIR`: whose bytes fill the disk.
#pragma once

#include <string>

#include "tools/exit_code.h"
#include "tools/output.h"
#include "tools/terminal.h"

namespace duramen::tools {

struct DuOptions {
  std::string path;
  OutputOptions output;
};

/// Segments by server, the most first, then what all share. Takes no lock, writes nothing. Exit 0,
/// 2 usage, 4 unreadable, 6 unknown version.
ExitCode RunDu(const DuOptions& options, Terminal& terminal);

}  // namespace duramen::tools
