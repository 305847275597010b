// The log store over real files and threads.
#include "duramen/log_store.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <optional>
#include <string>

#include "base/bytes.h"
#include "base/planted.h"
#include "base/posix_io.h"
#include "base/thread_executor.h"
#include "log/store.h"
#include "tests/base/temp_dir.h"

namespace duramen {
namespace {

Deadline Soon() { return std::chrono::steady_clock::now() + std::chrono::seconds(30); }

LogStoreOptions Small(const std::string& dir) {
  LogStoreOptions options;
  options.data_dir = dir;
  options.wal_max_size_bytes = 256 << 10;
  return options;
}

EntryView Entry(Index index, Term term, std::string_view text) {
  return {.index = index, .term = term, .kind = kFirstUserKind, .payload = AsBytes(text)};
}

Result<Ticket> AppendOne(Writer& writer, LogRef log, const EntryView& entry) {
  const LogAppend group{log, {&entry, 1}};
  return writer.Append({&group, 1});
}

[[maybe_unused]] std::uint64_t FlushRounds(const LogStore& store) {
  std::uint64_t rounds = 0;
  store.VisitMetrics(
      [](void* argument, const Metric& metric) {
        if (metric.name == "flush_rounds") *static_cast<std::uint64_t*>(argument) = metric.value;
      },
      &rounds);
  return rounds;
}

// Relative, or behind a symbolic link: the directory is the same one.
TEST(LogStore, CT1_A14_ADirectoryIsTheSameUnderWhateverName) {
  testing::TempDir dir;
  namespace fs = std::filesystem;
  const fs::path data = fs::path(dir.path()) / "data";
  const fs::path link = fs::path(dir.path()) / "link";
  fs::create_directory(data);
  fs::create_symlink(data, link);
  for (const fs::path& path : {fs::relative(data), data, link}) {
    for (const fs::path& other : {data / "servers", link / "shards" / "1"}) {
      LogStoreOptions options = Small(path.string());
      options.wal_failover_dir = other.string();
      const Result<LogStore> store = LogStore::Open(options);
      ASSERT_FALSE(store.ok()) << path << ", " << other;
      EXPECT_EQ(store.error().code, ErrorCode::kConfiguration);
      EXPECT_TRUE(fs::is_empty(data));
    }
  }
}

std::uint64_t MetricOf(const LogStore& store, std::string_view name) {
  std::pair<std::string_view, std::uint64_t> wanted{name, 0};
  store.VisitMetrics(
      [](void* argument, const Metric& metric) {
        auto* found = static_cast<std::pair<std::string_view, std::uint64_t>*>(argument);
        if (metric.name == found->first) found->second = metric.value;
      },
      &wanted);
  return wanted.second;
}

// Their threads, WALs, settings and counters have nothing in common; one goes, the other stays.
TEST(LogStore, CL11_SeveralSystemsInAProcessAreApart) {
  const testing::TempDir dirs[2];
  std::optional<LogStore> stores[2];
  std::optional<Writer> writers[2];
  LogRef logs[2];
  for (int system = 0; system < 2; ++system) {
    LogStoreOptions options = Small(dirs[system].path());
    options.wal_sync_method = system == 0 ? SyncMethod::kDatasync : SyncMethod::kFsync;
    options.memory_budget = (system + 1) << 24;
    stores[system].emplace(LogStore::Open(options).value());
    writers[system].emplace(stores[system]->NewWriter().value());
    logs[system] =
        stores[system]->OpenLog(*writers[system], "same name", OpenMode::kOpenOrCreate).value();
  }
  EXPECT_EQ(LogStore::Open(Small(dirs[0].path())).error().code, ErrorCode::kInUse);
  for (Index index = 1; index <= 100; ++index) {
    for (const int system : {0, 1}) {
      if (system == 1 && index > 50) continue;
      const std::string text = "of system " + std::to_string(system);
      const Result<Ticket> ticket =
          AppendOne(*writers[system], logs[system], Entry(index, 1, text));
      ASSERT_TRUE(ticket.ok() && writers[system]->Wait(*ticket, Soon()).ok());
    }
  }
  EXPECT_EQ(MetricOf(*stores[0], "wal_entries"), 100U);
  EXPECT_EQ(MetricOf(*stores[1], "wal_entries"), 50U);
  writers[0].reset();
  stores[0].reset();
  const Result<Ticket> ticket =
      AppendOne(*writers[1], logs[1], Entry(51, 1, "behind the other's end"));
  ASSERT_TRUE(ticket.ok() && writers[1]->Wait(*ticket, Soon()).ok());
  const Result<Pin> pin = stores[1]->Read(logs[1], 1, 2, SIZE_MAX);
  ASSERT_TRUE(pin.ok());
  EXPECT_EQ(AsText(pin->entries().front().payload), "of system 1");
  stores[0].emplace(LogStore::Open(Small(dirs[0].path())).value());
  // Some of them may be in a segment by now.
  writers[0].emplace(stores[0]->NewWriter().value());
  logs[0] = stores[0]->OpenLog(*writers[0], "same name", OpenMode::kOpen).value();
  EXPECT_EQ(stores[0]->BoundsOf(logs[0])->end, 101U);
}

TEST(LogStore, M6_RegistrationAndEntriesSurviveReopening) {
  testing::TempDir dir;
  for (int round = 0; round < 5; ++round) {
    SCOPED_TRACE(round);
    Result<LogStore> store = LogStore::Open(Small(dir.path()));
    ASSERT_TRUE(store.ok()) << store.error().message;
    EXPECT_FALSE(store->recovery_report().damaged()) << store->recovery_report().ToText();
    {
      Result<Writer> writer = store->NewWriter();
      ASSERT_TRUE(writer.ok());
      Result<LogRef> log = store->OpenLog(*writer, "queue/1", OpenMode::kOpenOrCreate);
      ASSERT_TRUE(log.ok()) << log.error().message;
      const Bounds before = store->BoundsOf(*log).value();
      ASSERT_EQ(before.end, static_cast<Index>(1 + 1000 * round));
      Ticket ticket = 0;
      for (Index i = 0; i < 1000; ++i) {
        const std::string text = "entry " + std::to_string(before.end + i);
        Result<Ticket> appended = AppendOne(*writer, *log, Entry(before.end + i, 1, text));
        ASSERT_TRUE(appended.ok()) << appended.error().message;
        ticket = *appended;
      }
      ASSERT_TRUE(writer->PutVote(*log, static_cast<Term>(round + 1), "node-a").ok());
      const Status waited = writer->Wait(ticket, Soon());
      ASSERT_TRUE(waited.ok()) << waited.error().message;
      (void)writer->Poll();
      EXPECT_EQ(store->BoundsOf(*log).value().written_end, before.end + 1000);
      for (Index index = 1; index < before.end + 1000; ++index) {
        Result<Pin> pin = store->Read(*log, index, index + 1, 1 << 20);
        ASSERT_TRUE(pin.ok()) << pin.error().message;
        EXPECT_EQ(AsText(pin->entries()[0].payload), "entry " + std::to_string(index));
      }
    }
    const Status closed = store->Close(Soon());
    ASSERT_TRUE(closed.ok()) << closed.error().message;
  }
}

TEST(LogStore, MT1_AHotReadPointsIntoTheArena) {
  testing::TempDir dir;
  const LogStoreOptions options = Small(dir.path());
  PosixFileSystem files;
  SystemClock clock;
  ThreadExecutor executor;
  auto impl = std::make_unique<LogStore::Impl>(options, log::StorageTuning{}, Rng(1));
  const LogStore::Impl& inside = *impl;
  ASSERT_TRUE(impl->Open({files, clock, executor, Rng(2)}).ok());
  const LogStore store(std::move(impl));
  Writer writer = const_cast<LogStore&>(store).NewWriter().value();
  const LogRef log = const_cast<LogStore&>(store).OpenLog(writer, "a", OpenMode::kCreate).value();
  const std::string large(5000, 'x');
  const EntryView entries[] = {Entry(1, 1, "one"), Entry(2, 1, ""), Entry(3, 2, large)};
  const LogAppend group{log, entries};
  ASSERT_TRUE(writer.Wait(writer.Append({&group, 1}).value(), Soon()).ok());
  const log::ServerLog& server = *inside.Find(log).value();
  memtable::EntryLocation places[3];
  ASSERT_EQ(server.table.Locate({1, 4}, places).range.size(), 3u);
  const Pin pin = store.Read(log, 1, 4, 1 << 20).value();
  ASSERT_EQ(pin.entries().size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) {
    const memtable::Slot& slot = places[i].slot;
    const std::byte* entry = server.arena.load()->Resolve(slot.chunk, slot.offset, slot.bytes);
    ASSERT_NE(entry, nullptr);
    EXPECT_EQ(pin.entries()[i].payload.data(), entry + memtable::kArenaEntryHeaderBytes);
    EXPECT_EQ(AsText(pin.entries()[i].payload), AsText(entries[i].payload));
    const Pin alone = store.Read(log, entries[i].index, entries[i].index + 1, 1).value();
    EXPECT_EQ(alone.entries().front().payload.data(), pin.entries()[i].payload.data());
  }
  for (const auto& [begin, end] : {std::pair<Index, Index>{0, 2}, {4, 5}, {4, 4}, {2, 2}, {3, 1}}) {
    const Result<Pin> outside = store.Read(log, begin, end, 1);
    ASSERT_FALSE(outside.ok());
    EXPECT_EQ(outside.error().code, ErrorCode::kOutOfRange) << outside.error().message;
  }
}

#if defined(DURAMEN_PLANTED_BUGS)
// A CHECK that trips on one log must not keep the others down: after two deaths it is left out.
TEST(LogStoreDeathTest, B9_APoisonPillIsIsolated) {
  GTEST_FLAG_SET(death_test_style, "fast");
  testing::TempDir dir;
  {
    Result<LogStore> store = LogStore::Open(Small(dir.path()));
    ASSERT_TRUE(store.ok());
    Result<Writer> writer = store->NewWriter();
    for (const char* name : {"a", "b", "c"}) {
      const LogRef log = store->OpenLog(*writer, name, OpenMode::kCreate).value();
      const Ticket ticket = AppendOne(*writer, log, Entry(1, 1, name)).value();
      ASSERT_TRUE(writer->Wait(ticket, Soon()).ok());
    }
  }
  const auto start = [&] {
    Plant(PlantedBug::kPoisonPill);
    (void)LogStore::Open(Small(dir.path()));
  };
  for (int death = 0; death < 2; ++death) {
    EXPECT_DEATH(start(), "check failed|CHECK") << death;
  }
  Plant(PlantedBug::kPoisonPill);
  Result<LogStore> store = LogStore::Open(Small(dir.path()));
  Plant(PlantedBug::kNone);
  ASSERT_TRUE(store.ok()) << store.error().message;
  Result<Writer> writer = store->NewWriter();
  for (const char* name : {"a", "c"}) {
    const LogRef log = store->OpenLog(*writer, name, OpenMode::kOpen).value();
    EXPECT_EQ(AsText(store->Read(log, 1, 2, 100).value().entries()[0].payload), name);
  }
  const LogRef pill = store->OpenLog(*writer, "b", OpenMode::kOpen).value();
  EXPECT_EQ(AppendOne(*writer, pill, Entry(2, 1, "x")).error().code, ErrorCode::kFaulty);
}

// The same while its segments are scanned, before the WAL is looked at.
TEST(LogStoreDeathTest, B9_APoisonPillInSegmentsIsIsolated) {
  GTEST_FLAG_SET(death_test_style, "fast");
  testing::TempDir dir;
  LogStoreOptions options = Small(dir.path());
  options.wal_max_size_bytes = 32 << 10;
  {
    Result<LogStore> store = LogStore::Open(options);
    ASSERT_TRUE(store.ok());
    Result<Writer> writer = store->NewWriter();
    for (const char* name : {"a", "b", "c"}) {
      const LogRef log = store->OpenLog(*writer, name, OpenMode::kCreate).value();
      const Ticket ticket = AppendOne(*writer, log, Entry(1, 1, name)).value();
      ASSERT_TRUE(writer->Wait(ticket, Soon()).ok());
    }
    const LogRef other = store->OpenLog(*writer, "other", OpenMode::kCreate).value();
    const std::string filling(3000, 'f');
    for (Index index = 1; FlushRounds(*store) == 0;) {
      const Result<Ticket> ticket = AppendOne(*writer, other, Entry(index, 1, filling));
      if (!ticket.ok()) {
        ASSERT_EQ(ticket.error().code, ErrorCode::kOverloaded);
        continue;
      }
      ASSERT_TRUE(writer->Wait(*ticket, Soon()).ok());
      ++index;
    }
  }
  const auto start = [&] {
    Plant(PlantedBug::kPoisonPill);
    (void)LogStore::Open(options);
  };
  for (int death = 0; death < 2; ++death) {
    EXPECT_DEATH(start(), "check failed|CHECK") << death;
  }
  Plant(PlantedBug::kPoisonPill);
  Result<LogStore> store = LogStore::Open(options);
  Plant(PlantedBug::kNone);
  ASSERT_TRUE(store.ok()) << store.error().message;
  std::size_t faulty = 0;
  for (const LogInfo& log : store->Logs()) {
    if (log.faulty) {
      ++faulty;
    } else if (log.name != "other") {
      EXPECT_EQ(AsText(store->Read(log.log, 1, 2, 100).value().entries()[0].payload), log.name);
    }
  }
  EXPECT_EQ(faulty, 1u);
  EXPECT_EQ(store->Logs().size(), 4u);
}
#endif

}  // namespace
}  // namespace duramen
