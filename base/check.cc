#include "base/check.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "base/check_hook.h"

namespace duramen {

namespace {
thread_local CheckHook* current_hook = nullptr;
}  // namespace

CheckHook::CheckHook(void (*run)(void* argument) noexcept, void* argument) noexcept
    : run_(run), argument_(argument), former_(current_hook) {
  current_hook = this;
}

CheckHook::~CheckHook() { current_hook = former_; }

void CheckHook::RunNewest() noexcept {
  CheckHook* hook = current_hook;
  if (hook == nullptr) return;
  current_hook = nullptr;  // What it calls may fail too.
  hook->run_(hook->argument_);
}

void CheckFailed(const char* file, int line, const char* condition) noexcept {
  // A buffer and write(2): whatever is broken, the allocator and the streams may be part of it.
  char text[512];
  const int size =
      std::snprintf(text, sizeof text, "%s:%d: CHECK failed: %s\n", file, line, condition);
  if (size > 0) {
    const auto bytes = std::min(static_cast<std::size_t>(size), sizeof text - 1);
    [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text, bytes);
  }
  CheckHook::RunNewest();
  std::abort();
}

}  // namespace duramen
