// The rows that are durable, folded: what recovery starts from and what goes into checkpoints. Fed
// by the WAL thread (and by recovery before that); locked, because opening and deleting logs look
// into it.
#pragma once

#include <mutex>
#include <set>
#include <vector>

#include "meta/table.h"
#include "wal/port.h"

namespace duramen::log {

/// A row record's payload: {row sequence u64, row}.
std::vector<std::byte> RowPayload(std::uint64_t sequence, const meta::Row& row);

class DurableRows final : public wal::RowKeeper {
 public:
  void OnRow(const wal::RecordOwner& owner, std::uint8_t kind, Bytes payload,
             std::uint64_t file) override;
  std::optional<std::vector<wal::CarriedRow>> RowsToCarry(wal::FileRange files,
                                                          std::uint64_t rows_max) override;
  bool Deleted(const ServerUid& uid) const override;
  /// What a checkpoint says of one server; before the first OnRow.
  void Restore(const ServerUid& uid, const meta::ServerRows& server);
  void RestoreIncarnation(std::uint64_t highest);
  /// A flush could not read these entries. The row goes into the next checkpoints; `file` is the
  /// last WAL file that those cover.
  meta::FaultyRow AddFault(const ServerUid& uid, const IndexRange& range, std::uint64_t file);
  /// WAL files up to `file_max` are gone and both checkpoints cover them: what ended in them can be
  /// forgotten, but not the tombstones of `kept`, whose directories are still there.
  void OnRetired(std::uint64_t file_max, const std::set<ServerUid>& kept = {});

  /// Logs whose tombstone was forgotten since the last call: their slots may be given again.
  std::vector<ServerUid> TakeForgotten();
  /// Calls use(table) under the lock.
  template <typename Use>
  auto With(Use use) const {
    const std::lock_guard lock(mutex_);
    return use(table_);
  }
  std::uint64_t undecodable() const;

 private:
  mutable std::mutex mutex_;
  meta::Table table_;
  std::vector<ServerUid> forgotten_;
  std::uint64_t undecodable_ = 0;
};

}  // namespace duramen::log
