// A verb that looks at one store, on a system with several WAL shards: each is a store of its own
// (log/shards.h), so the verb runs over one after the other, and each result says whose it is.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tools/exit_code.h"
#include "tools/output.h"
#include "tools/terminal.h"

namespace duramen::tools {

/// Directories of the shards of the system at `path`, as SYSTEM counts them; where it cannot be
/// read, as they lie there. `path` alone where there is but one, or no system.
std::vector<std::string> ShardDirectories(const std::string& path);

struct ShardWalk {
  std::string path;
  OutputOptions output;
  bool searches = false;  // for one log or file: kUsage of one shard says that it is in another
  bool changes = false;   // not one that is of another system
};

/// Runs `verb` on each of them, with what it is to print: a heading for people and in jsonl; in csv
/// one more column; in json one document with all of them. Returns the highest exit code; one that
/// SYSTEM counts and that is not there is kDamage.
ExitCode RunOverShards(
    const ShardWalk& walk, Terminal& terminal,
    const std::function<ExitCode(const std::string& path, const OutputOptions& output)>& verb);

}  // namespace duramen::tools
