// `duramen verify PATH`: every checksum and every rule between files; what is damaged, whose it is,
// whether it was acknowledged, and what to type next.
#pragma once

#include <string>

#include "tools/exit_code.h"
#include "tools/output.h"
#include "tools/terminal.h"

namespace duramen::tools {

struct VerifyOptions {
  std::string path;     // a data directory, a WAL directory, or a WAL file, segment or checkpoint
  bool strict = false;  // an unproven tail is a failed check too
  OutputOptions output;
};

/// Takes no lock, writes nothing, works on a running store. Exit 0 clean (a torn tail is clean and
/// said so), 1 damage or a failed check, 2 usage, 4 unreadable, 6 unknown version.
ExitCode RunVerify(const VerifyOptions& options, Terminal& terminal);

}  // namespace duramen::tools
