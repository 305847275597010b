// Hostile file headers: the first byte chooses the copy, the rest is the block.
#include <algorithm>
#include <array>

#include "base/check.h"
#include "wal/format.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size) {
  using namespace duramen;
  if (size == 0) return 0;
  const std::uint64_t copy = input[0] & 1;
  const Bytes block = std::as_bytes(std::span(input, size)).subspan(1);
  const Result<wal::FileHeader> header = wal::DecodeFileHeader(block, copy);
  if (!header.ok()) return 0;
  // What decodes encodes again and decodes to the same.
  std::array<std::byte, wal::kBlockBytes> again;
  wal::EncodeFileHeader(*header, copy, again);
  const Result<wal::FileHeader> second = wal::DecodeFileHeader(again, copy);
  CHECK(second.ok());
  CHECK(second->first_batch == header->first_batch && second->life == header->life);
  return 0;
}
