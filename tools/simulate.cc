#include "tools/simulate.h"

#include <chrono>
#include <ctime>
#include <fstream>
#include <limits>
#include <span>

#include "base/try.h"
#include "simulator/run.h"
#include "simulator/systems_run.h"
#include "tools/interrupt.h"
#include "tools/simulated_histories.h"
#include "tools/teller.h"
#include "tools/text.h"
#include "tools/version.h"

namespace duramen::tools {
namespace {

using SteadyClock = std::chrono::steady_clock;

double SecondsSince(SteadyClock::time_point start) {
  return std::chrono::duration<double>(SteadyClock::now() - start).count();
}

/// The two kinds of lives: Raft servers on stores, and systems as embedders have them.
struct Lives {
  using Settings = simulator::Settings;
  using Tally = simulator::Tally;
  static constexpr std::span<const simulator::FieldOf<Settings>> kFields =
      simulator::kSettingFields;
  static constexpr const char* kFlag = "";
  static constexpr const char* kPage =
      "# Soak of the simulator\n\nLives of whole clusters without a finding: `duramen "
      "simulate --soak "
      "docs/soak-simulator.md --minutes M` takes the\nseeds behind those of the last row and "
      "adds one.\n\n";
  static Settings Draw(std::uint64_t seed) { return simulator::DrawSettings(seed); }
  static simulator::Outcome Run(std::uint64_t seed, const Settings& settings,
                                simulator::Narrator* narrator) {
    return simulator::RunSeed(seed, settings, narrator);
  }
  static Settings Shrink(std::uint64_t seed, const Settings& settings) {
    return simulator::Shrink(seed, settings, [] { return Interrupted(); });
  }
  static std::uint64_t Clusters(const Settings& settings) { return settings.AllClusters(); }
  static Status Validate(const Settings& settings);
};

struct SystemsLives {
  using Settings = simulator::SystemsSettings;
  using Tally = simulator::SystemsTally;
  static constexpr std::span<const simulator::FieldOf<Settings>> kFields =
      simulator::kSystemsFields;
  static constexpr const char* kFlag = " --systems";
  static constexpr const char* kPage =
      "# Soak of simulated systems\n\nLives of whole systems without a finding: `duramen "
      "simulate --systems --soak docs/soak-systems.md --minutes M`\ntakes the seeds behind those "
      "of the last row and adds one.\n\n";
  static Settings Draw(std::uint64_t seed) { return simulator::DrawSystemsSettings(seed); }
  static simulator::SystemsOutcome Run(std::uint64_t seed, const Settings& settings,
                                       simulator::Narrator* narrator) {
    return simulator::RunSystemsSeed(seed, settings, narrator);
  }
  static Settings Shrink(std::uint64_t seed, const Settings& settings) {
    return simulator::ShrinkSystems(seed, settings, [] { return Interrupted(); });
  }
  static std::uint64_t Clusters(const Settings& settings) { return settings.clusters; }
  static Status Validate(const Settings& settings);
};

/// NAME=VALUE into `settings`; an error that names what there is.
template <typename Life>
Status Override(typename Life::Settings& settings, const std::string& text) {
  const std::size_t equals = text.find('=');
  const std::optional<std::uint64_t> value =
      equals == text.npos ? std::nullopt : ParseCount(text.substr(equals + 1));
  if (value && simulator::SetByName(Life::kFields, settings, text.substr(0, equals), *value))
    return {};
  std::string names;
  for (const auto& field : Life::kFields) {
    names += (names.empty() ? "" : ", ") + std::string(field.name);
  }
  return Error{ErrorCode::kConfiguration, "--set " + text + " is not NAME=VALUE of a setting",
               "there are " + names};
}

Status Lives::Validate(const Settings& settings) {
  const bool fits = settings.nodes >= 1 && settings.nodes <= 7 && settings.members >= 1 &&
                    settings.members <= settings.nodes && settings.clusters >= 1 &&
                    settings.clusters <= 64 && settings.crowd <= 64 - settings.clusters &&
                    settings.clients <= 100 && settings.keys >= 1 &&
                    settings.lanes >= 1 && settings.lanes <= 16 &&
                    settings.shards >= 1 && settings.shards <= 16 &&
                    settings.append_max >= 1 && settings.append_max <= 65536 &&
                    settings.pipeline_max >= 1 && settings.wal_file_kb >= 48 &&
                    settings.lease_margin_ms < 1000 && settings.think_ms >= 1;
  if (fits) return {};
  return Error{ErrorCode::kConfiguration, "settings of the simulation are out of range",
               "nodes 1 to 7, members up to nodes, clusters and crowd together 1 to 64, clients up "
               "to 100, lanes and shards 1 to 16, keys, "
               "append_max, pipeline_max "
               "and think_ms from 1, wal_file_kb from 48, lease_margin_ms below 1000"};
}

Status SystemsLives::Validate(const Settings& settings) {
  const bool fits = settings.nodes >= 1 && settings.nodes <= 7 && settings.members >= 1 &&
                    settings.members <= settings.nodes && settings.clusters >= 1 &&
                    settings.clusters <= 64 && settings.clients <= 100 && settings.keys >= 1 &&
                    settings.workers >= 1 && settings.workers <= 16 && settings.shards >= 1 &&
                    settings.shards <= 16 && settings.wal_file_kb >= 48 &&
                    settings.lanes >= 1 && settings.lanes <= 16 &&
                    settings.in_session <= 100 && settings.lease_margin_ms < 1000 &&
                    settings.think_ms >= 1;
  if (fits) return {};
  return Error{ErrorCode::kConfiguration, "settings of the simulation are out of range",
               "nodes 1 to 7, members up to nodes, clusters 1 to 64, clients and in_session up to "
               "100, workers, shards and lanes 1 to 16, keys and think_ms from 1, wal_file_kb from "
               "48, lease_margin_ms below 1000"};
}

/// The seed behind the last row of a soak page; 1 if there is none.
std::uint64_t NextSeedOf(const std::string& path) {
  std::ifstream page(path);
  std::uint64_t next = 1;
  for (std::string line; std::getline(page, line);) {
    const std::size_t dash = line.rfind('-');
    const std::size_t bar = line.rfind(" |");
    if (line.rfind("| ", 0) != 0 || dash == line.npos || bar == line.npos || bar < dash) continue;
    if (const auto last = ParseCount(line.substr(dash + 1, bar - dash - 1)))
      next = std::max(next, *last + 1);
  }
  return next;
}

template <typename Life>
struct Progress {
  std::uint64_t first = 1;
  std::uint64_t next = 1;
  std::uint64_t failed = 0;
  double seconds = 0;
  double cpu_seconds = 0;
  typename Life::Tally tally;
};

template <typename Life>
void AddSoakRow(const std::string& path, const Progress<Life>& progress) {
  const bool fresh = !std::ifstream(path).good();
  std::ofstream page(path, std::ios::app);
  if (fresh) {
    page << Life::kPage << "| commit | CPU seconds | tally | seeds |\n|---|---|---|---|\n";
  }
  page << "| " << CommitOfBuild() << " | " << static_cast<std::uint64_t>(progress.cpu_seconds)
       << " | " << progress.tally.ToText() << " | " << progress.first << "-" << progress.next - 1
       << " |\n";
}

template <typename Life>
void ReportFailure(std::uint64_t seed, const typename Life::Settings& settings, bool shrink,
                   Terminal& terminal) {
  typename Life::Settings small = settings;
  if (shrink) small = Life::Shrink(seed, settings);
  const std::string difference = simulator::DifferenceOf(Life::kFields, Life::Draw(seed), small);
  terminal.Out("replay (commit " + CommitOfBuild() + "): duramen simulate" + Life::kFlag +
               " --seed " + std::to_string(seed) + (difference.empty() ? "" : " " + difference) +
               " --tell\n");
  (void)terminal.Flush();
}

template <typename Life>
Result<typename Life::Settings> SettingsFor(std::uint64_t seed,
                                            const std::vector<std::string>& overrides) {
  typename Life::Settings settings = Life::Draw(seed);
  for (const std::string& text : overrides) TRY(Override<Life>(settings, text));
  TRY(Life::Validate(settings));
  return settings;
}

template <typename Life>
ExitCode Report(const SimulateOptions& options, Progress<Life>& progress, Terminal& terminal) {
  progress.cpu_seconds = static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
  terminal.Out(
      Plural(progress.next - progress.first, "seed") + ", " + std::to_string(progress.failed) +
      " failed, " + Decimal(progress.seconds, 1) + " s (" +
      Decimal(static_cast<double>(progress.tally.seconds) / std::max(progress.seconds, 1e-9), 0) +
      " x real time)\n" + progress.tally.ToText() + "\n");
  if (!options.soak.empty() && progress.failed == 0 && progress.next > progress.first)
    AddSoakRow(options.soak, progress);
  if (progress.failed > 0) return ExitCode::kDamage;
  return Interrupted() ? ExitCode::kInterrupted : ExitCode::kClean;
}

template <typename Life>
ExitCode RunLives(const SimulateOptions& options, Terminal& terminal) {
  Progress<Life> progress;
  progress.first = options.soak.empty() ? options.seed : NextSeedOf(options.soak);
  progress.next = progress.first;
  const std::uint64_t end = options.minutes > 0 && options.seeds == 1
                                ? std::numeric_limits<std::uint64_t>::max()
                                : progress.first + options.seeds;
  Teller teller(terminal);
  const SteadyClock::time_point start = SteadyClock::now();
  while (progress.next < end && !Interrupted()) {
    if (options.minutes > 0 && SecondsSince(start) >= 60.0 * static_cast<double>(options.minutes))
      break;
    const std::uint64_t seed = progress.next++;
    const auto settings = SettingsFor<Life>(seed, options.settings);
    if (!settings.ok()) {
      terminal.Complain(settings.error());
      return ExitCode::kUsage;
    }
    const auto outcome = Life::Run(seed, *settings, options.tell ? &teller : nullptr);
    progress.tally.Add(outcome.tally);
    if (!outcome.verdict.empty()) {
      ++progress.failed;
      terminal.Out("seed " + std::to_string(seed) + " fails: " + outcome.verdict + "\n");
      ReportFailure<Life>(seed, *settings, options.shrink, terminal);
    } else if (options.tell || end == progress.first + 1) {
      terminal.Out("seed " + std::to_string(seed) + ": nothing went wrong, trace " +
                   Hex({reinterpret_cast<const std::byte*>(&outcome.trace_hash), 8}) + "\n");
    }
    if (!options.histories.empty()) {
      const Status written = WriteHistories(options.histories, seed, Life::Clusters(*settings),
                                            outcome.records);
      if (!written.ok()) {
        terminal.Complain(written.error());
        return ExitCodeOf(written.error().code);
      }
    }
    terminal.Progress("seed " + std::to_string(seed));
  }
  progress.seconds = SecondsSince(start);
  return Report(options, progress, terminal);
}

}  // namespace

ExitCode RunSimulate(const SimulateOptions& options, Terminal& terminal) {
  return options.systems ? RunLives<SystemsLives>(options, terminal)
                         : RunLives<Lives>(options, terminal);
}

}  // namespace duramen::tools
