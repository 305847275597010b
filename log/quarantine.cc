#include "log/quarantine.h"

#include <algorithm>

#include "base/checksum.h"
#include "base/try.h"
#include "log/durable_state.h"
#include "wal/format.h"

namespace duramen::log {
namespace {

constexpr std::uint64_t kChunkBytes = 1 << 20;

std::string CopyName(const DamagedBytes& from) {
  return from.file + "." + std::to_string(from.life) + "." + std::to_string(from.offset) + ".bytes";
}

Result<std::vector<std::byte>> ReadWhole(const Directory& directory, const std::string& name) {
  const std::unique_ptr<File> file = TRY(directory.Open(name, OpenFor::kRead));
  std::vector<std::byte> bytes(TRY(file->SizeBytes()));
  bytes.resize(TRY(file->Read(0, bytes)));
  return bytes;
}

/// The range of a WAL file, if a start hides it: by a cut, by recycling, or by a new header.
std::optional<DamagedBytes> RangeInWal(const DamagedStore& store, const Finding& finding) {
  const bool hidden = finding.kind == FindingKind::kDamage ||
                      finding.kind == FindingKind::kUnprovenTail ||
                      finding.kind == FindingKind::kHeaderCopy;
  const std::optional<std::uint64_t> number = wal::ParseFileName(finding.file);
  if (!hidden || !number || finding.size_bytes == 0) return std::nullopt;
  const auto file =
      std::find_if(store.wal_files.begin(), store.wal_files.end(),
                   [&](const wal::FileSummary& summary) { return summary.number == *number; });
  if (file == store.wal_files.end()) return std::nullopt;
  return DamagedBytes{.directory = &store.wal_dir,
                      .file = finding.file,
                      .life = file->life,
                      .offset = finding.offset_bytes,
                      .bytes = finding.size_bytes};
}

/// The whole of a checkpoint in which a row is lost that stands nowhere else. One that a crash cut
/// short is no damage, and every crash would leave a copy. It is rewritten under one name for ever,
/// so its bytes tell which one it was.
std::optional<DamagedBytes> LostCheckpoint(const DamagedStore& store, const Finding& finding) {
  const std::string folder = std::string(kMetaName) + "/";
  if (finding.kind != FindingKind::kDamage || store.meta_dir == nullptr) return std::nullopt;
  if (!finding.file.starts_with(folder)) return std::nullopt;
  const std::string name = finding.file.substr(folder.size());
  const Result<std::vector<std::byte>> bytes = ReadWhole(*store.meta_dir, name);
  return DamagedBytes{.directory = store.meta_dir,
                      .file = name,
                      .life = bytes.ok() ? Checksum(*bytes, 0) : 0,
                      .bytes = UINT64_MAX};
}

}  // namespace

Status Quarantine::Open() {
  if (directory_ != nullptr) return {};
  const Status made = data_dir_.CreateDirectory(kQuarantineName);
  if (!made.ok() && made.error().code != ErrorCode::kAlreadyExists) return made.error();
  TRY(data_dir_.Sync());
  directory_ = TRY(data_dir_.OpenDirectory(kQuarantineName));
  return {};
}

Result<std::string> Quarantine::Keep(const DamagedBytes& from) {
  TRY(Open());
  const std::unique_ptr<File> file = TRY(from.directory->Open(from.file, OpenFor::kRead));
  DamagedBytes range = from;
  const std::uint64_t size = TRY(file->SizeBytes());
  range.bytes = std::min(range.bytes, size - std::min(size, range.offset));
  const std::string name = CopyName(range);
  const std::string path = std::string(kQuarantineName) + "/" + name;
  const Result<std::unique_ptr<File>> before = directory_->Open(name, OpenFor::kRead);
  if (before.ok() && TRY((*before)->SizeBytes()) == range.bytes) return path;
  const Status copied = Copy(*file, range, name);
  if (!copied.ok()) {
    (void)directory_->Remove(name + ".tmp");  // Its space is worth more than half a copy.
    return copied.error();
  }
  return path;
}

Status Quarantine::Copy(const File& from, const DamagedBytes& range, const std::string& name) {
  const std::string temporary = name + ".tmp";
  const Status removed = directory_->Remove(temporary);  // Of a start that was killed.
  if (!removed.ok() && removed.error().code != ErrorCode::kNotFound) return removed.error();
  const std::unique_ptr<File> copy = TRY(directory_->Create(temporary));
  std::vector<std::byte> chunk(std::min(kChunkBytes, range.bytes));
  for (std::uint64_t done = 0; done < range.bytes;) {
    const std::uint64_t wanted = std::min<std::uint64_t>(chunk.size(), range.bytes - done);
    const std::size_t got = TRY(from.Read(range.offset + done, std::span(chunk).first(wanted)));
    if (got == 0) return Error{ErrorCode::kShortRead, range.file + " became shorter", ""};
    TRY(copy->Write(done, std::span(chunk).first(got)));
    done += got;
  }
  TRY(copy->SyncAll());
  return directory_->Rename(temporary, name);
}

Status Quarantine::Sync() {
  if (directory_ == nullptr) return {};
  return directory_->Sync();
}

std::set<std::uint64_t> KeepDamage(const DamagedStore& store, std::vector<Finding>& findings) {
  Quarantine quarantine(store.data_dir);
  std::set<std::uint64_t> wal_files;
  const auto not_kept = [&](Finding& finding, const Error& error) {
    finding.sentence += "; it could not be copied to quarantine: " + error.message;
    const std::optional<std::uint64_t> number = wal::ParseFileName(finding.file);
    finding.kept_in.clear();
    if (!number) return;
    // The next header goes over a header copy, whatever becomes of the file.
    if (finding.kind == FindingKind::kHeaderCopy) return;
    wal_files.insert(*number);
    finding.kept_in = wal::KeptFileName(*number);
    finding.sentence += "; the file is not recycled, and is renamed when nothing needs it";
  };
  for (Finding& finding : findings) {
    std::optional<DamagedBytes> from = RangeInWal(store, finding);
    if (!from) from = LostCheckpoint(store, finding);
    if (!from) continue;
    Result<std::string> kept = quarantine.Keep(*from);
    if (kept.ok()) {
      finding.kept_in = std::move(*kept);
    } else {
      not_kept(finding, kept.error());
    }
  }
  const Status synced = quarantine.Sync();
  if (synced.ok()) return wal_files;
  for (Finding& finding : findings) {
    if (finding.kept_in.starts_with(kQuarantineName)) not_kept(finding, synced.error());
  }
  return wal_files;
}

}  // namespace duramen::log
