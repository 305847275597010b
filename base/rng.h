// Randomness, as one of the four seams: seeded in tests, from the kernel in production.
#pragma once

#include <cstdint>

#include "base/types.h"

namespace duramen {

/// xoshiro256** (Blackman, Vigna 2018), seeded through splitmix64. Not for cryptography; uids and
/// lives need only be distinct.
class Rng {
 public:
  explicit Rng(std::uint64_t seed);
  /// Seeded by getrandom(2).
  static Rng FromSystem();
  std::uint64_t Next();
  /// Uniform in [0, bound). Requires: bound > 0.
  std::uint64_t Below(std::uint64_t bound);
  bool OneIn(std::uint64_t n) { return Below(n) == 0; }
  Uid128 NextUid();

 private:
  std::uint64_t state_[4];
};

}  // namespace duramen
