// Whether the directories that are set keep apart. By their names: nothing is made for the answer,
// so a start that is refused for it has written nothing [A14].
#pragma once

#include "duramen/log_store.h"
#include "duramen/result.h"

namespace duramen {

/// Refuses a WAL directory that is not absolute, or that, of any of the shards, is another of the
/// directories of the system or lies in one. Errors: kConfiguration.
Status CheckDirectories(const LogStoreOptions& options);

/// With the paths that the operating system makes of them: absolute, and without symbolic links.
LogStoreOptions WithRealPaths(LogStoreOptions options);

}  // namespace duramen
