#include "simulator/node.h"

#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "base/try.h"
#include "wal/format.h"

namespace duramen::simulator {
namespace {

constexpr char kServers[] = "/data/servers";

// Small, so that files roll and queues fill in a life of a minute.
log::StorageTuning Tuning(const Settings& settings) {
  log::StorageTuning tuning;
  tuning.ring_records = 256;
  tuning.ring_bytes = 64u << 10;
  tuning.chunk_bytes = 8u << 10;
  tuning.batch_bytes_max = 32u << 10;
  // A disk that takes its time has all its writes in flight.
  if (settings.disk_us + settings.stall_ms > 0) tuning.alone_bytes_max = 0;
  return tuning;
}

}  // namespace

Resident* Node::Find(std::uint32_t cluster) {
  const auto at = std::find_if(residents_.begin(), residents_.end(), [&](const Resident& resident) {
    return resident.cluster == cluster;
  });
  return at == residents_.end() ? nullptr : &*at;
}

Status Node::Start(LoopExecutor& executor, ManualClock& clock, const Settings& settings,
                   const std::vector<std::string>& salvage) {
  CHECK(!store_);
  machine_ = std::make_unique<sim::SimFileSystem>(disk_, sites_);
  machine_->KeepNoTrace();
  machine_->SeedFlight(rng_.Next());
  if (settings.disk_us > 0)
    machine_->SetLatency(static_cast<std::int64_t>(settings.disk_us) * kMicrosecond);
  LogStoreOptions options;
  options.data_dir = "/data";
  options.wal_max_size_bytes = settings.wal_file_kb << 10;
  options.memory_budget = 2u << 20;
  options.flush_delay = 0;
  if (settings.dsync != 0) options.wal_sync_method = SyncMethod::kDsync;
  if (settings.packed != 0)
    options.wal_compression = options.segment_compression = Compression::kZstd;
  if (settings.failover != 0) options.wal_failover_dir = "/away/wal";
  if (!salvage.empty()) {
    options.recovery_mode = RecoveryMode::kSalvage;
    options.salvage_servers = salvage;
  }
  Result<LogStore> opened =
      log::OpenLogStore(options, {*machine_, clock, executor, Rng(rng_.Next())}, Tuning(settings));
  if (!opened.ok()) {
    machine_->Crash();
    disk_ = machine_->disk();
    machine_.reset();
    return std::move(opened).error();
  }
  store_.emplace(std::move(opened).value());
  Result<Writer> writer = store_->NewWriter();
  if (!writer.ok()) {
    Crash(false);
    return std::move(writer).error();
  }
  writer_.emplace(std::move(writer).value());
  return {};
}

void Node::Stop() {
  for (Resident& resident : residents_) {
    resident.replica.reset();
    resident.machine.reset();
    resident.timer_at = kNever;
    ++resident.timer_number;
  }
  if (machine_) machine_->Crash();
  writer_.reset();
  store_.reset();
}

void Node::Crash(bool power_lost) {
  Stop();
  disk_ = machine_->disk();
  machine_.reset();
  if (power_lost) {
    const sim::CrashStates states(disk_,
                                  rng_.OneIn(2) ? sim::Profile::kExt4 : sim::Profile::kAdversary);
    disk_ = sim::DiskState(states.Materialize(states.At(rng_.Below(states.count()))));
  } else {
    disk_.SettleFlight(rng_.Next());
  }
}

std::vector<sim::Node> Node::FilesIn(const std::string& path, std::string_view ending) const {
  std::vector<sim::Node> files;
  const sim::Image& image = Disk().visible();
  const sim::Node directory = image.FindPath(path);
  if (directory == 0) return files;
  for (const auto& [name, node] : image.entries(directory)) {
    const bool ends =
        name.size() >= ending.size() && name.substr(name.size() - ending.size()) == ending;
    if (ends && !image.IsDirectory(node)) files.push_back(node);
  }
  return files;
}

std::vector<Stretch> Node::Segments() const {
  std::vector<Stretch> segments;
  const sim::Image& image = Disk().visible();
  const sim::Node servers = image.FindPath(kServers);
  if (servers == 0) return segments;
  for (const auto& [name, directory] : image.entries(servers)) {
    if (!image.IsDirectory(directory)) continue;
    for (const sim::Node file : FilesIn(kServers + ("/" + name), ".seg")) {
      segments.push_back({file, 0, image.content(file).size_bytes(), true});
    }
  }
  return segments;
}

/// Without what pads them. By their headers, each behind the one before it; what a file held in an
/// earlier life is not of its chain.
std::vector<Stretch> Node::WalBatches() const {
  std::map<std::uint64_t, std::vector<Stretch>> files;
  for (const sim::Node file : FilesIn("/data/wal", ".wal")) {
    const sim::FileContent& content = Disk().visible().content(file);
    std::vector<std::byte> block(wal::kBlockBytes);
    if (content.Read(0, block) < block.size()) continue;
    const Result<wal::FileHeader> header = wal::DecodeFileHeader(block, 0);
    if (!header.ok()) continue;
    for (std::uint64_t at = wal::kFirstBatchOffset;;) {
      if (content.Read(at, block) < block.size()) break;
      const std::byte* in = block.data();
      const bool ours = LoadLe<std::uint32_t>(in) == wal::kBatchMagic &&
                        LoadLe<std::uint64_t>(in + 16) == header->life &&
                        LoadLe<std::uint64_t>(in + 24) == header->number;
      const std::uint64_t bytes = LoadLe<std::uint32_t>(in + 64);
      if (!ours || bytes == 0) break;
      files[header->number].push_back({file, at, LoadLe<std::uint32_t>(in + 88)});
      at += bytes;
    }
  }
  std::vector<Stretch> batches;
  for (const auto& [number, of_file] : files)
    batches.insert(batches.end(), of_file.begin(), of_file.end());
  return batches;
}

void Node::Rot(sim::Node file, std::uint64_t offset, std::byte by) {
  std::byte value{};
  (void)Disk().visible().content(file).Read(offset, {&value, 1});
  value ^= by;
  if (machine_) {
    machine_->Rot(file, offset, value);
  } else {
    disk_.Rot(file, offset, value);
  }
}

void Node::Wipe() {
  CHECK(!store_);
  disk_ = sim::DiskState();
}

}  // namespace duramen::simulator
