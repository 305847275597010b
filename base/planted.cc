#include "base/planted.h"

#if defined(DURAMEN_PLANTED_BUGS)

#include <atomic>

#include "base/check.h"

namespace duramen {
namespace {
std::atomic<PlantedBug> planted_bug{PlantedBug::kNone};
}  // namespace

bool Planted(PlantedBug bug) noexcept { return planted_bug.load(std::memory_order_relaxed) == bug; }

void Plant(PlantedBug bug) noexcept {
  CHECK(bug < PlantedBug::kCount);
  planted_bug.store(bug, std::memory_order_relaxed);
}

}  // namespace duramen

#endif
