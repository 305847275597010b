#include "tools/interrupt.h"

#include <atomic>
#include <csignal>

namespace duramen::tools {
namespace {

std::atomic<bool> interrupted{false};
static_assert(std::atomic<bool>::is_always_lock_free);  // A signal handler may store to it.

void OnSignal(int) { interrupted.store(true, std::memory_order_relaxed); }

}  // namespace

void InstallInterruptHandler() noexcept {
  struct sigaction action {};
  action.sa_handler = OnSignal;
  // No SA_RESTART: a read of standard input must end. Reset: a second Ctrl-C ends the process.
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
}

bool Interrupted() noexcept { return interrupted.load(std::memory_order_relaxed); }

}  // namespace duramen::tools
