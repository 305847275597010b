// Who owns each byte of an undamaged segment file or checkpoint, by a walk of segments/FORMAT.md
// and meta/FORMAT.md from the front: the ground truth of the damage sweep, as wal_map.h is for the
// WAL.
//
// Pure. Owned by the sweep; one thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "meta/row.h"
#include "segments/format.h"
#include "tests/explorer/wal_map.h"

namespace duramen::explorer {

struct SegmentRun {
  Index cut = 0;
  Index first = 0;
  Index last = 0;
  std::uint64_t epoch = 0;
};

struct SegmentMap {
  LogNumber log = 0;
  std::uint64_t number = 0;
  /// The header of a run is a kRunHeader, its copy behind the table a kClosing; `batch` counts the
  /// runs of the file from 1.
  std::vector<Piece> pieces;
  std::vector<SegmentRun> runs;
};
/// `flushed` is what the durable row says: what is behind it does not count. Errors: kCorruption
/// when `bytes` is no segment of that server.
Result<SegmentMap> MapSegment(Bytes bytes, const segments::ServerIdentity& identity,
                              std::uint64_t number, const meta::FlushedRow& flushed);

/// Rows are pieces with `row` and the hash that WalMap gives to copies of the same row. Errors:
/// kCorruption when `bytes` is no checkpoint.
Result<std::vector<Piece>> MapCheckpoint(Bytes bytes, const SystemUuid& system,
                                         const std::map<std::string, LogNumber>& logs);

}  // namespace duramen::explorer
