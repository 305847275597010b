// TL4, TL6: `stat --live` and `top` on the page of a process that runs, hangs, or is gone; and on
// anything else that may stand under its name.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "base/rng.h"
#include "base/stat_memory.h"
#include "duramen/log_store.h"
#include "tests/tools/answer.h"
#include "tests/tools/files.h"
#include "tools/child.h"
#include "tools/live.h"
#include "tools/top.h"

namespace duramen::tools {
namespace {

using ::testing::AllOf;
using testing::Answer;
using testing::Ask;
using ::testing::HasSubstr;
using testing::ReadAll;
using ::testing::SizeIs;
using testing::TempDir;
using testing::WriteAll;

Answer Stat(const std::string& path, const std::string& by = "metric",
            Format format = Format::kTable) {
  return Ask([&](Terminal& terminal) {
    return RunLiveStat({.path = path, .by = by, .output = {.format = format}}, terminal);
  });
}
Answer TopOnce(const std::string& path, Format format = Format::kJsonl) {
  return Ask([&](Terminal& terminal) {
    return RunTop({.path = path, .once = true, .interval_s = 0, .output = {.format = format}},
                  terminal);
  });
}

class LivePage : public ::testing::Test {
 protected:
  LivePage() { options.data_dir = dir / "data"; }
  ~LivePage() override {
    if (!shm.empty()) ::shm_unlink(shm.c_str());
  }
  LogStore Open() {
    options.wal_max_size_bytes = 1 << 20;
    Result<LogStore> store = LogStore::Open(options);
    EXPECT_TRUE(store.ok()) << store.error().message;
    shm = StatMemoryName(options.data_dir).value();
    return std::move(*store);
  }
  /// One entry, durable.
  static void Write(LogStore& store) {
    Result<Writer> writer = store.NewWriter();
    ASSERT_TRUE(writer.ok());
    const LogRef log = store.OpenLog(*writer, "a", OpenMode::kOpenOrCreate).value();
    const EntryView entry{store.BoundsOf(log)->end, 1, kFirstUserKind, {}};
    const LogAppend group{log, {&entry, 1}};
    const Ticket ticket = writer->Append({&group, 1}).value();
    ASSERT_TRUE(writer->Wait(ticket, Deadline::max()).ok());
  }
  TempDir dir;
  LogStoreOptions options;
  std::string shm;
};

TEST_F(LivePage, TL4_SaysWhatTheStoreCountsWhileItIsOpen) {
  {
    LogStore store = Open();
    Write(store);
    const Result<LiveStats> stats = ReadLive(options.data_dir);
    ASSERT_TRUE(stats.ok()) << stats.error().message;
    EXPECT_TRUE(stats->running);
    EXPECT_EQ(stats->page.identity.pid, static_cast<std::uint64_t>(::getpid()));
    EXPECT_EQ(stats->Value("wal_entries"), 1u);
    EXPECT_EQ(stats->Histogram("wal_queue_wait_ns").count, 2u) << "the entry and its log's name";
    EXPECT_THAT(stats->page.batches, ::testing::Not(SizeIs(0)));
    // What the process says of itself is the same list.
    std::vector<std::string> names;
    store.VisitMetrics(
        [](void* argument, const Metric& metric) {
          static_cast<std::vector<std::string>*>(argument)->emplace_back(metric.name);
        },
        &names);
    ASSERT_EQ(names.size(), stats->page.metrics.size());
    for (std::size_t i = 0; i < names.size(); ++i) {
      EXPECT_EQ(names[i], stats->page.metrics[i].name);
      EXPECT_FALSE(stats->page.metrics[i].help.empty());
    }
    const Answer table = Stat(options.data_dir);
    EXPECT_EQ(table.exit, ExitCode::kClean) << table.err;
    EXPECT_THAT(table.out, AllOf(HasSubstr("METRIC"), HasSubstr("wal_sync_ns"),
                                 HasSubstr("boot 1: the WAL is up")));
    EXPECT_THAT(Stat(options.data_dir, "metric", Format::kJsonl).out,
                AllOf(HasSubstr(R"("metric":"wal_entries","kind":"counter","unit":"entries",)"
                                R"("value":1,)"),
                      HasSubstr(R"("running":true)")));
    EXPECT_THAT(Stat(options.data_dir, "batch", Format::kCsv).out,
                AllOf(HasSubstr("batch,file,records,bytes,"), HasSubstr(",done")));
    const Answer top = TopOnce(options.data_dir);
    EXPECT_EQ(top.exit, ExitCode::kClean) << top.err;
    EXPECT_THAT(top.out, AllOf(HasSubstr(R"("kind":"top")"), HasSubstr(R"("stalls":0,)"),
                               HasSubstr(R"("running":true)"), HasSubstr(R"("logs":1,)")));
    EXPECT_EQ(std::count(top.out.begin(), top.out.end(), '\n'), 1);
    EXPECT_EQ(Stat(options.data_dir, "file").exit, ExitCode::kUsage);
  }
  const Answer closed = Stat(options.data_dir);
  EXPECT_EQ(closed.exit, ExitCode::kUnreadable);
  EXPECT_THAT(closed.err, AllOf(HasSubstr("no process has"), HasSubstr("hint: duramen stat")));
}

TEST_F(LivePage, TL4_AStoreWithoutAPageStartsAndSaysSo) {
  (void)Open().Close(Deadline::max());
  ASSERT_EQ(::mkdir(("/dev/shm" + shm).c_str(), 0700), 0);  // Nothing can be put there.
  std::string error;
  options.log_sink = {[](void* argument, const LogEvent& event) noexcept {
                        if (event.code == "store.stats") {
                          *static_cast<std::string*>(argument) = event.fields[0].value;
                        }
                      },
                      &error};
  {
    LogStore store = Open();
    Write(store);
    EXPECT_THAT(error, HasSubstr("cannot create"));
    const Answer none = Stat(options.data_dir);
    EXPECT_EQ(none.exit, ExitCode::kUnreadable) << none.text();
    EXPECT_THAT(none.err, HasSubstr("hint: "));
  }
  EXPECT_EQ(::rmdir(("/dev/shm" + shm).c_str()), 0);
}

TEST_F(LivePage, EM0_AForkedChildTakesNothingAway) {
  auto store = std::make_unique<LogStore>(Open());
  const pid_t child = ::fork();
  if (child == 0) {
    store.reset();
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  Write(*store);
  const Result<LiveStats> stats = ReadLive(options.data_dir);
  ASSERT_TRUE(stats.ok()) << stats.error().message;
  EXPECT_TRUE(stats->running);
  EXPECT_EQ(stats->Value("wal_entries"), 1u);
}

TEST_F(LivePage, T3_WhateverStandsUnderItsNameIsRefusedWithAWord) {
  {
    LogStore store = Open();
    Write(store);
  }
  LogStore store = Open();
  const std::string page = ReadAll("/dev/shm" + shm);
  ASSERT_GT(page.size(), 8192u);
  ::shm_unlink(shm.c_str());
  Rng rng(4);
  std::size_t refused = 0;
  for (int i = 0; i < 200; ++i) {
    std::string copy = page;
    if (i % 2 == 0) copy.resize(rng.Next() % copy.size());
    if (i % 2 == 1) {
      for (int flips = 0; flips < 8; ++flips) {
        copy[rng.Next() % copy.size()] ^= static_cast<char>(1u << (rng.Next() % 8));
      }
    }
    WriteAll("/dev/shm" + shm, copy);
    for (const Answer& answer : {Stat(options.data_dir), TopOnce(options.data_dir)}) {
      if (answer.exit == ExitCode::kClean) continue;
      ++refused;
      EXPECT_TRUE(answer.exit == ExitCode::kUnreadable || answer.exit == ExitCode::kUnknownVersion);
      EXPECT_EQ(answer.out, "");
      EXPECT_THAT(answer.err, AllOf(HasSubstr("error: "), HasSubstr("hint: ")));
    }
  }
  EXPECT_GT(refused, 200u);
  // The page of another store, which had the directory's number before.
  std::string other = page;
  other[41] ^= 1;
  WriteAll("/dev/shm" + shm, other);
  EXPECT_EQ(Stat(options.data_dir).exit, ExitCode::kUnreadable);
}

TEST_F(LivePage, TL4_WhatIsNoStoreIsSaid) {
  EXPECT_EQ(Stat(dir / "nowhere").exit, ExitCode::kUnreadable);
  const Answer empty = TopOnce(dir.path());
  EXPECT_EQ(empty.exit, ExitCode::kUnreadable);
  EXPECT_THAT(empty.err, HasSubstr("no SYSTEM file"));
  const auto top = [&](const TopOptions& wanted) {
    return Ask([&](Terminal& terminal) { return RunTop(wanted, terminal); });
  };
  EXPECT_EQ(top({.path = dir.path()}).exit, ExitCode::kUsage) << "this is no terminal";
  EXPECT_EQ(top({.path = dir.path(), .once = true, .interval_s = -1}).exit, ExitCode::kUsage);
}

TEST(Top, TL6_RatesAreWhatHappenedBetweenTwoLooks) {
  const auto look = [](std::uint64_t entries, std::uint64_t pid) {
    LiveStats stats{.page = {.identity = {.pid = pid}, .metrics = {}, .batches = {}},
                    .running = true};
    StatMetric sync{.name = "wal_sync_ns", .kind = StatKind::kHistogram, .histogram = {}};
    sync.histogram.Add(1'000, entries);
    if (entries == 700) sync.histogram.Add(20, 10'000);
    stats.page.metrics = {{.name = "wal_entries", .value = entries, .histogram = {}}, sync};
    return stats;
  };
  const auto value = [](const std::vector<Field>& fields, std::string_view name) {
    for (const Field& field : fields) {
      if (field.name == name) return std::get<double>(field.value);
    }
    return -1.0;
  };
  const std::vector<Field> fields = TopFields(look(500, 1), look(700, 1), 2);
  EXPECT_EQ(value(fields, "entries_per_s"), 100);
  EXPECT_EQ(value(fields, "sync_p50_us"), 0.02) << "of those since the first look";
  const std::vector<Field> restarted = TopFields(look(500, 1), look(100, 2), 2);
  EXPECT_EQ(value(restarted, "entries_per_s"), 50);
}

/// The data directory of the bench below `parent`; empty while there is none.
std::string DataDirectory(const std::string& parent) {
  for (const auto& entry : std::filesystem::directory_iterator(parent)) {
    const std::string path = entry.path().string() + "/data";
    if (std::filesystem::exists(path + "/SYSTEM")) return path;
  }
  return "";
}

TEST(LiveProcess, TL6_ABusyOneIsReadAndWhatItLeavesWhenItIsKilled) {
  const TempDir dir;
  const pid_t bench = ::fork();
  if (bench == 0) {
    (void)!::freopen("/dev/null", "w", stdout);
    ::execl(DURAMEN_BINARY, DURAMEN_BINARY, "bench", "wal", "--servers", "20", "--seconds", "600",
            "--dir", dir.path().c_str(), "--wal-max-size-bytes", "1MiB", nullptr);
    ::_exit(127);
  }
  std::string data;
  std::uint64_t first = 0;
  int grown = 0;
  while (grown < 5) {
    ASSERT_EQ(::waitpid(bench, nullptr, WNOHANG), 0) << "it ended";
    std::this_thread::yield();
    if (data.empty()) data = DataDirectory(dir.path());
    if (data.empty()) continue;
    const Result<LiveStats> stats = ReadLive(data);
    if (!stats.ok()) continue;  // Not yet.
    ASSERT_TRUE(stats->running);
    ASSERT_EQ(stats->page.identity.pid, static_cast<std::uint64_t>(bench));
    if (stats->Value("wal_entries") > first) ++grown;
    first = stats->Value("wal_entries");
  }
  EXPECT_EQ(Stat(data).exit, ExitCode::kClean);
  ASSERT_EQ(::kill(bench, SIGKILL), 0);
  ASSERT_EQ(::waitpid(bench, nullptr, 0), bench);
  const Result<LiveStats> left = ReadLive(data);
  ASSERT_TRUE(left.ok()) << left.error().message;
  EXPECT_FALSE(left->running);
  EXPECT_GE(left->Value("wal_entries"), first);
  EXPECT_THAT(left->page.batches, ::testing::Not(SizeIs(0)));
  for (const Answer& answer : {Stat(data), Stat(data, "batch"), TopOnce(data, Format::kTable)}) {
    EXPECT_EQ(answer.exit, ExitCode::kClean) << answer.err;
    EXPECT_THAT(answer.out, HasSubstr("not running"));
  }
  ::shm_unlink(StatMemoryName(data).value().c_str());
}

TEST_F(LivePage, TL6_OnATerminalItDrawsUntilQ) {
  LogStore store = Open();
  Write(store);
  int terminal = -1;
  winsize size{.ws_row = 50, .ws_col = 120, .ws_xpixel = 0, .ws_ypixel = 0};
  const pid_t pid = ::forkpty(&terminal, nullptr, nullptr, &size);
  if (pid == 0) {
    ::execl(DURAMEN_BINARY, DURAMEN_BINARY, "top", options.data_dir.c_str(), "--interval", "0.1",
            nullptr);
    ::_exit(127);
  }
  std::string shown;
  char buffer[4096];
  bool asked = false;
  while (true) {
    const ssize_t got = ::read(terminal, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    shown.append(buffer, static_cast<std::size_t>(got));
    const std::size_t second = shown.find("\033[H", shown.find("\033[H") + 1);
    if (!asked && second != std::string::npos) {
      asked = true;
      ASSERT_EQ(::write(terminal, "q", 1), 1);
    }
  }
  ::close(terminal);
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_THAT(shown,
              AllOf(HasSubstr("entries per s"), HasSubstr("q ends it"), HasSubstr("batch ")));
}

}  // namespace
}  // namespace duramen::tools
