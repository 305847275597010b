#include "log/repair.h"

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <optional>

#include "base/try.h"
#include "log/durable_state.h"
#include "log/lost_shards.h"
#include "log/overlay.h"
#include "log/repair_journal.h"
#include "log/system_file.h"
#include "meta/checkpoint.h"
#include "meta/checkpoint_files.h"
#include "wal/summary.h"

namespace duramen::log {
namespace {

constexpr char kLockName[] = "LOCK";
constexpr char kWalName[] = "wal";

/// For people who list quarantine/: when it was, and four letters so that two never meet.
std::string NewId(Clock& clock, Rng& rng) {
  const std::time_t seconds = clock.UnixMs() / 1000;
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  char text[32];
  const std::size_t length = std::strftime(text, sizeof text, "%Y%m%d-%H%M%S-", &utc);
  return std::string(text, length) + rng.NextUid().ToString().substr(0, 4);
}

/// Nothing: it is not there, or no copy can be read. Errors: kUnknownVersion, those of reading.
template <typename T>
Result<std::optional<Copies<T>>> Read(const Directory& directory, const char* name,
                                      Result<Copies<T>> (*decode)(Bytes)) {
  const Result<std::vector<std::byte>> bytes = ReadSmallFile(directory, name);
  const auto absent = [](const Error& error) {
    return error.code == ErrorCode::kNotFound || error.code == ErrorCode::kCorruption;
  };
  if (!bytes.ok() && !absent(bytes.error())) return bytes.error();
  if (!bytes.ok()) return std::optional<Copies<T>>{};
  Result<Copies<T>> decoded = decode(*bytes);
  if (!decoded.ok() && !absent(decoded.error())) return std::move(decoded).error();
  if (!decoded.ok()) return std::optional<Copies<T>>{};
  return std::optional<Copies<T>>{std::move(*decoded)};
}

template <typename T>
bool Whole(const std::optional<Copies<T>>& file) {
  return file && file->copy_ok[0] && file->copy_ok[1];
}

/// As the file system knows it, however it was spelled: the place of a WAL shard tells that it is
/// one.
std::string Plain(const std::string& path) {
  std::string plain = std::filesystem::path(path).lexically_normal();
  while (plain.size() > 1 && plain.ends_with('/')) plain.pop_back();
  return plain;
}

class Repair {
 public:
  Repair(const RepairOptions& options, StorageEnvironment environment)
      : options_(options), environment_(environment) {
    options_.data_dir = Plain(options.data_dir);
  }

  Result<RepairOutcome> Run() {
    if (!options_.data_dir.starts_with('/')) {
      return Error{ErrorCode::kInvalidArgument, "'" + options_.data_dir + "' is not absolute",
                   "give the whole path: it tells of which system a WAL shard is"};
    }
    FileSystem& disk = environment_.file_system;
    const std::unique_ptr<Directory> data_dir = TRY(disk.Open(options_.data_dir));
    const std::unique_ptr<FileLock> lock = TRY(data_dir->Lock(kLockName));
    RepairJournal journal(disk, *data_dir);
    TRY(journal.Finish());
    TRY(Identify(*data_dir));
    RepairOutcome outcome;
    outcome.id = NewId(environment_.clock, environment_.rng);
    const std::unique_ptr<Directory> staging = TRY(journal.Begin(outcome.id));
    Result<std::vector<OverlayChange>> changes = WorkOut(*staging, outcome);
    if (!changes.ok() || changes->empty()) {
      const Status discarded = journal.Discard(outcome.id);
      if (!changes.ok()) return std::move(changes).error();
      if (!discarded.ok()) return discarded.error();
      outcome.id.clear();
      return outcome;
    }
    TRY(journal.Commit({.id = outcome.id,
                        .wal_dir = wal_dir_,
                        .created_unix_ms = environment_.clock.UnixMs(),
                        .changes = *changes}));
    outcome.files = changes->size();
    outcome.unreadable = journal.unreadable();
    outcome.bytes_kept = TRY(KeptBytes(*data_dir, outcome.id));
    TRY(journal.Finish());
    return outcome;
  }

 private:
  /// Which system this is, by what two of three say; or by the only one that says anything.
  Status Identify(const Directory& data_dir) {
    system_file_ = TRY(Read<SystemFile>(data_dir, kSystemName, DecodeSystemFile));
    std::string wal_dir = options_.wal_dir.empty() ? kWalName : options_.wal_dir;
    if (system_file_ && !system_file_->content.wal_dirs.empty()) {
      wal_dir = system_file_->content.wal_dirs.front();
    }
    if (system_file_ && system_file_->content.wal_dirs.size() > 1) {
      return Error{ErrorCode::kUnsupported,
                   "a repair cannot go back over two WAL directories, and this system has a "
                   "wal_failover_dir, '" +
                       system_file_->content.wal_dirs[1] + "'",
                   "take it out of use: start the store once with wal_failover_dir = none and "
                   "recovery_mode = contain, then repair it"};
    }
    if (wal_dir != kWalName) wal_dir_ = wal_dir;
    const std::unique_ptr<Directory> wal = TRY(environment_.file_system.Open(WalPath()));
    if (!wal_dir_.empty()) wal_lock_ = TRY(wal->Lock(kLockName));
    identity_file_ = TRY(Read<IdentityFile>(*wal, kIdentityName, DecodeIdentityFile));
    const SystemUuid named[] = {system_file_ ? system_file_->content.system : SystemUuid{},
                                identity_file_ ? identity_file_->content.system : SystemUuid{},
                                options_.system};
    for (const SystemUuid& one : named) {
      int votes = 0;
      bool alone = true;
      for (const SystemUuid& other : named) {
        votes += other == one ? 1 : 0;
        alone = alone && (other.is_nil() || other == one);
      }
      if (!one.is_nil() && (votes > 1 || alone)) system_ = one;
    }
    const Error different{ErrorCode::kConfiguration,
                          "SYSTEM and '" + WalPath() + "' belong to different systems",
                          "mount or restore the directory that belongs to this system"};
    // IDENTITY and the WAL files stand on one mount, and err together: against a SYSTEM that can be
    // read they count only with somebody of the data directory [A14].
    const bool outvoted = system_file_ && system_file_->content.system != system_;
    if (!system_.is_nil() && outvoted && !TRY(HasCheckpointOf(data_dir, system_))) return different;
    if (!system_.is_nil()) return {};
    if (system_file_ || identity_file_) return different;
    return Error{ErrorCode::kCorruption,
                 "neither SYSTEM nor IDENTITY nor any WAL file tells which system '" +
                     options_.data_dir + "' is",
                 "restore SYSTEM from a backup"};
  }

  static Result<bool> HasCheckpointOf(const Directory& data_dir, const SystemUuid& system) {
    const Result<std::unique_ptr<Directory>> meta = data_dir.OpenDirectory(kMetaName);
    if (!meta.ok()) return false;
    for (const char* name : meta::kCheckpointNames) {
      const Result<std::unique_ptr<File>> file = (*meta)->Open(name, OpenFor::kRead);
      std::vector<std::byte> header(meta::kCheckpointHeaderBytes);
      if (!file.ok() || !(*file)->Read(0, header).ok()) continue;
      if (meta::CheckpointBytes(header, system).ok()) return true;
    }
    return false;
  }

  std::string WalPath() const {
    return wal_dir_.empty() ? options_.data_dir + "/" + kWalName : wal_dir_;
  }

  Result<std::vector<OverlayChange>> WorkOut(Directory& staging, RepairOutcome& outcome) {
    std::vector<std::string> roots = {options_.data_dir};
    if (!wal_dir_.empty()) roots.push_back(wal_dir_);
    OverlayFileSystem overlay(environment_.file_system, roots, staging);
    TRY(RestoreNames(overlay));
    LogStoreOptions store{.data_dir = options_.data_dir, .wal_dir = wal_dir_};
    store.wal_max_size_bytes = TRY(WalFileBytes());
    store.log_sink = options_.log_sink;
    StorageTuning tuning;
    tuning.spare_files = 0;  // The next start makes them, of the size that it wants.
    tuning.row_files = 0;
    const StorageEnvironment environment{overlay, environment_.clock, environment_.executor,
                                         environment_.rng};
    outcome.mend = TRY(MendStore(store, environment, tuning, options_.mend));
    TRY(overlay.SyncStaged());
    return overlay.Changes();
  }

  /// As large as those that are there, because the largest entry has to fit.
  Result<std::uint64_t> WalFileBytes() const {
    constexpr std::uint64_t kBytesMin = 1u << 20;
    const std::unique_ptr<Directory> wal = TRY(environment_.file_system.Open(WalPath()));
    std::uint64_t bytes = kBytesMin;
    for (const DirectoryEntry& entry : TRY(wal->List())) {
      // A file that damage made larger is not a size that anybody has chosen.
      const bool sane = entry.size_bytes <= wal::kScanBytesMax && wal::ParseFileName(entry.name);
      if (sane) bytes = std::max(bytes, entry.size_bytes);
    }
    return bytes;
  }

  Status RestoreNames(FileSystem& overlay) const {
    if (!Whole(system_file_) || system_file_->content.system != system_) {
      SystemFile file;
      if (system_file_) file = system_file_->content;
      if (!system_file_) {
        file.shards = TRY(CountLostShards({.file_system = environment_.file_system,
                                           .data_dir = options_.data_dir,
                                           .wal_dir = wal_dir_,
                                           .system = system_}));
      }
      if (file.wal_dirs.empty()) file.wal_dirs = {wal_dir_.empty() ? kWalName : wal_dir_};
      if (file.created_unix_ms == 0) file.created_unix_ms = environment_.clock.UnixMs();
      file.system = system_;
      const std::unique_ptr<Directory> directory = TRY(overlay.Open(options_.data_dir));
      TRY(ReplaceFile(*directory, kSystemName, EncodeSystemFile(file)));
    }
    if (Whole(identity_file_) && identity_file_->content.system == system_) return {};
    const std::unique_ptr<Directory> directory = TRY(overlay.Open(WalPath()));
    return ReplaceFile(*directory, kIdentityName,
                       EncodeIdentityFile({.system = system_, .wal_dir = 0}));
  }

  static Result<std::uint64_t> KeptBytes(const Directory& data_dir, const std::string& id) {
    const auto quarantine = TRY(data_dir.OpenDirectory(kQuarantineName));
    const auto bundle = TRY(quarantine->OpenDirectory(id));
    const auto old = TRY(bundle->OpenDirectory("old"));
    std::uint64_t bytes = 0;
    for (const DirectoryEntry& entry : TRY(old->List())) bytes += entry.size_bytes;
    return bytes;
  }

  RepairOptions options_;
  StorageEnvironment environment_;
  std::optional<Copies<SystemFile>> system_file_;
  std::optional<Copies<IdentityFile>> identity_file_;
  SystemUuid system_;
  std::string wal_dir_;  // empty: inside the data directory
  std::unique_ptr<FileLock> wal_lock_;
};

}  // namespace

Result<RepairOutcome> RepairStore(const RepairOptions& options, StorageEnvironment environment) {
  return Repair(options, environment).Run();
}

Result<std::string> UndoRepair(const std::string& data_dir, const std::string& id, bool force,
                               FileSystem& file_system) {
  const std::unique_ptr<Directory> directory = TRY(file_system.Open(data_dir));
  const std::unique_ptr<FileLock> lock = TRY(directory->Lock(kLockName));
  return RepairJournal(file_system, *directory).Undo(id, force);
}

}  // namespace duramen::log
