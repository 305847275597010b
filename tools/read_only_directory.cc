#include "tools/read_only_directory.h"

#include "base/posix_io.h"
#include "base/try.h"
#include "tools/read_only.h"

namespace duramen::tools {

Result<std::unique_ptr<Directory>> ReadOnlyDirectory::Open(const std::string& path,
                                                           ReadProgress* progress) {
  PosixFileSystem file_system;
  std::unique_ptr<Directory> inner = TRY(file_system.Open(path));
  return std::unique_ptr<Directory>(
      std::make_unique<ReadOnlyDirectory>(std::move(inner), progress));
}

Result<std::unique_ptr<File>> ReadOnlyDirectory::Open(std::string_view name, OpenFor) const {
  return std::unique_ptr<File>(
      TRY(ReadOnlyFile::Open(path() + "/" + std::string(name), progress_)));
}

Result<std::unique_ptr<Directory>> ReadOnlyDirectory::OpenDirectory(std::string_view name) const {
  std::unique_ptr<Directory> inner = TRY(inner_->OpenDirectory(name));
  return std::unique_ptr<Directory>(
      std::make_unique<ReadOnlyDirectory>(std::move(inner), progress_));
}

Error ReadOnlyDirectory::Refusal() const {
  return {ErrorCode::kUnsupported, path() + " is open for reading only", ""};
}

Result<std::unique_ptr<File>> ReadOnlyDirectory::Create(std::string_view) { return Refusal(); }
Status ReadOnlyDirectory::Rename(std::string_view, std::string_view) { return Refusal(); }
Status ReadOnlyDirectory::Remove(std::string_view) { return Refusal(); }
Status ReadOnlyDirectory::Sync() { return Refusal(); }
Status ReadOnlyDirectory::SyncFileSystem() { return Refusal(); }
Status ReadOnlyDirectory::CreateDirectory(std::string_view) { return Refusal(); }
Status ReadOnlyDirectory::RemoveDirectory(std::string_view) { return Refusal(); }
Result<std::unique_ptr<FileLock>> ReadOnlyDirectory::Lock(std::string_view) { return Refusal(); }

}  // namespace duramen::tools
