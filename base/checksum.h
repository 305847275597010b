// The two layers of XXH3-64 (rule C1). The entry checksum is made once from
// what an entry is and travels with it everywhere; the container checksum is seeded with where
// bytes belong, so that right bytes in the wrong place fail as surely as wrong bytes.
#pragma once

#include <cstdint>

#include "base/types.h"

namespace duramen {

/// XXH3-64 of `bytes` under `seed`.
std::uint64_t Checksum(Bytes bytes, std::uint64_t seed);
/// Of a container that holds its own checksum, 8 bytes at `checksum_at`: what stands before it goes
/// into the seed of what stands behind.
std::uint64_t ChecksumAround(Bytes container, std::size_t checksum_at, std::uint64_t seed);

/// What an entry is; rows use their sequence as index and term 0.
struct EntryIdentity {
  ClusterId cluster_id = 0;
  Term term = 0;
  Index index = 0;
  std::uint8_t kind = 0;
};
std::uint64_t EntryChecksum(const EntryIdentity& identity, Bytes payload);

/// What kind of container bytes stand in; part of every seed.
enum class FileKind : std::uint32_t {
  kSystem = 1,
  kWal = 2,
  kIdentity = 3,
  kAttempt = 4,
  kSegment = 5,
  kCheckpoint = 6,
  kRepair = 7,
  kMethod = 8
};

/// The seed of one life of one file; mix in the place with SeedAt.
std::uint64_t FileSeed(const SystemUuid& system, FileKind kind, std::uint64_t life);

/// The seed of the container at `offset` of that file.
inline std::uint64_t SeedAt(std::uint64_t file_seed, std::uint64_t offset) {
  // An odd multiplier keeps distinct offsets distinct (splitmix64's increment).
  return file_seed ^ (offset * 0x9E3779B97F4A7C15ULL + 0x632BE59BD9B4E019ULL);
}

}  // namespace duramen
