// The records of a run, compressed: blocks of 256 KiB of them, each with its size in front. A run
// of more than one record is one block, so that what damage costs is a run. segments/FORMAT.md.
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "base/zstd.h"
#include "duramen/result.h"
#include "segments/format.h"

namespace duramen::segments {

/// Less is not tried: it gains a few bytes at the price of a block.
inline constexpr std::uint64_t kPackBytesMin = 256;

/// One thread's; keeps its memory from one run to the next.
class BlockPacker {
 public:
  /// `records` as they go into the file, until the next call; empty: an eighth is not gained, and
  /// they stay as they are.
  Bytes Pack(Bytes records);
  /// That it holds in memory, or will where a run of that size comes.
  std::uint64_t held_bytes(std::uint64_t run_bytes = 0) const {
    return std::max<std::uint64_t>(out_.capacity(), run_bytes) + zstd_.held_bytes();
  }
  /// Goes back to what is usual.
  void Shrink();

 private:
  ZstdCompressor zstd_;
  std::vector<std::byte> out_;
};

/// The records that `packed` is, of a run that stands `offset` into the file; verified against the
/// run's checksum before anything is made of it. Errors: kCorruption.
Result<std::vector<std::byte>> Unpack(Bytes packed, const RunHeader& run,
                                      const FileContext& context, std::uint64_t offset);

}  // namespace duramen::segments
