#include "simulator/run.h"

#include "simulator/judge.h"

namespace duramen::simulator {

Outcome RunSeed(std::uint64_t seed, const Settings& settings, Narrator* narrator) {
  World world(seed, settings, narrator);
  Outcome outcome{.verdict = world.Run(), .tally = {}, .trace_hash = 0, .records = {}};
  if (outcome.verdict.empty()) {
    outcome.verdict = JudgeRecords(world.records(), settings.AllClusters());
  }
  outcome.tally = world.tally();
  outcome.trace_hash = world.trace_hash();
  outcome.records = world.TakeRecords();
  return outcome;
}

Settings Shrink(std::uint64_t seed, const Settings& failing, const std::function<bool()>& stop) {
  return ShrunkBy<Settings>(kSettingFields, failing, [&](const Settings& tried) {
    if (stop()) return Trial::kStop;
    return RunSeed(seed, tried).verdict.empty() ? Trial::kClean : Trial::kFails;
  });
}

std::string DifferenceFromDraw(std::uint64_t seed, const Settings& settings) {
  return DifferenceOf<Settings>(kSettingFields, DrawSettings(seed), settings);
}

Settings SettingsOf(std::uint64_t seed, std::string_view text) {
  return SettingsWith<Settings>(kSettingFields, DrawSettings(seed), text);
}

}  // namespace duramen::simulator
