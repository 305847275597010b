// Trouble, each kind at its own mean interval, until all heals.
#include <algorithm>

#include "simulator/world.h"

namespace duramen::simulator {
namespace {

/// The most that a message or a write takes once all has healed, mean.
constexpr std::uint64_t kSoundDelayUs = 20'000;
constexpr const char* kWalDirectory = "/data/wal";

}  // namespace

void World::Every(std::uint64_t mean_ms, void (World::*trouble)()) {
  if (mean_ms == 0) return;
  In(Exponential(mean_ms), [this, mean_ms, trouble] {
    if (!trouble_) return;
    (this->*trouble)();
    Every(mean_ms, trouble);
  });
}

void World::StartTrouble() {
  Every(settings_.kill_ms, &World::Kill);
  Every(settings_.power_ms, &World::LosePower);
  Every(settings_.partition_ms, &World::Partition);
  Every(settings_.clog_ms, &World::Clog);
  Every(settings_.pause_ms, &World::Pause);
  Every(settings_.disk_error_ms, &World::BreakDisk);
  Every(settings_.disk_full_ms, &World::FillDisk);
  Every(settings_.stall_ms, &World::StallDisk);
  Every(settings_.rot_ms, &World::Rot);
  Every(settings_.wipe_ms, &World::Wipe);
  Every(settings_.change_ms, &World::ChangeMembers);
  Every(settings_.transfer_ms, &World::TransferLeader);
  Every(settings_.scribe_ms, &World::Scribble);
  Every(settings_.harm_ms, &World::Harm);
  Every(settings_.tend_ms, &World::Tend);
  // Whoever replaces a lost disk does so in the time of healing, too.
  In(kSecond, [this] { MendMembers(); });
}

void World::Kill() {
  Node& node = *nodes_[rng_.Below(nodes_.size())];
  if (!node.is_up()) return;
  ++tally_.kills;
  Tell("node " + std::to_string(node.number()) + " is killed");
  CrashNode(node, false);
}

void World::LosePower() {
  Node& node = *nodes_[rng_.Below(nodes_.size())];
  if (!node.is_up()) return;
  ++tally_.power_losses;
  Tell("node " + std::to_string(node.number()) + " loses power");
  CrashNode(node, true);
}

/// Two sides, one direction of a link, or a ring in which each hears only its neighbour.
void World::Partition() {
  ++tally_.partitions;
  const std::uint64_t shape = rng_.Below(3);
  const auto count = static_cast<std::uint32_t>(nodes_.size());
  std::vector<bool> side(count);
  for (std::uint32_t node = 0; node < count; ++node) side[node] = rng_.OneIn(2);
  std::vector<std::pair<std::uint32_t, std::uint32_t>> cut;
  for (std::uint32_t from = 0; from < count; ++from) {
    for (std::uint32_t to = 0; to < count; ++to) {
      const bool apart = shape == 0   ? side[from] != side[to]
                         : shape == 1 ? side[from] && !side[to]
                                      : to != (from + 1) % count;
      if (from != to && apart) cut.emplace_back(from, to);
    }
  }
  Tell("the network is cut: " + std::to_string(cut.size()) + " one-way links");
  for (const auto& link : cut) cuts_.insert(link);
  In(Exponential(Lasting(4000)), [this, cut] {
    for (const auto& link : cut) cuts_.erase(link);
  });
}

void World::Clog() {
  const auto count = nodes_.size();
  const auto from = static_cast<std::uint32_t>(rng_.Below(count));
  const auto to = static_cast<std::uint32_t>(rng_.Below(count));
  clogs_[{from, to}] = now() + Exponential(Lasting(2000));
}

void World::Pause() {
  Node& node = *nodes_[rng_.Below(nodes_.size())];
  if (!node.is_up()) return;
  ++tally_.pauses;
  node.paused_until = now() + Exponential(Lasting(3000));
  Tell("node " + std::to_string(node.number()) + " stands still for " +
       std::to_string((node.paused_until - now()) / kMillisecond) + " ms");
}

void World::BreakDisk() {
  Node& node = *nodes_[rng_.Below(nodes_.size())];
  if (!node.is_up()) return;
  ++tally_.disk_errors;
  const bool lasts = settings_.dying != 0 && rng_.OneIn(3);
  Tell("node " + std::to_string(node.number()) +
       (lasts ? ": the disk takes nothing any more" : ": a write or sync fails"));
  node.machine().Schedule({.kind = rng_.OneIn(2) ? sim::OpKind::kWrite : sim::OpKind::kSyncData,
                           .file_class = rng_.OneIn(3) ? "seg" : "wal",
                           .times = lasts ? UINT64_MAX : 1 + rng_.Below(2)});
  if (!lasts) return;
  // Until somebody gives it another controller.
  In(Exponential(Lasting(5000)), [this, number = node.number()] {
    if (nodes_[number]->is_up()) CrashNode(*nodes_[number], false);
  });
}

void World::FillDisk() {
  Node& node = *nodes_[rng_.Below(nodes_.size())];
  if (!node.is_up()) return;
  ++tally_.full_disks;
  Tell("node " + std::to_string(node.number()) + ": the disk is full");
  for (const sim::OpKind kind : {sim::OpKind::kAllocate, sim::OpKind::kCreate}) {
    node.machine().Schedule({.kind = kind,
                             .file_class = "",
                             .times = UINT64_MAX,
                             .effect = sim::FaultEffect::kDiskFull});
  }
  In(Exponential(5000), [this, number = node.number()] {
    if (nodes_[number]->is_up()) nodes_[number]->machine().ClearFaults();
  });
}

/// What was given to the disk stays on its way for a while.
void World::StallDisk() {
  Node& node = *nodes_[rng_.Below(nodes_.size())];
  if (!node.is_up()) return;
  ++tally_.stalls;
  const Moment lasts = Exponential(Lasting(2000));
  Tell("node " + std::to_string(node.number()) + ": the disk stalls for " +
       std::to_string(lasts / kMillisecond) + " ms");
  node.machine().StallUntil(kWalDirectory, clock_.NowNs() + lasts);
}

/// Whoever leads reads the most.
Node& World::NodeToRot() {
  const auto cluster = static_cast<std::uint32_t>(rng_.Below(clusters_.size()));
  Node* home = nullptr;
  if (settings_.latent != 0 && rng_.OneIn(2)) (void)LeaderOf(cluster, &home);
  return home != nullptr ? *home : *nodes_[rng_.Below(nodes_.size())];
}

/// A byte that was acknowledged changes, while its node is down or while it runs. In the WAL not
/// one of the last batches, where damage cannot be told from a tear [C5].
void World::Rot() {
  Node& node = NodeToRot();
  if (!node.is_up() || !MayLose(node)) return;
  const bool latent = settings_.latent != 0 && !rng_.OneIn(3);
  if (!latent) CrashNode(node, false);
  const std::uint64_t shard = node.shards() > 1 ? rng_.Below(node.shards()) : 0;
  const std::vector<Stretch> written =
      rng_.OneIn(3) ? node.Segments(shard) : node.WalBatches(shard);
  const std::size_t kept = written.empty() || written.front().is_segment ? 0 : kUnprovenBatchesMost;
  if (written.size() <= kept) return;
  // The newest are what the WAL alone holds.
  const std::size_t count = written.size() - kept;
  const std::size_t back = rng_.OneIn(2) ? count : std::min<std::size_t>(count, 8);
  const Stretch& where = written[count - 1 - rng_.Below(back)];
  if (where.bytes == 0) return;
  ++tally_.rotten_bytes;
  Touch(node);
  for (const Resident& resident : node.residents()) {
    if (latent) clusters_[resident.cluster].latent.insert(resident.uid);
  }
  const std::uint64_t offset = where.offset + rng_.Below(where.bytes);
  Tell("node " + std::to_string(node.number()) + ": a byte of " +
       (where.is_segment ? "a segment" : "the WAL") + " rots");
  node.Rot(where.file, offset, static_cast<std::byte>(1 + rng_.Below(255)));
}

void World::Wipe() {
  Node& node = *nodes_[rng_.Below(nodes_.size())];
  if (!node.is_up() || !MayLose(node)) return;
  ++tally_.wiped;
  Touch(node);
  Tell("node " + std::to_string(node.number()) + " loses its disk");
  CrashNode(node, true);
  node.Wipe();
}

void World::Heal() {
  Tell("all heals");
  cuts_.clear();
  clogs_.clear();
  // Raft §5.6: who takes as long as an election timeout elects nobody.
  settings_.delay_us = std::min(settings_.delay_us, kSoundDelayUs);
  settings_.disk_us = std::min(settings_.disk_us, kSoundDelayUs);
  for (const std::unique_ptr<Node>& node : nodes_) {
    node->paused_until = std::min(node->paused_until, now());
    if (!node->is_up()) continue;
    node->machine().ClearFaults();
    node->machine().StallUntil(kWalDirectory, 0);
    node->machine().SetLatency(static_cast<std::int64_t>(settings_.disk_us) * kMicrosecond);
  }
}

}  // namespace duramen::simulator
