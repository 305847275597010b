// Fail-over with real threads: a write that hangs in the kernel holds up nobody but its own thread.
#include <gtest/gtest.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/thread_executor.h"
#include "base/write_queue.h"
#include "log/storage.h"
#include "tests/base/temp_dir.h"
#include "tests/log/held_file_system.h"

namespace duramen::log {
namespace {

using ::duramen::testing::Gate;
using ::duramen::testing::TempDir;

Deadline Soon() { return std::chrono::steady_clock::now() + std::chrono::seconds(60); }

/// Its writes and syncs wait at the gate, and its queue has a thread of its own.
class HangingFile final : public File {
 public:
  HangingFile(std::unique_ptr<File> file, std::string path, Gate& gate)
      : file_(std::move(file)), path_(std::move(path)), gate_(gate) {}
  Result<std::size_t> Read(std::uint64_t offset, std::span<std::byte> bytes) const override {
    return file_->Read(offset, bytes);
  }
  Status Write(std::uint64_t offset, Bytes bytes) override {
    gate_.Pass(path_);
    return file_->Write(offset, bytes);
  }
  Status SyncData() override {
    gate_.Pass(path_);
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
};

class HangingDirectory final : public Directory {
 public:
  HangingDirectory(std::unique_ptr<Directory> directory, Gate& gate)
      : directory_(std::move(directory)), gate_(gate) {}
  const std::string& path() const override { return directory_->path(); }
  Result<std::unique_ptr<File>> Create(std::string_view name) override {
    return Hanging(directory_->Create(name), name);
  }
  Result<std::unique_ptr<File>> Open(std::string_view name, OpenFor mode) const override {
    return Hanging(directory_->Open(name, mode), name);
  }
  Status Rename(std::string_view from, std::string_view to) override {
    return directory_->Rename(from, to);
  }
  Status Remove(std::string_view name) override { return directory_->Remove(name); }
  Result<std::vector<DirectoryEntry>> List() const override { return directory_->List(); }
  Status Sync() override {
    gate_.Pass(path() + "/");
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
        std::make_unique<HangingDirectory>(std::move(*opened), gate_));
  }
  Result<std::unique_ptr<FileLock>> Lock(std::string_view name) override {
    return directory_->Lock(name);
  }

 private:
  Result<std::unique_ptr<File>> Hanging(Result<std::unique_ptr<File>> file,
                                        std::string_view name) const {
    if (!file.ok()) return file;
    return std::unique_ptr<File>(
        std::make_unique<HangingFile>(std::move(*file), path() + "/" + std::string(name), gate_));
  }
  const std::unique_ptr<Directory> directory_;
  Gate& gate_;
};

class HangingFileSystem final : public FileSystem {
 public:
  explicit HangingFileSystem(Gate& gate) : gate_(gate) {}
  Result<std::unique_ptr<Directory>> Open(const std::string& path) override {
    Result<std::unique_ptr<Directory>> opened = files_.Open(path);
    if (!opened.ok()) return opened;
    return std::unique_ptr<Directory>(
        std::make_unique<HangingDirectory>(std::move(*opened), gate_));
  }
  Status CreateDirectories(const std::string& path) override {
    return files_.CreateDirectories(path);
  }
  std::unique_ptr<WriteQueue> MakeWriteQueue(const WriteQueueOptions& options) override {
    return MakeThreadQueue(options);
  }

 private:
  PosixFileSystem files_;
  Gate& gate_;
};

std::uint64_t Metric(const LogStore& store, std::string_view name) {
  struct Wanted {
    std::string_view name;
    std::uint64_t value = 0;
  } wanted{name};
  store.VisitMetrics(
      [](void* argument, const duramen::Metric& metric) {
        Wanted& into = *static_cast<Wanted*>(argument);
        if (metric.name == into.name) into.value = metric.value;
      },
      &wanted);
  return wanted.value;
}

TEST(FailoverThreads, PW13_AHangingWriteHoldsUpNobody) {
  const TempDir dir;
  Gate gate;
  HangingFileSystem file_system(gate);
  SystemClock clock;
  ThreadExecutor executor;
  LogStoreOptions options;
  options.data_dir = dir.path() + "/data";
  options.wal_failover_dir = dir.path() + "/away";
  options.wal_failover_after = 50;
  options.wal_max_size_bytes = 1 << 20;
  options.memory_budget = 64 << 20;
  const StorageEnvironment environment{file_system, clock, executor, Rng(5)};
  {
    LogStore store = OpenLogStore(options, environment, {}).value();
    {
      Writer writer = store.NewWriter().value();
      const LogRef log = store.OpenLog(writer, "a", OpenMode::kCreate).value();
      Index next = 1;
      const auto append = [&] {
        const EntryView entry{next++, 1, kFirstUserKind, AsBytes("entry")};
        const LogAppend group{log, {&entry, 1}};
        const Ticket ticket = writer.Append({&group, 1}).value();
        const Status waited = writer.Wait(ticket, Soon());
        ASSERT_TRUE(waited.ok()) << waited.error().message;
      };
      append();
      gate.Close("data/wal/");
      for (int i = 0; i < 20; ++i) append();
      EXPECT_EQ(Metric(store, "wal_place"), 1u);
      EXPECT_EQ(Metric(store, "wal_failovers"), 1u);
      EXPECT_EQ(Metric(store, "wal_given_up_batches"), 1u);
      EXPECT_TRUE(gate.waiting());
      gate.Open();
      while (Metric(store, "wal_given_up_batches") > 0) append();
      append();
    }
    ASSERT_TRUE(store.Close(Deadline::max()).ok());
  }
  LogStore again = OpenLogStore(options, environment, {}).value();
  EXPECT_FALSE(again.recovery_report().damaged());
  ASSERT_EQ(again.Logs().size(), 1u);
  EXPECT_GE(again.BoundsOf(again.Logs().front().log)->end, 23u);
}

}  // namespace
}  // namespace duramen::log
