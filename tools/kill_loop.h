// Loads a text in child processes that are killed by SIGKILL again and again, and checks after each
// death, from the files alone, that what was acknowledged is there. Behind `demo`, its soak and the
// tests.
//
// One thread. How "at least M lines were unacknowledged when the child died" is established: the
// child says `posted N` after Append returned for line N, and `ack N` after N was durable. The
// parent reads what the dead child had written to the end; then N of the last `posted` that came
// before the kill was sent, less the last `ack` of all, is a lower bound.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "duramen/result.h"
#include "tools/read_back.h"

namespace duramen::tools {

struct KillLoopOptions {
  std::string program;  // the duramen binary
  std::string dir;      // made; each pass loads into a directory of its own below it
  std::string input_path;
  std::uint64_t servers = 200;
  std::uint64_t in_flight = 512;
  std::uint64_t kills = 5;  // with enough lines unacknowledged; the first after creation
  std::uint64_t outstanding_min = 100;
  std::uint64_t seed = 1;
  std::vector<std::string> load_flags;
};

/// One child, from its start to its end.
struct KillRound {
  std::uint64_t pass = 0;
  bool killed = false;
  std::uint64_t acked = 0;          // lines acknowledged so far in this pass
  std::uint64_t outstanding = 0;    // at least so many were posted and not acknowledged
  std::uint64_t lines_on_disk = 0;  // read back from the files
  std::string recovered;            // what the store said when it started
  std::string verdict;              // of `verify` on the files after the end
  LoadSummary used;                 // as far as the child said it
};

struct KillLoopResult {
  std::vector<KillRound> rounds;
  std::uint64_t passes = 0;
  std::uint64_t kills = 0;        // with enough unacknowledged
  std::uint64_t other_kills = 0;  // with fewer
  LoadSummary used;
  std::string problem;  // empty: all acknowledged lines were there each time
};

/// Errors: kIo (a child could not be started, or answered an error). `on_round` is called after
/// each child.
Result<KillLoopResult> RunKillLoop(const KillLoopOptions& options, const InputText& input,
                                   const std::function<void(const KillRound&)>& on_round);

/// `duramen dump --format jsonl` on `path`, as a child process; what it prints goes to `lines`.
/// Returns its exit code. Errors: kIo.
Result<int> DumpInChild(const std::string& program, const std::string& path, ReadBack& lines);

}  // namespace duramen::tools
