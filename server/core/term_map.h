// A log as the core sees it: which index has which term, as runs, and nothing of what the entries
// say. A log of a million entries of three terms is three runs. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/types.h"

namespace duramen::core {

/// `count` entries of one term.
struct TermRun {
  Term term = 0;
  std::uint64_t count = 0;
  friend bool operator==(const TermRun&, const TermRun&) = default;
};

/// Where a log ends, and how two logs compare: by the last term first (Raft §5.4.1).
struct LogEnd {
  Term term = 0;
  Index index = 0;
  friend auto operator<=>(const LogEnd&, const LogEnd&) = default;
};

class TermMap {
 public:
  /// An empty log that begins at `begin`, behind an entry (or a snapshot) of `term_before_begin`.
  explicit TermMap(Index begin = 1, Term term_before_begin = 0)
      : begin_(begin), end_(begin), term_before_begin_(term_before_begin) {}

  Index begin() const { return begin_; }
  Index end() const { return end_; }
  /// The last entry, or what stands before the log's begin.
  LogEnd last() const { return {runs_.empty() ? term_before_begin_ : runs_.back().term, end_ - 1}; }
  /// begin - 1 still answers. Nothing for what lies before that or at the end.
  std::optional<Term> TermAt(Index index) const;
  /// Requires: a term not below that of the last entry.
  void Append(TermRun run);
  /// The log ends at `new_end` from now on. Requires: begin() <= new_end <= end().
  void CutFrom(Index new_end);
  /// The log begins at `new_begin`. Requires: begin() <= new_begin <= end().
  void CutBefore(Index new_begin);
  /// Forgets everything: empty, behind `before`.
  void Reset(LogEnd before) { *this = TermMap(before.index + 1, before.term); }
  /// The runs of [begin, end). Requires: that range to lie within the log.
  std::vector<TermRun> Runs(IndexRange range) const;
  /// The largest index up to `index` whose term is at most `term`; begin() - 1 if there is none. It
  /// is what both sides of a rejected append use to skip a whole term per round trip [RE3].
  Index LastOfTermAtMost(Index index, Term term) const;

 private:
  struct Run {
    Index begin = 0;
    Term term = 0;
  };
  /// Position of the run that holds `index`. Requires: begin() <= index < end().
  std::size_t RunOf(Index index) const;

  Index begin_;
  Index end_;
  Term term_before_begin_;
  std::vector<Run> runs_;  // by begin; terms grow strictly
};

}  // namespace duramen::core
