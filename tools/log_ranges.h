// Which entries of each log are live in segments: what the checkpoints say, and what the WAL behind
// them has cut since.
#pragma once

#include <map>

#include "tools/store_image.h"
#include "tools/wal_walk.h"

namespace duramen::tools {

class LogRanges final : public WalVisitor {
 public:
  explicit LogRanges(const StoreImage& image);
  void OnRun(const WalkedRun& walked) override;
  void OnSkipped(const WalkedBatch&, std::uint64_t, bool) override {}
  /// Empty: nothing is.
  IndexRange Of(const ServerUid& uid) const;

 private:
  struct Log {
    IndexRange live;
    std::uint64_t covered_file = 0;
  };
  const StoreImage& image_;
  std::map<ServerUid, Log> logs_;
};

}  // namespace duramen::tools
