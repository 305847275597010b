// SIGKILL on real processes: what was acknowledged is there, from the files alone, after each one.
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "tests/tools/files.h"
#include "tools/kill_loop.h"
#include "tools/text.h"

namespace duramen::tools {
namespace {

using testing::NumberedLines;
using testing::TempDir;
using testing::WriteAll;

TEST(Kill, W13_M6_TwentyRoundsLoseNothingAcknowledged) {
  const TempDir dir;
  const InputText input(NumberedLines(6000));
  WriteAll(dir / "input", input.text());
  const KillLoopOptions options{.program = DURAMEN_BINARY,
                                .dir = dir / "work",
                                .input_path = dir / "input",
                                .servers = 50,
                                .in_flight = 256,
                                .kills = 20,
                                .seed = 1,
                                .load_flags = {"--wal-max-size-bytes", "64KiB", "--wal-max-files",
                                               "4096"}};
  const Result<KillLoopResult> result = RunKillLoop(options, input, nullptr);
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_EQ(result->problem, "");
  EXPECT_GE(result->kills, 20u);
  EXPECT_GT(result->used.rolls, 0u) << "the WAL must have rolled on the way";
  for (const KillRound& round : result->rounds) {
    EXPECT_EQ(round.recovered.find("damaged=yes"), std::string::npos) << round.recovered;
  }
}

/// Kills the child as soon as `path` exists; true when it was still alive then.
bool KillWhenThere(const std::vector<std::string>& arguments, const std::string& path) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  pid_t pid = -1;
  EXPECT_EQ(::posix_spawn(&pid, argv[0], nullptr, nullptr, argv.data(), environ), 0);
  int status = 0;
  while (::access(path.c_str(), F_OK) != 0 && ::waitpid(pid, &status, WNOHANG) == 0) {
    std::this_thread::yield();
  }
  ::kill(pid, SIGKILL);
  ::waitpid(pid, &status, 0);
  return WIFSIGNALED(status);
}

// The moments of a creation: its directory, its lock, its first files, the first file's real name.
TEST(Kill, M6_W22_AKillInTheMiddleOfACreationLeavesAStartableDirectory) {
  const InputText input(NumberedLines(300));
  for (const char* moment : {"", "/LOCK", "/wal", "/wal/IDENTITY", "/SYSTEM",
                             "/wal/0000000000000001.wal", "/wal/0000000000000002.wal"}) {
    for (int repeat = 0; repeat < 3; ++repeat) {
      SCOPED_TRACE(moment);
      const TempDir dir;
      WriteAll(dir / "input", input.text());
      const std::string data = dir / "data";
      const std::vector<std::string> load = {DURAMEN_BINARY, "load", data, dir / "input",
                                             "--servers", "10", "--resume", "-o", "/dev/null",
                                             "--wal-max-size-bytes", "64KiB"};
      (void)KillWhenThere(load, data + moment);
      // A second start, killed too, then one that may live.
      (void)KillWhenThere(load, data + "/wal/0000000000000001.wal");
      const KillLoopOptions options{.program = DURAMEN_BINARY,
                                    .dir = dir / "after",
                                    .input_path = dir / "input",
                                    .servers = 10,
                                    .kills = 0,
                                    .load_flags = {"--wal-max-size-bytes", "64KiB"}};
      std::filesystem::create_directories(dir / "after");
      std::filesystem::rename(data, dir / "after/pass-1");
      const Result<KillLoopResult> result = RunKillLoop(options, input, nullptr);
      ASSERT_TRUE(result.ok()) << result.error().message;
      EXPECT_EQ(result->problem, "");
    }
  }
}

TEST(Kill, TL5_TheDemosHarnessSeesALostLine) {
  const InputText input(NumberedLines(5));
  const auto dumped = [](std::uint64_t line, const std::string& text) {
    const std::string number = std::to_string(line);
    std::string payload = std::string(12 - number.size(), '0') + number + " " + text;
    return R"({"v":1,"kind":"record","record":"entry","data_len":)" +
           std::to_string(payload.size()) + R"(,"data":")" +
           Base64({reinterpret_cast<const std::byte*>(payload.data()), payload.size()}) + "\"}";
  };
  const auto compare = [&](const std::vector<std::string>& rows, std::uint64_t acked) {
    ReadBack lines;
    for (const std::string& row : rows) lines.Add(row);
    return lines.Compare(input, acked);
  };
  std::vector<std::string> rows;
  for (std::uint64_t line : {3, 1, 5, 2, 4})
    rows.push_back(dumped(line, std::string(input.line(line))));
  EXPECT_EQ(compare(rows, 5), "");
  EXPECT_NE(compare({rows.begin(), rows.end() - 1}, 5), "") << "line 4 is missing";
  EXPECT_NE(compare({dumped(1, std::string(input.line(1)))}, 2), "") << "line 2 was acknowledged";
  EXPECT_NE(compare({dumped(1, "other")}, 1), "") << "altered";
  rows.push_back(rows.front());
  EXPECT_NE(compare(rows, 5), "") << "twice";
}

}  // namespace
}  // namespace duramen::tools
