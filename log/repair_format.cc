#include "log/repair_format.h"

#include <algorithm>
#include <cstring>
#include <tuple>

#include "base/bytes.h"
#include "base/check.h"
#include "base/checksum.h"
#include "base/try.h"

namespace duramen::log {
namespace {

// Both files: magic u64 | version u32 | zero u32 | checksum u64 | content.
constexpr std::uint64_t kJournalMagic = 0x314A505241525544ULL;  // "DURARPJ1"
constexpr std::uint64_t kPendingMagic = 0x3150505241525544ULL;  // "DURARPP1"
constexpr std::size_t kChecksumAt = 16;
constexpr std::size_t kContentAt = 24;
constexpr std::size_t kIdBytesMax = 64;

std::uint64_t FileChecksum(Bytes bytes) {
  const std::uint64_t seed = FileSeed({}, FileKind::kRepair, 0);
  return Checksum(bytes.subspan(kContentAt), Checksum(bytes.first(kChecksumAt), seed));
}

std::vector<std::byte> Header(std::uint64_t magic) {
  std::vector<std::byte> bytes;
  ByteWriter writer(bytes);
  writer.Put(magic);
  writer.Put(kRepairVersion);
  writer.Put(std::uint32_t{0});
  writer.Put(std::uint64_t{0});
  return bytes;
}

Error Unreadable(const char* what) {
  return {ErrorCode::kCorruption, std::string(what) + " cannot be read", ""};
}

/// The content of a file with the right magic, version and checksum.
Result<Bytes> ContentOf(Bytes bytes, std::uint64_t magic, const char* what) {
  if (bytes.size() < kContentAt || LoadLe<std::uint64_t>(bytes.data()) != magic ||
      LoadLe<std::uint64_t>(bytes.data() + kChecksumAt) != FileChecksum(bytes)) {
    return Unreadable(what);
  }
  const auto version = LoadLe<std::uint32_t>(bytes.data() + 8);
  if (version == kRepairVersion) return bytes.subspan(kContentAt);
  return Error{ErrorCode::kUnknownVersion,
               std::string(what) + " is of format version " + std::to_string(version) +
                   "; this release reads 1",
               "use the release that began the repair or a newer one"};
}

bool IsName(std::string_view name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string_view::npos &&
         name.find('\0') == std::string_view::npos;
}

void PutSide(ByteWriter& writer, const RepairSide& side) {
  writer.Put(static_cast<std::uint8_t>(side.kind));
  writer.Put(side.size_bytes);
  writer.Put(side.checksum);
  writer.PutString(side.copy);
}

/// False when it is none.
bool GetSide(ByteReader& reader, RepairSide& side) {
  const auto kind = reader.Get<std::uint8_t>();
  side.kind = static_cast<RepairSide::Kind>(kind);
  side.size_bytes = reader.Get<std::uint64_t>();
  side.checksum = reader.Get<std::uint64_t>();
  side.copy = reader.GetString();
  if (kind > static_cast<std::uint8_t>(RepairSide::Kind::kDirectory)) return false;
  if (side.kind == RepairSide::Kind::kFile) return IsName(side.copy);
  return side.size_bytes == 0 && side.checksum == 0 && side.copy.empty();
}

bool GetStep(ByteReader& reader, const RepairRecord& record, RepairStep& step) {
  step.root = reader.Get<std::uint8_t>();
  step.path = reader.GetString();
  if (!GetSide(reader, step.old) || !GetSide(reader, step.fresh)) return false;
  if (step.root >= (record.wal_dir.empty() ? 1 : kRepairRootsMax)) return false;
  if (!IsRepairPath(step.path)) return false;
  if (record.steps.empty()) return true;
  const RepairStep& before = record.steps.back();
  return std::tie(before.root, before.path) < std::tie(step.root, step.path);
}

}  // namespace

bool IsRepairId(std::string_view id) {
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
  };
  return !id.empty() && id.size() <= kIdBytesMax && std::all_of(id.begin(), id.end(), plain) &&
         id != "PENDING";
}

bool IsRepairPath(std::string_view path) {
  while (true) {
    const std::size_t slash = path.find('/');
    if (!IsName(path.substr(0, slash))) return false;
    if (slash == std::string_view::npos) return true;
    path.remove_prefix(slash + 1);
  }
}

bool IsZeros(Bytes piece) {
  if (piece.empty() || piece[0] != std::byte{0}) return piece.empty();
  return std::memcmp(piece.data(), piece.data() + 1, piece.size() - 1) == 0;
}

std::uint64_t ContentChecksum(std::uint64_t before, std::uint64_t offset, Bytes piece) {
  return IsZeros(piece) ? before : Checksum(piece, SeedAt(before, offset));
}

std::vector<std::byte> EncodeRepairRecord(const RepairRecord& record) {
  std::vector<std::byte> bytes = Header(kJournalMagic);
  ByteWriter writer(bytes);
  writer.PutString(record.id);
  writer.Put(record.created_unix_ms);
  writer.PutString(record.wal_dir);
  writer.Put(static_cast<std::uint32_t>(record.steps.size()));
  for (const RepairStep& step : record.steps) {
    writer.Put(step.root);
    writer.PutString(step.path);
    PutSide(writer, step.old);
    PutSide(writer, step.fresh);
  }
  for (const std::vector<std::string>* names : {&record.wal_names, &record.server_names}) {
    writer.Put(static_cast<std::uint32_t>(names->size()));
    for (const std::string& name : *names) writer.PutString(name);
  }
  StoreLe(bytes.data() + kChecksumAt, FileChecksum(bytes));
  return bytes;
}

std::vector<std::byte> EncodePendingRepair(const PendingRepair& pending) {
  std::vector<std::byte> bytes = Header(kPendingMagic);
  ByteWriter writer(bytes);
  writer.Put(static_cast<std::uint8_t>(pending.direction));
  writer.PutString(pending.id);
  StoreLe(bytes.data() + kChecksumAt, FileChecksum(bytes));
  return bytes;
}

Result<RepairRecord> DecodeRepairRecord(Bytes bytes) {
  constexpr char kWhat[] = "the journal of a repair";
  ByteReader reader(TRY(ContentOf(bytes, kJournalMagic, kWhat)));
  RepairRecord record;
  record.id = reader.GetString();
  record.created_unix_ms = reader.Get<std::int64_t>();
  record.wal_dir = reader.GetString();
  const bool absolute = record.wal_dir.empty() || record.wal_dir.front() == '/';
  if (!IsRepairId(record.id) || !absolute) return Unreadable(kWhat);
  if (record.wal_dir.find('\0') != std::string::npos) return Unreadable(kWhat);
  const auto steps = reader.Get<std::uint32_t>();
  for (std::uint32_t i = 0; i < steps; ++i) {
    RepairStep step;
    if (!GetStep(reader, record, step) || !reader.ok()) return Unreadable(kWhat);
    record.steps.push_back(std::move(step));
  }
  for (std::vector<std::string>* names : {&record.wal_names, &record.server_names}) {
    const auto count = reader.Get<std::uint32_t>();
    for (std::uint32_t i = 0; i < count && reader.ok(); ++i) names->push_back(reader.GetString());
  }
  if (!reader.AtEnd()) return Unreadable(kWhat);
  return record;
}

Result<PendingRepair> DecodePendingRepair(Bytes bytes) {
  constexpr char kWhat[] = "PENDING";
  ByteReader reader(TRY(ContentOf(bytes, kPendingMagic, kWhat)));
  PendingRepair pending;
  const auto direction = reader.Get<std::uint8_t>();
  pending.direction = static_cast<RepairDirection>(direction);
  pending.id = reader.GetString();
  const bool known =
      pending.direction == RepairDirection::kApply || pending.direction == RepairDirection::kUndo;
  if (!reader.AtEnd() || !known || !IsRepairId(pending.id)) return Unreadable(kWhat);
  return pending;
}

}  // namespace duramen::log
