// What a flush removes, and what it tells of the segments that stay; see log/flusher.h.
#include <algorithm>

#include "base/try.h"
#include "log/flusher.h"

namespace duramen::log {

/// Only a durable tombstone deletes [A18]. Both checkpoints have it, so that no start misses what
/// goes here; it is forgotten once the directory is gone for good. Returns those whose directory
/// cannot be removed: their tombstones stay, and later rounds try again.
Result<std::set<ServerUid>> Flusher::RemoveDeleted(std::uint64_t file_max) {
  std::vector<ServerUid> deleted;
  environment_.rows.With([&](const meta::Table& table) {
    for (const auto& [uid, rows] : table.servers()) {
      const meta::RowStamp& tombstone = rows.stamp(meta::RowKind::kTombstone);
      if (!tombstone.present() || tombstone.file > file_max) continue;
      if (state_.servers.contains(uid)) deleted.push_back(uid);
    }
    return 0;
  });
  std::set<ServerUid> stay;
  for (const ServerUid& uid : deleted) {
    environment_.files.DropServer(uid);
    const Status removed = RemoveServer(environment_.servers_dir, uid);
    if (removed.ok()) continue;
    stay.insert(uid);
    counters_.failures.Add(1);
    environment_.log.Write(LogLevel::kWarning, "flush.not_removed",
                           "the directory of a deleted log cannot be removed; it is tried again",
                           {{"error", removed.error().message}});
  }
  if (stay.size() == deleted.size()) return stay;
  counters_.syncs.Add(1);
  TRY(environment_.servers_dir.Sync());
  for (const ServerUid& uid : deleted) {
    if (!stay.contains(uid)) state_.servers.erase(uid);
  }
  return stay;
}

/// Segments below a floor that both checkpoints have; if need be, below one whose mark is durable
/// in the WAL behind them.
void Flusher::RemoveDead(bool newest_floors) {
  for (std::uint32_t slot = 0; slot < round_.generation.logs.size(); ++slot) {
    const wal::ClosedLog& log = round_.generation.logs[slot];
    if (!log.open) continue;
    const auto found = state_.servers.find(log.owner.uid);
    if (found == state_.servers.end()) continue;
    ServerSegments& server = found->second;
    const Index floor = newest_floors ? environment_.landed.Floor(slot) : 0;
    const std::vector<std::uint32_t> dead =
        server.list.DeadFiles(std::max(log.bounds.begin, floor));
    if (dead.empty() && server.leftovers.empty()) continue;
    const Result<std::unique_ptr<Directory>> directory =
        environment_.servers_dir.OpenDirectory(log.owner.uid.ToString());
    if (!directory.ok()) continue;
    std::vector<std::uint32_t> removed;
    for (const std::uint32_t number : dead) {
      // The row names the last one, and what is appended goes on in it.
      if (number >= server.flushed.segment) continue;
      environment_.files.Drop(log.owner.uid, number);
      if ((*directory)->Remove(segments::FileName(number)).ok()) removed.push_back(number);
    }
    for (const std::string& name : server.leftovers) (void)(*directory)->Remove(name);
    if (!server.leftovers.empty()) {
      counters_.syncs.Add(1);
      (void)(*directory)->Sync();  // What comes back after all is left over again.
    }
    server.leftovers.clear();
    counters_.segments_removed.Add(removed.size());
    segments::SegmentListEdit edit(server.list);
    edit.Remove(removed);
    server.list = edit.Build();
  }
}

/// What is not durable is of no use, and numbers are not used again. As far as it can be done: what
/// stays is left over, and a start removes it.
void Flusher::RemoveCreated(const Written& written) {
  if (written.directory == nullptr) return;
  for (const segments::WrittenFile& file : written.result.files) {
    if (file.created) (void)written.directory->Remove(file.name);
  }
}

/// Both checkpoints name the new ones.
void Flusher::LeaveOldFiles(const Written& written) {
  const ServerUid& uid = round_.generation.logs[written.slot].owner.uid;
  ServerSegments& server = state_.servers[uid];
  const Result<std::unique_ptr<Directory>> directory =
      environment_.servers_dir.OpenDirectory(uid.ToString());
  if (server.flushed.segment == 0 || !directory.ok()) return;
  const Result<std::vector<DirectoryEntry>> entries = (*directory)->List();
  if (!entries.ok()) return;  // The next start finds them left over.
  for (const DirectoryEntry& entry : *entries) {
    const std::optional<std::uint64_t> number = segments::ParseFileName(entry.name);
    if (!number || written.result.list.FindNumber(*number) != nullptr) continue;
    environment_.files.Drop(uid, *number);
    server.leftovers.push_back(entry.name);
  }
}

/// As the last round left them.
void Flusher::TellSegments() {
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
  for (const auto& [uid, server] : state_.servers) {
    files += server.list.segments().size();
    for (const segments::SegmentSummary& segment : server.list.segments()) bytes += segment.bytes;
  }
  counters_.segment_files.Set(files);
  counters_.segment_bytes.Set(bytes);
  counters_.open_files.Set(environment_.files.open_count());
}

}  // namespace duramen::log
