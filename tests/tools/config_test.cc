#include "tools/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/settings.h"
#include "server/settings.h"
#include "tests/tools/answer.h"
#include "tests/tools/files.h"

namespace duramen::tools {
namespace {

using testing::Answer;
using testing::Ask;
using ::testing::HasSubstr;
using testing::TempDir;
using testing::WriteAll;

Answer Show(const SettingSources& sources) {
  return Ask([&](Terminal& terminal) {
    return RunConfigShow(sources, {.format = Format::kCsv}, terminal);
  });
}

Answer Check(const std::string& path) {
  return Ask(
      [&](Terminal& terminal) { return RunConfigCheck({.config_path = path}, {}, terminal); });
}

TEST(Config, CT1_FlagsBeatTheEnvironmentAndThatBeatsTheFile) {
  const TempDir dir;
  WriteAll(dir / "c.toml",
           "wal_max_files = 20\nwal_max_batch_size = 100\nwal_sync_method = \"fsync\"\n");
  const Answer answer =
      Show({.config_path = dir / "c.toml",
            .environment = {{"DURAMEN_WAL_MAX_FILES", "30"}, {"DURAMEN_WAL_SYNC_METHOD", "none"}},
            .flags = {{"wal_sync_method", "datasync"}}});
  EXPECT_EQ(answer.exit, ExitCode::kClean) << answer.err;
  EXPECT_THAT(answer.out, HasSubstr("wal_max_batch_size,100," + (dir / "c.toml") + ":2"));
  EXPECT_THAT(answer.out, HasSubstr("wal_max_files,30,DURAMEN_WAL_MAX_FILES"));
  EXPECT_THAT(answer.out, HasSubstr("wal_sync_method,datasync,--wal-sync-method"));
  EXPECT_THAT(answer.out, HasSubstr("memory_budget,1073741824,default"));
}

TEST(Config, CT1_T4_AnUnknownKeyNamesTheNearest) {
  const TempDir dir;
  WriteAll(dir / "c.toml", "# sizes\nwal_max_size_byts = 1000000\n");
  const Answer answer = Check(dir / "c.toml");
  EXPECT_EQ(answer.exit, ExitCode::kUsage);
  EXPECT_THAT(answer.err, HasSubstr(":2: "));
  EXPECT_THAT(answer.err, HasSubstr("did you mean wal_max_size_bytes?"));
}

TEST(Config, CT1_AWrongValueSaysWhatIsAllowed) {
  const TempDir dir;
  const std::pair<const char*, const char*> kWrong[] = {
      {"wal_max_files = 1", "3 to 65536"},
      {"wal_sync_method = \"sometimes\"", "datasync"},
      {"wal_compute_checksums = false", "always on"},
      {"wal_max_files = 3.5", "neither a text, a whole number"},
      {"[wal]\nmax = 1", "neither a text, a whole number"},
      {"wal_max_files = ", "c.toml:1"},
      {"memory_budget = \"1MiB\"", "must hold"},
  };
  for (const auto& [text, expected] : kWrong) {
    WriteAll(dir / "c.toml", text);
    const Answer answer = Check(dir / "c.toml");
    EXPECT_EQ(answer.exit, ExitCode::kUsage) << text;
    EXPECT_THAT(answer.err, HasSubstr(expected)) << text;
  }
}

TEST(Config, CT1_AGoodFileIsSaidToBeGood) {
  const TempDir dir;
  WriteAll(dir / "c.toml", "wal_max_size_bytes = \"64MiB\"\nmemory_budget = 536870912\n");
  const Answer answer = Check(dir / "c.toml");
  EXPECT_EQ(answer.exit, ExitCode::kClean) << answer.err;
  EXPECT_THAT(answer.out, HasSubstr("2 settings, valid"));
}

TEST(Config, CT1_T4_AFileThatIsNotThere) {
  const TempDir dir;
  const Answer answer = Check(dir / "none.toml");
  EXPECT_EQ(answer.exit, ExitCode::kUnreadable);
  EXPECT_THAT(answer.err, HasSubstr("none.toml"));
}

TEST(Config, CT1_ASlipInTheEnvironmentIsAnErrorAndAStrangerIsNot) {
  const Answer slip = Show({.environment = {{"DURAMEN_WAL_MAX_FILE", "5"}}});
  EXPECT_EQ(slip.exit, ExitCode::kUsage);
  EXPECT_THAT(slip.err, HasSubstr("wal_max_files"));
  const Answer stranger = Show({.environment = {{"DURAMEN_HOME", "/x"}}});
  EXPECT_EQ(stranger.exit, ExitCode::kClean);
  EXPECT_THAT(stranger.err, HasSubstr("DURAMEN_HOME"));
}

TEST(Config, CT1_ExplainKnowsEverySetting) {
  Terminal terminal{Terminal::Captured{}};
  EXPECT_EQ(RunConfigExplain("wal_max_files", {}, terminal), ExitCode::kClean);
  EXPECT_THAT(terminal.captured_out(), HasSubstr("DURAMEN_WAL_MAX_FILES"));
  EXPECT_THAT(terminal.captured_out(), HasSubstr("--wal-max-files"));
  EXPECT_EQ(RunConfigExplain("wal_max_fils", {}, terminal), ExitCode::kUsage);
  EXPECT_THAT(terminal.captured_err(), HasSubstr("duramen config explain wal_max_files"));
}

TEST(Config, CT1_ExplainKnowsASystemsSettingsToo) {
  Terminal terminal{Terminal::Captured{}};
  EXPECT_EQ(RunConfigExplain("heartbeat_interval", {}, terminal), ExitCode::kClean);
  EXPECT_THAT(terminal.captured_out(), HasSubstr("SystemOptions::heartbeat_interval"));
  EXPECT_EQ(RunConfigExplain("heartbeat_intervall", {}, terminal), ExitCode::kUsage);
  EXPECT_THAT(terminal.captured_err(), HasSubstr("duramen config explain heartbeat_interval"));
}

TEST(Config, CT1_ThePageHasEverySetting) {
  const Answer page = Ask([](Terminal& terminal) { return RunConfigPage(terminal); });
  EXPECT_EQ(page.exit, ExitCode::kClean);
  for (const auto settings : {AllSettings(), server::SystemSettings()}) {
    for (const SettingSpec& setting : settings)
      EXPECT_THAT(page.out, HasSubstr("| `" + std::string(setting.name) + "` | "));
  }
}

}  // namespace
}  // namespace duramen::tools
