#include "tools/log_ranges.h"

#include <algorithm>

#include "base/bytes.h"
#include "tools/server_names.h"

namespace duramen::tools {

LogRanges::LogRanges(const StoreImage& image) : image_(image) {
  if (image.state == nullptr) return;
  for (const wal::LogSeed& seed : image.state->seeds) {
    const auto found = image.state->servers.find(seed.owner.uid);
    if (found == image.state->servers.end()) continue;
    // Holes are no reason to leave out what stands beside them.
    const Index end = std::min(found->second.flushed.end, seed.bounds.end);
    logs_[seed.owner.uid] = {{seed.bounds.begin, end}, seed.covered_file};
  }
}

void LogRanges::OnRun(const WalkedRun& walked) {
  if (walked.owner == nullptr) return;
  const auto found = logs_.find(walked.owner->uid);
  if (found == logs_.end()) return;
  Log& log = found->second;
  if (image_.wal.summaries[walked.batch.file].number <= log.covered_file) return;
  const wal::RunHeader& run = walked.run.header;
  switch (run.kind) {
    case wal::RunKind::kOverwrite:
    case wal::RunKind::kTruncateSuffix:
      log.live.end = std::min(log.live.end, run.first);
      return;
    case wal::RunKind::kJump:
    case wal::RunKind::kReset:
      log.live.end = 0;
      return;
    case wal::RunKind::kFloor:
    case wal::RunKind::kBounds:
      log.live.begin = std::max(log.live.begin, run.first);
      return;
    case wal::RunKind::kRows:
      ForEachRecord(walked, [&](const wal::RecordView& record) {
        if (record.kind == static_cast<std::uint8_t>(meta::RowKind::kTombstone)) log.live.end = 0;
      });
      return;
    case wal::RunKind::kNext:
    case wal::RunKind::kSparse:
      return;
  }
}

IndexRange LogRanges::Of(const ServerUid& uid) const {
  const auto found = logs_.find(uid);
  return found == logs_.end() ? IndexRange{} : found->second.live;
}

}  // namespace duramen::tools
