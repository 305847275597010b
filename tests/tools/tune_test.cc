// `duramen tune` as a process, on a real directory: what it prints, what it refuses, what it leaves
// behind, and that it sees through a library which leaves syncs out.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "base/bytes.h"
#include "duramen/log_store.h"
#include "tests/tools/answer.h"
#include "tests/tools/files.h"
#include "tools/child.h"
#include "tools/device_facts.h"

namespace duramen::tools {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::ReadAll;
using testing::TempDir;
using testing::WriteAll;

/// Beside the build, which is on a disk more often than /tmp is.
class DiskDir {
 public:
  DiskDir() {
    path_ = (fs::current_path() / "tune-XXXXXX").string();
    if (::mkdtemp(path_.data()) == nullptr) ADD_FAILURE() << "no directory for the test";
  }
  ~DiskDir() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  DiskDir(const DiskDir&) = delete;
  DiskDir& operator=(const DiskDir&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

struct Tuned final : Child::Listener {
  int exit = -1;
  std::string out;
  std::string err;
  void OnOut(std::string_view line) override { out.append(line).push_back('\n'); }
  void OnErr(std::string_view line) override { err.append(line).push_back('\n'); }
  /// Of a text in the JSON: the value behind "key":.
  std::string Text(const std::string& key) const {
    const std::string begin = "\"" + key + "\":\"";
    const std::size_t at = out.find(begin);
    if (at == std::string::npos) return "";
    const std::size_t from = at + begin.size();
    return out.substr(from, out.find('"', from) - from);
  }
};

Tuned Run(const std::vector<std::string>& command) {
  Tuned tuned;
  Result<Child> child = Child::Start(command);
  EXPECT_TRUE(child.ok());
  const Result<Child::Exit> exit = child->Run(tuned);
  EXPECT_TRUE(exit.ok());
  tuned.exit = exit.ok() ? exit->code : -1;
  return tuned;
}

Tuned Tune(const std::string& path, const std::vector<std::string>& more = {}) {
  std::vector<std::string> command = {DURAMEN_BINARY, "tune", path, "--seconds", "1"};
  command.insert(command.end(), more.begin(), more.end());
  return Run(command);
}

Tuned TuneWithLyingSyncs(const std::string& path) {
  // The sanitizer wants to be the first library; here it need not be.
  return Run({"/usr/bin/env", "LD_PRELOAD=" LYING_SYNCS, "ASAN_OPTIONS=verify_asan_link_order=0",
              DURAMEN_BINARY, "tune", path, "--seconds", "1", "--json"});
}

/// Whether the kernel must be able to tell of `facts` what a sync wrote; elsewhere the clock does.
bool HasAccount(const DeviceFacts& facts) {
  const bool disk = facts.kind.name == "ext4" || facts.kind.name == "xfs";
  const bool journalled = facts.mount && facts.mount->Has("data=journal");
  return disk && !journalled &&
         ReadAll("/proc/thread-self/io").find("write_bytes:") != std::string::npos;
}

TEST(Tune, PW3_SyncsThatAreLeftOutAreFoundOut) {
  const DiskDir dir;
  const Tuned lied_to = TuneWithLyingSyncs(dir.path());
  const Tuned plain = Tune(dir.path(), {"--json"});
  const DeviceFacts facts = FactsOf(dir.path()).value();
  if (facts.kind.what == FileSystemClass::kMemory) {
    // There is no difference to find.
    for (const Tuned& tuned : {lied_to, plain}) {
      EXPECT_EQ(tuned.exit, 0) << tuned.err;
      EXPECT_EQ(tuned.Text("syncs"), "cannot be told");
      EXPECT_THAT(tuned.Text("syncs_why"), HasSubstr("a sync means nothing there"));
    }
    return;
  }
  EXPECT_EQ(lied_to.exit, 1) << lied_to.out << lied_to.err;
  EXPECT_EQ(lied_to.Text("syncs"), "dishonest") << lied_to.out;
  for (const char* method : {"datasync", "fsync"}) {
    EXPECT_EQ(lied_to.Text(method), "dishonest") << method;
    EXPECT_THAT(lied_to.Text(std::string(method) + "_why"),
                AnyOf(HasSubstr("left the page unwritten"), HasSubstr("no medium can do")));
    if (HasAccount(facts)) {
      EXPECT_THAT(lied_to.Text(std::string(method) + "_why"), HasSubstr("left the page unwritten"));
      EXPECT_THAT(plain.out, HasSubstr("\"" + std::string(method) + "_pages_written\":"));
      EXPECT_THAT(plain.out, Not(HasSubstr(std::string(method) + "_pages_written\":null")));
    }
    // Of the same calls on the same disk, this is not said.
    EXPECT_THAT(plain.Text(std::string(method) + "_why"),
                AllOf(Not(HasSubstr("left the page unwritten")), Not(HasSubstr("no medium"))));
  }
  EXPECT_EQ(lied_to.Text("wal_sync_method"), "") << "nothing is worth advising";
  EXPECT_EQ(plain.exit, plain.Text("syncs") == "dishonest" ? 1 : 0) << plain.out << plain.err;
  EXPECT_NE(plain.Text("wal_sync_method"), "");
}

TEST(Tune, TL5_EveryMethodLayoutAndSizeAndTheLinesToUse) {
  const DiskDir dir;
  const Tuned rows = Tune(dir.path(), {"--format", "csv", "--depth", "3"});
  EXPECT_THAT(rows.exit, AnyOf(0, 1)) << rows.err;
  EXPECT_TRUE(rows.out.starts_with(
      "layout,bytes,method,depth,ops,ops_per_s,p50_us,p99_us,p999_us,max_us\n"))
      << rows.out;
  const bool direct = rows.out.find(",dsync,") != std::string::npos;
  for (const char* layout : {"zero-filled", "fallocated", "growing"}) {
    for (const char* bytes : {"4096", "16384", "65536", "262144", "1048576"}) {
      const std::string begin = std::string("\n") + layout + "," + bytes + ",";
      EXPECT_THAT(rows.out, HasSubstr(begin + "datasync,1,"));
      EXPECT_THAT(rows.out, HasSubstr(begin + "fsync,1,"));
      if (!direct) continue;
      for (const char* depth : {"1", "2", "3"}) {
        EXPECT_THAT(rows.out, HasSubstr(begin + "dsync," + depth + ","));
      }
    }
  }
  const Tuned table = Tune(dir.path());
  EXPECT_THAT(table.out, AllOf(HasSubstr("file system"), HasSubstr("LAYOUT"),
                               HasSubstr("datasync  "), HasSubstr("zero-filled")));
  if (table.exit == 0) {
    EXPECT_THAT(table.out,
                AllOf(HasSubstr("\nwal_sync_method = \""), HasSubstr("\nwal_stall_threshold = ")));
  }
  EXPECT_TRUE(fs::is_empty(dir.path())) << "nothing is left behind";
}

TEST(Tune, TL5_WhatIsNoDirectoryIsRefused) {
  const TempDir dir;
  WriteAll(dir / "file", "x");
  const Tuned file = Tune(dir / "file");
  EXPECT_EQ(file.exit, 2);
  EXPECT_THAT(file.err, AllOf(HasSubstr("error: "), HasSubstr("a directory is needed")));
  const Tuned missing = Tune(dir / "missing");
  EXPECT_EQ(missing.exit, 4);
  EXPECT_FALSE(fs::exists(dir / "missing")) << "it is not made";
  // Where nobody may make a file, root or not.
  const Tuned unwritable = Tune("/proc/self");
  EXPECT_EQ(unwritable.exit, 4);
  EXPECT_THAT(unwritable.err, HasSubstr("error: cannot create '/proc/self/duramen-tune"));
  EXPECT_EQ(file.out + missing.out + unwritable.out, "");
  EXPECT_EQ(Tune(dir.path(), {"--depth", "0"}).exit, 2);
}

TEST(Tune, T3_ADataDirectoryInUseIsNotHarmed) {
  const DiskDir dir;
  const std::string data = dir.path() + "/data";
  LogStoreOptions options;
  options.data_dir = data;
  options.wal_max_size_bytes = 256 << 10;
  LogStore store = LogStore::Open(options).value();
  Writer writer = store.NewWriter().value();
  const LogRef log = store.OpenLog(writer, "a", OpenMode::kCreate).value();
  const auto append = [&](Index index) {
    const EntryView entry{index, 1, kFirstUserKind, AsBytes("entry")};
    const LogAppend group{log, {&entry, 1}};
    const Ticket ticket = writer.Append({&group, 1}).value();
    return writer.Wait(ticket, std::chrono::steady_clock::now() + std::chrono::seconds(30));
  };
  ASSERT_TRUE(append(1).ok());
  std::set<std::string> before;
  for (const auto& entry : fs::directory_iterator(data)) before.insert(entry.path());
  // As it is while `tune` runs there.
  fs::create_directory(data + "/duramen-tune-x");
  WriteAll(data + "/duramen-tune-x/file-0", "x");
  EXPECT_EQ(testing::Verify(data).exit, ExitCode::kClean) << testing::Verify(data).text();
  fs::remove_all(data + "/duramen-tune-x");
  EXPECT_THAT(Tune(data).exit, AnyOf(0, 1));
  ASSERT_TRUE(append(2).ok());
  std::set<std::string> after;
  for (const auto& entry : fs::directory_iterator(data)) after.insert(entry.path());
  EXPECT_EQ(before, after);
  EXPECT_EQ(testing::Verify(data).exit, ExitCode::kClean);
}

TEST(Tune, TL9_CtrlCPrintsWhatThereIsAndLeavesNothing) {
  const DiskDir dir;
  const DiskDir told;
  std::vector<std::string> command = {DURAMEN_BINARY, "tune",   dir.path(), "--seconds",
                                      "600",          "--json", "-o",       told.path() + "/out"};
  std::vector<char*> arguments;
  for (std::string& one : command) arguments.push_back(one.data());
  arguments.push_back(nullptr);
  pid_t pid = 0;
  ASSERT_EQ(::posix_spawn(&pid, DURAMEN_BINARY, nullptr, nullptr, arguments.data(), environ), 0);
  while (fs::is_empty(dir.path())) std::this_thread::yield();
  ::kill(pid, SIGINT);
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 130);
  EXPECT_TRUE(fs::is_empty(dir.path()));
  EXPECT_THAT(ReadAll(told.path() + "/out"), HasSubstr(R"("kind":"tune_summary")"));
}

}  // namespace
}  // namespace duramen::tools
