#include "server/settings.h"

#include <utility>

#include "base/check.h"
#include "base/try.h"

namespace duramen::server {
namespace {

/// Behind a setting of kSize or kCount.
std::uint64_t SystemOptions::*NumberField(std::string_view name) {
  if (name == "workers") return &SystemOptions::workers;
  if (name == "election_timeout_min") return &SystemOptions::election_timeout_min;
  if (name == "election_timeout_max") return &SystemOptions::election_timeout_max;
  if (name == "heartbeat_interval") return &SystemOptions::heartbeat_interval;
  if (name == "clock_drift_margin") return &SystemOptions::clock_drift_margin;
  if (name == "max_command_bytes") return &SystemOptions::max_command_bytes;
  if (name == "inbox_bytes_max") return &SystemOptions::inbox_bytes_max;
  if (name == "low_priority_commands_flush_size")
    return &SystemOptions::low_priority_commands_flush_size;
  if (name == "await_condition_timeout") return &SystemOptions::await_condition_timeout;
  if (name == "machine_timeout") return &SystemOptions::machine_timeout;
  CHECK(false);
  return nullptr;
}

Status CheckText(const SettingSpec& setting, std::string_view text) {
  if (text.size() < setting.min) return RefuseValue(setting, text, "is too short");
  if (text.size() > setting.max) return RefuseValue(setting, text, "is too long");
  return {};
}

}  // namespace

Status ParseSystemSetting(std::string_view name, std::string_view text, SystemOptions& options) {
  const SettingSpec* setting = FindSetting(name, SystemSettings());
  if (setting == nullptr) {
    const std::string_view nearest = NearestSetting(name, SystemSettings());
    return Error{ErrorCode::kConfiguration,
                 "there is no setting '" + std::string(name.substr(0, 100)) + "' of a system",
                 nearest.empty() ? "`duramen config page` lists them all"
                                 : "did you mean " + std::string(nearest) + "?"};
  }
  switch (setting->type) {
    case SettingType::kText:
      TRY(CheckText(*setting, text));
      options.node = text;
      return {};
    case SettingType::kBoolean:
      options.local_queries = TRY(ParseBoolean(*setting, text));
      return {};
    case SettingType::kChoice:
      if (text != "all" && text != "none")
        return RefuseValue(*setting, text, "is not one of the values");
      options.server_recovery_strategy =
          text == "all" ? RecoveryStrategy::kAll : RecoveryStrategy::kNone;
      return {};
    default:
      options.*NumberField(name) = TRY(ParseNumber(*setting, text));
      return {};
  }
}

std::string SystemSettingText(std::string_view name, const SystemOptions& options) {
  const SettingSpec* setting = FindSetting(name, SystemSettings());
  CHECK(setting != nullptr);
  switch (setting->type) {
    case SettingType::kText:
      return options.node;
    case SettingType::kBoolean:
      return options.local_queries ? "true" : "false";
    case SettingType::kChoice:
      return options.server_recovery_strategy == RecoveryStrategy::kAll ? "all" : "none";
    default:
      return std::to_string(options.*NumberField(name));
  }
}

Status CheckSystemSettings(const SystemOptions& options) {
  for (const SettingSpec& setting : SystemSettings()) {
    if (setting.type == SettingType::kText) TRY(CheckText(setting, options.node));
    const bool number = setting.type == SettingType::kSize || setting.type == SettingType::kCount;
    if (number) TRY(CheckNumber(setting, options.*NumberField(setting.name)));
  }
  return {};
}

}  // namespace duramen::server
