#include "log/durable_state.h"

#include <algorithm>

#include "base/check.h"
#include "base/planted.h"
#include "base/try.h"

namespace duramen::log {
namespace {

Finding FindingOf(const ServerUid& uid, const segments::Finding& found) {
  using Kind = segments::FindingKind;
  Finding finding{.kind = found.kind == Kind::kDamage     ? FindingKind::kDamage
                          : found.kind == Kind::kHarmless ? FindingKind::kHeaderCopy
                                                          : FindingKind::kLeftover,
                  .file = std::string(kServersName) + "/" + uid.ToString() + "/" + found.file,
                  .offset_bytes = found.offset,
                  .size_bytes = found.bytes,
                  .sentence = found.sentence,
                  .touched = {}};
  if (!found.lost.empty()) {
    finding.touched.push_back({uid.ToString(), found.lost.begin, found.lost.end - 1, false});
  }
  return finding;
}

segments::Flushed FlushedOf(const meta::ServerRows& rows) {
  if (!rows.has(meta::RowKind::kFlushed)) return {};
  const meta::FlushedRow& row = rows.flushed;
  return {.segment = row.segment,
          .bytes = row.segment_bytes,
          .segment_begin = row.segment_begin,
          .end = row.end,
          .last_term = row.last_term,
          .epoch = row.epoch};
}

Result<std::unique_ptr<Directory>> OpenIfThere(const Directory& directory, const char* name) {
  Result<std::unique_ptr<Directory>> opened = directory.OpenDirectory(name);
  if (!opened.ok() && opened.error().code == ErrorCode::kNotFound) {
    return std::unique_ptr<Directory>();
  }
  return opened;
}

/// Of a row that stands in checkpoints only; any sequence of the server's will do.
void Stamp(meta::ServerRows& rows, meta::RowKind kind) {
  rows.highest_sequence = std::max<std::uint64_t>(rows.highest_sequence, 1);
  rows.stamp(kind).sequence = rows.highest_sequence;
}

}  // namespace

void SetBounds(meta::ServerRows& rows, const meta::BoundsRow& bounds) {
  rows.bounds = bounds;
  Stamp(rows, meta::RowKind::kBounds);
}

void SetFlushed(meta::ServerRows& rows, const segments::Flushed& flushed) {
  if (flushed.segment == 0) {  // Also where nothing could be read of what there was.
    rows.flushed = {};
    rows.stamp(meta::RowKind::kFlushed) = {};
    return;
  }
  rows.flushed = {.segment = flushed.segment,
                  .segment_bytes = flushed.bytes,
                  .end = flushed.end,
                  .last_term = flushed.last_term,
                  .epoch = flushed.epoch,
                  .segment_begin = flushed.segment_begin};
  Stamp(rows, meta::RowKind::kFlushed);
}

Status PutNamesBack(Directory& servers_dir) {
  std::set<std::string> names;
  for (const DirectoryEntry& entry : TRY(servers_dir.List())) names.insert(entry.name);
  for (const std::string& aside : names) {
    if (!aside.ends_with(kAsideSuffix)) continue;
    const std::string name = aside.substr(0, aside.size() - (sizeof kAsideSuffix - 1));
    if (!Uid128::Parse(name).ok() || names.contains(name)) continue;  // Not ours, or made anew.
    // No row speaks of it yet, so a start goes on without; the flush that needs it tries again.
    (void)servers_dir.Rename(aside, name);
  }
  return {};
}

namespace {

/// Made where it is not: what no name says is not removed for good, if an earlier sync failed.
Status RemoveAfresh(Directory& servers_dir, const std::string& name) {
  const Status made = servers_dir.CreateDirectory(name);
  if (!made.ok() && made.error().code != ErrorCode::kAlreadyExists) return made.error();
  const std::unique_ptr<Directory> directory = TRY(servers_dir.OpenDirectory(name));
  for (const DirectoryEntry& entry : TRY(directory->List())) {
    if (entry.is_regular) TRY(directory->Remove(entry.name));
  }
  return servers_dir.RemoveDirectory(name);  // Fails where somebody has put something else.
}

}  // namespace

Status RemoveServer(Directory& servers_dir, const ServerUid& uid) {
  TRY(RemoveAfresh(servers_dir, uid.ToString()));
  const std::string aside = uid.ToString() + kAsideSuffix;
  return servers_dir.OpenDirectory(aside).ok() ? RemoveAfresh(servers_dir, aside) : Status();
}

Status DurableState::Load(Directory& data_dir, const SystemUuid& system, DurableRows& rows,
                          AttemptFile* attempt) {
  meta_dir = TRY(OpenIfThere(data_dir, kMetaName));
  servers_dir = TRY(OpenIfThere(data_dir, kServersName));
  if (meta_dir != nullptr) TRY(LoadCheckpoints(system, rows));
  if (attempt != nullptr) left_out_ = attempt->left_out();
  return ScanServers(system, attempt);
}

Status DurableState::LoadCheckpoints(const SystemUuid& system, DurableRows& rows) {
  checkpoints.emplace(*meta_dir, system);
  const meta::LoadedCheckpoints loaded = TRY(checkpoints->Load());
  for (const meta::CheckpointFile& file : loaded.files) {
    unreadable_checkpoints_ = unreadable_checkpoints_ || (file.present && !file.content);
  }
  if (loaded.files[0].content || loaded.files[1].content) unreadable_checkpoints_ = false;
  merged_ = meta::MergeCheckpoints(loaded.files[0], loaded.files[1]);
  for (const meta::MergedServer& server : merged_.servers) rows.Restore(server.uid, server.rows);
  rows.RestoreIncarnation(merged_.highest_incarnation);
  const meta::Covers& from = merged_.replay_from;
  covered = {.file = from.file,
             .life = from.file_life,
             .batch = from.batch,
             .checksum = from.batch_checksum};
  candidates_.insert(merged_.unreadable.begin(), merged_.unreadable.end());
  for (const meta::CheckpointFinding& found : loaded.findings) AddFinding(found);
  return {};
}

/// A rewrite that a crash stopped leaves a file that cannot be read in part, or at all; what the
/// other one has is not lost.
void DurableState::AddFinding(const meta::CheckpointFinding& found) {
  const std::optional<ServerUid>& uid = found.damage.uid;
  const bool is_lost =
      found.damage.row_lost && (uid ? candidates_.contains(*uid) : merged_.unnamed_lost);
  Finding finding{.kind = is_lost ? FindingKind::kDamage : FindingKind::kHeaderCopy,
                  .file = std::string(kMetaName) + "/" + found.file,
                  .offset_bytes = found.damage.offset,
                  .size_bytes = found.damage.bytes,
                  .sentence = found.damage.sentence,
                  .touched = {}};
  if (!is_lost) finding.sentence += "; the other checkpoint has it";
  if (is_lost && uid) finding.touched.push_back({uid->ToString(), 0, 0, true});
  findings.push_back(std::move(finding));
}

Status DurableState::ScanServers(const SystemUuid& system, AttemptFile* attempt) {
  std::set<ServerUid> directories;
  if (servers_dir != nullptr) {
    for (const DirectoryEntry& entry : TRY(servers_dir->List())) {
      const Result<Uid128> uid = Uid128::Parse(entry.name);
      if (uid.ok() && entry.is_directory) directories.insert(ServerUid{*uid});
    }
  }
  for (const meta::MergedServer& server : merged_.servers) {
    const bool there = directories.erase(server.uid) > 0;
    if (server.rows.deleted()) {
      servers[server.uid];  // Known, so that it is removed: once more, if it is not there.
      continue;
    }
    if (attempt != nullptr) attempt->Note(server.uid);
    TRY(ScanServer(system, server, there));
  }
  if (attempt != nullptr) attempt->Note({});  // What trips from here on is nobody's.
  // The WAL may know them: then their first flush was not finished, or they are deleted.
  for (const ServerUid& uid : directories) {
    servers[uid].may_append = false;
    candidates_.insert(uid);
  }
  return {};
}

const std::set<ServerUid>& DurableState::FindLost(const DurableRows& rows,
                                                  const wal::Replay& replay) {
  for (const ServerUid& uid : candidates_) {
    const bool known = rows.With([&](const meta::Table& table) {
      const meta::ServerRows* server = table.Find(uid);
      return server != nullptr && (server->has(meta::RowKind::kIdentity) || server->deleted());
    });
    const bool unreadable = std::find(merged_.unreadable.begin(), merged_.unreadable.end(), uid) !=
                            merged_.unreadable.end();
    // Checkpoints that name all they hold do not hold it: it was registered since, and the WAL has
    // it as a whole. That its registration is lost there is for others to see.
    const bool only_in_wal = !merged_.unnamed_lost && !unreadable_checkpoints_;
    if (!unreadable && (known || (only_in_wal && replay.Find(uid) != nullptr))) continue;
    lost.insert(uid);
    findings.push_back({.kind = FindingKind::kDamage,
                        .file = std::string(kServersName) + "/" + uid.ToString(),
                        .sentence = "no row of the log can be read, so what it held is not known",
                        .touched = {{uid.ToString(), 1, 0, true}}});
  }
  return lost;
}

void DurableState::DropHealed(const DurableRows& rows, const wal::Replay& replay) {
  std::erase_if(findings, [&](const Finding& finding) {
    if (finding.touched.size() != 1 || finding.touched.front().rows) return false;
    const TouchedRange& touched = finding.touched.front();
    const Result<Uid128> uid = Uid128::Parse(touched.log);
    if (uid.ok() && rows.Deleted(ServerUid{*uid})) return true;  // Half removed.
    const wal::ReplayedLog* log = uid.ok() ? replay.Find(ServerUid{*uid}) : nullptr;
    if (log == nullptr) return false;
    return std::none_of(log->holes.begin(), log->holes.end(), [&](const IndexRange& hole) {
      return hole.begin <= touched.last && hole.end > touched.first;
    });
  });
}

Status DurableState::ScanServer(const SystemUuid& system, const meta::MergedServer& known,
                                bool has_directory) {
  const meta::ServerRows& rows = known.rows;
  wal::LogSeed seed{
      .owner = {known.uid, rows.identity.cluster_id},
      .bounds = {.begin = rows.bounds.begin,
                 .end = rows.bounds.end,
                 .term_before_begin = rows.bounds.term_before_begin,
                 .last_term = rows.bounds.last_term,
                 .epoch = Planted(PlantedBug::kSeedWithoutEpoch) ? 0 : rows.bounds.epoch},
      .covered_file = known.covers.file};
  ServerSegments found{.identity = {system, known.uid, rows.identity.cluster_id},
                       .flushed = FlushedOf(rows)};
  // What was cut since the last flush is cut in segments too.
  if (found.flushed.segment != 0) {
    found.flushed.end = std::min(found.flushed.end, seed.bounds.end);
  }
  const bool left_out = known.uid == left_out_ && !left_out_.is_nil();
  if (has_directory && !left_out && !rows.has(meta::RowKind::kIdentity)) {
    const auto directory = TRY(servers_dir->OpenDirectory(known.uid.ToString()));
    found.identity.cluster_id = TRY(segments::LearnClusterId(*directory, found.identity));
    seed.owner.cluster_id = found.identity.cluster_id;
  }
  const bool scanned = has_directory && !left_out;
  if (scanned) {
    TRY(ScanSegments(known, found, seed));
  } else if (found.flushed.end > seed.bounds.begin) {
    const IndexRange gone{seed.bounds.begin, found.flushed.end};
    seed.holes.push_back(gone);
    if (!left_out) AddMissingDirectory(known.uid, gone);
  }
  // One that is left out too, so that its directory goes when it is deleted.
  if (!scanned) found.next_number = found.flushed.segment + 1;
  if (has_directory) servers[known.uid] = found;
  seed.flushed_end = std::max<Index>(found.flushed.end, 1);
  FinishSeed(seed);
  seeds.push_back(std::move(seed));
  return {};
}

void DurableState::AddMissingDirectory(const ServerUid& uid, IndexRange gone) {
  findings.push_back({.kind = FindingKind::kMissingFile,
                      .file = std::string(kServersName) + "/" + uid.ToString(),
                      .sentence = "the directory with the log's segments is missing",
                      .touched = {{uid.ToString(), gone.begin, gone.end - 1, false}}});
}

Status DurableState::ScanSegments(const meta::MergedServer& known, ServerSegments& found,
                                  wal::LogSeed& seed) {
  const meta::ServerRows& rows = known.rows;
  CHECK(!Planted(PlantedBug::kPoisonPill) || seeds.size() != 1);
  const std::unique_ptr<Directory> directory =
      TRY(servers_dir->OpenDirectory(known.uid.ToString()));
  const segments::ScanResult scan = TRY(segments::ScanServer({.directory = *directory,
                                                              .identity = found.identity,
                                                              .authority = found.flushed,
                                                              .begin = seed.bounds.begin}));
  found.list = scan.list;
  found.next_number = scan.next_number;
  found.may_append = scan.may_append;
  seed.holes = scan.lost;
  for (const segments::TermRun& run : scan.terms) seed.terms.push_back({run.first, run.term});
  for (const segments::Finding& finding : scan.findings) {
    if (finding.kind == segments::FindingKind::kLeftoverFile) {
      // Without its rows nobody knows what counts, and while entries are missing it may be all that
      // is left of them: nothing of it is garbage then [A18].
      const bool certain = rows.has(meta::RowKind::kIdentity) && !rows.faulty.faulty();
      if (certain && scan.lost.empty()) found.leftovers.push_back(finding.file);
    } else if (finding.kind != segments::FindingKind::kLeftoverBytes) {
      findings.push_back(FindingOf(known.uid, finding));
    }
  }
  return {};
}

/// What was above the flushed end when the generation was closed was cut since, in a WAL file that
/// is still there; until that is read it counts as lost.
void DurableState::FinishSeed(wal::LogSeed& seed) {
  const Index begin = seed.bounds.begin;
  const Index end = seed.bounds.end;
  if (seed.flushed_end < end) seed.holes.push_back({std::max(seed.flushed_end, begin), end});
  for (IndexRange& hole : seed.holes) {
    hole = {std::max(hole.begin, begin), std::min(hole.end, end)};
  }
  std::erase_if(seed.holes, [](const IndexRange& hole) { return hole.empty(); });
  std::erase_if(seed.terms, [&](const wal::TermRun& run) { return run.first >= seed.flushed_end; });
  while (seed.terms.size() > 1 && seed.terms[1].first <= begin) {
    seed.terms.erase(seed.terms.begin());
  }
  if (end == begin) seed.terms.clear();
}

}  // namespace duramen::log
