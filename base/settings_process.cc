// What the setting wal_process may be, and what it goes with; see base/settings.h.
#include "base/check.h"
#include "base/settings.h"

namespace duramen {
namespace {

constexpr std::string_view kPrefix = "unix:";
constexpr std::size_t kSocketPathBytesMax = 107;  // sun_path without its zero

/// The process that appends has them too; all others belong to who has the directory.
bool IsOfTheClient(std::string_view name) {
  return name == "wal_process" || name == "memory_budget";
}

}  // namespace

std::string_view WalProcessSocket(const LogStoreOptions& options) {
  const std::string_view text = options.wal_process;
  CHECK(text.starts_with(kPrefix));
  return text.substr(kPrefix.size());
}

Status CheckWalProcess(const LogStoreOptions& options) {
  const auto refuse = [](std::string message, std::string hint) {
    return Error{ErrorCode::kConfiguration, std::move(message), std::move(hint)};
  };
  const std::string& text = options.wal_process;
  if (!text.starts_with(kPrefix) || text.size() == kPrefix.size()) {
    return refuse("wal_process = '" + text.substr(0, 100) + "' is not the address of a WAL process",
                  "write unix: and the path of the socket that `duramen wal` listens at");
  }
  if (text.size() > kPrefix.size() + kSocketPathBytesMax) {
    return refuse("wal_process names a socket whose path is too long",
                  "a socket's path has at most 107 bytes");
  }
  if (!options.data_dir.empty()) {
    return refuse("data_dir is set to '" + options.data_dir +
                      "' and wal_process too: the WAL process has the directory",
                  "unset one of them");
  }
  for (const SettingSpec& setting : AllSettings()) {
    if (IsOfTheClient(setting.name)) continue;
    if (SettingText(setting.name, options) == setting.default_value) continue;
    return refuse(std::string(setting.name) + " is a setting of the WAL process, and wal_process " +
                      "says that this process has none of its own",
                  "unset it here, and set it where `duramen wal` is started");
  }
  return {};
}

}  // namespace duramen
