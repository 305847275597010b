// A directory whose files lie in memory: what segments are tested on, byte by byte. One thread.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/io.h"

namespace duramen::segments::testing {

using FileBytes = std::vector<std::byte>;

class SharedFile final : public File {
 public:
  SharedFile(std::shared_ptr<FileBytes> bytes, std::shared_ptr<int> open)
      : bytes_(std::move(bytes)), open_(std::move(open)) {
    ++*open_;
  }
  ~SharedFile() override { --*open_; }
  Result<std::size_t> Read(std::uint64_t offset, std::span<std::byte> out) const override {
    if (offset >= bytes_->size()) return std::size_t{0};
    const std::size_t size = std::min<std::size_t>(out.size(), bytes_->size() - offset);
    std::copy_n(bytes_->begin() + static_cast<std::ptrdiff_t>(offset), size, out.begin());
    return size;
  }
  Status Write(std::uint64_t offset, Bytes in) override {
    if (fail_writes != nullptr && *fail_writes) return Error{ErrorCode::kIo, "write failed", ""};
    bytes_->resize(std::max<std::size_t>(bytes_->size(), offset + in.size()));
    std::copy(in.begin(), in.end(), bytes_->begin() + static_cast<std::ptrdiff_t>(offset));
    return {};
  }
  Status SyncData() override { return {}; }
  Status SyncAll() override { return {}; }
  Status Allocate(std::uint64_t size) override { return Truncate(size); }
  Status Truncate(std::uint64_t size) override {
    bytes_->resize(size);
    return {};
  }
  Result<std::uint64_t> SizeBytes() const override { return std::uint64_t{bytes_->size()}; }
  const bool* fail_writes = nullptr;

 private:
  std::shared_ptr<FileBytes> bytes_;
  std::shared_ptr<int> open_;
};

/// Files, and directories one level deep that are all this one.
class MemoryDirectory final : public Directory {
 public:
  explicit MemoryDirectory(std::string path = "servers/s") : path_(std::move(path)) {}
  const std::string& path() const override { return path_; }
  Result<std::unique_ptr<File>> Create(std::string_view name) override {
    if (files.contains(std::string(name))) return Error{ErrorCode::kAlreadyExists, "there", ""};
    files[std::string(name)] = std::make_shared<FileBytes>();
    return Handle(name);
  }
  Result<std::unique_ptr<File>> Open(std::string_view name, OpenFor) const override {
    if (!files.contains(std::string(name))) {
      return Error{ErrorCode::kNotFound, "no " + std::string(name), ""};
    }
    if (*open_files >= descriptors_max) return Error{ErrorCode::kIo, "too many open files", ""};
    return Handle(name);
  }
  Status Rename(std::string_view, std::string_view) override { return {}; }
  Status Remove(std::string_view name) override {
    files.erase(std::string(name));
    return {};
  }
  Result<std::vector<DirectoryEntry>> List() const override {
    std::vector<DirectoryEntry> all;
    for (const auto& [name, bytes] : files) {
      all.push_back({.name = name, .size_bytes = bytes->size(), .is_regular = true});
    }
    return all;
  }
  Status Sync() override { return {}; }
  Status SyncFileSystem() override { return {}; }
  Status CreateDirectory(std::string_view) override { return {}; }
  Status RemoveDirectory(std::string_view) override { return {}; }
  Result<std::unique_ptr<Directory>> OpenDirectory(std::string_view) const override {
    auto view = std::make_unique<MemoryDirectory>(path_);
    view->files = files;
    view->open_files = open_files;
    view->descriptors_max = descriptors_max;
    return std::unique_ptr<Directory>(std::move(view));
  }
  Result<std::unique_ptr<FileLock>> Lock(std::string_view) override {
    return Error{ErrorCode::kUnsupported, "", ""};
  }

  std::map<std::string, std::shared_ptr<FileBytes>, std::less<>> files;
  std::shared_ptr<int> open_files = std::make_shared<int>(0);
  int descriptors_max = 1 << 30;
  bool fail_writes = false;

 private:
  Result<std::unique_ptr<File>> Handle(std::string_view name) const {
    auto file = std::make_unique<SharedFile>(files.find(name)->second, open_files);
    file->fail_writes = &fail_writes;
    return std::unique_ptr<File>(std::move(file));
  }
  std::string path_;
};

}  // namespace duramen::segments::testing
