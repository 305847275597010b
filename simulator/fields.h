// Settings by name: set from text, compared, and cut down to what a failure takes. For every kind
// of life that a seed decides. Pure, but for the trials of a failure.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/check.h"

namespace duramen::simulator {

template <typename Settings>
struct FieldOf {
  std::string_view name;
  std::uint64_t Settings::*member;
  bool is_trouble;  // may be set to zero when a failure is shrunk
};

/// Sets the member that is called `name`; false if there is none.
template <typename Settings>
bool SetByName(std::span<const FieldOf<Settings>> fields, Settings& settings,
               std::string_view name, std::uint64_t value) {
  for (const FieldOf<Settings>& field : fields) {
    if (field.name != name) continue;
    settings.*field.member = value;
    return true;
  }
  return false;
}

/// "--set loss=0 --set kill_ms=0": how `settings` differ from `drawn`; empty if they do not.
template <typename Settings>
std::string DifferenceOf(std::span<const FieldOf<Settings>> fields, const Settings& drawn,
                         const Settings& settings) {
  std::string text;
  for (const FieldOf<Settings>& field : fields) {
    if (settings.*field.member == drawn.*field.member) continue;
    text += (text.empty() ? "" : " ") + ("--set " + std::string(field.name)) + "=" +
            std::to_string(settings.*field.member);
  }
  return text;
}

/// `settings`, but for what `text` says: "loss=0 kill_ms=500". Requires: names of settings.
template <typename Settings>
Settings SettingsWith(std::span<const FieldOf<Settings>> fields, Settings settings,
                      std::string_view text) {
  while (!text.empty()) {
    const std::string_view one = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(one.size() + 1, text.size()));
    if (one.empty()) continue;
    const std::size_t equals = std::min(one.find('='), one.size());
    std::uint64_t value = 0;
    for (const char digit : one.substr(std::min(equals + 1, one.size()))) {
      value = value * 10 + static_cast<std::uint64_t>(digit - '0');
    }
    CHECK(SetByName(fields, settings, one.substr(0, equals), value));
  }
  return settings;
}

enum class Trial : std::uint8_t { kClean, kFails, kStop };

/// `failing` without each kind of trouble that it does not take, and with the time cut. Each trial
/// is a whole life.
template <typename Settings, typename Try>
Settings ShrunkBy(std::span<const FieldOf<Settings>> fields, const Settings& failing, Try trial) {
  Settings small = failing;
  for (const FieldOf<Settings>& field : fields) {
    if (!field.is_trouble || small.*field.member == 0) continue;
    Settings without = small;
    without.*field.member = 0;
    const Trial tried = trial(without);
    if (tried == Trial::kStop) return small;
    if (tried == Trial::kFails) small = without;
  }
  while (small.trouble_ms > 1000) {
    Settings shorter = small;
    shorter.trouble_ms = small.trouble_ms * 3 / 4;
    if (trial(shorter) != Trial::kFails) break;
    small = shorter;
  }
  return small;
}

}  // namespace duramen::simulator
