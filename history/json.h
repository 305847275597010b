// One line of JSON: an object of scalars and of lists of scalars, and nothing deeper.
//
// Pure functions, any thread. Strict: no member twice, whole numbers of 64 bits only, UTF-8, no
// lone surrogates, nothing behind the object.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "duramen/result.h"
#include "history/value.h"

namespace duramen::history {

struct Member {
  std::string name;
  Value value;
  std::optional<std::vector<Value>> elements;  // of a list, and then `value` is null
};

/// Of one object.
inline constexpr std::size_t kMembersMax = 16;

/// Errors: kInvalidArgument, with the byte from which on it is wrong.
Result<std::vector<Member>> ParseObject(std::string_view line);

}  // namespace duramen::history
