#include "wal/landed.h"

#include <algorithm>

#include "base/check.h"

namespace duramen::wal {

void LandedIndex::Apply(std::span<const Change> changes) {
  const std::lock_guard lock(mutex_);
  for (const Change& change : changes) {
    if (change.slot >= runs_.size()) runs_.resize(change.slot + 1);
    std::deque<LandedRun>& runs = runs_[change.slot];
    switch (change.kind) {
      case Change::Kind::kAdd: {
        LandedRun run = change.run;
        run.live_begin = run.first;
        run.live_end = run.first + run.count;
        CHECK(runs.empty() || runs.back().live_end <= run.live_begin);
        live_runs_[run.file] += 1;
        runs.push_back(run);
        break;
      }
      case Change::Kind::kCut:
        while (!runs.empty() && runs.back().live_begin >= change.index) {
          Drop(runs.back());
          runs.pop_back();
        }
        if (!runs.empty()) runs.back().live_end = std::min(runs.back().live_end, change.index);
        break;
      case Change::Kind::kFloor:
        while (!runs.empty() && runs.front().live_end <= change.index) {
          Drop(runs.front());
          runs.pop_front();
        }
        if (!runs.empty()) {
          runs.front().live_begin = std::max(runs.front().live_begin, change.index);
        }
        break;
      case Change::Kind::kReset:
        for (const LandedRun& run : runs) Drop(run);
        std::deque<LandedRun>().swap(runs);
        break;
    }
  }
}

void LandedIndex::Drop(const LandedRun& run) {
  const auto found = live_runs_.find(run.file);
  CHECK(found != live_runs_.end() && found->second > 0);
  if (--found->second == 0) live_runs_.erase(found);
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
  if (slot >= runs_.size()) return std::nullopt;
  const std::deque<LandedRun>& runs = runs_[slot];
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

std::uint64_t LandedIndex::LiveRunsIn(std::uint64_t file) const {
  const std::lock_guard lock(mutex_);
  const auto found = live_runs_.find(file);
  return found == live_runs_.end() ? 0 : found->second;
}

std::optional<std::pair<std::uint64_t, std::uint64_t>> LandedIndex::OldestOf(
    std::uint32_t slot) const {
  const std::lock_guard lock(mutex_);
  if (slot >= runs_.size() || runs_[slot].empty()) return std::nullopt;
  // In order of index they are in order of writing too: what is behind a run was written later.
  const LandedRun& oldest = runs_[slot].front();
  return std::pair(oldest.file, oldest.offset);
}

std::vector<LandedRun> LandedIndex::RunsOf(std::uint32_t slot) const {
  const std::lock_guard lock(mutex_);
  if (slot >= runs_.size()) return {};
  return {runs_[slot].begin(), runs_[slot].end()};
}

}  // namespace duramen::wal
