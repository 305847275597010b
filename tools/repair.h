// `duramen repair DIR`: a plan; with --apply what it says, on a copy first, with a way back.
#pragma once

#include <optional>
#include <string>

#include "duramen/result.h"
#include "tools/exit_code.h"
#include "tools/output.h"
#include "tools/terminal.h"

namespace duramen::tools {

struct RepairVerbOptions {
  std::string path;  // a data directory
  bool apply = false;
  bool force = false;
  std::optional<std::string> undo;  // an id
  std::string server;               // name or uid; empty: only what contains damage
  std::optional<Index> truncate;
  bool fill = false;
  bool rejoin = false;
  std::string wal_dir;  // where SYSTEM cannot tell it
  OutputOptions output;
};

/// Errors: kInvalidArgument: words that do not go together.
Status CheckUsage(const RepairVerbOptions& options);

/// Without --apply and --undo nothing changes: it reads, takes no lock, creates nothing. Exit 0
/// done or nothing to do, 1 verify still finds something afterwards, 2 usage, 3 the store is
/// running, 4 unreadable, 5 no space for the copies, 6 unknown version, 7 a plan that needs
/// --apply, or refused.
ExitCode RunRepair(const RepairVerbOptions& options, Terminal& terminal);

}  // namespace duramen::tools
