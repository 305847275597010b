// MendStore over real files and threads.
#include <gtest/gtest.h>

#include "base/bytes.h"
#include "base/posix_io.h"
#include "base/thread_executor.h"
#include "log/mend.h"
#include "tests/base/temp_dir.h"

namespace duramen::log {
namespace {

TEST(MendThreads, OnRealFilesAndThreads) {
  duramen::testing::TempDir dir;
  LogStoreOptions options;
  options.data_dir = dir.path();
  options.wal_max_size_bytes = 256 << 10;
  options.wal_max_files = 4;
  std::string uid;
  {
    Result<LogStore> store = LogStore::Open(options);
    ASSERT_TRUE(store.ok()) << store.error().message;
    {
      Result<Writer> writer = store->NewWriter();
      const LogRef log = store->OpenLog(*writer, "a", OpenMode::kCreate).value();
      const std::string text(2000, 'x');
      for (Index i = 1; i <= 500; ++i) {
        const EntryView entry{i, 1, kFirstUserKind, AsBytes(text)};
        const LogAppend group{log, {&entry, 1}};
        const Result<Ticket> ticket = writer->Append({&group, 1});
        if (!ticket.ok()) {
          ASSERT_EQ(ticket.error().code, ErrorCode::kOverloaded);
          --i;
          continue;
        }
        ASSERT_TRUE(writer->Wait(*ticket, Deadline::max()).ok());
      }
      uid = store->Logs().at(0).uid;
    }
    ASSERT_TRUE(store->Close(Deadline::max()).ok());
  }
  PosixFileSystem files;
  SystemClock clock;
  ThreadExecutor executor;
  for (const MendKind kind : {MendKind::kTruncate, MendKind::kRejoin}) {
    const MendOptions mend{.requests = {{kind, ServerUid{Uid128::Parse(uid).value()}, 400, false}}};
    const Result<MendReport> report =
        MendStore(options, {files, clock, executor, Rng::FromSystem()}, StorageTuning{}, mend);
    ASSERT_TRUE(report.ok()) << report.error().message;
    EXPECT_EQ(report->logs.at(0).end, 400u);
    EXPECT_EQ(report->logs.at(0).faulty, kind == MendKind::kTruncate);
  }
  options.recovery_mode = RecoveryMode::kStrict;
  Result<LogStore> store = LogStore::Open(options);
  ASSERT_TRUE(store.ok()) << store.error().message;
  ASSERT_EQ(store->Logs().size(), 1u);
  EXPECT_FALSE(store->Logs()[0].faulty);
  EXPECT_EQ(store->BoundsOf(store->Logs()[0].log)->end, 400u);
  EXPECT_EQ(store->Read(store->Logs()[0].log, 399, 400, 1)->entries()[0].payload.size(), 2000u);
}

}  // namespace
}  // namespace duramen::log
