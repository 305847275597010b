#include "tests/explorer/workload.h"

#include "base/check.h"

namespace duramen::explorer {
namespace {

// append many over suffix prefix reset vote value applied create delete read wait run idle
constexpr std::array<Workload, kWorkloadCount> kWorkloads = {{
    {"append-and-roll", 1, 3, 110, 4, 900, 16, {30, 4, 1, 0, 8, 0, 4, 3, 2, 0, 0, 4, 8, 14, 2}},
    {"many-writers", 6, 2, 150, 3, 500, 10, {30, 8, 1, 1, 8, 0, 4, 3, 2, 1, 0, 3, 5, 16, 1}},
    {"overwrite-truncate-jump",
     2,
     3,
     130,
     4,
     700,
     14,
     {16, 2, 14, 8, 8, 4, 4, 2, 2, 0, 0, 4, 6, 16, 2}},
    {"create-and-delete", 2, 4, 130, 3, 700, 10, {16, 2, 3, 2, 6, 1, 4, 3, 1, 9, 8, 3, 6, 14, 2}},
    {"batch-across-a-roll", 2, 2, 110, 6, 1600, 8, {34, 6, 3, 1, 8, 1, 3, 1, 0, 0, 0, 2, 3, 12, 1}},
}};

}  // namespace

const Workload& WorkloadOf(std::uint32_t number) {
  CHECK(number < kWorkloadCount);
  return kWorkloads[number];
}

}  // namespace duramen::explorer
