#include "tools/line_entry.h"

#include "tools/text.h"

namespace duramen::tools {
namespace {

std::string Padded(std::uint64_t number, std::size_t digits) {
  std::string text = std::to_string(number);
  if (text.size() < digits) text.insert(0, digits - text.size(), '0');
  return text;
}

}  // namespace

std::string ServerName(std::uint64_t server) { return "load-" + Padded(server, 5); }

void EncodeLine(std::uint64_t line, std::string_view text, std::string& payload) {
  payload = Padded(line, kLineNumberDigits);
  payload.push_back(' ');
  payload.append(text);
}

std::optional<DecodedLine> DecodeLine(std::string_view payload) {
  const std::size_t blank = payload.find(' ');
  if (blank == std::string_view::npos || blank < kLineNumberDigits) return std::nullopt;
  const std::optional<std::uint64_t> line = ParseCount(payload.substr(0, blank));
  if (!line || *line == 0) return std::nullopt;
  return DecodedLine{*line, payload.substr(blank + 1)};
}

}  // namespace duramen::tools
