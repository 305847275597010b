// Lines of a recorded history, from anybody.
#include <algorithm>
#include <string>
#include <string_view>

#include "base/check.h"
#include "history/checker.h"
#include "history/event_line.h"

namespace {

using namespace duramen;

/// An event that is taken comes out as a line that is the same event.
void CheckLine(std::string_view line) {
  const Result<history::Event> event = history::ParseEvent(line);
  if (!event.ok()) return;
  const Result<history::Event> again = history::ParseEvent(history::LineOf(*event));
  CHECK(again.ok() && *again == *event);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size) {
  std::string_view text(reinterpret_cast<const char*>(input), size);
  history::HistoryReader reader(std::nullopt);
  std::uint64_t lines = 0;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    ++lines;
    CheckLine(line);
    const Status added = reader.Add(line);
    if (added.ok()) continue;
    CHECK(added.error().message.starts_with("line " + std::to_string(lines) + ": "));
    CHECK(!added.error().hint.empty());
    return 0;
  }
  const Result<history::History> history = reader.Take();
  if (!history.ok()) return 0;
  const history::Budget budget{.steps_max = 2000, .memory_max_bytes = 4 << 20};
  for (const history::KeyReport& key : CheckHistory(*history, budget).keys) {
    if (key.violation) CHECK(!Explain(*history, key).empty());
  }
  return 0;
}
