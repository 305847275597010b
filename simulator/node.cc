#include "simulator/node.h"

#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "base/checksum.h"
#include "base/try.h"
#include "simulator/operator.h"
#include "wal/format.h"

namespace duramen::simulator {
namespace {

// Small, so that files roll and queues fill in a life of a minute.
log::StorageTuning Tuning(const Settings& settings) {
  log::StorageTuning tuning;
  tuning.ring_records = 256;
  tuning.ring_bytes = 64u << 10;
  tuning.chunk_bytes = 8u << 10;
  tuning.batch_bytes_max = 32u << 10;
  if (settings.tight != 0) {
    tuning.files_synced_singly = 1;
    tuning.files_open_max = 2;
  }
  // A disk that takes its time has all its writes in flight.
  if (settings.disk_us + settings.stall_ms > 0) tuning.alone_bytes_max = 0;
  return tuning;
}

/// Many small files, and several threads.
void Tighten(LogStoreOptions& options) {
  options.segment_max_entries = 16;
  options.segment_max_size_bytes = 64u << 10;
  options.flush_threads = 3;
  options.flush_delay = 50;
  options.flush_bytes_per_s = 64u << 10;
  options.wal_max_age = 2;
  options.wal_max_entries = 100;
  options.wal_max_batch_size = 16;
}

Result<StatMemory> StatPage(const std::string&, std::size_t bytes) {
  return StatMemory::Private(bytes);
}

}  // namespace

std::string RootOf(std::uint64_t shard) {
  return shard == 0 ? "/data" : "/data/shards/" + std::to_string(shard);
}

Resident* Node::Find(std::uint32_t cluster) {
  const auto at = std::find_if(residents_.begin(), residents_.end(), [&](const Resident& resident) {
    return resident.cluster == cluster;
  });
  return at == residents_.end() ? nullptr : &*at;
}

LogStoreOptions Node::OptionsOf(const Settings& settings) const {
  LogStoreOptions options;
  options.data_dir = "/data";
  options.wal_max_size_bytes = settings.wal_file_kb << 10;
  options.memory_budget = (1 + std::max<std::uint64_t>(settings.shards, 1)) << 20;
  options.flush_delay = 0;
  if (settings.tight != 0) Tighten(options);
  if (settings.dsync != 0) options.wal_sync_method = SyncMethod::kDsync;
  if (settings.packed != 0)
    options.wal_compression = options.segment_compression = Compression::kZstd;
  if (settings.failover != 0) options.wal_failover_dir = "/away/wal";
  options.wal_shards = shards_;
  return options;
}

Status Node::StartsStrictly(LoopExecutor& executor, ManualClock& clock, const Settings& settings) {
  sim::SiteTable sites;
  sim::SimFileSystem copy(disk_, sites);
  copy.KeepNoTrace();
  LogStoreOptions options = OptionsOf(settings);
  options.recovery_mode = RecoveryMode::kStrict;
  options.wal_shards = std::max<std::uint64_t>(1, settings.shards);  // One may always ask for more.
  const Result<LogStore> opened =
      log::OpenLogStore(options, {copy, clock, executor, Rng(rng_.Next())}, Tuning(settings));
  copy.Crash();
  return opened.ok() ? Status() : opened.error();
}

Status Node::Start(LoopExecutor& executor, ManualClock& clock, const Settings& settings,
                   const std::vector<std::string>& salvage) {
  CHECK(!store_);
  machine_ = std::make_unique<sim::SimFileSystem>(disk_, sites_);
  machine_->KeepNoTrace();
  machine_->SeedFlight(rng_.Next());
  if (settings.disk_us > 0)
    machine_->SetLatency(static_cast<std::int64_t>(settings.disk_us) * kMicrosecond);
  LogStoreOptions options = OptionsOf(settings);
  // An operator takes it out of use, and in again at another start.
  if (settings.failover != 0 && settings.tend_ms > 0 && rng_.OneIn(4)) {
    options.wal_failover_dir = "none";
  }
  if (!salvage.empty()) {
    options.recovery_mode = RecoveryMode::kSalvage;
    options.salvage_servers = salvage;
  }
  died_in_start_ = false;
  if (die_after_) {
    machine_->Schedule({.kind = {},
                        .file_class = "",
                        .skip = *die_after_,
                        .times = 1,
                        .effect = sim::FaultEffect::kCrash});
  }
  die_after_.reset();
  Result<LogStore> opened =
      Open(options, settings, {*machine_, clock, executor, Rng(rng_.Next()), &StatPage});
  if (!opened.ok()) {
    died_in_start_ = machine_->crashed();
    machine_->Crash();
    disk_ = machine_->disk();
    machine_.reset();
    return std::move(opened).error();
  }
  machine_->ClearFaults();
  store_.emplace(std::move(opened).value());
  for (std::uint32_t shard = 0; shard < shards_; ++shard) {
    Result<Writer> writer = store_->NewWriter(shard);
    if (!writer.ok()) {
      Crash(false);
      return std::move(writer).error();
    }
    writers_.push_back(std::move(writer).value());
  }
  return {};
}

/// A setting that is wrong is refused, or changes nothing for the start with the right one.
void Node::Slip(LogStoreOptions options, log::StorageEnvironment environment,
                const log::StorageTuning& tuning) {
  if (disk_.visible().FindPath("/data") == 0) return;  // There it would be the right one.
  environment.rng = Rng(rng_.Next());
  const std::uint64_t slip = rng_.Below(11);
  switch (slip) {
    case 0:
      options.wal_dir = "/elsewhere";
      break;
    case 1:
      options.data_dir = "/data/wal";
      break;
    case 2:
      if (disk_.visible().FindPath(RootOf(1) + "/SYSTEM") == 0) return;
      options.data_dir = RootOf(1);
      break;
    case 3:
      options.recovery_mode = RecoveryMode::kSalvage;
      options.salvage_servers = {"nobody"};
      break;
    case 4:
      options.recovery_mode = RecoveryMode::kStrict;  // It may well start.
      break;
    case 5:
      options.wal_max_size_bytes = 48u << 10;  // There may be values that it has no room for.
      break;
    case 6:
      options.wal_failover_dir = "/data";
      break;
    default:
      return SlipElsewhere(slip - 7, options, environment, tuning);
  }
  (void)log::OpenLogStore(options, environment, tuning);
}

/// What the directories are that a setting names. On a copy: nobody tries that with the only one.
void Node::SlipElsewhere(std::uint64_t slip, LogStoreOptions options,
                         const log::StorageEnvironment& environment,
                         const log::StorageTuning& tuning) const {
  if (disk_.visible().FindPath("/data/SYSTEM") == 0) return;
  sim::SiteTable sites;
  sim::SimFileSystem copy(disk_, sites);
  copy.KeepNoTrace();
  const auto rename = [&](const std::string& directory, const char* from, const char* to) {
    CHECK((*copy.Open(directory))->Rename(from, to).ok());
  };
  const bool failover = disk_.visible().FindPath("/away/wal") != 0;
  switch (slip) {
    case 0:
      if (disk_.visible().FindPath(RootOf(2) + "/SYSTEM") == 0) return;
      rename("/data/shards", "1", "swapped");
      rename("/data/shards", "2", "1");
      rename("/data/shards", "swapped", "2");
      break;
    case 1:
      if (!failover) return;
      options.wal_failover_dir = "/other";
      break;
    case 2:
      if (!failover) return;
      rename("/away", "wal", "gone");
      break;
    default:
      options.data_dir = "/new";
      options.wal_dir = failover ? "/away/wal" : "/data/wal";
      options.wal_failover_dir.clear();
  }
  const Result<LogStore> opened = log::OpenLogStore(
      options, {copy, environment.clock, environment.executor, environment.rng}, tuning);
  // An earlier start may have taken the fail-over directory out of use.
  CHECK(!opened.ok() || (failover && slip != 0));
}

/// An operator adds shards, and takes those away that hold no log, if the store lets him.
Result<LogStore> Node::Open(LogStoreOptions options, const Settings& settings,
                            const log::StorageEnvironment& environment) {
  const log::StorageTuning tuning = Tuning(settings);
  if (settings.shards > 1) shards_ = 1 + rng_.Below(settings.shards);
  options.wal_shards = shards_;
  if (settings.tend_ms > 0 && may_slip && !rng_.OneIn(3)) Slip(options, environment, tuning);
  Result<LogStore> opened = log::OpenLogStore(options, environment, tuning);
  const bool refused = !opened.ok() && opened.error().code == ErrorCode::kConfiguration;
  if (!refused || shards_ == settings.shards) return opened;
  // A start that was killed may have added some.
  shards_ = options.wal_shards = settings.shards;
  log::StorageEnvironment again = environment;
  again.rng = Rng(rng_.Next());
  return log::OpenLogStore(options, again, tuning);
}

/// New ones lie all over the shards.
Writer& Node::WriterOf(std::string_view name) {
  if (shards_ == 1) return writers_.front();
  const Result<std::uint32_t> shard = store_->ShardOf(name);
  return writers_[shard.ok() ? *shard : Checksum(AsBytes(name), 0) % writers_.size()];
}

void Node::Stop() {
  for (Resident& resident : residents_) {
    resident.replica.reset();
    resident.machine.reset();
    resident.timer_at = kNever;
    ++resident.timer_number;
  }
  if (machine_) machine_->Crash();
  writers_.clear();
  store_.reset();
}

Status Node::Close(Deadline deadline) {
  for (Resident& resident : residents_) {
    resident.replica.reset();
    resident.machine.reset();
  }
  TRY(store_->Close(deadline));
  const Result<Writer> late = store_->NewWriter();
  CHECK(!late.ok() && late.error().code == ErrorCode::kClosed);
  return {};
}

void Node::Crash(bool power_lost) {
  Stop();
  disk_ = machine_->disk();
  machine_.reset();
  if (power_lost) {
    LosePowerOf(disk_, rng_);
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

std::vector<Stretch> Node::Segments(std::uint64_t shard) const {
  std::vector<Stretch> segments;
  const sim::Image& image = Disk().visible();
  const std::string folder = RootOf(shard) + "/servers";
  const sim::Node servers = image.FindPath(folder);
  if (servers == 0) return segments;
  for (const auto& [name, directory] : image.entries(servers)) {
    if (!image.IsDirectory(directory)) continue;
    for (const sim::Node file : FilesIn(folder + "/" + name, ".seg")) {
      segments.push_back({file, 0, image.content(file).size_bytes(), true});
    }
  }
  return segments;
}

/// Without what pads them. By their headers, each behind the one before it; what a file held in an
/// earlier life is not of its chain.
std::vector<Stretch> Node::WalBatches(std::uint64_t shard) const {
  std::map<std::uint64_t, std::vector<Stretch>> files;
  for (const sim::Node file : FilesIn(RootOf(shard) + "/wal", ".wal")) {
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
  shards_ = 1;
}

}  // namespace duramen::simulator
