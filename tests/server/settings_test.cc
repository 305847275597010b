// CT1: the schema of a system's settings, and what a wrong one is told.
#include "server/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <set>

namespace duramen::server {
namespace {

using ::testing::HasSubstr;

TEST(SystemSettings, CT1_TheTableIsWholeAndItsDefaultsAreThoseOfTheStruct) {
  std::set<std::string_view> names;
  for (const SettingSpec& setting : SystemSettings()) {
    EXPECT_TRUE(names.insert(setting.name).second) << setting.name;
    EXPECT_EQ(FindSetting(setting.name), nullptr) << setting.name << " is a store's, too";
    EXPECT_FALSE(setting.help.empty());
    EXPECT_EQ(setting.part, "system");
    EXPECT_FALSE(setting.since.empty());
    EXPECT_FALSE(AllowedText(setting).empty());
    EXPECT_EQ(SystemSettingText(setting.name, SystemOptions()), setting.default_value)
        << setting.name;
    SystemOptions options;
    EXPECT_TRUE(ParseSystemSetting(setting.name, setting.default_value, options).ok())
        << setting.name;
  }
  EXPECT_EQ(names.size(), 13u);
  EXPECT_TRUE(CheckSystemSettings(SystemOptions()).ok());
}

TEST(SystemSettings, CT1_EveryNumberIsBoundedOnBothSides) {
  for (const SettingSpec& setting : SystemSettings()) {
    if (setting.type != SettingType::kSize && setting.type != SettingType::kCount) continue;
    std::vector<std::uint64_t> wrong = {setting.max + 1};
    if (setting.min > 1 || (setting.min == 1 && !setting.zero_too))
      wrong.push_back(setting.min - 1);
    for (const std::uint64_t value : wrong) {
      SCOPED_TRACE(std::string(setting.name) + " = " + std::to_string(value));
      SystemOptions options;
      const Status parsed = ParseSystemSetting(setting.name, std::to_string(value), options);
      ASSERT_FALSE(parsed.ok());
      EXPECT_EQ(parsed.error().code, ErrorCode::kConfiguration);
      EXPECT_THAT(parsed.error().message,
                  HasSubstr(std::string(setting.name) + " = '" + std::to_string(value) + "'"));
      EXPECT_EQ(parsed.error().hint, "allowed: " + AllowedText(setting));
      EXPECT_EQ(SystemSettingText(setting.name, options), setting.default_value);
    }
    SystemOptions options;
    for (const std::uint64_t value : {setting.min, setting.max}) {
      ASSERT_TRUE(ParseSystemSetting(setting.name, std::to_string(value), options).ok());
      EXPECT_EQ(SystemSettingText(setting.name, options), std::to_string(value));
    }
  }
}

TEST(SystemSettings, CT1_ValuesRoundTripAndWrongOnesAreToldWhatIsAllowed) {
  SystemOptions options;
  const std::pair<std::string_view, std::string_view> kValues[] = {
      {"node", "b"},
      {"workers", "0"},
      {"local_queries", "false"},
      {"server_recovery_strategy", "none"},
      {"inbox_bytes_max", "8192"}};
  for (const auto& [name, text] : kValues) {
    ASSERT_TRUE(ParseSystemSetting(name, text, options).ok()) << name;
    EXPECT_EQ(SystemSettingText(name, options), text);
  }
  EXPECT_FALSE(options.local_queries);
  EXPECT_EQ(options.server_recovery_strategy, RecoveryStrategy::kNone);
  EXPECT_TRUE(ParseSystemSetting("inbox_bytes_max", "16 MiB", options).ok());
  EXPECT_EQ(options.inbox_bytes_max, 16u << 20);
  const std::tuple<std::string_view, std::string, std::string_view> kWrong[] = {
      {"node", "", "1 to 255 bytes"},
      {"node", std::string(256, 'n'), "1 to 255 bytes"},
      {"workers", "65", "0, or 1 to 64 threads"},
      {"local_queries", "perhaps", "true, false"},
      {"server_recovery_strategy", "some", "all, none"},
      {"heartbeat_interval", "1s", "1 to 3600000 milliseconds"},
      {"worker", "1", "did you mean workers?"},
      {"nonsense", "1", "config page"}};
  for (const auto& [name, text, hint] : kWrong) {
    const Status status = ParseSystemSetting(name, text, options);
    ASSERT_FALSE(status.ok()) << name;
    EXPECT_EQ(status.error().code, ErrorCode::kConfiguration);
    EXPECT_THAT(status.error().message, HasSubstr(std::string(name)));
    EXPECT_THAT(status.error().hint, HasSubstr(std::string(hint)));
  }
  EXPECT_EQ(options.node, "b");
}

/// Before the disk is touched: there is no directory of that name, and none is made.
TEST(SystemSettings, CT1_CL11_ASystemWithAWrongOneDoesNotOpen) {
  const std::pair<std::function<void(SystemOptions&)>, const char*> kWrong[] = {
      {[](SystemOptions& options) { options.node = ""; }, "node = ''"},
      {[](SystemOptions& options) { options.workers = 65; }, "workers = '65'"},
      {[](SystemOptions& options) { options.max_command_bytes = 0; }, "max_command_bytes = '0'"},
      {[](SystemOptions& options) { options.inbox_bytes_max = 1; }, "inbox_bytes_max = '1'"},
      {[](SystemOptions& options) { options.low_priority_commands_flush_size = 0; },
       "low_priority_commands_flush_size = '0'"},
      {[](SystemOptions& options) { options.election_timeout_max = UINT64_MAX; },
       "election_timeout_max = '18446744073709551615'"},
      {[](SystemOptions& options) { options.election_timeout_max = 900; },
       "election_timeout_min = 1000; election_timeout_max = 900"},
      {[](SystemOptions& options) { options.heartbeat_interval = 1000; },
       "heartbeat_interval = 1000"},
      {[](SystemOptions& options) { options.clock_drift_margin = 1000; },
       "clock_drift_margin = 1000"}};
  for (const auto& [change, expected] : kWrong) {
    SystemOptions options;
    options.storage.data_dir = "/nobody/makes/this";
    change(options);
    const Result<System> opened = System::Open(options);
    ASSERT_FALSE(opened.ok()) << expected;
    EXPECT_EQ(opened.error().code, ErrorCode::kConfiguration) << expected;
    EXPECT_THAT(opened.error().message, HasSubstr(expected));
    EXPECT_FALSE(opened.error().hint.empty());
  }
}

}  // namespace
}  // namespace duramen::server
