// An undo of a repair over a store that has run since: what the repair replaced comes back, and
// what came since and would stand in its way goes. It is a repair like any other, so all that goes
// is kept.
//
// One thread. Everything passed in outlives the call.
#pragma once

#include <vector>

#include "base/io.h"
#include "log/overlay.h"
#include "log/repair_format.h"

namespace duramen::log {

struct RollbackPlaces {
  FileSystem& file_system;
  const Directory& data_dir;
  const Directory& old;  // of the repair that is undone
  Directory& staging;    // of the one that undoes it
};

/// The changes that make the store what it was before `record`, as far as it is known: WAL files
/// and logs that came since go; entries that were flushed since into files that the repair had left
/// alone are beyond what the old rows count, and a start removes them.
/// Errors: those of base/io.h; kRefused (a file that the repair had left alone is gone: a log was
/// deleted or cut since, say; or something strange stands in a directory that has to go).
Result<std::vector<OverlayChange>> PlanRollback(const RepairRecord& record,
                                                const RollbackPlaces& places);

}  // namespace duramen::log
