// What a start would find in a store: the WAL by the very code of recovery, every checksum of
// segments and checkpoints, and the rules between files. Behind `verify`.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "tools/findings.h"
#include "tools/lone_file.h"
#include "tools/progress.h"
#include "tools/store_image.h"
#include "wal/recovery.h"

namespace duramen::tools {

/// A finding with the logs it touches, still by uid.
struct Attributed {
  ImageFinding found;
  std::vector<wal::TouchedLog> touched;
};

struct CheckedStore {
  std::vector<Attributed> found;
  std::map<ServerUid, IndexRange> logs;  // begin and end of each, deleted ones too
  std::uint64_t segment_entries = 0;     // that are what was appended
  std::uint64_t segment_bytes = 0;       // that were read
  std::uint64_t lone_files = 0;          // segments or checkpoints that were named on their own
};
/// All of that. `progress` is the one that the image was read with, and may be null; once it is
/// stopped, what was found so far. A running store is read again until two readings agree, and
/// `image` is then the last one. Of a WAL on its own only that is checked. Errors: as
/// ReadStoreImage, and those of reading.
Result<CheckedStore> CheckStore(const std::string& path, StoreImage& image, ReadProgress* progress);
/// A segment or a checkpoint on its own: what it says itself; what it lacks at its end it cannot
/// say. Errors: those of reading.
Result<CheckedStore> CheckLone(const LoneFile& lone);

}  // namespace duramen::tools
