// SYSTEM and IDENTITY: which system a directory belongs to.
//
// SYSTEM lies in data_dir and is written at creation, as the last step, and as a whole when a
// fail-over directory or a WAL shard comes or goes: it names the system, every wal_dir that may
// hold anything, and how many shards there are. IDENTITY lies in each wal_dir and says the same of
// it from the other side, so that a start without one of them, or with a stranger's, is refused
// [A14].
// Both are two copies of one block, each under its own checksum.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/io.h"
#include "base/types.h"
#include "duramen/log_store.h"
#include "duramen/result.h"

namespace duramen::log {

inline constexpr char kSystemName[] = "SYSTEM";
inline constexpr char kIdentityName[] = "IDENTITY";
inline constexpr char kMethodName[] = "METHOD";
inline constexpr char kRetiredName[] = "RETIRED";  // SYSTEM of a shard that is being removed

inline constexpr std::size_t kSystemBlockBytes = 4096;
inline constexpr std::size_t kSystemCopies = 2;
inline constexpr std::uint32_t kSystemVersion = 1;
/// Of SYSTEM where there are shards: a release that knows of none would open the first alone.
inline constexpr std::uint32_t kSystemShardsVersion = 2;
inline constexpr std::size_t kWalDirsMax = 16;
inline constexpr std::size_t kPathBytesMax = 4096 / 2;

inline constexpr std::uint32_t kIsAShard = 0;  // SystemFile::shards of one that is no shard 0

struct SystemFile {
  SystemUuid system;
  std::int64_t created_unix_ms = 0;
  std::uint32_t shards = 1;           // how many there are, itself included
  std::vector<std::string> wal_dirs;  // "wal" is the one inside data_dir
};

struct IdentityFile {
  SystemUuid system;
  std::uint32_t wal_dir = 0;  // position in SystemFile::wal_dirs
};

/// What wal_sync_method `auto` came to on the device of a wal_dir, and the medians behind it.
struct MethodFile {
  SystemUuid system;
  SyncMethod method = SyncMethod::kDatasync;
  std::uint64_t datasync_ns = 0;
  std::uint64_t dsync_ns = 0;  // 0: the file system has no direct I/O
};

/// Which of the copies could not be read, besides what the file says.
template <typename T>
struct Copies {
  T content;
  bool copy_ok[kSystemCopies] = {false, false};
};

std::vector<std::byte> EncodeSystemFile(const SystemFile& file);
std::vector<std::byte> EncodeIdentityFile(const IdentityFile& file);
std::vector<std::byte> EncodeMethodFile(const MethodFile& file);
/// Errors: kCorruption when no copy can be read, kUnknownVersion by name.
Result<Copies<SystemFile>> DecodeSystemFile(Bytes bytes);
Result<Copies<IdentityFile>> DecodeIdentityFile(Bytes bytes);
Result<Copies<MethodFile>> DecodeMethodFile(Bytes bytes);

inline constexpr std::uint64_t kSmallFileBytesMax = 64u << 10;

/// Reads the whole of a small file, with zeros for what the device cannot give. Errors: as
/// ReadAround; kCorruption over `bytes_max`.
Result<std::vector<std::byte>> ReadSmallFile(const Directory& directory, std::string_view name,
                                             std::uint64_t bytes_max = kSmallFileBytesMax);
/// Whether a file of that name is there. Errors: as ReadSmallFile.
Result<bool> Holds(const Directory& directory, const char* name);
/// Whether it is the data_dir of a store, or was that of a shard that is being removed.
Result<bool> HoldsStore(const Directory& directory);
Status RemoveIfThere(Directory& directory, const std::string& name);
/// Temp, sync, rename, directory sync.
Status ReplaceFile(Directory& directory, const std::string& name, Bytes bytes);

}  // namespace duramen::log
