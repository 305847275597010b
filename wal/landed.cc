#include "wal/landed.h"

#include <algorithm>

#include "base/check.h"
#include "base/planted.h"

namespace duramen::wal {
namespace {

std::uint64_t LiveBytesOf(const LandedRun& run) {
  return run.bytes * (run.live_end - run.live_begin) / run.count;
}

}  // namespace

LandedIndex::~LandedIndex() {
  for (Log& log : logs_) log.runs.Clear(blocks_);
}

void LandedIndex::CountIn(Counter& bytes) {
  const std::lock_guard lock(mutex_);
  blocks_.CountIn(bytes);
}

void LandedIndex::Apply(std::span<const Change> changes) {
  const std::lock_guard lock(mutex_);
  for (const Change& change : changes) Apply(change);
}

/// Under the lock.
void LandedIndex::Apply(const Change& change) {
  if (change.slot >= logs_.size()) logs_.resize(change.slot + 1);
  Log& log = logs_[change.slot];
  RunQueue& runs = log.runs;
  switch (change.kind) {
    case Change::Kind::kAdd: {
      LandedRun run = change.run;
      run.live_begin = run.first;
      run.live_end = run.first + run.count;
      CHECK(runs.empty() || runs.back().live_end <= run.live_begin);
      CHECK(runs.empty() || runs.back().file <= run.file);
      runs.PushBack(run, blocks_);
      break;
    }
    case Change::Kind::kCut:
      while (!runs.empty() && runs.back().live_begin >= change.index) runs.PopBack(blocks_);
      if (!runs.empty()) runs.back().live_end = std::min(runs.back().live_end, change.index);
      log.flushed_end = std::min(log.flushed_end, change.index);
      log.lowest_cut = std::min(log.lowest_cut, change.index);
      break;
    case Change::Kind::kFloor:
      log.floor = std::max(log.floor, change.index);
      while (!runs.empty() && runs.front().live_end <= change.index) runs.PopFront(blocks_);
      if (!runs.empty()) {
        runs.front().live_begin = std::max(runs.front().live_begin, change.index);
      }
      break;
    case Change::Kind::kReset:
      runs.Clear(blocks_);
      log.flushed_end = 1;
      log.floor = 0;
      log.lowest_cut = 1;
      break;
    case Change::Kind::kFlushed:
      log.flushed_end = change.index;
      break;
  }
}

LandedIndex::Due LandedIndex::DueUpTo(std::uint64_t file_max) const {
  Due due;
  const std::lock_guard lock(mutex_);
  for (std::uint32_t slot = 0; slot < logs_.size(); ++slot) {
    const RunQueue& runs = logs_[slot].runs;
    if (runs.empty() || runs.front().file > file_max) continue;
    due.slots.push_back(slot);
    for (std::size_t i = 0; i < runs.size() && runs[i].file <= file_max; ++i) {
      due.bytes += LiveBytesOf(runs[i]);
    }
  }
  return due;
}

LandedIndex::Survivors LandedIndex::SurvivorsOf(std::uint32_t slot, std::uint64_t file_max) {
  Survivors survivors{.slot = slot, .runs = {}};
  const std::lock_guard lock(mutex_);
  if (slot >= logs_.size()) return survivors;
  Log& log = logs_[slot];
  log.lowest_cut = UINT64_MAX;
  survivors.segments_end = log.flushed_end;
  survivors.floor = log.floor;
  for (std::size_t i = 0; i < log.runs.size() && log.runs[i].file <= file_max; ++i) {
    survivors.runs.push_back(log.runs[i]);
  }
  return survivors;
}

std::uint64_t LandedIndex::Survivors::LiveBytes() const {
  std::uint64_t bytes = 0;
  for (const LandedRun& run : runs) bytes += LiveBytesOf(run);
  return bytes;
}

void LandedIndex::OnFlushed(std::uint32_t slot, std::uint64_t file_max, Index end) {
  const std::lock_guard lock(mutex_);
  Log& log = logs_[slot];
  while (!log.runs.empty() && log.runs.front().file <= file_max) log.runs.PopFront(blocks_);
  log.flushed_end =
      Planted(PlantedBug::kCutForgottenAtHandOver) ? end : std::min(end, log.lowest_cut);
}

Index LandedIndex::Floor(std::uint32_t slot) const {
  const std::lock_guard lock(mutex_);
  return slot < logs_.size() ? logs_[slot].floor : 0;
}

Index LandedIndex::FlushedEnd(std::uint32_t slot) const {
  const std::lock_guard lock(mutex_);
  return slot < logs_.size() ? logs_[slot].flushed_end : 1;
}

void LandedIndex::AddFile(std::uint64_t number, OpenWalFile file) {
  const std::lock_guard lock(mutex_);
  files_[number] = std::move(file);
}

void LandedIndex::RemoveFile(std::uint64_t number) {
  const std::lock_guard lock(mutex_);
  files_.erase(number);
}

std::optional<LandedRun> LandedIndex::Find(std::uint32_t slot, Index index) const {
  const std::lock_guard lock(mutex_);
  if (slot >= logs_.size()) return std::nullopt;
  const RunQueue& runs = logs_[slot].runs;
  std::size_t begin = 0;
  std::size_t end = runs.size();
  while (begin < end) {  // the first whose live_end is above the index
    const std::size_t middle = begin + (end - begin) / 2;
    if (runs[middle].live_end <= index) {
      begin = middle + 1;
    } else {
      end = middle;
    }
  }
  if (begin == runs.size() || index < runs[begin].live_begin) return std::nullopt;
  return runs[begin];
}

std::optional<OpenWalFile> LandedIndex::FindFile(std::uint64_t number) const {
  const std::lock_guard lock(mutex_);
  const auto found = files_.find(number);
  if (found == files_.end()) return std::nullopt;
  return found->second;
}

std::optional<std::pair<std::uint64_t, std::uint64_t>> LandedIndex::OldestOf(
    std::uint32_t slot) const {
  const std::lock_guard lock(mutex_);
  if (slot >= logs_.size() || logs_[slot].runs.empty()) return std::nullopt;
  // In order of index they are in order of writing too: what is behind a run was written later.
  const LandedRun& oldest = logs_[slot].runs.front();
  return std::pair(oldest.file, oldest.offset);
}

std::vector<LandedRun> LandedIndex::RunsOf(std::uint32_t slot) const {
  const std::lock_guard lock(mutex_);
  if (slot >= logs_.size()) return {};
  const RunQueue& queue = logs_[slot].runs;
  std::vector<LandedRun> runs;
  for (std::size_t i = 0; i < queue.size(); ++i) runs.push_back(queue[i]);
  return runs;
}

}  // namespace duramen::wal
