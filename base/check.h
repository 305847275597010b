// CHECK: invariants of our own, on in every build. A failed one is our bug: it says where and
// aborts, and recovery is the way back.
#pragma once

namespace duramen {

[[noreturn]] void CheckFailed(const char* file, int line, const char* condition) noexcept;

}  // namespace duramen

#define CHECK(condition)                                      \
  do {                                                        \
    if (__builtin_expect(!(condition), 0)) {                  \
      ::duramen::CheckFailed(__FILE__, __LINE__, #condition); \
    }                                                         \
  } while (false)
