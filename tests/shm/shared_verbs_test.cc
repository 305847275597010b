// `demo --shared-wal` and `bench wal --shared`, as processes.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tests/base/temp_dir.h"
#include "tests/shm/process.h"

namespace duramen::shm::testing {
namespace {

using Json = nlohmann::json;

class SharedVerbs : public ::testing::Test {
 protected:
  /// The last line that it prints.
  Json LastOf(const std::vector<std::string>& arguments, int exit) {
    std::vector<std::string> command = {DURAMEN_BINARY};
    command.insert(command.end(), arguments.begin(), arguments.end());
    Process process(command, dir_ / "errors");
    std::string last;
    while (const std::optional<std::string> line = process.Line()) last = *line;
    EXPECT_EQ(process.Wait(), exit);
    return Json::parse(last, nullptr, false);
  }
  duramen::testing::TempDir dir_;
};

TEST_F(SharedVerbs, SW1_TheDemoComparesWhatCameThroughKillsAndCountsSyncs) {
  const Json told = LastOf(
      {"demo", "--shared-wal", "--dir", dir_ / "demo", "--servers", "40", "--format", "jsonl"}, 0);
  ASSERT_TRUE(told.is_object());
  EXPECT_EQ(told["good"], true);
  EXPECT_EQ(told["service_kills"], 3);
  EXPECT_EQ(told["wal_kills"], 2);
  EXPECT_GT(told["syncs"], 0);
  EXPECT_GT(told["private_syncs"], 0);
}

TEST_F(SharedVerbs, SW1_TheBenchTellsOfBothWays) {
  const Json told =
      LastOf({"bench", "wal", "--shared", "--clients", "2", "--servers", "8", "--seconds", "1",
              "--dir", dir_ / "bench", "--wal-max-size-bytes", "4MiB", "--json"},
             0);
  ASSERT_TRUE(told.is_object());
  EXPECT_EQ(told["bench"], "wal_shared");
  for (const char* key : {"embedded_entries_per_s", "shared_entries_per_s", "ratio_to_embedded",
                          "one_embedded_p50_us", "one_shared_p50_us"}) {
    EXPECT_GT(told[key], 0) << key;
  }
}

TEST_F(SharedVerbs, SW4_TheBenchOfUpgradesEndsWithoutAnErrorOfAClient) {
  const Json told =
      LastOf({"bench", "wal", "--shared", "--takeover", "2", "--clients", "2", "--servers", "8",
              "--seconds", "1", "--dir", dir_ / "bench", "--wal-max-size-bytes", "4MiB", "--json"},
             0);
  ASSERT_TRUE(told.is_object());
  EXPECT_EQ(told["bench"], "wal_takeover");
  EXPECT_EQ(told["upgrades"], 2);
  for (const char* key : {"entries_per_s", "longest_pause_ms"}) EXPECT_GT(told[key], 0) << key;
}

TEST_F(SharedVerbs, TL4_SW1_AnOperatorSeesEachClient) {
  Process wal({DURAMEN_BINARY, "wal", "--data-dir", dir_ / "data", "--socket", dir_ / "socket",
               "--client-logs", "20"},
              dir_ / "errors");
  ASSERT_TRUE(wal.Line().has_value());
  std::ofstream(dir_ / "input") << "one\ntwo\nthree\n";
  Process load({DURAMEN_BINARY, "load", "unix:" + (dir_ / "socket"), dir_ / "input", "--servers",
                "3", "--json"},
               dir_ / "errors");
  const auto pid = static_cast<std::uint64_t>(load.pid());
  EXPECT_EQ(load.Wait(), 0);
  // It has said that it leaves; that it is gone is heard a moment later.
  Json row;
  while (!row.is_object() || row["state"] != "left") {
    Process stat({DURAMEN_BINARY, "stat", dir_ / "data", "--live", "--by", "client", "--format",
                  "jsonl"},
                 dir_ / "errors");
    row = Json::parse(stat.Line().value(), nullptr, false);
    EXPECT_EQ(stat.Wait(), 0);
  }
  EXPECT_EQ(row["client"], 1);
  EXPECT_EQ(row["pid"], pid);
  EXPECT_EQ(row["uid"], ::geteuid());
  EXPECT_EQ(row["logs"], 3);
  EXPECT_EQ(row["logs_max"], 20);
  EXPECT_EQ(row["writers"], 0) << "it has given them back";
  EXPECT_EQ(row["records"], 6) << "a name and a line of each log";
  EXPECT_GT(row["bytes"], 0);
  EXPECT_GT(row["memory"], 0);
  EXPECT_EQ(row["refused"], 0);
  EXPECT_TRUE(row["reason"].is_null());
  EXPECT_EQ(wal.End(SIGTERM), 0);
}

TEST_F(SharedVerbs, SW1_TheFlushOfAWalProcessIsNotMeasuredFromAClient) {
  Process wal({DURAMEN_BINARY, "wal", "--data-dir", dir_ / "data", "--socket", dir_ / "socket"},
              dir_ / "errors");
  ASSERT_TRUE(wal.Line().has_value());
  (void)LastOf({"bench", "log", "--wal-process", "unix:" + (dir_ / "socket"), "--seconds", "1"}, 2);
  EXPECT_EQ(wal.End(SIGTERM), 0);
}

}  // namespace
}  // namespace duramen::shm::testing
