#include "log/followed.h"

#include <algorithm>
#include <utility>

namespace duramen::log {
namespace {

/// Entries from `end` on are gone.
void CutTerms(std::vector<memtable::TermRun>& terms, Index end) {
  while (terms.size() > 1 && terms.back().first >= end) terms.pop_back();
}

/// The first run says the term before `begin`.
void TrimTerms(std::vector<memtable::TermRun>& terms, Index begin, Term term_before) {
  std::size_t gone = 0;
  while (gone + 1 < terms.size() && terms[gone + 1].first < begin) ++gone;
  terms.erase(terms.begin(), terms.begin() + static_cast<std::ptrdiff_t>(gone));
  if (terms.empty()) terms.push_back({begin - 1, term_before});
}

}  // namespace

void DurableFollower::Follow(std::uint32_t slot, FollowedLog log) {
  const std::lock_guard lock(mutex_);
  logs_[slot] = std::move(log);
}

std::optional<FollowedLog> DurableFollower::Find(std::uint32_t slot) const {
  const std::lock_guard lock(mutex_);
  const auto found = logs_.find(slot);
  if (found == logs_.end()) return std::nullopt;
  return found->second;
}

void DurableFollower::Forget(std::uint32_t slot) {
  const std::lock_guard lock(mutex_);
  logs_.erase(slot);
}

void DurableFollower::OnDurable(std::span<const wal::RunHeader> runs) {
  const std::lock_guard lock(mutex_);
  for (const wal::RunHeader& run : runs) {
    const auto found = logs_.find(run.slot);
    if (found != logs_.end()) Apply(found->second, run);
  }
}

void DurableFollower::Apply(FollowedLog& log, const wal::RunHeader& run) {
  wal::Advance(log.bounds, run);
  std::vector<memtable::TermRun>& terms = log.terms;
  switch (run.kind) {
    case wal::RunKind::kNext:
    case wal::RunKind::kOverwrite:
      CutTerms(terms, run.first);
      if (terms.back().term != run.term) terms.push_back({run.first, run.term});
      break;
    case wal::RunKind::kTruncateSuffix:
      CutTerms(terms, run.first);
      break;
    case wal::RunKind::kReset:
      terms.assign(1, {run.first - 1, run.term});
      break;
    case wal::RunKind::kFloor:
      TrimTerms(terms, run.first, run.term);
      break;
    default:
      break;
  }
}

}  // namespace duramen::log
