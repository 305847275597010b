// T3: the offline verbs on a store that writes, rolls and recycles its files while they read.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tests/tools/files.h"
#include "tools/child.h"
#include "tools/dump.h"
#include "tools/stat.h"
#include "tools/verify.h"

namespace duramen::tools {
namespace {

using testing::TempDir;
using ::testing::HasSubstr;

class Collected final : public Child::Listener {
 public:
  void OnOut(std::string_view line) override {
    out_.append(line).push_back('\n');
    has_result_ = true;
  }
  void OnErr(std::string_view line) override { out_.append(line).push_back('\n'); }
  /// Any thread.
  bool has_result() const { return has_result_; }
  /// After the child's end.
  const std::string& out() const { return out_; }

 private:
  std::string out_;
  std::atomic<bool> has_result_{false};
};

/// The data directory of the bench below `parent`; empty while there is none.
std::string DataDirectory(const std::string& parent) {
  for (const auto& entry : std::filesystem::directory_iterator(parent)) {
    const std::string path = entry.path().string() + "/data";
    if (std::filesystem::exists(path + "/SYSTEM")) return path;
  }
  return "";
}

TEST(Live, T3_ToolsOnABusyStoreSeeNoDamageAndDoNone) {
  const TempDir dir;
  Result<Child> bench =
      Child::Start({DURAMEN_BINARY, "bench", "wal", "--servers", "20", "--in-flight", "20",
                    "--seconds", "2", "--dir", dir.path(), "--wal-max-size-bytes", "256KiB",
                    "--json"});
  ASSERT_TRUE(bench.ok());
  Collected listener;
  std::atomic<bool> done{false};
  Child::Exit exit;
  std::thread running([&] {
    const Result<Child::Exit> ended = bench->Run(listener);
    if (ended.ok()) exit = *ended;
    done = true;
  });
  int rounds = 0;
  while (!done) {
    const std::string data = DataDirectory(dir.path());
    if (data.empty()) {
      std::this_thread::yield();
      continue;
    }
    ++rounds;
    Terminal verify{Terminal::Captured{}};
    const ExitCode verified = RunVerify({.path = data}, verify);
    Terminal dump{Terminal::Captured{}};
    DumpOptions options{.path = data, .all = rounds % 2 == 0, .stats = true};
    const ExitCode dumped = RunDump(options, dump);
    Terminal stat{Terminal::Captured{}};
    (void)RunStat({.path = data, .by = "server"}, stat);
    // The bench removes its directory at the end, under the reader's hands.
    if (listener.has_result() || !std::filesystem::exists(data + "/SYSTEM") ||
        !std::filesystem::exists(data + "/wal/IDENTITY")) {
      break;
    }
    EXPECT_EQ(verified, ExitCode::kClean) << verify.captured_out() << verify.captured_err();
    if (!options.all) {
      EXPECT_EQ(dumped, ExitCode::kClean) << dump.captured_out() << dump.captured_err();
    }
    if (HasNonfatalFailure()) break;
  }
  running.join();
  EXPECT_EQ(exit.code, 0) << listener.out();
  EXPECT_THAT(listener.out(), HasSubstr("\"entries_per_s\":"));
  EXPECT_GT(rounds, 5);
}

}  // namespace
}  // namespace duramen::tools
