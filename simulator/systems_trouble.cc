// Trouble for systems, each kind at its own mean interval, until all heals.
#include <algorithm>

#include "simulator/systems_world.h"

namespace duramen::simulator {
namespace {

constexpr std::uint64_t kDownMs = 1500;
constexpr std::uint64_t kLastingMs = 2000;
constexpr Moment kAgainSoon = kMillisecond;
constexpr const char* kWalDirectory = "/data/wal";

}  // namespace

void SystemsWorld::Every(Hand& hand, std::uint64_t mean_ms, void (SystemsWorld::*what)()) {
  if (mean_ms == 0) return;
  hand.In(Exponential(mean_ms), [this, &hand, mean_ms, what] {
    if (!trouble_) return;
    (this->*what)();
    Every(hand, mean_ms, what);
  });
}

void SystemsWorld::StartTrouble() {
  for (const auto& home : homes_)
    home->machine->SetLatency(static_cast<Moment>(settings_.disk_us) * kMicrosecond);
  Every(fate_, settings_.kill_ms, &SystemsWorld::Kill);
  Every(fate_, settings_.power_ms, &SystemsWorld::LosePower);
  Every(fate_, settings_.close_ms, &SystemsWorld::CloseSystem);
  Every(fate_, settings_.partition_ms, &SystemsWorld::Partition);
  Every(fate_, settings_.pause_ms, &SystemsWorld::Pause);
  Every(fate_, settings_.disk_error_ms, &SystemsWorld::BreakDisk);
  Every(fate_, settings_.disk_full_ms, &SystemsWorld::FillDisk);
  Every(fate_, settings_.stall_ms, &SystemsWorld::StallDisk);
}

/// As soon as nobody waits in it.
void SystemsWorld::Strike(Blow blow) {
  Home& home = *homes_[rng_.Below(homes_.size())];
  if (!home.system) return;
  if (!MayStrike(home)) {
    fate_.In(kAgainSoon, [this, blow] {
      if (trouble_) Strike(blow);
    });
    return;
  }
  StrikeAt(home, blow);
}

/// Requires: MayStrike.
void SystemsWorld::StrikeAt(Home& home, Blow blow) {
  Note(home.number, static_cast<std::uint64_t>(blow));
  if (blow == Blow::kClose) {
    ++tally_.closes;
    Tell(NodeName(home.number) + " is closed");
    Close(home);
  } else {
    const bool power_lost = blow == Blow::kPower;
    ++(power_lost ? tally_.power_losses : tally_.kills);
    Tell(NodeName(home.number) + (power_lost ? " loses power" : " is killed"));
    Crash(home, power_lost);
  }
  if (blow == Blow::kWipe) {
    ++tally_.wiped;
    Tell("and its disk is lost");
    home.disk = sim::DiskState();
    home.shards = 1;
    wiped_ = home.number;
    std::erase_if(removed_, [&](const auto& one) { return one.second == home.number; });
  }
  fate_.In(Exponential(kDownMs), [this, &home] {
    if (!home.system) StartHome(home);
  });
}

/// Two sides.
void SystemsWorld::Partition() {
  ++tally_.partitions;
  std::vector<bool> side;
  for (std::size_t node = 0; node < homes_.size(); ++node) side.push_back(rng_.OneIn(2));
  std::vector<std::pair<std::uint64_t, std::uint64_t>> cut;
  for (std::uint64_t one = 0; one < homes_.size(); ++one) {
    for (std::uint64_t other = 0; other < one; ++other) {
      if (side[one] != side[other]) cut.emplace_back(one, other);
    }
  }
  Tell("the network is cut: " + std::to_string(cut.size()) + " links");
  for (const auto& [one, other] : cut) wire_.Cut(one, other);
  fate_.In(Exponential(kLastingMs), [this, cut] {
    for (const auto& [one, other] : cut) wire_.Mend(one, other);
  });
}

void SystemsWorld::Pause() {
  Home& home = *homes_[rng_.Below(homes_.size())];
  if (!home.system) return;
  ++tally_.pauses;
  const Moment lasts = Exponential(kLastingMs);
  Tell(NodeName(home.number) + " stands still for " + std::to_string(lasts / kMillisecond) +
       " ms");
  home.process->PauseUntil(clock_.NowNs() + lasts);
}

void SystemsWorld::BreakDisk() {
  Home& home = *homes_[rng_.Below(homes_.size())];
  if (!home.system) return;
  ++tally_.disk_errors;
  const bool lasts = settings_.dying != 0 && rng_.OneIn(3);
  Tell(NodeName(home.number) +
       (lasts ? ": the disk takes nothing any more" : ": a write or sync fails"));
  home.machine->Schedule({.kind = rng_.OneIn(2) ? sim::OpKind::kWrite : sim::OpKind::kSyncData,
                          .file_class = rng_.OneIn(3) ? "seg" : "wal",
                          .times = lasts ? UINT64_MAX : 1 + rng_.Below(2)});
  if (!lasts) return;
  // Until somebody gives it another controller.
  fate_.In(Exponential(kLastingMs), [this, &home, life = home.life] {
    if (trouble_ && home.life == life && MayStrike(home)) StrikeAt(home, Blow::kKill);
  });
}

void SystemsWorld::FillDisk() {
  Home& home = *homes_[rng_.Below(homes_.size())];
  if (!home.system) return;
  ++tally_.full_disks;
  Tell(NodeName(home.number) + ": the disk is full");
  for (const sim::OpKind kind : {sim::OpKind::kAllocate, sim::OpKind::kCreate}) {
    home.machine->Schedule({.kind = kind,
                            .file_class = "",
                            .times = UINT64_MAX,
                            .effect = sim::FaultEffect::kDiskFull});
  }
  fate_.In(Exponential(kLastingMs), [&home] {
    if (home.system) home.machine->ClearFaults();
  });
}

void SystemsWorld::StallDisk() {
  Home& home = *homes_[rng_.Below(homes_.size())];
  if (!home.system) return;
  ++tally_.stalls;
  const Moment lasts = Exponential(kLastingMs);
  Tell(NodeName(home.number) + ": the disk stalls for " + std::to_string(lasts / kMillisecond) +
       " ms");
  home.machine->StallUntil(kWalDirectory, clock_.NowNs() + lasts);
}

void SystemsWorld::Heal() {
  Tell("all heals");
  WireSettings sound{.delay_us = std::min<std::uint64_t>(settings_.delay_us, 1000)};
  wire_.Set(sound);
  for (std::uint64_t one = 0; one < homes_.size(); ++one) {
    for (std::uint64_t other = 0; other < one; ++other) wire_.Mend(one, other);
  }
  for (const auto& home : homes_) {
    if (!home->system) continue;
    home->process->PauseUntil(0);
    home->machine->ClearFaults();
    home->machine->StallUntil(kWalDirectory, 0);
    home->machine->SetLatency(0);
  }
}

}  // namespace duramen::simulator
