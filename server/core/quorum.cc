#include "server/core/quorum.h"

#include <algorithm>

#include "base/check.h"
#include "base/planted.h"

namespace duramen::core {

std::size_t QuorumSize(std::size_t voters, std::size_t floor) {
  if (Planted(PlantedBug::kQuorumOffByOne)) return std::max<std::size_t>((voters + 1) / 2, 1);
  return std::max(voters / 2 + 1, std::min(floor, voters));
}

std::uint64_t ReachedByQuorum(std::vector<std::uint64_t> values, std::size_t quorum) {
  if (values.empty()) return std::numeric_limits<std::uint64_t>::max();
  CHECK(quorum >= 1 && quorum <= values.size());
  const auto place = values.begin() + static_cast<std::ptrdiff_t>(quorum - 1);
  std::nth_element(values.begin(), place, values.end(), std::greater<>());
  return *place;
}

VoteOutcome OutcomeOf(const VoteCount& count, std::size_t quorum) {
  if (count.voters == 0 || count.granted >= quorum) return VoteOutcome::kWon;
  if (count.voters - count.refused < quorum) return VoteOutcome::kLost;
  return VoteOutcome::kPending;
}

}  // namespace duramen::core
