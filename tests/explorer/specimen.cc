// The store that the damage sweep sweeps.
#include <algorithm>

#include "base/bytes.h"
#include "base/rng.h"
#include "base/try.h"
#include "tests/explorer/damage_sweep.h"

namespace duramen::explorer {
namespace {

constexpr std::uint32_t kLogs = 6;
constexpr std::size_t kFilesInService = 3;
constexpr std::uint64_t kRecycled = 4;

// Writes until three files are in service: entries of several sizes, votes, values, an overwrite, a
// truncation, a floor that moves a little.
class SpecimenWriter {
 public:
  SpecimenWriter(Subject& subject, Rng& rng) : subject_(subject), rng_(rng) {}

  Status OpenLogs() {
    TRY(subject_.MakeWriters(2));
    for (LogNumber log = 0; log < kLogs; ++log) {
      refs_.push_back(TRY(subject_.store().OpenLog(writer(log), LogName(log), OpenMode::kCreate)));
    }
    return {};
  }
  Status Round(std::uint64_t round) {
    for (LogNumber log = 0; log < kLogs; ++log) {
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
    for (Writer& one : subject_.writers()) TRY(one.Wait(last_, subject_.DeadlineIn(1'000'000'000)));
    return {};
  }
  /// Little stays live, so that the first files are recycled.
  Status MoveFloors() {
    for (LogNumber log = 0; log < kLogs; ++log) {
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
    const Index back = log == 2 && round % 4 == 1 && bounds.end > bounds.begin ? 1 : 0;
    std::vector<std::vector<std::byte>> payloads(1 + rng_.Below(3));
    std::vector<EntryView> entries;
    for (std::vector<std::byte>& payload : payloads) {
      payload.resize(20 + rng_.Below(160));
      for (std::byte& byte : payload) byte = static_cast<std::byte>(rng_.Next());
      entries.push_back({bounds.end - back + entries.size(), 2 + round, 130, payload});
    }
    const LogAppend append{refs_[log], entries};
    const Ticket ticket = TRY(writer(log).Append({&append, 1}));
    TRY(writer(log).Wait(ticket, subject_.DeadlineIn(1'000'000'000)));
    return {};
  }
  Subject& subject_;
  Rng& rng_;
  std::vector<LogRef> refs_;
  Ticket last_ = 0;
};

std::vector<std::byte> Content(const sim::Image& image, sim::Node node) {
  std::vector<std::byte> bytes(image.content(node).size_bytes());
  image.content(node).Read(0, bytes);
  return bytes;
}

// The WAL files in service, in the order of their numbers.
std::vector<SpecimenFile> FilesInService(const sim::Image& image,
                                         const std::map<std::string, LogNumber>& uids) {
  std::vector<SpecimenFile> files;
  const std::string directory = std::string(kDataDir) + "/wal";
  for (const auto& [name, node] : image.entries(image.FindPath(directory))) {
    if (image.IsDirectory(node) || !wal::ParseFileName(name)) continue;
    SpecimenFile file{.path = directory + "/" + name, .bytes = Content(image, node), .map = {}};
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

}  // namespace

Result<Specimen> MakeSpecimen(std::uint64_t seed, bool recycled) {
  Specimen specimen;
  specimen.sizes.wal_file_bytes = 32u << 10;
  specimen.sizes.wal_files_max = 16;
  specimen.sizes.memory_budget = 4u << 20;
  sim::SiteTable sites;
  sim::SimFileSystem machine(sim::DiskState(), sites);
  Subject subject(machine, seed, specimen.sizes);
  Rng rng(seed);
  TRY(subject.Open());
  SpecimenWriter writer(subject, rng);
  TRY(writer.OpenLogs());
  const auto recycles = [&] { return recycled && subject.Metric("recycled_files") < kRecycled; };
  for (std::uint64_t round = 0; specimen.wal_files.size() < kFilesInService || recycles();
       ++round) {
    if (round > 200) return Error{ErrorCode::kTimeout, "the WAL does not roll", ""};
    TRY(writer.Round(round));
    if (recycles()) TRY(writer.MoveFloors());
    specimen.uids.clear();
    for (const LogInfo& info : subject.store().Logs()) {
      specimen.uids[info.uid] = ParseLogName(info.name);
    }
    specimen.wal_files = FilesInService(machine.disk().visible(), specimen.uids);
  }
  subject.writers().clear();
  TRY(subject.store().Close(subject.DeadlineIn(1'000'000'000)));
  specimen.image = machine.disk().durable();
  specimen.wal_files = FilesInService(specimen.image, specimen.uids);
  const std::string system = std::string(kDataDir) + "/SYSTEM";
  specimen.other_files.push_back({.path = system,
                                  .bytes = Content(specimen.image, specimen.image.FindPath(system)),
                                  .map = {}});

  sim::SimFileSystem again(sim::DiskState(specimen.image), sites);
  Subject undamaged(again, seed + 1, specimen.sizes);
  TRY(undamaged.Open());
  Observation observed = Observe(undamaged.store(), kLogs);
  if (!observed.problem.empty()) return Error{ErrorCode::kCorruption, observed.problem, ""};
  specimen.logs = std::move(observed.logs);
  return specimen;
}

}  // namespace duramen::explorer
