// A live upgrade: a new WAL process asks the one that runs for its socket, and waits until that has
// let go of its clients. They wait in the socket's queue and come back to the new one.
#pragma once

#include <string>

#include "base/descriptor.h"
#include "duramen/result.h"
#include "shm/protocol.h"

namespace duramen::shm {

/// The listening socket of the WAL process at `socket_path`, which flushes, drains and ends. Its
/// directory is free soon after this returns. Errors: kNotFound (nobody listens, or no directory),
/// kConfiguration (it has another directory), kPermission (another user's), kIo, kUnknownVersion.
Result<Descriptor> TakeOver(const std::string& socket_path, const std::string& data_dir);

/// Which directory that is. Errors: kNotFound, and others of PosixError.
Result<Takeover> TakeoverOf(const std::string& data_dir);

}  // namespace duramen::shm
