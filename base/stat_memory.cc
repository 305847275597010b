#include "base/stat_memory.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <utility>

#include "base/descriptor.h"
#include "base/posix_io.h"
#include "base/stat_page.h"
#include "base/try.h"

namespace duramen {
namespace {

constexpr char kShmDirectory[] = "/dev/shm";  // Where Linux keeps what shm_open names.
constexpr std::string_view kPrefix = "duramen-";
constexpr int kSweptMax = 4096;

std::string Hexadecimal(std::uint64_t number) {
  char digits[16];
  return {digits, std::to_chars(digits, digits + sizeof digits, number, 16).ptr};
}

Result<struct stat> Look(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return PosixError("look at", path, errno);
  return status;
}

std::string NameOf(const struct stat& directory) {
  return "/" + std::string(kPrefix) + Hexadecimal(directory.st_dev) + "-" +
         Hexadecimal(directory.st_ino);
}

bool InUse(int fd) {
  struct flock lock = {};
  lock.l_type = F_RDLCK;  // In the way of nothing but a writer's, which the owner's is.
  lock.l_whence = SEEK_SET;
  return ::fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

/// As much of it as there is, at most `size_bytes`.
Result<std::vector<std::byte>> ReadAll(int fd, std::size_t size_bytes, const std::string& name) {
  std::vector<std::byte> bytes(size_bytes);
  std::size_t done = 0;
  while (done < size_bytes) {
    const ssize_t got =
        ::pread(fd, bytes.data() + done, size_bytes - done, static_cast<off_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return PosixError("read", name, errno);
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  bytes.resize(done);
  return bytes;
}

/// Not ftruncate: a hole that finds no memory later would kill the process that counts in it.
Status Fill(int fd, std::size_t size_bytes, const std::string& name) {
  const std::vector<std::byte> zeros(size_bytes);
  std::size_t done = 0;
  while (done < size_bytes) {
    const ssize_t put =
        ::pwrite(fd, zeros.data() + done, size_bytes - done, static_cast<off_t>(done));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return PosixError("fill", name, errno);
    done += static_cast<std::size_t>(put);
  }
  return {};
}

/// A page of ours that nobody counts in any more, of a directory that is not there any more.
bool IsStale(const std::string& name) {
  const Descriptor fd(::shm_open(name.c_str(), O_RDONLY | O_NOFOLLOW, 0));
  struct stat status {};
  if (fd.get() < 0 || ::fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode)) return false;
  if (status.st_uid != ::geteuid() || InUse(fd.get())) return false;
  if (status.st_size <= 0 || status.st_size > static_cast<off_t>(kStatPageBytesMax)) return false;
  const auto bytes = ReadAll(fd.get(), static_cast<std::size_t>(status.st_size), name);
  if (!bytes.ok()) return false;
  const Result<StatReading> page = StatPageRead(*bytes);
  if (!page.ok() || !page->identity.data_dir.starts_with('/')) return false;
  const Result<struct stat> directory = Look(page->identity.data_dir);
  return directory.ok() ? NameOf(*directory) != name
                        : directory.error().code == ErrorCode::kNotFound;
}

void RemoveStale() {
  DIR* directory = ::opendir(kShmDirectory);
  if (directory == nullptr) return;
  int left = kSweptMax;
  for (dirent* entry = ::readdir(directory); entry != nullptr && left > 0;
       entry = ::readdir(directory), --left) {
    const std::string name = "/" + std::string(entry->d_name);
    if (name.starts_with("/" + std::string(kPrefix)) && IsStale(name)) {
      (void)::shm_unlink(name.c_str());
    }
  }
  ::closedir(directory);
}

}  // namespace

StatMemory StatMemory::Private(std::size_t size_bytes) {
  StatMemory memory;
  const std::size_t lines = (size_bytes + sizeof(Line) - 1) / sizeof(Line);
  memory.own_ = std::make_unique<Line[]>(lines);
  memory.bytes_ = {memory.own_[0].bytes, size_bytes};
  return memory;
}

Result<StatMemory> StatMemory::Shared(const std::string& data_dir, std::size_t size_bytes) {
  RemoveStale();
  const std::string name = TRY(StatMemoryName(data_dir));
  (void)::shm_unlink(name.c_str());  // What cannot be removed fails the creation.
  Descriptor fd(::shm_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
  if (fd.get() < 0) return PosixError("create", name, errno);
  StatMemory memory;
  memory.name_ = name;  // From here on it is removed on an error.
  struct flock lock = {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  if (::fcntl(fd.get(), F_OFD_SETLK, &lock) != 0) {
    memory.Withdraw();
    return PosixError("lock", name, errno);
  }
  if (const Status filled = Fill(fd.get(), size_bytes, name); !filled.ok()) {
    memory.Withdraw();
    return filled.error();
  }
  Result<SharedMemory> mapped = SharedMemory::Map(fd.get(), size_bytes);
  if (!mapped.ok()) {
    memory.Withdraw();
    return std::move(mapped).error();
  }
  memory.shared_ = std::make_unique<SharedMemory>(std::move(*mapped));
  memory.bytes_ = memory.shared_->bytes();
  memory.fd_ = fd.Give();
  return memory;
}

StatMemory::StatMemory(StatMemory&& other) noexcept
    : own_(std::move(other.own_)),
      shared_(std::move(other.shared_)),
      name_(std::exchange(other.name_, {})),
      fd_(std::exchange(other.fd_, -1)),
      bytes_(std::exchange(other.bytes_, {})) {}

/// The name stays: what a process leaves behind is there to be read.
StatMemory::~StatMemory() {
  if (fd_ >= 0) ::close(fd_);
}

void StatMemory::Withdraw() {
  if (!name_.empty()) (void)::shm_unlink(name_.c_str());
  name_.clear();
}

Result<std::string> StatMemoryName(const std::string& data_dir) {
  return NameOf(TRY(Look(data_dir)));
}

Result<StatCopy> ReadStatMemory(const std::string& data_dir) {
  const struct stat directory = TRY(Look(data_dir));
  const std::string name = NameOf(directory);
  const Descriptor fd(::shm_open(name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0));
  if (fd.get() < 0) return PosixError("open", name, errno);
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) return PosixError("look at", name, errno);
  // Anybody may put a name there; what it says would be taken for the store's.
  if (!S_ISREG(status.st_mode) || status.st_uid != directory.st_uid) {
    return Error{ErrorCode::kPermission,
                 "the statistics page " + name + " belongs to another user than " + data_dir,
                 "find out who made it, and remove it from " + std::string(kShmDirectory)};
  }
  if (status.st_size > static_cast<off_t>(kStatPageBytesMax)) {
    return Error{ErrorCode::kCorruption, "the statistics page " + name + " is too long",
                 "it is made anew when the store is started again"};
  }
  StatCopy copy;
  copy.in_use = InUse(fd.get());
  copy.bytes = TRY(ReadAll(fd.get(), static_cast<std::size_t>(status.st_size), name));
  return copy;
}

}  // namespace duramen
