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
         "), WAL format " + std::to_string(wal::kFormatVersion);
}

std::string CommitOfBuild() { return DURAMEN_COMMIT; }

}  // namespace duramen::tools
