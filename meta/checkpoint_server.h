// The rows of one server as the payload of its record in a checkpoint. Pure; for checkpoint.cc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/types.h"
#include "duramen/result.h"
#include "meta/table.h"

namespace duramen::meta {

/// Requires: as EncodeCheckpoint.
void AppendServerRows(const ServerUid& uid, const ServerRows& rows, std::vector<std::byte>& out);

/// Takes hostile bytes. Every stamp says `file`. Rows that decode encode to the same bytes.
/// Errors: kCorruption; kUnknownVersion (a row kind or layout of a newer release).
Result<ServerRows> DecodeServerRows(const ServerUid& uid, Bytes payload, std::uint64_t file);

}  // namespace duramen::meta
