#include "base/rng.h"

#include <sys/random.h>

#include <bit>
#include <cerrno>
#include <cstring>

#include "base/check.h"

namespace duramen {

Rng::Rng(std::uint64_t seed) {
  for (std::uint64_t& word : state_) {  // splitmix64
    seed += 0x9E3779B97F4A7C15ULL;
    std::uint64_t mixed = (seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9ULL;
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBULL;
    word = mixed ^ (mixed >> 31);
  }
}

Rng Rng::FromSystem() {
  Rng rng(0);
  ssize_t got = 0;
  do {
    got = ::getrandom(rng.state_, sizeof rng.state_, 0);
  } while (got < 0 && errno == EINTR);
  // Up to 256 bytes come whole; a kernel without getrandom is older than any that is supported.
  CHECK(got == static_cast<ssize_t>(sizeof rng.state_));
  return rng;
}

std::uint64_t Rng::Next() {
  const std::uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
  const std::uint64_t shifted = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= shifted;
  state_[3] = std::rotl(state_[3], 45);
  return result;
}

std::uint64_t Rng::Below(std::uint64_t bound) {
  CHECK(bound > 0);
  const std::uint64_t biased = (0 - bound) % bound;  // 2^64 mod bound: so many draws are dropped
  std::uint64_t drawn = Next();
  while (drawn < biased) drawn = Next();
  return drawn % bound;
}

Uid128 Rng::NextUid() {
  Uid128 uid;
  do {  // All zeros means "nil".
    const std::uint64_t halves[2] = {Next(), Next()};
    std::memcpy(uid.bytes.data(), halves, sizeof halves);
  } while (uid.is_nil());
  return uid;
}

}  // namespace duramen
