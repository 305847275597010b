#include "log/lost_shards.h"

#include <algorithm>
#include <filesystem>
#include <optional>

#include "base/try.h"
#include "log/shards.h"
#include "log/system_file.h"
#include "wal/format.h"
#include "wal/summary.h"

namespace duramen::log {
namespace {

/// Null: there is no such directory.
Result<std::unique_ptr<Directory>> OpenIfThere(FileSystem& disk, const std::string& path) {
  Result<std::unique_ptr<Directory>> opened = disk.Open(path);
  const bool absent = !opened.ok() && (opened.error().code == ErrorCode::kNotFound ||
                                       opened.error().code == ErrorCode::kInvalidArgument);
  return absent ? std::unique_ptr<Directory>() : std::move(opened);
}

/// Nil: it has no file of that name that can be read.
template <typename T>
SystemUuid NamedIn(const Directory* directory, const char* name,
                   Result<Copies<T>> (*decode)(Bytes)) {
  if (directory == nullptr) return {};
  const Result<std::vector<std::byte>> bytes = ReadSmallFile(*directory, name);
  if (!bytes.ok()) return {};
  const Result<Copies<T>> file = decode(*bytes);
  return file.ok() ? file->content.system : SystemUuid{};
}

/// Of the service header of one WAL file; nil: it has none that can be read.
SystemUuid NamedInHeader(const Directory& wal, const std::string& name) {
  const Result<std::unique_ptr<File>> file = wal.Open(name, OpenFor::kRead);
  if (!file.ok()) return {};
  for (std::uint64_t copy = 0; copy < wal::kHeaderCopies; ++copy) {
    std::vector<std::byte> block(wal::kBlockBytes);
    if (!(*file)->Read(copy * wal::kBlockBytes, block).ok()) continue;
    const Result<wal::FileHeader> header = wal::DecodeFileHeader(block, copy);
    if (header.ok()) return header->system;
  }
  return {};
}

/// Whose the WAL files of a directory are. Nothing: there are none; nil: nothing tells.
Result<std::optional<SystemUuid>> OwnerOfWal(const Directory* wal) {
  if (wal == nullptr) return std::optional<SystemUuid>();
  bool files = false;
  SystemUuid owner = NamedIn(wal, kIdentityName, DecodeIdentityFile);
  for (const DirectoryEntry& entry : TRY(wal->List())) {
    if (!wal::ParseFileName(entry.name)) continue;
    files = true;
    if (owner.is_nil()) owner = NamedInHeader(*wal, entry.name);
  }
  return files ? std::optional(owner) : std::nullopt;
}

/// Whether that shard of the system is there. One that was taken out of use, and is being removed,
/// is not.
Result<bool> IsThere(const LostSystem& lost, std::uint32_t shard) {
  const SystemUuid uuid = ShardUuid(lost.system, shard);
  const std::string path = lost.data_dir + "/" + ShardPath(shard);
  const std::unique_ptr<Directory> directory = TRY(OpenIfThere(lost.file_system, path));
  const SystemUuid named = NamedIn(directory.get(), kSystemName, DecodeSystemFile);
  if (!named.is_nil()) return named == uuid;
  const bool retired = directory != nullptr && ReadSmallFile(*directory, kRetiredName).ok();
  if (retired) return false;
  const std::string wal_path =
      lost.wal_dir.empty() ? path + "/wal" : lost.wal_dir + "/" + std::to_string(shard);
  const std::unique_ptr<Directory> wal = TRY(OpenIfThere(lost.file_system, wal_path));
  const std::optional<SystemUuid> owner = TRY(OwnerOfWal(wal.get()));
  if (!owner) return false;
  if (!owner->is_nil()) return *owner == uuid;
  return Error{ErrorCode::kRefused,
               "'" + wal_path +
                   "' holds WAL files, and nothing tells whose: whether SYSTEM has to "
                   "count WAL shard " +
                   std::to_string(shard) + " cannot be known",
               "restore SYSTEM in '" + path +
                   "' from a backup; or, if it is none of this system's, "
                   "move the directory away"};
}

/// Whether anything of a store lies there but shards.
Result<bool> LooksLikeAStore(FileSystem& disk, const std::string& path) {
  const std::unique_ptr<Directory> directory = TRY(OpenIfThere(disk, path));
  if (directory == nullptr) return false;
  const std::vector<DirectoryEntry> entries = TRY(directory->List());
  return std::ranges::any_of(entries, [](const DirectoryEntry& entry) {
    return entry.name == kSystemName || entry.name == "LOCK" || entry.name == "wal";
  });
}

Result<bool> IsAShard(const LostSystem& lost) {
  const std::filesystem::path path(lost.data_dir);
  if (path.parent_path().filename() != kShardsName) return false;
  const std::string root = path.parent_path().parent_path();
  const std::unique_ptr<Directory> directory = TRY(OpenIfThere(lost.file_system, root));
  const SystemUuid system = NamedIn(directory.get(), kSystemName, DecodeSystemFile);
  for (std::uint32_t shard = 1; shard < kShardsMax && !system.is_nil(); ++shard) {
    if (ShardUuid(system, shard) == lost.system) return true;
  }
  if (!TRY(LooksLikeAStore(lost.file_system, root))) return false;
  const std::string where = "'" + lost.data_dir + "' is below '" + root + "'";
  if (system.is_nil()) {
    return Error{ErrorCode::kRefused,
                 where +
                     ", and as long as the SYSTEM of that cannot be read, nothing tells whether "
                     "it is a WAL shard of it",
                 "repair that one first: duramen repair " + root + " --apply"};
  }
  return Error{ErrorCode::kConfiguration, where + ", and is no WAL shard of that system",
               "mount or restore the directory that is; to repair this one as a store of its own, "
               "move it away first"};
}

}  // namespace

Result<std::uint32_t> CountLostShards(const LostSystem& lost) {
  if (TRY(IsAShard(lost))) return kIsAShard;
  std::uint32_t count = 1;
  for (std::uint32_t shard = 1; shard < kShardsMax; ++shard) {
    if (TRY(IsThere(lost, shard))) count = shard + 1;
  }
  return count;
}

}  // namespace duramen::log
