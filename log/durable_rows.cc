#include "log/durable_rows.h"

#include <algorithm>

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

std::optional<std::vector<wal::CarriedRow>> DurableRows::RowsToCarry(wal::FileRange files,
                                                                     std::uint64_t rows_max) {
  const std::lock_guard lock(mutex_);
  std::vector<wal::CarriedRow> rows;
  for (const meta::CarriedRow& row :
       table_.RowsNewestIn(files.begin, files.end, files.older_stay)) {
    if (rows.size() == rows_max) return std::nullopt;
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

void DurableRows::Restore(const ServerUid& uid, const meta::ServerRows& server) {
  const std::lock_guard lock(mutex_);
  table_.Restore(uid, server);
}

void DurableRows::RestoreIncarnation(std::uint64_t highest) {
  const std::lock_guard lock(mutex_);
  table_.RestoreIncarnation(highest);
}

meta::FaultyRow DurableRows::AddFault(const ServerUid& uid, const IndexRange& range,
                                      std::uint64_t file) {
  const std::lock_guard lock(mutex_);
  const meta::ServerRows* server = table_.Find(uid);
  meta::FaultyRow fault;
  std::uint64_t sequence = 1;
  if (server != nullptr) {
    fault = server->faulty;
    sequence = server->highest_sequence + 1;
    if (server->deleted()) return fault;
  }
  const bool open_end = fault.faulty() && fault.from != 0 && fault.to == 0;
  fault.to = open_end ? 0 : std::max(fault.to, range.end - 1);
  fault.from = fault.from == 0 ? range.begin : std::min(fault.from, range.begin);
  if (fault.reason.empty()) fault.reason = "acknowledged records were lost to damage on disk";
  (void)table_.Apply({uid, sequence, file}, fault);
  return fault;
}

void DurableRows::OnRetired(std::uint64_t file_max, const std::set<ServerUid>& kept) {
  const std::lock_guard lock(mutex_);
  for (const ServerUid& uid : table_.Forget(file_max, kept)) forgotten_.push_back(uid);
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
