// base/io.h on POSIX. Every call is relative to the descriptor of a directory that was opened once,
// so that a directory renamed or replaced behind our back cannot redirect it.
//
// Owned by whoever opens the store; any thread. Stays true: descriptors are closed on exec, files
// are made 0600 and directories 0700, and nothing inside a Directory is reached through a symlink
// (the path given to Open may have symlinks in it: that is the operator's choice).
#pragma once

#include <string>
#include <string_view>

#include "base/io.h"

namespace duramen {

class PosixFileSystem final : public FileSystem {
 public:
  Result<std::unique_ptr<Directory>> Open(const std::string& path) override;
  Status CreateDirectories(const std::string& path) override;
  std::unique_ptr<WriteQueue> MakeWriteQueue(const WriteQueueOptions& options) override;
};

/// The Error of a system call that failed with `error_number`: "cannot <action> <path>: <why>",
/// with a hint where there is something to do. `action` is a verb: "create".
Error PosixError(std::string_view action, std::string_view path, int error_number);
/// Of a read from an open file. Where the system is short of something, or the file server gone, it
/// is kOverloaded: nothing was learnt about the bytes, so they must not be taken for damaged.
Error ReadError(std::string_view path, int error_number);

}  // namespace duramen
