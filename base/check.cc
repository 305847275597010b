#include "base/check.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace duramen {

void CheckFailed(const char* file, int line, const char* condition) noexcept {
  // A buffer and write(2): whatever is broken, the allocator and the streams may be part of it.
  char text[512];
  const int size =
      std::snprintf(text, sizeof text, "%s:%d: CHECK failed: %s\n", file, line, condition);
  if (size > 0) {
    const auto bytes = std::min(static_cast<std::size_t>(size), sizeof text - 1);
    [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text, bytes);
  }
  std::abort();
}

}  // namespace duramen
