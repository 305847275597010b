// The metadata rows of one server, and their bytes. Pure.
//
// A row is a change of one component of one server's metadata. In the WAL it stands as a record of
// its kind; its payload is what EncodeRow makes. Source: meta/FORMAT.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/types.h"
#include "duramen/result.h"

namespace duramen::meta {

/// The record kinds of rows; numbers are on disk and never reused. 1..15 are kept for rows.
enum class RowKind : std::uint8_t {
  kIdentity = 1,
  kVote = 2,
  kLastApplied = 3,
  kBounds = 4,
  kValue = 5,
  kFaulty = 6,
  kTombstone = 7,
  kFlushed = 8,
};
inline constexpr std::uint8_t kFirstRowKind = 1;
inline constexpr std::uint8_t kLastRowKind = 8;
constexpr bool IsRowKind(std::uint8_t kind) {
  return kind >= kFirstRowKind && kind <= kLastRowKind;
}
/// "identity", "vote", ...
const char* RowKindName(RowKind kind) noexcept;

inline constexpr std::size_t kNameBytesMax = 255;  // names, nodes, keys, voted_for
inline constexpr std::size_t kValueBytesMax = 64u << 10;
inline constexpr std::size_t kReasonBytesMax = 1024;
/// The largest encoded row: a value row.
inline constexpr std::size_t kRowBytesMax = 1 + 4 + kNameBytesMax + 4 + kValueBytesMax;

/// Who the server is. Written first, before any other record of it (registration).
struct IdentityRow {
  ServerUid uid;
  std::string name;  // 1 to 255 bytes
  std::string node;  // may be empty
  ClusterId cluster_id = 0;
  std::uint64_t incarnation = 0;  // system-wide counter; a name's newest wins (rule C9)
  friend bool operator==(const IdentityRow&, const IdentityRow&) = default;
};

struct VoteRow {
  Term term = 0;
  std::string voted_for;  // empty: nobody in this term
  friend bool operator==(const VoteRow&, const VoteRow&) = default;
};

struct LastAppliedRow {
  Index index = 0;
  friend bool operator==(const LastAppliedRow&, const LastAppliedRow&) = default;
};

/// What the log is at this point of its order: the floor, the end, and the epoch that cuts made.
struct BoundsRow {
  Index begin = 1;
  Term term_before_begin = 0;
  Index end = 1;
  Term last_term = 0;
  std::uint64_t epoch = 0;
  friend bool operator==(const BoundsRow&, const BoundsRow&) = default;
};

/// One named value; each key is a component of its own. An empty value removes the key.
struct ValueRow {
  std::string key;  // 1 to 255 bytes
  std::string value;
  friend bool operator==(const ValueRow&, const ValueRow&) = default;
};

/// Damage (rule A3). All zero and no rows_lost: the fault has ended.
struct FaultyRow {
  Index from = 0;          // first index that may be missing; 0: rows only
  Index to = 0;            // last index, inclusive; 0: unknown
  bool rows_lost = false;  // term or vote may be lost (rule A1)
  std::string reason;
  bool faulty() const { return from != 0 || to != 0 || rows_lost; }
  friend bool operator==(const FaultyRow&, const FaultyRow&) = default;
};

/// The server was deleted; nothing else says so (rule A18).
struct TombstoneRow {
  friend bool operator==(const TombstoneRow&, const TombstoneRow&) = default;
};

/// How far the log stands in segment files, as of the last flush; the authority over them: what a
/// segment holds beyond was never counted, what it lacks is damage (rules A6, A7).
struct FlushedRow {
  std::uint64_t segment = 0;        // number of the last segment written to; 0: nothing was flushed
  std::uint64_t segment_bytes = 0;  // its length
  Index end = 1;  // first index not flushed; those below, down to the log's begin, are in segments
  Term last_term = 0;  // of end - 1
  std::uint64_t epoch = 0;
  Index segment_begin = 0;  // where the live entries of the last segment begin; 0: not known
  friend bool operator==(const FlushedRow&, const FlushedRow&) = default;
};

using Row = std::variant<IdentityRow, VoteRow, LastAppliedRow, BoundsRow, ValueRow, FaultyRow,
                         TombstoneRow, FlushedRow>;

RowKind KindOf(const Row& row);

/// The payload of the row's record. Requires: within the limits (ValidateRow).
std::vector<std::byte> EncodeRow(const Row& row);
/// Errors: kTooLarge (over a limit), kInvalidArgument (empty name or key, begin 0, end below begin,
/// to below from, a flushed end of 0, something flushed into no segment).
Status ValidateRow(const Row& row);
/// Takes hostile bytes. A row that decodes encodes to the same bytes.
/// Errors: kCorruption (too short, too long, over a limit, unknown kind, what ValidateRow refuses),
///         kUnknownVersion (a layout that this release does not know).
Result<Row> DecodeRow(std::uint8_t kind, Bytes payload);

}  // namespace duramen::meta
