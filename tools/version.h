// Which build this is.
#pragma once

#include <string>

#include "tools/exit_code.h"
#include "tools/output.h"
#include "tools/terminal.h"

namespace duramen::tools {

/// "duramen 0.1.0 (commit 1a2b3c4), WAL format 1".
std::string VersionLine();
/// `duramen version`: that line, or its parts for programs.
ExitCode RunVersion(const OutputOptions& output, Terminal& terminal);
/// The commit that the build was configured at; "unknown" outside a checkout.
std::string CommitOfBuild();

}  // namespace duramen::tools
