#include "shm/sealed_memory.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "base/check.h"
#include "base/try.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010  // Linux 5.1
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U  // Linux 6.3; a system may insist on it (vm.memfd_noexec)
#endif

namespace duramen::shm {
namespace {

constexpr int kSizeSeals = F_SEAL_SHRINK | F_SEAL_GROW;
constexpr int kSeals = kSizeSeals | F_SEAL_SEAL;

std::size_t PageBytes() {
  static const auto page_bytes = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return page_bytes;
}

Error CannotMake(const std::string& name, const char* step, int error_number) {
  const bool unsupported = error_number == EINVAL || error_number == ENOSYS;
  return {.code = unsupported ? ErrorCode::kUnsupported : ErrorCode::kIo,
          .message = "cannot make the shared memory '" + name + "': " + step + ": " +
                     std::generic_category().message(error_number),
          .hint = unsupported ? "memory that can be sealed against writing needs Linux 5.1"
                              : "raise the limits on memory and on open files"};
}

Error NotOurs(std::string what, std::string hint) {
  return {.code = ErrorCode::kInvalidArgument,
          .message = "the descriptor that was handed over is not usable: " + std::move(what),
          .hint = std::move(hint)};
}

std::string SealNames(int seals) {
  std::string names;
  const auto add = [&](int seal, const char* name) {
    if ((seals & seal) != 0) names += (names.empty() ? "" : ", ") + std::string(name);
  };
  add(F_SEAL_SHRINK, "F_SEAL_SHRINK");
  add(F_SEAL_GROW, "F_SEAL_GROW");
  add(F_SEAL_SEAL, "F_SEAL_SEAL");
  return names;
}

Status CheckKind(int fd, Access access) {
  const std::string make = "hand over what memfd_create(..., MFD_ALLOW_SEALING) returned";
  // First, as it asks no file system: one of the other side's own (FUSE) could answer never.
  const int seals = ::fcntl(fd, F_GET_SEALS);
  if (seals < 0) return NotOurs("it is no memfd", make);
  struct statfs system = {};
  if (::fstatfs(fd, &system) != 0) {
    return NotOurs(std::generic_category().message(errno), make);
  }
  // Huge pages have seals too, but another page size, and may be missing when they are touched.
  if (system.f_type != TMPFS_MAGIC) return NotOurs("it is no memfd of plain pages", make);
  if ((seals & kSeals) != kSeals) {
    return NotOurs("its memory lacks " + SealNames(kSeals & ~seals),
                   "set the size, then add these seals with fcntl(F_ADD_SEALS)");
  }
  const int mode = ::fcntl(fd, F_GETFL) & O_ACCMODE;
  const bool writable = mode == O_RDWR && (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) == 0;
  if (access == Access::kReadWrite && !writable) {
    return NotOurs("its memory cannot be written",
                   "open it for reading and writing, without a seal against writing");
  }
  if (mode == O_WRONLY) return NotOurs("its memory cannot be read", "open it for reading");
  return {};
}

/// Requires: the size is sealed, so that it cannot change behind this look.
Result<std::size_t> CheckSize(int fd, const Expected& expected) {
  struct stat status = {};
  if (::fstat(fd, &status) != 0) {
    return NotOurs(std::generic_category().message(errno), "");
  }
  const auto size_bytes = static_cast<std::size_t>(status.st_size);
  if (size_bytes < expected.bytes_min || size_bytes > expected.bytes_max || size_bytes == 0) {
    return NotOurs("its memory has " + std::to_string(size_bytes) + " bytes",
                   "between " + std::to_string(expected.bytes_min) + " and " +
                       std::to_string(expected.bytes_max) + " are allowed");
  }
  if (size_bytes % PageBytes() != 0) {
    return NotOurs("its " + std::to_string(size_bytes) + " bytes are not whole pages",
                   "make the size a multiple of " + std::to_string(PageBytes()));
  }
  return size_bytes;
}

}  // namespace

SealedMemory::SealedMemory(Descriptor fd, SharedMemory memory)
    : fd_(std::move(fd)), memory_(std::move(memory)) {}

Result<SealedMemory> SealedMemory::Create(const std::string& name, std::size_t size_bytes,
                                          WrittenBy written_by) {
  CHECK(size_bytes > 0);
  const std::size_t whole = (size_bytes + PageBytes() - 1) / PageBytes() * PageBytes();
  Descriptor fd(::memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL));
  if (!fd.valid() && errno == EINVAL) {  // Before Linux 6.3.
    fd = Descriptor(::memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
  }
  if (!fd.valid()) return CannotMake(name, "memfd_create", errno);
  if (::ftruncate(fd.get(), static_cast<off_t>(whole)) != 0) {
    return CannotMake(name, "set its size", errno == EINVAL ? EFBIG : errno);
  }
  // Mapped before it is sealed: F_SEAL_FUTURE_WRITE spares the maps that are there.
  SharedMemory memory = TRY(SharedMemory::Map(fd.get(), whole));
  const int seals = kSeals | (written_by == WrittenBy::kMaker ? F_SEAL_FUTURE_WRITE : 0);
  if (::fcntl(fd.get(), F_ADD_SEALS, seals) != 0) return CannotMake(name, "seal it", errno);
  return SealedMemory(std::move(fd), std::move(memory));
}

Result<SealedMemory> SealedMemory::Adopt(Descriptor fd, const Expected& expected) {
  TRY(CheckKind(fd.get(), expected.access));
  const std::size_t size_bytes = TRY(CheckSize(fd.get(), expected));
  SharedMemory memory =
      TRY(expected.access == Access::kReadWrite ? SharedMemory::Map(fd.get(), size_bytes)
                                                : SharedMemory::MapReadOnly(fd.get(), size_bytes));
  return SealedMemory(std::move(fd), std::move(memory));
}

}  // namespace duramen::shm
