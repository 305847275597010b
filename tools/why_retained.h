// `duramen why-retained DIR WHAT`: why a WAL file or a segment is still there, or which files a
// server keeps.
#pragma once

#include <string>

#include "tools/exit_code.h"
#include "tools/output.h"
#include "tools/terminal.h"

namespace duramen::tools {

struct WhyRetainedOptions {
  std::string path;
  std::string what;  // N.wal, servers/UID/N.seg, or a server by name or uid
  OutputOptions output;
};

/// One row per reason. Takes no lock, writes nothing. Exit 0, 2 usage (nothing of that name), 4
/// unreadable, 6 unknown version.
ExitCode RunWhyRetained(const WhyRetainedOptions& options, Terminal& terminal);

}  // namespace duramen::tools
