// What stands on disk besides the WAL at a start: checkpoints of rows, and segments. Read before
// the WAL, because they say where its replay begins and from what. Changes nothing on disk.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <vector>

#include "base/io.h"
#include "duramen/log_store.h"
#include "log/attempt_file.h"
#include "log/durable_rows.h"
#include "meta/checkpoint_files.h"
#include "segments/scan.h"
#include "segments/segment_list.h"
#include "wal/replay.h"

namespace duramen::log {

inline constexpr char kMetaName[] = "meta";
inline constexpr char kServersName[] = "servers";

/// The segments of one server. After the start they belong to the flusher.
struct ServerSegments {
  segments::ServerIdentity identity;
  segments::SegmentList list;
  segments::Flushed flushed;
  std::uint64_t next_number = 1;
  bool may_append = false;  // to the last file: it is as long as the row says
  std::vector<std::string> leftovers;
};

class DurableState {
 public:
  /// Fills `rows` with what the checkpoints say. Errors: kIo, kPermission, kUnknownVersion; damage
  /// is no error but a finding. `attempt`, if there is one, is told of each server before its
  /// segments are scanned; those of the one that it leaves out are not looked at [B9].
  Status Load(Directory& data_dir, const SystemUuid& system, DurableRows& rows,
              AttemptFile* attempt = nullptr);

  /// After the WAL was read into `rows`: who is known to have been, but has neither a row nor a
  /// tombstone [A18]. They are in `lost` from then on.
  const std::set<ServerUid>& FindLost(const DurableRows& rows, const wal::Replay& replay);
  /// After replay: what a scan missed may have been cut since, or be below a floor.
  void DropHealed(const DurableRows& rows, const wal::Replay& replay);
  /// Those with a directory and in no checkpoint, or with unreadable rows in them.
  const std::set<ServerUid>& candidates() const { return candidates_; }

  std::unique_ptr<Directory> meta_dir;     // null: there is none
  std::unique_ptr<Directory> servers_dir;  // null: there is none
  std::optional<meta::CheckpointFiles> checkpoints;
  /// Those that have a directory, and the deleted ones of checkpoints.
  std::map<ServerUid, ServerSegments> servers;
  std::vector<wal::LogSeed> seeds;
  wal::FileEnd covered;      // the WAL is needed from behind it
  std::set<ServerUid> lost;  // those whose rows no file has any more; see FindLost
  std::vector<Finding> findings;

 private:
  Status LoadCheckpoints(const SystemUuid& system, DurableRows& rows);
  Status ScanServers(const SystemUuid& system, AttemptFile* attempt);
  Status ScanServer(const SystemUuid& system, const meta::MergedServer& known, bool has_directory);
  Status ScanSegments(const meta::MergedServer& known, ServerSegments& found, wal::LogSeed& seed);
  void AddFinding(const meta::CheckpointFinding& found);
  void AddMissingDirectory(const ServerUid& uid, IndexRange gone);
  static void FinishSeed(wal::LogSeed& seed);
  meta::MergedCheckpoints merged_;
  ServerUid left_out_;                   // nil: none
  std::set<ServerUid> candidates_;       // for `lost`
  bool unreadable_checkpoints_ = false;  // there is one, and none can be read
};

/// Behind the name of a server's directory while a flush makes that name anew.
inline constexpr char kAsideSuffix[] = ".aside";
/// Puts names back that a flush which was killed has left aside. Not durable; no row speaks of
/// them.
Status PutNamesBack(Directory& servers_dir);
/// Of a server that is deleted: its files and its directory. Leaves a change that no sync has seen
/// yet also where there was none, as a sync that failed may have let go of an earlier removal.
Status RemoveServer(Directory& servers_dir, const ServerUid& uid);
void SetBounds(meta::ServerRows& rows, const meta::BoundsRow& bounds);
void SetFlushed(meta::ServerRows& rows, const segments::Flushed& flushed);

}  // namespace duramen::log
