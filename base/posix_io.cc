#include "base/posix_io.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <optional>
#include <system_error>
#include <utility>

#include "base/check.h"
#include "base/descriptor.h"
#include "base/try.h"
#include "base/write_queue.h"

namespace duramen {
namespace {

constexpr mode_t kFileMode = 0600;
constexpr mode_t kDirectoryMode = 0700;
constexpr std::size_t kZeroBytes = 256 << 10;  // one write of the fallback for fallocate

/// Repeats a call that a signal interrupted. Not for syncs: what an interrupted one had to report
/// may be gone when it is asked again, so there the interruption itself is the failure.
template <typename Call>
auto Retry(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

std::string Quoted(std::string_view path) { return "'" + std::string(path) + "'"; }

Status CheckName(std::string_view name, const std::string& directory) {
  const bool plain = !name.empty() && name != "." && name != ".." &&
                     name.find('/') == std::string_view::npos &&
                     name.find('\0') == std::string_view::npos;
  if (plain) return {};
  return Error{.code = ErrorCode::kInvalidArgument,
               .message = Quoted(name) + " is not the name of a file in " + Quoted(directory),
               .hint = ""};
}

class PosixFile final : public File {
 public:
  PosixFile(Descriptor fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  Result<std::size_t> Read(std::uint64_t offset, std::span<std::byte> bytes) const override {
    std::size_t done = 0;
    while (done < bytes.size()) {
      const ssize_t got = Retry([&] {
        return ::pread(fd_.get(), bytes.data() + done, bytes.size() - done,
                       static_cast<off_t>(offset + done));
      });
      if (got < 0) return ReadError(path_, errno);
      if (got == 0) break;
      done += static_cast<std::size_t>(got);
    }
    return done;
  }

  Status Write(std::uint64_t offset, Bytes bytes) override {
    std::size_t done = 0;
    while (done < bytes.size()) {
      const ssize_t put = Retry([&] {
        return ::pwrite(fd_.get(), bytes.data() + done, bytes.size() - done,
                        static_cast<off_t>(offset + done));
      });
      if (put < 0) return PosixError("write", path_, errno);
      if (put == 0) return PosixError("write", path_, EIO);  // No progress, no reason: give up.
      done += static_cast<std::size_t>(put);
    }
    return {};
  }

  Status WriteDurable(std::uint64_t offset, Bytes bytes) override {
    std::size_t done = 0;
    while (done < bytes.size()) {
      const Bytes rest = bytes.subspan(done);
      // The kernel only reads.
      const iovec piece{const_cast<std::byte*>(rest.data()), rest.size()};
      const ssize_t put = Retry([&] {
        return ::pwritev2(fd_.get(), &piece, 1, static_cast<off_t>(offset + done), RWF_DSYNC);
      });
      if (put < 0) return PosixError("write", path_, errno);
      if (put == 0) return PosixError("write", path_, EIO);
      done += static_cast<std::size_t>(put);
    }
    return {};
  }

  int descriptor() const override { return fd_.get(); }

  void BeginWriteBack() override {
    (void)::sync_file_range(fd_.get(), 0, 0, SYNC_FILE_RANGE_WRITE);  // The sync has its errors.
  }

  Status SyncData() override {
    if (::fdatasync(fd_.get()) != 0) return PosixError("sync", path_, errno);
    return {};
  }

  Status SyncAll() override {
    if (::fsync(fd_.get()) != 0) return PosixError("sync", path_, errno);
    return {};
  }

  Status Allocate(std::uint64_t size_bytes) override {
    const std::uint64_t before_bytes = TRY(SizeBytes());
    if (before_bytes > size_bytes) TRY(Truncate(size_bytes));
    if (size_bytes == 0) return {};
    if (Retry([&] { return ::fallocate(fd_.get(), 0, 0, static_cast<off_t>(size_bytes)); }) == 0) {
      return {};
    }
    if (errno != EOPNOTSUPP && errno != ENOSYS) return PosixError("allocate", path_, errno);
    return WriteZeros(before_bytes, size_bytes);
  }

  Status Truncate(std::uint64_t size_bytes) override {
    if (Retry([&] { return ::ftruncate(fd_.get(), static_cast<off_t>(size_bytes)); }) != 0) {
      return PosixError("truncate", path_, errno);
    }
    return {};
  }

  Result<std::uint64_t> SizeBytes() const override {
    struct stat status = {};
    if (::fstat(fd_.get(), &status) != 0) return PosixError("inspect", path_, errno);
    return static_cast<std::uint64_t>(status.st_size);
  }

  Result<std::uint64_t> NextData(std::uint64_t offset) const override {
    const off_t at = ::lseek(fd_.get(), static_cast<off_t>(offset), SEEK_DATA);
    if (at >= 0) return static_cast<std::uint64_t>(at);
    return errno == ENXIO ? UINT64_MAX : offset;  // Else the file system cannot tell.
  }

 private:
  Status WriteZeros(std::uint64_t from, std::uint64_t to) {
    const std::vector<std::byte> zeros(
        std::min<std::uint64_t>(kZeroBytes, to > from ? to - from : 0));
    for (std::uint64_t at = from; at < to; at += zeros.size()) {
      TRY(Write(at, Bytes(zeros).first(std::min<std::uint64_t>(zeros.size(), to - at))));
    }
    return {};
  }

  Descriptor fd_;
  std::string path_;
};

/// The lock is the open file description; closing it lets go.
class PosixFileLock final : public FileLock {
 public:
  explicit PosixFileLock(Descriptor fd) : fd_(std::move(fd)) {}
  int descriptor() const override { return fd_.get(); }

 private:
  Descriptor fd_;
};

/// Who wrote its number into the lock file: " by process 4711", or nothing. The bytes are not ours
/// to trust: digits only, and few of them.
std::string HolderOf(int fd) {
  char text[12] = {};
  const ssize_t got = Retry([&] { return ::pread(fd, text, sizeof text - 1, 0); });
  std::string digits;
  for (ssize_t at = 0; at < got && text[at] >= '0' && text[at] <= '9'; ++at) digits += text[at];
  return digits.empty() ? "" : " by process " + digits;
}

/// ext4, xfs and btrfs on Linux 5.8 or later, where syncfs answers with the errors of every inode.
bool ReportsSyncErrors(int fd) {
  struct statfs file_system = {};
  if (::fstatfs(fd, &file_system) != 0) return false;
  const auto type = static_cast<std::uint32_t>(file_system.f_type);
  if (type != EXT4_SUPER_MAGIC && type != XFS_SUPER_MAGIC && type != BTRFS_SUPER_MAGIC) {
    return false;
  }
  struct utsname kernel = {};
  int major = 0;
  int minor = 0;
  if (::uname(&kernel) != 0) return false;
  if (std::sscanf(kernel.release, "%d.%d", &major, &minor) != 2) return false;
  return major > 5 || (major == 5 && minor >= 8);
}

class PosixDirectory final : public Directory {
 public:
  PosixDirectory(Descriptor fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  const std::string& path() const override { return path_; }

  Result<std::unique_ptr<File>> Create(std::string_view name) override {
    Descriptor fd = TRY(OpenAt("create", name, O_RDWR | O_CREAT | O_EXCL));
    return std::unique_ptr<File>(new PosixFile(std::move(fd), PathOf(name)));
  }

  Result<std::unique_ptr<File>> Open(std::string_view name, OpenFor mode) const override {
    if (mode == OpenFor::kDirect) return OpenDirect(name);
    Descriptor fd = TRY(OpenRegular(name, mode == OpenFor::kRead ? O_RDONLY : O_RDWR));
    return std::unique_ptr<File>(new PosixFile(std::move(fd), PathOf(name)));
  }

  Status Rename(std::string_view from, std::string_view to) override {
    TRY(CheckName(from, path_));
    TRY(CheckName(to, path_));
    if (::renameat(fd_.get(), std::string(from).c_str(), fd_.get(), std::string(to).c_str()) != 0) {
      return PosixError("rename", PathOf(from) + "' to '" + std::string(to), errno);
    }
    return {};
  }

  Status Remove(std::string_view name) override { return Unlink(name, 0); }
  Status RemoveDirectory(std::string_view name) override { return Unlink(name, AT_REMOVEDIR); }

  Result<std::vector<DirectoryEntry>> List() const override;

  Status Sync() override {
    if (::fsync(fd_.get()) != 0) return PosixError("sync", path_, errno);
    return {};
  }

  Status SyncFileSystem() override {
    if (!ReportsSyncErrors(fd_.get())) {
      return Error{ErrorCode::kUnsupported,
                   "'" + path_ + "' is on a file system that is not known to report every error",
                   ""};
    }
    if (::syncfs(fd_.get()) != 0) return PosixError("sync the file system of", path_, errno);
    return {};
  }

  std::uint64_t FreeBytes() const override {
    struct statfs status = {};
    if (::fstatfs(fd_.get(), &status) != 0) return UINT64_MAX;
    if (status.f_blocks == 0)
      return UINT64_MAX;  // It has no size: ramfs, or a FUSE that says none.
    return static_cast<std::uint64_t>(status.f_bavail) *
           static_cast<std::uint64_t>(status.f_frsize > 0 ? status.f_frsize : status.f_bsize);
  }

  FileSystemKind Kind() const override {
    struct statfs status = {};
    if (::fstatfs(fd_.get(), &status) != 0) return {};
    return FileSystemOf(static_cast<std::uint64_t>(status.f_type));
  }

  std::uint64_t device() const override {
    struct stat status = {};
    return ::fstat(fd_.get(), &status) == 0 ? status.st_dev : 0;
  }

  Status CreateDirectory(std::string_view name) override {
    TRY(CheckName(name, path_));
    if (::mkdirat(fd_.get(), std::string(name).c_str(), kDirectoryMode) != 0) {
      return PosixError("create", PathOf(name), errno);
    }
    return {};
  }

  Result<std::unique_ptr<Directory>> OpenDirectory(std::string_view name) const override {
    Descriptor fd = TRY(OpenAt("open", name, O_RDONLY | O_DIRECTORY));
    return std::unique_ptr<Directory>(new PosixDirectory(std::move(fd), PathOf(name)));
  }

  Result<std::unique_ptr<FileLock>> Lock(std::string_view name) override;

 private:
  std::string PathOf(std::string_view name) const {
    return path_ + (path_.ends_with('/') ? "" : "/") + std::string(name);
  }

  /// O_NONBLOCK: a fifo under our name must not hang us; regular files do not know the flag.
  Result<Descriptor> OpenAt(std::string_view action, std::string_view name, int flags) const {
    TRY(CheckName(name, path_));
    const int fd = Retry([&] {
      return ::openat(fd_.get(), std::string(name).c_str(),
                      flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, kFileMode);
    });
    if (fd < 0) return PosixError(action, PathOf(name), errno);
    return Descriptor(fd);
  }

  Result<Descriptor> OpenRegular(std::string_view name, int flags) const {
    Descriptor fd = TRY(OpenAt("open", name, flags));
    struct stat status = {};
    if (::fstat(fd.get(), &status) != 0) return PosixError("inspect", PathOf(name), errno);
    if (S_ISREG(status.st_mode)) return fd;
    return PosixError("open", PathOf(name), S_ISDIR(status.st_mode) ? EISDIR : ENXIO);
  }

  /// EINVAL says that the file system has no direct I/O.
  Result<std::unique_ptr<File>> OpenDirect(std::string_view name) const {
    TRY(OpenRegular(name, O_RDWR));  // What else may be wrong with it is said as ever.
    TRY(CheckName(name, path_));
    const int fd = Retry([&] {
      return ::openat(fd_.get(), std::string(name).c_str(),
                      O_RDWR | O_DIRECT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    });
    if (fd < 0 && errno == EINVAL) {
      return Error{ErrorCode::kUnsupported,
                   "the file system of " + Quoted(path_) + " has no direct I/O (O_DIRECT)", ""};
    }
    if (fd < 0) return PosixError("open", PathOf(name), errno);
    return std::unique_ptr<File>(new PosixFile(Descriptor(fd), PathOf(name)));
  }

  Status Unlink(std::string_view name, int flags) {
    TRY(CheckName(name, path_));
    if (::unlinkat(fd_.get(), std::string(name).c_str(), flags) != 0) {
      return PosixError("remove", PathOf(name), errno);
    }
    return {};
  }

  Descriptor fd_;
  std::string path_;
};

Result<std::vector<DirectoryEntry>> PosixDirectory::List() const {
  // A descriptor of its own: reading moves a cursor, and List may run in two threads.
  const int fd = ::openat(fd_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return PosixError("list", path_, errno);
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(fd), ::closedir);
  if (stream == nullptr) {
    const int error_number = errno;
    ::close(fd);
    return PosixError("list", path_, error_number);
  }
  std::vector<DirectoryEntry> entries;
  while (true) {
    errno = 0;
    const dirent* found = ::readdir(stream.get());
    if (found == nullptr) break;
    const std::string_view name = found->d_name;
    if (name == "." || name == "..") continue;
    struct stat status = {};
    if (::fstatat(fd, found->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT) continue;  // Removed since.
      return PosixError("inspect", PathOf(name), errno);
    }
    const bool is_regular = S_ISREG(status.st_mode);
    entries.push_back({.name = std::string(name),
                       .size_bytes = is_regular ? static_cast<std::uint64_t>(status.st_size) : 0,
                       .is_directory = S_ISDIR(status.st_mode),
                       .is_regular = is_regular});
  }
  if (errno != 0) return PosixError("list", path_, errno);
  std::sort(entries.begin(), entries.end(),
            [](const DirectoryEntry& a, const DirectoryEntry& b) { return a.name < b.name; });
  return entries;
}

Result<std::unique_ptr<FileLock>> PosixDirectory::Lock(std::string_view name) {
  Descriptor fd = TRY(OpenRegular(name, O_RDWR | O_CREAT));
  struct flock lock = {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;  // From 0 for length 0: all of it.
  // A lock of the open file description, not of the process: two stores in one process conflict
  // too, and closing another descriptor of the file does not drop it.
  if (::fcntl(fd.get(), F_OFD_SETLK, &lock) != 0) {
    if (errno != EAGAIN && errno != EACCES) return PosixError("lock", PathOf(name), errno);
    return Error{.code = ErrorCode::kInUse,
                 .message = Quoted(path_) + " is in use" + HolderOf(fd.get()) + " (it holds " +
                            Quoted(PathOf(name)) + ")",
                 .hint = "stop it, or use another directory"};
  }
  // Only for the message above, so a full disk is no reason to fail.
  const std::string pid = std::to_string(::getpid()) + "\n";
  if (::pwrite(fd.get(), pid.data(), pid.size(), 0) == static_cast<ssize_t>(pid.size())) {
    [[maybe_unused]] const int cut = ::ftruncate(fd.get(), static_cast<off_t>(pid.size()));
  }
  return std::unique_ptr<FileLock>(new PosixFileLock(std::move(fd)));
}

/// Makes the entry of a child in `parent` durable. A child that stood there already may be the work
/// of an earlier start of ours, killed before it could sync, so ours are synced again; what belongs
/// to others is durable or not, and we may not even be allowed to open its parent.
Status SyncParent(int parent, int child, bool created, const std::string& path) {
  if (!created) {
    struct stat status = {};
    if (::fstat(child, &status) != 0) return PosixError("inspect", path, errno);
    if (status.st_uid != ::geteuid()) return {};
  }
  const Descriptor readable(::openat(parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (readable.get() < 0) {
    if (!created && errno == EACCES) return {};
    return PosixError("sync the parent of", path, errno);
  }
  if (::fsync(readable.get()) != 0) {
    // EINVAL, EROFS: a file system without syncs of directories; it holds nothing that we made.
    if (!created && (errno == EINVAL || errno == EROFS)) return {};
    return PosixError("sync the parent of", path, errno);
  }
  return {};
}

std::string HintOf(int error_number) {
  switch (error_number) {
    case ENOSPC:
      return "free space on that file system";
    case EDQUOT:
      return "free space, or raise the quota";
    case EACCES:
    case EPERM:
      return "run as the owner of that path, or choose another directory";
    case EROFS:
      return "the file system is mounted read-only";
    case EMFILE:
    case ENFILE:
      return "raise the limit on open files (ulimit -n)";
    case ENOTEMPTY:
      return "something that is not Duramen's stands in it";
    case EIO:
      return "look for errors of the device in the kernel's log";
    default:
      return "";
  }
}

/// In words of this library where the system's words would mislead.
std::optional<std::string> ReasonOf(int error_number) {
  switch (error_number) {
    case ENOTDIR:
      return "it is a file or a symbolic link, a directory is needed";
    case EISDIR:
      return "it is a directory, a file is needed";
    case ELOOP:
      return "it is a symbolic link, and those are not followed";
    case ENXIO:
      return "it is not a regular file";
    default:
      return std::nullopt;
  }
}

ErrorCode CodeOf(int error_number) {
  switch (error_number) {
    case ENOSPC:
    case EDQUOT:
      return ErrorCode::kDiskFull;
    case EACCES:
    case EPERM:
    case EROFS:
      return ErrorCode::kPermission;
    case ENOENT:
      return ErrorCode::kNotFound;
    case EEXIST:
      return ErrorCode::kAlreadyExists;
    case ENOTDIR:
    case EISDIR:
    case ELOOP:
    case ENXIO:
    case ENAMETOOLONG:
      return ErrorCode::kInvalidArgument;
    default:
      return ErrorCode::kIo;
  }
}

}  // namespace

Error PosixError(std::string_view action, std::string_view path, int error_number) {
  std::string why = ReasonOf(error_number).value_or(std::generic_category().message(error_number));
  return {.code = CodeOf(error_number),
          .message = "cannot " + std::string(action) + " " + Quoted(path) + ": " + std::move(why),
          .hint = HintOf(error_number)};
}

Error ReadError(std::string_view path, int error_number) {
  Error error = PosixError("read", path, error_number);
  if (error_number == ENOMEM || error_number == EAGAIN || error_number == ENOBUFS ||
      error_number == ESTALE || error_number == ENODEV) {
    error.code = ErrorCode::kOverloaded;
  }
  return error;
}

Result<std::unique_ptr<Directory>> PosixFileSystem::Open(const std::string& path) {
  const int fd = Retry([&] { return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
  if (fd < 0) return PosixError("open", path, errno);
  return std::unique_ptr<Directory>(new PosixDirectory(Descriptor(fd), path));
}

Status PosixFileSystem::CreateDirectories(const std::string& path) {
  // O_PATH: a parent that may be passed through but not listed is enough.
  constexpr int kPassThrough = O_PATH | O_DIRECTORY | O_CLOEXEC;
  const bool absolute = path.starts_with('/');
  Descriptor parent(::open(absolute ? "/" : ".", kPassThrough));
  if (parent.get() < 0) return PosixError("open", absolute ? "/" : ".", errno);
  if (path.empty()) return PosixError("create", path, ENOENT);
  std::size_t begin = 0;
  while (begin < path.size()) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    const std::string name = path.substr(begin, end - begin);
    const std::string so_far = path.substr(0, end);
    begin = end + 1;
    if (name.empty() || name == ".") continue;
    const bool created = ::mkdirat(parent.get(), name.c_str(), kDirectoryMode) == 0;
    const int create_error = errno;
    Descriptor child(Retry([&] { return ::openat(parent.get(), name.c_str(), kPassThrough); }));
    if (child.get() < 0) {
      // Not there and not makeable: what mkdir said is the reason.
      const bool missing = errno == ENOENT && !created;
      return PosixError(missing ? "create" : "open", so_far, missing ? create_error : errno);
    }
    TRY(SyncParent(parent.get(), child.get(), created, so_far));
    parent = std::move(child);
  }
  return {};
}

std::unique_ptr<WriteQueue> PosixFileSystem::MakeWriteQueue(const WriteQueueOptions& options) {
  if (options.direct && options.io_uring) {
    if (std::unique_ptr<WriteQueue> ring = MakeUringQueue(options)) return ring;
  }
  return MakeThreadQueue(options);
}

}  // namespace duramen
