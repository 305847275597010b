#include "tools/demo_simulated.h"

#include "simulator/run.h"
#include "tools/teller.h"
#include "tools/text.h"
#include "tools/version.h"

namespace duramen::tools {
namespace {

/// Of everything some, in a minute.
simulator::Settings DemoSettings() {
  simulator::Settings settings;
  settings.nodes = 4;
  settings.clients = 10;
  settings.think_ms = 150;
  settings.delay_us = 2'000;
  settings.loss = 100;
  settings.doubling = 100;
  settings.partition_ms = 12'000;
  settings.kill_ms = 9'000;
  settings.power_ms = 12'000;
  settings.pause_ms = 20'000;
  settings.disk_us = 2'000;
  settings.disk_error_ms = 20'000;
  settings.disk_full_ms = 30'000;
  settings.rot_ms = 8'000;
  settings.wipe_ms = 40'000;
  settings.change_ms = 15'000;
  settings.transfer_ms = 15'000;
  settings.wal_file_kb = 512;
  return settings;
}

constexpr char kWhatHeld[] =
    "held after every step: one leader a term, votes and terms that survive crashes, leaders\n"
    "that have all that was committed, one command an index for ever, commit indexes that never\n"
    "go back, lost entries that are never forgotten; after the trouble: the cluster serves\n"
    "again; of what the clients saw: it is linearizable, and with one answer altered it is not\n";

}  // namespace

ExitCode RunSimulatedDemo(const DemoOptions& options, Terminal& terminal) {
  const simulator::Settings settings = DemoSettings();
  terminal.Out(Plural(settings.nodes, "node") + " with the real storage on simulated disks, " +
               Plural(settings.members, "member") + " of a cluster, " +
               Plural(settings.clients, "client") + ", seed " + std::to_string(options.seed) +
               "; an hour of such a life takes a few seconds\n\n");
  Teller teller(terminal);
  const simulator::Outcome outcome = simulator::RunSeed(options.seed, settings, &teller);
  terminal.Out("\n" + outcome.tally.ToText() + "\n");
  if (!outcome.verdict.empty()) {
    terminal.Out("FAILED (commit " + CommitOfBuild() + ", seed " + std::to_string(options.seed) +
                 "): " + outcome.verdict + "\n");
    (void)terminal.Flush();
    return ExitCode::kDamage;
  }
  terminal.Out(kWhatHeld + ("trace " + std::to_string(outcome.trace_hash)) +
               ": the same seed tells the same story\n");
  const Status flushed = terminal.Flush();
  return flushed.ok() ? ExitCode::kClean : ExitCodeOf(flushed.error().code);
}

}  // namespace duramen::tools
