#include "log/segment_feed.h"

#include <algorithm>

#include "base/checksum.h"
#include "base/try.h"

namespace duramen::log {
namespace {

constexpr std::size_t kRecordsPerAppend = 256;

}  // namespace

SegmentFeed::SegmentFeed(const FeedSetup& setup)
    : writer_(setup.writer),
      cluster_id_(setup.cluster_id),
      epoch_(setup.epoch),
      fill_(setup.fill),
      segments_end_(setup.segments_end),
      next_(setup.segments_end),
      term_(std::max<Term>(setup.term_before, 1)) {}

Status SegmentFeed::Put(const segments::RecordSource& record) {
  TRY(Reach(record.index));
  if (records_.size() >= kRecordsPerAppend) TRY(Flush());
  records_.push_back(record);
  next_ = record.index + 1;
  term_ = record.term;
  return {};
}

Status SegmentFeed::Reach(Index end) {
  if (next_ >= end) return {};
  TRY(Flush());
  missing_.push_back({next_, end});
  for (; fill_ && next_ < end; ++next_) {
    if (records_.size() >= kRecordsPerAppend) TRY(Flush());
    const EntryIdentity identity{cluster_id_, term_, next_, kNoOpKind};
    records_.push_back({.index = next_,
                        .term = term_,
                        .kind = kNoOpKind,
                        .entry_checksum = EntryChecksum(identity, {}),
                        .payload = {}});
  }
  next_ = end;
  return {};
}

Status SegmentFeed::Flush() {
  if (records_.empty()) return {};
  TRY(writer_.Append(std::min(segments_end_, records_.front().index), epoch_, records_));
  segments_end_ = records_.back().index + 1;
  entries_ += records_.size();
  records_.clear();
  return {};
}

}  // namespace duramen::log
