// `duramen top DIR`: what a running store does now, from two looks at its statistics page.
#pragma once

#include <string>
#include <vector>

#include "tools/live.h"

namespace duramen::tools {

struct TopOptions {
  std::string path;
  bool once = false;
  double interval_s = 1;  // between the two looks; 0: since the process started, with `once`
  OutputOptions output;
};

/// What happened from `before` to `now`; of another process than `before` all that it did.
/// `seconds` > 0 between them.
std::vector<Field> TopFields(const LiveStats& before, const LiveStats& now, double seconds);

/// Errors: kInvalidArgument: no such interval.
Status CheckUsage(const TopOptions& options);
/// Without `once` it draws on a terminal, anew each interval, until q, Ctrl-C or the end of the
/// process. Exit 0; 2 usage, 4 nothing to read, 6 unknown version, 130 interrupted with `once`.
ExitCode RunTop(const TopOptions& options, Terminal& terminal);

}  // namespace duramen::tools
