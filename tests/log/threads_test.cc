// Two Writers, two readers, one WAL thread over small files: for the thread sanitizer, and for
// answers that must hold whatever the interleaving.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <thread>

#include "base/bytes.h"
#include "duramen/log_store.h"
#include "tests/base/temp_dir.h"

namespace duramen {
namespace {

constexpr Index kEntries = 1500;

Deadline Soon() { return std::chrono::steady_clock::now() + std::chrono::seconds(60); }

std::string Text(std::size_t log, Index index) {
  return std::to_string(log) + "/" + std::to_string(index) + std::string(index % 200, '.');
}

/// Appends in groups of five, overwrites every tenth last entry, moves the floor.
void WriteLog(LogStore& store, std::size_t number, std::atomic<std::uint64_t>& failures) {
  Writer writer = store.NewWriter().value();
  const LogRef log =
      store.OpenLog(writer, "log" + std::to_string(number), OpenMode::kOpenOrCreate).value();
  Ticket last = 0;
  for (Index next = 1; next <= kEntries;) {
    std::vector<std::string> texts;
    std::vector<EntryView> entries;
    for (Index i = 0; i < 5; ++i) texts.push_back(Text(number, next + i));
    for (Index i = 0; i < 5; ++i) entries.push_back({next + i, 1, 200, AsBytes(texts[i])});
    const LogAppend group{log, entries};
    const Result<Ticket> ticket = writer.Append({&group, 1});
    if (!ticket.ok() && ticket.error().code == ErrorCode::kOverloaded) {
      if (last != 0 && !writer.Wait(last, Soon()).ok()) ++failures;
      continue;
    }
    if (!ticket.ok()) {
      ++failures;
      return;
    }
    last = *ticket;
    next += 5;
    if (next % 50 == 1) next -= 1;  // Overwritten by the next group.
    if (next % 400 == 0) last = writer.TruncatePrefix(log, next - 300).value();
    (void)writer.Poll();
  }
  if (!writer.Wait(last, Soon()).ok()) ++failures;
}

void ReadLogs(LogStore& store, std::atomic<bool>& stop, std::atomic<std::uint64_t>& failures) {
  std::uint64_t read = 0;
  while (!stop.load() || read == 0) {
    for (const LogInfo& info : store.Logs()) {
      const Result<Bounds> bounds = store.BoundsOf(info.log);
      if (!bounds.ok() || bounds->begin == bounds->end) continue;
      const Index index = bounds->begin + read % (bounds->end - bounds->begin);
      const Result<Pin> pin = store.Read(info.log, index, index + 10, 4096);
      if (!pin.ok()) {  // The floor may have moved past it, or an overwrite is on its way.
        if (pin.error().code != ErrorCode::kOutOfRange) ++failures;
        continue;
      }
      for (const EntryView& entry : pin->entries()) {
        const std::size_t number = info.name.back() == '0' ? 0 : 1;
        if (AsText(entry.payload) != Text(number, entry.index)) ++failures;
      }
      ++read;
    }
    std::this_thread::yield();
  }
}

/// Changes the sync method as long as there are writers (W21). Where the file system has no direct
/// I/O, dsync is refused, and that is all.
void ChangeMethods(LogStore& store, std::atomic<bool>& stop, std::atomic<std::uint64_t>& failures) {
  static constexpr SyncMethod kMethods[] = {SyncMethod::kDsync, SyncMethod::kDatasync,
                                            SyncMethod::kDsync, SyncMethod::kFsync};
  for (std::size_t i = 0; !stop.load(); ++i) {
    const Status changed = store.SetSyncMethod(kMethods[i % std::size(kMethods)]);
    if (!changed.ok() && changed.error().code != ErrorCode::kConfiguration) ++failures;
    std::this_thread::yield();
  }
}

TEST(LogThreads, W21_TwoWritersTwoReadersAndAChangingMethod) {
  testing::TempDir dir;
  LogStoreOptions options;
  options.data_dir = dir / "store";
  options.wal_max_size_bytes = 256 << 10;
  options.wal_max_files = 64;
  options.memory_budget = 24 << 20;
  std::atomic<std::uint64_t> failures{0};
  {
    LogStore store = LogStore::Open(options).value();
    std::atomic<bool> stop{false};
    std::vector<std::thread> writers;
    std::vector<std::thread> readers;
    readers.emplace_back([&] { ChangeMethods(store, stop, failures); });
    for (std::size_t i = 0; i < 2; ++i) {
      writers.emplace_back([&, i] { WriteLog(store, i, failures); });
      readers.emplace_back([&] { ReadLogs(store, stop, failures); });
    }
    for (std::thread& thread : writers) thread.join();
    stop = true;
    for (std::thread& thread : readers) thread.join();
    ASSERT_TRUE(store.Close(Soon()).ok());
  }
  EXPECT_EQ(failures.load(), 0u);
  LogStore store = LogStore::Open(options).value();
  EXPECT_FALSE(store.recovery_report().damaged());
  ASSERT_EQ(store.Logs().size(), 2u);
  for (const LogInfo& info : store.Logs()) {
    const Bounds bounds = store.BoundsOf(info.log).value();
    EXPECT_GT(bounds.end, kEntries);
    for (Index i = bounds.begin; i < bounds.end; ++i) {
      const Result<Pin> pin = store.Read(info.log, i, i + 1, 1);
      ASSERT_TRUE(pin.ok()) << pin.error().message;
      ASSERT_EQ(AsText(pin->entries()[0].payload), Text(info.name.back() == '0' ? 0 : 1, i));
    }
  }
}

// Writers of two WAL shards want the same names: each is one log, in the shard of who was first.
TEST(LogThreads, C9_PW16_TwoShardsAndOneSetOfNames) {
  constexpr int kNames = 200;
  testing::TempDir dir;
  LogStoreOptions options;
  options.data_dir = dir / "store";
  options.wal_shards = 2;
  options.wal_max_size_bytes = 256 << 10;
  options.memory_budget = 48 << 20;
  std::atomic<std::uint64_t> failures{0};
  std::array<std::atomic<int>, kNames> created{};
  {
    LogStore store = LogStore::Open(options).value();
    std::vector<std::thread> threads;
    for (std::uint32_t shard = 0; shard < 2; ++shard) {
      threads.emplace_back([&, shard] {
        Writer writer = store.NewWriter(shard).value();
        for (int i = 0; i < kNames; ++i) {
          const std::string name = "n" + std::to_string(i);
          Result<LogRef> log = store.OpenLog(writer, name, OpenMode::kCreate);
          if (!log.ok()) {
            if (log.error().code != ErrorCode::kAlreadyExists) ++failures;
            continue;
          }
          ++created[i];
          const EntryView entry{1, 1, 200, AsBytes(name)};
          const LogAppend group{*log, {&entry, 1}};
          const Result<Ticket> ticket = writer.Append({&group, 1});
          if (!ticket.ok() || !writer.Wait(*ticket, Soon()).ok()) ++failures;
          if (store.ShardOf(name).value() != shard) ++failures;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_TRUE(store.Close(Soon()).ok());
  }
  EXPECT_EQ(failures.load(), 0u);
  for (const auto& times : created) EXPECT_EQ(times.load(), 1);
  LogStore store = LogStore::Open(options).value();
  EXPECT_EQ(store.Logs().size(), static_cast<std::size_t>(kNames));
  for (const LogInfo& info : store.Logs()) {
    EXPECT_EQ(AsText(store.Read(info.log, 1, 2, 100)->entries()[0].payload), info.name);
  }
}

// The executor has room for all that the settings allow: a CHECK here stops the start, twice, and a
// healthy log of the shard that was recovered last is left out and faulty then [B9].
TEST(LogThreads, PW16_B9_AsManyShardsAndFlushThreadsAsTheSettingsAllow) {
  testing::TempDir dir;
  LogStoreOptions options;
  options.data_dir = dir / "store";
  options.wal_failover_dir = dir / "away";
  options.wal_shards = 16;
  options.flush_threads = 8;
  options.wal_max_size_bytes = 64 << 10;
  Result<LogStore> store = LogStore::Open(options);
  ASSERT_TRUE(store.ok()) << store.error().message;
  EXPECT_EQ(store->shards(), 16u);
  EXPECT_TRUE(store->Close(Soon()).ok());
}

}  // namespace
}  // namespace duramen
