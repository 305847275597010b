// Bad input and wrong use, over real files: each a clear error with a hint, nothing lost, no
// half-made state left.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/bytes.h"
#include "duramen/log_store.h"
#include "tests/base/temp_dir.h"

namespace duramen {
namespace {

using ::testing::HasSubstr;

Deadline Soon() { return std::chrono::steady_clock::now() + std::chrono::seconds(30); }

class InputTest : public ::testing::Test {
 protected:
  LogStoreOptions Options() {
    LogStoreOptions options;
    options.data_dir = dir_ / "store";
    options.wal_max_size_bytes = 256 << 10;
    options.memory_budget = 64 << 20;
    return options;
  }
  static Result<Ticket> Append(Writer& writer, LogRef log, Index index, Term term,
                               std::string_view text, std::uint8_t kind = kFirstUserKind) {
    const EntryView entry{index, term, kind, AsBytes(text)};
    const LogAppend group{log, {&entry, 1}};
    return writer.Append({&group, 1});
  }
  testing::TempDir dir_;
};

template <typename T>
void ExpectRefused(const Result<T>& result, ErrorCode code) {
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, code) << result.error().message;
  EXPECT_FALSE(result.error().message.empty());
}

TEST_F(InputTest, T5_NamesThatAreNone) {
  LogStore store = LogStore::Open(Options()).value();
  Writer writer = store.NewWriter().value();
  const std::string bad[] = {"",
                             std::string(256, 'x'),
                             "a\nb",
                             std::string("a\0b", 3),
                             "\x7F",
                             "\xC2\x85",
                             "\xFF",
                             "\xC0\x80",
                             "\xED\xA0\x80",
                             "\xF4\x90\x80\x80",
                             "abc\xE2\x82",
                             std::string(10'000, 'n')};
  for (const std::string& name : bad) {
    const Result<LogRef> log = store.OpenLog(writer, name, OpenMode::kOpenOrCreate);
    ExpectRefused(log, ErrorCode::kInvalidArgument);
    EXPECT_THAT(log.error().hint, HasSubstr("255"));
  }
  for (const std::string& name :
       {std::string("../../etc/passwd"), std::string("."), std::string("a/b"),
        std::string(255, 'x'), std::string("\xE2\x82\xAC")}) {
    EXPECT_TRUE(store.OpenLog(writer, name, OpenMode::kCreate).ok()) << name;
  }
  std::size_t entries = 0;  // Nothing outside of the directory, and no path made of a name.
  for (const auto& entry : std::filesystem::recursive_directory_iterator(dir_.path())) {
    EXPECT_THAT(entry.path().string(), ::testing::Not(HasSubstr("passwd")));
    ++entries;
  }
  EXPECT_LT(entries, 20u);
}

TEST_F(InputTest, AppendRefusesWhatDoesNotFitAndChangesNothing) {
  LogStore store = LogStore::Open(Options()).value();
  Writer writer = store.NewWriter().value();
  const LogRef log = store.OpenLog(writer, "a", OpenMode::kCreate).value();
  for (Index i = 1; i <= 3; ++i) ASSERT_TRUE(Append(writer, log, i, 5, "x").ok());
  const auto refused = [&](const Result<Ticket>& result, ErrorCode code) {
    ExpectRefused(result, code);
    EXPECT_EQ(store.BoundsOf(log)->end, 4u);
  };
  refused(Append(writer, log, 5, 5, "gap"), ErrorCode::kGap);
  EXPECT_THAT(Append(writer, log, 9, 5, "gap").error().hint, HasSubstr("4"));
  refused(Append(writer, log, 4, 4, "term"), ErrorCode::kTermBelowPredecessor);
  refused(Append(writer, log, 4, 0, "term"), ErrorCode::kTermBelowPredecessor);
  refused(Append(writer, log, 4, 5, "kind", 127), ErrorCode::kInvalidArgument);
  refused(Append(writer, log, 4, 5, std::string(200 << 10, 'x')), ErrorCode::kTooLarge);
  const EntryView apart[] = {{4, 5, 128, AsBytes("x")}, {6, 5, 128, AsBytes("y")}};
  const LogAppend group{log, apart};
  refused(writer.Append({&group, 1}), ErrorCode::kGap);
  const EntryView down[] = {{4, 6, 128, AsBytes("x")}, {5, 5, 128, AsBytes("y")}};
  const LogAppend falling{log, down};
  refused(writer.Append({&falling, 1}), ErrorCode::kTermBelowPredecessor);
  refused(writer.TruncatePrefix(log, 5), ErrorCode::kOutOfRange);
  refused(writer.TruncateSuffix(log, 5), ErrorCode::kOutOfRange);
  refused(writer.Reset(log, 0, 0), ErrorCode::kInvalidArgument);
  refused(writer.PutLastApplied(log, 4), ErrorCode::kOutOfRange);
  refused(writer.Put(log, "", AsBytes("v"), Durability::kSynced), ErrorCode::kInvalidArgument);
  refused(writer.Put(log, std::string(256, 'k'), AsBytes("v"), Durability::kSynced),
          ErrorCode::kTooLarge);
  refused(writer.PutVote(log, 1, std::string(256, 'n')), ErrorCode::kTooLarge);
  ASSERT_TRUE(writer.PutVote(log, 7, "n1").ok());
  refused(writer.PutVote(log, 6, "n1"), ErrorCode::kTermBelowPredecessor);
  refused(writer.PutVote(log, 7, "n2"), ErrorCode::kInvalidArgument);
  refused(writer.PutVote(log, 7, ""), ErrorCode::kInvalidArgument);
  ExpectRefused(store.Read(log, 4, 5, 1), ErrorCode::kOutOfRange);
  ExpectRefused(store.Read(log, 0, 1, 1), ErrorCode::kOutOfRange);
  ExpectRefused(store.Read(LogRef{99, 1}, 1, 2, 1), ErrorCode::kStaleRef);
  ASSERT_TRUE(writer.Wait(Append(writer, log, 4, 5, "on").value(), Soon()).ok());
}

TEST_F(InputTest, ALogBelongsToOneWriter) {
  LogStore store = LogStore::Open(Options()).value();
  Writer first = store.NewWriter().value();
  Writer second = store.NewWriter().value();
  const LogRef log = store.OpenLog(first, "a", OpenMode::kCreate).value();
  ExpectRefused(store.OpenLog(second, "a", OpenMode::kOpen), ErrorCode::kInUse);
  ExpectRefused(store.OpenLog(first, "a", OpenMode::kCreate), ErrorCode::kAlreadyExists);
  ExpectRefused(store.OpenLog(first, "b", OpenMode::kOpen), ErrorCode::kNotFound);
  ExpectRefused(Append(second, log, 1, 1, "x"), ErrorCode::kWrongWriter);
  ExpectRefused(second.Wait(1'000'000, Soon()), ErrorCode::kInvalidArgument);
  { const Writer gone = std::move(first); }
  EXPECT_TRUE(store.OpenLog(second, "a", OpenMode::kOpen).ok()) << "its Writer is gone";
}

TEST_F(InputTest, A22_ASecondOpenerIsRefused) {
  const LogStoreOptions options = Options();
  {
    LogStore store = LogStore::Open(options).value();
    const Result<LogStore> second = LogStore::Open(options);
    ExpectRefused(second, ErrorCode::kInUse);
    EXPECT_FALSE(second.error().hint.empty());
    ASSERT_TRUE(store.Close(Soon()).ok());
  }
  EXPECT_TRUE(LogStore::Open(options).ok());
}

TEST_F(InputTest, T4_SettingsThatCannotBe) {
  const auto refused = [&](LogStoreOptions options) {
    const Result<LogStore> store = LogStore::Open(options);
    ExpectRefused(store, ErrorCode::kConfiguration);
    EXPECT_FALSE(store.error().hint.empty());
    EXPECT_FALSE(std::filesystem::exists(dir_ / "store")) << "a half-made state";
  };
  LogStoreOptions options = Options();
  options.wal_max_size_bytes = 1000;
  refused(options);
  options = Options();
  options.wal_max_size_bytes = 1ULL << 60;
  refused(options);
  options = Options();
  options.memory_budget = 1 << 20;
  refused(options);
  options = Options();
  options.wal_max_files = 1;
  refused(options);
  options = Options();
  options.wal_max_batch_size = 0;
  refused(options);
  options = Options();
  options.data_dir = "";
  refused(options);
}

TEST_F(InputTest, T4_AWalDirThatDependsOnWhereOneStandsIsRefused) {
  LogStoreOptions options = Options();
  options.wal_dir = "wal-elsewhere";
  const Result<LogStore> store = LogStore::Open(options);
  ExpectRefused(store, ErrorCode::kConfiguration);
  EXPECT_EQ(store.error().message, "wal_dir 'wal-elsewhere' is not absolute");
  EXPECT_THAT(store.error().hint, HasSubstr("give the whole path"));
  EXPECT_FALSE(std::filesystem::exists("wal-elsewhere"));
  EXPECT_FALSE(std::filesystem::exists(options.data_dir));
}

TEST_F(InputTest, T4_ADirectoryThatIsAFileOrSomebodyElses) {
  LogStoreOptions options = Options();
  options.data_dir = dir_ / "file";
  { std::ofstream(options.data_dir) << "hello"; }
  const Result<LogStore> on_file = LogStore::Open(options);
  ASSERT_FALSE(on_file.ok());
  EXPECT_THAT(on_file.error().message, HasSubstr("file"));
  std::ifstream in(options.data_dir);
  std::string content;
  in >> content;
  EXPECT_EQ(content, "hello");
  if (::geteuid() != 0) {
    std::filesystem::create_directory(dir_ / "closed");
    std::filesystem::permissions(dir_ / "closed", std::filesystem::perms::none);
    options.data_dir = dir_ / "closed/store";
    ExpectRefused(LogStore::Open(options), ErrorCode::kPermission);
    std::filesystem::permissions(dir_ / "closed", std::filesystem::perms::owner_all);
  }
}

void Poke(const std::string& path, std::uint64_t offset, const std::string& bytes) {
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekp(static_cast<std::streamoff>(offset));
  file << bytes;
}

TEST_F(InputTest, A14_ADirectoryThatIsNotWhole) {
  const LogStoreOptions options = Options();
  { LogStore store = LogStore::Open(options).value(); }
  const std::string system = dir_ / "store/SYSTEM";
  const std::string identity = dir_ / "store/wal/IDENTITY";
  std::filesystem::copy_file(system, dir_ / "kept");
  Poke(system, 100, "xx");  // One copy of two.
  {
    const Result<LogStore> store = LogStore::Open(options);
    ASSERT_TRUE(store.ok()) << store.error().message;
    EXPECT_FALSE(store->recovery_report().findings.empty());
  }
  Poke(system, 4196, "xx");
  ExpectRefused(LogStore::Open(options), ErrorCode::kCorruption);
  std::filesystem::remove(system);
  const Result<LogStore> without = LogStore::Open(options);
  ExpectRefused(without, ErrorCode::kCorruption);
  EXPECT_FALSE(std::filesystem::exists(system)) << "never taken for a new directory";
  std::filesystem::copy_file(dir_ / "kept", system);
  std::filesystem::rename(identity, dir_ / "identity");
  ASSERT_FALSE(LogStore::Open(options).ok());
  std::filesystem::rename(dir_ / "identity", identity);
  LogStoreOptions elsewhere = options;
  elsewhere.wal_dir = dir_ / "other";
  ExpectRefused(LogStore::Open(elsewhere), ErrorCode::kConfiguration);
  EXPECT_FALSE(std::filesystem::exists(dir_ / "other"));
  EXPECT_TRUE(LogStore::Open(options).ok());
}

TEST_F(InputTest, TicketsAndDeadlines) {
  LogStore store = LogStore::Open(Options()).value();
  Writer writer = store.NewWriter().value();
  const LogRef log = store.OpenLog(writer, "a", OpenMode::kCreate).value();
  const Ticket lazy = writer.Put(log, "k", AsBytes("v"), Durability::kLazy).value();
  ASSERT_TRUE(writer.Wait(lazy, Soon()).ok()) << "a lazy row that is waited for is written";
  EXPECT_GE(writer.durable(), lazy);
  const Result<Ticket> empty = writer.Append({});
  ASSERT_TRUE(empty.ok());
  EXPECT_EQ(*empty, lazy);
  ASSERT_TRUE(writer.Wait(0, Soon()).ok());
}

TEST_F(InputTest, AForkedChildIsToldSo) {
  LogStore store = LogStore::Open(Options()).value();
  Writer writer = store.NewWriter().value();
  const LogRef log = store.OpenLog(writer, "a", OpenMode::kCreate).value();
  ASSERT_TRUE(writer.Wait(Append(writer, log, 1, 1, "x").value(), Soon()).ok());
  const pid_t child = ::fork();
  if (child == 0) {
    const bool append = Append(writer, log, 2, 1, "y").error().code == ErrorCode::kForked;
    const bool read = store.Read(log, 1, 2, 1).error().code == ErrorCode::kForked;
    ::_exit(append && read ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  ASSERT_TRUE(writer.Wait(Append(writer, log, 2, 1, "y").value(), Soon()).ok());
}

// A thread that held a lock at the fork is not there to give it back, so none may be taken.
TEST_F(InputTest, EM0_AForkedChildIsToldSoBeforeAnyLockIsTaken) {
  LogStoreOptions options = Options();
  options.wal_shards = 2;
  options.memory_budget = 256 << 20;
  LogStore store = LogStore::Open(options).value();
  Writer writer = store.NewWriter(0).value();
  const LogRef log = store.OpenLog(writer, "a", OpenMode::kCreate).value();
  const Ticket ticket = Append(writer, log, 1, 1, "x").value();
  ASSERT_TRUE(writer.Wait(ticket, Soon()).ok());
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(60);
    const auto forked = [](const auto& result) {
      return !result.ok() && result.error().code == ErrorCode::kForked;
    };
    int failed = 0;
    int number = 0;
    const auto expect = [&](bool told) {
      ++number;
      if (!told && failed == 0) failed = number;
    };
    expect(forked(store.OpenLog(writer, "a", OpenMode::kOpen)));
    expect(forked(store.OpenLog(writer, "b", OpenMode::kCreate)));
    expect(forked(store.NewWriter()));
    expect(forked(store.NewWriter(1)));
    expect(forked(store.ShardOf("a")));
    expect(forked(store.DeleteLog(writer, log)));
    expect(forked(writer.Wait(ticket, Soon())));
    expect(forked(store.SetSyncMethod(SyncMethod::kFsync)));
    expect(store.Logs().empty());
    expect(forked(store.Close(Soon())));
    ::_exit(failed);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0) << "call number " << WEXITSTATUS(status);
  EXPECT_EQ(store.ShardOf("a").value(), 0u);
}

TEST_F(InputTest, AfterCloseEverythingSaysClosed) {
  LogStore store = LogStore::Open(Options()).value();
  {
    Writer writer = store.NewWriter().value();
    const LogRef log = store.OpenLog(writer, "a", OpenMode::kCreate).value();
    ASSERT_TRUE(Append(writer, log, 1, 1, "x").ok());
    ASSERT_TRUE(store.Close(Soon()).ok());
    ExpectRefused(Append(writer, log, 2, 1, "y"), ErrorCode::kClosed);
    ExpectRefused(store.Read(log, 1, 2, 1), ErrorCode::kClosed);
    ExpectRefused(store.NewWriter(), ErrorCode::kClosed);
  }
  EXPECT_TRUE(store.Close(Soon()).ok()) << "closing twice is nothing";
}

using InputDeathTest = InputTest;

TEST_F(InputDeathTest, AStoreMustOutliveItsWritersAndPins) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_DEATH(
      {
        auto store = std::make_unique<LogStore>(LogStore::Open(Options()).value());
        Writer writer = store->NewWriter().value();
        store.reset();
      },
      "writers");
}

}  // namespace
}  // namespace duramen
