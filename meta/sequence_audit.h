// Which rows and marks of a server a replay has not seen, though it must have (rule B10). Pure.
//
// Every row and mark of a server has a sequence, counted up by one; in the WAL they stand in that
// order. So the originals in an unbroken chain of WAL files have sequences without a gap, from the
// first one in the oldest file to the last one. Told of every original (and every repeat of one: it
// stands in the batch after), the audit finds the gaps between the lowest and the highest.
//
// What a gap proves: a row or mark of this server was written and is in none of the batches read.
// What no gap proves: nothing about sequences below the lowest (recycled) or above the highest (a
// lost tail looks like rows never written; that is the tail verdict's business).
// Carried copies must not be noted: their originals were recycled, so gaps before them are right.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "base/types.h"

namespace duramen::meta {

/// Inclusive.
struct SequenceRange {
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  friend bool operator==(const SequenceRange&, const SequenceRange&) = default;
};

/// Used by one replay, on its thread.
class SequenceAudit {
 public:
  /// An original or repeat was read. Any order; twice is fine. Requires: sequence >= 1.
  void Note(const ServerUid& uid, std::uint64_t sequence);
  /// The gaps, ascending.
  std::vector<SequenceRange> MissingRows(const ServerUid& uid) const;

 private:
  // Disjoint, not adjacent, ascending: one range as long as nothing is missing.
  std::map<ServerUid, std::vector<SequenceRange>> seen_;
};

}  // namespace duramen::meta
