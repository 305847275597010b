#include "tools/simulate.h"

#include <chrono>
#include <ctime>
#include <fstream>
#include <limits>
#include <sstream>

#include "simulator/run.h"
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

/// NAME=VALUE into `settings`; an error that names what there is.
Status Override(simulator::Settings& settings, const std::string& text) {
  const std::size_t equals = text.find('=');
  const std::optional<std::uint64_t> value =
      equals == text.npos ? std::nullopt : ParseCount(text.substr(equals + 1));
  if (value && simulator::SetByName(settings, text.substr(0, equals), *value)) return {};
  std::string names;
  for (const simulator::SettingField& field : simulator::kSettingFields) {
    names += (names.empty() ? "" : ", ") + std::string(field.name);
  }
  return Error{ErrorCode::kConfiguration, "--set " + text + " is not NAME=VALUE of a setting",
               "there are " + names};
}

Status Validate(const simulator::Settings& settings) {
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

struct Progress {
  std::uint64_t first = 1;
  std::uint64_t next = 1;
  std::uint64_t failed = 0;
  double seconds = 0;
  double cpu_seconds = 0;
  simulator::Tally tally;
};

void AddSoakRow(const std::string& path, const Progress& progress) {
  const bool fresh = !std::ifstream(path).good();
  std::ofstream page(path, std::ios::app);
  if (fresh) {
    page << "# Soak of the simulator\n\nLives of whole clusters without a finding: `duramen "
            "simulate --soak "
            "docs/soak-simulator.md --minutes M` takes the\nseeds behind those of the last row and "
            "adds one.\n\n"
            "| commit | CPU seconds | tally | seeds |\n|---|---|---|---|\n";
  }
  page << "| " << CommitOfBuild() << " | " << static_cast<std::uint64_t>(progress.cpu_seconds)
       << " | " << progress.tally.ToText() << " | " << progress.first << "-" << progress.next - 1
       << " |\n";
}

void ReportFailure(std::uint64_t seed, const simulator::Settings& settings, bool shrink,
                   Terminal& terminal) {
  simulator::Settings small = settings;
  if (shrink) small = simulator::Shrink(seed, settings, [] { return Interrupted(); });
  const std::string difference = simulator::DifferenceFromDraw(seed, small);
  terminal.Out("replay (commit " + CommitOfBuild() + "): duramen simulate --seed " +
               std::to_string(seed) + (difference.empty() ? "" : " " + difference) + " --tell\n");
  (void)terminal.Flush();
}

}  // namespace

ExitCode RunSimulate(const SimulateOptions& options, Terminal& terminal) {
  Progress progress{.first = options.soak.empty() ? options.seed : NextSeedOf(options.soak),
                    .next = 0,
                    .tally = {}};
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
    simulator::Settings settings = simulator::DrawSettings(seed);
    for (const std::string& text : options.settings) {
      if (const Status set = Override(settings, text); !set.ok()) {
        terminal.Complain(set.error());
        return ExitCode::kUsage;
      }
    }
    if (const Status valid = Validate(settings); !valid.ok()) {
      terminal.Complain(valid.error());
      return ExitCode::kUsage;
    }
    const simulator::Outcome outcome =
        simulator::RunSeed(seed, settings, options.tell ? &teller : nullptr);
    progress.tally.Add(outcome.tally);
    if (!outcome.verdict.empty()) {
      ++progress.failed;
      terminal.Out("seed " + std::to_string(seed) + " fails: " + outcome.verdict + "\n");
      ReportFailure(seed, settings, options.shrink, terminal);
    } else if (options.tell || end == progress.first + 1) {
      terminal.Out("seed " + std::to_string(seed) + ": nothing went wrong, trace " +
                   Hex({reinterpret_cast<const std::byte*>(&outcome.trace_hash), 8}) + "\n");
    }
    if (!options.histories.empty()) {
      const Status written =
          WriteHistories(options.histories, seed, settings.AllClusters(), outcome);
      if (!written.ok()) {
        terminal.Complain(written.error());
        return ExitCodeOf(written.error().code);
      }
    }
    terminal.Progress("seed " + std::to_string(seed));
  }
  progress.seconds = SecondsSince(start);
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

}  // namespace duramen::tools
