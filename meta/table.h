// The metadata of every server of a system, in memory: the fold of the rows in the WAL. Pure.
//
// Owned by the store; one thread at a time (the owner locks or confines it). Rows carry a sequence
// per server. A component (each kind; of values each key) takes a row only if its sequence is above
// that of the row it has, so any order of originals, repeats and carried copies gives the same
// table. Copies of the row a component has only move its `file` forward: the highest WAL file that
// holds a copy. Before a WAL file is recycled, components whose newest copy is in it or below are
// written again ("carried"): RowsNewestIn lists them.
//
// What ends something for good (a tombstone, the removal of a value, the end of a fault) is itself
// a row and must outlive every older copy. So it is carried while an older copy lies in a later
// file than its own newest copy, and forgotten with its file once it is the last (rule A18).
//
// A `file` given too low is safe (the row is carried early); one given too high is not.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "base/types.h"
#include "meta/row.h"

namespace duramen::meta {

/// Where a component's row comes from.
struct RowStamp {
  std::uint64_t sequence = 0;    // 0: no row
  std::uint64_t file = 0;        // highest WAL file with a copy of that row
  std::uint64_t older_file = 0;  // highest WAL file with a copy of an older row of the component
  bool present() const { return sequence != 0; }
};

/// What is known of one server. A deleted one keeps its tombstone's stamp only.
struct ServerRows {
  struct Value {
    std::string value;  // empty: removed
    RowStamp stamp;
  };
  IdentityRow identity;
  VoteRow vote;
  LastAppliedRow last_applied;
  BoundsRow bounds;
  FaultyRow faulty;
  FlushedRow flushed;
  std::map<std::string, Value, std::less<>> values;
  /// By kind; the one of kValue is not used.
  std::array<RowStamp, kLastRowKind + 1> stamps;
  std::uint64_t highest_sequence = 0;  // of any row seen
  const RowStamp& stamp(RowKind kind) const { return stamps[static_cast<std::size_t>(kind)]; }
  bool has(RowKind kind) const { return stamp(kind).present(); }
  bool deleted() const { return has(RowKind::kTombstone); }
  RowStamp& stamp(RowKind kind) { return stamps[static_cast<std::size_t>(kind)]; }
};

/// One row of one server as it stands in the WAL.
struct StampedRow {
  ServerUid uid;
  std::uint64_t sequence = 0;  // from 1
  std::uint64_t file = 0;      // WAL file number, from 1
};

enum class Applied : std::uint8_t {
  kReplaced,  // newer than what the component had
  kCopy,      // the row that it has; its file moved forward if this one is higher
  kOlder,     // superseded; only remembered as an older copy
  kDeleted,   // the server has a tombstone; only remembered as an older copy
};

/// A row to be written again, with its old sequence.
struct CarriedRow {
  ServerUid uid;
  std::uint64_t sequence = 0;
  RowKind kind = RowKind::kIdentity;
  std::vector<std::byte> payload;
};

class Table {
 public:
  /// Requires: sequence and file at least 1; an identity row names the uid it is applied to
  /// (DecodeRow's caller checks: a row under a foreign uid is damage).
  Applied Apply(const StampedRow& at, const Row& row);

  /// nullptr: never heard of. The pointer holds until the server is forgotten.
  const ServerRows* Find(const ServerUid& uid) const;
  /// The newest incarnation of that name which is not deleted (rule C9).
  std::optional<ServerUid> FindByName(std::string_view name) const;
  /// All, by uid, deleted ones too.
  const std::map<ServerUid, ServerRows>& servers() const { return servers_; }
  std::uint64_t highest_incarnation() const { return highest_incarnation_; }

  /// The components whose newest copy lies in a file of [file_begin, file_end), by server and kind.
  /// Left out are removed keys and faults that are over, without an older copy in a later file;
  /// unless the files before stay, and older copies with them.
  std::vector<CarriedRow> RowsNewestIn(std::uint64_t file_begin, std::uint64_t file_end,
                                       bool older_stay = false) const;
  /// What a checkpoint says of a server. Requires: nothing is known of it yet.
  void Restore(const ServerUid& uid, const ServerRows& server);
  void RestoreIncarnation(std::uint64_t highest) {
    highest_incarnation_ = std::max(highest_incarnation_, highest);
  }
  /// WAL files up to `file_max` were recycled, in order. Forgets what ended and had its last copy
  /// there: deleted servers, removed keys, faults that are over. Requires: a server's entries never
  /// land in a later file than its tombstone (they precede it in the same ring).
  /// Returns the servers.
  /// Not the tombstones of `kept`.
  std::vector<ServerUid> Forget(std::uint64_t file_max, const std::set<ServerUid>& kept = {});

 private:
  using NameKey = std::tuple<std::string, std::uint64_t, ServerUid>;  // with the incarnation
  void Replace(const ServerUid& uid, ServerRows& server, const Row& row);
  void SetIdentity(const ServerUid& uid, ServerRows& server, const IdentityRow& row);
  void DropName(const ServerUid& uid, const ServerRows& server);
  void BecomeDeleted(const ServerUid& uid, ServerRows& server);

  std::map<ServerUid, ServerRows> servers_;
  std::set<NameKey> names_;  // of servers that are not deleted
  std::uint64_t highest_incarnation_ = 0;
};

}  // namespace duramen::meta
