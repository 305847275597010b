// Ctrl-C on a bench that runs: it ends by itself, tells what it has, and leaves nothing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tests/tools/files.h"
#include "tools/live.h"

namespace duramen::tools {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using testing::ReadAll;
using testing::TempDir;

/// The fresh folder below `parent`; empty while there is none.
std::string BenchFolder(const std::string& parent) {
  for (const auto& entry : std::filesystem::directory_iterator(parent))
    return entry.path().string();
  return "";
}

/// The binary with its output in a file; killed with the test.
class Running {
 public:
  Running(const std::vector<std::string>& words, const std::string& out_path) {
    std::vector<std::string> all = words;
    all.insert(all.begin(), DURAMEN_BINARY);
    std::vector<char*> arguments;
    for (std::string& word : all) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ != 0) return;
    const bool redirected = ::freopen(out_path.c_str(), "w", stdout) != nullptr;
    if (redirected) ::execv(DURAMEN_BINARY, arguments.data());
    ::_exit(127);
  }
  ~Running() {
    if (pid_ <= 0) return;
    (void)::kill(pid_, SIGKILL);
    (void)::waitpid(pid_, nullptr, 0);
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

  bool Ended() const { return ::waitpid(pid_, nullptr, WNOHANG) != 0; }
  /// Sends SIGINT and waits: the exit code, or 128 and the signal that ended it.
  int Interrupt() {
    int status = 0;
    EXPECT_EQ(::kill(pid_, SIGINT), 0);
    EXPECT_EQ(::waitpid(pid_, &status, 0), pid_);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  pid_t pid_ = -1;
};

struct Bench {
  std::vector<std::string> words;
  bool appends = true;  // is interrupted when entries are on their way
  const char* key = "entries_per_s";
};

class Interrupt : public ::testing::TestWithParam<Bench> {};

TEST_P(Interrupt, TL5_ABenchEndsByItselfTellsWhatItHasAndLeavesNothing) {
  const TempDir dir;
  const TempDir beside;
  std::vector<std::string> words = {"bench"};
  words.insert(words.end(), GetParam().words.begin(), GetParam().words.end());
  for (const std::string& word : {std::string("--seconds"), std::string("600"),
                                  std::string("--json"), std::string("--dir"), dir.path()}) {
    words.push_back(word);
  }
  Running bench(words, beside / "out");
  std::string folder;
  while (folder.empty()) {
    ASSERT_FALSE(bench.Ended());
    std::this_thread::yield();
    folder = BenchFolder(dir.path());
  }
  for (std::uint64_t entries = 0; GetParam().appends && entries < 100;) {
    ASSERT_FALSE(bench.Ended());
    std::this_thread::yield();
    const Result<LiveStats> stats = ReadLive(folder + "/data");
    if (stats.ok()) entries = stats->Value("wal_entries");
  }
  EXPECT_EQ(bench.Interrupt(), 130);
  const std::string out = ReadAll(beside / "out");
  EXPECT_THAT(out, HasSubstr("\"bench\":\"" + GetParam().words[0] + "\""));
  EXPECT_THAT(out, HasSubstr("\"" + std::string(GetParam().key) + "\":"));
  if (GetParam().appends) {
    EXPECT_THAT(out, Not(HasSubstr("\"" + std::string(GetParam().key) + "\":0.000000")));
  }
  EXPECT_EQ(BenchFolder(dir.path()), "");
}

INSTANTIATE_TEST_SUITE_P(
    Every, Interrupt,
    ::testing::Values(Bench{.words = {"wal", "--servers", "10", "--wal-max-size-bytes", "1MiB"}},
                      Bench{
                          .words = {"wal", "--servers", "10", "--rate", "1000", "--writers", "3"}},
                      Bench{.words = {"log", "--servers", "10", "--wal-max-size-bytes", "1MiB"}},
                      Bench{.words = {"read", "--hot", "--servers", "10", "--entries", "500"},
                            .appends = false,
                            .key = "ns_per_read"},
                      Bench{.words = {"disk"}, .appends = false, .key = "syncs_per_s"}),
    [](const ::testing::TestParamInfo<Bench>& tested) {
      const bool paced = tested.param.words.size() > 3 && tested.param.words[3] == "--rate";
      return tested.param.words[0] + (paced ? "_paced" : "");
    });

}  // namespace
}  // namespace duramen::tools
