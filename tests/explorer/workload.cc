#include "tests/explorer/workload.h"

#include "base/check.h"

namespace duramen::explorer {
namespace {

constexpr std::uint64_t kUsualSegment = 4096;
constexpr std::uint64_t kTiny = 32u << 10;

// append many over suffix prefix reset vote value applied create delete read wait run idle
// space stall
// clang-format off
constexpr std::array<Workload, kWorkloadCount> kWorkloads = {{
    {"append-and-roll", 1, 3, 110, 4, 900, 16, 6, kUsualSegment, 0, false, false, false,
     {30, 4, 1, 0, 8, 0, 4, 3, 2, 0, 0, 4, 8, 14, 2}},
    {"many-writers", 6, 2, 150, 3, 500, 10, 6, kUsualSegment, 0, false, false, false,
     {30, 8, 1, 1, 8, 0, 4, 3, 2, 1, 0, 3, 5, 16, 1}},
    {"overwrite-truncate-jump", 2, 3, 130, 4, 700, 14, 6, kUsualSegment, 0, false, false, false,
     {16, 2, 14, 8, 8, 4, 4, 2, 2, 0, 0, 4, 6, 16, 2}},
    {"create-and-delete", 2, 4, 130, 3, 700, 10, 6, kUsualSegment, 0, false, false, false,
     {16, 2, 3, 2, 6, 1, 4, 3, 1, 9, 8, 3, 6, 14, 2}},
    {"batch-across-a-roll", 2, 2, 110, 6, 1600, 8, 6, kUsualSegment, 0, false, false, false,
     {34, 6, 3, 1, 8, 1, 3, 1, 0, 0, 0, 2, 3, 12, 1}},
    {"flush-and-recycle", 2, 3, 110, 4, 700, 20, 6, 12, kTiny, false, false, false,
     {28, 6, 1, 1, 6, 0, 3, 2, 2, 0, 0, 4, 8, 16, 3}},
    {"segment-roll", 1, 3, 100, 5, 500, 30, 6, 4, kTiny, false, false, false,
     {34, 4, 2, 1, 4, 0, 2, 1, 1, 0, 0, 5, 6, 16, 3}},
    {"checkpoint-of-rows", 2, 3, 130, 2, 900, 8, 6, 16, kTiny, false, false, false,
     {14, 3, 2, 1, 6, 1, 12, 12, 3, 8, 7, 3, 6, 16, 3}},
    {"truncate-flushed", 2, 2, 130, 4, 700, 40, 30, 6, kTiny, false, false, false,
     {22, 2, 10, 8, 4, 3, 2, 1, 2, 0, 0, 4, 8, 18, 5}},
    {"disk-full", 2, 3, 140, 3, 700, 14, 6, 12, kTiny, false, false, false,
     {12, 1, 1, 8, 6, 3, 18, 6, 2, 3, 2, 3, 10, 14, 5, 4}},
    {"fail-over", 2, 3, 130, 4, 700, 16, 6, 12, kTiny, true, false, false,
     {24, 4, 2, 2, 6, 1, 6, 3, 2, 1, 1, 3, 8, 16, 12, 0, 6}},
    {"shards", 3, 2, 120, 3, 700, 10, 6, 12, kTiny, false, true, false,
     {18, 3, 2, 2, 6, 1, 4, 2, 1, 8, 7, 3, 7, 18, 3}},
    {"compressed", 2, 2, 120, 8, 600, 16, 10, 12, kTiny, false, false, true,
     {28, 6, 3, 2, 6, 1, 3, 2, 2, 0, 0, 4, 8, 16, 4}},
}};
// clang-format on

}  // namespace

const Workload& WorkloadOf(std::uint32_t number) {
  CHECK(number < kWorkloadCount);
  return kWorkloads[number];
}

}  // namespace duramen::explorer
