#include "log/quarantine.h"

#include <algorithm>

#include "base/checksum.h"
#include "base/read_around.h"
#include "base/try.h"
#include "log/durable_state.h"
#include "log/file_copy.h"
#include "log/system_file.h"
#include "wal/format.h"

namespace duramen::log {
namespace {

constexpr std::size_t kBeginningBytes = 1 << 20;
/// Far more than a batch or a checkpoint is. A file that damage made larger is not worth the disk.
constexpr std::uint64_t kKeptBytesMax = 1 << 30;

std::string CopyName(const DamagedBytes& from) {
  return from.file + "." + std::to_string(from.life) + "." + std::to_string(from.offset) + ".bytes";
}

/// A checksum of what comes first: each checkpoint written differs in its header.
Result<std::uint64_t> BeginningOf(const Directory& directory, const std::string& name) {
  const std::unique_ptr<File> file = TRY(directory.Open(name, OpenFor::kRead));
  std::vector<std::byte> bytes(kBeginningBytes);
  return Checksum(std::span(bytes).first(TRY(ReadAround(*file, 0, bytes)).bytes), 0);
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
  const bool away =
      store.failover_dir != nullptr && !store.wal_dir.Open(finding.file, OpenFor::kRead).ok();
  return DamagedBytes{.directory = away ? store.failover_dir : &store.wal_dir,
                      .file = finding.file,
                      .life = file->life,
                      .offset = finding.offset_bytes,
                      .bytes = finding.size_bytes};
}

/// The whole of a checkpoint in which a row is lost that stands nowhere else. One that a crash cut
/// short is no damage, and every crash would leave a copy. It is rewritten under one name for ever,
/// so its beginning tells which one it was.
std::optional<DamagedBytes> LostCheckpoint(const DamagedStore& store, const Finding& finding) {
  const std::string folder = std::string(kMetaName) + "/";
  if (finding.kind != FindingKind::kDamage || store.meta_dir == nullptr) return std::nullopt;
  if (!finding.file.starts_with(folder)) return std::nullopt;
  const std::string name = finding.file.substr(folder.size());
  const Result<std::uint64_t> beginning = BeginningOf(*store.meta_dir, name);
  return DamagedBytes{.directory = store.meta_dir,
                      .file = name,
                      .life = beginning.ok() ? *beginning : 0,
                      .bytes = kKeptBytesMax};
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

Result<KeptDamage> Quarantine::Keep(const DamagedBytes& from) {
  TRY(Open());
  const std::unique_ptr<File> file = TRY(from.directory->Open(from.file, OpenFor::kRead));
  DamagedBytes range = from;
  const std::uint64_t size = TRY(file->SizeBytes());
  range.bytes = std::min(range.bytes, size - std::min(size, range.offset));
  if (range.bytes > kKeptBytesMax) {
    return Error{ErrorCode::kTooLarge,
                 std::to_string(range.bytes) + " bytes are more than a start copies", ""};
  }
  const std::string name = CopyName(range);
  const std::string path = std::string(kQuarantineName) + "/" + name;
  const Result<std::unique_ptr<File>> before = directory_->Open(name, OpenFor::kRead);
  if (before.ok() && TRY((*before)->SizeBytes()) == range.bytes) return KeptDamage{path};
  const Result<std::uint64_t> copied = Copy(*file, range, name);
  if (!copied.ok()) {
    (void)directory_->Remove(name + ".tmp");  // Its space is worth more than half a copy.
    return copied.error();
  }
  return KeptDamage{path, *copied};
}

Result<std::uint64_t> Quarantine::Copy(const File& from, const DamagedBytes& range,
                                       const std::string& name) {
  const std::string temporary = name + ".tmp";
  TRY(RemoveIfThere(*directory_, temporary));  // Of a start that was killed.
  const std::unique_ptr<File> copy = TRY(directory_->Create(temporary));
  const ContentSum sum = TRY(CopyContent(from, *copy, {range.offset, range.bytes}));
  TRY(copy->SyncAll());
  TRY(directory_->Rename(temporary, name));
  return sum.unreadable_bytes;
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
    Result<KeptDamage> kept = quarantine.Keep(*from);
    if (kept.ok()) {
      finding.kept_in = std::move(kept->path);
      if (kept->unreadable_bytes > 0) {
        finding.sentence += "; " + std::to_string(kept->unreadable_bytes) +
                            " bytes could not be read and are zeros in the copy";
      }
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
