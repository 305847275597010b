// Damage to whole files of a node that is down: lost, cut short, or overwritten in part.
#include <algorithm>

#include "log/attempt_file.h"
#include "simulator/world.h"

namespace duramen::simulator {
namespace {

/// What a hand or a broken file system does to a disk, carried out as the operations that it is.
class Hand {
 public:
  Hand(sim::DiskState& disk, Rng& rng) : disk_(disk), rng_(rng) {}

  bool Remove(const std::string& directory, const std::string& name) {
    return In(directory, [&](Directory& place) {
      return place.Remove(name).ok() && place.Sync().ok();
    });
  }

  /// As a process that dies leaves it.
  bool Put(const std::string& directory, const std::string& name, Bytes bytes) {
    return In(directory, [&](Directory& place) {
      const auto file = place.Open(name, OpenFor::kReadWrite);
      return file.ok() && (*file)->Write(0, bytes).ok() && (*file)->SyncAll().ok();
    });
  }

  bool Shorten(const std::string& directory, const std::string& name) {
    const std::uint64_t size = SizeOf(directory + "/" + name);
    if (size == 0) return false;
    return In(directory, [&](Directory& place) {
      const auto file = place.Open(name, OpenFor::kReadWrite);
      return file.ok() && (*file)->Truncate(rng_.Below(size)).ok() && (*file)->SyncAll().ok();
    });
  }

  /// `stretches` places of 16 bytes, of as many equal parts of the file; all in one block of it.
  bool Overwrite(const std::string& path, std::uint64_t stretches) {
    const sim::Node file = disk_.visible().FindPath(path);
    const std::uint64_t size = SizeOf(path);
    if (size < 64) return false;
    for (std::uint64_t part = 0; part < stretches; ++part) {
      const std::uint64_t room = size / stretches;
      const std::uint64_t from = part * room + (stretches > 1 ? 8 : rng_.Below(room - 16));
      for (std::uint64_t at = from; at < from + 16; ++at) {
        disk_.Rot(file, at, static_cast<std::byte>(rng_.Below(256)));
      }
    }
    return true;
  }

  sim::Node Find(const std::string& path) const { return disk_.visible().FindPath(path); }

  /// Of files in a directory.
  std::vector<std::string> Names(const std::string& directory, std::string_view ending) const {
    std::vector<std::string> names;
    const sim::Node place = Find(directory);
    if (place == 0) return names;
    for (const auto& [name, node] : disk_.visible().entries(place)) {
      if (name.ends_with(ending) && !disk_.visible().IsDirectory(node)) names.push_back(name);
    }
    return names;
  }

  /// Directories in it.
  std::vector<std::string> Folders(const std::string& directory) const {
    std::vector<std::string> names;
    const sim::Node place = disk_.visible().FindPath(directory);
    if (place == 0) return names;
    for (const auto& [name, node] : disk_.visible().entries(place)) {
      if (disk_.visible().IsDirectory(node)) names.push_back(name);
    }
    return names;
  }

 private:
  /// Where `act` fails the disk stays as it was.
  template <typename Act>
  bool In(const std::string& directory, Act act) {
    sim::SiteTable sites;
    sim::SimFileSystem machine(disk_, sites);
    machine.KeepNoTrace();
    const auto place = machine.Open(directory);
    if (!place.ok() || !act(**place)) return false;
    disk_ = machine.disk();
    return true;
  }
  std::uint64_t SizeOf(const std::string& path) const {
    const sim::Node file = disk_.visible().FindPath(path);
    return file == 0 ? 0 : disk_.visible().content(file).size_bytes();
  }

  sim::DiskState& disk_;
  Rng& rng_;
};

const std::string& AnyOf(const std::vector<std::string>& names, Rng& rng) {
  return names[rng.Below(names.size())];
}

std::string HarmSegment(Hand& hand, const std::string& root, Rng& rng) {
  const std::vector<std::string> servers = hand.Folders(root + "/servers");
  if (servers.empty()) return "";
  const std::string folder = root + "/servers/" + AnyOf(servers, rng);
  const std::vector<std::string> segments = hand.Names(folder, ".seg");
  if (segments.empty()) return "";
  const std::string& name = AnyOf(segments, rng);
  switch (rng.Below(3)) {
    case 0:
      return hand.Remove(folder, name) ? "a segment is lost" : "";
    case 1:
      return hand.Shorten(folder, name) ? "a segment is cut short" : "";
    default:
      return hand.Overwrite(folder + "/" + name, 1) ? "a segment is overwritten" : "";
  }
}

/// Not of the newest files, where what is lost cannot be told from what never was.
std::string HarmWal(Hand& hand, const Node& node, std::uint64_t shard, Rng& rng) {
  const std::string folder = RootOf(shard) + "/wal";
  const std::vector<Stretch> batches = node.WalBatches(shard);
  if (batches.size() <= kUnprovenBatchesMost) return "";
  const auto unproven = batches.end() - kUnprovenBatchesMost;
  std::vector<std::string> files = hand.Names(folder, ".wal");
  std::erase_if(files, [&](const std::string& name) {
    const sim::Node file = hand.Find(folder + "/" + name);
    return std::count_if(unproven, batches.end(),
                         [&](const Stretch& batch) { return batch.file == file; }) > 0 ||
           std::ranges::count(batches, file, &Stretch::file) == 0;
  });
  if (files.empty()) return "";
  const std::string& name = AnyOf(files, rng);
  if (rng.OneIn(2)) return hand.Remove(folder, name) ? "a WAL file is lost" : "";
  return hand.Overwrite(folder + "/" + name, 1) ? "a WAL file is overwritten" : "";
}

std::string HarmMeta(Hand& hand, const std::string& root, Rng& rng) {
  const std::string meta = root + "/meta";
  const char* const names[] = {"checkpoint-a", "checkpoint-b"};
  const std::string first = names[rng.Below(2)];
  const std::uint64_t kind = rng.Below(4);
  if (kind == 0) return hand.Remove(meta, first) ? "a checkpoint is lost" : "";
  if (kind < 3) {
    return hand.Overwrite(meta + "/" + first, 1) ? "a checkpoint is overwritten" : "";
  }
  bool both = true;
  for (const char* name : names) both = hand.Overwrite(meta + "/" + name, 1) && both;
  return "both checkpoints are overwritten";
}

/// Two starts in a row died on a log, which is left out since [B9].
std::string HarmStart(Hand& hand, const std::string& root, Rng& rng) {
  std::vector<std::string> servers = hand.Folders(root + "/servers");
  std::erase_if(servers, [](const std::string& name) { return !Uid128::Parse(name).ok(); });
  if (servers.empty()) return "";
  const log::AttemptRecord record{.left_out = ServerUid{*Uid128::Parse(AnyOf(servers, rng))}};
  return hand.Put(root, log::AttemptFile::kName, log::EncodeAttempt(record))
             ? "starts died on a log"
             : "";
}

/// Of all shards, and what else says whose some WAL is.
std::string HarmSystems(Hand& hand, std::uint64_t shards, Rng& rng) {
  for (std::uint64_t shard = 0; shard < shards; ++shard) {
    if (!hand.Remove(RootOf(shard), "SYSTEM")) return "some SYSTEM are lost";
    if (rng.OneIn(2)) hand.Remove(RootOf(shard) + "/wal", "IDENTITY");
  }
  return "every SYSTEM is lost";
}

std::string HarmSystem(Hand& hand, const Node& node, const std::string& root, Rng& rng) {
  switch (rng.Below(6)) {
    case 0:
      return hand.Remove(root, "SYSTEM") ? "SYSTEM is lost" : "";
    case 4:
      return hand.Remove(root + "/wal", "IDENTITY") ? "IDENTITY is lost" : "";
    case 1:
      return hand.Overwrite(root + "/SYSTEM", 2) ? "SYSTEM is overwritten" : "";
    case 3:
      return HarmSystems(hand, node.shards(), rng);
    case 2:
      return hand.Overwrite(root + "/wal/IDENTITY", 2) ? "IDENTITY is overwritten" : "";
    default:
      return hand.Overwrite(root + "/SYSTEM", 1) ? "a copy of SYSTEM is overwritten" : "";
  }
}

}  // namespace

void World::Harm() {
  Node& node = *nodes_[rng_.Below(nodes_.size())];
  if (!node.is_up() || !MayLose(node)) return;
  CrashNode(node, false);
  Hand hand(node.disk(), rng_);
  const std::uint64_t shard = rng_.Below(node.shards());
  const std::string root = RootOf(shard);
  std::string what;
  const std::uint64_t kind = rng_.Below(8);
  if (kind < 3) {
    what = HarmSegment(hand, root, rng_);
  } else if (kind < 5) {
    what = HarmWal(hand, node, shard, rng_);
  } else if (kind < 6) {
    what = HarmMeta(hand, root, rng_);
  } else if (kind < 7) {
    what = HarmStart(hand, root, rng_);
  } else {
    what = HarmSystem(hand, node, root, rng_);
  }
  if (what.empty()) return;
  ++tally_.rotten_bytes;
  Touch(node);
  Tell("node " + std::to_string(node.number()) + ": " + what);
}

}  // namespace duramen::simulator
