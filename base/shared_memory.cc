#include "base/shared_memory.h"

#include <sys/stat.h>

#include <boost/interprocess/anonymous_shared_memory.hpp>
#include <boost/interprocess/exceptions.hpp>
#include <boost/interprocess/mapped_region.hpp>
#include <cerrno>
#include <new>
#include <string>
#include <system_error>
#include <utility>

#include "base/check.h"

namespace duramen {
namespace {

namespace interprocess = boost::interprocess;

/// What mapped_region asks of something that can be mapped; a descriptor that stays the caller's.
class BorrowedDescriptor {
 public:
  explicit BorrowedDescriptor(int fd) : fd_(fd) {}
  interprocess::mapping_handle_t get_mapping_handle() const { return {fd_, false}; }

 private:
  int fd_;
};

Error CannotMap(std::size_t size_bytes, int error_number) {
  return {.code = ErrorCode::kIo,
          .message = "cannot map " + std::to_string(size_bytes) +
                     " bytes of shared memory: " + std::generic_category().message(error_number),
          .hint = "lower memory_budget, or raise the limits on memory and address space"};
}

}  // namespace

struct SharedMemory::Impl {
  interprocess::mapped_region region;
};

SharedMemory::SharedMemory(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SharedMemory::SharedMemory() noexcept = default;
SharedMemory::SharedMemory(SharedMemory&&) noexcept = default;
SharedMemory& SharedMemory::operator=(SharedMemory&&) noexcept = default;
SharedMemory::~SharedMemory() = default;

Result<SharedMemory> SharedMemory::Anonymous(std::size_t size_bytes) {
  try {
    return SharedMemory(
        std::make_unique<Impl>(Impl{interprocess::anonymous_shared_memory(size_bytes)}));
  } catch (const interprocess::interprocess_exception& exception) {
    return CannotMap(size_bytes, static_cast<int>(exception.get_native_error()));
  } catch (const std::bad_alloc&) {
    return CannotMap(size_bytes, ENOMEM);
  }
}

Result<SharedMemory> SharedMemory::Map(int fd, std::size_t size_bytes) {
  return MapAs(fd, size_bytes, true);
}

Result<SharedMemory> SharedMemory::MapReadOnly(int fd, std::size_t size_bytes) {
  return MapAs(fd, size_bytes, false);
}

Result<SharedMemory> SharedMemory::MapAs(int fd, std::size_t size_bytes, bool writable) {
  struct stat status = {};
  if (::fstat(fd, &status) != 0) return CannotMap(size_bytes, errno);
  if (size_bytes == 0 || static_cast<std::uint64_t>(status.st_size) < size_bytes) {
    // A page behind the end of the file would kill whoever touches it.
    return CannotMap(size_bytes, EINVAL);
  }
  const interprocess::mode_t mode = writable ? interprocess::read_write : interprocess::read_only;
  try {
    return SharedMemory(std::make_unique<Impl>(
        Impl{interprocess::mapped_region(BorrowedDescriptor(fd), mode, 0, size_bytes)}));
  } catch (const interprocess::interprocess_exception& exception) {
    return CannotMap(size_bytes, static_cast<int>(exception.get_native_error()));
  } catch (const std::bad_alloc&) {
    return CannotMap(size_bytes, ENOMEM);
  }
}

std::span<std::byte> SharedMemory::bytes() const {
  CHECK(impl_ != nullptr);
  return {static_cast<std::byte*>(impl_->region.get_address()), impl_->region.get_size()};
}

}  // namespace duramen
