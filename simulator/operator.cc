#include "simulator/operator.h"

#include <algorithm>

#include "base/try.h"
#include "log/attempt_file.h"
#include "log/durable_state.h"
#include "log/repair.h"
#include "log/system_file.h"
#include "segments/scan.h"
#include "sim/crash_states.h"
#include "wal/recovery.h"
#include "wal/scan.h"

namespace duramen::simulator {
namespace {

constexpr char kData[] = "/data";

bool IsDamage(FindingKind kind) {
  return kind == FindingKind::kDamage || kind == FindingKind::kMissingFile;
}

/// The summaries that recovery would make itself, as verify and dump have them.
Result<std::vector<wal::FileSummary>> ScanWal(const Directory& directory,
                                              const SystemUuid& system) {
  std::vector<wal::FileSummary> summaries;
  for (const DirectoryEntry& entry : TRY(directory.List())) {
    const std::optional<std::uint64_t> number = wal::ParseFileName(entry.name);
    if (!number || !entry.is_regular) continue;
    const std::unique_ptr<File> file = TRY(directory.Open(entry.name, OpenFor::kRead));
    wal::FileWindow window(*file, TRY(file->SizeBytes()));
    wal::FileSummary summary = wal::ScanHeaders(window, *number, system);
    wal::ScanBatches(window, system, summary);
    summaries.push_back(std::move(summary));
  }
  std::ranges::sort(summaries, {}, &wal::FileSummary::number);
  return summaries;
}

/// Nothing: SYSTEM cannot be read.
std::optional<std::uint32_t> ShardsOf(const sim::DiskState& disk) {
  const sim::Node file = disk.visible().FindPath(std::string(kData) + "/SYSTEM");
  if (file == 0) return std::nullopt;
  const sim::FileContent& content = disk.visible().content(file);
  std::vector<std::byte> bytes(content.size_bytes());
  (void)content.Read(0, bytes);
  const auto system = log::DecodeSystemFile(bytes);
  if (!system.ok()) return std::nullopt;
  return system->content.shards;
}

/// As its WAL files name it; nil: none of them can be read.
SystemUuid SystemInWal(const sim::DiskState& disk, const std::string& root) {
  const sim::Image& image = disk.visible();
  const sim::Node directory = image.FindPath(root + "/wal");
  if (directory == 0) return {};
  for (const auto& [name, file] : image.entries(directory)) {
    if (image.IsDirectory(file) || !wal::ParseFileName(name)) continue;
    std::vector<std::byte> block(wal::kBlockBytes);
    if (image.content(file).Read(0, block) < block.size()) continue;
    const Result<wal::FileHeader> header = wal::DecodeFileHeader(block, 0);
    if (header.ok()) return header->system;
  }
  return {};
}

Status VerifySegments(const log::DurableState& state, Inspection& inspection) {
  if (state.servers_dir == nullptr) return {};
  for (const auto& [uid, server] : state.servers) {
    if (server.list.empty()) continue;
    const std::unique_ptr<Directory> directory =
        TRY(state.servers_dir->OpenDirectory(uid.ToString()));
    const segments::VerifyResult verified = TRY(segments::VerifyServer(
        {.directory = *directory, .identity = server.identity, .authority = server.flushed},
        server.list));
    inspection.segment_entries += verified.entries;
    for (const segments::Finding& one : verified.findings) {
      if (one.lost.empty() && !one.sparse_suspect) continue;
      inspection.damage.push_back(uid.ToString() + "/" + one.file + ": " + one.sentence);
      inspection.lacking.push_back(uid);
    }
  }
  return {};
}

}  // namespace

/// As SYSTEM counts them; where it is lost, what looks like one.
std::vector<std::string> RootsOf(const sim::DiskState& disk) {
  std::vector<std::string> roots = {kData};
  const sim::Image& image = disk.visible();
  const std::string folder = std::string(kData) + "/shards";
  const sim::Node shards = image.FindPath(folder);
  if (shards == 0) return roots;
  const std::optional<std::uint32_t> counted = ShardsOf(disk);
  for (const auto& [name, node] : image.entries(shards)) {
    const std::string root = folder + "/" + name;
    const bool whole = image.IsDirectory(node) && image.FindPath(root + "/wal") != 0;
    const bool counts = !counted || name.size() > 2 || std::stoul(name) < *counted;
    if (whole && counts && image.FindPath(root + "/RETIRED") == 0) roots.push_back(root);
  }
  return roots;
}

namespace {

/// Its deletion was lost with a WAL file, and a newer log has its name [C9].
bool HasLostItsName(const log::DurableRows& rows, const ServerUid& uid) {
  return rows.With([&](const meta::Table& table) {
    const meta::ServerRows* server = table.Find(uid);
    if (server == nullptr || !server->has(meta::RowKind::kIdentity)) return false;
    const std::optional<ServerUid> holder = table.FindByName(server->identity.name);
    return holder && *holder != uid;
  });
}

}  // namespace

Result<Inspection> Inspect(const sim::DiskState& disk, const std::string& root) {
  sim::SiteTable sites;
  sim::SimFileSystem machine(disk, sites);
  machine.KeepNoTrace();
  const std::unique_ptr<Directory> directory = TRY(machine.Open(root));
  const std::vector<std::byte> bytes = TRY(log::ReadSmallFile(*directory, log::kSystemName));
  const log::SystemFile system = TRY(log::DecodeSystemFile(bytes)).content;
  log::DurableRows rows;
  log::DurableState state;
  TRY(state.Load(*directory, system.system, rows));
  const std::unique_ptr<Directory> wal_dir = TRY(directory->OpenDirectory("wal"));
  std::unique_ptr<Directory> away;
  if (system.wal_dirs.size() > 1) away = TRY(machine.Open(system.wal_dirs[1]));
  const std::vector<wal::FileSummary> scanned = TRY(ScanWal(*wal_dir, system.system));
  wal::RecoveryOptions options{.system = system.system,
                               .covered = state.covered,
                               .seeds = &state.seeds,
                               .away = away.get()};
  if (away == nullptr) options.scanned = &scanned;  // Of two directories it is another's work.
  ManualClock clock;
  Rng rng(1);
  wal::Recovery recovery(*wal_dir, options, clock, rng);
  TRY(recovery.Scan(rows));
  (void)state.FindLost(rows, recovery.replay());
  state.DropHealed(rows, recovery.replay());
  Inspection inspection;
  const Result<std::vector<std::byte>> attempt =
      log::ReadSmallFile(*directory, log::AttemptFile::kName);
  inspection.left_out = attempt.ok() && !log::DecodeAttempt(*attempt).left_out.is_nil();
  for (const wal::WalFinding& finding : recovery.findings()) {
    if (IsDamage(finding.kind)) inspection.damage.push_back("the WAL: " + finding.sentence);
  }
  for (const Finding& finding : state.findings) {
    if (IsDamage(finding.kind)) inspection.damage.push_back(finding.sentence);
  }
  for (const wal::ReplayedLog& log : recovery.replay().logs()) {
    if (rows.Deleted(log.owner.uid) || HasLostItsName(rows, log.owner.uid)) continue;
    inspection.logs[log.owner.uid] = {log.bounds.begin, log.bounds.end};
    if (!log.holes.empty() || log.suspect) inspection.lacking.push_back(log.owner.uid);
    const bool known = rows.With([&](const meta::Table& table) {
      const meta::ServerRows* server = table.Find(log.owner.uid);
      return server != nullptr && server->faulty.faulty();
    });
    if (known) continue;
    for (const IndexRange& hole : log.holes) {
      inspection.damage.push_back("log " + log.owner.uid.ToString() + " lacks entries from " +
                                  std::to_string(hole.begin) + " to " +
                                  std::to_string(hole.end - 1));
    }
  }
  TRY(VerifySegments(state, inspection));
  return inspection;
}

Result<std::string> RepairDisk(sim::DiskState& disk, const RepairJob& job, const Bench& bench) {
  sim::SiteTable sites;
  sim::SimFileSystem machine(disk, sites);
  machine.KeepNoTrace();
  if (job.die_after != UINT64_MAX) {
    machine.Schedule({.kind = {},
                      .file_class = "",
                      .skip = job.die_after,
                      .times = 1,
                      .effect = sim::FaultEffect::kCrash});
  }
  const log::RepairOptions options{
      .data_dir = job.root, .wal_dir = "", .system = SystemInWal(disk, job.root),
      .mend = job.mend, .log_sink = {}};
  Result<log::RepairOutcome> outcome = log::RepairStore(
      options, {machine, bench.clock, bench.executor, Rng(bench.rng.Next())});
  machine.Crash();
  disk = machine.disk();
  if (!outcome.ok()) return std::move(outcome).error();
  return outcome->id;
}

Status UndoOn(sim::DiskState& disk, const std::string& root, const std::string& id, bool force) {
  sim::SiteTable sites;
  sim::SimFileSystem machine(disk, sites);
  machine.KeepNoTrace();
  const Result<std::string> undone = log::UndoRepair(root, id, force, machine);
  machine.Crash();
  disk = machine.disk();
  return undone.ok() ? Status() : undone.error();
}

void LosePowerOf(sim::DiskState& disk, Rng& rng) {
  const sim::CrashStates states(disk,
                                rng.OneIn(2) ? sim::Profile::kExt4 : sim::Profile::kAdversary);
  disk = sim::DiskState(states.Materialize(states.At(rng.Below(states.count()))));
}

}  // namespace duramen::simulator
