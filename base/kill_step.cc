#include "base/kill_step.h"

#if defined(DURAMEN_PLANTED_BUGS)

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>

#include "base/check.h"

namespace duramen {
namespace {

struct Armed {
  unsigned step = kKillSteps;  // none
  unsigned pass = 0;
};

Armed FromEnvironment() {
  const char* text = std::getenv("PLANTED_KILL_AT");
  Armed armed;
  if (text == nullptr) return armed;
  char end = 0;
  const int read = std::sscanf(text, "%u:%u%c", &armed.step, &armed.pass, &end);
  CHECK(read == 2 && armed.step < kKillSteps && armed.pass > 0);  // STEP:PASS
  return armed;
}

const Armed armed = FromEnvironment();
std::atomic<unsigned> passes{0};

}  // namespace

void Pass(KillStep step) noexcept {
  if (static_cast<unsigned>(step) != armed.step) return;
  if (passes.fetch_add(1) + 1 != armed.pass) return;
  (void)::kill(::getpid(), SIGKILL);
  while (true) ::pause();  // Not one instruction of this thread's more.
}

}  // namespace duramen

#endif
