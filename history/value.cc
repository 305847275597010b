#include "history/value.h"

#include "base/check.h"
#include "base/utf8.h"

namespace duramen::history {

std::string Quoted(std::string_view text) {
  static const char kHexDigits[] = "0123456789abcdef";
  CHECK(IsUtf8(text));  // It would be another text when it is read again.
  std::string out = "\"";
  while (!text.empty()) {
    const std::string_view character = text.substr(0, Utf8Length(text));
    text.remove_prefix(character.size());
    const auto first = static_cast<unsigned char>(character.front());
    const auto last = static_cast<unsigned char>(character.back());
    if (character == "\"" || character == "\\") {
      out.append("\\").append(character);
    } else if (character == "\n") {
      out += "\\n";
    } else if (first < 0x20 || first == 0x7F || (first == 0xC2 && last < 0xA0)) {
      // What steers a terminal: U+0000 to U+001F, U+007F to U+009F.
      out.append("\\u00").append({kHexDigits[last >> 4], kHexDigits[last & 15]});
    } else {
      out += character;
    }
  }
  out.push_back('"');
  return out;
}

std::string TextOf(const Value& value) {
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (const auto* number = std::get_if<std::int64_t>(&value)) return std::to_string(*number);
  if (const auto* text = std::get_if<std::string>(&value)) return Quoted(*text);
  return "null";
}

}  // namespace duramen::history
