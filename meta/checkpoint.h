// One checkpoint: the rows of all servers as of the end of one WAL generation, as bytes. Pure.
//
// Every part stands under a checksum that is seeded with the system, the place and the *life* of
// the checkpoint, and the life is a checksum of all that the checkpoint says. So a row is either
// one that this very checkpoint wrote at this very place, or it does not verify: what a torn
// rewrite leaves of the checkpoint before, or of an attempt under the same number, is never read
// as a row. Equal lives mean equal bytes. Source: meta/FORMAT.md.
//
// A damaged row costs its server alone. Everything else is there twice: the header in two copies,
// and the place, length and checksum of each row in its record header and in the directory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/types.h"
#include "duramen/result.h"
#include "meta/table.h"

namespace duramen::meta {

inline constexpr std::uint32_t kCheckpointVersion = 1;
inline constexpr std::size_t kCheckpointBlockBytes = 4096;
inline constexpr std::size_t kCheckpointHeaderCopies = 2;
inline constexpr std::size_t kCheckpointHeaderBytes =
    kCheckpointHeaderCopies * kCheckpointBlockBytes;

/// The last batch that is folded in; all zero: nothing is.
struct Covers {
  std::uint64_t file = 0;            // number of its WAL file
  std::uint64_t batch = 0;           // its number
  std::uint64_t batch_checksum = 0;  // of its header
  std::uint64_t file_life = 0;       // of its WAL file
  friend bool operator==(const Covers&, const Covers&) = default;
};

/// One server as a checkpoint has it. Of the stamps only the sequences are written; on reading,
/// `file` is that of the Covers and `older_file` is 0.
struct CheckpointServer {
  ServerUid uid;
  ServerRows rows;
};

/// What EncodeCheckpoint writes; `servers` is borrowed.
struct CheckpointContent {
  std::uint64_t sequence = 0;  // of the checkpoints of a system, from 1, only growing
  Covers covers;
  std::int64_t created_unix_ms = 0;  // for people
  std::uint64_t highest_incarnation = 0;
  std::span<const CheckpointServer> servers;
};

/// Bytes that do not verify. With `row_lost` the rows of a server are gone with them, else what
/// stood there is known from its other copy.
struct CheckpointDamage {
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
  bool row_lost = false;
  std::optional<ServerUid> uid;  // of a lost row; none: the name is lost too
  std::string sentence;
};

struct DecodedCheckpoint {
  std::uint64_t sequence = 0;
  Covers covers;
  std::int64_t created_unix_ms = 0;
  std::uint64_t highest_incarnation = 0;
  std::uint64_t size_bytes = 0;           // of the checkpoint; a file may be larger
  std::vector<CheckpointServer> servers;  // those that are intact, by uid
  std::vector<CheckpointDamage> damage;   // by offset
  /// All rows are there.
  bool whole() const;
  /// Each lost row has its uid, so a server that is named nowhere is not in this checkpoint.
  bool names_all() const;
};

/// Requires: servers by uid, each once; each row within its limits (ValidateRow), of its server,
/// and not above its highest_sequence; of a deleted server the tombstone alone; sequence >= 1.
std::vector<std::byte> EncodeCheckpoint(const SystemUuid& system, const CheckpointContent& content);

/// Takes hostile bytes; those behind the checkpoint are ignored.
/// Errors: kCorruption     no copy of the header verifies, or all are of another system;
///         kUnknownVersion a header, row kind or row layout that this release does not know.
Result<DecodedCheckpoint> DecodeCheckpoint(Bytes bytes, const SystemUuid& system);

/// How many bytes of a file DecodeCheckpoint needs, of its first kCheckpointHeaderBytes.
/// Errors: as DecodeCheckpoint.
Result<std::uint64_t> CheckpointBytes(Bytes header, const SystemUuid& system);

/// The highest sequence that a copy of the header names; 0: none verifies. A torn rewrite may have
/// left a copy that is newer than what DecodeCheckpoint gives.
std::uint64_t HighestCheckpointSequence(Bytes header, const SystemUuid& system);

}  // namespace duramen::meta
