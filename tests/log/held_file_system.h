// The real file system, with a gate in front of the reads, or of the writes and syncs, of some
// files: for tests that ask what goes on while a disk does not answer.
//
// Outlives every File and Directory of it. Any thread.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/posix_io.h"
#include "base/write_queue.h"

namespace duramen::testing {

class Gate {
 public:
  /// What is held of files below a directory of that name waits from now on.
  void Close(std::string directory) {
    const std::lock_guard lock(mutex_);
    closed_ = std::move(directory);
  }
  void Open() {
    const std::lock_guard lock(mutex_);
    closed_.clear();
    changed_.notify_all();
  }
  /// Until somebody waits, or somebody says that none will.
  void AwaitArrival() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return waiting_ > 0 || given_up_; });
  }
  void GiveUp() {
    const std::lock_guard lock(mutex_);
    given_up_ = true;
    changed_.notify_all();
  }
  bool waiting() const {
    const std::lock_guard lock(mutex_);
    return waiting_ > 0;
  }
  void Pass(const std::string& path) {
    std::unique_lock lock(mutex_);
    const auto held = [&] { return !closed_.empty() && path.find(closed_) != path.npos; };
    if (!held()) return;
    ++waiting_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return !held(); });
    --waiting_;
  }

 private:
  mutable std::mutex mutex_;  // guards all below
  std::condition_variable changed_;
  std::string closed_;
  int waiting_ = 0;
  bool given_up_ = false;
};

enum class Held : std::uint8_t { kReads, kWrites };

class HeldFile final : public File {
 public:
  HeldFile(std::unique_ptr<File> file, std::string path, Gate& gate, Held held)
      : file_(std::move(file)), path_(std::move(path)), gate_(gate), held_(held) {}
  Result<std::size_t> Read(std::uint64_t offset, std::span<std::byte> bytes) const override {
    if (held_ == Held::kReads) gate_.Pass(path_);
    return file_->Read(offset, bytes);
  }
  Status Write(std::uint64_t offset, Bytes bytes) override {
    if (held_ == Held::kWrites) gate_.Pass(path_);
    return file_->Write(offset, bytes);
  }
  Status SyncData() override {
    if (held_ == Held::kWrites) gate_.Pass(path_);
    return file_->SyncData();
  }
  Status SyncAll() override { return file_->SyncAll(); }
  Status Allocate(std::uint64_t size_bytes) override { return file_->Allocate(size_bytes); }
  Status Truncate(std::uint64_t size_bytes) override { return file_->Truncate(size_bytes); }
  Result<std::uint64_t> SizeBytes() const override { return file_->SizeBytes(); }

 private:
  const std::unique_ptr<File> file_;
  const std::string path_;
  Gate& gate_;
  const Held held_;
};

class HeldDirectory final : public Directory {
 public:
  HeldDirectory(std::unique_ptr<Directory> directory, Gate& gate, Held held)
      : directory_(std::move(directory)), gate_(gate), held_(held) {}
  const std::string& path() const override { return directory_->path(); }
  Result<std::unique_ptr<File>> Create(std::string_view name) override {
    return Hold(directory_->Create(name), name);
  }
  Result<std::unique_ptr<File>> Open(std::string_view name, OpenFor mode) const override {
    return Hold(directory_->Open(name, mode), name);
  }
  Status Rename(std::string_view from, std::string_view to) override {
    return directory_->Rename(from, to);
  }
  Status Remove(std::string_view name) override { return directory_->Remove(name); }
  Result<std::vector<DirectoryEntry>> List() const override { return directory_->List(); }
  Status Sync() override {
    if (held_ == Held::kWrites) gate_.Pass(path() + "/");
    return directory_->Sync();
  }
  Status SyncFileSystem() override { return directory_->SyncFileSystem(); }
  Status CreateDirectory(std::string_view name) override {
    return directory_->CreateDirectory(name);
  }
  Status RemoveDirectory(std::string_view name) override {
    return directory_->RemoveDirectory(name);
  }
  Result<std::unique_ptr<Directory>> OpenDirectory(std::string_view name) const override {
    Result<std::unique_ptr<Directory>> opened = directory_->OpenDirectory(name);
    if (!opened.ok()) return opened;
    return std::unique_ptr<Directory>(
        std::make_unique<HeldDirectory>(std::move(opened).value(), gate_, held_));
  }
  Result<std::unique_ptr<FileLock>> Lock(std::string_view name) override {
    return directory_->Lock(name);
  }

 private:
  Result<std::unique_ptr<File>> Hold(Result<std::unique_ptr<File>> file,
                                     std::string_view name) const {
    if (!file.ok()) return file;
    return std::unique_ptr<File>(std::make_unique<HeldFile>(
        std::move(file).value(), path() + "/" + std::string(name), gate_, held_));
  }
  const std::unique_ptr<Directory> directory_;
  Gate& gate_;
  const Held held_;
};

class HeldFileSystem final : public FileSystem {
 public:
  explicit HeldFileSystem(Gate& gate, Held held = Held::kReads) : gate_(gate), held_(held) {}
  Result<std::unique_ptr<Directory>> Open(const std::string& path) override {
    Result<std::unique_ptr<Directory>> opened = files_.Open(path);
    if (!opened.ok()) return opened;
    return std::unique_ptr<Directory>(
        std::make_unique<HeldDirectory>(std::move(opened).value(), gate_, held_));
  }
  Status CreateDirectories(const std::string& path) override {
    return files_.CreateDirectories(path);
  }
  /// With threads of its own where writes are held, which must not hold who asked for them.
  std::unique_ptr<WriteQueue> MakeWriteQueue(const WriteQueueOptions& options) override {
    return held_ == Held::kWrites ? MakeThreadQueue(options) : FileSystem::MakeWriteQueue(options);
  }

 private:
  PosixFileSystem files_;
  Gate& gate_;
  const Held held_;
};

}  // namespace duramen::testing
