#include "segments/segment_list.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/planted.h"

namespace duramen::segments {

SegmentList::SegmentList() : content_(std::make_shared<const Content>()) {}
SegmentList::SegmentList(Content content)
    : content_(std::make_shared<const Content>(std::move(content))) {}

IndexRange SegmentList::Range() const {
  IndexRange range;
  for (const SegmentSummary& segment : content_->segments) {
    if (segment.live.empty()) continue;
    if (range.empty()) range.begin = segment.live.begin;
    range.end = segment.live.end;
  }
  return range;
}

const SegmentSummary* SegmentList::Find(Index index) const {
  // Ends never descend, see Apply.
  const auto found = std::ranges::upper_bound(
      content_->segments, index, {}, [](const SegmentSummary& one) { return one.live.end; });
  if (found == content_->segments.end() || !found->live.Contains(index)) return nullptr;
  return &*found;
}

const SegmentSummary* SegmentList::FindNumber(std::uint64_t number) const {
  const auto found =
      std::ranges::lower_bound(content_->segments, number, {}, &SegmentSummary::number);
  if (found == content_->segments.end() || found->number != number) return nullptr;
  return &*found;
}

std::vector<std::uint32_t> SegmentList::FindSparse(Index index) const {
  std::vector<std::uint32_t> numbers;
  for (auto one = content_->sparse.rbegin(); one != content_->sparse.rend(); ++one) {
    if (index < one->first || index > one->last) continue;
    if (numbers.empty() || numbers.back() != one->number) numbers.push_back(one->number);
  }
  return numbers;
}

std::vector<std::uint32_t> SegmentList::DeadFiles(Index begin) const {
  std::vector<std::uint32_t> dead;
  for (const SegmentSummary& segment : content_->segments) {
    const bool in_use = std::ranges::any_of(
        content_->sparse, [&](const SparseSummary& one) { return one.number == segment.number; });
    if (!in_use && (segment.live.empty() || segment.live.end <= begin)) {
      dead.push_back(segment.number);
    }
  }
  return dead;
}

Index SegmentListEdit::end() const {
  return content_.segments.empty() ? 0 : content_.segments.back().live.end;
}

void SegmentListEdit::CutAt(Index end) {
  for (auto one = content_.segments.rbegin(); one != content_.segments.rend(); ++one) {
    if (one->live.end <= end && !one->live.empty()) break;
    // An emptied range stays where the order of the ends keeps it.
    one->live.end = std::min(one->live.end, end);
    one->live.begin = std::min(one->live.begin, one->live.end);
  }
  std::erase_if(content_.sparse, [&](const SparseSummary& one) { return one.first >= end; });
  for (SparseSummary& one : content_.sparse) one.last = std::min(one.last, end - 1);
}

void SegmentListEdit::RaiseBegin(Index begin) {
  for (SegmentSummary& one : content_.segments) {
    if (one.live.begin >= begin) break;
    one.live.begin = std::min(begin, one.live.end);
  }
}

void SegmentListEdit::AddFile(std::uint64_t number, std::uint64_t life, std::uint64_t bytes) {
  CHECK(number <= kNumberMax && (last() == nullptr || last()->number < number));
  const Index at = end();
  content_.segments.push_back({.life = life,
                               .bytes = bytes,
                               .live = {at, at},
                               .number = static_cast<std::uint32_t>(number)});
}

void SegmentListEdit::Apply(const RunSummary& run) {
  CHECK(run.last >= run.first && (run.kind == RunKind::kSparse || run.cut <= run.first));
  if (run.kind == RunKind::kAppend && !Planted(PlantedBug::kRunCutIgnored)) CutAt(run.cut);
  if (last() == nullptr || last()->number != run.number) AddFile(run.number, run.life, 0);
  SegmentSummary& segment = content_.segments.back();
  segment.bytes = run.bytes_end;
  segment.epoch = std::max(segment.epoch, run.epoch);
  segment.entries += run.count;
  if (run.kind == RunKind::kAppend) {
    // A run that jumps has found nothing of use before it: it would be in another file.
    if (segment.live.empty() || run.cut < run.first) segment.live.begin = run.first;
    segment.live.end = run.last + 1;
    return;
  }
  const bool joins = !content_.sparse.empty() && content_.sparse.back().number == run.number;
  if (joins) {
    SparseSummary& sparse = content_.sparse.back();
    sparse.first = std::min(sparse.first, run.first);
    sparse.last = std::max(sparse.last, run.last);
    return;
  }
  content_.sparse.push_back(
      {.first = run.first, .last = run.last, .number = static_cast<std::uint32_t>(run.number)});
}

void SegmentListEdit::TruncateTo(std::uint64_t number) {
  std::erase_if(content_.segments, [&](const SegmentSummary& one) { return one.number > number; });
  std::erase_if(content_.sparse, [&](const SparseSummary& one) { return one.number > number; });
}

void SegmentListEdit::Remove(std::span<const std::uint32_t> numbers) {
  const auto gone = [&](std::uint32_t number) {
    return std::ranges::find(numbers, number) != numbers.end();
  };
  std::erase_if(content_.segments, [&](const SegmentSummary& one) { return gone(one.number); });
  std::erase_if(content_.sparse, [&](const SparseSummary& one) { return gone(one.number); });
}

std::optional<SegmentSummary> SegmentListEdit::LastBelow(Index cut) const {
  for (auto one = content_.segments.rbegin(); one != content_.segments.rend(); ++one) {
    if (one->live.empty() || one->live.begin >= cut) continue;
    SegmentSummary found = *one;
    found.live.end = std::min(found.live.end, cut);
    return found;
  }
  return std::nullopt;
}

}  // namespace duramen::segments
