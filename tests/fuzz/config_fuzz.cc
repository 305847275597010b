// A configuration file as somebody may have typed it.
#include <algorithm>
#include <string_view>

#include "base/check.h"
#include "tools/config_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size) {
  using namespace duramen;
  const std::string_view text(reinterpret_cast<const char*>(input), size);
  const Result<std::vector<tools::FileSetting>> settings = tools::ParseConfig(text, "file.toml");
  if (!settings.ok()) {
    CHECK(settings.error().code == ErrorCode::kConfiguration);
    CHECK(settings.error().message.starts_with("file.toml:"));
    return 0;
  }
  const auto lines = static_cast<std::uint64_t>(std::count(text.begin(), text.end(), '\n')) + 1;
  std::uint64_t last = 1;
  for (const tools::FileSetting& setting : *settings) {
    CHECK(setting.line >= last && setting.line <= lines);
    last = setting.line;
  }
  return 0;
}
