#include "log/system_file.h"

#include <cstring>

#include "base/bytes.h"
#include "base/check.h"
#include "base/checksum.h"
#include "base/read_around.h"
#include "base/try.h"

namespace duramen::log {
namespace {

// A block: magic u64 | version u32 | zero u32 | checksum u64 | system uuid | content | zeros.
constexpr std::uint64_t kSystemMagic = 0x3153595341525544ULL;    // "DURASYS1"
constexpr std::uint64_t kIdentityMagic = 0x3149444141525544ULL;  // "DURAADI1"
constexpr std::uint64_t kMethodMagic = 0x314D444141525544ULL;    // "DURAADM1"
constexpr std::size_t kChecksumAt = 16;
constexpr std::size_t kUuidAt = 24;
constexpr std::size_t kContentAt = 40;

struct Kind {
  std::uint64_t magic;
  FileKind file_kind;
  const char* name;
  std::uint32_t version_max = kSystemVersion;  // that is read; from 1
};
constexpr Kind kSystem{kSystemMagic, FileKind::kSystem, "SYSTEM", kSystemShardsVersion};
constexpr Kind kIdentity{kIdentityMagic, FileKind::kIdentity, "IDENTITY"};
constexpr Kind kMethod{kMethodMagic, FileKind::kMethod, "METHOD"};

std::uint64_t BlockChecksum(const Kind& kind, Bytes block, std::uint64_t copy) {
  Uid128 uuid;
  std::memcpy(uuid.bytes.data(), block.data() + kUuidAt, 16);
  const std::uint64_t seed = SeedAt(FileSeed(uuid, kind.file_kind, 0), copy * kSystemBlockBytes);
  return ChecksumAround(block, kChecksumAt, seed);
}

std::vector<std::byte> EncodeCopies(const Kind& kind, const SystemUuid& uuid, Bytes content,
                                    std::uint32_t version = kSystemVersion) {
  CHECK(content.size() <= kSystemBlockBytes - kContentAt);
  std::vector<std::byte> bytes(kSystemCopies * kSystemBlockBytes);
  for (std::uint64_t copy = 0; copy < kSystemCopies; ++copy) {
    const std::span<std::byte> block =
        std::span(bytes).subspan(copy * kSystemBlockBytes, kSystemBlockBytes);
    StoreLe(block.data(), kind.magic);
    StoreLe(block.data() + 8, version);
    std::memcpy(block.data() + kUuidAt, uuid.bytes.data(), 16);
    std::memcpy(block.data() + kContentAt, content.data(), content.size());
    StoreLe(block.data() + kChecksumAt, BlockChecksum(kind, block, copy));
  }
  return bytes;
}

/// Calls decode(uuid, reader) for the first readable copy and notes which copies are.
template <typename T, typename Decode>
Result<Copies<T>> DecodeCopies(const Kind& kind, Bytes bytes, Decode decode) {
  Copies<T> copies;
  bool found = false;
  for (std::uint64_t copy = 0; copy < kSystemCopies; ++copy) {
    if (bytes.size() < (copy + 1) * kSystemBlockBytes) break;
    const Bytes block = bytes.subspan(copy * kSystemBlockBytes, kSystemBlockBytes);
    if (LoadLe<std::uint64_t>(block.data()) != kind.magic) continue;
    if (LoadLe<std::uint64_t>(block.data() + kChecksumAt) != BlockChecksum(kind, block, copy)) {
      continue;
    }
    const auto version = LoadLe<std::uint32_t>(block.data() + 8);
    if (version == 0 || version > kind.version_max) {
      return Error{ErrorCode::kUnknownVersion,
                   std::string(kind.name) + " is of format version " + std::to_string(version) +
                       "; this release reads 1" +
                       (kind.version_max > 1 ? " to " + std::to_string(kind.version_max) : ""),
                   "open the directory with the release that wrote it or a newer one"};
    }
    Uid128 uuid;
    std::memcpy(uuid.bytes.data(), block.data() + kUuidAt, 16);
    T content;
    ByteReader reader(block.subspan(kContentAt));
    if (!decode(uuid, reader, content) || !reader.ok()) continue;
    copies.copy_ok[copy] = true;
    if (!found) copies.content = content;
    found = true;
  }
  if (!found) {
    return Error{ErrorCode::kCorruption, std::string("no copy in ") + kind.name + " can be read",
                 "run `duramen verify` on the directory"};
  }
  return copies;
}

}  // namespace

std::vector<std::byte> EncodeSystemFile(const SystemFile& file) {
  CHECK(file.wal_dirs.size() <= kWalDirsMax);
  std::vector<std::byte> content;
  ByteWriter writer(content);
  writer.Put(file.created_unix_ms);
  writer.Put(file.shards);
  writer.Put(static_cast<std::uint32_t>(file.wal_dirs.size()));
  for (const std::string& dir : file.wal_dirs) writer.PutString(dir);
  return EncodeCopies(kSystem, file.system, content,
                      file.shards == 1 ? kSystemVersion : kSystemShardsVersion);
}

std::vector<std::byte> EncodeIdentityFile(const IdentityFile& file) {
  std::vector<std::byte> content;
  ByteWriter writer(content);
  writer.Put(file.wal_dir);
  return EncodeCopies(kIdentity, file.system, content);
}

std::vector<std::byte> EncodeMethodFile(const MethodFile& file) {
  std::vector<std::byte> content;
  ByteWriter writer(content);
  writer.Put(static_cast<std::uint32_t>(file.method));
  writer.Put(file.datasync_ns);
  writer.Put(file.dsync_ns);
  return EncodeCopies(kMethod, file.system, content);
}

Result<Copies<MethodFile>> DecodeMethodFile(Bytes bytes) {
  return DecodeCopies<MethodFile>(
      kMethod, bytes, [](const Uid128& uuid, ByteReader& reader, MethodFile& file) {
        file.system = uuid;
        const auto method = reader.Get<std::uint32_t>();
        file.datasync_ns = reader.Get<std::uint64_t>();
        file.dsync_ns = reader.Get<std::uint64_t>();
        file.method = method == 0 ? SyncMethod::kDatasync : SyncMethod::kDsync;
        return method == 0 || method == static_cast<std::uint32_t>(SyncMethod::kDsync);
      });
}

Result<Copies<SystemFile>> DecodeSystemFile(Bytes bytes) {
  return DecodeCopies<SystemFile>(kSystem, bytes,
                                  [](const Uid128& uuid, ByteReader& reader, SystemFile& file) {
                                    file.system = uuid;
                                    file.created_unix_ms = reader.Get<std::int64_t>();
                                    file.shards = reader.Get<std::uint32_t>();
                                    const auto count = reader.Get<std::uint32_t>();
                                    if (count > kWalDirsMax) return false;
                                    for (std::uint32_t i = 0; i < count; ++i)
                                      file.wal_dirs.push_back(reader.GetString());
                                    return true;
                                  });
}

Result<Copies<IdentityFile>> DecodeIdentityFile(Bytes bytes) {
  return DecodeCopies<IdentityFile>(kIdentity, bytes,
                                    [](const Uid128& uuid, ByteReader& reader, IdentityFile& file) {
                                      file.system = uuid;
                                      file.wal_dir = reader.Get<std::uint32_t>();
                                      return true;
                                    });
}

Result<std::vector<std::byte>> ReadSmallFile(const Directory& directory, std::string_view name,
                                             std::uint64_t bytes_max) {
  const std::unique_ptr<File> file = TRY(directory.Open(name, OpenFor::kRead));
  const std::uint64_t size = TRY(file->SizeBytes());
  if (size > bytes_max) {
    return Error{ErrorCode::kCorruption,
                 "'" + directory.path() + "/" + std::string(name) +
                     "' is larger than any file of that name can be",
                 ""};
  }
  std::vector<std::byte> bytes(size);
  bytes.resize(TRY(ReadAround(*file, 0, bytes)).bytes);
  return bytes;
}

Result<bool> Holds(const Directory& directory, const char* name) {
  const Result<std::vector<std::byte>> bytes = ReadSmallFile(directory, name);
  if (bytes.ok()) return true;
  if (bytes.error().code == ErrorCode::kNotFound) return false;
  return bytes.error();
}

Result<bool> HoldsStore(const Directory& directory) {
  if (TRY(Holds(directory, kSystemName))) return true;
  return Holds(directory, kRetiredName);
}

Status RemoveIfThere(Directory& directory, const std::string& name) {
  const Status removed = directory.Remove(name);
  if (!removed.ok() && removed.error().code != ErrorCode::kNotFound) return removed;
  return {};
}

Status ReplaceFile(Directory& directory, const std::string& name, Bytes bytes) {
  const std::string temporary = name + ".tmp";
  TRY(RemoveIfThere(directory, temporary));  // Of an interrupted earlier attempt.
  const std::unique_ptr<File> file = TRY(directory.Create(temporary));
  TRY(file->Write(0, bytes));
  TRY(file->SyncAll());
  TRY(directory.Rename(temporary, name));
  return directory.Sync();
}

}  // namespace duramen::log
