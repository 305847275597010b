#include "base/read_around.h"

#include <algorithm>
#include <cstring>

namespace duramen {
namespace {

constexpr std::uint64_t kReadBlockBytes = 4096;

}  // namespace

Result<AroundRead> ReadAround(const File& file, std::uint64_t offset, std::span<std::byte> bytes) {
  const Result<std::size_t> whole = file.Read(offset, bytes);
  if (whole.ok()) return AroundRead{.bytes = *whole};
  if (whole.error().code != ErrorCode::kIo) return whole.error();
  AroundRead read;
  while (read.bytes < bytes.size()) {
    const std::uint64_t at = offset + read.bytes;
    const auto block = bytes.subspan(
        read.bytes,
        std::min<std::uint64_t>(kReadBlockBytes - at % kReadBlockBytes, bytes.size() - read.bytes));
    const Result<std::size_t> got = file.Read(at, block);
    if (!got.ok() && got.error().code != ErrorCode::kIo) return got.error();
    if (!got.ok()) {
      std::memset(block.data(), 0, block.size());
      read.unreadable_bytes += block.size();
    }
    read.bytes += got.ok() ? *got : block.size();
    if (got.ok() && *got < block.size()) break;  // The end of the file.
  }
  return read;
}

}  // namespace duramen
