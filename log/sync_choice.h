// wal_sync_method `auto`: datasync or dsync, measured once on the device of a wal_dir and kept in
// METHOD beside its IDENTITY, so that a store does not change its ways from start to start.
#pragma once

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "log/system_file.h"

namespace duramen::log {

struct MethodPlace {
  Directory& wal_dir;
  Clock& clock;
  SystemUuid system;
};

/// What METHOD says. Where it is not there, or cannot be read, or is another system's: measures for
/// a fraction of a second and writes it. Errors: of the file system, and kDiskFull.
Result<MethodFile> ChooseMethod(const MethodPlace& place, const Log& log);

}  // namespace duramen::log
