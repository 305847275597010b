// The crash-point explorer with the figures that it must reach: W6, W7, W10, W12-W15, W23-W25,
// W27-W29 and M6 are states among those it visits.
#include "tests/explorer/explorer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "tests/explorer/report.h"

namespace duramen::explorer {
namespace {

constexpr std::uint64_t kStates = 200'000;
constexpr std::uint64_t kDoubles = 20'000;
constexpr std::uint64_t kStatesAtASite = 100;  // of all classes of file together
constexpr std::uint64_t kStatesAtAClass = 20;
constexpr std::uint64_t kStatesPerRun = 450;
constexpr std::uint64_t kRollsPerWorkload = 3;

bool Enough(const Explorer& explorer) {
  const Tally& tally = explorer.tally();
  return tally.distinct >= kStates && tally.doubles >= kDoubles &&
         explorer.FewestAtASite() >= kStatesAtAClass;
}

TEST(CrashPointExplorer, NothingAcknowledgedIsLostInAnyOfTwoHundredThousandStates) {
  Explorer explorer(1);
  const auto start = std::chrono::steady_clock::now();
  while (!Enough(explorer) && explorer.tally().distinct < 2 * kStates) {
    if (explorer.RunNext(kStatesPerRun)) continue;
    FAIL() << explorer.failure()->ToString();
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  const Tally& tally = explorer.tally();
  std::printf("%s%s", Summary(tally, took.count()).c_str(), SiteTableText(explorer).c_str());
  EXPECT_GE(tally.distinct, kStates);
  EXPECT_GE(tally.doubles, kDoubles);
  for (std::uint32_t i = 0; i < kWorkloadCount; ++i) {
    SCOPED_TRACE(WorkloadOf(i).name);
    EXPECT_GE(tally.by_workload[i] * 40, tally.distinct);
    EXPECT_GE(tally.rolls[i], kRollsPerWorkload);
  }
  for (const std::uint64_t states : tally.by_crash) EXPECT_GT(states, tally.distinct / 20);
  EXPECT_GE(explorer.FewestAtASite(), kStatesAtAClass);
  // Not only the sites that happened to be reached: every line that calls the port.
  const std::vector<std::string> lines = SourceLinesOf(explorer.sites());
  const std::vector<SourceCall> calls =
      CallsInSource(DURAMEN_SOURCE_DIR, {"wal", "segments", "meta", "log"});
  EXPECT_GT(calls.size(), 20u);
  for (const SourceCall& call : calls) {
    if (OfARepair(call)) continue;  // repair_sweep_test
    // Written by a process that is dying of a CHECK, and by the start after it (B9).
    if (call.file == "log/attempt_file.cc" && call.text.find("(void)file_->") != call.text.npos) {
      continue;
    }
    EXPECT_GE(StatesAt(call, tally.by_site, lines), kStatesAtASite)
        << call.file << ":" << call.line << ": " << call.text;
  }
}

// The same id is the same state, or no failure could be replayed.
TEST(CrashPointExplorer, ARunIsTheSameEveryTime) {
  for (const std::uint64_t seed : {3, 4}) {
    Explorer one(seed);
    Explorer two(seed);
    ASSERT_TRUE(one.RunNext(200)) << one.failure()->ToString();
    ASSERT_TRUE(two.RunNext(200)) << two.failure()->ToString();
    EXPECT_EQ(one.tally().distinct, two.tally().distinct);
    EXPECT_EQ(one.tally().judged, two.tally().judged);
    EXPECT_EQ(one.tally().doubles, two.tally().doubles);
  }
}

}  // namespace
}  // namespace duramen::explorer
