// A store on the WAL process of another, as LogStore::Open makes it, with the patience of a test.
#pragma once

#include "duramen/log_store.h"
#include "shm/remote.h"

namespace duramen::shm {

/// `remote`: without socket and region, which `options` say. Errors: as LogStore::Open.
Result<LogStore> OpenShared(const LogStoreOptions& options, RemoteOptions remote = {});

}  // namespace duramen::shm
