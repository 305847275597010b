// A directory as the offline verbs see it: files in it open as ReadOnlyFile whatever was asked for,
// and everything that would change the disk answers kUnsupported. So code of the store runs on a
// directory that belongs to somebody else.
#pragma once

#include <memory>
#include <string>

#include "base/io.h"

namespace duramen::tools {

class ReadProgress;

class ReadOnlyDirectory final : public Directory {
 public:
  /// Errors: kNotFound, kPermission, kInvalidArgument (a file).
  /// `progress`: as ReadOnlyFile::Open, for every file below.
  static Result<std::unique_ptr<Directory>> Open(const std::string& path,
                                                 ReadProgress* progress = nullptr);
  ReadOnlyDirectory(std::unique_ptr<Directory> inner, ReadProgress* progress)
      : inner_(std::move(inner)), progress_(progress) {}

  const std::string& path() const override { return inner_->path(); }
  FileSystemKind Kind() const override { return inner_->Kind(); }
  Result<std::unique_ptr<File>> Open(std::string_view name, OpenFor mode) const override;
  Result<std::vector<DirectoryEntry>> List() const override { return inner_->List(); }
  Result<std::unique_ptr<Directory>> OpenDirectory(std::string_view name) const override;

  Result<std::unique_ptr<File>> Create(std::string_view name) override;
  Status Rename(std::string_view from, std::string_view to) override;
  Status Remove(std::string_view name) override;
  Status Sync() override;
  Status SyncFileSystem() override;
  Status CreateDirectory(std::string_view name) override;
  Status RemoveDirectory(std::string_view name) override;
  Result<std::unique_ptr<FileLock>> Lock(std::string_view name) override;

 private:
  Error Refusal() const;
  std::unique_ptr<Directory> inner_;
  ReadProgress* progress_;
};

}  // namespace duramen::tools
