// SIGKILL on real processes: what was acknowledged is there, from the files alone, after each one.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sstream>
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
  const KillLoopOptions options{
      .program = DURAMEN_BINARY,
      .dir = dir / "work",
      .input_path = dir / "input",
      .servers = 50,
      .in_flight = 256,
      .kills = 20,
      .seed = 1,
      .load_flags = {"--wal-max-size-bytes", "64KiB", "--wal-max-files", "4096"}};
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
      const std::vector<std::string> load = {
          DURAMEN_BINARY, "load", data,        dir / "input",          "--servers", "10",
          "--resume",     "-o",   "/dev/null", "--wal-max-size-bytes", "64KiB"};
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

/// A file below /proc; nothing once its process is gone, which is an error in the middle of a read.
std::string ReadProc(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(4096, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  return text;
}

/// Has `parent` a child that runs `verb`?
bool RunsVerb(pid_t parent, const std::string& verb) {
  const std::string task = std::to_string(parent);
  std::istringstream children(ReadProc("/proc/" + task + "/task/" + task + "/children"));
  for (std::string child; children >> child;) {
    const std::string command = ReadProc("/proc/" + child + "/cmdline");
    if (command.find('\0' + verb + '\0') != std::string::npos) return true;
  }
  return false;
}

/// Ctrl-C as a terminal sends it, to the demo and its children, once one of them runs `verb`.
int InterruptDemoAt(const std::string& verb, const TempDir& dir) {
  const std::string out = dir / "out";
  const std::string work = dir / "work";
  const std::string input = dir / "input";
  const char* const argv[] = {DURAMEN_BINARY, "demo", "--logs",     input.c_str(), "--kills",
                              "20",           "--dir", work.c_str(), nullptr};
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, 1, out.c_str(), O_WRONLY | O_CREAT, 0600);
  ::posix_spawn_file_actions_adddup2(&actions, 1, 2);
  pid_t pid = -1;
  EXPECT_EQ(::posix_spawn(&pid, argv[0], &actions, &attributes, const_cast<char**>(argv), environ),
            0);
  ::posix_spawn_file_actions_destroy(&actions);
  ::posix_spawnattr_destroy(&attributes);
  if (pid <= 0) return -1;
  int status = 0;
  while (!RunsVerb(pid, verb) && ::waitpid(pid, &status, WNOHANG) == 0) std::this_thread::yield();
  ::kill(-pid, SIGINT);
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(Kill, TL5_CtrlCOfTheDemoIsNoLossOfData) {
  for (const char* verb : {"load", "verify", "dump"}) {
    SCOPED_TRACE(verb);
    const TempDir dir;
    WriteAll(dir / "input", NumberedLines(6000));
    EXPECT_EQ(InterruptDemoAt(verb, dir), 130);
    const std::string out = testing::ReadAll(dir / "out");
    EXPECT_NE(out.find("interrupted"), std::string::npos) << out;
    for (const char* alarm : {"missing", "error:", "ended with exit"}) {
      EXPECT_EQ(out.find(alarm), std::string::npos) << out;
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
