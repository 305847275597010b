#include "base/checksum.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <bit>
#include <cstring>

namespace duramen {
namespace {

/// A bijection on 64 bits in which every input bit moves about half of the output (Stafford's
/// thirteenth mixer, the finaliser of splitmix64).
constexpr std::uint64_t Mix(std::uint64_t word) {
  word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9ULL;
  word = (word ^ (word >> 27)) * 0x94D049BB133111EBULL;
  return word ^ (word >> 31);
}

}  // namespace

std::uint64_t Checksum(Bytes bytes, std::uint64_t seed) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

std::uint64_t ChecksumAround(Bytes container, std::size_t checksum_at, std::uint64_t seed) {
  return Checksum(container.subspan(checksum_at + sizeof seed),
                  Checksum(container.first(checksum_at), seed));
}

// Format, never to change: XXH3-64 of the payload under the seed
//   Mix(cluster_id + A) + rotl(Mix(term + B), 16) + rotl(Mix(index + C), 32)
//                       + rotl(Mix((length << 8 | kind) + D), 48)
// Mix is a bijection, so a change in one field always changes the seed. Each field is mixed before
// it meets another: in a sum of products the top bits of two fields would cancel. The four do not
// wait for each other.
std::uint64_t EntryChecksum(const EntryIdentity& identity, Bytes payload) {
  const std::uint64_t shape = static_cast<std::uint64_t>(payload.size()) << 8 | identity.kind;
  const std::uint64_t seed = Mix(identity.cluster_id + 0x9E3779B97F4A7C15ULL) +
                             std::rotl(Mix(identity.term + 0xC2B2AE3D27D4EB4FULL), 16) +
                             std::rotl(Mix(identity.index + 0x165667B19E3779F9ULL), 32) +
                             std::rotl(Mix(shape + 0x27D4EB2F165667C5ULL), 48);
  return Checksum(payload, seed);
}

std::uint64_t FileSeed(const SystemUuid& system, FileKind kind, std::uint64_t life) {
  std::uint64_t halves[2];
  std::memcpy(halves, system.bytes.data(), sizeof halves);
  std::uint64_t seed = Mix(halves[0]);
  seed = Mix(seed + halves[1]);
  seed = Mix(seed + static_cast<std::uint64_t>(kind));
  return Mix(seed + life);
}

}  // namespace duramen
