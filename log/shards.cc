#include "log/shards.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <span>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/planted.h"
#include "base/try.h"
#include "log/quarantine.h"
#include "log/store.h"
#include "log/system_file.h"
#include "wal/format.h"

namespace duramen::log {
namespace {

constexpr std::size_t kNamesTold = 3;
constexpr std::string_view kWalDir = "wal";

std::string Word(std::uint32_t shard) { return "WAL shard " + std::to_string(shard); }

/// Puts before an error which shard it is about.
Status Named(std::uint32_t shard, Status status) {
  if (status.ok()) return status;
  Error error = std::move(status).error();
  error.message = Word(shard) + ": " + error.message;
  return error;
}

/// `path` with the shard's number behind it; what names no directory stays.
std::string Below(const std::string& path, std::uint32_t shard) {
  if (path.empty() || path.front() != '/') return path;
  return path + (path.back() == '/' ? "" : "/") + std::to_string(shard);
}

/// Null: there is no such directory.
Result<std::unique_ptr<Directory>> OpenIfThere(const Directory& parent, std::string_view name) {
  Result<std::unique_ptr<Directory>> opened = parent.OpenDirectory(name);
  if (!opened.ok() && opened.error().code == ErrorCode::kNotFound) {
    return std::unique_ptr<Directory>();
  }
  return opened;
}

/// `shards`, or a shard in it. Null: it is not there. Through a link one verb would go, and another
/// not: a start, say, and the removal of what a shard has left.
Result<std::unique_ptr<Directory>> OpenPart(const Directory& parent, std::string_view name) {
  Result<std::unique_ptr<Directory>> opened = OpenIfThere(parent, name);
  if (opened.ok() || opened.error().code != ErrorCode::kInvalidArgument) return opened;
  Error error = std::move(opened).error();
  error.code = ErrorCode::kConfiguration;
  error.hint = "put the directory itself there, or mount it there; what is no shard, move away";
  return error;
}

/// Whether WAL files were put aside, or are to be, whose damage could not be copied.
Result<bool> KeepsFiles(const LogStore::Impl& shard) {
  for (const Finding& finding : shard.report.findings) {
    if (finding.kept_in.ends_with(wal::kKeptSuffix)) return true;
  }
  for (const Directory* directory : {shard.wal_dir.get(), shard.failover_dir.get()}) {
    if (directory == nullptr) continue;
    for (const DirectoryEntry& entry : TRY(directory->List())) {
      if (entry.name.ends_with(wal::kKeptSuffix)) return true;
    }
  }
  return false;
}

/// What a store makes in its data_dir, but SYSTEM and `quarantine`.
bool IsOfAStore(const DirectoryEntry& entry) {
  constexpr std::string_view kDirectories[] = {kWalDir, kMetaName, kServersName};
  constexpr std::string_view kFiles[] = {"LOCK", "ATTEMPT", "SYSTEM.tmp"};
  return entry.is_directory ? std::ranges::count(kDirectories, entry.name) > 0
                            : std::ranges::count(kFiles, entry.name) > 0;
}

/// What it makes where its WAL lies. No directory: those are another's, and so may be all that is
/// in them.
bool IsOfAWal(const DirectoryEntry& entry) {
  constexpr std::string_view kFiles[] = {"LOCK",       "PROBE",       "METHOD.probe", kMethodName,
                                         "METHOD.tmp", kIdentityName, "IDENTITY.tmp"};
  if (entry.is_directory) return false;
  return std::ranges::count(kFiles, entry.name) > 0 || wal::ParseFileName(entry.name).has_value();
}

/// Of a directory that is a store's own. One that stayed would be a log of the shard that comes
/// next.
Status RemoveAll(Directory& directory) {
  for (const DirectoryEntry& entry : TRY(directory.List())) {
    if (!entry.is_directory) {
      TRY(directory.Remove(entry.name));
      continue;
    }
    const std::unique_ptr<Directory> inner = TRY(directory.OpenDirectory(entry.name));
    TRY(RemoveAll(*inner));
    TRY(directory.RemoveDirectory(entry.name));
  }
  return directory.Sync();
}

/// Those entries of a store, or of a WAL's directory, that `ours` says are a store's. Copies of
/// damaged bytes and what is nobody's stay. One of our directories may be mounted there, and stays
/// too. No lock is taken: who has that of shard 0 is alone here, and nobody opens a shard without
/// SYSTEM.
Status RemoveOurs(Directory& directory, bool (*ours)(const DirectoryEntry&),
                  std::string_view kept) {
  // A LOCK that another store holds in a WAL's directory says so by its name.
  const bool shared = ours == IsOfAWal && TRY(HoldsStore(directory));
  for (const DirectoryEntry& entry : TRY(directory.List())) {
    if (entry.name == kept || !ours(entry) || (shared && entry.name == "LOCK")) continue;
    if (!entry.is_directory) {
      TRY(directory.Remove(entry.name));
      continue;
    }
    const std::unique_ptr<Directory> inner = TRY(directory.OpenDirectory(entry.name));
    TRY(entry.name == kWalDir ? RemoveOurs(*inner, IsOfAWal, "") : RemoveAll(*inner));
    (void)directory.RemoveDirectory(entry.name);
  }
  return directory.Sync();
}

/// Whether nothing was ever written behind the headers of that WAL file. Not known is no.
bool IsBlank(const Directory& directory, const DirectoryEntry& entry) {
  constexpr std::size_t kPieceBytes = 256 << 10;
  const Result<std::unique_ptr<File>> file = directory.Open(entry.name, OpenFor::kRead);
  if (!file.ok()) return false;
  std::vector<std::byte> piece(kPieceBytes);
  for (std::uint64_t at = wal::kFirstBatchOffset; at < entry.size_bytes; at += piece.size()) {
    piece.resize(std::min<std::uint64_t>(kPieceBytes, entry.size_bytes - at));
    const Result<std::size_t> read = (*file)->Read(at, piece);
    if (!read.ok() || *read != piece.size()) return false;
    if (std::ranges::any_of(piece, [](std::byte byte) { return byte != std::byte{0}; })) {
      return false;
    }
  }
  return true;
}

bool IsEmptyDirectory(const Directory& parent, const char* name) {
  const Result<std::unique_ptr<Directory>> directory = OpenIfThere(parent, name);
  if (!directory.ok()) return false;
  if (*directory == nullptr) return true;
  const Result<std::vector<DirectoryEntry>> entries = (*directory)->List();
  return entries.ok() && entries->empty();
}

bool IsBlankWal(const Directory& directory, const SystemUuid& uuid) {
  const Result<std::vector<std::byte>> bytes = ReadSmallFile(directory, kIdentityName);
  if (!bytes.ok()) return false;
  const Result<Copies<IdentityFile>> identity = DecodeIdentityFile(*bytes);
  if (!identity.ok() || identity->content.system != uuid) return false;
  const Result<std::vector<DirectoryEntry>> entries = directory.List();
  return entries.ok() && std::ranges::all_of(*entries, [&](const DirectoryEntry& entry) {
           if (entry.name.ends_with(wal::kKeptSuffix)) return false;
           return !wal::ParseFileName(entry.name) || IsBlank(directory, entry);
         });
}

/// Whether that shard is as it was made. Nothing is opened or made for the answer, as there may be
/// no space for it; what cannot be read, or is somebody's, was written to.
bool IsAsMade(FileSystem& file_system, const Directory& shard, const SystemUuid& uuid) {
  const Result<std::vector<std::byte>> bytes = ReadSmallFile(shard, kSystemName);
  if (!bytes.ok()) return false;
  const Result<Copies<SystemFile>> file = DecodeSystemFile(*bytes);
  if (!file.ok() || file->content.system != uuid) return false;
  if (!IsEmptyDirectory(shard, kMetaName) || !IsEmptyDirectory(shard, kServersName) ||
      shard.OpenDirectory(kQuarantineName).ok()) {
    return false;
  }
  return std::ranges::all_of(file->content.wal_dirs, [&](const std::string& path) {
    const Result<std::unique_ptr<Directory>> directory =
        path == kWalDir ? shard.OpenDirectory(kWalDir) : file_system.Open(path);
    return directory.ok() && IsBlankWal(**directory, uuid);
  });
}

/// A wal_dir outside of data_dir; IDENTITY, which says whose it is, goes last.
Status RemoveWalDirectory(FileSystem& file_system, const std::string& path,
                          const SystemUuid& uuid) {
  const Result<std::unique_ptr<Directory>> opened = file_system.Open(path);
  if (!opened.ok()) {
    return opened.error().code == ErrorCode::kNotFound ? Status{} : opened.error();
  }
  Directory& directory = **opened;
  const Result<std::vector<std::byte>> bytes = ReadSmallFile(directory, kIdentityName);
  if (!bytes.ok()) return bytes.error().code == ErrorCode::kNotFound ? Status{} : bytes.error();
  if (TRY(DecodeIdentityFile(*bytes)).content.system != uuid) return {};
  TRY(RemoveOurs(directory, IsOfAWal, kIdentityName));
  TRY(directory.Remove(kIdentityName));
  TRY(directory.Sync());
  const std::size_t slash = path.rfind('/');
  const std::unique_ptr<Directory> parent = TRY(file_system.Open(path.substr(0, slash)));
  (void)parent->RemoveDirectory(path.substr(slash + 1));
  return parent->Sync();
}

}  // namespace

SystemUuid ShardUuid(const SystemUuid& system, std::uint32_t shard) {
  if (shard == 0) return system;
  // Two halves under two seeds; format, never to change.
  std::array<std::byte, 16 + 5 + 4> bytes{};
  std::memcpy(bytes.data(), system.bytes.data(), 16);
  std::memcpy(bytes.data() + 16, "shard", 5);
  StoreLe(bytes.data() + 21, shard);
  SystemUuid uuid;
  for (std::uint64_t half = 0; half < 2; ++half) {
    std::array<std::byte, 8> word{};
    StoreLe(word.data(), Checksum(bytes, half));
    std::memcpy(uuid.bytes.data() + half * 8, word.data(), 8);
  }
  return uuid;
}

std::string ShardPath(std::uint32_t shard) {
  return std::string(kShardsName) + "/" + std::to_string(shard);
}

std::string BackToAShard(const std::string& path) {
  return "a repair of an older release made it one; to make it a shard again: rm " + path +
         "/SYSTEM, then duramen repair " + path + " --apply";
}

Shards::Shards(LogStore::Impl& root)
    : root_(root), wanted_(static_cast<std::uint32_t>(root.options.wal_shards)), all_{&root} {}

Shards::~Shards() = default;

std::unique_ptr<LogStore::Impl> Shards::Make(std::uint32_t shard) const {
  LogStoreOptions options = root_.options;
  options.data_dir += "/" + ShardPath(shard);
  options.wal_dir = Below(options.wal_dir, shard);
  options.wal_failover_dir = Below(options.wal_failover_dir, shard);
  auto made =
      std::make_unique<LogStore::Impl>(options, root_.tuning, Rng(root_.rng.Next()), &root_.common);
  made->shard = shard;
  made->log_ = Log(options.log_sink, shard);
  made->root_system = root_.system;
  made->make_stat_memory = root_.make_stat_memory;
  return made;
}

Status Shards::Open() {
  root_.siblings = this;
  if (root_.mending) {
    TRY(root_.Recover());
    return root_.Salvage();
  }
  TRY(RefuseMissing());
  TRY(Drop());
  const std::uint32_t counted = root_.counted_shards;
  if (Planted(PlantedBug::kShardCountedEarly) && wanted_ > counted) TRY(root_.CountShards(wanted_));
  for (std::uint32_t shard = 1; shard < wanted_; ++shard) {
    others_.push_back(Make(shard));
    all_.push_back(others_.back().get());
    TRY(Named(shard, others_.back()->OpenFiles(root_.Environment())));
  }
  for (LogStore::Impl* one : all_) {
    one->stride = wanted_;
    one->siblings = this;
  }
  TRY(RecoverAll());
  if (wanted_ > counted) TRY(root_.CountShards(wanted_));
  SettleNames();
  TRY(Salvage());
  SumReports();
  return {};
}

void Shards::OpenShared() { report_ = root_.report; }

/// Before anything is made or changed: an empty directory in its place would look like a shard that
/// never held a log; and what lies where one may come is not ours [A14].
Status Shards::RefuseMissing() const {
  const std::unique_ptr<Directory> shards = TRY(OpenPart(*root_.data_dir, kShardsName));
  for (std::uint32_t shard = 1; shard < kShardsMax; ++shard) {
    const bool counted = shard < root_.counted_shards;
    if (shards == nullptr && !counted) break;
    std::unique_ptr<Directory> there;
    if (shards != nullptr) there = TRY(OpenPart(*shards, std::to_string(shard)));
    TRY(counted ? RefuseAbsence(shard, there.get()) : RefuseStranger(shard, there.get()));
  }
  return {};
}

Status Shards::RefuseAbsence(std::uint32_t shard, const Directory* there) const {
  if (there != nullptr && TRY(Holds(*there, kSystemName))) return {};
  return Error{ErrorCode::kConfiguration,
               Word(shard) + " is not in '" + root_.options.data_dir + "/" + ShardPath(shard) +
                   "': SYSTEM counts " + std::to_string(root_.counted_shards) + " shards",
               "mount or restore that directory: the logs in it are nowhere else"};
}

Status Shards::RefuseStranger(std::uint32_t shard, const Directory* there) const {
  if (there == nullptr) return {};
  const Result<std::vector<std::byte>> bytes = ReadSmallFile(*there, kSystemName);
  if (!bytes.ok()) return {};
  const Result<Copies<SystemFile>> file = DecodeSystemFile(*bytes);
  if (!file.ok() || file->content.system == ShardUuid(root_.system, shard)) return {};
  return Error{ErrorCode::kConfiguration,
               "'" + root_.options.data_dir + "/" + ShardPath(shard) +
                   "' holds a store that is no shard of this system",
               "move it away: SYSTEM does not count it"};
}

/// What is there and not wanted: counted until now, or left by a crash.
Status Shards::Drop() {
  const std::unique_ptr<Directory> shards = TRY(OpenPart(*root_.data_dir, kShardsName));
  if (shards == nullptr) return {};
  std::vector<std::uint32_t> going;
  for (std::uint32_t shard = 1; shard < kShardsMax; ++shard) {
    const std::unique_ptr<Directory> one = TRY(OpenPart(*shards, std::to_string(shard)));
    if (one == nullptr) continue;
    const bool whole = TRY(Holds(*one, kSystemName));
    if (whole && shard >= wanted_) going.push_back(shard);
    if (whole) continue;
    const SystemUuid uuid = ShardUuid(root_.system, shard);
    const Status removed = RemoveRetired(*root_.file_system, *shards, shard, uuid);
    if (!removed.ok()) TRY(Named(shard, LeaveRetired(shard, removed.error())));
  }
  // A growth that found no space is taken back without any: those that were never counted go
  // first. Where SYSTEM is an old copy, one of them holds logs, and then all stay.
  const auto counted = std::ranges::lower_bound(going, root_.counted_shards);
  for (const std::uint32_t shard : std::span(counted, going.end())) {
    const std::unique_ptr<Directory> one = TRY(shards->OpenDirectory(std::to_string(shard)));
    if (IsAsMade(*root_.file_system, *one, ShardUuid(root_.system, shard))) continue;
    TRY(Named(shard, DropOne(shard)));
  }
  for (const std::uint32_t shard : std::span(counted, going.end())) TRY(Retire(*shards, shard));
  for (const std::uint32_t shard : std::span(going.begin(), counted)) {
    TRY(Named(shard, DropOne(shard)));
  }
  if (wanted_ < root_.counted_shards) TRY(root_.CountShards(wanted_));
  for (const std::uint32_t shard : std::span(going.begin(), counted)) TRY(Retire(*shards, shard));
  return {};
}

/// It holds no log, and SYSTEM does not count it.
Status Shards::Retire(Directory& shards, std::uint32_t shard) {
  const std::unique_ptr<Directory> one = TRY(shards.OpenDirectory(std::to_string(shard)));
  TRY(one->Rename(kSystemName, kRetiredName));
  TRY(RemoveRetired(*root_.file_system, shards, shard, ShardUuid(root_.system, shard)));
  root_.log_.Write(LogLevel::kInfo, "store.shard_dropped", Word(shard) + " is out of use",
                   {{"shard", std::to_string(shard)}});
  return {};
}

/// Where RETIRED is damaged it is not known whose the rest is, nor which directories its WAL has.
/// So all of it stays, and nothing is made there: entries without their tombstones would be logs
/// again. It holds no log, so only a shard of that number has to wait until it is moved away.
Status Shards::LeaveRetired(std::uint32_t shard, const Error& why) {
  if (why.code != ErrorCode::kCorruption) return why;
  const std::string path = root_.options.data_dir + "/" + ShardPath(shard);
  const std::string sentence =
      "what is left of a shard that was taken out of use is not removed: " + why.message;
  const bool strict = root_.options.recovery_mode == RecoveryMode::kStrict;
  if (strict || shard < wanted_) {
    std::string hint =
        "move '" + path + "' away, and what wal_dir has of that shard: no log is in it";
    if (shard >= wanted_) hint += "; or start with recovery_mode contain, which leaves it there";
    return Error{ErrorCode::kCorruption, "in '" + path + "' " + sentence, hint};
  }
  const std::string file = ShardPath(shard) + "/" + kRetiredName;
  root_.report.findings.push_back(
      {.kind = FindingKind::kLeftover, .file = file, .sentence = sentence, .touched = {}});
  root_.log_.Write(LogLevel::kWarning, "store.shard_left", sentence,
                   {{"shard", std::to_string(shard)}});
  return {};
}

/// Changes nothing that its logs are made of.
Status Shards::DropOne(std::uint32_t shard) {
  const std::unique_ptr<LogStore::Impl> going = Make(shard);
  if (going->options.recovery_mode == RecoveryMode::kSalvage) {
    going->options.recovery_mode = RecoveryMode::kContain;
  }
  TRY(going->OpenFiles(root_.Environment()));
  TRY(going->Recover());
  TRY(CheckDrained(*going));
  return going->Close(Deadline::max());
}

Status Shards::CheckEmpty(const LogStore::Impl& shard) const {
  if (Planted(PlantedBug::kShardDroppedLive)) return {};
  const std::vector<std::string> logs = shard.LiveLogs();
  if (logs.empty()) return {};
  std::string text;
  for (std::size_t i = 0; i < std::min(logs.size(), kNamesTold); ++i) {
    text += (i == 0 ? "'" : ", '") + logs[i] + "'";
  }
  if (logs.size() > kNamesTold)
    text += " and " + std::to_string(logs.size() - kNamesTold) + " more";
  if (shard.shard >= root_.counted_shards) {
    return Error{ErrorCode::kConfiguration, "SYSTEM does not count it, but it holds logs: " + text,
                 "restore the SYSTEM that does, or move '" + shard.options.data_dir + "' away"};
  }
  return Error{ErrorCode::kConfiguration,
               "wal_shards does not count it, but it holds logs: " + text, WayBack()};
}

std::string Shards::WayBack() const {
  return "set wal_shards to " + std::to_string(root_.counted_shards) +
         "; a shard can go when all of its logs are deleted";
}

/// Of a damaged one it may not be known what it held.
Status Shards::CheckDrained(const LogStore::Impl& shard) const {
  TRY(CheckEmpty(shard));
  if (shard.report.damaged()) {
    return Error{ErrorCode::kConfiguration,
                 "it is damaged, so it cannot be taken out of use: " + shard.report.ToText(),
                 WayBack() + "; see `duramen verify` and `duramen repair` on its directory"};
  }
  if (!TRY(KeepsFiles(shard))) return {};
  return Error{ErrorCode::kConfiguration,
               "it keeps WAL files with damage that is nowhere else, so it cannot be taken out of "
               "use",
               "move its *.wal.kept away"};
}

/// One that SYSTEM does not count yet holds no log: a crash left it half taken in or half dropped.
Status Shards::RecoverAll() {
  for (LogStore::Impl* one : all_) {
    TRY(one == &root_ ? one->Recover() : Named(one->shard, one->Recover()));
    if (one->shard >= root_.counted_shards) TRY(Named(one->shard, CheckEmpty(*one)));
  }
  return {};
}

/// Of two logs of one name the newer incarnation has it, as within one shard [C9].
void Shards::SettleNames() {
  if (all_.size() == 1) return;
  struct Holder {
    LogStore::Impl* shard;
    std::uint64_t incarnation;
  };
  std::map<std::string, Holder> holders;
  for (LogStore::Impl* one : all_) {
    for (const auto& [name, incarnation] : one->NamedIncarnations()) {
      const auto [at, added] = holders.try_emplace(name, Holder{one, incarnation});
      if (added) continue;
      Holder older{one, incarnation};
      if (incarnation > at->second.incarnation) std::swap(older, at->second);
      std::string sentence = "log '" + name + "' is in " + Word(at->second.shard->shard) +
                             " too, and newer there; this one is known by its uid";
      if (const Status stored = older.shard->LoseName(name); !stored.ok()) {
        sentence += " until the next start: " + stored.error().message;
      }
      older.shard->report.findings.push_back({.kind = FindingKind::kLeftover,
                                              .file = kServersName,
                                              .sentence = sentence,
                                              .touched = {{name, 0, 0, false}}});
      older.shard->log_.Write(LogLevel::kWarning, "store.two_of_a_name", sentence, {{"log", name}});
    }
  }
}

/// Each shard is told of those that it has; a name that none has is a slip, and nothing is
/// salvaged.
Status Shards::Salvage() {
  const std::vector<std::string> named = root_.options.salvage_servers;
  if (all_.size() > 1 && root_.options.recovery_mode == RecoveryMode::kSalvage) {
    for (LogStore::Impl* one : all_) one->options.salvage_servers.clear();
    for (const std::string& name : named) {
      LogStore::Impl* place = &root_;
      bool known = Uid128::Parse(name).ok();
      for (LogStore::Impl* one : all_) {
        known = known || one->KnowsName(name);
        if (one->FindNamed(name) != nullptr) place = one;
      }
      if (!known) return LogStore::Impl::UnknownSalvage(name);
      place->options.salvage_servers.push_back(name);
    }
  }
  for (LogStore::Impl* one : all_) TRY(one->Salvage());
  return {};
}

void Shards::SumReports() {
  report_ = root_.report;
  for (const LogStore::Impl* one : all_) {
    if (one == &root_) continue;
    const RecoveryReport& part = one->report;
    report_.wal_files += part.wal_files;
    report_.batches += part.batches;
    report_.entries += part.entries;
    report_.copied_batches += part.copied_batches;
    report_.bytes_read += part.bytes_read;
    report_.nanoseconds += part.nanoseconds;
    for (Finding finding : part.findings) {
      finding.file = ShardPath(one->shard) + "/" + finding.file;
      if (finding.kept_in.find('/') != std::string::npos) {
        finding.kept_in = ShardPath(one->shard) + "/" + finding.kept_in;
      }
      report_.findings.push_back(std::move(finding));
    }
  }
}

Status RemoveRetired(FileSystem& file_system, Directory& shards, std::uint32_t shard,
                     const SystemUuid& uuid) {
  const std::string name = std::to_string(shard);
  const std::unique_ptr<Directory> directory = TRY(shards.OpenDirectory(name));
  const Result<std::vector<std::byte>> bytes = ReadSmallFile(*directory, kRetiredName);
  if (!bytes.ok() && bytes.error().code == ErrorCode::kNotFound) return {};
  if (!bytes.ok()) {
    return Error{ErrorCode::kCorruption, "RETIRED cannot be read: " + bytes.error().message, ""};
  }
  // Before anything goes: a start that was killed may have left the name in the page cache only.
  TRY(directory->Sync());
  Result<Copies<SystemFile>> decoded = DecodeSystemFile(*bytes);
  if (!decoded.ok() && decoded.error().code == ErrorCode::kCorruption) {
    return Error{ErrorCode::kCorruption, "no copy in RETIRED can be read", ""};
  }
  const SystemFile retired = TRY(std::move(decoded)).content;
  if (retired.system != uuid) {
    return Error{ErrorCode::kConfiguration,
                 "'" + directory->path() + "' is what another system's shard has left",
                 "move it away"};
  }
  for (const std::string& path : retired.wal_dirs) {
    if (path.front() == '/') TRY(RemoveWalDirectory(file_system, path, uuid));
  }
  TRY(RemoveOurs(*directory, IsOfAStore, ""));
  TRY(directory->Remove(kRetiredName));
  TRY(directory->Sync());
  (void)shards.RemoveDirectory(name);
  return shards.Sync();
}

/// What is made in a WAL that is down, or has no space, is refused, and its logs are nowhere else.
Result<Writer::Impl*> Shards::MakeWriter() {
  if (root_.Forked()) return LogStore::Impl::ForkedError();
  const std::lock_guard lock(mutex_);
  const auto best = std::ranges::min_element(all_, {}, [](const LogStore::Impl* one) {
    // One that waits for a file goes on by itself.
    const wal::WalState state = std::max(one->port->state(), wal::WalState::kWaitingForFile);
    return std::pair(state, one->WriterCount());
  });
  return (*best)->MakeWriter();
}

Result<Writer::Impl*> Shards::MakeWriter(std::uint32_t shard) {
  if (root_.Forked()) return LogStore::Impl::ForkedError();
  if (shard < all_.size()) return all_[shard]->MakeWriter();
  return Error{ErrorCode::kInvalidArgument, "there is no " + Word(shard),
               "shards are 0 to " + std::to_string(all_.size() - 1) + ", see wal_shards"};
}

Result<LogRef> Shards::OpenLog(Writer::Impl& writer, std::string_view name, OpenMode mode) {
  LogStore::Impl& own = writer.store;
  // Before any lock: in a child of fork() nobody may be there to give it back.
  if (own.Forked()) return LogStore::Impl::ForkedError();
  if (all_.size() == 1) return own.OpenLog(writer, name, mode);
  // Else two Writers could each find the name free, and take it, in two shards.
  const std::lock_guard lock(mutex_);
  for (const LogStore::Impl* other : all_) {
    if (other == &own || Planted(PlantedBug::kNameInTwoShards)) continue;
    const std::optional<bool> live = other->FindLive(name);
    if (!live) continue;
    if (!*live) return LogStore::Impl::DeletionUnderWay(name);
    const std::string place = "log '" + std::string(name) + "' is in " + Word(other->shard);
    const std::string hint =
        "open it through a Writer of NewWriter(" + std::to_string(other->shard) + ")";
    if (mode == OpenMode::kCreate) return Error{ErrorCode::kAlreadyExists, place, hint};
    return Error{ErrorCode::kWrongWriter, place + ", and the Writer writes to " + Word(own.shard),
                 hint};
  }
  return own.OpenLog(writer, name, mode);
}

Result<std::uint32_t> Shards::ShardOf(std::string_view name) const {
  if (root_.Forked()) return LogStore::Impl::ForkedError();
  const std::lock_guard lock(mutex_);
  for (const LogStore::Impl* one : all_) {
    if (one->FindLive(name).value_or(false)) return one->shard;
  }
  return Error{ErrorCode::kNotFound, "no log is named '" + std::string(name) + "'",
               "create it, or list what there is with `duramen names`"};
}

/// All can, or none does.
Status Shards::SetSyncMethod(SyncMethod method) {
  if (root_.Forked()) return LogStore::Impl::ForkedError();
  if (!root_.started) return root_.SetSyncMethod(method);  // Which says so.
  for (const LogStore::Impl* one : all_) (void)TRY(one->Resolve(method));
  for (LogStore::Impl* one : all_) TRY(one->SetSyncMethod(method));
  return {};
}

Status Shards::Close(Deadline deadline) {
  if (root_.Forked()) return LogStore::Impl::ForkedError();  // There is no thread to stop.
  Status first;
  for (LogStore::Impl* one : all_) {
    Status closed = one->Close(deadline);
    if (closed.ok()) continue;
    if (all_.size() > 1) {
      closed = Named(one->shard, std::move(closed));
      one->log_.Write(LogLevel::kError, "store.close", closed.error().message, {});
    }
    if (first.ok()) first = std::move(closed);
  }
  return first;
}

void Shards::WakeWals() const {
  for (const LogStore::Impl* one : all_) one->port->Wake();
}

}  // namespace duramen::log
