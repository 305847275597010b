// TL4: percentiles are as exact as they say, and may be read while they are counted.
#include "base/histogram.h"

#include <gtest/gtest.h>

#include <memory>
#include <thread>
#include <vector>

#include "base/rng.h"

namespace duramen {
namespace {

void ExpectNear(std::uint64_t told, std::uint64_t exact) {
  const std::uint64_t off = told > exact ? told - exact : exact - told;
  EXPECT_LE(off, exact / 32) << told << " for " << exact;
}

TEST(Histogram, TL4_EveryBucketHoldsWhatItsMiddleStandsFor) {
  std::uint64_t value = 0;
  for (unsigned bit = 0; bit < kHistogramValueBits; ++bit) {
    const std::uint64_t power = std::uint64_t{1} << bit;
    const std::uint64_t step = std::max<std::uint64_t>(power / 64, 1);
    for (value = power; value < 2 * power; value += step) {
      ASSERT_LT(HistogramBucket(value), kHistogramBuckets);
      ExpectNear(HistogramMiddle(HistogramBucket(value)), value);
    }
  }
  for (std::uint64_t small = 0; small < 32; ++small) {
    EXPECT_EQ(HistogramMiddle(HistogramBucket(small)), small);
  }
  EXPECT_EQ(HistogramBucket(UINT64_MAX), kHistogramBuckets - 1);
}

TEST(Histogram, TL4_PercentilesAreWithinTheirBound) {
  Rng rng(11);
  for (const unsigned bits : {4u, 12u, 30u, 39u}) {
    SCOPED_TRACE(bits);
    const auto histogram = std::make_unique<Histogram>();
    std::vector<std::uint64_t> exact;
    std::uint64_t sum = 0;
    for (int i = 0; i < 5000; ++i) {
      // Of every size: uniform numbers would all be large.
      const std::uint64_t value = rng.Next() >> (64 - 1 - rng.Next() % bits);
      histogram->Add(value);
      exact.push_back(value);
      sum += value;
    }
    std::sort(exact.begin(), exact.end());
    const HistogramCounts counts = histogram->Read();
    EXPECT_EQ(counts.count, exact.size());
    EXPECT_EQ(counts.sum, sum);
    EXPECT_EQ(counts.max, exact.back());
    for (const double part : {0.0, 0.01, 0.5, 0.9, 0.99, 0.999, 1.0}) {
      const auto rank = static_cast<std::size_t>(part * static_cast<double>(exact.size() - 1));
      ExpectNear(counts.Quantile(part), exact[rank]);
    }
  }
}

TEST(Histogram, TL4_WhatIsTooLargeIsKnownByItsMaximum) {
  const auto histogram = std::make_unique<Histogram>();
  histogram->Add(std::uint64_t{1} << 50, 3);
  histogram->AddNs(-5);
  const HistogramCounts counts = histogram->Read();
  EXPECT_EQ(counts.Quantile(0), 0u);
  EXPECT_EQ(counts.Quantile(1), std::uint64_t{1} << 50);
  EXPECT_EQ(HistogramCounts().Quantile(0.99), 0u);
}

TEST(Histogram, TL4_MergedAndTakenApartItCountsTheSame) {
  Rng rng(5);
  const auto first = std::make_unique<Histogram>();
  const auto both = std::make_unique<Histogram>();
  HistogramCounts second;
  for (int i = 0; i < 1000; ++i) {
    const std::uint64_t value = rng.Next() >> 40;
    first->Add(value, 2);
    both->Add(value, 2);
  }
  const HistogramCounts earlier = both->Read();
  for (int i = 0; i < 500; ++i) {
    const std::uint64_t value = rng.Next() >> 50;
    second.Add(value);
    both->Add(value);
  }
  HistogramCounts merged = first->Read();
  merged.Merge(second);
  EXPECT_EQ(merged.buckets, both->Read().buckets);
  EXPECT_EQ(merged.count, 2500u);
  EXPECT_EQ(merged.sum, both->Read().sum);
  const HistogramCounts since = both->Read().Since(earlier);
  EXPECT_EQ(since.buckets, second.buckets);
  EXPECT_EQ(since.count, 500u);
  EXPECT_EQ(since.sum, second.sum);
}

TEST(Histogram, TL4_AReaderBesideTheOneThatCountsSeesWholeCounts) {
  const auto histogram = std::make_unique<Histogram>();
  constexpr std::uint64_t kTimes = 200'000;
  std::thread counting([&] {
    for (std::uint64_t i = 0; i < kTimes; ++i) histogram->Add(i % 100'000);
  });
  std::uint64_t last = 0;
  while (last < kTimes) {
    const HistogramCounts counts = histogram->Read();
    ASSERT_GE(counts.count, last);
    ASSERT_LE(counts.count, kTimes);
    ASSERT_LE(counts.Quantile(1), 100'000u);
    last = counts.count;
  }
  counting.join();
}

}  // namespace
}  // namespace duramen
