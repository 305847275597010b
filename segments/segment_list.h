// What one server has in segment files, as a value: which file holds which live indexes. Pure.
//
// A SegmentList is immutable and cheap to copy: readers take a copy under a small lock and keep it
// as long as they like. Who flushes, scans or compacts edits a copy with SegmentListEdit and hands
// the result over. Live ranges ascend with the numbers: a run cuts whatever is older at and above
// its cut, the rest of its file included.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/types.h"
#include "segments/format.h"

namespace duramen::segments {

struct SegmentSummary {
  std::uint64_t life = 0;
  std::uint64_t bytes = 0;  // that count: what is behind them in the file does not exist
  IndexRange live;  // after later cuts; empty when all is cut, or only sparse runs are in it
  std::uint64_t epoch = 0;  // newest
  std::uint32_t number = 0;
  std::uint32_t entries = 0;  // records, live or not
  friend bool operator==(const SegmentSummary&, const SegmentSummary&) = default;
};
static_assert(sizeof(SegmentSummary) <= 64);

/// Sparse runs of one file that follow each other, as one.
struct SparseSummary {
  Index first = 0;  // inclusive; not every index between is there
  Index last = 0;   // inclusive, after later cuts
  std::uint32_t number = 0;
  friend bool operator==(const SparseSummary&, const SparseSummary&) = default;
};

/// A run as it was put into a segment.
struct RunSummary {
  std::uint64_t number = 0;
  std::uint64_t life = 0;
  std::uint64_t bytes_end = 0;  // of the file, with this run in it
  RunKind kind = RunKind::kAppend;
  Index cut = 0;
  Index first = 0;
  Index last = 0;
  std::uint64_t epoch = 0;
  std::uint32_t count = 0;
};

/// What a durable row says of a server's segments; the authority over what counts in them [A6, A7].
struct Flushed {
  std::uint64_t segment = 0;  // the last one; 0: nothing was ever flushed
  std::uint64_t bytes = 0;    // of it that count
  Index segment_begin = 0;    // where the last one's live entries begin; 0: not known
  Index end = 0;
  Term last_term = 0;       // of entry end - 1
  std::uint64_t epoch = 0;  // newest of all runs
  friend bool operator==(const Flushed&, const Flushed&) = default;
};

class SegmentList {
 public:
  SegmentList();
  /// Ascending by number; those without a live entry are among them until they are removed.
  std::span<const SegmentSummary> segments() const { return content_->segments; }
  std::span<const SparseSummary> sparse() const { return content_->sparse; }
  bool empty() const { return content_->segments.empty(); }
  /// The last file; null when there is none.
  const SegmentSummary* last() const { return empty() ? nullptr : &content_->segments.back(); }
  /// From the first live entry to the physical end of what is there; may have holes after damage.
  IndexRange Range() const;
  /// The file whose appended entries hold `index`; null when none does.
  const SegmentSummary* Find(Index index) const;
  const SegmentSummary* FindNumber(std::uint64_t number) const;
  /// Files whose sparse runs may hold `index`, newest first.
  std::vector<std::uint32_t> FindSparse(Index index) const;
  /// Files without anything of use to a log that begins at `begin`; sparse runs keep theirs.
  std::vector<std::uint32_t> DeadFiles(Index begin) const;

 private:
  friend class SegmentListEdit;
  struct Content {
    std::vector<SegmentSummary> segments;
    std::vector<SparseSummary> sparse;
  };
  explicit SegmentList(Content content);
  std::shared_ptr<const Content> content_;  // never null
};

class SegmentListEdit {
 public:
  explicit SegmentListEdit(const SegmentList& list) : content_(*list.content_) {}
  /// Runs come in the order of the files and of the bytes in them.
  void Apply(const RunSummary& run);
  /// A file that counts although no run of it is known.
  void AddFile(std::uint64_t number, std::uint64_t life, std::uint64_t bytes);
  /// Nothing at or above `end` exists any more.
  void CutAt(Index end);
  /// Nothing below `begin` that was appended is of use.
  void RaiseBegin(Index begin);
  /// Drops files with higher numbers: what a round that failed has written.
  void TruncateTo(std::uint64_t number);
  void Remove(std::span<const std::uint32_t> numbers);
  /// Where the next entry goes: behind the last that was appended and not cut.
  Index end() const;
  /// The newest file that has a live entry below `cut`, as that cut would leave it.
  std::optional<SegmentSummary> LastBelow(Index cut) const;
  const SegmentSummary* last() const {
    return content_.segments.empty() ? nullptr : &content_.segments.back();
  }
  SegmentList Build() const { return SegmentList(content_); }

 private:
  SegmentList::Content content_;
};

}  // namespace duramen::segments
