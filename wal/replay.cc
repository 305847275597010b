#include "wal/replay.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/check.h"
#include "base/planted.h"

namespace duramen::wal {

void Advance(SlotBounds& bounds, const RunHeader& run) {
  switch (run.kind) {
    case RunKind::kNext:
    case RunKind::kOverwrite:
      bounds.end = run.first + run.count;
      bounds.last_term = run.term;
      break;
    case RunKind::kTruncateSuffix:
      bounds.end = run.first;
      bounds.last_term = run.term;
      break;
    case RunKind::kJump:
    case RunKind::kReset:
      bounds.begin = run.first;
      bounds.end = run.first + run.count;
      bounds.term_before_begin = bounds.last_term = run.term;
      break;
    case RunKind::kFloor:
      bounds.begin = std::max(bounds.begin, run.first);
      bounds.term_before_begin = run.term;
      break;
    default:
      return;
  }
  bounds.epoch = run.epoch;
}

std::uint32_t Replay::SlotOf(const RecordOwner& owner) {
  const auto [found, added] =
      slots_.try_emplace(owner.uid, static_cast<std::uint32_t>(logs_.size()));
  if (added) {
    ReplayedLog log;
    log.owner = owner;
    log.slot = found->second;
    logs_.push_back(log);
  } else if (logs_[found->second].owner.cluster_id == 0) {
    // A checkpoint may have rows of it without its identity, which came later.
    logs_[found->second].owner.cluster_id = owner.cluster_id;
  }
  return found->second;
}

void Replay::Seed(const LogSeed& seed) {
  ReplayedLog& log = LogOf(seed.owner);
  log.bounds = seed.bounds;
  log.terms = seed.terms;
  log.holes = seed.holes;
  log.covered_file = seed.covered_file;
  log.has_records = true;
  changes_.push_back({LandedIndex::Change::Kind::kFlushed, log.slot, seed.flushed_end, {}});
  changes_.push_back({LandedIndex::Change::Kind::kFloor, log.slot, seed.bounds.begin, {}});
}

void Replay::OnRun(const RunView& run, const RecordOwner& owner, std::uint64_t file) {
  ReplayedLog& log = LogOf(owner);
  if (file <= log.covered_file) return;
  CheckEpoch(log, run.header);
  CHECK(!Planted(PlantedBug::kPoisonPill) || log.slot != 1);
  if (IsEntries(run.header.kind)) {
    ApplyEntries(log, run.header,
                 {.file = file,
                  .offset = run.offset,
                  .first = run.header.first,
                  .count = run.header.count,
                  .bytes = run.header.bytes,
                  .term = run.header.term});
  } else if (IsMark(run.header.kind)) {
    ApplyMark(log, run.header);
  } else if (run.header.kind == RunKind::kBounds) {
    ApplyBounds(log, run);
  }
}

void Replay::OnDamagedRun(const DamagedRun& damage, const RecordOwner& owner, std::uint64_t file,
                          std::uint64_t offset) {
  ReplayedLog& log = LogOf(owner);
  if (file <= log.covered_file) return;
  if (damage.header.kind == RunKind::kBounds) {
    // Its end and last term are gone: whether the log ended higher is not known.
    log.suspect = true;
    RaiseBegin(log, damage.header.first, damage.header.term);
    return;
  }
  if (!IsEntries(damage.header.kind)) return;
  CheckEpoch(log, damage.header);
  // What stands beside the unreadable records can still be read through the landed run.
  ApplyEntries(log, damage.header,
               {.file = file,
                .offset = offset,
                .first = damage.header.first,
                .count = damage.header.count,
                .bytes = damage.header.bytes,
                .term = damage.header.term});
  if (damage.header.kind != RunKind::kSparse) AddHole(log, {damage.first, damage.last + 1});
}

void Replay::OnUnattributedLoss(std::uint64_t file) {
  for (ReplayedLog& log : logs_) log.suspect = log.suspect || file > log.covered_file;
}

void Replay::OnRowsUnattributed(std::uint64_t file) {
  rows_unattributed_ = true;
  for (ReplayedLog& log : logs_) log.rows_lost = log.rows_lost || file > log.covered_file;
}

void Replay::OnDamagedRows(const RecordOwner& owner, const RunHeader& run) {
  ReplayedLog& log = LogOf(owner);
  constexpr std::uint32_t kRowsNoted = 1 << 20;
  if (run.count > kRowsNoted) {  // No batch of ours holds so many.
    log.rows_lost = true;
    return;
  }
  for (std::uint32_t i = 0; i < run.count; ++i) damaged_rows_.emplace(owner.uid, run.first + i);
}

void Replay::OnReadableRow(const RecordOwner& owner, std::uint64_t sequence) {
  ReplayedLog& log = LogOf(owner);
  log.lowest_row = std::min(log.lowest_row, sequence);
  if (!damaged_rows_.empty()) damaged_rows_.erase({owner.uid, sequence});
}

const ReplayedLog* Replay::Find(const ServerUid& uid) const {
  const auto found = slots_.find(uid);
  return found == slots_.end() ? nullptr : &logs_[found->second];
}

std::vector<SlotBounds> Replay::BoundsNow() const {
  std::vector<SlotBounds> bounds;
  bounds.reserve(logs_.size());
  for (const ReplayedLog& log : logs_) {
    bounds.push_back(log.bounds);
    if (log.terms.empty() || log.bounds.end == log.bounds.begin) continue;
    bounds.back().last_term = log.terms.back().term;
  }
  return bounds;
}

void Replay::Finish() {
  for (const auto& [uid, sequence] : damaged_rows_) logs_[slots_.at(uid)].rows_lost = true;
  for (ReplayedLog& log : logs_) {
    // A log that is first heard of behind the loss, and not from its first row on.
    const bool from_the_first = log.covered_file != 0 || log.lowest_row == 1;
    if (rows_unattributed_ && !from_the_first) log.rows_lost = true;
    if (log.terms.empty() || log.bounds.end == log.bounds.begin) continue;
    log.bounds.last_term = log.terms.back().term;
  }
}

void Replay::ApplyEntries(ReplayedLog& log, const RunHeader& run, LandedRun landed) {
  entries_ += run.count;
  if (run.kind == RunKind::kSparse) return;
  if (run.kind == RunKind::kJump) {
    Reset(log, run.first, 0);
  } else if (!log.has_records) {
    BeginAt(log, run.first);
  } else if (run.first > log.bounds.end) {
    AddHole(log, {log.bounds.end, run.first});
    log.bounds.end = run.first;
  } else if (run.first < log.bounds.end) {
    if (!Planted(PlantedBug::kOverwrittenEntryKept)) Cut(log, run.first);
  } else {
    log.suspect = false;  // It follows without a gap, so nothing before it was lost.
  }
  if (run.first < log.bounds.begin) Reset(log, run.first, 0);
  log.has_records = true;
  if (log.terms.empty() || log.terms.back().term != run.term) {
    log.terms.push_back({run.first, run.term});
  }
  log.bounds.end = std::max(log.bounds.end, run.first + run.count);
  log.bounds.last_term = run.term;
  log.bounds.epoch = std::max(log.bounds.epoch, run.epoch);
  if (Planted(PlantedBug::kOverwrittenEntryKept)) {
    changes_.push_back({LandedIndex::Change::Kind::kCut, log.slot, run.first, {}});
  }
  changes_.push_back({LandedIndex::Change::Kind::kAdd, log.slot, 0, landed});
}

void Replay::ApplyMark(ReplayedLog& log, const RunHeader& run) {
  switch (run.kind) {
    case RunKind::kTruncateSuffix:
      if (!log.has_records) BeginAt(log, run.first);
      Cut(log, std::max(run.first, log.bounds.begin));
      break;
    case RunKind::kReset:
      Reset(log, run.first, run.term);
      log.suspect = false;
      break;
    case RunKind::kFloor:
      RaiseBegin(log, run.first, run.term);
      break;
    default:
      break;
  }
  log.has_records = true;
  log.bounds.epoch = std::max(log.bounds.epoch, run.epoch);
}

void Replay::ApplyBounds(ReplayedLog& log, const RunView& run) {
  const std::size_t at = kRecordHeaderBytes;
  if (run.records.size() < at + 16) return;
  const auto end = LoadLe<Index>(run.records.data() + at);
  const auto last_term = LoadLe<Term>(run.records.data() + at + 8);
  if (end < run.header.first) return;
  const bool seen_before = log.has_records;
  if (!log.has_records) {
    Reset(log, run.header.first, run.header.term);
    log.has_records = true;
  }
  RaiseBegin(log, run.header.first, run.header.term);
  if (seen_before && run.header.epoch > log.bounds.epoch) {
    OnLostCut(log, end);
  } else if (end < log.bounds.end) {
    Cut(log, end);
  } else if (end > log.bounds.end) {
    AddHole(log, {log.bounds.end, end});
    log.bounds.end = end;
  }
  if (log.bounds.end == log.bounds.begin) {
    log.bounds.last_term = last_term;
  }
  log.bounds.epoch = std::max(log.bounds.epoch, run.header.epoch);
  log.suspect = false;
}

void Replay::Cut(ReplayedLog& log, Index new_end) {
  if (new_end >= log.bounds.end) return;
  log.bounds.end = new_end;
  while (!log.terms.empty() && log.terms.back().first >= new_end) log.terms.pop_back();
  for (IndexRange& hole : log.holes) hole.end = std::min(hole.end, new_end);
  std::erase_if(log.holes, [](const IndexRange& hole) { return hole.empty(); });
  log.bounds.last_term = log.terms.empty() ? log.bounds.term_before_begin : log.terms.back().term;
  changes_.push_back({LandedIndex::Change::Kind::kCut, log.slot, new_end, {}});
}

void Replay::RaiseBegin(ReplayedLog& log, Index begin, Term term_before) {
  if (begin < log.bounds.begin) return;
  log.bounds.begin = begin;
  if (term_before != 0 || begin == 1) log.bounds.term_before_begin = term_before;
  if (log.bounds.end < begin) {
    log.bounds.end = begin;
    log.bounds.last_term = term_before;
    log.terms.clear();
  }
  while (log.terms.size() > 1 && log.terms[1].first <= begin) log.terms.erase(log.terms.begin());
  if (log.bounds.end == begin) {
    log.terms.clear();
    log.bounds.last_term = log.bounds.term_before_begin;
  }
  for (IndexRange& hole : log.holes) hole.begin = std::max(hole.begin, begin);
  std::erase_if(log.holes, [](const IndexRange& hole) { return hole.empty(); });
  changes_.push_back({LandedIndex::Change::Kind::kFloor, log.slot, begin, {}});
}

void Replay::Reset(ReplayedLog& log, Index begin, Term term_before) {
  log.bounds.begin = begin;
  log.bounds.end = begin;
  log.bounds.term_before_begin = term_before;
  log.bounds.last_term = term_before;
  log.terms.clear();
  log.holes.clear();
  changes_.push_back({LandedIndex::Change::Kind::kReset, log.slot, begin, {}});
}

/// Each overwrite and truncation raises the epoch by one, so a step of more, or by a record that
/// cuts nothing, says that one is missing.
void Replay::CheckEpoch(ReplayedLog& log, const RunHeader& run) {
  const bool cuts = run.kind == RunKind::kOverwrite || run.kind == RunKind::kTruncateSuffix;
  const bool anew = run.kind == RunKind::kReset || run.kind == RunKind::kJump;
  const bool stands_alone = run.kind == RunKind::kRows || run.kind == RunKind::kBounds;
  if (!log.has_records || anew || stands_alone) return;
  if (run.epoch <= log.bounds.epoch + (cuts ? 1 : 0)) return;
  const bool reaches_on = IsEntries(run.kind) && run.first > log.bounds.end;
  OnLostCut(log, reaches_on ? run.first : log.bounds.end);
  log.bounds.epoch = run.epoch - (cuts ? 1 : 0);
}

/// An epoch was opened by a cut that nobody saw: which of the entries before `end` it took is not
/// known, so none of them can be served.
void Replay::OnLostCut(ReplayedLog& log, Index end) {
  Cut(log, log.bounds.begin);  // Their places go too: stale entries must not be found.
  log.holes.clear();
  log.bounds.end = std::max(end, log.bounds.begin);
  AddHole(log, {log.bounds.begin, log.bounds.end});
}

/// The first record seen of a log is at `first`. That it begins there has to be said by a floor, a
/// reset or a bounds run; until one does, what stood before counts as lost.
void Replay::BeginAt(ReplayedLog& log, Index first) {
  Reset(log, 1, 0);
  log.bounds.end = first;
  AddHole(log, {1, first});
}

void Replay::AddHole(ReplayedLog& log, IndexRange range) {
  range.begin = std::max(range.begin, log.bounds.begin);
  if (range.empty()) return;
  if (!log.holes.empty() && log.holes.back().end == range.begin) {
    log.holes.back().end = range.end;
  } else {
    log.holes.push_back(range);
  }
}

}  // namespace duramen::wal
