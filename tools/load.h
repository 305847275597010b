// `duramen load DIR --servers N [FILE]`: every line of FILE as an entry of one of N logs on one
// shared WAL; a line counts once it is durable.
#pragma once

#include <cstdint>
#include <string>

#include "tools/exit_code.h"
#include "tools/output.h"
#include "tools/settings_stack.h"
#include "tools/terminal.h"

namespace duramen::tools {

struct LoadOptions {
  std::string dir;   // or "unix:PATH": a WAL process has it
  std::string file;  // empty or "-": standard input
  std::string log_prefix;  // before the name of each log
  std::uint64_t servers = 1;
  std::uint64_t writers = 1;
  std::uint64_t in_flight = 8192;  // lines posted and not yet durable, at most
  bool acks = false;               // "ack N" on stdout once line N is durable
  bool resume = false;             // go on after the last durable line
  bool progress = false;
  bool events = false;                   // "recovered ..." and "posted ..." on stderr, for `demo`
  std::uint64_t overloaded_ms = 20'000;  // without progress; then there is no space
  SettingSources settings;
  OutputOptions output;
};

/// Memory is bounded by `in_flight`, whatever the input. Floors do not move, so the input must fit
/// wal_max_files x wal_max_size_bytes. Exit 0 all lines durable; 1 a log is faulty; 2 usage, or an
/// input that is not the one that DIR holds; 3 DIR in use; 4 I/O; 5 no space; 7 DIR holds lines and
/// --resume was not given; 130 interrupted.
ExitCode RunLoad(const LoadOptions& options, Terminal& terminal);

}  // namespace duramen::tools
