// One seed, from its settings to its verdict; and a failing one made small.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "simulator/settings.h"
#include "simulator/world.h"

namespace duramen::simulator {

struct Outcome {
  std::string verdict;  // empty: nothing went wrong
  Tally tally;
  std::uint64_t trace_hash = 0;
  std::vector<Record> records = {};  // what the clients did and saw
};

/// A life, and the judgement of what its clients saw.
Outcome RunSeed(std::uint64_t seed, const Settings& settings, Narrator* narrator = nullptr);

/// The settings under which `seed` still fails after each kind of trouble was left out that it does
/// not need, and the time cut. Each try is a whole life; `stop` is asked between them.
Settings Shrink(std::uint64_t seed, const Settings& failing, const std::function<bool()>& stop);

/// "--set loss=0 --set kill_ms=0": how `settings` differ from what the seed draws; empty if they do
/// not.
std::string DifferenceFromDraw(std::uint64_t seed, const Settings& settings);

/// What a seed draws, but for what `text` says: "loss=0 kill_ms=500". Requires: names of settings.
Settings SettingsOf(std::uint64_t seed, std::string_view text);

}  // namespace duramen::simulator
