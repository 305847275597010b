// Fail-over with real threads: a write that hangs in the kernel holds up nobody but its own thread.
#include <gtest/gtest.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/thread_executor.h"
#include "log/storage.h"
#include "tests/base/temp_dir.h"
#include "tests/log/held_file_system.h"

namespace duramen::log {
namespace {

using ::duramen::testing::Gate;
using ::duramen::testing::Held;
using ::duramen::testing::HeldFileSystem;
using ::duramen::testing::TempDir;

Deadline Soon() { return std::chrono::steady_clock::now() + std::chrono::seconds(60); }

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
  HeldFileSystem file_system(gate, Held::kWrites);
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
