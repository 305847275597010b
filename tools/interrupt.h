// Ctrl-C asks a verb to stop; it ends at the next place where it can, with its partial summary.
// The handler is installed by main() alone; in tests and libraries Interrupted() stays false.
#pragma once

namespace duramen::tools {

/// SIGINT and SIGTERM set the flag; a second one ends the process at once.
void InstallInterruptHandler() noexcept;
bool Interrupted() noexcept;

}  // namespace duramen::tools
