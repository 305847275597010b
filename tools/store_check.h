// What a start would find in a store: the WAL by the very code of recovery, every checksum of
// segments and checkpoints, and the rules between files. Behind `verify`.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "tools/findings.h"
#include "tools/server_names.h"
#include "tools/store_image.h"
#include "wal/recovery.h"

namespace duramen::tools {

/// A finding with the logs it touches, still by uid.
struct Attributed {
  ImageFinding found;
  std::vector<wal::TouchedLog> touched;
};

/// Replays the WAL behind `image.state`, as a start does, and says whose is what is lost. A running
/// store is read again until two readings agree, and `image` is then the last one. Requires:
/// image.wal.whole and a known system. Errors: as ReadStoreImage.
Result<std::vector<Attributed>> CheckWal(const std::string& path, StoreImage& image);

/// What the start finds in checkpoints and directories before it reads the WAL, and what nobody
/// has a row for.
std::vector<Attributed> CheckBeside(const StoreImage& image, const ServerNames& names);

struct SegmentProgress {
  std::uint64_t servers_done = 0;
  std::uint64_t servers = 0;
  std::uint64_t entries = 0;
  std::uint64_t bytes = 0;
  std::uint64_t bytes_total = 0;
};
/// Reads every byte of the segments that counts; `report` is called after each server and stops it
/// with false. `known`: what is not said again. Errors: those of reading, kUnknownVersion.
Result<std::vector<Attributed>> CheckSegments(
    const StoreImage& image, const std::vector<Attributed>& known,
    const std::function<bool(const SegmentProgress&)>& report);

}  // namespace duramen::tools
