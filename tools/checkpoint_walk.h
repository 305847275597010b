// One checkpoint file as an offline verb sees it: its rows, each with its place.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/io.h"
#include "meta/checkpoint.h"
#include "meta/row.h"

namespace duramen::tools {

struct CheckpointImage {
  meta::DecodedCheckpoint content;
  std::map<ServerUid, std::uint64_t> offsets;  // of the records, as far as they can be found
};

/// Errors: kShortRead, kCorruption (nothing in it can be read), kUnknownVersion, and of reading.
Result<CheckpointImage> ReadCheckpointImage(const File& file, const SystemUuid& system);

/// Which system the copies of its header name, unchecked; nil: there is no such header.
SystemUuid SystemOfCheckpoint(Bytes front);

struct CheckpointRow {
  std::uint64_t sequence = 0;
  meta::Row row;
};
/// By kind, values by key.
std::vector<CheckpointRow> RowsOf(const meta::ServerRows& rows);

}  // namespace duramen::tools
