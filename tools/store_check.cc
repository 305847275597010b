#include "tools/store_check.h"

#include <algorithm>
#include <iterator>

#include "base/clock.h"
#include "base/rng.h"
#include "base/try.h"
#include "segments/scan.h"
#include "tools/read_only_directory.h"
#include "tools/server_names.h"
#include "tools/system_check.h"

namespace duramen::tools {
namespace {

constexpr int kReadingsMax = 12;

bool IsDamage(FindingKind kind) {
  return kind == FindingKind::kDamage || kind == FindingKind::kMissingFile;
}

std::string DirectoryName(const ServerUid& uid) {
  return std::string(log::kServersName) + "/" + uid.ToString();
}

/// Before its first batch a crash can leave one copy of a header; after it both were durable.
bool HeaderWasWhole(const wal::Recovery& recovery, std::uint64_t number) {
  return std::ranges::any_of(recovery.files(), [&](const wal::FileSummary& file) {
    return file.number == number && !file.batches.empty();
  });
}

bool Holds(const std::vector<Attributed>& findings, const ServerUid& uid, IndexRange range) {
  for (const Attributed& finding : findings) {
    for (const wal::TouchedLog& touched : finding.touched) {
      const bool open_end = touched.first != 0 && touched.last == 0;
      if (touched.uid == uid && touched.first <= range.begin &&
          (open_end || touched.last + 1 >= range.end)) {
        return true;
      }
    }
  }
  return false;
}

Attributed FromState(const Finding& finding) {
  Attributed attributed{{finding, IsDamage(finding.kind), finding.kind != FindingKind::kLeftover},
                        {}};
  for (const TouchedRange& touched : finding.touched) {
    const Result<Uid128> uid = Uid128::Parse(touched.log);
    if (!uid.ok()) continue;
    attributed.touched.push_back({ServerUid{*uid}, touched.first, touched.last, touched.rows});
  }
  attributed.found.finding.touched.clear();
  return attributed;
}

class WalCheck {
 public:
  explicit WalCheck(StoreImage& image) : image_(image) {}

  /// False: files moved under the reader's hands.
  Result<bool> Run() {
    found_.clear();
    const std::unique_ptr<Directory> directory = TRY(ReadOnlyDirectory::Open(image_.wal.path));
    wal::RecoveryOptions options{.system =
                                     image_.system.is_nil() ? image_.wal.system : image_.system};
    if (image_.state != nullptr) {
      options.covered = image_.state->covered;
      options.seeds = &image_.state->seeds;
    }
    SystemClock clock;
    Rng rng(1);
    wal::Recovery recovery(*directory, options, clock, rng);
    log::DurableRows own_rows;
    const Status scanned = recovery.Scan(image_.rows != nullptr ? *image_.rows : own_rows);
    const bool moved = !scanned.ok() && (scanned.error().code == ErrorCode::kNotFound ||
                                         scanned.error().code == ErrorCode::kIo);
    if (moved) return false;
    if (!scanned.ok()) return scanned.error();
    for (const wal::WalFinding& finding : recovery.findings()) Take(finding, recovery);
    Contiguity(recovery);
    for (const wal::ReplayedLog& log : recovery.replay().logs()) {
      logs_[log.owner.uid] = {log.bounds.begin, log.bounds.end};
    }
    return true;
  }

  std::string Symptoms() const {
    std::string text;
    for (const Attributed& finding : found_) {
      if (!finding.found.failed_check) continue;
      text += finding.found.finding.file + ":" +
              std::to_string(finding.found.finding.offset_bytes) + " ";
    }
    return text;
  }
  std::vector<Attributed>& found() { return found_; }
  std::map<ServerUid, IndexRange>& logs() { return logs_; }

 private:
  void Take(const wal::WalFinding& finding, const wal::Recovery& recovery) {
    if (finding.kind == FindingKind::kUnusedSpare) return;  // Of no interest before a start.
    const bool damage = IsDamage(finding.kind);
    const bool copy = finding.kind == FindingKind::kHeaderCopy;
    Finding told{.kind = finding.kind,
                 .file = finding.file == 0 ? "wal" : wal::FileName(finding.file),
                 .offset_bytes = finding.offset,
                 .size_bytes = finding.bytes,
                 .batch = finding.batch,
                 .sentence = finding.sentence,
                 .touched = {}};
    const bool failed = damage || (copy && HeaderWasWhole(recovery, finding.file));
    // Whose batches a torn tail held is of no interest: nothing of it was acknowledged.
    found_.push_back({{std::move(told), damage, failed},
                      damage ? finding.touched : std::vector<wal::TouchedLog>{}});
  }

  /// Each log is in one piece from its begin to its end, or something above says where it is not.
  void Contiguity(wal::Recovery& recovery) {
    std::vector<Attributed> known = found_;
    if (image_.state != nullptr) {
      for (const Finding& finding : image_.state->findings) known.push_back(FromState(finding));
    }
    for (const wal::ReplayedLog& log : recovery.replay().logs()) {
      for (const IndexRange& hole : log.holes) {
        if (Holds(known, log.owner.uid, hole)) continue;
        Finding finding{.kind = FindingKind::kDamage,
                        .file = DirectoryName(log.owner.uid),
                        .sentence = "entries stand in no file, neither in segments nor in the WAL",
                        .touched = {}};
        found_.push_back(
            {{std::move(finding), true, true}, {{log.owner.uid, hole.begin, hole.end - 1, false}}});
      }
    }
  }

  StoreImage& image_;
  std::vector<Attributed> found_;
  std::map<ServerUid, IndexRange> logs_;
};

/// Is all of it in the image too, which itself was read until two readings agreed?
bool Agrees(const StoreImage& image, const std::vector<Attributed>& found) {
  const std::vector<ImageFinding> seen = FindingsOf(image.wal);
  return std::ranges::all_of(found, [&](const Attributed& one) {
    return !one.found.failed_check || std::ranges::any_of(seen, [&](const ImageFinding& other) {
      return other.finding.file == one.found.finding.file &&
             other.finding.offset_bytes == one.found.finding.offset_bytes;
    });
  });
}

/// Replays the WAL behind `image.state`, as a start does, and says whose is what is lost.
Result<CheckedStore> CheckWal(const std::string& path, StoreImage& image) {
  std::string symptoms;
  bool read_before = false;
  for (int reading = 0; reading < kReadingsMax; ++reading) {
    if (reading > 0) image = TRY(ReadStoreImage(path));
    WalCheck check(image);
    if (!TRY(check.Run())) continue;
    const std::string now = check.Symptoms();
    const bool believed = Agrees(image, check.found()) || (read_before && now == symptoms);
    if (believed) return CheckedStore{std::move(check.found()), std::move(check.logs())};
    symptoms = now;
    read_before = true;
  }
  // A store that is too busy for that: what its files say, without whose it is.
  CheckedStore checked;
  for (ImageFinding& finding : FindingsOf(image.wal)) {
    checked.found.push_back({std::move(finding), {}});
  }
  return checked;
}

/// What the start finds in checkpoints and directories before it reads the WAL, and what nobody
/// has a row for.
std::vector<Attributed> CheckBeside(const StoreImage& image, const ServerNames& names) {
  std::vector<Attributed> found;
  if (image.state == nullptr) return found;
  for (const Finding& finding : image.state->findings) {
    Attributed attributed = FromState(finding);
    const bool rows = std::ranges::any_of(attributed.touched, &wal::TouchedLog::rows);
    const bool elsewhere =
        std::ranges::none_of(attributed.touched, [&](const wal::TouchedLog& touched) {
          return image.state->candidates().contains(touched.uid);
        });
    if (rows && elsewhere) {
      attributed.found.acknowledged = false;
      attributed.found.finding.sentence += "; the other checkpoint or the WAL has the rows";
    }
    found.push_back(std::move(attributed));
  }
  for (const auto& [uid, server] : image.state->servers) {
    for (const std::string& name : server.leftovers) {
      Finding finding{.kind = FindingKind::kLeftover,
                      .file = DirectoryName(uid) + "/" + name,
                      .sentence = "begun by a flush that was not finished; a start removes it",
                      .touched = {}};
      found.push_back({{std::move(finding), false, false}, {}});
    }
  }
  for (const ServerUid& uid : image.state->candidates()) {
    const bool in_wal = names.table().Find(uid) != nullptr;
    if (in_wal) continue;  // Registered since the checkpoints; its first flush was not finished.
    Finding finding{.kind = FindingKind::kDamage,
                    .file = DirectoryName(uid),
                    .sentence = "a directory of a server without a row or a tombstone [A18]",
                    .touched = {}};
    found.push_back({{std::move(finding), true, true}, {{.uid = uid, .rows = true}}});
  }
  return found;
}

/// Reads every byte of the segments that counts. `known`: what is not said again.
Result<std::vector<Attributed>> CheckSegments(
    const StoreImage& image, const std::vector<Attributed>& known,
    const std::function<bool(const SegmentProgress&)>& report) {
  std::vector<Attributed> found;
  if (image.state == nullptr || image.state->servers_dir == nullptr) return found;
  SegmentProgress progress{.servers = image.state->servers.size()};
  for (const auto& [uid, server] : image.state->servers) {
    for (const auto& segment : server.list.segments()) progress.bytes_total += segment.bytes;
  }
  const auto said = [&](const Finding& finding) {
    return std::ranges::any_of(known, [&](const Attributed& one) {
      return one.found.finding.file == finding.file &&
             one.found.finding.offset_bytes == finding.offset_bytes;
    });
  };
  for (const auto& [uid, server] : image.state->servers) {
    ++progress.servers_done;
    if (server.list.empty()) continue;
    const auto directory = image.state->servers_dir->OpenDirectory(uid.ToString());
    if (!directory.ok() && directory.error().code == ErrorCode::kNotFound) continue;
    if (!directory.ok()) return directory.error();
    const auto verified = segments::VerifyServer(
        {.directory = **directory, .identity = server.identity, .authority = server.flushed},
        server.list);
    // A running store removed a file that nobody needs any more.
    if (!verified.ok() && verified.error().code == ErrorCode::kNotFound) continue;
    if (!verified.ok()) return verified.error();
    for (const segments::Finding& one : verified->findings) {
      const bool lost = !one.lost.empty() || one.sparse_suspect;
      Finding finding{.kind = lost ? FindingKind::kDamage : FindingKind::kHeaderCopy,
                      .file = DirectoryName(uid) + "/" + one.file,
                      .offset_bytes = one.offset,
                      .size_bytes = one.bytes,
                      .sentence = one.sentence,
                      .touched = {}};
      if (said(finding)) continue;
      Attributed attributed{{std::move(finding), lost, true}, {}};
      if (!one.lost.empty()) {
        attributed.touched.push_back({uid, one.lost.begin, one.lost.end - 1, false});
      }
      found.push_back(std::move(attributed));
    }
    progress.entries += verified->entries;
    progress.bytes += verified->bytes;
    if (report && !report(progress)) break;
  }
  return found;
}

}  // namespace

Result<CheckedStore> CheckStore(const std::string& path, StoreImage& image,
                                const std::function<bool(const SegmentProgress&)>& report) {
  CheckedStore checked;
  if (!image.wal.whole) return checked;
  const auto add = [&](std::vector<Attributed> more) {
    checked.found.insert(checked.found.end(), std::make_move_iterator(more.begin()),
                         std::make_move_iterator(more.end()));
  };
  for (ImageFinding& finding : CheckSystemFiles(path, image.wal)) add({{std::move(finding), {}}});
  if (image.wal.system.is_nil()) {
    for (ImageFinding& finding : FindingsOf(image.wal)) add({{std::move(finding), {}}});
    return checked;
  }
  CheckedStore wal = TRY(CheckWal(path, image));
  checked.logs = std::move(wal.logs);
  if (image.path.empty()) {
    add(std::move(wal.found));
    return checked;
  }
  const ServerNames names = ServerNames::Of(image, {});
  const std::vector<Attributed> beside = CheckBeside(image, names);
  add(beside);
  add(std::move(wal.found));
  add(TRY(CheckSegments(image, beside, report)));
  return checked;
}

}  // namespace duramen::tools
