#include "simulator/systems_run.h"

#include "simulator/judge.h"
#include "simulator/systems_world.h"

namespace duramen::simulator {

SystemsOutcome RunSystemsSeed(std::uint64_t seed, const SystemsSettings& settings,
                              Narrator* narrator) {
  SystemsWorld world(seed, settings, narrator);
  SystemsOutcome outcome{.verdict = world.Run(), .tally = world.tally()};
  outcome.trace_hash = world.trace_hash();
  outcome.records = world.TakeRecords();
  if (outcome.verdict.empty())
    outcome.verdict = JudgeRecords(outcome.records, settings.clusters);
  return outcome;
}

SystemsSettings ShrinkSystems(std::uint64_t seed, const SystemsSettings& failing,
                              const std::function<bool()>& stop) {
  return ShrunkBy<SystemsSettings>(kSystemsFields, failing, [&](const SystemsSettings& tried) {
    if (stop()) return Trial::kStop;
    return RunSystemsSeed(seed, tried).verdict.empty() ? Trial::kClean : Trial::kFails;
  });
}

SystemsSettings SystemsSettingsOf(std::uint64_t seed, std::string_view text) {
  return SettingsWith<SystemsSettings>(kSystemsFields, DrawSystemsSettings(seed), text);
}

}  // namespace duramen::simulator
