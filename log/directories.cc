// Which directories a start opens, and which it refuses; see log/store.h and log/system_file.h.
#include <algorithm>

#include "base/settings.h"
#include "base/try.h"
#include "log/repair_journal.h"
#include "log/shards.h"
#include "log/store.h"
#include "log/system_file.h"

namespace duramen {
inline namespace v1 {
namespace {

constexpr std::string_view kDefaultWalDir = "wal";
constexpr char kLockName[] = "LOCK";
constexpr char kProbeName[] = "PROBE";
constexpr std::uint32_t kFailoverPosition = 1;  // in SYSTEM's list

/// A directory that SYSTEM lists, and that is not there: an empty one in its place would look like
/// a system that never wrote to it.
Result<std::unique_ptr<Directory>> OpenListed(FileSystem& file_system, const std::string& path) {
  Result<std::unique_ptr<Directory>> opened = file_system.Open(path);
  if (opened.ok()) return opened;
  Error error = std::move(opened).error();
  error.message = "the system wrote its WAL to '" + path + "', too: " + error.message;
  error.hint = "mount or restore that directory: without it acknowledged entries may be missing";
  return error;
}

/// Before anything is made there. What a store has made goes with it, and its wal_dir with a shard:
/// two of them in one directory would each remove what is the other's.
Status RefuseStore(const Directory& directory) {
  if (!TRY(log::HoldsStore(directory))) return {};
  return Error{
      ErrorCode::kConfiguration,
      "'" + directory.path() + "' is the data_dir of a store: no WAL of another can lie there",
      "name a directory of its own; with wal_shards, shard K has the one below it that is "
      "named K"};
}

bool IsOneOf(const std::vector<std::string>& paths, const std::string& path) {
  return std::find(paths.begin(), paths.end(), path) != paths.end();
}

}  // namespace

Status LogStore::Impl::OpenDirectories() {
  TRY(file_system->CreateDirectories(options.data_dir));
  data_dir = TRY(file_system->Open(options.data_dir));
  data_lock = TRY(data_dir->Lock(kLockName));
  return log::FinishPendingRepair(*file_system, *data_dir);
}

/// Rule A14: a start without one of the directories that hold acknowledged data is refused.
Status LogStore::Impl::OpenSystem() {
  const Result<std::vector<std::byte>> bytes = log::ReadSmallFile(*data_dir, log::kSystemName);
  if (!bytes.ok()) {
    if (bytes.error().code != ErrorCode::kNotFound) return bytes.error();
    TRY(CreateSystem());
    return OpenFailover({});
  }
  const log::Copies<log::SystemFile> file = TRY(log::DecodeSystemFile(*bytes));
  // A start that was killed may have left the name in the page cache only.
  TRY(data_dir->Sync());
  system = file.content.system;
  TRY(CheckShard(file.content));
  counted_shards = std::max(file.content.shards, 1u);
  const std::string wanted =
      options.wal_dir.empty() ? std::string(kDefaultWalDir) : options.wal_dir;
  const std::vector<std::string>& known = file.content.wal_dirs;
  if (known.empty() || known.front() != wanted) {
    return Error{ErrorCode::kConfiguration,
                 "wal_dir is '" + wanted + "', but the system was created with '" +
                     (known.empty() ? "" : known.front()) + "'",
                 "set wal_dir back; what was acknowledged lies there"};
  }
  for (std::size_t copy = 0; copy < log::kSystemCopies; ++copy) {
    if (file.copy_ok[copy]) continue;
    report.findings.push_back({.kind = FindingKind::kHeaderCopy,
                               .file = log::kSystemName,
                               .offset_bytes = copy * log::kSystemBlockBytes,
                               .size_bytes = log::kSystemBlockBytes,
                               .sentence = "a copy in SYSTEM cannot be read; nothing is lost",
                               .touched = {}});
  }
  if (wanted == kDefaultWalDir) {
    wal_dir = TRY(data_dir->OpenDirectory(kDefaultWalDir));
  } else {
    wal_dir = TRY(OpenListed(*file_system, wanted));
    wal_lock = TRY(wal_dir->Lock(kLockName));
  }
  TRY(CheckIdentity(*wal_dir, 0));
  return OpenFailover({known.begin() + 1, known.end()});
}

Status LogStore::Impl::CheckIdentity(Directory& directory, std::uint32_t position) {
  TRY(directory.Sync());
  const Result<std::vector<std::byte>> bytes = log::ReadSmallFile(directory, log::kIdentityName);
  if (!bytes.ok() && bytes.error().code != ErrorCode::kNotFound) return bytes.error();
  const std::string hint = "mount or restore the directory that belongs to this system";
  if (!bytes.ok()) {
    return Error{ErrorCode::kCorruption,
                 "'" + directory.path() +
                     "' has no IDENTITY file: it is not the wal_dir that this "
                     "system wrote to",
                 hint};
  }
  const Result<log::Copies<log::IdentityFile>> identity = log::DecodeIdentityFile(*bytes);
  if (!identity.ok()) return identity.error();
  if (identity->content.system != system) {
    return Error{ErrorCode::kConfiguration, "'" + directory.path() + "' belongs to another system",
                 hint};
  }
  if (identity->content.wal_dir != position) {
    return Error{ErrorCode::kConfiguration,
                 "'" + directory.path() + "' is another of the WAL directories of this system",
                 hint};
  }
  for (std::size_t copy = 0; copy < log::kSystemCopies; ++copy) {
    if (identity->copy_ok[copy]) continue;
    report.findings.push_back({.kind = FindingKind::kHeaderCopy,
                               .file = log::kIdentityName,
                               .offset_bytes = copy * log::kSystemBlockBytes,
                               .size_bytes = log::kSystemBlockBytes,
                               .sentence = "a copy in IDENTITY cannot be read; nothing is lost",
                               .touched = {}});
  }
  return {};
}

/// SYSTEM is written last: a crash before it leaves a directory that the next start creates anew.
Status LogStore::Impl::CreateSystem() {
  if (TRY(log::Holds(*data_dir, log::kIdentityName))) {
    return Error{ErrorCode::kConfiguration,
                 "'" + options.data_dir + "' is a WAL directory of another system",
                 "name a directory of its own"};
  }
  const bool inside = options.wal_dir.empty();
  if (inside) {
    const Status made = data_dir->CreateDirectory(kDefaultWalDir);
    if (!made.ok() && made.error().code != ErrorCode::kAlreadyExists) return made.error();
    TRY(data_dir->Sync());  // Before SYSTEM: that name must never be there without this one.
    wal_dir = TRY(data_dir->OpenDirectory(kDefaultWalDir));
  } else {
    TRY(file_system->CreateDirectories(options.wal_dir));
    wal_dir = TRY(file_system->Open(options.wal_dir));
    TRY(RefuseStore(*wal_dir));
    wal_lock = TRY(wal_dir->Lock(kLockName));
  }
  TRY(CheckNoWalFiles(*wal_dir));
  system = shard == 0 ? rng.NextUid() : log::ShardUuid(root_system, shard);
  TRY(CheckNoIdentity());
  TRY(log::ReplaceFile(*wal_dir, log::kIdentityName,
                       log::EncodeIdentityFile({.system = system, .wal_dir = 0})));
  log::SystemFile file{.system = system,
                       .created_unix_ms = clock->UnixMs(),
                       .shards = shard == 0 ? 1 : log::kIsAShard,
                       .wal_dirs = {}};
  file.wal_dirs.push_back(inside ? std::string(kDefaultWalDir) : options.wal_dir);
  report.created = true;
  return log::ReplaceFile(*data_dir, log::kSystemName, log::EncodeSystemFile(file));
}

Status LogStore::Impl::CheckNoWalFiles(const Directory& directory) const {
  for (const DirectoryEntry& entry : TRY(directory.List())) {
    if (!wal::ParseFileName(entry.name)) continue;
    return Error{ErrorCode::kCorruption,
                 "'" + directory.path() + "' holds WAL files, but '" + options.data_dir +
                     "' has no SYSTEM file that knows of it",
                 "restore SYSTEM, or use an empty directory"};
  }
  return {};
}

/// What a creation has left that a crash cut short may be written over: of a shard it says whose it
/// is, of shard 0 it was to have a uuid that nobody knows. In a wal_dir without WAL files nobody
/// has anything; a fail-over directory has none until it is needed.
Status LogStore::Impl::CheckNoIdentity() const {
  const Result<std::vector<std::byte>> bytes = log::ReadSmallFile(*wal_dir, log::kIdentityName);
  if (!bytes.ok()) return bytes.error().code == ErrorCode::kNotFound ? Status{} : bytes.error();
  const log::IdentityFile identity = TRY(log::DecodeIdentityFile(*bytes)).content;
  if (shard == 0 && identity.wal_dir == 0) return {};
  if (identity.system == system && identity.wal_dir == 0) return {};
  return Error{ErrorCode::kConfiguration,
               "'" + wal_dir->path() + "' is a WAL directory of another system",
               "name a directory of its own"};
}

/// `listed`: what SYSTEM says of fail-over directories. What it lists may hold the only copy of
/// what was acknowledged, so it takes a word of its own to do without [A14, C9].
Status LogStore::Impl::OpenFailover(const std::vector<std::string>& listed) {
  std::string wanted = options.wal_failover_dir;
  leaves_failover = wanted == kNoFailoverDir;
  if (leaves_failover) wanted = listed.empty() ? "" : listed.front();
  const std::string other = listed.empty() ? "" : listed.front();
  if (listed.size() > 1 || (!other.empty() && other != wanted)) {
    return Error{ErrorCode::kConfiguration,
                 "SYSTEM lists the fail-over directory '" + other + "', which " +
                     (wanted.empty() ? "wal_failover_dir does not name"
                                     : "is not the '" + wanted + "' of wal_failover_dir"),
                 "set wal_failover_dir to '" + other +
                     "': acknowledged entries may stand there alone; or to 'none' for a start that "
                     "takes it out of use"};
  }
  if (wanted.empty()) return {};
  if (!IsOneOf(listed, wanted)) TRY(AddFailover(wanted));
  failover_dir = TRY(OpenListed(*file_system, wanted));
  failover_lock = TRY(failover_dir->Lock(kLockName));
  TRY(CheckIdentity(*failover_dir, kFailoverPosition));
  if (failover_dir->device() != 0 && failover_dir->device() == wal_dir->device()) {
    log_.Write(LogLevel::kWarning, "store.same_device",
               "wal_failover_dir is on the file system of wal_dir: a device that stalls or fails "
               "takes both, so there is nowhere to go on",
               {{"wal_dir", wal_dir->path()}, {"wal_failover_dir", wanted}});
  }
  OpenProbe();
  return {};
}

/// First IDENTITY, then SYSTEM, and only then anything else: so a start that finds it listed finds
/// it whole, and one that does not has nothing to lose there.
Status LogStore::Impl::AddFailover(const std::string& path) {
  TRY(file_system->CreateDirectories(path));
  const std::unique_ptr<Directory> directory = TRY(file_system->Open(path));
  TRY(RefuseStore(*directory));
  const std::unique_ptr<FileLock> lock = TRY(directory->Lock(kLockName));
  TRY(CheckNoWalFiles(*directory));
  const Result<std::vector<std::byte>> before = log::ReadSmallFile(*directory, log::kIdentityName);
  if (before.ok()) TRY(CheckIdentity(*directory, kFailoverPosition));
  TRY(log::ReplaceFile(*directory, log::kIdentityName,
                       log::EncodeIdentityFile({.system = system, .wal_dir = kFailoverPosition})));
  return ListFailover(path);
}

/// Whether the directory is the one that it was opened as.
Status LogStore::Impl::CheckShard(const log::SystemFile& file) const {
  const bool is_shard = file.shards == log::kIsAShard;
  if (shard == 0 && !(is_shard && !mending)) return {};
  if (shard == 0) {
    return Error{ErrorCode::kConfiguration,
                 "'" + options.data_dir + "' is a WAL shard of another data_dir",
                 "open that one, two levels above, with the wal_shards that it has"};
  }
  const bool ours = file.system == log::ShardUuid(root_system, shard);
  if (ours && is_shard) return {};
  if (ours) {
    return Error{ErrorCode::kConfiguration,
                 "SYSTEM in '" + options.data_dir + "' says that it is a store of its own",
                 log::BackToAShard(options.data_dir)};
  }
  std::string whose = "another system";
  for (std::uint32_t other = 0; other < log::kShardsMax; ++other) {
    if (file.system == log::ShardUuid(root_system, other)) {
      whose = "shard " + std::to_string(other) + " of this system";
    }
  }
  return Error{ErrorCode::kConfiguration, "'" + options.data_dir + "' belongs to " + whose,
               "mount or restore the directory that belongs to this shard"};
}

/// How many SYSTEM counts from now on.
Status LogStore::Impl::CountShards(std::uint32_t count) {
  const std::vector<std::byte> bytes = TRY(log::ReadSmallFile(*data_dir, log::kSystemName));
  log::SystemFile file = TRY(log::DecodeSystemFile(bytes)).content;
  file.shards = count;
  return log::ReplaceFile(*data_dir, log::kSystemName, log::EncodeSystemFile(file));
}

/// Makes `path` the one that SYSTEM lists; empty: none.
Status LogStore::Impl::ListFailover(const std::string& path) {
  const std::vector<std::byte> bytes = TRY(log::ReadSmallFile(*data_dir, log::kSystemName));
  log::SystemFile file = TRY(log::DecodeSystemFile(bytes)).content;
  file.wal_dirs.resize(1);
  if (!path.empty()) file.wal_dirs.push_back(path);
  return log::ReplaceFile(*data_dir, log::kSystemName, log::EncodeSystemFile(file));
}

/// What is written to find out whether wal_dir answers; there before it is needed, because making
/// it might take as long as what is found out.
void LogStore::Impl::OpenProbe() {
  const auto open = [this]() -> Result<std::unique_ptr<File>> {
    Result<std::unique_ptr<File>> file = wal_dir->Open(kProbeName, OpenFor::kReadWrite);
    if (!file.ok()) file = wal_dir->Create(kProbeName);
    if (!file.ok()) return file;
    TRY((*file)->Allocate(wal::kProbeBytes));
    TRY((*file)->SyncAll());
    return file;
  };
  Result<std::unique_ptr<File>> file = open();
  if (file.ok()) {
    probe_file = std::move(*file);
    return;
  }
  log_.Write(LogLevel::kWarning, "store.no_probe",
             "there is no file to probe wal_dir with: once the WAL has left it, it does not return "
             "there before the next start",
             {{"error", file.error().message}});
}

/// `none` was asked for: once nothing there counts, nothing says any more that it is needed.
Status LogStore::Impl::LeaveFailover(bool counts) {
  if (!leaves_failover || failover_dir == nullptr) return {};
  if (counts) {
    log_.Write(LogLevel::kWarning, "store.failover_kept",
               "wal_failover_dir holds WAL files that are still needed; it stays in use, and a "
               "later start with 'none' takes it out when they are flushed",
               {{"wal_failover_dir", failover_dir->path()}});
    return {};
  }
  pool->set_away(nullptr);
  away_pool.reset();
  // First, so that it can be taken in again whatever a crash leaves.
  for (const DirectoryEntry& entry : TRY(failover_dir->List())) {
    if (wal::ParseFileName(entry.name)) TRY(log::RemoveIfThere(*failover_dir, entry.name));
  }
  TRY(failover_dir->Sync());
  TRY(ListFailover(""));
  TRY(log::RemoveIfThere(*failover_dir, log::kIdentityName));
  probe_file.reset();
  TRY(log::RemoveIfThere(*wal_dir, kProbeName));
  log_.Write(LogLevel::kInfo, "store.failover_left", "wal_failover_dir is out of use",
             {{"wal_failover_dir", failover_dir->path()}});
  failover_lock.reset();
  failover_dir.reset();
  return {};
}

/// Also of a store that an older release made.
Status LogStore::Impl::MakeFolders() {
  for (const char* name : {log::kMetaName, log::kServersName}) {
    const Status made = data_dir->CreateDirectory(name);
    if (!made.ok() && made.error().code != ErrorCode::kAlreadyExists) return made.error();
  }
  const std::unique_ptr<Directory> servers_dir = TRY(data_dir->OpenDirectory(log::kServersName));
  TRY(log::PutNamesBack(*servers_dir));
  return data_dir->Sync();
}

}  // namespace v1
}  // namespace duramen
