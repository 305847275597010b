// A value as it stands in a history: what was written, read or looked for.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

namespace duramen::history {

/// Nothing, a flag, a number or a text. They never equal one of another kind: 1 is not "1".
using Value = std::variant<std::monostate, bool, std::int64_t, std::string>;

/// In quotes, as in JSON. Requires: UTF-8.
std::string Quoted(std::string_view text);
/// As in JSON: null, true, 5, "five".
std::string TextOf(const Value& value);

}  // namespace duramen::history
