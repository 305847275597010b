// The store that the damage sweep sweeps.
#include <algorithm>

#include "base/bytes.h"
#include "base/rng.h"
#include "base/try.h"
#include "meta/checkpoint_files.h"
#include "tests/explorer/damage_sweep.h"

namespace duramen::explorer {
namespace {

constexpr std::uint32_t kLogs = 6;
constexpr std::uint32_t kLogsInSegments = 4;
constexpr std::size_t kFilesInService = 3;
constexpr std::uint64_t kRecycled = 4;
constexpr std::uint64_t kFlushes = 5;
constexpr std::uint64_t kSmallSegment = 6;
constexpr std::int64_t kPatienceNs = 1'000'000'000;

bool Compresses(SpecimenKind kind) {
  return kind == SpecimenKind::kPackedWal || kind == SpecimenKind::kCompressedSegments;
}

/// What it is but for compression.
SpecimenKind PlainKind(SpecimenKind kind) {
  if (kind == SpecimenKind::kPackedWal) return SpecimenKind::kWal;
  return kind == SpecimenKind::kCompressedSegments ? SpecimenKind::kSegments : kind;
}

// Writes entries of several sizes, votes, values, overwrites, a truncation, a floor that moves a
// little.
class SpecimenWriter {
 public:
  SpecimenWriter(Subject& subject, Rng& rng, SpecimenKind kind)
      : subject_(subject),
        rng_(rng),
        shrinks_(Compresses(kind)),
        payload_max_(PlainKind(kind) == SpecimenKind::kSegments && !shrinks_ ? 20 : 160),
        logs_(PlainKind(kind) == SpecimenKind::kSegments ? kLogsInSegments : kLogs) {}

  Status OpenLogs() {
    TRY(subject_.MakeWriters(2));
    for (LogNumber log = 0; log < logs_; ++log) {
      refs_.push_back(TRY(subject_.store().OpenLog(writer(log), LogName(log), OpenMode::kCreate)));
    }
    return {};
  }
  Status Round(std::uint64_t round) {
    for (LogNumber log = 0; log < logs_; ++log) {
      // A round leaves some logs out, so that batches differ in who they touch.
      if ((round + log) % 3 == 0) continue;
      TRY(Append(log, round));
      if (round % 4 == log % 4) {
        TRY(writer(log).PutVote(refs_[log], round + 1, "node-" + std::to_string(round % 3)));
      }
      if (round % 5 == log) {
        TRY(writer(log).Put(refs_[log], "a", AsBytes("value " + std::to_string(round)),
                            Durability::kSynced));
      }
    }
    const Bounds bounds = TRY(subject_.store().BoundsOf(refs_[1]));
    if (round == 3) TRY(writer(1).TruncateSuffix(refs_[1], bounds.end - 1));
    if (round == 4) TRY(writer(1).TruncatePrefix(refs_[1], bounds.begin + 1));
    for (Writer& one : subject_.writers()) TRY(one.Wait(last_, subject_.DeadlineIn(kPatienceNs)));
    return {};
  }
  /// Little stays live, so that the first files are recycled.
  Status MoveFloors() {
    for (LogNumber log = 0; log < logs_; ++log) {
      const Bounds bounds = TRY(subject_.store().BoundsOf(refs_[log]));
      if (bounds.end > bounds.begin) TRY(writer(log).TruncatePrefix(refs_[log], bounds.end - 1));
    }
    return {};
  }

 private:
  Writer& writer(LogNumber log) { return subject_.writers()[log % 2]; }
  Status Append(LogNumber log, std::uint64_t round) {
    const Bounds bounds = TRY(subject_.store().BoundsOf(refs_[log]));
    // Log 2 overwrites its last entry now and then.
    const Index back = log == 2 && round % 2 == 0 && bounds.end > bounds.begin ? 1 : 0;
    std::vector<std::vector<std::byte>> payloads(1 + rng_.Below(3));
    std::vector<EntryView> entries;
    for (std::vector<std::byte>& payload : payloads) {
      payload.resize(20 + rng_.Below(payload_max_));
      for (std::byte& byte : payload) byte = static_cast<std::byte>(rng_.Next());
      if (shrinks_) std::fill(payload.begin() + 9, payload.end(), std::byte{'z'});
      entries.push_back({bounds.end - back + entries.size(), 2 + round, 130, payload});
    }
    const LogAppend append{refs_[log], entries};
    const Ticket ticket = TRY(writer(log).Append({&append, 1}));
    TRY(writer(log).Wait(ticket, subject_.DeadlineIn(kPatienceNs)));
    return {};
  }
  Subject& subject_;
  Rng& rng_;
  bool shrinks_;
  std::uint64_t payload_max_;
  std::uint32_t logs_;
  std::vector<LogRef> refs_;
  Ticket last_ = 0;
};

std::vector<std::byte> Content(const sim::Image& image, sim::Node node) {
  std::vector<std::byte> bytes(image.content(node).size_bytes());
  image.content(node).Read(0, bytes);
  return bytes;
}

SpecimenFile FileOf(const sim::Image& image, const std::string& path, FileSort sort) {
  SpecimenFile file{.path = path, .sort = sort, .bytes = {}, .map = {}, .segment = {}};
  file.bytes = Content(image, image.FindPath(path));
  return file;
}

// The WAL files in service, in the order of their numbers.
std::vector<SpecimenFile> FilesInService(const sim::Image& image,
                                         const std::map<std::string, LogNumber>& uids) {
  std::vector<SpecimenFile> files;
  const std::string directory = std::string(kDataDir) + "/wal";
  for (const auto& [name, node] : image.entries(image.FindPath(directory))) {
    if (image.IsDirectory(node) || !wal::ParseFileName(name)) continue;
    SpecimenFile file = FileOf(image, directory + "/" + name, FileSort::kWal);
    Result<WalMap> map = MapWalFile(file.bytes, uids);
    // A header of another number was left by the file's former life: a spare.
    if (!map.ok() || map->header.number != *wal::ParseFileName(name)) continue;
    file.map = std::move(map).value();
    files.push_back(std::move(file));
  }
  std::sort(files.begin(), files.end(), [](const SpecimenFile& a, const SpecimenFile& b) {
    return a.map.header.number < b.map.header.number;
  });
  return files;
}

// All segments of a log, as far as its row says that they count.
Status AddSegments(Specimen& specimen, const segments::ServerIdentity& identity,
                   const meta::FlushedRow& flushed) {
  const std::string uid = identity.uid.ToString();
  const std::string path = std::string(kDataDir) + "/servers/" + uid;
  const sim::Node directory = specimen.image.FindPath(path);
  if (directory == 0) return {};
  for (const auto& [name, node] : specimen.image.entries(directory)) {
    SpecimenFile file = FileOf(specimen.image, path + "/" + name, FileSort::kSegment);
    const std::uint64_t number = segments::ParseFileName(name).value_or(0);
    file.segment = TRY(MapSegment(file.bytes, identity, number, flushed));
    if (file.segment.pieces.empty()) continue;
    file.segment.log = specimen.uids.at(uid);
    file.map.pieces = std::move(file.segment.pieces);
    for (Piece& piece : file.map.pieces) piece.log = file.segment.log;
    specimen.other_files.push_back(std::move(file));
  }
  return {};
}

// SYSTEM, then the checkpoints, then what the newer one says of segments.
Status AddOtherFiles(Specimen& specimen) {
  const sim::Image& image = specimen.image;
  const SystemUuid system = specimen.wal_files.front().map.header.system;
  const std::string root = std::string(kDataDir) + "/";
  specimen.other_files.push_back(FileOf(image, root + "SYSTEM", FileSort::kSystem));
  meta::DecodedCheckpoint newest;
  for (const char* name : meta::kCheckpointNames) {
    if (image.FindPath(root + "meta/" + name) == 0) continue;
    SpecimenFile file = FileOf(image, root + "meta/" + name, FileSort::kCheckpoint);
    file.map.pieces = TRY(MapCheckpoint(file.bytes, system, specimen.uids));
    meta::DecodedCheckpoint content = TRY(meta::DecodeCheckpoint(file.bytes, system));
    if (content.sequence > newest.sequence) newest = std::move(content);
    specimen.other_files.push_back(std::move(file));
  }
  for (const meta::CheckpointServer& server : newest.servers) {
    if (server.rows.deleted()) continue;
    TRY(AddSegments(specimen, {system, server.uid, server.rows.identity.cluster_id},
                    server.rows.flushed));
  }
  return {};
}

SubjectSizes SizesOf(SpecimenKind kind) {
  SubjectSizes sizes;
  sizes.wal_file_bytes = 32u << 10;
  sizes.wal_files_max = 16;
  sizes.memory_budget = 4u << 20;
  if (PlainKind(kind) == SpecimenKind::kSegments) sizes.segment_entries = kSmallSegment;
  sizes.compresses = Compresses(kind);
  return sizes;
}

bool IsDone(SpecimenKind kind, const Specimen& specimen, Subject& subject) {
  kind = PlainKind(kind);
  if (kind == SpecimenKind::kWal) return specimen.wal_files.size() >= kFilesInService;
  if (kind == SpecimenKind::kSegments) return subject.Metric("flush_rounds") >= kFlushes;
  return subject.Metric("recycled_files") >= kRecycled;
}

}  // namespace

Result<Specimen> MakeSpecimen(std::uint64_t seed, SpecimenKind kind) {
  Specimen specimen;
  specimen.sizes = SizesOf(kind);
  sim::SiteTable sites;
  sim::SimFileSystem machine(sim::DiskState(), sites);
  // Without a checkpoint no WAL file goes, and what is flushed from them does not count: that sweep
  // is about the WAL alone. The disk takes everything else, so files roll as they do elsewhere.
  if (PlainKind(kind) == SpecimenKind::kWal) {
    machine.Schedule({.kind = sim::OpKind::kCreate,
                      .file_class = "meta/",
                      .times = UINT64_MAX,
                      .effect = sim::FaultEffect::kDiskFull});
  }
  Subject subject(machine, seed, specimen.sizes);
  Rng rng(seed);
  TRY(subject.Open());
  SpecimenWriter writer(subject, rng, kind);
  TRY(writer.OpenLogs());
  for (std::uint64_t round = 0; !IsDone(kind, specimen, subject); ++round) {
    if (round > 200) return Error{ErrorCode::kTimeout, "the WAL does not roll", ""};
    TRY(writer.Round(round));
    if (kind == SpecimenKind::kRecycled) TRY(writer.MoveFloors());
    specimen.uids.clear();
    for (const LogInfo& info : subject.store().Logs()) {
      specimen.uids[info.uid] = ParseLogName(info.name);
    }
    specimen.wal_files = FilesInService(machine.disk().visible(), specimen.uids);
  }
  subject.writers().clear();
  TRY(subject.store().Close(subject.DeadlineIn(kPatienceNs)));
  specimen.image = machine.disk().durable();
  specimen.wal_files = FilesInService(specimen.image, specimen.uids);
  if (PlainKind(kind) == SpecimenKind::kWal) {
    const std::string system = std::string(kDataDir) + "/SYSTEM";
    specimen.other_files.push_back(FileOf(specimen.image, system, FileSort::kSystem));
  } else {
    TRY(AddOtherFiles(specimen));
  }

  sim::SimFileSystem again(sim::DiskState(specimen.image), sites);
  Subject undamaged(again, seed + 1, specimen.sizes);
  TRY(undamaged.Open());
  Observation observed = Observe(undamaged.store(), specimen.uids.size());
  if (!observed.problem.empty()) return Error{ErrorCode::kCorruption, observed.problem, ""};
  specimen.logs = std::move(observed.logs);
  return specimen;
}

}  // namespace duramen::explorer
