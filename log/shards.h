// The WAL shards of one system: which there are, and which of them a log lies in.
//
// A shard is a whole store: WAL, pools, rows and checkpoints, segments, flusher. Shard 0 lies in
// data_dir itself, shard K in data_dir/shards/K (its WAL in wal_dir/K where wal_dir is set), under
// a uuid that follows from the system's, so that no stranger's and no other shard's directory
// passes for it. A log lies in one shard for life, as does a Writer; so no rule of recovery, flush
// or damage ever speaks of two [A14].
//
// Owned by shard 0; opened and closed on one thread, used by any. A shard is complete before SYSTEM
// counts it, and counted before a log is created in it; it is drained before SYSTEM counts it no
// more, and only then are its files removed. So every state that a crash leaves in between holds a
// shard without a log, which the next start takes in or removes.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/io.h"
#include "base/types.h"
#include "duramen/log_store.h"
#include "log/storage.h"

namespace duramen::log {

inline constexpr char kShardsName[] = "shards";
inline constexpr std::uint32_t kShardsMax = 16;

/// Of shard `shard` of that system; of shard 0 the system's own.
SystemUuid ShardUuid(const SystemUuid& system, std::uint32_t shard);
/// "shards/2"
std::string ShardPath(std::uint32_t shard);
/// What to type where the SYSTEM of a shard says that it is a store of its own, as repairs of older
/// releases made it.
std::string BackToAShard(const std::string& path);

class Shards {
 public:
  explicit Shards(LogStore::Impl& root);
  ~Shards();
  Shards(const Shards&) = delete;
  Shards& operator=(const Shards&) = delete;

  /// Opens all of them; the files of the root are open. One that mends is opened alone. Errors: as
  /// LogStore::Open; kConfiguration where one that is counted is not there, or one that is not
  /// wanted any more holds logs.
  Status Open();
  /// One, whose WAL is another process.
  void OpenShared();
  const std::vector<LogStore::Impl*>& all() const { return all_; }
  /// Where that log is, if it is; else any.
  LogStore::Impl& Of(LogRef ref) const {
    return all_.size() == 1 ? root_ : *all_[ref.slot % all_.size()];
  }
  const RecoveryReport& report() const { return report_; }

  /// Of the shard with the fewest, among those whose WAL is up, if any is.
  Result<Writer::Impl*> MakeWriter();
  /// Errors: kInvalidArgument: no such shard.
  Result<Writer::Impl*> MakeWriter(std::uint32_t shard);
  /// One name, one log, in whichever shard [C9].
  Result<LogRef> OpenLog(Writer::Impl& writer, std::string_view name, OpenMode mode);
  Result<std::uint32_t> ShardOf(std::string_view name) const;
  Status SetSyncMethod(SyncMethod method);
  Status Close(Deadline deadline);
  /// They share a budget: what one lacks, another's roll and flush may free [B1].
  void WakeWals() const;

 private:
  std::unique_ptr<LogStore::Impl> Make(std::uint32_t shard) const;
  Status RefuseMissing() const;
  Status RefuseAbsence(std::uint32_t shard, const Directory* there) const;
  Status RefuseStranger(std::uint32_t shard, const Directory* there) const;
  Status Drop();
  Status LeaveRetired(std::uint32_t shard, const Error& why);
  Status CheckEmpty(const LogStore::Impl& shard) const;
  Status CheckDrained(const LogStore::Impl& shard) const;
  std::string WayBack() const;
  Status DropOne(std::uint32_t shard);
  Status Retire(Directory& shards, std::uint32_t shard);
  Status RecoverAll();
  void SettleNames();
  Status Salvage();
  void SumReports();

  LogStore::Impl& root_;
  std::uint32_t wanted_;
  std::vector<std::unique_ptr<LogStore::Impl>> others_;
  std::vector<LogStore::Impl*> all_;  // by number
  RecoveryReport report_;
  mutable std::mutex mutex_;  // one look for a name in all of them at a time
};

/// Removes what a shard that is counted no more has left: RETIRED says that it may go, and goes
/// last. Without RETIRED it does nothing. `shards`: the directory of that name. Errors: kCorruption
/// (RETIRED is damaged, and nothing was removed; or an IDENTITY of its WAL is).
Status RemoveRetired(FileSystem& file_system, Directory& shards, std::uint32_t shard,
                     const SystemUuid& uuid);

}  // namespace duramen::log
