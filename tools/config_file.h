// A configuration file: TOML, one `name = value` a line, names as in `duramen config show`.
// The only place that knows TOML.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "duramen/result.h"

namespace duramen::tools {

struct FileSetting {
  std::string name;
  std::string text;        // the value, as base/settings.h parses it
  std::uint64_t line = 0;  // 1-based
};

/// `path` is for messages. Errors: kConfiguration, as ReadConfigFile.
Result<std::vector<FileSetting>> ParseConfig(std::string_view text, const std::string& path);

/// In the order of the file. Errors: kConfiguration with path and line (no TOML, a table, a value
/// that no setting can have), kNotFound, kPermission, kIo.
Result<std::vector<FileSetting>> ReadConfigFile(const std::string& path);

}  // namespace duramen::tools
