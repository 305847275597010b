#include "tools/version.h"

#include "wal/format.h"

#ifndef DURAMEN_COMMIT
#define DURAMEN_COMMIT "unknown"
#endif
#ifndef DURAMEN_VERSION
#define DURAMEN_VERSION "0"
#endif

namespace duramen::tools {

std::string VersionLine() {
  return std::string("duramen ") + DURAMEN_VERSION + " (commit " + CommitOfBuild() +
         "), WAL format " + std::to_string(wal::kPackedVersion);
}

ExitCode RunVersion(const OutputOptions& output, Terminal& terminal) {
  const Field fields[] = {{"version", ColumnType::kText, std::string(DURAMEN_VERSION)},
                          {"commit", ColumnType::kText, CommitOfBuild()},
                          {"wal_format", ColumnType::kCount, std::uint64_t{wal::kPackedVersion}}};
  if (output.format == Format::kTable) {
    terminal.Out(VersionLine() + "\n");
  } else {
    PrintFacts(terminal, output, "version", fields);
  }
  const Status flushed = terminal.Flush();
  if (flushed.ok()) return ExitCode::kClean;
  terminal.Complain(flushed.error());
  return ExitCodeOf(flushed.error().code);
}

std::string CommitOfBuild() { return DURAMEN_COMMIT; }

}  // namespace duramen::tools
