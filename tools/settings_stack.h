// CT1: where each setting comes from. A file is beaten by the environment, and that by flags.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "duramen/log_store.h"
#include "duramen/result.h"

namespace duramen::tools {

/// What was given; names as in base/settings.h.
struct SettingSources {
  std::string config_path;                                       // empty: no file
  std::vector<std::pair<std::string, std::string>> environment;  // DURAMEN_*, whole names
  std::vector<std::pair<std::string, std::string>> flags;
};

struct SettingStack {
  LogStoreOptions options;
  std::map<std::string, std::string, std::less<>>
      origin;  // name -> "file:3", "environment", "flag"
  std::vector<std::string> warnings;
};

/// DURAMEN_* of this process.
std::vector<std::pair<std::string, std::string>> SettingsInEnvironment();

/// "DURAMEN_WAL_DIR" for "wal_dir".
std::string EnvironmentName(std::string_view setting);
/// "--wal-dir" for "wal_dir".
std::string FlagName(std::string_view setting);

/// Errors: kConfiguration: an unknown key names the nearest, a bad value says what is allowed.
Result<SettingStack> StackSettings(const SettingSources& sources);

}  // namespace duramen::tools
