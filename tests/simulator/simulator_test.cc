// The simulator itself: a seed says everything, a failure becomes small, and its judge is one.
#include <gtest/gtest.h>

#include "history/checker.h"
#include "simulator/judge.h"
#include "simulator/run.h"

namespace duramen::simulator {
namespace {

TEST(Simulator, CT2_TheSameSeedHasTheSameTrace) {
  for (const std::uint64_t seed : {3, 14, 159}) {
    const Outcome first = RunSeed(seed, DrawSettings(seed));
    const Outcome second = RunSeed(seed, DrawSettings(seed));
    EXPECT_EQ(first.trace_hash, second.trace_hash) << seed;
    EXPECT_EQ(first.tally.ToText(), second.tally.ToText()) << seed;
    EXPECT_NE(first.trace_hash, RunSeed(seed + 1, DrawSettings(seed + 1)).trace_hash);
  }
}

TEST(Simulator, CT2_SettingsThatDifferFromTheDrawAreNamed) {
  Settings settings = DrawSettings(7);
  EXPECT_EQ(DifferenceFromDraw(7, settings), "");
  settings.kill_ms += 5;
  EXPECT_EQ(DifferenceFromDraw(7, settings), "--set kill_ms=" + std::to_string(settings.kill_ms));
  EXPECT_TRUE(SetByName<Settings>(kSettingFields, settings, "loss", 9));
  EXPECT_EQ(settings.loss, 9U);
  EXPECT_FALSE(SetByName<Settings>(kSettingFields, settings, "los", 9));
}

/// Histories of some length, with 10 clients and outcomes that stay unknown.
TEST(Simulator, CT4_AHistoryWithOneAnswerAlteredIsNoHistory) {
  for (const std::uint64_t seed : {21, 22, 23}) {
    Settings settings{.clients = 10, .think_ms = 60, .loss = 50, .partition_ms = 10'000};
    settings.kill_ms = settings.power_ms = 8'000;
    settings.disk_us = 2'000;
    World world(seed, settings, nullptr);
    ASSERT_EQ(world.Run(), "");
    EXPECT_GE(world.tally().operations, 2000U);
    EXPECT_GE(world.tally().unknown * 20, world.tally().operations);  // 5 %
    EXPECT_EQ(JudgeRecords(world.records(), 1), "");
    for (const history::ModelKind model :
         {history::ModelKind::kRegister, history::ModelKind::kSet}) {
      for (std::uint64_t place = 0; place < 3; ++place) {
        history::HistoryBuilder builder(model);
        for (const history::Event& event :
             WithOneAnswerAltered(EventsOf(world.records(), 0, model), seed * 7 + place * 101)) {
          ASSERT_TRUE(builder.Add(event).ok());
        }
        EXPECT_EQ(history::CheckHistory(builder.Take(), {}).verdict,
                  history::Verdict::kNotLinearizable);
      }
    }
  }
}

}  // namespace
}  // namespace duramen::simulator
