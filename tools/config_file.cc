#include "tools/config_file.h"

#include <algorithm>
#include <optional>

#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

#include "base/bytes.h"
#include "base/try.h"
#include "tools/read_only.h"

namespace duramen::tools {
namespace {

constexpr std::uint64_t kConfigBytesMax = 1 << 20;

Error At(const std::string& path, const toml::source_position& place, const std::string& what) {
  return {ErrorCode::kConfiguration, path + ":" + std::to_string(place.line) + ": " + what,
          "one `name = value` a line; `duramen config show` prints a file to start from"};
}

std::optional<std::string> TextOf(const toml::node& value) {
  if (const auto* text = value.as_string()) return text->get();
  if (const auto* number = value.as_integer()) return std::to_string(number->get());
  if (const auto* flag = value.as_boolean()) return std::string(flag->get() ? "true" : "false");
  return std::nullopt;
}

}  // namespace

Result<std::vector<FileSetting>> ReadConfigFile(const std::string& path) {
  const std::unique_ptr<ReadOnlyFile> file = TRY(ReadOnlyFile::Open(path));
  if (file->size() > kConfigBytesMax) {
    return Error{ErrorCode::kConfiguration, path + " is too long for a configuration file",
                 "a configuration file has at most 1 MiB"};
  }
  std::string text(file->size(), '\0');
  text.resize(TRY(file->Read(0, std::as_writable_bytes(std::span(text.data(), text.size())))));
  return ParseConfig(text, path);
}

Result<std::vector<FileSetting>> ParseConfig(std::string_view text, const std::string& path) {
  const toml::parse_result parsed = toml::parse(text, path);
  if (!parsed) {
    return At(path, parsed.error().source().begin, std::string(parsed.error().description()));
  }
  std::vector<FileSetting> settings;
  for (auto&& [key, value] : parsed.table()) {
    const std::string name(key.str());
    const std::optional<std::string> value_text = TextOf(value);
    if (!value_text) {
      return At(path, value.source().begin,
                "the value of '" + name + "' is neither a text, a whole number nor true or false");
    }
    settings.push_back({name, *value_text, value.source().begin.line});
  }
  std::sort(settings.begin(), settings.end(),
            [](const FileSetting& a, const FileSetting& b) { return a.line < b.line; });
  return settings;
}

}  // namespace duramen::tools
