// CT1: the schema of settings, and what a wrong one is told.
#include "base/settings.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace duramen {
namespace {

LogStoreOptions GoodOptions() {
  LogStoreOptions options;
  options.data_dir = "/var/lib/duramen";
  return options;
}

/// The error of a value that must be refused, after a look at what every such error owes.
Error Refused(std::string_view name, std::string_view text) {
  LogStoreOptions options = GoodOptions();
  const Status status = ParseSetting(name, text, options);
  EXPECT_FALSE(status.ok()) << name << " = " << text;
  if (status.ok()) return {};
  EXPECT_EQ(status.error().code, ErrorCode::kConfiguration);
  EXPECT_NE(status.error().message.find(name.substr(0, 100)), std::string::npos)
      << status.error().message;
  EXPECT_FALSE(status.error().hint.empty());
  // Nothing half-set.
  for (const SettingSpec& setting : AllSettings()) {
    EXPECT_EQ(SettingText(setting.name, options), SettingText(setting.name, GoodOptions()));
  }
  return status.error();
}

TEST(Settings, CT1_TheTableIsWholeAndItsDefaultsAreThoseOfTheStruct) {
  std::set<std::string_view> names;
  for (const SettingSpec& setting : AllSettings()) {
    EXPECT_TRUE(names.insert(setting.name).second) << setting.name;
    EXPECT_EQ(FindSetting(setting.name), &setting);
    EXPECT_FALSE(setting.help.empty());
    EXPECT_FALSE(setting.part.empty());
    EXPECT_FALSE(setting.since.empty());
    EXPECT_FALSE(AllowedText(setting).empty());
    EXPECT_EQ(SettingText(setting.name, LogStoreOptions()), setting.default_value) << setting.name;
    if (setting.name == "data_dir") continue;  // Has no default.
    LogStoreOptions options;
    EXPECT_TRUE(ParseSetting(setting.name, setting.default_value, options).ok()) << setting.name;
  }
  EXPECT_EQ(names.size(), 27u);
  EXPECT_EQ(FindSetting("nonsense"), nullptr);
}

TEST(Settings, SW1_WithAWalProcessTheRestIsItsOwn) {
  LogStoreOptions options;
  EXPECT_TRUE(ParseSetting("wal_process", "unix:/run/wal", options).ok());
  EXPECT_EQ(SettingText("wal_process", options), "unix:/run/wal");
  EXPECT_EQ(WalProcessSocket(options), "/run/wal");
  EXPECT_TRUE(ValidateOptions(options).ok());
  options.memory_budget = 64 << 20;
  EXPECT_TRUE(ValidateOptions(options).ok());
  options.flush_threads = 2;
  const Status status = ValidateOptions(options);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::kConfiguration);
  EXPECT_NE(status.error().message.find("flush_threads"), std::string::npos);
  for (const char* address : {"unix:", "/run/wal", "tcp:host:1"}) {
    LogStoreOptions other;
    other.wal_process = address;
    EXPECT_FALSE(ValidateOptions(other).ok()) << address;
  }
}

TEST(Settings, CT1_SizesAreReadWithUnits) {
  LogStoreOptions options;
  const auto read = [&](std::string_view text) {
    EXPECT_TRUE(ParseSetting("wal_max_size_bytes", text, options).ok()) << text;
    return options.wal_max_size_bytes;
  };
  EXPECT_EQ(read("256000000"), 256'000'000u);
  EXPECT_EQ(read("64MiB"), 64u << 20);
  EXPECT_EQ(read("64 MiB"), 64u << 20);
  EXPECT_EQ(read("1GiB"), 1u << 30);
  EXPECT_EQ(read("64MB"), 64'000'000u);
  EXPECT_EQ(read("32KiB"), 32768u);
  EXPECT_EQ(read("16GiB"), 16ULL << 30);
}

TEST(Settings, CT1_TheWalFileFollowsFromTheBudgetUnlessItIsSet) {
  LogStoreOptions options{.data_dir = "/a"};
  EXPECT_EQ(WalFileBytes(options), 256'000'000u);
  options.memory_budget = 64 << 20;
  EXPECT_EQ(WalFileBytes(options), 16u << 20);
  options.wal_max_size_bytes = 1 << 20;
  EXPECT_EQ(WalFileBytes(options), 1u << 20);
  options.wal_max_size_bytes = 0;
  EXPECT_TRUE(ValidateOptions(options).ok());
  EXPECT_NE(Refused("wal_max_size_bytes", "1").hint.find("0, or 32768 to"), std::string::npos);
}

TEST(Settings, CT1_EveryValueRoundTrips) {
  const std::pair<std::string_view, std::string_view> values[] = {{"data_dir", "/a"},
                                                                  {"wal_dir", "/b"},
                                                                  {"wal_max_size_bytes", "32768"},
                                                                  {"wal_max_entries", "5"},
                                                                  {"wal_max_files", "65536"},
                                                                  {"wal_max_batch_size", "1"},
                                                                  {"wal_sync_method", "none"},
                                                                  {"memory_budget", "1048576"},
                                                                  {"on_wal_down", "exit"},
                                                                  {"wal_compression", "zstd"},
                                                                  {"segment_compression", "zstd"},
                                                                  {"recovery_mode", "strict"},
                                                                  {"recovery_mode", "salvage"},
                                                                  {"salvage_servers", "a,b c"},
                                                                  {"wal_compute_checksums", "true"},
                                                                  {"wal_pre_allocate", "true"}};
  for (const auto& [name, text] : values) {
    LogStoreOptions options;
    ASSERT_TRUE(ParseSetting(name, text, options).ok()) << name;
    EXPECT_EQ(SettingText(name, options), text);
  }
  LogStoreOptions options;
  ASSERT_TRUE(ParseSetting("wal_sync_method", "sync", options).ok());
  EXPECT_EQ(options.wal_sync_method, SyncMethod::kFsync);
  EXPECT_EQ(SettingText("wal_sync_method", options), "fsync");
}

TEST(Settings, CT1_AWrongValueIsRefusedWithReasonAndRange) {
  const Error small = Refused("wal_max_files", "2");
  EXPECT_NE(small.message.find("too small"), std::string::npos);
  EXPECT_NE(small.hint.find("3 to 65536"), std::string::npos);
  EXPECT_NE(Refused("wal_max_size_bytes", "32767").hint.find("32768 to 17179869184 bytes"),
            std::string::npos);
  Refused("wal_max_size_bytes", "16GiB1");
  Refused("wal_max_size_bytes", "17GiB");
  Refused("wal_max_size_bytes", "18446744073709551615GiB");  // Would wrap.
  Refused("wal_max_size_bytes", "99999999999999999999");
  for (const std::string_view text :
       {"", "-1", "+1", "0x10", "1.5GiB", "64mib", "many", " 64MiB"}) {
    Refused("wal_max_size_bytes", text);
  }
  Refused("wal_max_batch_size", "0");
  Refused("wal_max_batch_size", "1048577");
  Refused("wal_max_batch_size", "8KiB");  // Records have no bytes.
  Refused("memory_budget", "1048575");
  EXPECT_NE(Refused("on_wal_down", "die").hint.find("stay, exit"), std::string::npos);
  Refused("recovery_mode", "rescue");
  Refused("salvage_servers", "a,,b");
  Refused("wal_sync_method", "Datasync");
  EXPECT_NE(Refused("wal_compute_checksums", "false").message.find("always on"), std::string::npos);
  Refused("wal_pre_allocate", "false");
  Refused("wal_pre_allocate", "1");
  Refused("data_dir", "");
  Refused("data_dir", std::string(5000, 'x'));
  Refused("wal_dir", std::string("a\0b", 3));
  Refused("wal_dir", "a\nb");
}

TEST(Settings, T4_AnUnknownKeyIsToldTheNearest) {
  EXPECT_EQ(NearestSetting("wal_max_file"), "wal_max_files");
  EXPECT_EQ(NearestSetting("wal_sync_methd"), "wal_sync_method");
  EXPECT_EQ(NearestSetting("memorybudget"), "memory_budget");
  EXPECT_EQ(NearestSetting("colour"), "");
  EXPECT_EQ(NearestSetting(""), "");
  EXPECT_EQ(NearestSetting(std::string(100'000, 'w')), "");
  EXPECT_EQ(Refused("wal_max_file", "5").hint, "did you mean wal_max_files?");
  EXPECT_NE(Refused("colour", "blue").hint.find("config show"), std::string::npos);
  Refused(std::string(100'000, 'w'), "5");
}

TEST(Settings, CT1_OptionsAreValidatedAsAWhole) {
  EXPECT_TRUE(ValidateOptions(GoodOptions()).ok());
  const auto refused = [](auto change) {
    LogStoreOptions options = GoodOptions();
    change(options);
    const Status status = ValidateOptions(options);
    EXPECT_FALSE(status.ok());
    if (status.ok()) return std::string();
    EXPECT_EQ(status.error().code, ErrorCode::kConfiguration);
    EXPECT_FALSE(status.error().hint.empty());
    return status.error().message;
  };
  EXPECT_NE(refused([](auto& o) { o.data_dir = ""; }).find("data_dir"), std::string::npos);
  EXPECT_NE(refused([](auto& o) { o.wal_dir = o.data_dir + "/"; }).find("wal_dir"),
            std::string::npos);
  EXPECT_NE(refused([](auto& o) { o.wal_max_files = 0; }).find("wal_max_files"), std::string::npos);
  EXPECT_NE(refused([](auto& o) {
              o.recovery_mode = RecoveryMode::kSalvage;
            }).find("salvage_servers names no log"),
            std::string::npos);
  for (const char* taken : {"/a", "/a/", "/a/wal", "relative/path"}) {
    const std::string why = refused([&](auto& o) {
      o.data_dir = "/a";
      o.wal_failover_dir = taken;
    });
    EXPECT_NE(why.find("wal_failover_dir"), std::string::npos) << taken;
  }
  refused([](auto& o) { o.wal_dir = o.wal_failover_dir = "/b"; });
  refused([](auto& o) { o.wal_max_size_bytes = 4096; });
  refused([](auto& o) { o.wal_max_batch_size = 0; });
  refused([](auto& o) { o.memory_budget = 0; });
  refused([](auto& o) { o.wal_dir = std::string("x\0y", 3); });
}

TEST(Settings, CT1_ABudgetThatCannotHoldItsPartsIsRefusedWithTheSum) {
  LogStoreOptions options = GoodOptions();
  options.memory_budget = 2 << 20;
  const Status status = ValidateOptions(options);
  ASSERT_FALSE(status.ok());
  EXPECT_NE(status.error().message.find("9699328 = 1048576"), std::string::npos)
      << status.error().message;
  EXPECT_EQ(status.error().hint, "set memory_budget to 9699328 or more");
  options.memory_budget = 9699328;
  EXPECT_TRUE(ValidateOptions(options).ok());
  options.memory_budget = 1 << 20;  // Fits what a test has shrunk.
  EXPECT_TRUE(
      ValidateOptions(options, {.ring_bytes = 4096, .in_flight_bytes = 65536, .chunk_bytes = 4096})
          .ok());
}

}  // namespace
}  // namespace duramen
