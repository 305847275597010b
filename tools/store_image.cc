#include "tools/store_image.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "base/try.h"
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
std::string DataDirectoryOf(const std::string& path, const WalImage& image) {
  if (!image.whole) return "";
  if (image.path != path) return path;
  return IsThere(path + "/../" + kSystemName) ? path + "/.." : "";
}

bool IsDamage(const Finding& finding) {
  return finding.kind == FindingKind::kDamage || finding.kind == FindingKind::kMissingFile;
}

/// What checkpoints and segments say, read once for each reading of the WAL.
class Beside final : public BesideWal {
 public:
  explicit Beside(const std::string& path) : path_(path) {}

  Result<wal::FileEnd> Read(const WalImage& scanned) override {
    const std::string data_path = DataDirectoryOf(path_, scanned);
    if (data_path.empty()) return wal::FileEnd{};
    const Result<log::Copies<log::SystemFile>> system_file = ReadSystemFile(data_path);
    system = system_file.ok() ? system_file->content.system : scanned.system;
    if (system.is_nil()) return wal::FileEnd{};
    directory = TRY(ReadOnlyDirectory::Open(data_path));
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

  SystemUuid system;
  std::unique_ptr<Directory> directory;
  std::unique_ptr<log::DurableRows> rows;
  std::unique_ptr<log::DurableState> state;

 private:
  std::string path_;
  bool moved_ = false;
};

}  // namespace

bool StoreImage::damaged() const {
  if (wal.damaged()) return true;
  return state != nullptr && std::any_of(state->findings.begin(), state->findings.end(), IsDamage);
}

Result<StoreImage> ReadStoreImage(const std::string& path) {
  Beside beside(path);
  StoreImage image;
  image.wal = TRY(ReadWalImage(path, &beside));
  if (image.wal.path != path && image.wal.whole) image.path = path;
  image.system = beside.system;
  image.directory = std::move(beside.directory);
  image.rows = std::move(beside.rows);
  image.state = std::move(beside.state);
  return image;
}

std::string VerdictSentence(const StoreImage& image) {
  return image.damaged() ? "damage" : VerdictSentence(image.wal);
}

}  // namespace duramen::tools
