// `duramen simulate`: whole clusters with their storage, or whole systems, under trouble, from a
// seed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tools/exit_code.h"
#include "tools/output.h"
#include "tools/terminal.h"

namespace duramen::tools {

struct SimulateOptions {
  bool systems = false;               // systems as embedders have them; else Raft servers on stores
  std::uint64_t seed = 1;
  std::uint64_t seeds = 1;            // how many, from `seed` on
  std::uint64_t minutes = 0;          // 0: no limit; else seeds go on until then
  std::vector<std::string> settings;  // NAME=VALUE, over what the seed draws
  bool tell = false;                  // what happens, as it happens
  bool shrink = true;                 // a failing seed
  std::string histories;              // a directory for what the clients did and saw
  std::string soak;  // a page of tallies that a row is added to; its seeds go on behind the last
  OutputOptions output;
};

/// A line a failing seed, with what replays it, and a tally. Exit 0 nothing failed, 1 a seed
/// failed, 2 usage, 130 interrupted (with the tally so far).
ExitCode RunSimulate(const SimulateOptions& options, Terminal& terminal);

}  // namespace duramen::tools
