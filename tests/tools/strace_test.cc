// The promise, seen from outside the process: `load --acks` runs under strace, and the trace alone
// must show, for every acknowledged line, that
//   - its bytes were written to a WAL file,
//   - after that write had returned, a sync of that very file returned success,
//   - the directory was synced after that file had got its name in it,
// all before the write of its acknowledgement to standard output began.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <map>
#include <optional>
#include <set>

#include "tests/tools/files.h"
#include "tools/child.h"

namespace duramen::tools {
namespace {

using testing::NumberedLines;
using testing::ReadAll;
using testing::TempDir;
using testing::WriteAll;

/// One system call. `begin` and `end` are places in the trace: its own line, or those of
/// "<unfinished ...>" and "<... resumed>".
struct Call {
  std::string name;
  std::string arguments;
  long result = -1;
  std::size_t begin = 0;
  std::size_t end = 0;
};

/// "<... name resumed>rest" -> name and rest.
bool SplitResumed(const std::string& text, std::string& name, std::string& rest) {
  if (text.rfind("<... ", 0) != 0) return false;
  const std::size_t end = text.find(" resumed>");
  if (end == std::string::npos) return false;
  name = text.substr(5, end - 5);
  rest = text.substr(end + 9);
  return true;
}

void AddCall(std::vector<Call>& calls, const std::string& text, std::size_t begin,
             std::size_t end) {
  const std::size_t open = text.find('(');
  const std::size_t equals = text.rfind(") = ");
  const std::size_t late_equals = text.rfind(" = ");
  if (open == std::string::npos || late_equals == std::string::npos) return;
  const std::size_t close = equals == std::string::npos ? late_equals : equals;
  calls.push_back({text.substr(0, open), text.substr(open + 1, close - open - 1),
                   std::strtol(text.c_str() + late_equals + 3, nullptr, 10), begin, end});
}

/// Calls in the order in which they ended.
std::vector<Call> ParseTrace(const std::string& trace) {
  std::vector<Call> calls;
  std::map<std::string, std::pair<std::string, std::size_t>> unfinished;  // pid -> text, line
  std::size_t line_number = 0;
  for (std::size_t at = 0; at < trace.size(); ++line_number) {
    const std::size_t end = std::min(trace.find('\n', at), trace.size());
    const std::string line = trace.substr(at, end - at);
    at = end + 1;
    const std::size_t blank = line.find(' ');
    if (blank == std::string::npos) continue;
    const std::string pid = line.substr(0, blank);
    const std::string text = line.substr(line.find_first_not_of(' ', blank));
    const std::size_t cut = text.find(" <unfinished ...>");
    std::string name;
    std::string rest;
    if (cut != std::string::npos) {
      unfinished[pid] = {text.substr(0, cut), line_number};
    } else if (SplitResumed(text, name, rest)) {
      const auto found = unfinished.find(pid);
      if (found == unfinished.end()) continue;
      AddCall(calls, found->second.first + rest, found->second.second, line_number);
      unfinished.erase(found);
    } else {
      AddCall(calls, text, line_number, line_number);
    }
  }
  return calls;
}

/// As strace -xx prints it.
std::string HexEscaped(const std::string& text) {
  std::string out;
  for (const char byte : text) {
    char digits[5];
    std::snprintf(digits, sizeof digits, "\\x%02x", static_cast<unsigned>(byte) & 0xFF);
    out += digits;
  }
  return out;
}

std::string Unescaped(const std::string& hex) {
  std::string out;
  for (std::size_t at = hex.find("\\x"); at != std::string::npos; at = hex.find("\\x", at + 4)) {
    out.push_back(static_cast<char>(std::strtol(hex.substr(at + 2, 2).c_str(), nullptr, 16)));
  }
  return out;
}

/// The path in "3<\x2f\x74...>, ..." of the first argument.
std::string PathOf(const Call& call) {
  const std::size_t open = call.arguments.find('<');
  const std::size_t close = call.arguments.find('>');
  if (open == std::string::npos || close == std::string::npos) return "";
  return Unescaped(call.arguments.substr(open + 1, close - open - 1));
}

class Trace {
 public:
  explicit Trace(std::vector<Call> calls) : calls_(std::move(calls)) {}

  /// Why the acknowledgement at `ack` is not covered; empty when it is.
  std::string Uncovered(const std::string& payload, const Call& ack) const {
    const std::string hex = HexEscaped(payload);
    std::string why = "its bytes were not written to a WAL file before the acknowledgement";
    for (const Call& write : calls_) {
      if (write.end >= ack.begin) break;
      const bool writes = write.name == "pwrite64" || write.name == "pwritev" ||
                          write.name == "pwritev2" || write.name == "write";
      const std::string path = PathOf(write);
      if (!writes || write.result <= 0 || path.find(".wal") == std::string::npos) continue;
      if (write.arguments.find(hex) == std::string::npos) continue;
      if (!Synced(path, write.end, ack.begin)) {
        why = "no successful sync of " + path + " after the write";
      } else if (!Named(path, ack.begin)) {
        why = "no successful sync of the directory of " + path + " after it was named";
      } else {
        return "";
      }
    }
    return why;
  }

  std::vector<std::pair<std::uint64_t, const Call*>> Acks() const {
    std::vector<std::pair<std::uint64_t, const Call*>> acks;
    for (const Call& call : calls_) {
      if (call.name != "write" || call.arguments.rfind("1<", 0) != 0) continue;
      const std::string text = Unescaped(call.arguments.substr(call.arguments.find('>') + 1));
      for (std::size_t at = 0; text.compare(at, 4, "ack ") == 0; at = text.find('\n', at) + 1) {
        acks.emplace_back(std::strtoull(text.c_str() + at + 4, nullptr, 10), &call);
        if (text.find('\n', at) == std::string::npos) break;
      }
    }
    return acks;
  }

  std::size_t CountOf(const std::string& name) const {
    return static_cast<std::size_t>(std::count_if(
        calls_.begin(), calls_.end(), [&](const Call& call) { return call.name == name; }));
  }

 private:
  bool Synced(const std::string& path, std::size_t after, std::size_t before) const {
    return std::any_of(calls_.begin(), calls_.end(), [&](const Call& call) {
      const bool syncs = call.name == "fdatasync" || call.name == "fsync";
      return syncs && call.result == 0 && call.begin > after && call.end < before &&
             PathOf(call) == path;
    });
  }

  /// After the last call that made or renamed `path`, its directory was synced.
  bool Named(const std::string& path, std::size_t before) const {
    const std::size_t slash = path.rfind('/');
    const std::string name = HexEscaped(path.substr(slash + 1));
    std::optional<std::size_t> named;
    for (const Call& call : calls_) {
      if (call.end >= before) break;
      const bool makes =
          (call.name == "openat" && call.arguments.find("O_CREAT") != std::string::npos) ||
          call.name.rfind("rename", 0) == 0 || call.name.rfind("link", 0) == 0;
      if (makes && call.result >= 0 && call.arguments.find(name) != std::string::npos) {
        named = call.end;
      }
    }
    return named && Synced(path.substr(0, slash), *named, before);
  }

  std::vector<Call> calls_;
};

class Quiet final : public Child::Listener {
 public:
  void OnOut(std::string_view) override {}
  void OnErr(std::string_view line) override { err_.append(line).push_back('\n'); }
  const std::string& err() const { return err_; }

 private:
  std::string err_;
};

constexpr std::uint64_t kLines = 400;

class Strace : public ::testing::Test {
 protected:
  /// Runs `load` under strace; the trace is empty, and the test failed, where that is not possible.
  Trace Run(const std::vector<std::string>& more) {
    text_ = NumberedLines(kLines);
    WriteAll(dir_ / "input", text_);
    std::vector<std::string> command = {
        // A leak check cannot be traced; this is for builds with the address sanitizer.
        "/usr/bin/strace",
        "-E",
        "LSAN_OPTIONS=detect_leaks=0",
        "-f",
        "-y",
        "-xx",
        "-s",
        "1048576",
        "-o",
        dir_ / "trace",
        "-e",
        "trace=openat,write,pwrite64,pwritev,pwritev2,fdatasync,fsync,rename,renameat,renameat2,"
        "link,linkat",
        DURAMEN_BINARY,
        "load",
        dir_ / "data",
        dir_ / "input",
        "--servers",
        "7",
        "--acks",
        "--in-flight",
        "40",
        "--wal-max-size-bytes",
        "32KiB",
        "--wal-max-files",
        "256"};
    command.insert(command.end(), more.begin(), more.end());
    Result<Child> child = Child::Start(command);
    if (!child.ok()) {
      ADD_FAILURE() << "strace cannot be started (" << child.error().message
                    << "): apt-get install strace";
      return Trace({});
    }
    Quiet listener;
    const Result<Child::Exit> exit = child->Run(listener);
    EXPECT_TRUE(exit.ok() && exit->code == 0)
        << "strace could not trace the load; ptrace must be permitted here (in a container: "
           "--cap-add=SYS_PTRACE): "
        << listener.err();
    return Trace(ParseTrace(ReadAll(dir_ / "trace")));
  }

  std::string PayloadOf(std::uint64_t line) const {
    std::size_t at = 0;
    for (std::uint64_t i = 1; i < line; ++i) at = text_.find('\n', at) + 1;
    const std::string number = std::to_string(line);
    return std::string(12 - number.size(), '0') + number + " " +
           text_.substr(at, text_.find('\n', at) - at);
  }

  TempDir dir_;
  std::string text_;
};

TEST_F(Strace, PW9_EveryAcknowledgementFollowsTheSyncsThatItNeeds) {
  const Trace trace = Run({});
  const auto acks = trace.Acks();
  ASSERT_EQ(acks.size(), kLines) << "every line is acknowledged once";
  std::set<std::uint64_t> seen;
  for (const auto& [line, call] : acks) {
    EXPECT_TRUE(seen.insert(line).second) << line;
    const std::string uncovered = trace.Uncovered(PayloadOf(line), *call);
    ASSERT_EQ(uncovered, "") << "line " << line;
  }
  EXPECT_GE(trace.CountOf("fdatasync"), 8u) << "many batches, or the test shows little";
}

TEST_F(Strace, PW9_FsyncIsSeenWhereItIsAskedFor) {
  const Trace trace = Run({"--sync", "fsync"});
  const auto acks = trace.Acks();
  ASSERT_EQ(acks.size(), kLines);
  for (const auto& [line, call] : acks) {
    ASSERT_EQ(trace.Uncovered(PayloadOf(line), *call), "") << "line " << line;
  }
}

// The test of the test: without syncs the same look at the trace must find every line uncovered.
TEST_F(Strace, PW9_AWalThatDoesNotSyncIsSeenThrough) {
  const Trace trace = Run({"--sync", "none"});
  const auto acks = trace.Acks();
  ASSERT_EQ(acks.size(), kLines);
  std::uint64_t uncovered = 0;
  for (const auto& [line, call] : acks) {
    if (!trace.Uncovered(PayloadOf(line), *call).empty()) ++uncovered;
  }
  EXPECT_GT(uncovered, kLines / 2);
}

}  // namespace
}  // namespace duramen::tools
