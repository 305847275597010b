// A directory as the offline verbs see it: files in it open as ReadOnlyFile whatever was asked for,
// and everything that would change the disk answers kUnsupported. So code of the store runs on a
// directory that belongs to somebody else.
#pragma once

#include <memory>
#include <string>

#include "base/io.h"

namespace duramen::tools {

class ReadOnlyDirectory final : public Directory {
 public:
  /// Errors: kNotFound, kPermission, kInvalidArgument (a file).
  static Result<std::unique_ptr<Directory>> Open(const std::string& path);
  explicit ReadOnlyDirectory(std::unique_ptr<Directory> inner) : inner_(std::move(inner)) {}

  const std::string& path() const override { return inner_->path(); }
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
};

}  // namespace duramen::tools
