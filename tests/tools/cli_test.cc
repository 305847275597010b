// The binary itself: exit codes, streams, and help that helps.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/tools/binary.h"
#include "tests/tools/files.h"

namespace duramen::tools {
namespace {

using ::testing::HasSubstr;
using testing::NumberedLines;
using testing::ReadAll;
using testing::TempDir;
using testing::WriteAll;

using Answer = testing::BinaryAnswer;

Answer Duramen(const std::vector<std::string>& arguments) {
  return testing::RunBinary(DURAMEN_BINARY, arguments);
}

TEST(Cli, TL9_HelpIsAnAnswerAndHasExamples) {
  const Answer help = Duramen({"--help"});
  EXPECT_EQ(help.exit, 0);
  EXPECT_THAT(help.out, HasSubstr("Examples:"));
  for (const char* verb : {"dump", "verify", "stat", "names", "check-history", "load", "tune",
                           "demo"}) {
    const Answer answer = Duramen({verb, "--help"});
    EXPECT_EQ(answer.exit, 0) << verb;
    EXPECT_THAT(answer.out, HasSubstr("Examples:")) << verb;
    EXPECT_THAT(help.out, HasSubstr(verb));
  }
  EXPECT_EQ(Duramen({"version"}).exit, 0);
  EXPECT_THAT(Duramen({"--version"}).out, HasSubstr("WAL format 2"));
}

TEST(Cli, T4_UsageErrorsAreTwoAndSayWhatToType) {
  const std::vector<std::vector<std::string>> kWrong = {{},
                                                        {"dmup"},
                                                        {"dump"},
                                                        {"dump", "x", "--format", "xml"},
                                                        {"dump", "x", "--from", "-3"},
                                                        {"load", "x"},
                                                        {"load", "x", "--servers", "many"},
                                                        {"verify", "x", "--nonsense"},
                                                        {"verify", "x", "--format", "raw"},
                                                        {"stat", "x", "--format", "raw"},
                                                        {"repair", "x", "--undo", ""},
                                                        {"check-history"},
                                                        {"check-history", "x", "--model", "queue"},
                                                        {"config"},
                                                        {"config", "show", "--wal-max-files", "1"},
                                                        {"bench", "disk", "--seconds", "0"}};
  for (const std::vector<std::string>& arguments : kWrong) {
    const Answer answer = Duramen(arguments);
    EXPECT_EQ(answer.exit, 2) << ::testing::PrintToString(arguments) << answer.err;
    EXPECT_EQ(answer.out, "");
    EXPECT_THAT(answer.err, HasSubstr("error: "));
    EXPECT_THAT(answer.err, HasSubstr("hint: ")) << ::testing::PrintToString(arguments);
  }
}

TEST(Cli, TL9_DataOnStandardOutputTheRestOnStandardError) {
  const TempDir dir;
  WriteAll(dir / "input", NumberedLines(50));
  const Answer load = Duramen({"load", dir / "data", dir / "input", "--servers", "3", "--json",
                               "--wal-max-size-bytes", "64KiB"});
  ASSERT_EQ(load.exit, 0) << load.err;
  EXPECT_THAT(load.out, HasSubstr(R"({"v":1,"kind":"load","lines":50,)"));
  const Answer dump = Duramen({"dump", dir / "data", "--format", "csv", "-o", dir / "rows.csv"});
  EXPECT_EQ(dump.exit, 0) << dump.err;
  EXPECT_EQ(dump.out, "");
  EXPECT_THAT(ReadAll(dir / "rows.csv"), HasSubstr("line 50: "));
  EXPECT_EQ(Duramen({"verify", dir / "data"}).exit, 0);
  // A result that cannot be written whole is not a result.
  const Answer full = Duramen({"dump", dir / "data", "-o", "/dev/full"});
  EXPECT_EQ(full.exit, 5) << full.err;
}

TEST(Cli, TL9_JsonIsNeverIgnored) {
  const TempDir dir;
  WriteAll(dir / "duramen.toml", "wal_max_files = 12\n");
  const Answer version = Duramen({"version", "--json"});
  EXPECT_EQ(version.exit, 0);
  EXPECT_TRUE(version.out.starts_with(R"({"v":1,"kind":"version","version":")")) << version.out;
  EXPECT_THAT(version.out, HasSubstr(R"(,"wal_format":2})"));
  const Answer check = Duramen({"config", "check", dir / "duramen.toml", "--json"});
  EXPECT_EQ(check.exit, 0);
  EXPECT_TRUE(check.out.starts_with(R"({"v":1,"kind":"config_check","file":")")) << check.out;
  EXPECT_THAT(check.out, HasSubstr(R"("settings":1,"valid":true})"));
}

/// Starts a second load as soon as the first one is at work, then ends the first.
class SecondOpener final : public Child::Listener {
 public:
  explicit SecondOpener(std::string data_dir) : data_dir_(std::move(data_dir)) {}
  void OnOut(std::string_view) override {}
  void OnErr(std::string_view line) override {
    if (!line.starts_with("posted ") || second_.exit >= 0) return;
    second_ = Duramen({"load", data_dir_, "/dev/null", "--servers", "1", "--resume"});
  }
  bool WantsKill() override { return second_.exit >= 0; }
  const Answer& second() const { return second_; }

 private:
  std::string data_dir_;
  Answer second_;
};

TEST(Cli, T4_ASecondOpenerIsThree) {
  const TempDir dir;
  WriteAll(dir / "input", NumberedLines(100'000));
  Result<Child> first =
      Child::Start({DURAMEN_BINARY, "load", dir / "data", dir / "input", "--servers", "1",
                    "--events", "--wal-max-size-bytes", "1MiB", "--wal-max-files", "1000"});
  ASSERT_TRUE(first.ok());
  SecondOpener listener(dir / "data");
  ASSERT_TRUE(first->Run(listener).ok());
  EXPECT_EQ(listener.second().exit, 3) << listener.second().err;
  EXPECT_THAT(listener.second().err, HasSubstr("hint: "));
}

TEST(Cli, TL5_BenchesPrintTheKeysOfTheContract) {
  const TempDir dir;
  const Answer disk = Duramen({"bench", "disk", "--seconds", "1", "--dir", dir.path(), "--json"});
  ASSERT_EQ(disk.exit, 0) << disk.err;
  for (const char* key :
       {"bench", "seed", "commit", "seconds", "sync_method", "entry_bytes", "cpu_user_s",
        "cpu_sys_s", "syncs_per_s", "bytes_per_s", "p50_us", "p99_us", "p999_us"}) {
    EXPECT_THAT(disk.out, HasSubstr("\"" + std::string(key) + "\":")) << key;
  }
  const Answer wal =
      Duramen({"bench", "wal", "--seconds", "1", "--servers", "10", "--dir", dir.path(), "--json",
               "--wal-max-size-bytes", "1MiB", "--sync", "none"});
  ASSERT_EQ(wal.exit, 0) << wal.err;
  for (const char* key :
       {"entries_per_s", "wal_bytes_per_s", "entries_per_batch", "disk_bytes_per_s",
        "ratio_to_disk", "ratio_spread", "device_wait_share"}) {
    EXPECT_THAT(wal.out, HasSubstr("\"" + std::string(key) + "\":")) << key;
  }
  const Answer paced =
      Duramen({"bench", "wal", "--seconds", "1", "--servers", "10", "--writers", "5", "--rate",
               "2000", "--dir", dir.path(), "--json", "--wal-max-size-bytes", "1MiB"});
  ASSERT_EQ(paced.exit, 0) << paced.err;
  EXPECT_THAT(paced.out, HasSubstr("\"rate\":2000,"));
  EXPECT_THAT(paced.out, HasSubstr("\"disk_p99_us\":"));
  EXPECT_THAT(paced.out, HasSubstr("\"in_flight\":null,"));
  EXPECT_EQ(Duramen({"bench", "wal", "--rate", "10", "--in-flight", "10"}).exit, 2);
  const Answer recovery = Duramen({"bench", "recovery", "--servers", "50", "--wal-bytes", "1000000",
                                   "--dir", dir.path(), "--json"});
  ASSERT_EQ(recovery.exit, 0) << recovery.err;
  for (const char* key : {"seconds", "bytes_per_s", "servers", "wal_bytes", "entries"}) {
    EXPECT_THAT(recovery.out, HasSubstr("\"" + std::string(key) + "\":")) << key;
  }
  for (const char* from : {"--hot", "--cold"}) {
    const Answer read = Duramen({"bench", "read", from, "--seconds", "1", "--servers", "10",
                                 "--entries", "500", "--dir", dir.path(), "--json"});
    ASSERT_EQ(read.exit, 0) << read.err;
    for (const char* key : {"ns_per_read", "bytes_per_s", "seconds", "reads", "entry_bytes"}) {
      EXPECT_THAT(read.out, HasSubstr("\"" + std::string(key) + "\":")) << key;
    }
  }
  EXPECT_EQ(Duramen({"bench", "read", "--dir", dir.path()}).exit, 2) << "hot or cold";
  EXPECT_TRUE(std::filesystem::is_empty(dir.path())) << "nothing is left behind";
}

TEST(Cli, TL5_TheBenchesOfClustersPrintTheirKeysAndLeaveNothing) {
  const TempDir dir;
  const Answer cluster =
      Duramen({"bench", "cluster", "--members", "3", "--in-process", "--clusters", "4", "--clients",
               "2", "--pipe", "20", "--seconds", "1", "--dir", dir.path(), "--json"});
  ASSERT_EQ(cluster.exit, 0) << cluster.err;
  for (const char* key : {"members", "clusters", "clients", "pipe", "start_s", "commands_per_s",
                          "p50_us", "p99_us", "p999_us", "refused"}) {
    EXPECT_THAT(cluster.out, HasSubstr("\"" + std::string(key) + "\":")) << key;
  }
  const Answer servers = Duramen({"bench", "servers", "--members", "1", "--clusters", "5",
                                  "--seconds", "1", "--dir", dir.path(), "--json"});
  ASSERT_EQ(servers.exit, 0) << servers.err;
  for (const char* key : {"made_s", "opened_s", "elected_s", "start_syncs", "bytes_per_server",
                          "idle_cpu_percent"}) {
    EXPECT_THAT(servers.out, HasSubstr("\"" + std::string(key) + "\":")) << key;
  }
  EXPECT_EQ(Duramen({"bench", "cluster", "--members", "8", "--in-process"}).exit, 2);
  EXPECT_EQ(Duramen({"bench", "servers", "--clusters", "0"}).exit, 2);
  EXPECT_TRUE(std::filesystem::is_empty(dir.path())) << "nothing is left behind";
}

TEST(Cli, TL5_ABenchTakesOneSyncMethodAndSaysWhich) {
  const TempDir dir;
  for (const auto& [flag, setting, value] : {std::tuple{"--sync", "--wal-sync-method", "dsync"},
                                             {"--depth", "--wal-pipeline-depth", "7"}}) {
    const Answer wrong = Duramen({"bench", "wal", "--seconds", "1", "--dir", dir.path(), flag,
                                  flag == std::string("--sync") ? "none" : "3", setting, value});
    EXPECT_EQ(wrong.exit, 2);
    EXPECT_THAT(wrong.err, HasSubstr(std::string(setting) + " is given twice, as '"));
    EXPECT_THAT(wrong.err, HasSubstr("hint: "));
  }
  WriteAll(dir / "input", NumberedLines(3));
  EXPECT_EQ(Duramen({"load", dir / "data", dir / "input", "--servers", "1", "--sync", "none",
                     "--wal-sync-method", "fsync"})
                .exit,
            2);
  EXPECT_FALSE(std::filesystem::exists(dir / "data"));
  std::filesystem::remove(dir / "input");
  for (const char* flag : {"--sync", "--wal-sync-method"}) {
    const Answer wal =
        Duramen({"bench", "wal", "--seconds", "1", "--servers", "1", "--dir", dir.path(),
                 "--wal-max-size-bytes", "1MiB", flag, "none", "--json"});
    EXPECT_EQ(wal.exit, 0) << wal.err;
    EXPECT_THAT(wal.out, HasSubstr("\"sync_method\":\"none\"")) << flag;
  }
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
}

TEST(Cli, TL5_ABenchLeavesNothingInAWalDirectory) {
  const TempDir dir;
  const TempDir wal;
  const TempDir failover;
  for (const TempDir* one : {&wal, &failover}) WriteAll(*one / "theirs", "stays");
  const std::vector<std::string> settings = {"--seconds",    "1",
                                             "--servers",    "2",
                                             "--dir",        dir.path(),
                                             "--wal-dir",    wal.path(),
                                             "--json",       "--wal-max-size-bytes",
                                             "4MiB",         "--sync",
                                             "none",         "--wal-failover-dir",
                                             failover.path()};
  for (const std::vector<std::string>& bench :
       {std::vector<std::string>{"bench", "wal", "--wal-shards", "2"},
        {"bench", "read", "--hot", "--entries", "10"}}) {
    std::vector<std::string> words = bench;
    words.insert(words.end(), settings.begin(), settings.end());
    const Answer answer = Duramen(words);
    EXPECT_EQ(answer.exit, 0) << answer.err;
    EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
    for (const TempDir* one : {&wal, &failover}) {
      EXPECT_EQ(testing::Fingerprint(one->path()).size(), 1u);
      EXPECT_EQ(testing::ReadAll(*one / "theirs"), "stays");
    }
  }
}

TEST(Cli, TL5_AColdReadIsMeasuredWithTheSettingsThatAreGiven) {
  const TempDir dir;
  const auto read = [&](const std::vector<std::string>& settings) {
    std::vector<std::string> words = {"bench",     "read", "--cold",    "--seconds", "1",
                                      "--servers", "10",   "--entries", "500",       "--json",
                                      "--sync",    "none", "--dir",     dir.path()};
    words.insert(words.end(), settings.begin(), settings.end());
    return Duramen(words);
  };
  const Answer raw = read({"--segment-compression", "none"});
  ASSERT_EQ(raw.exit, 0) << raw.err;
  EXPECT_THAT(raw.out, HasSubstr("\"packed_to\":1.0"));
  const Answer packed = read({"--segment-compression", "zstd", "--memory-budget", "256MiB"});
  ASSERT_EQ(packed.exit, 0) << packed.err;
  EXPECT_THAT(packed.out, HasSubstr("\"packed_to\":0."));
  for (const auto& [flag, value] :
       {std::pair{"segment-compression", "lz4"}, {"wal-max-age", "9"}}) {
    const Answer wrong = read({std::string("--") + flag, value});
    EXPECT_EQ(wrong.exit, 2);
    EXPECT_THAT(wrong.err, HasSubstr("hint: "));
  }
}

// More is due than any ring holds; and one entry, at once.
TEST(Cli, TL3_APacedBenchThatFallsBehindGoesOn) {
  const testing::TempDir dir;
  for (const char* rate : {"100000000", "1"}) {
    const Answer paced =
        Duramen({"bench", "wal", "--seconds", "1", "--servers", "1", "--rate", rate, "--dir",
                 dir.path(), "--json", "--wal-max-size-bytes", "1MiB"});
    EXPECT_EQ(paced.exit, 0) << rate << paced.err;
    EXPECT_THAT(paced.out, ::testing::Not(HasSubstr("\"entries_per_s\":0.000000,"))) << rate;
  }
}

}  // namespace
}  // namespace duramen::tools
