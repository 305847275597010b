// What a start would find in a store: the WAL by the very code of recovery, every checksum of
// segments and checkpoints, and the rules between files. Behind `verify`.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <vector>

#include "tools/findings.h"
#include "tools/store_image.h"
#include "wal/recovery.h"

namespace duramen::tools {

/// A finding with the logs it touches, still by uid.
struct Attributed {
  ImageFinding found;
  std::vector<wal::TouchedLog> touched;
};

struct SegmentProgress {
  std::uint64_t servers_done = 0;
  std::uint64_t servers = 0;
  std::uint64_t entries = 0;
  std::uint64_t bytes = 0;
  std::uint64_t bytes_total = 0;
};

struct CheckedStore {
  std::vector<Attributed> found;
  std::map<ServerUid, IndexRange> logs;  // begin and end of each, deleted ones too
};
/// All of that. `report` is called after each server whose segments were read, and stops it with
/// false; it may be empty. A running store is read again until two readings agree, and `image` is
/// then the last one. Of a WAL on its own only that is checked. Errors: as ReadStoreImage, and
/// those of reading.
Result<CheckedStore> CheckStore(const std::string& path, StoreImage& image,
                                const std::function<bool(const SegmentProgress&)>& report);

}  // namespace duramen::tools
