#include "log/attempt_file.h"

#include <cstring>

#include "base/bytes.h"
#include "base/checksum.h"
#include "log/system_file.h"

namespace duramen::log {
namespace {

constexpr std::uint64_t kMagic = 0x31455441525544ULL;  // "DURATE1"
constexpr std::size_t kRecordBytes = 80;
constexpr std::uint32_t kDeathsMax = 2;

std::uint64_t RecordChecksum(Bytes bytes) {
  return Checksum(bytes.subspan(16), FileSeed({}, FileKind::kAttempt, 0));
}

}  // namespace

// magic u64 | checksum u64 | running u32 | suspect_deaths u32 | zero u64 | noted | suspect | left_out
std::vector<std::byte> EncodeAttempt(const AttemptRecord& record) {
  std::vector<std::byte> bytes;
  ByteWriter writer(bytes);
  writer.Put(kMagic);
  writer.Put(std::uint64_t{0});
  writer.Put(std::uint32_t{record.running});
  writer.Put(record.suspect_deaths);
  writer.Put(std::uint64_t{0});
  for (const ServerUid& uid : {record.noted, record.suspect, record.left_out}) {
    writer.PutBytes(std::as_bytes(std::span(uid.bytes)));
  }
  StoreLe(bytes.data() + 8, RecordChecksum(bytes));
  return bytes;
}

AttemptRecord DecodeAttempt(Bytes bytes) {
  AttemptRecord record;
  if (bytes.size() < kRecordBytes) return record;
  bytes = bytes.first(kRecordBytes);
  if (LoadLe<std::uint64_t>(bytes.data()) != kMagic ||
      LoadLe<std::uint64_t>(bytes.data() + 8) != RecordChecksum(bytes)) {
    return record;
  }
  record.running = LoadLe<std::uint32_t>(bytes.data() + 16) != 0;
  record.suspect_deaths = LoadLe<std::uint32_t>(bytes.data() + 20);
  std::memcpy(record.noted.bytes.data(), bytes.data() + 32, 16);
  std::memcpy(record.suspect.bytes.data(), bytes.data() + 48, 16);
  std::memcpy(record.left_out.bytes.data(), bytes.data() + 64, 16);
  return record;
}

AttemptFile::AttemptFile(Directory& directory) {
  const Result<std::vector<std::byte>> bytes = ReadSmallFile(directory, kName);
  if (bytes.ok()) record_ = DecodeAttempt(*bytes);
  Result<std::unique_ptr<File>> file = directory.Open(kName, OpenFor::kReadWrite);
  if (!file.ok()) file = directory.Create(kName);
  if (!file.ok()) return;
  file_ = std::move(*file);
  noting_ = record_.running;
  if (noting_ && !record_.noted.is_nil()) {
    record_.suspect_deaths = record_.noted == record_.suspect ? record_.suspect_deaths + 1 : 1;
    record_.suspect = record_.noted;
    if (record_.suspect_deaths >= kDeathsMax) record_.left_out = record_.suspect;
  }
  record_.running = true;
  record_.noted = {};
  Store();
}

void AttemptFile::Note(const ServerUid& uid) {
  if (!noting_ || record_.noted == uid) return;
  record_.noted = uid;
  Store();
}

void AttemptFile::Done() {
  const ServerUid left_out = record_.left_out;
  record_ = {};
  record_.left_out = left_out;
  Store();
}

void AttemptFile::Store() {
  if (file_ == nullptr) return;
  // A failure costs the protection, not the start.
  (void)file_->Write(0, EncodeAttempt(record_));
}

}  // namespace duramen::log
