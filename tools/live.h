// What a process that has a store open counts, read from its statistics page without asking it:
// `duramen stat DIR --live`. Works during a stall, and on what a killed process has left.
#pragma once

#include <string>

#include "base/stat_page.h"
#include "tools/exit_code.h"
#include "tools/output.h"
#include "tools/terminal.h"

namespace duramen::tools {

struct LiveStats {
  StatReading page;
  bool running = false;
  std::int64_t now_ns = 0;  // as the process counts; of a dead one its last sign of life

  std::uint64_t Value(std::string_view name) const { return page.ValueOf(name, now_ns); }
  /// Of a histogram; empty where there is none.
  HistogramCounts Histogram(std::string_view name) const;
  /// "process 77, boot 4: the WAL is up; a sync has been under way for 2.310 s".
  std::string Sentence() const;
};

/// Errors: kNotFound (no data directory, or nobody counts there), kPermission, kIo, kCorruption,
/// kUnknownVersion.
Result<LiveStats> ReadLive(const std::string& data_dir);

/// What cannot be read is no damage: nothing of the store's is in there.
ExitCode RefuseLive(Terminal& terminal, const Error& error);

struct LiveStatOptions {
  std::string path;
  std::string by = "metric";  // or "batch", or "client"
  OutputOptions output;
};

/// Errors: kInvalidArgument: by something else.
Status CheckUsage(const LiveStatOptions& options);
/// Takes no lock, writes nothing. Exit 0, also of a process that is gone, which is said; 2 usage, 4
/// nothing to read, 6 unknown version.
ExitCode RunLiveStat(const LiveStatOptions& options, Terminal& terminal);

}  // namespace duramen::tools
