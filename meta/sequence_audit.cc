#include "meta/sequence_audit.h"

#include <algorithm>

#include "base/check.h"

namespace duramen::meta {

void SequenceAudit::Note(const ServerUid& uid, std::uint64_t sequence) {
  CHECK(sequence >= 1);
  std::vector<SequenceRange>& ranges = seen_[uid];
  // The first range that contains `sequence`, touches it, or lies above it.
  auto at = std::lower_bound(
      ranges.begin(), ranges.end(), sequence,
      [](const SequenceRange& range, std::uint64_t value) { return range.last < value - 1; });
  if (at == ranges.end() || at->first - 1 > sequence) {
    ranges.insert(at, {sequence, sequence});
    return;
  }
  at->first = std::min(at->first, sequence);
  at->last = std::max(at->last, sequence);
  const auto next = at + 1;
  if (next != ranges.end() && next->first == at->last + 1) {
    at->last = next->last;
    ranges.erase(next);
  }
}

std::vector<SequenceRange> SequenceAudit::MissingRows(const ServerUid& uid) const {
  std::vector<SequenceRange> missing;
  const auto found = seen_.find(uid);
  if (found == seen_.end()) return missing;
  const std::vector<SequenceRange>& ranges = found->second;
  for (std::size_t i = 1; i < ranges.size(); ++i) {
    missing.push_back({ranges[i - 1].last + 1, ranges[i].first - 1});
  }
  return missing;
}

}  // namespace duramen::meta
