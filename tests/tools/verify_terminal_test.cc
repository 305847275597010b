// `verify` of the binary itself: what it shows on a terminal, what Ctrl-C leaves, how much it
// reads. And what Ctrl-C leaves of the other readers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "tests/tools/files.h"
#include "tests/tools/flushed_store.h"
#include "tools/load.h"

namespace duramen::tools {
namespace {

using testing::Fingerprint;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::NumberedLines;
using testing::ReadAll;
using testing::WriteAll;

struct Shown {
  int exit = -1;
  std::string text;  // both streams, as a terminal gets them
};

/// Runs a command whose streams are a terminal.
Shown OnATerminal(const std::vector<std::string>& command) {
  std::vector<char*> arguments;
  for (const std::string& argument : command) {
    arguments.push_back(const_cast<char*>(argument.c_str()));
  }
  arguments.push_back(nullptr);
  int terminal = -1;
  const pid_t pid = ::forkpty(&terminal, nullptr, nullptr, nullptr);
  if (pid == 0) {
    ::execv(arguments[0], arguments.data());
    ::_exit(127);
  }
  Shown shown;
  if (pid < 0) return shown;
  char buffer[4096];
  while (true) {
    const ssize_t got = ::read(terminal, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;  // EIO: the child has closed its side.
    shown.text.append(buffer, static_cast<std::size_t>(got));
  }
  ::close(terminal);
  int status = 0;
  if (::waitpid(pid, &status, 0) == pid && WIFEXITED(status)) shown.exit = WEXITSTATUS(status);
  return shown;
}

class VerifyOnATerminal : public testing::FlushedStore {
 protected:
  void SetUp() override { ASSERT_NO_FATAL_FAILURE(MakeFlushed(20'000, 3)); }

  /// Under strace, whose options say what is traced and what is done to it.
  Shown Traced(const std::vector<std::string>& options) const {
    return Traced(options, {"verify", data_});
  }
  Shown Traced(const std::vector<std::string>& options,
               const std::vector<std::string>& verb) const {
    // A leak check cannot be traced; this is for builds with the address sanitizer.
    std::vector<std::string> command = {
        "/usr/bin/strace", "-E", "LSAN_OPTIONS=detect_leaks=0", "-qq", "-y", "-o", dir_ / "trace"};
    command.insert(command.end(), options.begin(), options.end());
    command.push_back(DURAMEN_BINARY);
    command.insert(command.end(), verb.begin(), verb.end());
    return OnATerminal(command);
  }

  struct Read {
    std::size_t number = 0;  // counted from 1 among all of the process
    bool first_wal_file = false;
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
  };
  /// Of files of the store.
  std::vector<Read> ReadsInTrace() const {
    std::vector<Read> reads;
    const std::string trace = ReadAll(dir_ / "trace");
    std::size_t number = 0;
    for (std::size_t at = 0; at < trace.size(); at = trace.find('\n', at) + 1) {
      const std::string line = trace.substr(at, trace.find('\n', at) - at);
      const std::size_t close = line.rfind(") = ");
      if (line.find("pread64(") == std::string::npos || close == std::string::npos) continue;
      ++number;
      if (line.find(data_) == std::string::npos) continue;
      const std::uint64_t begin = std::stoull(line.substr(line.rfind(", ", close) + 2));
      const std::uint64_t end = begin + std::stoull(line.substr(close + 4));
      reads.push_back({number, line.find("01.wal>") != std::string::npos, begin, end});
    }
    return reads;
  }
};

TEST_F(VerifyOnATerminal, TL2_ShowsWhatItReadsTheRateAndTheTimeLeft) {
  const Shown shown = OnATerminal({DURAMEN_BINARY, "verify", data_});
  EXPECT_EQ(shown.exit, 0) << shown.text;
  for (const char* phase : {"WAL files: ", "replay: ", "records: ", "segments: "}) {
    EXPECT_THAT(shown.text, HasSubstr("\r\033[K" + std::string(phase)));
  }
  EXPECT_THAT(shown.text, HasSubstr("B/s, "));
  EXPECT_THAT(shown.text, HasSubstr(" s left"));
}

// At each of many reads, from the first header to the last segment.
TEST_F(VerifyOnATerminal, TL2_CtrlCPrintsWhatWasSeenAndExits130) {
  ASSERT_EQ(Traced({"-e", "trace=pread64"}).exit, 0)
      << "strace has to be installed, and ptrace permitted (in a container: --cap-add=SYS_PTRACE)";
  const std::vector<Read> reads = ReadsInTrace();
  ASSERT_GT(reads.size(), 40u);
  const auto before = Fingerprint(data_);
  for (std::size_t i = 0; i + 2 < reads.size(); i += reads.size() / 20) {
    SCOPED_TRACE(i);
    const Shown shown =
        Traced({"-e", "trace=pread64", "-e", "signal=none", "-e",
                "inject=pread64:signal=SIGINT:when=" + std::to_string(reads[i].number)});
    EXPECT_EQ(shown.exit, 130) << shown.text;
    EXPECT_THAT(shown.text, HasSubstr("interrupted, and not all of it was read; so far clean"));
    EXPECT_THAT(shown.text, Not(HasSubstr("damage")));
  }
  EXPECT_EQ(Fingerprint(data_), before);
}

TEST_F(VerifyOnATerminal, TL4_CtrlCEndsEveryReaderWithWhatItHas) {
  const std::vector<std::vector<std::string>> verbs = {{"stat", data_},
                                                       {"stat", data_, "--by", "server", "--json"},
                                                       {"names", data_},
                                                       {"du", data_},
                                                       {"why-retained", data_, "load-00001"},
                                                       {"dump", data_, "--json"},
                                                       {"dump", data_, "--stats"}};
  for (const std::vector<std::string>& verb : verbs) {
    SCOPED_TRACE(::testing::PrintToString(verb));
    ASSERT_EQ(Traced({"-e", "trace=pread64"}, verb).exit, 0);
    const std::vector<Read> reads = ReadsInTrace();
    ASSERT_GT(reads.size(), 10u);
    for (const std::size_t at : {std::size_t{0}, reads.size() / 2, reads.size() * 3 / 4}) {
      SCOPED_TRACE(at);
      const Shown shown =
          Traced({"-e", "trace=pread64", "-e", "signal=none", "-e",
                  "inject=pread64:signal=SIGINT:when=" + std::to_string(reads[at].number)},
                 verb);
      EXPECT_EQ(shown.exit, 130) << shown.text;
      EXPECT_THAT(shown.text, HasSubstr("interrupted, and not all of it was read"));
      EXPECT_THAT(shown.text, Not(HasSubstr("damage")));
      EXPECT_THAT(shown.text, Not(HasSubstr("skipped: ")));
      const bool told = shown.text.find("\"summary\":{\"v\":1") != std::string::npos;
      EXPECT_EQ(told, verb.back() == "--json") << shown.text;
    }
  }
}

// Scan, replay, records: how often a byte is read decides how fast that is.
TEST_F(VerifyOnATerminal, TL2_AByteOfTheWalIsReadThreeTimes) {
  std::filesystem::remove_all(data_);
  WriteAll(dir_ / "input", NumberedLines(40'000));
  LoadOptions load{.dir = data_, .file = dir_ / "input", .servers = 3};
  load.settings.flags = {{"wal_max_size_bytes", "16MiB"}};
  Terminal terminal{Terminal::Captured{}};
  ASSERT_EQ(RunLoad(load, terminal), ExitCode::kClean) << terminal.captured_err();
  ASSERT_EQ(Traced({"-e", "trace=pread64"}).exit, 0);
  // A batch that does not end in the window is read again with the next one, so one byte tells
  // little; of several at least one is read as often as there are passes.
  std::size_t fewest = SIZE_MAX;
  for (std::uint64_t byte = 1'100'000; byte < 2'500'000; byte += 200'000) {
    std::size_t times = 0;
    for (const Read& read : ReadsInTrace()) {
      times += read.first_wal_file && read.begin <= byte && byte < read.end ? 1 : 0;
    }
    fewest = std::min(fewest, times);
  }
  EXPECT_EQ(fewest, 3u);
}

}  // namespace
}  // namespace duramen::tools
