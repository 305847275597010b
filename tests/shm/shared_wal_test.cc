// Several stores on one WAL process, all in this process: what a client can do, and what it cannot.
#include <gmock/gmock.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "tests/shm/shared.h"

namespace duramen::shm::testing {
namespace {

using ::testing::HasSubstr;

TEST_F(SharedWal, SW1_WhatAClientAppendsIsDurableAndRead) {
  StartHost();
  {
    LogStore store = Client();
    Writer writer = store.NewWriter().value();
    const LogRef log = store.OpenLog(writer, "one", OpenMode::kOpenOrCreate).value();
    Ticket last = 0;
    for (Index index = 1; index <= 100; ++index) {
      last = Put(writer, log, index, "text " + std::to_string(index)).value();
    }
    const Status waited = writer.Wait(last, Soon());
    ASSERT_TRUE(waited.ok()) << waited.error().message;
    EXPECT_EQ(store.BoundsOf(log)->written_end, 101);
    EXPECT_EQ(TextAt(store, log, 57), "text 57");
    ASSERT_TRUE(writer.Wait(writer.PutVote(log, 3, "n2").value(), Soon()).ok());
  }
  // Another client finds it, and reads what it never wrote.
  LogStore store = Client();
  Writer writer = store.NewWriter().value();
  const LogRef log = store.OpenLog(writer, "one", OpenMode::kOpen).value();
  EXPECT_EQ(store.BoundsOf(log)->end, 101);
  EXPECT_EQ(TextAt(store, log, 1), "text 1");
  EXPECT_EQ(TextAt(store, log, 100), "text 100");
  EXPECT_EQ(store.VoteOf(log)->voted_for, "n2");
  EXPECT_TRUE(writer.Wait(Put(writer, log, 101, "more").value(), Soon()).ok());
}

std::uint64_t MetricOf(const LogStore& store, std::string_view name) {
  struct Wanted {
    std::string_view name;
    std::uint64_t value = UINT64_MAX;
  } wanted{name};
  store.VisitMetrics(
      [](void* argument, const Metric& metric) {
        auto* self = static_cast<Wanted*>(argument);
        if (metric.name == self->name) self->value = metric.value;
      },
      &wanted);
  return wanted.value;
}

TEST_F(SharedWal, SW1_AClientShowsWhatTheWalProcessDidWhileItWasThere) {
  StartHost();
  LogStore first = Client();
  Writer one = first.NewWriter().value();
  const LogRef log = first.OpenLog(one, "one", OpenMode::kCreate).value();
  EXPECT_TRUE(one.Wait(Put(one, log, 1, "text").value(), Soon()).ok());
  const std::uint64_t batches = MetricOf(first, "wal_batches");
  EXPECT_GE(batches, 1u);
  EXPECT_GE(MetricOf(first, "wal_syncs"), 1u);
  EXPECT_GE(MetricOf(first, "wal_bytes"), 4096u);
  EXPECT_EQ(MetricOf(first, "wal_entries"), 1u);
  // Who comes later has seen nothing of that, and what it does the first sees as well.
  LogStore second = Client();
  EXPECT_EQ(MetricOf(second, "wal_entries"), 0u);
  Writer two = second.NewWriter().value();
  const LogRef other = second.OpenLog(two, "two", OpenMode::kCreate).value();
  EXPECT_TRUE(two.Wait(Put(two, other, 1, "text").value(), Soon()).ok());
  EXPECT_EQ(MetricOf(second, "wal_entries"), 1u);
  EXPECT_EQ(MetricOf(first, "wal_entries"), 2u);
  // And the next WAL process begins to count anew.
  StopHost();
  StartHost();
  ASSERT_TRUE(one.WaitForRoom(log, 1, 0, Soon()).ok());
  EXPECT_TRUE(one.Wait(Put(one, log, 2, "text").value(), Soon()).ok());
  EXPECT_EQ(MetricOf(first, "wal_entries"), 3u);
  EXPECT_GT(MetricOf(first, "wal_batches"), batches);
}

TEST_F(SharedWal, P6_ALogBelongsToOneClientAtATime) {
  StartHost();
  LogStore first = Client();
  LogStore second = Client();
  Writer one = first.NewWriter().value();
  Writer two = second.NewWriter().value();
  ASSERT_TRUE(first.OpenLog(one, "log", OpenMode::kOpenOrCreate).ok());
  const Result<LogRef> refused = second.OpenLog(two, "log", OpenMode::kOpenOrCreate);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kInUse);
  EXPECT_THAT(refused.error().message, HasSubstr(std::to_string(::getpid())));
}

TEST_F(SharedWal, SW1_ClientsShareBatchesAndNotLogs) {
  StartHost();
  constexpr Index kEach = 2000;
  const auto work = [&](int number) {
    LogStore store = Client();
    Writer writer = store.NewWriter().value();
    const std::string name = "log" + std::to_string(number);
    const LogRef log = store.OpenLog(writer, name, OpenMode::kCreate).value();
    Ticket last = 0;
    for (Index index = 1; index <= kEach;) {
      const Result<Ticket> put = Put(writer, log, index, name + "/" + std::to_string(index));
      if (!put.ok() && put.error().code == ErrorCode::kOverloaded) {
        ASSERT_TRUE(writer.Wait(last, Soon()).ok());
        continue;
      }
      ASSERT_TRUE(put.ok()) << put.error().message;
      last = *put;
      ++index;
    }
    ASSERT_TRUE(writer.Wait(last, Soon()).ok());
    for (Index index = 1; index <= kEach; index += 97) {
      EXPECT_EQ(TextAt(store, log, index), name + "/" + std::to_string(index));
    }
  };
  std::vector<std::thread> threads;
  for (int number = 0; number < 4; ++number) threads.emplace_back(work, number);
  for (std::thread& thread : threads) thread.join();
  LogStore store = Client();
  EXPECT_EQ(store.Logs().size(), 4);
  Writer writer = store.NewWriter().value();
  ASSERT_TRUE(store.OpenLog(writer, "log2", OpenMode::kOpen).ok());
  EXPECT_EQ(store.Logs().size(), 4) << "one that is open here is listed once";
}

TEST_F(SharedWal, SW1_OverwritesTruncationsAndDeletionsGoTheSameWay) {
  StartHost();
  {
    LogStore store = Client();
    Writer writer = store.NewWriter().value();
    const LogRef log = store.OpenLog(writer, "log", OpenMode::kCreate).value();
    const LogRef other = store.OpenLog(writer, "gone", OpenMode::kCreate).value();
    for (Index index = 1; index <= 20; ++index) ASSERT_TRUE(Put(writer, log, index, "old").ok());
    ASSERT_TRUE(Put(writer, log, EntryView{.index = 11, .term = 2, .payload = {}}, "new").ok());
    ASSERT_TRUE(Put(writer, log, EntryView{.index = 12, .term = 2, .payload = {}}, "new").ok());
    ASSERT_TRUE(writer.TruncateSuffix(log, 12).ok());
    ASSERT_TRUE(writer.TruncatePrefix(log, 5).ok());
    ASSERT_TRUE(Put(writer, log, EntryView{.index = 12, .term = 3, .payload = {}}, "newer").ok());
    ASSERT_TRUE(writer.Put(log, "key", AsBytes("value"), Durability::kSynced).ok());
    ASSERT_TRUE(Put(writer, other, 1, "x").ok());
    ASSERT_TRUE(writer.Wait(store.DeleteLog(writer, other).value(), Soon()).ok());
    (void)writer.Poll();
    const LogRef anew = store.OpenLog(writer, "gone", OpenMode::kCreate).value();
    EXPECT_EQ(store.BoundsOf(anew)->end, 1);
    EXPECT_TRUE(writer.Wait(Put(writer, anew, 1, "y").value(), Soon()).ok());
  }
  LogStore store = Client();
  Writer writer = store.NewWriter().value();
  const LogRef log = store.OpenLog(writer, "log", OpenMode::kOpen).value();
  const Bounds bounds = store.BoundsOf(log).value();
  EXPECT_EQ(bounds.begin, 5);
  EXPECT_EQ(bounds.end, 13);
  EXPECT_EQ(store.TermAt(log, 10).value(), 1);
  EXPECT_EQ(store.TermAt(log, 11).value(), 2);
  EXPECT_EQ(store.TermAt(log, 12).value(), 3);
  EXPECT_EQ(TextAt(store, log, 11), "new");
  EXPECT_EQ(TextAt(store, log, 12), "newer");
  EXPECT_EQ(store.Get(log, "key").value(), "value");
  const EntryView next{.index = 13, .term = 3, .payload = {}};
  EXPECT_TRUE(writer.Wait(Put(writer, log, next, "on").value(), Soon()).ok());
}

/// More than a WAL file, so that rolls and flushes pass, and more than the client may keep.
TEST_F(SharedWal, A11_WhatIsFlushedIsReadThroughTheWalProcess) {
  StartHost();
  LogStoreOptions settings = ClientSettings();
  settings.memory_budget = 12 << 20;
  LogStore store = LogStore::Open(settings).value();
  Writer writer = store.NewWriter().value();
  const LogRef log = store.OpenLog(writer, "log", OpenMode::kCreate).value();
  const std::string text(8000, 'x');
  Ticket last = 0;
  constexpr Index kEntries = 4000;
  for (Index index = 1; index <= kEntries;) {
    const Result<Ticket> put = Put(writer, log, index, text + std::to_string(index));
    if (!put.ok()) {
      ASSERT_EQ(put.error().code, ErrorCode::kOverloaded) << put.error().message;
      const Status room = writer.WaitForRoom(log, 1, text.size() + 8, Soon());
      ASSERT_TRUE(room.ok()) << room.error().message;
      continue;
    }
    last = *put;
    ++index;
  }
  ASSERT_TRUE(writer.Wait(last, Soon()).ok());
  for (Index index = 1; index <= kEntries; index += 211) {
    EXPECT_EQ(TextAt(store, log, index), text + std::to_string(index));
  }
}

TEST_F(SharedWal, P3_ARestartOfTheWalProcessGoesOnWhereItWas) {
  StartHost();
  LogStore store = Client();
  Writer writer = store.NewWriter().value();
  const LogRef log = store.OpenLog(writer, "log", OpenMode::kCreate).value();
  Ticket last = 0;
  for (Index index = 1; index <= 50; ++index) {
    last = Put(writer, log, index, "a" + std::to_string(index)).value();
  }
  ASSERT_TRUE(writer.Wait(last, Soon()).ok());
  StopHost();
  const Result<Ticket> down = Put(writer, log, 51, "b");
  ASSERT_FALSE(down.ok());
  EXPECT_EQ(down.error().code, ErrorCode::kWalDown);
  StartHost();
  const Status room = writer.WaitForRoom(log, 1, 8, Soon());
  ASSERT_TRUE(room.ok()) << room.error().message;
  ASSERT_TRUE(writer.Wait(Put(writer, log, 51, "b51").value(), Soon()).ok());
  EXPECT_EQ(TextAt(store, log, 7), "a7");
  EXPECT_EQ(TextAt(store, log, 51), "b51");
  EXPECT_EQ(store.BoundsOf(log)->written_end, 52);
}

/// A ticket that was on its way when the WAL process went is durable by the next one.
TEST_F(SharedWal, W1_B10_WhatIsOnItsWayGoesOnWithTheNextWalProcess) {
  StartHost();
  LogStore store = Client();
  Writer writer = store.NewWriter().value();
  const LogRef log = store.OpenLog(writer, "log", OpenMode::kCreate).value();
  Index next = 1;
  for (int round = 0; round < 5; ++round) {
    std::thread stopping([&] { StopHost(); });
    Ticket last = 0;
    while (true) {
      const Result<Ticket> put = Put(writer, log, next, "text " + std::to_string(next));
      if (put.ok()) {
        last = *put;
        ++next;
      } else if (put.error().code == ErrorCode::kWalDown) {
        break;
      }
    }
    stopping.join();
    StartHost();
    const Status waited = writer.Wait(last, Soon());
    ASSERT_TRUE(waited.ok()) << waited.error().message;
    EXPECT_EQ(store.BoundsOf(log)->written_end, next);
  }
  for (Index index = 1; index < next; index += 37) {
    EXPECT_EQ(TextAt(store, log, index), "text " + std::to_string(index));
  }
}

/// What became durable is looked at only when the WAL process is gone.
TEST_F(SharedWal, A11_NewsOfAWalProcessThatIsGoneCount) {
  StartHost();
  LogStore store = Client();
  Writer writer = store.NewWriter().value();
  const LogRef log = store.OpenLog(writer, "log", OpenMode::kCreate).value();
  const Ticket ticket = Put(writer, log, 1, "a").value();
  while (writer.durable() < ticket) std::this_thread::yield();
  StopHost();
  while (store.pressure() != Pressure::kOverloaded) std::this_thread::yield();
  ASSERT_EQ(writer.Poll().size(), 1u);
  EXPECT_EQ(store.BoundsOf(log)->written_end, 2u);
  EXPECT_TRUE(writer.Wait(ticket, Soon()).ok());
  EXPECT_EQ(TextAt(store, log, 1), "a");
}

/// Another directory in the place of the one that the client knows.
TEST_F(SharedWal, SW3_AContradictionIsRefusedAndNotMended) {
  StartHost();
  LogStore store = Client();
  Writer writer = store.NewWriter().value();
  const LogRef log = store.OpenLog(writer, "log", OpenMode::kCreate).value();
  ASSERT_TRUE(writer.Wait(Put(writer, log, 1, "a").value(), Soon()).ok());
  StopHost();
  std::filesystem::rename(dir_ / "data", dir_ / "kept");
  StartHost();
  const LogRef other = [&] {
    while (true) {
      const Result<LogRef> opened = store.OpenLog(writer, "other", OpenMode::kCreate);
      if (opened.ok()) return *opened;
      EXPECT_EQ(opened.error().code, ErrorCode::kWalDown) << opened.error().message;
    }
  }();
  const Result<Ticket> refused = Put(writer, log, 2, "b");
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kCorruption);
  EXPECT_THAT(refused.error().message, HasSubstr("contradicts what was acknowledged"));
  EXPECT_TRUE(writer.Wait(Put(writer, other, 1, "x").value(), Soon()).ok());
}

/// Its records in the ring are passed over, and those of other logs behind them are not.
TEST_F(SharedWal, SW3_WhatIsBehindARefusedLogInTheRingGoesOn) {
  StartHost();
  LogStore store = Client();
  Writer writer = store.NewWriter().value();
  const LogRef log = store.OpenLog(writer, "log", OpenMode::kCreate).value();
  ASSERT_TRUE(writer.Wait(Put(writer, log, 1, "a").value(), Soon()).ok());
  StopHost();
  // What it has in the other log is on its way when the WAL process is not there.
  std::filesystem::rename(dir_ / "data", dir_ / "kept");
  StartHost();
  Result<LogRef> other = Error{ErrorCode::kWalDown, "", ""};
  while (!other.ok()) other = store.OpenLog(writer, "other", OpenMode::kOpenOrCreate);
  StopHost();
  std::filesystem::rename(dir_ / "data", dir_ / "second");
  std::filesystem::rename(dir_ / "kept", dir_ / "data");
  StartHost();
  // `other` is unknown here; whether its registration had been durable there decides.
  const Status room = writer.WaitForRoom(log, 1, 1, Soon());
  EXPECT_FALSE(room.ok());
  EXPECT_EQ(room.error().code, ErrorCode::kCorruption) << room.error().message;
  const LogRef third = [&] {
    while (true) {
      const Result<LogRef> opened = store.OpenLog(writer, "third", OpenMode::kOpenOrCreate);
      if (opened.ok()) return *opened;
    }
  }();
  EXPECT_TRUE(writer.Wait(Put(writer, third, 1, "x").value(), Soon()).ok());
}

TEST_F(SharedWal, P7_TheLockDecidesWhoHasTheDirectory) {
  StartHost();
  HostOptions options;
  options.socket_path = dir_ / "second";
  const Result<std::unique_ptr<Host>> second = Host::Start(HostSettings(), options);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code, ErrorCode::kInUse);
  const Result<LogStore> embedded = LogStore::Open(HostSettings());
  ASSERT_FALSE(embedded.ok());
  EXPECT_EQ(embedded.error().code, ErrorCode::kInUse);
  StopHost();
  const LogStore store = LogStore::Open(HostSettings()).value();
  const Result<std::unique_ptr<Host>> third = Host::Start(HostSettings(), options);
  ASSERT_FALSE(third.ok());
  EXPECT_EQ(third.error().code, ErrorCode::kInUse);
}

TEST_F(SharedWal, SW5_WhatCannotBeAttachedSaysWhy) {
  const auto refusal = [](const LogStoreOptions& options) {
    const Result<LogStore> store = LogStore::Open(options);
    return store.ok() ? Error{} : store.error();
  };
  EXPECT_EQ(refusal(ClientSettings()).code, ErrorCode::kNotFound);
  LogStoreOptions options = ClientSettings();
  options.data_dir = dir_ / "data";
  EXPECT_THAT(refusal(options).message, HasSubstr("the WAL process has the directory"));
  options = ClientSettings();
  options.wal_max_files = 4;
  EXPECT_THAT(refusal(options).message, HasSubstr("wal_max_files is a setting of the WAL process"));
  options = ClientSettings();
  options.wal_process = dir_ / "socket";
  EXPECT_THAT(refusal(options).message, HasSubstr("is not the address"));
  options.wal_process = "unix:" + std::string(200, 'x');
  EXPECT_THAT(refusal(options).message, HasSubstr("too long"));
  Quota quota;
  quota.bytes = 1 << 20;
  StartHost(quota);
  EXPECT_EQ(refusal(ClientSettings()).code, ErrorCode::kOverloaded);
}

TEST_F(SharedWal, B1_AClientWhoseMemoryIsFullWaitsForNoOtherWriter) {
  constexpr Index kEntries = 20'000;
  LogStoreOptions settings = HostSettings();
  settings.wal_max_size_bytes = 256 << 20;  // Nothing that is written here fills one.
  settings.memory_budget = 1ULL << 30;
  HostOptions host;
  host.socket_path = dir_ / "socket";
  host_ = Host::Start(settings, host).value();
  LogStoreOptions small = ClientSettings();
  small.memory_budget = 16 << 20;
  LogStore store = LogStore::Open(small).value();
  Writer writer = store.NewWriter().value();
  const LogRef log = store.OpenLog(writer, "log", OpenMode::kCreate).value();
  const std::string text(4000, 'x');
  Ticket last = 0;
  for (Index index = 1; index <= kEntries;) {
    const Result<Ticket> put = Put(writer, log, index, text + std::to_string(index));
    if (put.ok()) last = *put;
    if (put.ok() && ++index) continue;
    ASSERT_EQ(put.error().code, ErrorCode::kOverloaded) << put.error().message;
    ASSERT_TRUE(writer.WaitForRoom(log, 1, text.size() + 8, Soon()).ok()) << index;
  }
  ASSERT_TRUE(writer.Wait(last, Soon()).ok());
  for (const Index index : {Index{1}, Index{777}, kEntries}) {
    EXPECT_EQ(TextAt(store, log, index), text + std::to_string(index));
  }
}

TEST_F(SharedWal, SW5_AClientHasAsManyLogsAsItMay) {
  Quota quota;
  quota.logs = 3;
  StartHost(quota);
  LogStore store = Client();
  Writer writer = store.NewWriter().value();
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(store.OpenLog(writer, "log" + std::to_string(i), OpenMode::kCreate).ok());
  }
  const Result<LogRef> more = store.OpenLog(writer, "more", OpenMode::kCreate);
  ASSERT_FALSE(more.ok());
  EXPECT_EQ(more.error().code, ErrorCode::kOverloaded);
}

TEST_F(SharedWal, SW5_AClientHasAsManyWritersAsItMay) {
  Quota quota;
  quota.rings = 1;
  StartHost(quota);
  LogStore store = Client();
  std::optional<Writer> writer(store.NewWriter().value());
  const Result<Writer> more = store.NewWriter();
  ASSERT_FALSE(more.ok());
  EXPECT_EQ(more.error().code, ErrorCode::kOverloaded);
  EXPECT_THAT(more.error().message, HasSubstr("as many Writers"));
  writer.reset();
  EXPECT_TRUE(store.NewWriter().ok());
}

/// Of a process of another user, where this one may become another; what opening a store came to.
int Stranger(const LogStoreOptions& options) {
  constexpr uid_t kNobody = 65534;
  if (::geteuid() == 0 && (::setgid(kNobody) != 0 || ::setuid(kNobody) != 0)) return 100;
  for (int i = 0; i < 20; ++i) {
    const Result<LogStore> store = LogStore::Open(options);
    if (store.ok()) return 0;
    const bool clear = store.error().code == ErrorCode::kPermission &&
                       store.error().message.find("may not attach") != std::string::npos &&
                       store.error().hint.find("--user") != std::string::npos;
    if (!clear) return 101;
  }
  return 1;
}

TEST_F(SharedWal, P8_SW5_OnlyTheUsersThatAreNamedMayAttach) {
  constexpr int kNobody = 65534;
  const bool root = ::geteuid() == 0;  // Nobody else becomes another user.
  ASSERT_EQ(::chmod(dir_.path().c_str(), 0755), 0);
  for (const bool named : {false, true}) {
    int begin[2] = {-1, -1};
    ASSERT_EQ(::pipe(begin), 0);
    const pid_t child = ::fork();  // There are no threads yet.
    if (child == 0) {
      char byte = 0;
      const bool told = ::read(begin[0], &byte, 1) == 1;
      ::_exit(told ? Stranger(ClientSettings()) : 102);
    }
    HostOptions options;
    options.socket_path = dir_ / "socket";
    if (root) options.group = kNobody;
    if (named) options.users = {kNobody};
    host_ = Host::Start(HostSettings(), options).value();
    ASSERT_EQ(::write(begin[1], "x", 1), 1);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), named || !root ? 0 : 1);
    EXPECT_TRUE(LogStore::Open(ClientSettings()).ok()) << "the own user may";
    ::close(begin[0]);
    ::close(begin[1]);
    StopHost();
  }
}

TEST_F(SharedWal, SW1_AWriterThatGoesLeavesItsLogsToAnother) {
  StartHost();
  LogStore store = Client();
  LogRef log;
  {
    Writer writer = store.NewWriter().value();
    log = store.OpenLog(writer, "log", OpenMode::kCreate).value();
    ASSERT_TRUE(Put(writer, log, 1, "a").ok());
  }
  EXPECT_EQ(TextAt(store, log, 1), "a");
  Writer writer = store.NewWriter().value();
  EXPECT_EQ(store.OpenLog(writer, "log", OpenMode::kOpen).value(), log);
  EXPECT_TRUE(writer.Wait(Put(writer, log, 2, "b").value(), Soon()).ok());
}

/// The descriptor of a Writer is readable when there is news, as in a store of its own.
TEST_F(SharedWal, SW1_NewsIsToldByTheDescriptor) {
  StartHost();
  LogStore store = Client();
  Writer writer = store.NewWriter().value();
  const LogRef log = store.OpenLog(writer, "log", OpenMode::kCreate).value();
  pollfd wait{writer.written_fd(), POLLIN, 0};
  for (Index index = 1; index <= 20; ++index) {
    ASSERT_TRUE(Put(writer, log, index, "x").ok());
    Index end = 0;
    while (end != index + 1) {
      ASSERT_EQ(::poll(&wait, 1, 60'000), 1);
      for (const Written& news : writer.Poll()) end = news.end;
    }
  }
}

}  // namespace
}  // namespace duramen::shm::testing
