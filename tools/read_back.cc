#include "tools/read_back.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tools/line_entry.h"
#include "tools/text.h"

namespace duramen::tools {
namespace {

using Json = nlohmann::json;

Json Parse(std::string_view text) { return Json::parse(text, nullptr, /*allow_exceptions=*/false); }

std::uint64_t CountIn(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
}

std::string TextIn(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

}  // namespace

InputText::InputText(std::string text) : text_(std::move(text)) {
  const std::string_view all(text_);
  for (std::size_t begin = 0; begin < all.size();) {
    const std::size_t end = std::min(all.find('\n', begin), all.size());
    lines_.push_back(all.substr(begin, end - begin));
    begin = end + 1;
  }
}

std::optional<LoadSummary> ParseLoadSummary(std::string_view json) {
  const Json object = Parse(json);
  if (!object.is_object() || TextIn(object, "kind") != "load") return std::nullopt;
  return LoadSummary{CountIn(object, "entries"), CountIn(object, "batches"),
                     CountIn(object, "syncs"), CountIn(object, "rolls")};
}

void ReadBack::Add(std::string_view json) {
  const Json object = Parse(json);
  if (!object.is_object() || TextIn(object, "record") != "entry") return;
  const std::optional<std::string> payload = FromBase64(TextIn(object, "data"));
  if (!payload || payload->size() != CountIn(object, "data_len")) return;
  const std::optional<DecodedLine> line = DecodeLine(*payload);
  if (!line) return;
  lines_.push_back({line->line, std::string(line->text), TextIn(object, "uid"),
                    CountIn(object, "index"), TextIn(object, "source")});
}

/// One entry of one log, once in each place; twice in one place is twice.
void ReadBack::Unite() {
  std::sort(lines_.begin(), lines_.end());
  const auto copy = [](const Line& a, const Line& b) {
    return a.number == b.number && a.text == b.text && a.log == b.log && a.index == b.index &&
           a.source != b.source;
  };
  lines_.erase(std::unique(lines_.begin(), lines_.end(), copy), lines_.end());
}

std::string ReadBack::Compare(const InputText& input, std::uint64_t acked) {
  Unite();
  std::string text;
  for (std::size_t i = 0; i < lines_.size(); ++i) {
    const std::uint64_t number = lines_[i].number;
    const std::string& line = lines_[i].text;
    if (number < i + 1) return "line " + std::to_string(number) + " came back twice";
    if (number > i + 1) return "line " + std::to_string(i + 1) + " is missing, later ones are not";
    if (number > input.line_count()) return "line " + std::to_string(number) + " was never given";
    if (line != input.line(number)) return "line " + std::to_string(number) + " came back altered";
    text += line;
    text.push_back('\n');
  }
  if (lines_.size() < acked) {
    return "line " + std::to_string(lines_.size() + 1) + " was acknowledged and is not there";
  }
  const bool whole = lines_.size() == input.line_count();
  if (whole && !input.ends_with_newline() && !text.empty()) text.pop_back();
  const bool same = whole ? text == input.text() : input.text().starts_with(text);
  return same ? "" : "the text put together again differs from the input";
}

}  // namespace duramen::tools
