#include "tools/read_only.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/posix_io.h"
#include "base/try.h"
#include "tools/progress.h"

namespace duramen::tools {
namespace {

Error ReadOnly(const std::string& path) {
  return {ErrorCode::kUnsupported, path + " is open for reading only", ""};
}

std::uint64_t AllocatedOf(const struct stat& status) {
  constexpr std::uint64_t kStatBlockBytes = 512;  // Whatever the file system's own are.
  return static_cast<std::uint64_t>(status.st_blocks) * kStatBlockBytes;
}

}  // namespace

Result<std::unique_ptr<ReadOnlyFile>> ReadOnlyFile::Open(const std::string& path,
                                                         ReadProgress* progress) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0 && errno == ELOOP) {
    return Error{ErrorCode::kInvalidArgument, path + " is a symbolic link",
                 "name the file that it points to"};
  }
  if (fd < 0) return PosixError("open", path, errno);
  auto file = std::make_unique<ReadOnlyFile>(fd, path);
  file->progress_ = progress;
  TRY(file->Measure());
  return file;
}

ReadOnlyFile::~ReadOnlyFile() { ::close(fd_); }

Status ReadOnlyFile::Measure() {
  struct stat status {};
  if (::fstat(fd_, &status) != 0) return PosixError("look at", path_, errno);
  if (!S_ISREG(status.st_mode)) {
    return Error{ErrorCode::kInvalidArgument, path_ + " is not a regular file",
                 "name a WAL file or a data directory"};
  }
  size_bytes_ = static_cast<std::uint64_t>(status.st_size);
  inode_ = status.st_ino;
  allocated_bytes_ = AllocatedOf(status);
  content_end_ = 0;
  // From hole to hole; as many steps as the file has pieces, so its real size bounds them.
  off_t at = 0;
  while (true) {
    const off_t begin = ::lseek(fd_, at, SEEK_DATA);
    if (begin < 0) break;
    const off_t end = ::lseek(fd_, begin, SEEK_HOLE);
    if (end < 0) break;
    content_end_ = static_cast<std::uint64_t>(end);
    at = end;
  }
  if (errno != ENXIO) content_end_ = size_bytes_;  // This file system cannot tell.
  return {};
}

Result<std::size_t> ReadOnlyFile::Read(std::uint64_t offset, std::span<std::byte> bytes) const {
  if (offset >= size_bytes_) return std::size_t{0};
  const std::size_t wanted = std::min<std::uint64_t>(bytes.size(), size_bytes_ - offset);
  if (progress_ != nullptr && !progress_->OnRead(wanted)) {
    return Error{ErrorCode::kRefused, "the reading of " + path_ + " was interrupted", ""};
  }
  if (TRY(NextData(offset)) >= offset + wanted) {
    std::memset(bytes.data(), 0, wanted);
    return wanted;
  }
  std::size_t done = 0;
  while (done < wanted) {
    const ssize_t read =
        ::pread(fd_, bytes.data() + done, wanted - done, static_cast<off_t>(offset + done));
    if (read < 0 && errno == EINTR) continue;
    if (read < 0) return ReadError(path_, errno);
    if (read == 0) break;
    done += static_cast<std::size_t>(read);
  }
  return done;
}

Result<std::uint64_t> ReadOnlyFile::NextData(std::uint64_t offset) const {
  const off_t content = ::lseek(fd_, static_cast<off_t>(offset), SEEK_DATA);
  if (content >= 0) return static_cast<std::uint64_t>(content);
  return errno == ENXIO ? UINT64_MAX : offset;  // Else this file system cannot tell.
}

std::uint64_t AllocatedBytes(const std::string& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0 ? AllocatedOf(status) : 0;
}

bool IsHeld(const std::string& data_dir) {
  const Result<std::unique_ptr<ReadOnlyFile>> file = ReadOnlyFile::Open(data_dir + "/LOCK");
  return file.ok() && (*file)->IsLocked();
}

Status CheckNotHeld(const std::string& data_dir) {
  const Result<std::unique_ptr<ReadOnlyFile>> file = ReadOnlyFile::Open(data_dir + "/LOCK");
  if (!file.ok() || !(*file)->IsLocked()) return {};
  std::array<std::byte, 11> text{};
  const Result<std::size_t> got = (*file)->Read(0, text);
  std::string digits;  // The bytes are not ours to trust.
  for (std::size_t at = 0; got.ok() && at < *got; ++at) {
    const char letter = static_cast<char>(text[at]);
    if (letter < '0' || letter > '9') break;
    digits += letter;
  }
  return Error{ErrorCode::kInUse,
               data_dir + " is in use" + (digits.empty() ? "" : " by process " + digits),
               "stop it, or use another directory"};
}

bool ReadOnlyFile::IsLocked() const {
  struct flock lock = {};
  lock.l_type = F_RDLCK;  // In the way of nothing but a writer's, which a store's is.
  lock.l_whence = SEEK_SET;
  return ::fcntl(fd_, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

Status ReadOnlyFile::Write(std::uint64_t, Bytes) { return ReadOnly(path_); }
Status ReadOnlyFile::SyncData() { return ReadOnly(path_); }
Status ReadOnlyFile::SyncAll() { return ReadOnly(path_); }
Status ReadOnlyFile::Allocate(std::uint64_t) { return ReadOnly(path_); }
Status ReadOnlyFile::Truncate(std::uint64_t) { return ReadOnly(path_); }

}  // namespace duramen::tools
