#include "tools/wal_image.h"

#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "base/posix_io.h"
#include "base/try.h"
#include "log/durable_state.h"
#include "tools/progress.h"
#include "tools/system_check.h"

namespace duramen::tools {
namespace {

constexpr int kReadingsMax = 12;
constexpr const char* kWhatToName = "name a data directory, its wal directory or a .wal file";

struct FoundFile {
  std::uint64_t number = 0;  // 0: not known by its name
  std::string name;
  std::string path;
};

std::string BaseName(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

std::string DirectoryName(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

bool HoldsWalFiles(const std::vector<DirectoryEntry>& entries) {
  return std::any_of(entries.begin(), entries.end(), [](const DirectoryEntry& entry) {
    return entry.is_regular && wal::ParseFileName(entry.name).has_value();
  });
}

Result<std::vector<DirectoryEntry>> ListOf(const std::string& path) {
  PosixFileSystem file_system;
  const std::unique_ptr<Directory> directory = TRY(file_system.Open(path));
  return directory->List();
}

Result<std::vector<FoundFile>> FindFiles(const std::string& wal_path, const std::string& away_path,
                                         bool directory) {
  std::vector<FoundFile> found;
  if (!directory) {
    const std::string name = BaseName(wal_path);
    found.push_back({wal::ParseFileName(name).value_or(0), name, wal_path});
    return found;
  }
  for (const std::string& path : {wal_path, away_path}) {
    if (path.empty()) continue;
    for (const DirectoryEntry& entry : TRY(ListOf(path))) {
      const std::optional<std::uint64_t> number = wal::ParseFileName(entry.name);
      if (!number || !entry.is_regular) continue;
      found.push_back({*number, entry.name, path + "/" + entry.name});
    }
  }
  std::sort(found.begin(), found.end(),
            [](const FoundFile& a, const FoundFile& b) { return a.number < b.number; });
  return found;
}

/// What the first blocks of one file say, whatever its name.
struct Front {
  std::optional<wal::FileHeader> header;
  std::optional<Error> unknown_version;
  std::uint64_t batch_file_number = 0;  // as the first batch claims, unchecked
  bool magic = false;                   // something of a WAL file stands there
  bool zeros = true;
};

Front ReadFront(const File& file, std::uint64_t size_bytes) {
  Front front;
  wal::FileWindow window(file, size_bytes);
  for (std::uint64_t copy = 0; copy < wal::kHeaderCopies; ++copy) {
    const Bytes block = window.At(copy * wal::kBlockBytes, wal::kBlockBytes);
    front.zeros = front.zeros && std::all_of(block.begin(), block.end(),
                                             [](std::byte byte) { return byte == std::byte{0}; });
    front.magic = front.magic || (block.size() >= sizeof wal::kFileMagic &&
                                  LoadLe<std::uint64_t>(block.data()) == wal::kFileMagic);
    const Result<wal::FileHeader> header = wal::DecodeFileHeader(block, copy);
    if (header.ok() && !front.header) front.header = *header;
    if (!header.ok() && header.error().code == ErrorCode::kUnknownVersion) {
      front.unknown_version = header.error();
    }
  }
  const Bytes batch = window.At(wal::kFirstBatchOffset, wal::kBatchHeaderBytes);
  if (batch.size() == wal::kBatchHeaderBytes &&
      LoadLe<std::uint32_t>(batch.data()) == wal::kBatchMagic) {
    front.magic = true;
    front.zeros = false;
    front.batch_file_number = LoadLe<std::uint64_t>(batch.data() + 24);
  }
  return front;
}

std::uint64_t BytesToScan(const ReadOnlyFile& file) {
  const std::uint64_t content = RoundUp(file.content_end(), wal::kBlockBytes);
  return std::min({content, file.size(), kWalFileBytesMax});
}

/// A lone file with both header copies gone: its neighbours know the system's uuid.
SystemUuid SystemOfNeighbours(const std::string& file_path) {
  const std::string directory = DirectoryName(file_path);
  const Result<std::vector<DirectoryEntry>> entries = ListOf(directory);
  if (!entries.ok()) return {};
  for (const DirectoryEntry& entry : *entries) {
    if (!entry.is_regular || !wal::ParseFileName(entry.name)) continue;
    const Result<std::unique_ptr<ReadOnlyFile>> file =
        ReadOnlyFile::Open(directory + "/" + entry.name);
    if (!file.ok()) continue;
    const Front front = ReadFront(**file, BytesToScan(**file));
    if (front.header) return front.header->system;
  }
  return {};
}

class Reading {
 public:
  Reading(std::string wal_path, std::string away_path, bool directory, ReadProgress* progress)
      : progress_(progress) {
    image_.path = std::move(wal_path);
    image_.away_path = std::move(away_path);
    image_.whole = directory;
  }

  Result<WalImage> Run(BesideWal* beside) {
    TRY(Open());
    if (!image_.whole) TRY(JudgeLoneFile());
    if (image_.whole && beside != nullptr) PreferSystem(beside->SystemOf(image_.path));
    for (std::size_t i = 0; i < fronts_.size() && image_.system.is_nil(); ++i) {
      if (fronts_[i].header) image_.system = fronts_[i].header->system;
    }
    if (progress_ != nullptr) progress_->Begin("WAL files", BytesToScanInAll());
    for (std::size_t i = 0; i < image_.files.size(); ++i) {
      Scan(i);
      if (progress_ != nullptr && progress_->stopped()) return std::move(image_);
    }
    if (image_.whole) ForgetRecycledFiles();
    wal::FileEnd covered;
    if (beside != nullptr) covered = TRY(beside->Read(image_));
    image_.verdict = wal::JudgeTail(image_.summaries, covered);
    // The others were not given; or the newest header is gone, and they may have been recycled.
    if (!image_.whole || !image_.verdict.oldest_live_known) ForgetMissingFiles();
    return std::move(image_);
  }

 private:
  Status Open() {
    for (const FoundFile& found : TRY(FindFiles(image_.path, image_.away_path, image_.whole))) {
      Result<std::unique_ptr<ReadOnlyFile>> file = ReadOnlyFile::Open(found.path, progress_);
      if (!file.ok() && image_.whole && file.error().code == ErrorCode::kNotFound) {
        // Renamed by a running store since the directory was listed.
        recycled_upto_ = std::max(recycled_upto_, found.number);
        continue;
      }
      if (!file.ok()) return std::move(file).error();
      fronts_.push_back(ReadFront(**file, BytesToScan(**file)));
      numbers_.push_back(found.number);
      const std::uint64_t size_bytes = (*file)->size();
      image_.files.push_back({found.name, std::move(*file), size_bytes});
    }
    return {};
  }

  Status JudgeLoneFile() {
    const Front& front = fronts_.front();
    std::uint64_t& number = numbers_.front();
    if (number == 0 && front.header) number = front.header->number;
    if (number == 0) number = front.batch_file_number;
    if (front.header || front.unknown_version) return {};
    if (!front.magic && (numbers_.front() == 0 || !front.zeros)) {
      return Error{ErrorCode::kUnsupported, image_.path + " is not a WAL file of Duramen",
                   kWhatToName};
    }
    image_.system = SystemOfNeighbours(image_.path);
    return {};
  }

  /// What SYSTEM says, unless every header that can be read says otherwise: one file of a stranger
  /// does not make strangers of the others.
  void PreferSystem(const SystemUuid& told) {
    bool any = false;
    for (const Front& front : fronts_) {
      if (front.header && front.header->system == told) image_.system = told;
      any = any || front.header;
    }
    if (!any) image_.system = told;
  }

  std::uint64_t BytesToScanInAll() const {
    std::uint64_t bytes = 0;
    for (const ImageFile& file : image_.files) bytes += BytesToScan(*file.file);
    return bytes;
  }

  void Scan(std::size_t i) {
    const ReadOnlyFile& file = *image_.files[i].file;
    wal::FileWindow window(file, BytesToScan(file));
    wal::FileSummary summary = wal::ScanHeaders(window, numbers_[i], image_.system);
    summary.file_bytes = file.size();
    if (fronts_[i].unknown_version) image_.unknown_version = fronts_[i].unknown_version;
    if (!image_.system.is_nil()) {
      wal::ScanBatches(window, image_.system, summary);
    } else if (!fronts_[i].zeros) {
      image_.headless.push_back(i);
    }
    image_.bytes_read += window.bytes_read();
    image_.summaries.push_back(std::move(summary));
  }

  /// Files are recycled in the order of their numbers [A10], so whatever a running store recycled
  /// while it was read, and all before it, is no longer needed.
  void ForgetRecycledFiles() {
    for (std::size_t i = 0; i < image_.files.size(); ++i) {
      if (LeftService(image_.files[i])) recycled_upto_ = std::max(recycled_upto_, numbers_[i]);
    }
    if (recycled_upto_ == 0) return;
    std::vector<ImageFile> files = std::exchange(image_.files, {});
    std::vector<wal::FileSummary> summaries = std::exchange(image_.summaries, {});
    image_.headless.clear();
    for (std::size_t i = 0; i < files.size(); ++i) {
      if (numbers_[i] <= recycled_upto_) continue;
      wal::FileSummary& summary = summaries[i];
      if (summary.header) {
        summary.header->oldest_live = std::max(summary.header->oldest_live, recycled_upto_ + 1);
      }
      image_.files.push_back(std::move(files[i]));
      image_.summaries.push_back(std::move(summary));
    }
  }

  /// The batches of a missing file stand as damage before the first batch of the next one.
  void ForgetMissingFiles() {
    image_.verdict.missing.clear();
    std::erase_if(image_.verdict.batches,
                  [](const wal::JudgedBatch& batch) { return batch.missing_file; });
  }

  ReadProgress* const progress_;
  WalImage image_;
  std::vector<Front> fronts_;
  std::vector<std::uint64_t> numbers_;
  std::uint64_t recycled_upto_ = 0;
};

/// What is wrong, as text: two readings that say the same are believed.
std::string SymptomsOf(const WalImage& image) {
  std::string text;
  for (const wal::JudgedBatch& batch : image.verdict.batches) {
    if (batch.intact) continue;
    text += std::to_string(image.summary_of(batch).life) + ":" + std::to_string(batch.number) + " ";
  }
  for (const std::uint64_t number : image.verdict.missing) text += std::to_string(number) + "! ";
  for (const std::size_t file : image.headless) text += image.files[file].name + "? ";
  for (const std::size_t file : image.verdict.headerless) text += image.files[file].name + "# ";
  if (!image.verdict.reaches_covered) text += "gap behind the checkpoints ";
  return text;
}

}  // namespace

bool LeftService(const ImageFile& file) {
  const Result<std::unique_ptr<ReadOnlyFile>> now = ReadOnlyFile::Open(file.file->path());
  return !now.ok() || (*now)->inode() != file.file->inode();
}

bool WalImage::damaged() const {
  if (!verdict.missing.empty() || !headless.empty() || !verdict.reaches_covered) return true;
  return std::any_of(verdict.batches.begin(), verdict.batches.end(),
                     [](const wal::JudgedBatch& batch) { return !batch.intact; });
}

std::string LocateFailover(const std::string& path) {
  const Result<log::Copies<log::SystemFile>> system = ReadSystemFile(path);
  if (!system.ok() || system->content.wal_dirs.size() < 2) return "";
  return system->content.wal_dirs[1];
}

Result<std::string> LocateWal(const std::string& path, const std::string& wal_dir) {
  const std::vector<DirectoryEntry> entries = TRY(ListOf(path));
  const auto holds = [&](std::string_view name, bool directory) {
    return std::any_of(entries.begin(), entries.end(), [&](const DirectoryEntry& entry) {
      return entry.name == name && (directory ? entry.is_directory : entry.is_regular);
    });
  };
  if (holds(kSystemName, false)) {
    const Result<log::Copies<log::SystemFile>> system = ReadSystemFile(path);
    if (!system.ok() && system.error().code == ErrorCode::kUnknownVersion) return system.error();
    if (system.ok() && !system->content.wal_dirs.empty()) {
      const std::string& listed = system->content.wal_dirs.front();
      const std::string wal_path = listed == "wal" ? path + "/wal" : listed;
      if (ListOf(wal_path).ok()) return wal_path;
    }
  }
  if (holds("wal", true)) return path + "/wal";
  if (HoldsWalFiles(entries)) return path;
  if (!wal_dir.empty()) return wal_dir;
  if (holds(log::kServersName, true)) {
    return Error{ErrorCode::kUnsupported,
                 path +
                     " has no SYSTEM that can be read, nor a 'wal' directory: its WAL lies where "
                     "its wal_dir says, or is not mounted",
                 "duramen repair " + path + " --wal-dir DIR, with the wal_dir of its settings"};
  }
  return Error{ErrorCode::kUnsupported,
               path + " holds no WAL: neither a 'wal' directory nor WAL files", kWhatToName};
}

Result<WalImage> ReadWalImage(const std::string& path, BesideWal* beside, ReadProgress* progress,
                              const std::string& wal_dir) {
  // A directory first: what is none answers that it is a file.
  Result<std::string> wal_path = LocateWal(path, wal_dir);
  const bool directory = wal_path.ok();
  if (!directory && wal_path.error().code != ErrorCode::kInvalidArgument) {
    Error error = std::move(wal_path).error();
    if (error.hint.empty()) error.hint = kWhatToName;
    return error;
  }
  if (directory) {
    const Result<log::Copies<log::IdentityFile>> identity = ReadIdentityFile(*wal_path);
    if (!identity.ok() && identity.error().code == ErrorCode::kUnknownVersion) {
      return identity.error();
    }
  }
  const std::string away_path = directory ? LocateFailover(path) : "";
  if (!away_path.empty() && !ListOf(away_path).ok()) {
    Error error = ListOf(away_path).error();
    error.message = "the system wrote its WAL to '" + away_path + "', too: " + error.message;
    error.hint = "mount or restore that directory: without it acknowledged entries may be missing";
    return error;
  }
  std::string symptoms;
  for (int reading = 0;; ++reading) {
    Reading attempt(directory ? *wal_path : path, away_path, directory, progress);
    WalImage image = TRY(attempt.Run(beside));
    if (progress != nullptr && progress->stopped()) return image;
    if (image.unknown_version) return *image.unknown_version;
    std::string now = SymptomsOf(image);
    if (beside != nullptr) now += beside->Symptoms();
    const bool settled = now.empty() || now == symptoms;
    if (settled || !directory || reading + 1 == kReadingsMax) return image;
    symptoms = now;
  }
}

}  // namespace duramen::tools
