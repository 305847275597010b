// `duramen dump PATH`: what stands in a WAL, one row per record on stdout, findings on stderr.
#pragma once

#include <optional>
#include <string>

#include "tools/exit_code.h"
#include "tools/output.h"
#include "tools/terminal.h"

namespace duramen::tools {

struct DumpOptions {
  std::string path;    // a data directory, a WAL directory or one WAL file
  std::string server;  // name or uid; empty: all
  std::optional<Index> from;
  std::optional<Index> to;  // inclusive
  std::optional<Term> term;
  /// entry, row, mark; a run's kind (next, overwrite, ...); a row's kind (vote, ...); or the
  /// number of an entry's kind. Empty: all.
  std::string kind;
  bool all = false;    // also what was cut, and files off the chain
  bool stats = false;  // counts instead of rows
  OutputOptions output;
};

/// Errors: kInvalidArgument: no record is of that kind.
Status CheckUsage(const DumpOptions& options);
/// Takes no lock, writes nothing, works on a running store. Exit 0 clean (a torn tail is clean and
/// said so), 1 bytes were skipped, 2 usage, 4 unreadable, 6 unknown version, 130 interrupted.
ExitCode RunDump(const DumpOptions& options, Terminal& terminal);

}  // namespace duramen::tools
