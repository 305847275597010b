#include "wal/landed.h"

#include <algorithm>

#include "base/check.h"
#include "base/planted.h"

namespace duramen::wal {

void LandedIndex::Apply(std::span<const Change> changes) {
  const std::lock_guard lock(mutex_);
  for (const Change& change : changes) Apply(change);
}

/// Under the lock.
void LandedIndex::Apply(const Change& change) {
  if (change.slot >= logs_.size()) logs_.resize(change.slot + 1);
  Log& log = logs_[change.slot];
  std::deque<LandedRun>& runs = log.runs;
  switch (change.kind) {
    case Change::Kind::kAdd: {
      LandedRun run = change.run;
      run.live_begin = run.first;
      run.live_end = run.first + run.count;
      CHECK(runs.empty() || runs.back().live_end <= run.live_begin);
      CHECK(runs.empty() || runs.back().file <= run.file);
      runs.push_back(run);
      break;
    }
    case Change::Kind::kCut:
      while (!runs.empty() && runs.back().live_begin >= change.index) runs.pop_back();
      if (!runs.empty()) runs.back().live_end = std::min(runs.back().live_end, change.index);
      log.flushed_end = std::min(log.flushed_end, change.index);
      log.lowest_cut = std::min(log.lowest_cut, change.index);
      break;
    case Change::Kind::kFloor:
      log.floor = std::max(log.floor, change.index);
      while (!runs.empty() && runs.front().live_end <= change.index) runs.pop_front();
      if (!runs.empty()) {
        runs.front().live_begin = std::max(runs.front().live_begin, change.index);
      }
      break;
    case Change::Kind::kReset:
      std::deque<LandedRun>().swap(runs);
      log.flushed_end = 1;
      log.floor = 0;
      log.lowest_cut = 1;
      break;
    case Change::Kind::kFlushed:
      log.flushed_end = change.index;
      break;
  }
}

/// Under the lock.
LandedIndex::Survivors LandedIndex::Collect(std::uint32_t slot, std::uint64_t file_max) {
  Log& log = logs_[slot];
  log.lowest_cut = UINT64_MAX;
  Survivors survivors{.slot = slot, .segments_end = log.flushed_end, .runs = {}};
  for (const LandedRun& run : log.runs) {
    if (run.file > file_max) break;
    survivors.runs.push_back(run);
  }
  return survivors;
}

std::vector<LandedIndex::Survivors> LandedIndex::SurvivorsUpTo(std::uint64_t file_max) {
  std::vector<Survivors> found;
  const std::lock_guard lock(mutex_);
  for (std::uint32_t slot = 0; slot < logs_.size(); ++slot) {
    Survivors survivors = Collect(slot, file_max);
    if (!survivors.runs.empty()) found.push_back(std::move(survivors));
  }
  return found;
}

LandedIndex::Survivors LandedIndex::SurvivorsOf(std::uint32_t slot, std::uint64_t file_max) {
  const std::lock_guard lock(mutex_);
  return Collect(slot, file_max);
}

void LandedIndex::OnFlushed(std::uint32_t slot, std::uint64_t file_max, Index end) {
  const std::lock_guard lock(mutex_);
  Log& log = logs_[slot];
  while (!log.runs.empty() && log.runs.front().file <= file_max) log.runs.pop_front();
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
  const std::deque<LandedRun>& runs = logs_[slot].runs;
  auto found =
      std::upper_bound(runs.begin(), runs.end(), index,
                       [](Index wanted, const LandedRun& run) { return wanted < run.live_end; });
  if (found == runs.end() || index < found->live_begin) return std::nullopt;
  return *found;
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
  return {logs_[slot].runs.begin(), logs_[slot].runs.end()};
}

}  // namespace duramen::wal
