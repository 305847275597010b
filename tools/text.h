// Text forms of numbers, names and bytes. Pure functions, any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "duramen/types.h"

namespace duramen::tools {

/// Printable as one line whatever is in it: control characters, broken UTF-8 and the backslash come
/// out as \n, \t, \xNN or \\; all other characters as they are.
std::string EscapeText(std::string_view text);
/// With quotes; broken UTF-8 becomes U+FFFD.
std::string JsonString(std::string_view text);
/// In quotes where a comma, quote or line break is in it (RFC 4180).
std::string CsvField(std::string_view text);
std::string Base64(Bytes bytes);
std::optional<std::string> FromBase64(std::string_view text);
std::string Hex(Bytes bytes);
/// "1,234,567".
std::string Grouped(std::uint64_t number);
/// "1.2 MiB".
std::string HumanBytes(std::uint64_t bytes);
/// With `decimals` digits behind the point.
std::string Decimal(double value, int decimals);
/// "1 file", "2 files".
std::string Plural(std::uint64_t count, std::string_view noun);
/// Columns on a screen: characters, not bytes.
std::size_t DisplayWidth(std::string_view text);
/// The first `width` characters, the last of them "…" when something was cut.
std::string CutToWidth(std::string_view text, std::size_t width);
/// A whole number in decimal and nothing else.
std::optional<std::uint64_t> ParseCount(std::string_view text);

}  // namespace duramen::tools
