// Quorum arithmetic, apart from everything else, so that it can be held against other people's
// cases. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "duramen/types.h"

namespace duramen::core {

enum class VoteOutcome : std::uint8_t { kPending, kWon, kLost };

/// How many of `voters` decide: a majority, or `floor` where that is more. Never more than all of
/// them, and never less than a true majority: four members that split two and two elect nobody
/// [EL7, R2].
std::size_t QuorumSize(std::size_t voters, std::size_t floor = 0);

/// The highest value that `quorum` of `values` have reached; one value per voter, 0 where nothing
/// is known. Without voters everything is reached: the largest value there is.
std::uint64_t ReachedByQuorum(std::vector<std::uint64_t> values, std::size_t quorum);

struct VoteCount {
  std::size_t voters = 0;
  std::size_t granted = 0;
  std::size_t refused = 0;
};

/// Won at a quorum of grants; lost once the voters left cannot make one.
VoteOutcome OutcomeOf(const VoteCount& count, std::size_t quorum);

}  // namespace duramen::core
