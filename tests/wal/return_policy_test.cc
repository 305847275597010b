#include "wal/return_policy.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace duramen::wal {
namespace {

constexpr std::int64_t kQuickNs = 250'000'000;
constexpr std::int64_t kFarNs = 2 * ReturnPolicy::kSettledNs;

/// Good probes, one after the other, until it may return.
std::uint32_t GoodProbes(ReturnPolicy& policy, std::int64_t& now_ns) {
  std::uint32_t probes = 0;
  while (!policy.MayReturn()) {
    now_ns = policy.next_probe_ns();
    policy.OnSent();
    EXPECT_EQ(policy.next_probe_ns(), INT64_MAX) << "one at a time";
    EXPECT_TRUE(policy.OnProbe(true, 1, now_ns));
    ++probes;
  }
  return probes;
}

TEST(ReturnPolicy, PW13_ManyGoodProbesInARowLeadBack) {
  ReturnPolicy policy(kQuickNs);
  EXPECT_EQ(policy.next_probe_ns(), INT64_MAX) << "at home";
  std::int64_t now = kFarNs;
  policy.OnLeft(now);
  EXPECT_EQ(policy.next_probe_ns(), now + ReturnPolicy::kEveryNs);
  for (std::uint32_t i = 1; i < ReturnPolicy::kProbes; ++i) {
    policy.OnSent();
    EXPECT_TRUE(policy.OnProbe(true, kQuickNs, now));
    EXPECT_TRUE(policy.answers());
    EXPECT_FALSE(policy.MayReturn());
  }
  policy.OnSent();
  EXPECT_FALSE(policy.OnProbe(true, kQuickNs + 1, now)) << "slow";
  EXPECT_FALSE(policy.answers());
  policy.OnSent();
  EXPECT_FALSE(policy.OnProbe(false, 1, now)) << "failed";
  EXPECT_EQ(GoodProbes(policy, now), ReturnPolicy::kProbes) << "all over again";
  policy.OnReturned(now);
  EXPECT_FALSE(policy.MayReturn());
  EXPECT_EQ(policy.next_probe_ns(), INT64_MAX);
}

TEST(ReturnPolicy, PW13_WhoComesAndGoesHasToAnswerForLonger) {
  ReturnPolicy policy(kQuickNs);
  std::int64_t now = kFarNs;
  std::uint32_t wanted = ReturnPolicy::kProbes;
  for (int round = 0; round < 12; ++round) {
    policy.OnLeft(now);
    EXPECT_EQ(GoodProbes(policy, now), wanted);
    wanted = std::min(2 * wanted, ReturnPolicy::kProbesMax);
    policy.OnReturned(now);
    now += ReturnPolicy::kSettledNs - 1;
  }
  now += 1;
  policy.OnLeft(now);
  EXPECT_EQ(GoodProbes(policy, now), ReturnPolicy::kProbes) << "it was quiet for long";
}

TEST(ReturnPolicy, PW13_AProbeFromBeforeSaysNothing) {
  ReturnPolicy policy(kQuickNs);
  policy.OnLeft(kFarNs);
  policy.OnSent();
  policy.OnReturned(kFarNs + 1);  // The other directory failed meanwhile.
  (void)policy.OnProbe(true, 1, kFarNs + 2);
  EXPECT_FALSE(policy.answers());
}

}  // namespace
}  // namespace duramen::wal
