// `duramen demo --logs [FILE]`: a real text through the shared WAL into 200 logs, killed on the way
// again and again; shows that what was acknowledged is what comes back.
#pragma once

#include <cstdint>
#include <string>

#include "tools/exit_code.h"
#include "tools/output.h"
#include "tools/terminal.h"

namespace duramen::tools {

struct DemoOptions {
  std::string file;  // empty: the licence texts that are on every Debian
  std::string dir;   // empty: a fresh one in the current directory, removed when all went well
  std::uint64_t servers = 200;
  std::uint64_t seed = 1;
  std::uint64_t kills = 5;
  OutputOptions output;
};

/// Exit 0 all is there, 1 something is not, 2 usage, 4 I/O, 5 no space.
ExitCode RunDemo(const DemoOptions& options, Terminal& terminal);

}  // namespace duramen::tools
