#include "base/read_around.h"

#include <algorithm>
#include <cstring>

namespace duramen {
namespace {

constexpr std::uint64_t kReadBlockBytes = 4096;

}  // namespace

Result<std::size_t> ReadAround(const File& file, std::uint64_t offset, std::span<std::byte> bytes) {
  Result<std::size_t> whole = file.Read(offset, bytes);
  if (whole.ok()) return whole;
  std::size_t end = 0;
  bool any = false;
  for (std::size_t at = 0; at < bytes.size();) {
    const std::uint64_t to_border = kReadBlockBytes - (offset + at) % kReadBlockBytes;
    const std::size_t size = std::min<std::uint64_t>(to_border, bytes.size() - at);
    const Result<std::size_t> block = file.Read(offset + at, bytes.subspan(at, size));
    if (!block.ok()) std::memset(bytes.data() + at, 0, size);
    any = any || block.ok();
    end = at + (block.ok() ? *block : size);
    if (block.ok() && *block < size) break;
    at += size;
  }
  if (!any) return whole;
  return end;
}

}  // namespace duramen
