// Cold reads on real threads and files: one that the disk does not answer holds nobody else up, and
// one without a descriptor says so.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "base/bytes.h"
#include "base/thread_executor.h"
#include "log/storage.h"
#include "tests/base/temp_dir.h"
#include "tests/log/held_file_system.h"

namespace duramen::log {
namespace {

constexpr Index kEntries = 20;

std::string Text(const std::string& log, Index index) {
  return log + "/" + std::to_string(index) + std::string(100, '.');
}

/// Logs "cold" and "warm" whose entries are in segments alone, and a log "other".
class ColdReader : public ::testing::Test {
 protected:
  ColdReader() {
    options_.data_dir = dir_ / "store";
    options_.wal_max_size_bytes = 64 << 10;
    options_.wal_max_files = 16;
    options_.flush_delay = 0;
    options_.memory_budget = 8 << 20;
    tuning_.ring_records = 256;
    tuning_.ring_bytes = 64 << 10;
    tuning_.chunk_bytes = 8 << 10;
    tuning_.batch_bytes_max = 16 << 10;
    Start();
    for (const char* name : {"cold", "warm"}) {
      const LogRef log = store_->OpenLog(*writer_, name, OpenMode::kCreate).value();
      std::vector<std::string> texts;
      for (Index index = 1; index <= kEntries; ++index) texts.push_back(Text(name, index));
      Append(log, 1, texts);
    }
    other_ = store_->OpenLog(*writer_, "other", OpenMode::kCreate).value();
    Flush(2);
    Stop();
    Start();  // What is in segments is not in memory any more.
    cold_ = store_->OpenLog(*writer_, "cold", OpenMode::kOpenOrCreate).value();
    warm_ = store_->OpenLog(*writer_, "warm", OpenMode::kOpenOrCreate).value();
    other_ = store_->OpenLog(*writer_, "other", OpenMode::kOpenOrCreate).value();
    Append(other_, store_->BoundsOf(other_)->end, {"so that all of them are known"});
  }
  ~ColdReader() override { Stop(); }

  void Start() {
    Result<LogStore> opened =
        OpenLogStore(options_, {files_, clock_, *executor_, Rng::FromSystem()}, tuning_);
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    store_.emplace(std::move(opened).value());
    writer_.emplace(store_->NewWriter().value());
  }
  void Stop() {
    writer_.reset();
    store_.reset();
    executor_ = std::make_unique<ThreadExecutor>();
  }
  /// Until it is durable.
  void Append(LogRef log, Index first, const std::vector<std::string>& texts) {
    std::vector<EntryView> entries;
    for (const std::string& text : texts) {
      entries.push_back({first + entries.size(), 1, kFirstUserKind, AsBytes(text)});
    }
    const LogAppend group{log, entries};
    Result<Ticket> ticket = writer_->Append({&group, 1});
    while (!ticket.ok() && ticket.error().code == ErrorCode::kOverloaded) {
      std::this_thread::yield();
      (void)writer_->Poll();
      ticket = writer_->Append({&group, 1});
    }
    ASSERT_TRUE(ticket.ok()) << ticket.error().message;
    const Status waited = writer_->Wait(*ticket, Deadline::max());
    ASSERT_TRUE(waited.ok()) << waited.error().message;
  }
  std::uint64_t Recycled() const {
    std::uint64_t recycled = 0;
    store_->VisitMetrics(
        [](void* argument, const Metric& metric) {
          if (metric.name == "wal_recycled_files") {
            *static_cast<std::uint64_t*>(argument) = metric.value;
          }
        },
        &recycled);
    return recycled;
  }
  /// Appends to "other" until so many WAL files more are gone.
  void Flush(std::uint64_t files) {
    const std::uint64_t wanted = Recycled() + files;
    while (Recycled() < wanted && !HasFatalFailure()) {
      Append(other_, store_->BoundsOf(other_)->end, {std::string(8000, 'o')});
    }
  }
  Status ReadAll(LogRef log, const std::string& name) const {
    const Result<Pin> pin = store_->Read(log, 1, kEntries + 1, 1 << 20);
    if (!pin.ok()) return pin.error();
    EXPECT_EQ(pin->entries().size(), kEntries);
    for (const EntryView& entry : pin->entries()) {
      EXPECT_EQ(AsText(entry.payload), Text(name, entry.index));
    }
    return {};
  }

  testing::TempDir dir_;
  testing::Gate gate_;
  testing::HeldFileSystem files_{gate_};
  SystemClock clock_;
  std::unique_ptr<ThreadExecutor> executor_ = std::make_unique<ThreadExecutor>();
  LogStoreOptions options_;
  StorageTuning tuning_;
  std::optional<LogStore> store_;
  std::optional<Writer> writer_;
  LogRef cold_, warm_, other_;
};

TEST_F(ColdReader, G10_AReadThatHangsHoldsNobodyElse) {
  std::string uid;
  for (const LogInfo& info : store_->Logs()) uid = info.name == "cold" ? info.uid : uid;
  gate_.Close(uid);
  std::atomic<bool> done{false};
  Status read;
  std::thread reader([&] {
    read = ReadAll(cold_, "cold");
    done.store(true);
    gate_.GiveUp();
  });
  gate_.AwaitArrival();
  EXPECT_TRUE(gate_.waiting()) << "it did not go to the disk";
  // Another log is appended to, flushed and read; so is the one that is being read.
  Append(other_, store_->BoundsOf(other_)->end, {"durable"});
  EXPECT_TRUE(ReadAll(warm_, "warm").ok());
  Append(cold_, kEntries + 1, {"more"});
  EXPECT_TRUE(store_->Read(cold_, kEntries + 1, kEntries + 2, 100).ok());
  const Result<Ticket> vote = writer_->PutVote(cold_, 3, "n");
  EXPECT_TRUE(vote.ok() && writer_->Wait(*vote, Deadline::max()).ok());
  Flush(2);
  EXPECT_TRUE(gate_.waiting());
  EXPECT_FALSE(done.load());
  gate_.Open();
  reader.join();
  EXPECT_TRUE(read.ok());
}

/// No more descriptors than are open now.
class NoDescriptors {
 public:
  NoDescriptors() {
    EXPECT_EQ(::getrlimit(RLIMIT_NOFILE, &before_), 0);
    const int next = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    EXPECT_GE(next, 0);
    ::close(next);
    rlimit limit = before_;
    limit.rlim_cur = static_cast<rlim_t>(next);
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
  }
  ~NoDescriptors() { EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &before_), 0); }

 private:
  rlimit before_{};
};

TEST_F(ColdReader, G12_AReadWithoutADescriptorSaysSoAndWorksLater) {
  // The undefined-behaviour sanitizer opens a pipe when it meets a type for the first time.
  ASSERT_TRUE(ReadAll(warm_, "warm").ok());
  Status read;
  {
    const NoDescriptors none;
    read = ReadAll(cold_, "cold");
  }
  ASSERT_FALSE(read.ok());
  EXPECT_EQ(read.error().code, ErrorCode::kIo);
  EXPECT_THAT(read.error().message, ::testing::HasSubstr("oo many open files"));
  EXPECT_THAT(read.error().hint, ::testing::HasSubstr("ulimit"));
  EXPECT_TRUE(ReadAll(cold_, "cold").ok());
  Flush(2);
  EXPECT_TRUE(ReadAll(warm_, "warm").ok());
}

}  // namespace
}  // namespace duramen::log
