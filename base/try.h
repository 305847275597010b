// TRY: unwraps a Result or returns its Error to the caller. For .cc files only (a GNU extension).
#pragma once

#include <utility>

#include "duramen/result.h"

namespace duramen::internal {
template <typename T>
T Unwrap(Result<T>&& result) {
  return std::move(result).value();
}
inline void Unwrap(Result<void>&&) {}
}  // namespace duramen::internal

#define TRY(expression)                                         \
  __extension__({                                               \
    auto try_result = (expression);                             \
    if (!try_result.ok()) return std::move(try_result).error(); \
    ::duramen::internal::Unwrap(std::move(try_result));         \
  })
