#include "log/attempt_file.h"

#include <cstring>

#include "base/bytes.h"
#include "base/checksum.h"
#include "log/system_file.h"

namespace duramen::log {
namespace {

constexpr std::uint64_t kMagic = 0x31455441525544ULL;  // "DURATE1"
constexpr std::size_t kRecordBytes = 56;
constexpr std::uint32_t kDeathsMax = 2;

std::uint64_t RecordChecksum(Bytes bytes) {
  return Checksum(bytes.subspan(16), FileSeed({}, FileKind::kAttempt, 0));
}

}  // namespace

// magic u64 | checksum u64 | suspect_deaths u32 | zero u32 | suspect | left_out
std::vector<std::byte> EncodeAttempt(const AttemptRecord& record) {
  std::vector<std::byte> bytes;
  ByteWriter writer(bytes);
  writer.Put(kMagic);
  writer.Put(std::uint64_t{0});
  writer.Put(record.suspect_deaths);
  writer.Put(std::uint32_t{0});
  writer.PutBytes(std::as_bytes(std::span(record.suspect.bytes)));
  writer.PutBytes(std::as_bytes(std::span(record.left_out.bytes)));
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
  record.suspect_deaths = LoadLe<std::uint32_t>(bytes.data() + 16);
  std::memcpy(record.suspect.bytes.data(), bytes.data() + 24, 16);
  std::memcpy(record.left_out.bytes.data(), bytes.data() + 40, 16);
  return record;
}

AttemptFile::AttemptFile(Directory& directory)
    : hook_([](void* self) noexcept { static_cast<AttemptFile*>(self)->Died(); }, this) {
  const Result<std::vector<std::byte>> bytes = ReadSmallFile(directory, kName);
  if (bytes.ok()) record_ = DecodeAttempt(*bytes);
  Result<std::unique_ptr<File>> file = directory.Open(kName, OpenFor::kReadWrite);
  if (!file.ok()) {
    file = directory.Create(kName);
    // Room for the record now, so that a dying process needs none.
    if (file.ok()) (void)(*file)->Write(0, EncodeAttempt(record_));
  }
  if (file.ok()) file_ = std::move(*file);
}

void AttemptFile::Died() noexcept {
  if (file_ == nullptr || noted_.is_nil()) return;
  record_.suspect_deaths = noted_ == record_.suspect ? record_.suspect_deaths + 1 : 1;
  record_.suspect = noted_;
  if (record_.suspect_deaths >= kDeathsMax) record_.left_out = noted_;
  (void)file_->Write(0, EncodeAttempt(record_));
}

void AttemptFile::ForgetLeftOut() {
  record_ = {};
  if (file_ != nullptr) (void)file_->Write(0, EncodeAttempt(record_));
}

void AttemptFile::Done() {
  noted_ = {};
  if (record_.suspect_deaths == 0 || file_ == nullptr) return;
  record_.suspect = {};
  record_.suspect_deaths = 0;
  (void)file_->Write(0, EncodeAttempt(record_));
}

}  // namespace duramen::log
