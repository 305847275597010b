// The only port to disk. Everything above it is the same code on POSIX and in the simulated file
// system of the tests, so a crash point or a fault needs no `if (simulated)` anywhere.
//
// All calls block and return when the operating system has answered; none retries what failed but
// EINTR and short writes. A File may be used by one writer and several readers at once.
// Errors of every call: kIo, kDiskFull, kPermission, kNotFound, kAlreadyExists (as errno says),
// with the path in the message.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file_system_kind.h"
#include "duramen/result.h"
#include "duramen/types.h"

namespace duramen {

/// One open file. Positions are absolute; there is no cursor. Closed when destroyed.
class File {
 public:
  virtual ~File() = default;
  /// Reads up to bytes.size() at `offset`; returns how many were there (less only at the end).
  /// Errors: kIo where the device cannot give them, and for no other reason: what is read around it
  /// counts as damaged (base/read_around.h).
  virtual Result<std::size_t> Read(std::uint64_t offset, std::span<std::byte> bytes) const = 0;
  /// Writes all of `bytes` at `offset`. On an error any part of them may have been written.
  virtual Status Write(std::uint64_t offset, Bytes bytes) = 0;
  /// The same, and durable when it returns.
  virtual Status WriteDurable(std::uint64_t offset, Bytes bytes) {
    Status status = Write(offset, bytes);
    return status.ok() ? SyncData() : status;
  }
  /// fdatasync: contents, and as much metadata as reading them needs (the size).
  virtual Status SyncData() = 0;
  /// Lets the device begin with what was written, so that the sync has less to wait for. Promises
  /// nothing.
  virtual void BeginWriteBack() {}
  /// fsync: contents and all metadata.
  virtual Status SyncAll() = 0;
  /// Makes the file `size_bytes` long with space behind every byte; new bytes read as zeros.
  /// Falls back to writing zeros where the file system has no fallocate. Errors: kDiskFull.
  virtual Status Allocate(std::uint64_t size_bytes) = 0;
  virtual Status Truncate(std::uint64_t size_bytes) = 0;
  virtual Result<std::uint64_t> SizeBytes() const = 0;
  /// From `offset` on, where bytes other than zero may stand first; UINT64_MAX: nowhere. Holes are
  /// skipped where the file system tells them.
  virtual Result<std::uint64_t> NextData(std::uint64_t offset) const { return offset; }
  /// The operating system's descriptor; -1 where there is none.
  virtual int descriptor() const { return -1; }
};

/// Held as long as it lives; the operating system drops it when the process dies.
class FileLock {
 public:
  virtual ~FileLock() = default;
  /// The operating system's descriptor; -1 where there is none.
  virtual int descriptor() const { return -1; }
};

/// kDirect: both, past the page cache; offsets, sizes and addresses in whole kDirectAlign.
enum class OpenFor : std::uint8_t { kRead, kReadWrite, kDirect };
inline constexpr std::size_t kDirectAlign = 4096;

class WriteQueue;  // base/write_queue.h
struct WriteQueueOptions;

struct DirectoryEntry {
  std::string name;
  std::uint64_t size_bytes = 0;  // 0 for what is not a regular file
  bool is_directory = false;
  bool is_regular = false;  // symlinks, sockets and devices are neither
};

/// One directory. Names have no '/' in them. Creating, renaming and removing are durable only
/// after Sync().
class Directory {
 public:
  virtual ~Directory() = default;
  /// The path, for messages.
  virtual const std::string& path() const = 0;
  /// A new, empty file, mode 0600. Errors: kAlreadyExists.
  virtual Result<std::unique_ptr<File>> Create(std::string_view name) = 0;
  /// An existing regular file; never follows a symlink. Errors: kNotFound, kInvalidArgument;
  /// kUnsupported where the file system cannot write past its page cache.
  virtual Result<std::unique_ptr<File>> Open(std::string_view name, OpenFor mode) const = 0;
  /// Replaces `to` if it is there, atomically.
  virtual Status Rename(std::string_view from, std::string_view to) = 0;
  virtual Status Remove(std::string_view name) = 0;
  /// Sorted by name.
  virtual Result<std::vector<DirectoryEntry>> List() const = 0;
  virtual Status Sync() = 0;
  /// syncfs: everything dirty on the file system that holds the directory, names included. A
  /// failure may be a stranger's, or have struck any file of ours: all that was written since the
  /// last success has to be written again, into new files [B8]. Errors: kUnsupported where the
  /// kernel or the file system is not known to report every error.
  virtual Status SyncFileSystem() = 0;
  /// What this process may still write to that file system; UINT64_MAX: not known.
  virtual std::uint64_t FreeBytes() const { return UINT64_MAX; }
  /// What that file system is.
  virtual FileSystemKind Kind() const { return {}; }
  /// Two directories with the same number lie on one file system; 0: not known.
  virtual std::uint64_t device() const { return 0; }
  /// Mode 0700. Errors: kAlreadyExists.
  virtual Status CreateDirectory(std::string_view name) = 0;
  virtual Status RemoveDirectory(std::string_view name) = 0;
  virtual Result<std::unique_ptr<Directory>> OpenDirectory(std::string_view name) const = 0;
  /// Takes the exclusive advisory lock on `name`, creating the file if needed.
  /// Errors: kInUse, with who holds it where that is known.
  virtual Result<std::unique_ptr<FileLock>> Lock(std::string_view name) = 0;
};

class FileSystem {
 public:
  virtual ~FileSystem() = default;
  /// An existing directory. Errors: kNotFound, kPermission, kInvalidArgument (a file).
  virtual Result<std::unique_ptr<Directory>> Open(const std::string& path) = 0;
  /// Makes the directory, its parents too, each synced into its parent, mode 0700; fine if it is
  /// there already.
  virtual Status CreateDirectories(const std::string& path) = 0;
  /// Writes that go on while the caller does other things. By default each is done when it is
  /// submitted.
  virtual std::unique_ptr<WriteQueue> MakeWriteQueue(const WriteQueueOptions& options);
};

}  // namespace duramen
