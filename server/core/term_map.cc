#include "server/core/term_map.h"

#include <algorithm>

#include "base/check.h"

namespace duramen::core {

std::size_t TermMap::RunOf(Index index) const {
  CHECK(index >= begin_ && index < end_);
  const auto after =
      std::upper_bound(runs_.begin(), runs_.end(), index,
                       [](Index value, const Run& run) { return value < run.begin; });
  return static_cast<std::size_t>(after - runs_.begin()) - 1;
}

std::optional<Term> TermMap::TermAt(Index index) const {
  if (index + 1 == begin_) return term_before_begin_;
  if (index < begin_ || index >= end_) return std::nullopt;
  return runs_[RunOf(index)].term;
}

void TermMap::Append(TermRun run) {
  CHECK(run.term >= last().term);
  if (run.count == 0) return;
  if (runs_.empty() || runs_.back().term != run.term) runs_.push_back({end_, run.term});
  end_ += run.count;
}

void TermMap::CutFrom(Index new_end) {
  CHECK(new_end >= begin_ && new_end <= end_);
  while (!runs_.empty() && runs_.back().begin >= new_end) runs_.pop_back();
  end_ = new_end;
}

void TermMap::CutBefore(Index new_begin) {
  CHECK(new_begin >= begin_ && new_begin <= end_);
  if (new_begin == begin_) return;
  term_before_begin_ = *TermAt(new_begin - 1);
  const std::size_t kept = new_begin == end_ ? runs_.size() : RunOf(new_begin);
  runs_.erase(runs_.begin(), runs_.begin() + static_cast<std::ptrdiff_t>(kept));
  if (!runs_.empty()) runs_.front().begin = new_begin;
  begin_ = new_begin;
}

std::vector<TermRun> TermMap::Runs(IndexRange range) const {
  std::vector<TermRun> found;
  if (range.empty()) return found;
  CHECK(range.begin >= begin_ && range.end <= end_);
  for (std::size_t at = RunOf(range.begin); at < runs_.size(); ++at) {
    const Index begin = std::max(runs_[at].begin, range.begin);
    const Index end = std::min(at + 1 < runs_.size() ? runs_[at + 1].begin : end_, range.end);
    if (begin >= end) break;
    found.push_back({runs_[at].term, end - begin});
  }
  return found;
}

Index TermMap::LastOfTermAtMost(Index index, Term term) const {
  if (index < begin_ || end_ == begin_) return begin_ - 1;
  Index at = std::min(index, end_ - 1);
  for (std::size_t run = RunOf(at) + 1; run-- > 0;) {
    if (runs_[run].term <= term) return at;
    at = runs_[run].begin - 1;
  }
  return begin_ - 1;
}

}  // namespace duramen::core
