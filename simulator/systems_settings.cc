#include "simulator/systems_settings.h"

#include <algorithm>

#include "base/rng.h"

namespace duramen::simulator {
namespace {

struct Count {
  const char* name;
  std::uint64_t SystemsTally::*member;
};

constexpr Count kCounts[] = {
    {"s", &SystemsTally::seconds},
    {"kills", &SystemsTally::kills},
    {"power losses", &SystemsTally::power_losses},
    {"closed", &SystemsTally::closes},
    {"partitions", &SystemsTally::partitions},
    {"pauses", &SystemsTally::pauses},
    {"disk errors", &SystemsTally::disk_errors},
    {"full disks", &SystemsTally::full_disks},
    {"disk stalls", &SystemsTally::stalls},
    {"transfers", &SystemsTally::transfers},
    {"elections asked for", &SystemsTally::elections},
    {"servers stopped", &SystemsTally::stops},
    {"wiped", &SystemsTally::wiped},
    {"replaced", &SystemsTally::replaced},
    {"changes", &SystemsTally::changes},
    {"founded", &SystemsTally::founded},
    {"deleted", &SystemsTally::deletions},
    {"machines thrown", &SystemsTally::thrown},
    {"operations", &SystemsTally::operations},
    {"acknowledged", &SystemsTally::acknowledged},
    {"sent again", &SystemsTally::retries},
    {"unknown", &SystemsTally::unknown},
    {"reads of own writes", &SystemsTally::own_reads},
    {"messages", &SystemsTally::messages},
    {"effects", &SystemsTally::effects},
    {"parcels", &SystemsTally::parcels},
    {"lost", &SystemsTally::lost},
};

std::uint64_t Between(Rng& rng, std::uint64_t low, std::uint64_t high) {
  return low + rng.Below(high - low + 1);
}

/// Off in one of two lives.
std::uint64_t Maybe(Rng& rng, std::uint64_t low, std::uint64_t high) {
  const std::uint64_t drawn = Between(rng, low, high);
  return rng.OneIn(2) ? 0 : drawn;
}

/// On in one of four.
std::uint64_t Sometimes(Rng& rng, std::uint64_t low, std::uint64_t high) {
  const std::uint64_t drawn = Between(rng, low, high);
  return rng.OneIn(4) ? drawn : 0;
}

}  // namespace

SystemsSettings DrawSystemsSettings(std::uint64_t seed) {
  Rng rng(seed ^ 0x73797374656D7321);
  SystemsSettings settings;
  settings.nodes = rng.OneIn(2) ? 3 : 1 + rng.Below(5);
  settings.members = std::min<std::uint64_t>(settings.nodes, rng.OneIn(4) ? 1 + rng.Below(5) : 3);
  settings.clusters = 1 + rng.Below(4);
  settings.clients = Between(rng, 3, 10);
  settings.keys = Between(rng, 1, 3);
  settings.think_ms = Between(rng, 5, 100);
  settings.trouble_ms = Between(rng, 4'000, 10'000);
  settings.workers = Between(rng, 1, 3);
  settings.wal_file_kb = 48 + 16 * rng.Below(8);
  settings.in_session = rng.Below(101);
  settings.delay_us = Maybe(rng, 50, 10'000);
  settings.loss = Sometimes(rng, 5, 200);
  settings.straggle = Sometimes(rng, 3, 50);
  settings.detect_ms = Maybe(rng, 10, 1'000);
  settings.partition_ms = Maybe(rng, 800, 5'000);
  settings.kill_ms = Maybe(rng, 500, 5'000);
  settings.power_ms = Maybe(rng, 500, 5'000);
  settings.pause_ms = Sometimes(rng, 800, 5'000);
  settings.disk_us = Maybe(rng, 20, 10'000);
  settings.disk_error_ms = Sometimes(rng, 1'000, 5'000);
  settings.disk_full_ms = Sometimes(rng, 1'000, 5'000);
  settings.stall_ms = Sometimes(rng, 500, 5'000);
  settings.lease_margin_ms = Maybe(rng, 10, 100);
  settings.relays = Maybe(rng, 1, 8);
  settings.transfer_ms = Maybe(rng, 300, 4'000);
  settings.election_ms = Sometimes(rng, 300, 4'000);
  settings.stop_ms = Maybe(rng, 300, 4'000);
  settings.change_ms = Maybe(rng, 300, 4'000);
  settings.found_ms = Maybe(rng, 200, 2'000);
  settings.throw_ms = Sometimes(rng, 500, 3'000);
  settings.shards = rng.OneIn(4) ? 2 : 1;
  settings.lanes = rng.OneIn(4) ? 2 + rng.Below(3) : 1;
  if (settings.lanes > 1) settings.clients = std::min<std::uint64_t>(settings.clients, 4);
  settings.close_ms = Sometimes(rng, 500, 5'000);
  settings.dsync = Sometimes(rng, 1, 1);
  settings.packed = Sometimes(rng, 1, 1);
  settings.narrow = Sometimes(rng, 1, 1);
  settings.dying = Sometimes(rng, 1, 1);
  settings.wipe_ms = Sometimes(rng, 500, 3'000);
  settings.late_calls = Maybe(rng, 2, 30);
  if (rng.OneIn(3)) {
    // Hard times: what takes a crash at the wrong moment needs many, and moments that last.
    settings.kill_ms = Between(rng, 200, 2'000);
    settings.power_ms = Maybe(rng, 300, 2'000);
    settings.partition_ms = Maybe(rng, 300, 2'000);
    settings.disk_us = Between(rng, 500, 100'000);
    settings.delay_us = Between(rng, 500, 50'000);
    settings.think_ms = Between(rng, 2, 30);
    settings.transfer_ms = Maybe(rng, 100, 1'000);
    settings.election_ms = Maybe(rng, 100, 1'000);
    settings.change_ms = Maybe(rng, 200, 1'500);
  }
  return settings;
}

void SystemsTally::Add(const SystemsTally& other) {
  for (const Count& count : kCounts) this->*count.member += other.*count.member;
}

std::string SystemsTally::ToText() const {
  std::string text;
  for (const Count& count : kCounts) {
    if (!text.empty()) text += ", ";
    text += std::to_string(this->*count.member) + " " + count.name;
  }
  return text;
}

}  // namespace duramen::simulator
