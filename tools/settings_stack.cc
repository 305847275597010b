#include "tools/settings_stack.h"

#include <unistd.h>

#include "base/settings.h"
#include "base/try.h"
#include "tools/config_file.h"

namespace duramen::tools {
namespace {

constexpr std::string_view kPrefix = "DURAMEN_";

/// Puts where the value stands before what is wrong with it.
Status Set(SettingStack& stack, std::string_view name, std::string_view text,
           const std::string& origin) {
  Status status = ParseSetting(name, text, stack.options);
  if (!status.ok()) {
    Error error = std::move(status).error();
    error.message = origin + ": " + error.message;
    return error;
  }
  stack.origin.insert_or_assign(std::string(name), origin);
  return {};
}

Status SetFromEnvironment(SettingStack& stack, const std::string& variable,
                          const std::string& text) {
  std::string name = variable.substr(kPrefix.size());
  for (char& letter : name) {
    if (letter >= 'A' && letter <= 'Z') letter = static_cast<char>(letter + 32);
  }
  // Others may use the prefix too; what is close to a setting is a slip, the rest is said.
  if (FindSetting(name) == nullptr && NearestSetting(name).empty()) {
    stack.warnings.push_back(variable + " in the environment is no setting and is ignored");
    return {};
  }
  return Set(stack, name, text, variable);
}

/// Some verbs have a shorter flag for a setting.
Status RefuseContradictions(const std::vector<std::pair<std::string, std::string>>& flags) {
  std::map<std::string_view, std::string_view> given;
  for (const auto& [name, text] : flags) {
    const auto [at, first] = given.emplace(name, text);
    if (first || at->second == text) continue;
    return Error{ErrorCode::kConfiguration,
                 FlagName(name) + " is given twice, as '" + std::string(at->second) + "' and as '" +
                     text + "'",
                 "say it once; --sync and --depth of a verb are settings, too"};
  }
  return {};
}

}  // namespace

std::vector<std::pair<std::string, std::string>> SettingsInEnvironment() {
  std::vector<std::pair<std::string, std::string>> found;
  for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable) {
    const std::string_view text(*variable);
    const std::size_t equals = text.find('=');
    if (!text.starts_with(kPrefix) || equals == std::string_view::npos) continue;
    found.emplace_back(text.substr(0, equals), text.substr(equals + 1));
  }
  return found;
}

std::string EnvironmentName(std::string_view setting) {
  std::string name(kPrefix);
  for (const char letter : setting) {
    name.push_back(letter >= 'a' && letter <= 'z' ? static_cast<char>(letter - 32) : letter);
  }
  return name;
}

std::string FlagName(std::string_view setting) {
  std::string name = "--";
  for (const char letter : setting) name.push_back(letter == '_' ? '-' : letter);
  return name;
}

Result<SettingStack> StackSettings(const SettingSources& sources) {
  SettingStack stack;
  if (!sources.config_path.empty()) {
    for (const FileSetting& setting : TRY(ReadConfigFile(sources.config_path))) {
      const std::string origin = sources.config_path + ":" + std::to_string(setting.line);
      TRY(Set(stack, setting.name, setting.text, origin));
    }
  }
  for (const auto& [variable, text] : sources.environment) {
    TRY(SetFromEnvironment(stack, variable, text));
  }
  TRY(RefuseContradictions(sources.flags));
  for (const auto& [name, text] : sources.flags) TRY(Set(stack, name, text, FlagName(name)));
  return stack;
}

}  // namespace duramen::tools
