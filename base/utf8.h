// Which bytes are characters. Pure functions, any thread.
#pragma once

#include <cstddef>
#include <string_view>

namespace duramen {

/// Length of the valid UTF-8 character at the front of `text`; 0 where there is none, as for
/// over-long forms, surrogates and what lies past the last code point.
std::size_t Utf8Length(std::string_view text);
bool IsUtf8(std::string_view text);

}  // namespace duramen
