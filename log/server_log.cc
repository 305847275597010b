#include "log/server_log.h"

#include <algorithm>

#include "base/planted.h"

namespace duramen::log {

std::uint64_t ServerLog::OpenEpoch(Index index) {
  const std::uint64_t next = epoch.load(std::memory_order_relaxed) + 1;
  cuts.push_back({next, index});
  epoch.store(next, std::memory_order_release);
  const Index written = written_end.load(std::memory_order_relaxed);
  written_end.store(std::min(written, index), std::memory_order_release);
  return next;
}

bool ServerLog::OnNotice(const wal::Notice& notice) {
  const Index before = written_end.load(std::memory_order_relaxed);
  Index limit = UINT64_MAX;
  if (!Planted(PlantedBug::kNoticeWithoutEpoch)) {
    std::erase_if(cuts, [&](const EpochCut& cut) { return cut.epoch <= notice.epoch; });
    for (const EpochCut& cut : cuts) limit = std::min(limit, cut.cut);
  }
  const Index after = std::max(before, std::min(notice.end, limit));
  written_end.store(after, std::memory_order_release);
  return after != before;
}

bool ServerLog::InHole(Index index) const {
  if (!faulty.load(std::memory_order_acquire)) return false;
  const std::lock_guard lock(mutex);
  return fault.from != 0 && index >= fault.from && (fault.to == 0 || index <= fault.to);
}

}  // namespace duramen::log
