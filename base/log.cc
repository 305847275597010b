#include "base/log.h"

#include <array>

#include "base/check.h"

namespace duramen {
namespace {
constexpr std::size_t kFieldsMax = 16;
}  // namespace

void Log::Write(LogLevel level, std::string_view code, std::string_view sentence,
                std::initializer_list<std::pair<std::string_view, std::string>> fields) const {
  if (sink_.write == nullptr) return;
  CHECK(fields.size() <= kFieldsMax);
  std::array<LogField, kFieldsMax + 1> views;
  std::size_t count = 0;
  for (const auto& [key, value] : fields) views[count++] = {.key = key, .value = value};
  const std::string shard = std::to_string(shard_);
  if (shard_ != 0) views[count++] = {.key = "shard", .value = shard};
  sink_.write(sink_.argument, {.level = level,
                               .code = code,
                               .sentence = sentence,
                               .fields = std::span(views).first(count)});
}

}  // namespace duramen
