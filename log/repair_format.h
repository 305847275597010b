// The journal of a repair and its PENDING file: what they say, and their bytes (FORMAT.md). Pure.
//
// A decoded journal is safe to carry out: paths stay below their roots, names are plain, steps are
// in order of root and path without repeats, so that a directory comes before what is in it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "duramen/result.h"
#include "duramen/types.h"

namespace duramen::log {

inline constexpr std::uint32_t kRepairVersion = 1;
inline constexpr std::uint64_t kRepairJournalBytesMax = 256u << 20;
inline constexpr std::size_t kRepairRootsMax = 2;  // data_dir, and a wal_dir outside of it

/// What stands at a path, before or after the repair.
struct RepairSide {
  enum class Kind : std::uint8_t { kAbsent = 0, kFile = 1, kDirectory = 2 };
  Kind kind = Kind::kAbsent;
  std::uint64_t size_bytes = 0;
  std::uint64_t checksum = 0;  // ContentChecksum
  std::string copy;            // of a file: its name in old/ or new/
  bool operator==(const RepairSide&) const = default;
};

struct RepairStep {
  std::uint8_t root = 0;
  std::string path;  // below the root
  RepairSide old;
  RepairSide fresh;
  bool operator==(const RepairStep&) const = default;
};

struct RepairRecord {
  std::string id;
  std::int64_t created_unix_ms = 0;
  std::string wal_dir;  // root 1, absolute; empty: it is data_dir/wal
  std::vector<RepairStep> steps;
  std::vector<std::string> wal_names;     // in the WAL directory after the repair, sorted
  std::vector<std::string> server_names;  // in servers/ after the repair: "UID", "UID/1.seg"
  bool operator==(const RepairRecord&) const = default;
};

enum class RepairDirection : std::uint8_t { kApply = 1, kUndo = 2 };

struct PendingRepair {
  std::string id;
  RepairDirection direction = RepairDirection::kApply;
  bool operator==(const PendingRepair&) const = default;
};

/// 1 to 64 of a-z A-Z 0-9 - _, and not PENDING.
bool IsRepairId(std::string_view id);
/// Names joined by '/', none empty, "." or "..", no NUL.
bool IsRepairPath(std::string_view path);

/// The checksum of a file's bytes goes over pieces of kContentPieceBytes, each under the checksum
/// of those before it and its offset; 0 before the first. A piece of zeros leaves it as it is, so
/// that a hole of any size costs nothing, and is what written zeros are.
inline constexpr std::size_t kContentPieceBytes = 256u << 10;
std::uint64_t ContentChecksum(std::uint64_t before, std::uint64_t offset, Bytes piece);
bool IsZeros(Bytes piece);

std::vector<std::byte> EncodeRepairRecord(const RepairRecord& record);
std::vector<std::byte> EncodePendingRepair(const PendingRepair& pending);
/// Errors: kCorruption, kUnknownVersion.
Result<RepairRecord> DecodeRepairRecord(Bytes bytes);
Result<PendingRepair> DecodePendingRepair(Bytes bytes);

}  // namespace duramen::log
