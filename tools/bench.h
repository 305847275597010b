// `duramen bench disk`, `wal`, `log`, `read` and `recovery`: numbers of this disk, the WAL, reads.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "tools/exit_code.h"
#include "tools/output.h"
#include "tools/settings_stack.h"
#include "tools/terminal.h"

namespace duramen::tools {

struct BenchOptions {
  std::string dir;  // empty: a fresh one in the current directory, removed afterwards
  std::uint64_t seconds = 5;
  std::uint64_t seed = 1;
  std::string sync_method;  // empty: what the settings say
  std::uint64_t depth = 0;  // of dsync; 0: the setting's, of a bare disk 1
  OutputOptions output;
};

struct BenchDiskOptions {
  BenchOptions common = {.sync_method = "datasync"};
  std::uint64_t batch_bytes = 4096;
};

/// The device through our own file port with no log on top: write, sync, again. Exit 0, 2, 4, 5.
ExitCode RunBenchDisk(const BenchDiskOptions& options, Terminal& terminal);

/// Of `wal` and `log`.
struct BenchLoadOptions {
  BenchOptions common;
  std::uint64_t servers = 1000;
  std::uint64_t entry_bytes = 256;
  std::uint64_t in_flight = 10;  // entries outstanding per server
  std::uint64_t writers = 1;
  std::uint64_t rate = 0;  // entries a second, whatever is outstanding; 0: as in_flight allows
  std::string log_prefix;  // before the name of each log
  SettingSources settings;
};

/// A closed loop through LogStore; floors follow what is written, so files are recycled unflushed.
/// Every second of it is followed by one that writes the same batch sizes to the bare file port, so
/// that a disk whose speed changes from second to second can be compared with at all.
ExitCode RunBenchWal(const BenchLoadOptions& options, Terminal& terminal);

struct BenchLogOptions {
  BenchLoadOptions load;
  /// Entries that a log keeps behind what is durable; unset: two WAL files' worth over all logs,
  /// so that everything is flushed; 0: none, as a queue that is always empty.
  std::optional<std::uint64_t> keep;
  std::uint64_t reads_per_1000 = 10;  // reads of single entries, for 1,000 that are written
};

/// The same with flush, reads and truncation, in the steady state: measured from the second flush
/// on, for so many seconds, without a pause. The bare disk comes afterwards.
ExitCode RunBenchLog(const BenchLogOptions& options, Terminal& terminal);

struct BenchRecoveryOptions {
  BenchOptions common = {.sync_method = "datasync"};  // `seconds` is measured, not asked for
  std::uint64_t servers = 1000;
  std::uint64_t entry_bytes = 256;
  std::uint64_t wal_bytes = 256'000'000;
};

/// Fills one WAL file with so many bytes of batches, closes the store and opens it again: how long
/// that start took, from the page cache. Exit 0, 1 (it did not find what was written), 2, 4, 5.
ExitCode RunBenchRecovery(const BenchRecoveryOptions& options, Terminal& terminal);

struct BenchClusterOptions {
  BenchOptions common;
  std::uint64_t members = 1;   // of each cluster
  bool in_process = false;     // several members are systems of this process
  std::uint64_t clusters = 1;
  std::uint64_t clients = 5;   // each a thread
  std::uint64_t pipe = 500;    // commands that each has under way, over all clusters in turns
  std::uint64_t entry_bytes = 256;
  SettingSources settings;
};

struct BenchServersOptions {
  BenchOptions common;  // seconds: of idling
  std::uint64_t members = 1;
  std::uint64_t clusters = 10000;
  SettingSources settings;
};

/// Clusters that do nothing: made, closed, opened again and elected, then left alone. Exit 0, 2, 4,
/// 5.
ExitCode RunBenchServers(const BenchServersOptions& options, Terminal& terminal);

/// Commands through replicated clusters, each answered once it is applied: a closed loop, measured
/// after a second of it. Exit 0, 2, 4, 5.
ExitCode RunBenchCluster(const BenchClusterOptions& options, Terminal& terminal);

struct BenchReadOptions {
  BenchOptions common;
  bool hot = false;
  bool cold = false;
  std::uint64_t servers = 1000;
  std::uint64_t entries = 10'000;  // of all servers together
  std::uint64_t entry_bytes = 256;
  SettingSources settings;  // what is not given of WAL files and memory, the bench chooses
};

/// Single entries of random logs at random places, from memory (hot) or, after a start and a flush,
/// from segments in the page cache (cold). Exit 0, 2, 4, 5.
ExitCode RunBenchRead(const BenchReadOptions& options, Terminal& terminal);

}  // namespace duramen::tools
