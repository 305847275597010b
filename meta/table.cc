#include "meta/table.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <utility>

#include "base/check.h"

namespace duramen::meta {
namespace {

Applied Fold(RowStamp& stamp, const StampedRow& at) {
  if (at.sequence < stamp.sequence) {
    stamp.older_file = std::max(stamp.older_file, at.file);
    return Applied::kOlder;
  }
  if (at.sequence == stamp.sequence) {
    stamp.file = std::max(stamp.file, at.file);
    return Applied::kCopy;
  }
  stamp.older_file = std::max(stamp.older_file, stamp.file);
  stamp.sequence = at.sequence;
  stamp.file = at.file;
  return Applied::kReplaced;
}

/// Recycling the files up to `file_max`, in order, takes the last copy of the row, and every older
/// copy before it or with it. Only what ended may go this way.
bool LastCopyIn(const RowStamp& stamp, std::uint64_t file_max) {
  return stamp.present() && stamp.file <= file_max && stamp.older_file <= stamp.file;
}

bool MustCarry(const RowStamp& stamp, std::uint64_t file_max, bool ended) {
  if (!stamp.present() || stamp.file > file_max) return false;
  return !ended || !LastCopyIn(stamp, file_max);
}

Row RowOf(const ServerRows& server, RowKind kind) {
  switch (kind) {
    case RowKind::kIdentity:
      return server.identity;
    case RowKind::kVote:
      return server.vote;
    case RowKind::kLastApplied:
      return server.last_applied;
    case RowKind::kBounds:
      return server.bounds;
    case RowKind::kFaulty:
      return server.faulty;
    case RowKind::kTombstone:
      return TombstoneRow{};
    case RowKind::kValue:
      break;
  }
  CHECK(false);  // Values are a component per key.
  return TombstoneRow{};
}

/// One slice of rows to carry, filled server by server in the order of the cursor.
class CarrySlice {
 public:
  CarrySlice(std::uint64_t file_max, CarryCursor& cursor, const CarryLimit& limit)
      : file_max_(file_max), cursor_(cursor), limit_(limit) {}

  /// Goes on behind the cursor where it is in this server. False: full, the server is not done.
  bool Take(const ServerUid& uid, const ServerRows& server) {
    if (uid != cursor_.uid) {
      cursor_ = CarryCursor{};
      cursor_.uid = uid;
    }
    for (std::uint8_t number = std::max<std::uint8_t>(cursor_.kind, 1); number <= kLastRowKind;
         ++number) {
      const auto kind = static_cast<RowKind>(number);
      const bool taken = kind == RowKind::kValue ? TakeValues(server) : TakeOne(server, kind);
      if (!taken) return false;
    }
    return true;
  }
  std::vector<CarriedRow> rows;

 private:
  bool TakeOne(const ServerRows& server, RowKind kind) {
    if (static_cast<std::uint8_t>(kind) <= cursor_.kind) return true;
    const bool ended =
        kind == RowKind::kTombstone || (kind == RowKind::kFaulty && !server.faulty.faulty());
    const RowStamp& stamp = server.stamp(kind);
    if (!MustCarry(stamp, file_max_, ended)) return true;
    return Add(stamp, kind, RowOf(server, kind));
  }

  bool TakeValues(const ServerRows& server) {
    auto value = server.values.begin();
    if (cursor_.kind == static_cast<std::uint8_t>(RowKind::kValue)) {
      value = server.values.upper_bound(cursor_.key);
    }
    for (; value != server.values.end(); ++value) {
      const auto& [key, row] = *value;
      if (!MustCarry(row.stamp, file_max_, row.value.empty())) continue;
      if (!Add(row.stamp, RowKind::kValue, ValueRow{key, row.value})) return false;
      cursor_.key = key;
    }
    return true;
  }

  bool Add(const RowStamp& stamp, RowKind kind, const Row& row) {
    if (rows.size() >= limit_.rows && !rows.empty()) return false;
    std::vector<std::byte> payload = EncodeRow(row);
    if (!rows.empty() && bytes_ + payload.size() > limit_.bytes) return false;
    bytes_ += payload.size();
    rows.push_back({cursor_.uid, stamp.sequence, kind, std::move(payload)});
    cursor_.kind = static_cast<std::uint8_t>(kind);
    return true;
  }

  const std::uint64_t file_max_;
  CarryCursor& cursor_;
  const CarryLimit limit_;
  std::size_t bytes_ = 0;
};

}  // namespace

Applied Table::Apply(const StampedRow& at, const Row& row) {
  CHECK(at.sequence >= 1 && at.file >= 1);
  const RowKind kind = KindOf(row);
  ServerRows& server = servers_[at.uid];
  server.highest_sequence = std::max(server.highest_sequence, at.sequence);
  if (server.deleted() && kind != RowKind::kTombstone) {
    RowStamp& tombstone = server.stamp(RowKind::kTombstone);
    tombstone.older_file = std::max(tombstone.older_file, at.file);
    return Applied::kDeleted;
  }
  const auto* const value = std::get_if<ValueRow>(&row);
  RowStamp& stamp = value != nullptr ? server.values[value->key].stamp : server.stamp(kind);
  const bool was_deleted = server.deleted();
  const Applied applied = Fold(stamp, at);
  if (applied == Applied::kReplaced && !was_deleted) Replace(at.uid, server, row);
  return applied;
}

void Table::Replace(const ServerUid& uid, ServerRows& server, const Row& row) {
  switch (KindOf(row)) {
    case RowKind::kIdentity:
      return SetIdentity(uid, server, std::get<IdentityRow>(row));
    case RowKind::kVote:
      server.vote = std::get<VoteRow>(row);
      return;
    case RowKind::kLastApplied:
      server.last_applied = std::get<LastAppliedRow>(row);
      return;
    case RowKind::kBounds:
      server.bounds = std::get<BoundsRow>(row);
      return;
    case RowKind::kValue: {
      const auto& value = std::get<ValueRow>(row);
      server.values[value.key].value = value.value;
      return;
    }
    case RowKind::kFaulty:
      server.faulty = std::get<FaultyRow>(row);
      return;
    case RowKind::kTombstone:
      return BecomeDeleted(uid, server);
  }
}

void Table::SetIdentity(const ServerUid& uid, ServerRows& server, const IdentityRow& row) {
  CHECK(row.uid == uid);
  DropName(uid, server);
  server.identity = row;
  names_.insert({row.name, row.incarnation, uid});
  highest_incarnation_ = std::max(highest_incarnation_, row.incarnation);
}

void Table::DropName(const ServerUid& uid, const ServerRows& server) {
  names_.erase({server.identity.name, server.identity.incarnation, uid});
}

void Table::BecomeDeleted(const ServerUid& uid, ServerRows& server) {
  DropName(uid, server);
  ServerRows deleted;
  deleted.highest_sequence = server.highest_sequence;
  RowStamp& tombstone = deleted.stamp(RowKind::kTombstone);
  tombstone = server.stamp(RowKind::kTombstone);
  const auto older = [&tombstone](const RowStamp& stamp) {
    tombstone.older_file = std::max({tombstone.older_file, stamp.file, stamp.older_file});
  };
  for (std::size_t kind = 0; kind < server.stamps.size(); ++kind) {
    if (kind != static_cast<std::size_t>(RowKind::kTombstone)) older(server.stamps[kind]);
  }
  for (const auto& [key, value] : server.values) older(value.stamp);
  server = std::move(deleted);
}

const ServerRows* Table::Find(const ServerUid& uid) const {
  const auto found = servers_.find(uid);
  return found == servers_.end() ? nullptr : &found->second;
}

std::optional<ServerUid> Table::FindByName(std::string_view name) const {
  ServerUid last;
  last.bytes.fill(0xFF);
  auto after =
      names_.upper_bound({std::string(name), std::numeric_limits<std::uint64_t>::max(), last});
  if (after == names_.begin()) return std::nullopt;
  const NameKey& newest = *--after;
  if (std::get<0>(newest) != name) return std::nullopt;
  return std::get<2>(newest);
}

std::vector<CarriedRow> Table::RowsNewestIn(std::uint64_t file_max, CarryCursor& cursor,
                                            const CarryLimit& limit) const {
  CarrySlice slice(file_max, cursor, limit);
  if (cursor.done) return {};
  for (auto at = servers_.lower_bound(cursor.uid); at != servers_.end(); ++at) {
    if (!slice.Take(at->first, at->second)) return std::move(slice.rows);
  }
  cursor.done = true;
  return std::move(slice.rows);
}

std::vector<ServerUid> Table::Forget(std::uint64_t file_max) {
  std::vector<ServerUid> forgotten;
  for (auto at = servers_.begin(); at != servers_.end();) {
    auto& [uid, server] = *at;
    if (LastCopyIn(server.stamp(RowKind::kTombstone), file_max)) {
      forgotten.push_back(uid);
      at = servers_.erase(at);
      continue;
    }
    RowStamp& fault = server.stamp(RowKind::kFaulty);
    if (!server.faulty.faulty() && LastCopyIn(fault, file_max)) fault = {};
    for (auto value = server.values.begin(); value != server.values.end();) {
      const bool gone = value->second.value.empty() && LastCopyIn(value->second.stamp, file_max);
      value = gone ? server.values.erase(value) : std::next(value);
    }
    ++at;
  }
  return forgotten;
}

}  // namespace duramen::meta
