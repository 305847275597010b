#include "tools/config.h"

#include "base/settings.h"
#include "server/settings.h"
#include "tools/text.h"

namespace duramen::tools {
namespace {

ExitCode Refuse(Terminal& terminal, const Error& error) {
  terminal.Complain(error);
  const ExitCode exit = ExitCodeOf(error.code);
  return exit;
}

ExitCode Done(Terminal& terminal) {
  const Status flushed = terminal.Flush();
  return flushed.ok() ? ExitCode::kClean : Refuse(terminal, flushed.error());
}

std::string OriginOf(const SettingStack& stack, std::string_view name) {
  const auto found = stack.origin.find(name);
  return found == stack.origin.end() ? "default" : found->second;
}

/// What ValidateOptions wants besides the settings at hand: a directory is an argument of a verb.
LogStoreOptions WithDirectory(LogStoreOptions options) {
  if (options.data_dir.empty() && options.wal_process.empty()) options.data_dir = "data";
  return options;
}

std::string RowsOf(std::span<const SettingSpec> settings) {
  std::string rows =
      "| setting | type | unit | default | allowed | since | what it does |\n"
      "|---|---|---|---|---|---|---|\n";
  for (const SettingSpec& setting : settings) {
    const std::string standard(setting.default_value);
    rows += "| `" + std::string(setting.name) + "` | " + SettingTypeName(setting.type) + " | " +
            std::string(setting.unit) + " | " + (standard.empty() ? "unset" : standard) + " | " +
            AllowedText(setting) + " | " + std::string(setting.since) + " | " +
            std::string(setting.help) + " |\n";
  }
  return rows;
}

}  // namespace

ExitCode RunConfigShow(const SettingSources& sources, const OutputOptions& output,
                       Terminal& terminal) {
  const Result<SettingStack> stack = StackSettings(sources);
  if (!stack.ok()) return Refuse(terminal, stack.error());
  for (const std::string& warning : stack->warnings) terminal.Say("warning: " + warning);
  Sheet sheet(terminal, output, "setting",
              {{"setting", ColumnType::kText},
               {"value", ColumnType::kText},
               {"origin", ColumnType::kText},
               {"type", ColumnType::kText, false},
               {"unit", ColumnType::kText, false},
               {"allowed", ColumnType::kText}});
  for (const SettingSpec& setting : AllSettings()) {
    const std::string value = SettingText(setting.name, stack->options);
    const Cell row[] = {std::string(setting.name),      value.empty() ? Cell{} : Cell{value},
                        OriginOf(*stack, setting.name), std::string(SettingTypeName(setting.type)),
                        std::string(setting.unit),      AllowedText(setting)};
    sheet.Add(row);
  }
  sheet.Finish(Plural(AllSettings().size(), "setting") +
               "; flags beat the environment, and that beats the file");
  return Done(terminal);
}

ExitCode RunConfigCheck(const SettingSources& sources, const OutputOptions& output,
                        Terminal& terminal) {
  const Result<SettingStack> stack = StackSettings(sources);
  if (!stack.ok()) return Refuse(terminal, stack.error());
  for (const std::string& warning : stack->warnings) terminal.Say("warning: " + warning);
  const Status valid = ValidateOptions(WithDirectory(stack->options));
  if (!valid.ok()) return Refuse(terminal, valid.error());
  const std::uint64_t settings = stack->origin.size();
  const Field fields[] = {{"file", ColumnType::kText, sources.config_path},
                          {"settings", ColumnType::kCount, settings},
                          {"valid", ColumnType::kFlag, true}};
  if (output.format == Format::kTable) {
    terminal.Out(sources.config_path + ": " + Plural(settings, "setting") + ", valid\n");
  } else {
    PrintFacts(terminal, output, "config_check", fields);
  }
  return Done(terminal);
}

ExitCode RunConfigExplain(const std::string& key, const OutputOptions& output, Terminal& terminal) {
  const SettingSpec* setting = FindSetting(key);
  const bool of_store = setting != nullptr;
  if (!of_store) setting = FindSetting(key, server::SystemSettings());
  if (setting == nullptr) {
    std::string_view nearest = NearestSetting(key);
    if (nearest.empty()) nearest = NearestSetting(key, server::SystemSettings());
    return Refuse(terminal, {ErrorCode::kConfiguration, "there is no setting '" + key + "'",
                             nearest.empty() ? "`duramen config page` lists them all"
                                             : "duramen config explain " + std::string(nearest)});
  }
  const std::string standard(setting->default_value);
  const Field fields[] = {
      {"setting", ColumnType::kText, std::string(setting->name)},
      {"type", ColumnType::kText, std::string(SettingTypeName(setting->type))},
      {"unit", ColumnType::kText,
       setting->unit.empty() ? Cell{} : Cell{std::string(setting->unit)}},
      {"default", ColumnType::kText, standard.empty() ? Cell{} : Cell{standard}},
      {"allowed", ColumnType::kText, AllowedText(*setting)},
      {"part", ColumnType::kText, std::string(setting->part)},
      {"since", ColumnType::kText, std::string(setting->since)},
      {"in_code", ColumnType::kText,
       (of_store ? "LogStoreOptions::" : "SystemOptions::") + std::string(setting->name)},
      {"in_a_file", ColumnType::kText,
       of_store ? Cell{std::string(setting->name) + " = ..."} : Cell{}},
      {"in_the_environment", ColumnType::kText,
       of_store ? Cell{EnvironmentName(setting->name)} : Cell{}},
      {"as_a_flag", ColumnType::kText, of_store ? Cell{FlagName(setting->name)} : Cell{}},
      {"help", ColumnType::kText, std::string(setting->help)}};
  PrintFacts(terminal, output, "setting", fields);
  return Done(terminal);
}

ExitCode RunConfigPage(Terminal& terminal) {
  terminal.Out(
      "# Settings\n\n"
      "Written by `duramen config page` from the tables that the program reads them by: change "
      "those. A value out of range is refused before\n"
      "anything is touched, with the setting, the value and what is allowed.\n\n"
      "## Of a store\n\n"
      "Fields of `LogStoreOptions` in [log_store.h](../include/duramen/log_store.h). A flag "
      "(`--wal-max-files 20`) beats the environment\n"
      "(`DURAMEN_WAL_MAX_FILES=20`), and that beats a line of the TOML file (`wal_max_files = 20`) "
      "of `--config`. `duramen config show` tells which\n"
      "value holds and where it comes from; sizes may have a unit (`64MiB`, `256MB`).\n\n" +
      RowsOf(AllSettings()) +
      "\n## Of a system\n\n"
      "Fields of `SystemOptions` in [system.h](../include/duramen/system.h), beside `storage`, "
      "which has those above, and `network`, `machines`,\n"
      "`recovers` and `observer`, which are no values.\n\n" +
      RowsOf(server::SystemSettings()));
  return Done(terminal);
}

}  // namespace duramen::tools
