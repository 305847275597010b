#include "segments/blocks.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/planted.h"

namespace duramen::segments {
namespace {

constexpr std::size_t kSizeBytes = 4;

Error Corrupt(const char* what) { return {ErrorCode::kCorruption, what, ""}; }

/// The next block of `packed`, without its size; empty where there is none.
Bytes TakeBlock(Bytes& packed) {
  if (packed.size() <= kSizeBytes) return {};
  const std::size_t size = LoadLe<std::uint32_t>(packed.data());
  if (size > packed.size() - kSizeBytes) return {};
  const Bytes block = packed.subspan(kSizeBytes, size);
  packed = packed.subspan(kSizeBytes + size);
  return block;
}

/// So that a size that lies takes no memory.
bool HasBlocks(Bytes packed, std::uint64_t raw_bytes) {
  for (std::uint64_t at = 0; at < raw_bytes; at += kBlockBytesMax) {
    if (!ZstdHolds(TakeBlock(packed), std::min(raw_bytes - at, kBlockBytesMax))) return false;
  }
  return packed.size() < kAlign;
}

}  // namespace

Bytes BlockPacker::Pack(Bytes records) {
  // Multiples of 8, both: the padding fits too.
  const std::size_t worth = (records.size() - records.size() / 8) / kAlign * kAlign;
  if (out_.size() < worth) out_.resize(worth);
  std::size_t at = 0;
  for (Bytes rest = records; !rest.empty();) {
    const Bytes block = rest.first(std::min<std::size_t>(rest.size(), kBlockBytesMax));
    if (worth - at <= kSizeBytes) return {};
    const std::size_t size =
        zstd_.Compress(block, std::span(out_).first(worth).subspan(at + kSizeBytes));
    if (size == 0) return {};
    StoreLe(out_.data() + at, static_cast<std::uint32_t>(size));
    at += kSizeBytes + size;
    rest = rest.subspan(block.size());
  }
  while (at % kAlign != 0) out_[at++] = std::byte{0};
  return Bytes(out_).first(at);
}

void BlockPacker::Shrink() {
  if (out_.capacity() > kBlockBytesMax) std::vector<std::byte>().swap(out_);
}

Result<std::vector<std::byte>> Unpack(Bytes packed, const RunHeader& run,
                                      const FileContext& context, std::uint64_t offset) {
  if (packed.size() < run.records_bytes) return Corrupt("its block is cut off");
  packed = packed.first(run.records_bytes);
  const std::uint64_t checksum = ContentChecksum(packed, context, RecordsOffset(offset));
  if (checksum != run.records_checksum && !Planted(PlantedBug::kBlockUnchecked)) {
    return Corrupt("its block does not match its checksum");
  }
  if (!HasBlocks(packed, run.raw_bytes)) return Corrupt("its block has no sensible size");
  std::vector<std::byte> records(run.raw_bytes);
  for (std::span<std::byte> rest(records); !rest.empty();) {
    const auto block = rest.first(std::min<std::size_t>(rest.size(), kBlockBytesMax));
    if (!ZstdDecompress(TakeBlock(packed), block)) return Corrupt("its block is not what it says");
    rest = rest.subspan(block.size());
  }
  return records;
}

}  // namespace duramen::segments
