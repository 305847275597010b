#include "simulator/run.h"

#include <algorithm>

#include "base/check.h"
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
  Settings small = failing;
  const auto still_fails = [&](const Settings& tried) {
    return !RunSeed(seed, tried).verdict.empty();
  };
  for (const SettingField& field : kSettingFields) {
    if (!field.is_trouble || small.*field.member == 0 || stop()) continue;
    Settings without = small;
    without.*field.member = 0;
    if (still_fails(without)) small = without;
  }
  while (small.trouble_ms > 1000 && !stop()) {
    Settings shorter = small;
    shorter.trouble_ms = small.trouble_ms * 3 / 4;
    if (!still_fails(shorter)) break;
    small = shorter;
  }
  return small;
}

std::string DifferenceFromDraw(std::uint64_t seed, const Settings& settings) {
  const Settings drawn = DrawSettings(seed);
  std::string text;
  for (const SettingField& field : kSettingFields) {
    if (settings.*field.member == drawn.*field.member) continue;
    text += (text.empty() ? "" : " ") + ("--set " + std::string(field.name)) + "=" +
            std::to_string(settings.*field.member);
  }
  return text;
}

Settings SettingsOf(std::uint64_t seed, std::string_view text) {
  Settings settings = DrawSettings(seed);
  while (!text.empty()) {
    const std::string_view one = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(one.size() + 1, text.size()));
    if (one.empty()) continue;
    const std::size_t equals = std::min(one.find('='), one.size());
    std::uint64_t value = 0;
    for (const char digit : one.substr(std::min(equals + 1, one.size()))) {
      value = value * 10 + static_cast<std::uint64_t>(digit - '0');
    }
    CHECK(SetByName(settings, one.substr(0, equals), value));
  }
  return settings;
}

bool SetByName(Settings& settings, std::string_view name, std::uint64_t value) {
  for (const SettingField& field : kSettingFields) {
    if (field.name != name) continue;
    settings.*field.member = value;
    return true;
  }
  return false;
}

}  // namespace duramen::simulator
