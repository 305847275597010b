// Packed runs: the records of a run of entries, compressed in frames of some 64 KiB of them.
//
// A frame stands for its records as a record does for its payload: its header says how many there
// are and where the next frame begins, so that damage to one costs only its own records. What is
// in a frame does not depend on where it stands, so recovery copies it as it is.
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "base/zstd.h"
#include "wal/format.h"

namespace duramen::wal {

/// Shorter runs are not tried: what they would save is less than what trying costs.
inline constexpr std::uint64_t kPackRunBytesMin = 4096;  // docs/benchmarks.md

/// Where the records of a run stand in the file, and whose they are.
struct FramePlace {
  std::uint64_t file_seed = 0;
  std::uint64_t offset = 0;  // of the first record or frame
  const ServerUid& uid;
};

/// One thread's; keeps its memory from one run to the next.
class RunPacker {
 public:
  explicit RunPacker(std::uint64_t bytes_min = kPackRunBytesMin) : bytes_min_(bytes_min) {}
  /// Shorter runs are not to be tried.
  std::uint64_t bytes_min() const { return bytes_min_; }
  /// `records` of one run as AddRecord wrote them. Returns the frames, until the next call; empty,
  /// and `records` as they were, where they would not be smaller by an eighth.
  Bytes Pack(std::span<std::byte> records, const FramePlace& place);
  /// That it holds in memory, or will where a run of that size comes.
  std::uint64_t held_bytes(std::uint64_t run_bytes = 0) const {
    return std::max<std::uint64_t>(out_.capacity(), run_bytes) + zstd_.held_bytes();
  }
  std::uint64_t packed_from_bytes() const { return packed_from_bytes_; }
  std::uint64_t packed_to_bytes() const { return packed_to_bytes_; }

 private:
  bool PackFrames(std::span<std::byte> records, const FramePlace& place, std::size_t worth);

  std::uint64_t bytes_min_;
  ZstdCompressor zstd_;
  std::vector<std::byte> out_;
  std::size_t out_bytes_ = 0;
  std::uint64_t packed_from_bytes_ = 0;  // that were tried, since the beginning
  std::uint64_t packed_to_bytes_ = 0;    // what became of them
};

/// The same frames, which were verified, for another place, to which they were copied.
/// False: they are no whole frames.
bool MoveFrames(std::span<std::byte> frames, const FramePlace& from, const FramePlace& to);

/// The records of a frame, whose header was verified. Errors: kCorruption.
Result<std::vector<std::byte>> UnpackFrame(const FrameHeader& frame, Bytes body,
                                           std::uint64_t body_seed);

}  // namespace duramen::wal
