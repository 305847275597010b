// Entries of one log on their way into its segments: in order, in handfuls, with a record of what
// did not come. Of one log in one round of the flusher, on its thread.
#pragma once

#include <vector>

#include "segments/writer.h"

namespace duramen::log {

struct FeedSetup {
  segments::SegmentWriter& writer;
  ClusterId cluster_id = 0;
  std::uint64_t epoch = 0;
  Index segments_end = 1;  // what segments hold at and above it is cut by the first entry
  Term term_before = 0;    // of the entry before the first
  bool fill = false;       // what does not come becomes no-ops
};

class SegmentFeed {
 public:
  explicit SegmentFeed(const FeedSetup& setup);
  /// The next entry that is expected; what lies before it is not missed.
  void StartAt(Index index) { next_ = index; }
  /// Errors of this and the others: those of SegmentWriter::Append. The payload is borrowed until
  /// the next Flush.
  Status Put(const segments::RecordSource& record);
  /// Entries below `end` that did not come are missing.
  Status Reach(Index end);
  Status Flush();
  /// Behind the last entry in segments, those that were here before among them.
  Index segments_end() const { return segments_end_; }
  /// What did not come, filled or not; ascending.
  const std::vector<IndexRange>& missing() const { return missing_; }
  std::uint64_t entries() const { return entries_; }

 private:
  segments::SegmentWriter& writer_;
  const ClusterId cluster_id_;
  const std::uint64_t epoch_;
  const bool fill_;
  Index segments_end_;
  Index next_;
  Term term_;  // of the entry before next_
  std::uint64_t entries_ = 0;
  std::vector<segments::RecordSource> records_;
  std::vector<IndexRange> missing_;
};

}  // namespace duramen::log
