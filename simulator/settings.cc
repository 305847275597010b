#include "simulator/settings.h"

#include <algorithm>

#include "base/rng.h"

namespace duramen::simulator {
namespace {

/// Off in one of two lives, else between `low` and `high`.
std::uint64_t Maybe(Rng& rng, std::uint64_t low, std::uint64_t high) {
  const std::uint64_t drawn = low + rng.Below(high - low + 1);
  return rng.OneIn(2) ? 0 : drawn;
}

/// What it takes to be in the wrong place at the wrong time: rare in most lives, frequent in some.
void DrawSharpTroubles(Rng& rng, Settings& settings) {
  const auto sometimes = [&rng](std::uint64_t low, std::uint64_t high) {
    const std::uint64_t drawn = low + rng.Below(high - low + 1);
    return rng.OneIn(4) ? drawn : 0;
  };
  settings.lanes = std::max<std::uint64_t>(1, sometimes(2, 4));
  if (settings.lanes > 1) settings.clients = std::min<std::uint64_t>(settings.clients, 4);
  settings.straggle = sometimes(3, 50);
  settings.hunt_ms = sometimes(200, 4'000);
  settings.lasting_ms = sometimes(500, 3'000);
  settings.stall_ms = sometimes(500, 10'000);
  settings.late_us = sometimes(1'000, 50'000);
  settings.roam = sometimes(1, 10);
  settings.dsync = sometimes(1, 1);
  settings.packed = sometimes(1, 1);
  settings.failover = sometimes(1, 1);
  settings.reads = sometimes(50, 95);
  settings.shorten = sometimes(2, 20);
  settings.latent = sometimes(1, 1);
  settings.dying = sometimes(1, 1);
  const std::uint64_t crowd = 8 + rng.Below(48);
  settings.crowd = rng.OneIn(50) ? crowd : 0;
  settings.tight = sometimes(1, 1);
  settings.shards = std::max<std::uint64_t>(1, sometimes(2, 3));
  settings.scribe_ms = sometimes(5, 200);
  settings.inspect = sometimes(1, 5);
  settings.repair = sometimes(1, 3);
  if (settings.repair > 0) settings.inspect = std::max<std::uint64_t>(1, settings.inspect);
  settings.harm_ms = sometimes(1'000, 10'000);
  if (settings.repair > 0 && settings.harm_ms == 0) settings.harm_ms = 3'000;
  settings.tend_ms = sometimes(500, 5'000);
  settings.stillborn = sometimes(2, 10);
}

}  // namespace

Settings DrawSettings(std::uint64_t seed) {
  Rng rng(seed ^ 0x73657474696E6773);
  Settings settings;
  settings.nodes = 1 + rng.Below(7);
  if (rng.OneIn(2)) settings.nodes = 3;
  settings.members = 1 + rng.Below(std::min<std::uint64_t>(settings.nodes, 5));
  if (!rng.OneIn(3)) settings.members = std::min<std::uint64_t>(settings.nodes, 3);
  settings.clusters = rng.OneIn(3) ? 1 + rng.Below(8) : 1;
  settings.clients = 3 + rng.Below(8);
  settings.think_ms = 20 + rng.Below(400);
  settings.keys = 1 + rng.Below(4);
  settings.trouble_ms = 20'000 + rng.Below(40'000);
  settings.delay_us = 100 + rng.Below(20'000);
  settings.loss = Maybe(rng, 5, 200);
  settings.doubling = Maybe(rng, 5, 200);
  settings.partition_ms = Maybe(rng, 3'000, 20'000);
  settings.clog_ms = Maybe(rng, 3'000, 20'000);
  settings.kill_ms = Maybe(rng, 4'000, 30'000);
  settings.power_ms = Maybe(rng, 4'000, 30'000);
  settings.pause_ms = Maybe(rng, 5'000, 30'000);
  settings.drift = rng.Below(2);
  settings.disk_us = Maybe(rng, 50, 20'000);
  settings.disk_error_ms = Maybe(rng, 5'000, 30'000);
  settings.disk_full_ms = rng.OneIn(2) ? Maybe(rng, 10'000, 40'000) : 0;
  settings.rot_ms = rng.OneIn(2) ? Maybe(rng, 5'000, 40'000) : 0;
  settings.wipe_ms = rng.OneIn(2) ? Maybe(rng, 10'000, 60'000) : 0;
  settings.change_ms = Maybe(rng, 1'000, 15'000);
  settings.transfer_ms = Maybe(rng, 2'000, 15'000);
  // A lease is safe only where clocks keep to the margin, so not where they run at double speed.
  settings.lease_margin_ms = settings.drift != 0 ? 0 : Maybe(rng, 10, 100);
  if (rng.OneIn(3)) {
    // Hard times: what takes a crash at the wrong moment needs many crashes, and moments that last.
    settings.kill_ms = 300 + rng.Below(3'000);
    settings.power_ms = Maybe(rng, 500, 4'000);
    settings.disk_us = 1'000 + rng.Below(300'000);
    settings.delay_us = 1'000 + rng.Below(150'000);
    settings.think_ms = 20 + rng.Below(60);
    settings.change_ms = Maybe(rng, 500, 4'000);
    settings.transfer_ms = Maybe(rng, 500, 4'000);
  }
  settings.append_max = rng.OneIn(2) ? 128 : 1 + rng.Below(8);
  settings.pipeline_max = rng.OneIn(2) ? 4096 : 1 + rng.Below(32);
  settings.quiet = rng.Below(2);
  settings.wal_file_kb = 48 + 16 * rng.Below(rng.OneIn(2) ? 4 : 64);
  DrawSharpTroubles(rng, settings);
  return settings;
}

}  // namespace duramen::simulator
