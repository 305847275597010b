// What an entry costs between Append and Written: no allocation, no lock and no system call of its
// own. Counted from outside, over a million entries, by append_probe and by strace.
#include <gtest/gtest.h>

#include <cstdio>
#include <string>
#include <vector>

#include "tests/tools/files.h"
#include "tools/child.h"

namespace duramen::tools {
namespace {

using testing::ReadAll;
using testing::TempDir;

class Heard final : public Child::Listener {
 public:
  void OnOut(std::string_view line) override { out.append(line).push_back('\n'); }
  void OnErr(std::string_view line) override { err.append(line).push_back('\n'); }
  std::string out;
  std::string err;
};

/// What the command prints; a failed test where it does not end with 0.
std::string Output(const std::vector<std::string>& command) {
  Result<Child> child = Child::Start(command);
  EXPECT_TRUE(child.ok()) << child.error().message;
  if (!child.ok()) return {};
  Heard heard;
  const Result<Child::Exit> exit = child->Run(heard);
  EXPECT_TRUE(exit.ok() && exit->code == 0) << heard.err;
  return heard.out;
}

TEST(HotPath, PW2_NoAllocationAndNoLockPerEntry) {
  const TempDir dir;
  const std::string said = Output({DURAMEN_APPEND_PROBE, dir / "data"});
  unsigned long long entries = 0;
  unsigned long long allocations = 0;
  unsigned long long locks = 0;
  ASSERT_EQ(std::sscanf(said.c_str(), "entries %llu allocations %llu locks %llu", &entries,
                        &allocations, &locks),
            3)
      << said;
  EXPECT_EQ(entries, 1'000'000u);
  EXPECT_LE(allocations, entries / 1000) << "buffers grow with the largest batch";
  EXPECT_LE(locks, entries / 10) << "a few per batch, and per call";
  EXPECT_GT(locks, 0u) << "they are counted at all";
}

/// Calls in the table that strace -c writes: "% time, seconds, usecs/call, calls, errors, syscall".
unsigned long long TotalCalls(const std::string& table) {
  std::size_t at = 0;
  unsigned long long total = 0;
  while (at < table.size()) {
    const std::size_t end = std::min(table.find('\n', at), table.size());
    const std::string line = table.substr(at, end - at);
    at = end + 1;
    double share = 0;
    double seconds = 0;
    unsigned long long each = 0;
    unsigned long long calls = 0;
    if (line.find("total") != std::string::npos) continue;
    if (std::sscanf(line.c_str(), "%lf %lf %llu %llu", &share, &seconds, &each, &calls) == 4) {
      total += calls;
    }
  }
  return total;
}

TEST(HotPath, PW2_NoSystemCallPerEntry) {
  const TempDir dir;
  (void)Output(
      {"/usr/bin/strace", "-f", "-c", "-o", dir / "table", DURAMEN_APPEND_PROBE, dir / "data"});
  const std::string table = ReadAll(dir / "table");
  const unsigned long long calls = TotalCalls(table);
  EXPECT_GT(calls, 100u) << table;
  EXPECT_LE(calls, 1'000'000u / 20) << table;
}

}  // namespace
}  // namespace duramen::tools
