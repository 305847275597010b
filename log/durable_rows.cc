#include "log/durable_rows.h"

#include "base/bytes.h"

namespace duramen::log {

std::vector<std::byte> RowPayload(std::uint64_t sequence, const meta::Row& row) {
  std::vector<std::byte> payload;
  ByteWriter writer(payload);
  writer.Put(sequence);
  writer.PutBytes(meta::EncodeRow(row));
  return payload;
}

void DurableRows::OnRow(const wal::RecordOwner& owner, std::uint8_t kind, Bytes payload,
                        std::uint64_t file) {
  const std::lock_guard lock(mutex_);
  ByteReader reader(payload);
  const auto sequence = reader.Get<std::uint64_t>();
  const Result<meta::Row> row =
      reader.ok() ? meta::DecodeRow(kind, payload.subspan(sizeof sequence))
                  : Result<meta::Row>(Error{ErrorCode::kShortRead, "row without a sequence", ""});
  const auto* identity = row.ok() ? std::get_if<meta::IdentityRow>(&*row) : nullptr;
  const bool foreign = identity != nullptr && identity->uid != owner.uid;
  if (!row.ok() || sequence == 0 || foreign) {
    ++undecodable_;
    return;
  }
  (void)table_.Apply({owner.uid, sequence, file}, *row);
}

std::vector<wal::CarriedRow> DurableRows::RowsToCarry(std::uint64_t file_max,
                                                      std::uint64_t bytes_max,
                                                      std::uint64_t rows_max) {
  const std::lock_guard lock(mutex_);
  // From the start each time: rows that became durable in a later file have moved on, and those of
  // a batch that failed are offered again.
  meta::CarryCursor cursor;
  std::vector<wal::CarriedRow> rows;
  for (meta::CarriedRow& row :
       table_.RowsNewestIn(file_max, cursor, {.rows = rows_max, .bytes = bytes_max})) {
    std::vector<std::byte> payload;
    ByteWriter writer(payload);
    writer.Put(row.sequence);
    writer.PutBytes(row.payload);
    rows.push_back({row.uid, static_cast<std::uint8_t>(row.kind), std::move(payload)});
  }
  return rows;
}

bool DurableRows::Deleted(const ServerUid& uid) const {
  const std::lock_guard lock(mutex_);
  const meta::ServerRows* server = table_.Find(uid);
  return server != nullptr && server->deleted();
}

void DurableRows::OnRecycled(std::uint64_t file_max) {
  const std::lock_guard lock(mutex_);
  for (const ServerUid& uid : table_.Forget(file_max)) forgotten_.push_back(uid);
}

std::vector<ServerUid> DurableRows::TakeForgotten() {
  const std::lock_guard lock(mutex_);
  return std::move(forgotten_);
}

std::uint64_t DurableRows::undecodable() const {
  const std::lock_guard lock(mutex_);
  return undecodable_;
}

}  // namespace duramen::log
