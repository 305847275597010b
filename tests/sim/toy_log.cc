#include "tests/sim/toy_log.h"

#include <array>
#include <cstring>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/try.h"

namespace duramen::sim {
namespace {

using Record = std::array<std::byte, ToyLog::kRecordBytes>;

Record Encode(std::uint64_t number) {
  Record record{};
  record.fill(static_cast<std::byte>(number));
  StoreLe(record.data() + 8, number);
  StoreLe(record.data(), Checksum(Bytes(record).subspan(8), 1));
  return record;
}

}  // namespace

Result<std::unique_ptr<ToyLog>> ToyLog::Open(FileSystem& file_system, const std::string& path,
                                             ToyBugs bugs) {
  TRY(file_system.CreateDirectories(path));
  std::unique_ptr<Directory> directory = TRY(file_system.Open(path));
  Result<std::unique_ptr<File>> file = directory->Open("toy.log", OpenFor::kReadWrite);
  if (!file.ok()) file = directory->Create("toy.log");
  if (!file.ok()) return std::move(file).error();
  if (!bugs.skip_directory_sync) TRY(directory->Sync());
  auto log = std::make_unique<ToyLog>(std::move(file).value(), bugs);
  TRY(log->Recover());
  return log;
}

Status ToyLog::Recover() {
  Record record;
  while (TRY(file_->Read(count_ * kRecordBytes, record)) == kRecordBytes) {
    if (record != Encode(count_ + 1)) break;
    ++count_;
  }
  if (count_ == 0 || bugs_.skip_data_sync) return {};
  // What the page cache shows may not be on the disk: write it again before anyone relies on it.
  for (std::uint64_t i = 0; i < count_; ++i) TRY(file_->Write(i * kRecordBytes, Encode(i + 1)));
  return file_->SyncData();
}

Status ToyLog::Append() {
  TRY(file_->Write(count_ * kRecordBytes, Encode(count_ + 1)));
  if (!bugs_.skip_data_sync) TRY(file_->SyncData());
  ++count_;
  return {};
}

}  // namespace duramen::sim
