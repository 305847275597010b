#include "base/fork_guard.h"

#include <pthread.h>

#include <atomic>
#include <mutex>

namespace duramen {
namespace {

std::atomic<std::uint32_t> generation{0};

void InChild() { generation.fetch_add(1, std::memory_order_relaxed); }

}  // namespace

std::uint32_t ForkGeneration() noexcept { return generation.load(std::memory_order_relaxed); }

void WatchForks() {
  static std::once_flag once;
  std::call_once(once, [] { pthread_atfork(nullptr, nullptr, InChild); });
}

}  // namespace duramen
