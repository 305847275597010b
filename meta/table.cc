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

/// Letting go of the files up to `file_max` takes the last copy of the row, and every older copy.
/// Only what ended may be forgotten.
bool AllCopiesIn(const RowStamp& stamp, std::uint64_t file_max) {
  return stamp.present() && std::max(stamp.file, stamp.older_file) <= file_max;
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
    case RowKind::kFlushed:
      return server.flushed;
    case RowKind::kValue:
      break;
  }
  CHECK(false);  // Values are a component per key.
  return TombstoneRow{};
}

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
    case RowKind::kFlushed:
      server.flushed = std::get<FlushedRow>(row);
      return;
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

std::vector<CarriedRow> Table::RowsNewestIn(std::uint64_t file_begin, std::uint64_t file_end,
                                            bool older_stay) const {
  std::vector<CarriedRow> rows;
  for (const auto& entry : servers_) {
    const ServerUid& uid = entry.first;
    const ServerRows& server = entry.second;
    const auto add = [&](const RowStamp& stamp, bool ended, const Row& row) {
      if (!stamp.present() || stamp.file < file_begin || stamp.file >= file_end) return;
      // Where files go one by one, no older copy may outlive the row.
      if (ended && !older_stay && stamp.older_file <= stamp.file) return;
      rows.push_back({uid, stamp.sequence, KindOf(row), EncodeRow(row)});
    };
    for (std::uint8_t number = kFirstRowKind; number <= kLastRowKind; ++number) {
      const auto kind = static_cast<RowKind>(number);
      if (kind == RowKind::kValue) {
        for (const auto& [key, value] : server.values) {
          add(value.stamp, value.value.empty(), ValueRow{key, value.value});
        }
        continue;
      }
      // A tombstone also speaks of the server's directory, so only Forget lets go of it.
      const bool ended = kind == RowKind::kFaulty && !server.faulty.faulty();
      add(server.stamp(kind), ended, RowOf(server, kind));
    }
  }
  return rows;
}

void Table::Restore(const ServerUid& uid, const ServerRows& server) {
  const bool added = servers_.try_emplace(uid, server).second;
  CHECK(added);
  if (!server.has(RowKind::kIdentity) || server.deleted()) return;
  names_.emplace(server.identity.name, server.identity.incarnation, uid);
  highest_incarnation_ = std::max(highest_incarnation_, server.identity.incarnation);
}

std::vector<ServerUid> Table::Forget(std::uint64_t file_max, const std::set<ServerUid>& kept) {
  std::vector<ServerUid> forgotten;
  for (auto at = servers_.begin(); at != servers_.end();) {
    auto& [uid, server] = *at;
    if (AllCopiesIn(server.stamp(RowKind::kTombstone), file_max) && !kept.contains(uid)) {
      forgotten.push_back(uid);
      at = servers_.erase(at);
      continue;
    }
    RowStamp& fault = server.stamp(RowKind::kFaulty);
    if (!server.faulty.faulty() && AllCopiesIn(fault, file_max)) fault = {};
    for (auto value = server.values.begin(); value != server.values.end();) {
      const bool gone = value->second.value.empty() && AllCopiesIn(value->second.stamp, file_max);
      value = gone ? server.values.erase(value) : std::next(value);
    }
    ++at;
  }
  return forgotten;
}

}  // namespace duramen::meta
