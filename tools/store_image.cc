#include "tools/store_image.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "base/posix_io.h"
#include "base/try.h"
#include "segments/run_walk.h"
#include "tools/checkpoint_walk.h"
#include "tools/findings.h"
#include "tools/read_only_directory.h"
#include "tools/system_check.h"

namespace duramen::tools {
namespace {

bool IsThere(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::symlink_status(path, ignored).type() !=
         std::filesystem::file_type::not_found;
}

/// The data directory that `path` is, or whose WAL directory it is; empty: neither.
std::string DataDirectoryOf(const std::string& path, const std::string& wal_path) {
  if (wal_path != path) return path;
  return IsThere(path + "/../" + kSystemName) ? path + "/.." : "";
}

bool OnOneDevice(const WalImage& image) {
  if (image.away_path.empty()) return false;
  PosixFileSystem file_system;
  const auto home = file_system.Open(image.path);
  const auto away = file_system.Open(image.away_path);
  return home.ok() && away.ok() && (*home)->device() != 0 && (*home)->device() == (*away)->device();
}

bool IsDamage(const Finding& finding) {
  return finding.kind == FindingKind::kDamage || finding.kind == FindingKind::kMissingFile;
}

/// What checkpoints and segments say, read once for each reading of the WAL.
class Beside final : public BesideWal {
 public:
  Beside(const std::string& path, ReadProgress* progress) : path_(path), progress_(progress) {}

  SystemUuid SystemOf(const std::string& wal_path) const override {
    const std::string data_path = DataDirectoryOf(path_, wal_path);
    if (data_path.empty()) return {};
    const Result<log::Copies<log::SystemFile>> system_file = ReadSystemFile(data_path);
    return system_file.ok() ? system_file->content.system : SystemUuid{};
  }

  Result<wal::FileEnd> Read(const WalImage& scanned) override {
    const std::string data_path = scanned.whole ? DataDirectoryOf(path_, scanned.path) : "";
    if (data_path.empty()) return wal::FileEnd{};
    system = SystemOf(scanned.path);
    const bool doubtful = system != scanned.system && !scanned.system.is_nil();
    if (system.is_nil() || (doubtful && CheckpointsSay(data_path, scanned.system))) {
      system = scanned.system;
    }
    if (system.is_nil()) return wal::FileEnd{};
    directory = TRY(ReadOnlyDirectory::Open(data_path, progress_));
    rows = std::make_unique<log::DurableRows>();
    state = std::make_unique<log::DurableState>();
    const Status loaded = state->Load(*directory, system, *rows);
    // A running store removed a file between two looks at its directory.
    moved_ = !loaded.ok() && loaded.error().code == ErrorCode::kNotFound;
    if (!loaded.ok() && !moved_) return loaded.error();
    return state->covered;
  }

  std::string Symptoms() const override {
    std::string text = moved_ ? "moved " : "";
    if (state == nullptr) return text;
    for (const Finding& finding : state->findings) {
      text += finding.file + ":" + std::to_string(finding.offset_bytes) + " ";
    }
    for (const ServerUid& uid : state->candidates()) text += uid.ToString() + " ";
    return text;
  }

  /// SYSTEM and the WAL name different systems: which of them is out of place?
  static bool CheckpointsSay(const std::string& data_path, const SystemUuid& system) {
    for (const char* name : meta::kCheckpointNames) {
      const auto file =
          ReadOnlyFile::Open(data_path + "/" + std::string(log::kMetaName) + "/" + name);
      if (!file.ok()) continue;
      const auto front = segments::ReadUpTo(**file, 0, meta::kCheckpointHeaderBytes);
      if (front.ok() && SystemOfCheckpoint(*front) == system) return true;
    }
    return false;
  }

  SystemUuid system;
  std::unique_ptr<Directory> directory;
  std::unique_ptr<log::DurableRows> rows;
  std::unique_ptr<log::DurableState> state;

 private:
  std::string path_;
  ReadProgress* progress_;
  bool moved_ = false;
};

}  // namespace

bool StoreImage::damaged() const {
  if (wal.damaged() || half_repair) return true;
  return state != nullptr && std::any_of(state->findings.begin(), state->findings.end(), IsDamage);
}

Result<StoreImage> ReadStoreImage(const std::string& path, ReadProgress* progress,
                                  const std::string& wal_dir) {
  const Result<std::string> wal_path = LocateWal(path, wal_dir);
  const std::string data_path = DataDirectoryOf(path, wal_path.ok() ? *wal_path : "");
  Beside beside(path, progress);
  StoreImage image;
  image.half_repair = TRY(ReadHalfRepair(data_path));
  image.progress = progress;
  image.wal_dir = wal_dir;
  Result<WalImage> read = ReadWalImage(path, &beside, progress, wal_dir);
  if (image.interrupted()) return image;
  if (!read.ok() && image.half_repair) {
    Error error = std::move(read).error();
    return Error{error.code, SentenceOf(*image.half_repair) + ": " + error.message,
                 NextOf(*image.half_repair)};
  }
  image.wal = TRY(std::move(read));
  if (!image.half_repair) image.half_repair = TRY(ReadHalfRepair(data_path));
  if (image.wal.path != path && image.wal.whole) image.path = path;
  image.system = beside.system;
  image.directory = std::move(beside.directory);
  image.rows = std::move(beside.rows);
  image.state = std::move(beside.state);
  return image;
}

std::string VerdictSentence(const StoreImage& image) {
  if (image.interrupted()) return "interrupted, and not all of it was read";
  if (image.half_repair) return VerdictSentence(*image.half_repair);
  return image.damaged() ? "damage" : VerdictSentence(image.wal);
}

std::vector<Field> VerdictFields(const StoreImage& image) {
  return {HalfRepairField(image.half_repair),
          {"verdict", ColumnType::kText, VerdictSentence(image)}};
}

void SayOneDevice(const StoreImage& image, Terminal& terminal) {
  if (!OnOneDevice(image.wal)) return;
  terminal.Say("note: " + image.wal.away_path + " is on the file system of " + image.wal.path +
               ": a device that stalls or fails takes both");
}

void SayNotes(const StoreImage& image, Terminal& terminal) {
  if (image.interrupted()) return;
  SayOneDevice(image, terminal);
  if (image.half_repair) {
    terminal.Say("warning: " + VerdictSentence(*image.half_repair));
    terminal.Say("next: " + NextOf(*image.half_repair));
    return;
  }
  for (const ImageFinding& found : FindingsOf(image.wal)) {
    terminal.Say("note: " + SentenceOf(found.finding));
  }
  if (image.state != nullptr) {
    for (const Finding& found : image.state->findings) terminal.Say("note: " + SentenceOf(found));
  }
}

ExitCode ConcludeOn(const StoreImage& image, Terminal& terminal) {
  SayNotes(image, terminal);
  const Status flushed = terminal.Flush();
  if (flushed.ok() && image.interrupted()) return ExitCode::kInterrupted;
  if (flushed.ok()) return image.damaged() ? ExitCode::kDamage : ExitCode::kClean;
  terminal.Complain(flushed.error());
  return ExitCodeOf(flushed.error().code);
}

}  // namespace duramen::tools
