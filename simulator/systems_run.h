// One seed of systems, from its settings to its verdict; and a failing one made small.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "simulator/client.h"
#include "simulator/narrator.h"
#include "simulator/systems_settings.h"

namespace duramen::simulator {

struct SystemsOutcome {
  std::string verdict;  // empty: nothing went wrong
  SystemsTally tally;
  std::uint64_t trace_hash = 0;
  std::vector<Record> records = {};  // what the clients did and saw
};

/// A life, and the judgement of what its clients saw.
SystemsOutcome RunSystemsSeed(std::uint64_t seed, const SystemsSettings& settings,
                              Narrator* narrator = nullptr);

/// As Shrink of run.h.
SystemsSettings ShrinkSystems(std::uint64_t seed, const SystemsSettings& failing,
                              const std::function<bool()>& stop);

/// What a seed draws, but for what `text` says: "loss=0 kill_ms=500". Requires: names of settings.
SystemsSettings SystemsSettingsOf(std::uint64_t seed, std::string_view text);

}  // namespace duramen::simulator
