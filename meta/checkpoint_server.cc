#include "meta/checkpoint_server.h"

#include <string>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "base/try.h"
#include "meta/row.h"

namespace duramen::meta {
namespace {

constexpr std::uint8_t kRowKindsKept = 15;  // numbers of rows to come (meta/row.h)

class RowAppender {
 public:
  RowAppender(const ServerRows& rows, ByteWriter& out) : rows_(rows), out_(out) {}

  void Append(const Row& row, const RowStamp& stamp) {
    if (!stamp.present()) return;
    CHECK(stamp.sequence <= rows_.highest_sequence);
    const std::vector<std::byte> bytes = EncodeRow(row);
    out_.Put(static_cast<std::uint8_t>(KindOf(row)));
    out_.Put(stamp.sequence);
    out_.Put(static_cast<std::uint32_t>(bytes.size()));
    out_.PutBytes(bytes);
  }
  void Append(const Row& row) { Append(row, rows_.stamp(KindOf(row))); }

 private:
  const ServerRows& rows_;
  ByteWriter& out_;
};

Error Corrupt(std::string message) { return {ErrorCode::kCorruption, std::move(message), ""}; }

/// Puts a decoded row where it belongs. Rows come by kind and values by key, each once.
class RowTaker {
 public:
  RowTaker(const ServerUid& uid, ServerRows& rows) : uid_(uid), rows_(rows) {}

  Status Take(Row row, const RowStamp& stamp) {
    const RowKind kind = KindOf(row);
    const bool alone = (kind == RowKind::kTombstone || last_ == RowKind::kTombstone) && any_;
    const bool ordered = !any_ || last_ < kind || (last_ == kind && kind == RowKind::kValue);
    if (alone || !ordered) return Corrupt("the rows of a server stand out of order");
    any_ = true;
    last_ = kind;
    if (auto* value = std::get_if<ValueRow>(&row)) {
      if (!rows_.values.empty() && rows_.values.rbegin()->first >= value->key) {
        return Corrupt("the keys of a server stand out of order");
      }
      rows_.values[value->key] = {std::move(value->value), stamp};
      return {};
    }
    rows_.stamp(kind) = stamp;
    return Put(std::move(row));
  }

 private:
  Status Put(Row row) {
    if (auto* identity = std::get_if<IdentityRow>(&row)) {
      if (identity->uid != uid_) return Corrupt("an identity row names another server");
      rows_.identity = std::move(*identity);
    }
    if (auto* vote = std::get_if<VoteRow>(&row)) rows_.vote = std::move(*vote);
    if (auto* applied = std::get_if<LastAppliedRow>(&row)) rows_.last_applied = *applied;
    if (auto* bounds = std::get_if<BoundsRow>(&row)) rows_.bounds = *bounds;
    if (auto* faulty = std::get_if<FaultyRow>(&row)) rows_.faulty = std::move(*faulty);
    if (auto* flushed = std::get_if<FlushedRow>(&row)) rows_.flushed = *flushed;
    return {};
  }

  const ServerUid& uid_;
  ServerRows& rows_;
  bool any_ = false;
  RowKind last_ = RowKind::kIdentity;
};

Result<Row> DecodeAnyRow(std::uint8_t kind, Bytes bytes) {
  if (kind > kLastRowKind && kind <= kRowKindsKept) {
    return Error{ErrorCode::kUnknownVersion,
                 "a checkpoint has a row of kind " + std::to_string(kind) +
                     ", this release knows 1 to " + std::to_string(kLastRowKind),
                 "open the directory with the release that wrote it or a newer one"};
  }
  return DecodeRow(kind, bytes);
}

}  // namespace

void AppendServerRows(const ServerUid& uid, const ServerRows& rows, std::vector<std::byte>& out) {
  ByteWriter writer(out);
  writer.Put(rows.highest_sequence);
  RowAppender appender(rows, writer);
  if (rows.deleted()) return appender.Append(TombstoneRow{});
  CHECK(!rows.has(RowKind::kIdentity) || rows.identity.uid == uid);
  appender.Append(rows.identity);
  appender.Append(rows.vote);
  appender.Append(rows.last_applied);
  appender.Append(rows.bounds);
  for (const auto& [key, value] : rows.values) {
    appender.Append(ValueRow{key, value.value}, value.stamp);
  }
  appender.Append(rows.faulty);
  appender.Append(rows.flushed);
}

Result<ServerRows> DecodeServerRows(const ServerUid& uid, Bytes payload, std::uint64_t file) {
  ByteReader in(payload);
  ServerRows rows;
  rows.highest_sequence = in.Get<std::uint64_t>();
  RowTaker taker(uid, rows);
  while (in.ok() && !in.AtEnd()) {
    const auto kind = in.Get<std::uint8_t>();
    const auto sequence = in.Get<std::uint64_t>();
    const Bytes bytes = in.GetBytes(in.Get<std::uint32_t>());
    if (!in.ok()) break;
    if (sequence == 0 || sequence > rows.highest_sequence) {
      return Corrupt("a row has a sequence that its server never gave");
    }
    Row row = TRY(DecodeAnyRow(kind, bytes));
    TRY(taker.Take(std::move(row), {.sequence = sequence, .file = file, .older_file = 0}));
  }
  if (!in.ok()) return Corrupt("the rows of a server end early");
  return rows;
}

}  // namespace duramen::meta
