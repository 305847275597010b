// `duramen wal --data-dir DIR --socket PATH`: the shared WAL process, until it is asked to end.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tools/exit_code.h"
#include "tools/output.h"
#include "tools/settings_stack.h"
#include "tools/terminal.h"

namespace duramen::tools {

struct WalProcessOptions {
  std::string dir;
  std::string socket;
  std::vector<std::string> users;  // names or numbers, besides the own
  std::string group;               // that may open the socket; empty: the own user alone
  bool takeover = false;  // from the WAL process that runs
  std::uint64_t clients = 64;
  std::uint64_t client_bytes = 8ULL << 30;
  std::uint64_t client_logs = 65536;
  SettingSources settings;
  OutputOptions output;
};

/// Says "ready" on standard output when clients may attach. SIGTERM and SIGINT end it: what clients
/// had committed is made durable first. Exit 0 then; 1 damage under recovery_mode strict; 2 usage;
/// 3 DIR or PATH in use; 4 I/O, or the WAL was down at the end; 5 no space; 6 unknown version.
ExitCode RunWalProcess(const WalProcessOptions& options, Terminal& terminal);

}  // namespace duramen::tools
