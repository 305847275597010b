// zstd, as segments and the WAL use it: whole buffers, no stream, contexts that are kept.
//
// Frames are those of RFC 8878, without a checksum: who stores them has one of its own, over the
// bytes as they are on disk, and verifies it first.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "base/types.h"

struct ZSTD_CCtx_s;

namespace duramen {

/// Level 1: what more gains in size it costs several times over in time (docs/benchmarks.md).
class ZstdCompressor {
 public:
  ZstdCompressor();
  ~ZstdCompressor();
  ZstdCompressor(ZstdCompressor&&) noexcept;
  ZstdCompressor& operator=(ZstdCompressor&&) noexcept;
  /// One frame of all of `in`. Returns its size; 0 where it does not fit into `out`.
  std::size_t Compress(Bytes in, std::span<std::byte> out);
  /// That it holds in memory.
  std::size_t held_bytes() const;

 private:
  std::unique_ptr<ZSTD_CCtx_s, void (*)(ZSTD_CCtx_s*)> context_;
};

/// Whether `in` may be one frame of `bytes`: by its header, by those of its blocks, and by what so
/// many can hold at all. Takes no memory, and no longer than `in` is; so hostile bytes that pass
/// cost at most 32 KiB for each of their own, and ZstdCompressor makes nothing that does not.
bool ZstdHolds(Bytes in, std::uint64_t bytes);

/// Is `in` one frame that fills `out` to the last byte? Hostile bytes are; no memory is taken
/// for what they say. Each thread keeps a context from the first call on, of no store's
/// memory_budget: 96 KiB, however large the frame is, since whole buffers need no window.
bool ZstdDecompress(Bytes in, std::span<std::byte> out);

}  // namespace duramen
