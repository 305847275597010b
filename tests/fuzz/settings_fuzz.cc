// Setting names and values as a user may type them: "name=value".
#include <string_view>

#include "base/check.h"
#include "base/settings.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size) {
  using namespace duramen;
  const std::string_view text(reinterpret_cast<const char*>(input), size);
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos) return 0;
  const std::string_view name = text.substr(0, equals);
  LogStoreOptions options;
  const Status parsed = ParseSetting(name, text.substr(equals + 1), options);
  if (!parsed.ok()) {
    CHECK(parsed.error().code == ErrorCode::kConfiguration);
    (void)NearestSetting(name);
    return 0;
  }
  // What was taken is told in a form that is taken again.
  LogStoreOptions again;
  CHECK(ParseSetting(name, SettingText(name, options), again).ok());
  (void)ValidateOptions(options);
  return 0;
}
