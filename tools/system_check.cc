#include "tools/system_check.h"

#include <algorithm>

#include "base/read_around.h"
#include "base/try.h"
#include "tools/read_only_directory.h"
#include "wal/format.h"

namespace duramen::tools {
namespace {

constexpr std::uint64_t kSmallFileBytesMax = 64 << 10;

Result<std::vector<std::byte>> ReadSmall(const std::string& path) {
  const std::unique_ptr<ReadOnlyFile> file = TRY(ReadOnlyFile::Open(path));
  if (file->size() > kSmallFileBytesMax) {
    return Error{ErrorCode::kCorruption, path + " is far too long", ""};
  }
  std::vector<std::byte> bytes(file->size());
  bytes.resize(TRY(ReadAround(*file, 0, bytes)).bytes);
  return bytes;
}

template <typename T>
class Checker {
 public:
  Checker(const char* name, std::vector<ImageFinding>& found) : name_(name), found_(found) {}

  void Check(const Result<log::Copies<T>>& file, const SystemUuid& system) {
    if (!file.ok() && file.error().code == ErrorCode::kNotFound) {
      return Add(0, "it is not there; a start refuses the directory until it is restored",
                 FindingKind::kMissingFile);
    }
    if (!file.ok()) return Add(0, file.error().message, FindingKind::kDamage);
    for (std::size_t copy = 0; copy < log::kSystemCopies; ++copy) {
      if (!file->copy_ok[copy]) {
        Add(copy * log::kSystemBlockBytes, "one of its two copies cannot be read; nothing is lost");
      }
    }
    if (!system.is_nil() && file->content.system != system) {
      Add(0, "it names another system than the WAL files do");
    }
  }

 private:
  void Add(std::uint64_t offset, std::string sentence,
           FindingKind kind = FindingKind::kHeaderCopy) {
    Finding finding{.kind = kind,
                    .file = name_,
                    .offset_bytes = offset,
                    .size_bytes = log::kSystemBlockBytes,
                    .batch = 0,
                    .sentence = std::move(sentence),
                    .touched = {}};
    found_.push_back({std::move(finding), false, true});
  }

  const char* name_;
  std::vector<ImageFinding>& found_;
};

/// Files that are none of the WAL any more, because a start could not copy their damage [PW7].
void ListKept(const std::string& wal_dir, std::vector<ImageFinding>& found) {
  const auto directory = ReadOnlyDirectory::Open(wal_dir);
  if (!directory.ok()) return;
  const Result<std::vector<DirectoryEntry>> entries = (*directory)->List();
  if (!entries.ok()) return;
  for (const DirectoryEntry& entry : *entries) {
    if (!entry.is_regular || !entry.name.ends_with(wal::kKeptSuffix)) continue;
    Finding finding{.kind = FindingKind::kOrphanFile,
                    .file = entry.name,
                    .size_bytes = entry.size_bytes,
                    .sentence =
                        "kept for the damaged bytes in it, which quarantine had no room "
                        "for; nothing else needs it",
                    .touched = {}};
    found.push_back({std::move(finding), false, false});
  }
}

}  // namespace

Result<log::Copies<log::SystemFile>> ReadSystemFile(const std::string& data_dir) {
  return log::DecodeSystemFile(TRY(ReadSmall(data_dir + "/" + kSystemName)));
}

Result<log::Copies<log::IdentityFile>> ReadIdentityFile(const std::string& wal_dir) {
  return log::DecodeIdentityFile(TRY(ReadSmall(wal_dir + "/" + kIdentityName)));
}

std::vector<ImageFinding> CheckSystemFiles(const std::string& path, const WalImage& image) {
  std::vector<ImageFinding> found;
  if (!image.whole || image.path == path) return found;
  const Result<log::Copies<log::SystemFile>> system = ReadSystemFile(path);
  const bool missing = !system.ok() && system.error().code == ErrorCode::kNotFound;
  // SYSTEM is the last step of a creation, before the first WAL file enters service: without both
  // nothing was ever promised. No batch says nothing: after a flush all may be in segments.
  const bool served = std::ranges::any_of(
      image.summaries, [](const wal::FileSummary& file) { return file.header.has_value(); });
  if (missing && !served && image.verdict.batches.empty()) return found;
  Checker<log::SystemFile>(kSystemName, found).Check(system, image.system);
  Checker<log::IdentityFile>(kIdentityName, found)
      .Check(ReadIdentityFile(image.path), image.system);
  ListKept(image.path, found);
  if (image.away_path.empty()) return found;
  Checker<log::IdentityFile>(kIdentityName, found)
      .Check(ReadIdentityFile(image.away_path), image.system);
  ListKept(image.away_path, found);
  return found;
}

}  // namespace duramen::tools
