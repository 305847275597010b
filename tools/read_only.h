// Files as the offline verbs see them: opened to be read, without a lock, without following a
// symlink, without waiting for a fifo. Nothing on disk changes through them.
//
// Holes are answered with zeros and never read, and what lies behind the last byte of a file that
// has space is not looked at: a terabyte of holes costs nothing.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/io.h"

namespace duramen::tools {

class ReadProgress;

class ReadOnlyFile final : public File {
 public:
  /// Each read is told to `progress`, which outlives the file, and fails once that is stopped, with
  /// kRefused: nobody reads around that. May be null. Errors: kNotFound, kPermission, kIo,
  /// kInvalidArgument (no regular file).
  static Result<std::unique_ptr<ReadOnlyFile>> Open(const std::string& path,
                                                    ReadProgress* progress = nullptr);
  /// Takes `fd` over; Open is the way to make one.
  ReadOnlyFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  ~ReadOnlyFile() override;
  ReadOnlyFile(const ReadOnlyFile&) = delete;
  ReadOnlyFile& operator=(const ReadOnlyFile&) = delete;
  const std::string& path() const { return path_; }

  Result<std::size_t> Read(std::uint64_t offset, std::span<std::byte> bytes) const override;
  Result<std::uint64_t> NextData(std::uint64_t offset) const override;
  Status Write(std::uint64_t offset, Bytes bytes) override;
  Status SyncData() override;
  Status SyncAll() override;
  Status Allocate(std::uint64_t size_bytes) override;
  Status Truncate(std::uint64_t size_bytes) override;
  /// As content_end(): nobody looks for anything in a hole at the end.
  Result<std::uint64_t> SizeBytes() const override { return content_end_; }
  /// With the hole at the end.
  std::uint64_t size() const { return size_bytes_; }
  /// Behind the last byte that is not in a hole.
  std::uint64_t content_end() const { return content_end_; }
  /// On disk; holes are none.
  std::uint64_t allocated_bytes() const { return allocated_bytes_; }
  /// By another open file, for writing.
  bool IsLocked() const;
  /// Tells files apart whatever their names.
  std::uint64_t inode() const { return inode_; }

 private:
  Status Measure();
  int fd_;
  std::string path_;
  ReadProgress* progress_ = nullptr;
  std::uint64_t size_bytes_ = 0;
  std::uint64_t content_end_ = 0;
  std::uint64_t allocated_bytes_ = 0;
  std::uint64_t inode_ = 0;
};

/// What `path` itself takes of the disk; 0: nothing is there.
std::uint64_t AllocatedBytes(const std::string& path);

/// Does a process have the store at `data_dir` open? Asks for its lock without taking it.
bool IsHeld(const std::string& data_dir);
/// Errors: kInUse, with who holds it where that is known.
Status CheckNotHeld(const std::string& data_dir);

}  // namespace duramen::tools
