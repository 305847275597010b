#include "tools/store_check.h"

#include <algorithm>
#include <iterator>

#include "base/clock.h"
#include "base/rng.h"
#include "base/try.h"
#include "segments/scan.h"
#include "tools/checkpoint_walk.h"
#include "tools/read_only_directory.h"
#include "tools/system_check.h"
#include "tools/text.h"

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

/// What of `range` no finding names, from its first such index on.
IndexRange Unnamed(const std::vector<Attributed>& findings, const ServerUid& uid,
                   IndexRange range) {
  for (bool moved = true; moved && !range.empty();) {
    moved = false;
    for (const Attributed& finding : findings) {
      for (const wal::TouchedLog& touched : finding.touched) {
        if (touched.uid != uid || touched.first == 0 || touched.first > range.begin) continue;
        const Index end = touched.last == 0 ? range.end : touched.last + 1;
        moved = moved || end > range.begin;
        range.begin = std::clamp(end, range.begin, range.end);
        if (range.empty()) return {};
      }
    }
  }
  return range;
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
  WalCheck(StoreImage& image, ReadProgress* progress) : image_(image), progress_(progress) {}

  /// False: files moved under the reader's hands.
  Result<bool> Run() {
    found_.clear();
    const std::unique_ptr<Directory> directory =
        TRY(ReadOnlyDirectory::Open(image_.wal.path, progress_));
    std::uint64_t bytes = 0;
    for (const wal::JudgedBatch& batch : image_.wal.verdict.batches) bytes += batch.bytes;
    if (progress_ != nullptr) progress_->Begin("replay", bytes);
    std::unique_ptr<Directory> away;
    if (!image_.wal.away_path.empty()) {
      away = TRY(ReadOnlyDirectory::Open(image_.wal.away_path, progress_));
    }
    wal::RecoveryOptions options{
        .system = image_.wal.system, .scanned = &image_.wal.summaries, .away = away.get()};
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
        const IndexRange unnamed = Unnamed(known, log.owner.uid, hole);
        if (unnamed.empty()) continue;
        Finding finding{.kind = FindingKind::kDamage,
                        .file = DirectoryName(log.owner.uid),
                        .sentence = "entries stand in no file, neither in segments nor in the WAL",
                        .touched = {}};
        found_.push_back({{std::move(finding), true, true},
                          {{log.owner.uid, unnamed.begin, unnamed.end - 1, false}}});
      }
    }
  }

  StoreImage& image_;
  ReadProgress* const progress_;
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

bool Stopped(const ReadProgress* progress) { return progress != nullptr && progress->stopped(); }

/// Replays the WAL behind `image.state`, as a start does, and says whose is what is lost.
Result<CheckedStore> CheckWal(const std::string& path, StoreImage& image, ReadProgress* progress) {
  std::string symptoms;
  bool read_before = false;
  for (int reading = 0; reading < kReadingsMax; ++reading) {
    if (reading > 0) image = TRY(ReadStoreImage(path, progress, image.wal_dir));
    WalCheck check(image, progress);
    const Result<bool> done = check.Run();
    if (Stopped(progress)) return CheckedStore();
    if (!TRY(done)) continue;
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

/// A running store is at work on them.
void AddLeftovers(const StoreImage& image, std::vector<Attributed>& found) {
  if (IsHeld(image.path)) return;
  std::uint64_t files = 0;
  for (const auto& [uid, server] : image.state->servers) files += server.leftovers.size();
  if (files == 0) return;
  Finding finding{.kind = FindingKind::kLeftover,
                  .file = log::kServersName,
                  .sentence = Plural(files, "file") +
                              " begun by a flush that was not finished; a start removes "
                              "what it does not write again",
                  .touched = {}};
  found.push_back({{std::move(finding), false, false}, {}});
}

/// Beside the very first checkpoint there is no other yet.
void AddMissingCheckpoint(const StoreImage& image, std::vector<Attributed>& found) {
  if (image.state->meta_dir == nullptr) return;
  const char* missing = nullptr;
  std::uint64_t sequence = 0;
  for (const char* name : meta::kCheckpointNames) {
    const auto file = image.state->meta_dir->Open(name, OpenFor::kRead);
    if (!file.ok() && file.error().code == ErrorCode::kNotFound) missing = name;
    if (!file.ok()) continue;
    const Result<CheckpointImage> content = ReadCheckpointImage(**file, image.system);
    if (content.ok()) sequence = content->content.sequence;
  }
  if (missing == nullptr || sequence <= 1) return;
  Finding finding{.kind = FindingKind::kMissingFile,
                  .file = std::string(log::kMetaName) + "/" + missing,
                  .sentence =
                      "it is not there; the other checkpoint has the rows, and the next "
                      "flush writes this one",
                  .touched = {}};
  found.push_back({{std::move(finding), false, true}, {}});
}

/// What the start finds in checkpoints and directories before it reads the WAL, and what nobody
/// has a row for.
std::vector<Attributed> CheckBeside(const StoreImage& image) {
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
  AddLeftovers(image, found);
  AddMissingCheckpoint(image, found);
  for (const ServerUid& uid : image.state->candidates()) {
    const bool in_wal =
        image.rows->With([&](const meta::Table& table) { return table.Find(uid) != nullptr; });
    if (in_wal) continue;  // Registered since the checkpoints; its first flush was not finished.
    Finding finding{.kind = FindingKind::kDamage,
                    .file = DirectoryName(uid),
                    .sentence = "a directory of a server without a row or a tombstone [A18]",
                    .touched = {}};
    found.push_back({{std::move(finding), true, true}, {{.uid = uid, .rows = true}}});
  }
  return found;
}

Attributed FromSegment(const segments::Finding& one, const ServerUid& uid, std::string file) {
  const bool lost = !one.lost.empty() || one.sparse_suspect;
  Finding finding{.kind = lost ? FindingKind::kDamage : FindingKind::kHeaderCopy,
                  .file = std::move(file),
                  .offset_bytes = one.offset,
                  .size_bytes = one.bytes,
                  .sentence = one.sentence,
                  .touched = {}};
  Attributed attributed{{std::move(finding), lost, true}, {}};
  if (!one.lost.empty()) {
    attributed.touched.push_back({uid, one.lost.begin, one.lost.end - 1, false});
  }
  return attributed;
}

/// Reads every byte of the segments that counts; what CheckBeside said is not said again.
Status CheckSegments(const StoreImage& image, CheckedStore& checked, ReadProgress* progress) {
  if (image.state == nullptr || image.state->servers_dir == nullptr) return {};
  const std::vector<Attributed> known = checked.found;
  std::uint64_t bytes = 0;
  for (const auto& [uid, server] : image.state->servers) {
    for (const auto& segment : server.list.segments()) bytes += segment.bytes;
  }
  if (progress != nullptr) progress->Begin("segments", bytes);
  const auto said = [&](const Finding& finding) {
    return std::ranges::any_of(known, [&](const Attributed& one) {
      return one.found.finding.file == finding.file &&
             one.found.finding.offset_bytes == finding.offset_bytes;
    });
  };
  for (const auto& [uid, server] : image.state->servers) {
    if (server.list.empty()) continue;
    const auto directory = image.state->servers_dir->OpenDirectory(uid.ToString());
    if (!directory.ok() && directory.error().code == ErrorCode::kNotFound) continue;
    if (!directory.ok()) return directory.error();
    const auto verified = segments::VerifyServer(
        {.directory = **directory, .identity = server.identity, .authority = server.flushed},
        server.list);
    if (Stopped(progress)) break;  // What it found since may be for want of bytes.
    // A running store removed a file that nobody needs any more.
    if (!verified.ok() && verified.error().code == ErrorCode::kNotFound) continue;
    if (!verified.ok()) return verified.error();
    for (const segments::Finding& one : verified->findings) {
      Attributed attributed = FromSegment(one, uid, DirectoryName(uid) + "/" + one.file);
      if (!said(attributed.found.finding)) checked.found.push_back(std::move(attributed));
    }
    checked.segment_entries += verified->entries;
    checked.segment_bytes += verified->bytes;
  }
  return {};
}

}  // namespace

Result<CheckedStore> CheckStore(const std::string& path, StoreImage& image,
                                ReadProgress* progress) {
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
  CheckedStore wal = TRY(CheckWal(path, image, progress));
  checked.logs = std::move(wal.logs);
  if (!image.path.empty() && !Stopped(progress)) add(CheckBeside(image));
  add(std::move(wal.found));
  if (!image.path.empty() && !Stopped(progress)) TRY(CheckSegments(image, checked, progress));
  return checked;
}

Result<CheckedStore> CheckLone(const LoneFile& lone) {
  CheckedStore check{.lone_files = 1};
  const std::string name = lone.path.substr(lone.path.rfind('/') + 1);
  if (lone.segment) {
    const segments::ServerIdentity& identity = lone.segment->identity;
    const segments::VerifyResult verified =
        TRY(segments::VerifyLoneSegment(*lone.file, identity, *lone.segment->list.last()));
    for (const segments::Finding& one : verified.findings) {
      check.found.push_back(FromSegment(one, identity.uid, name));
    }
    check.segment_entries = verified.entries;
    check.segment_bytes = verified.bytes;
    return check;
  }
  for (const meta::CheckpointDamage& damage : lone.checkpoint->content.damage) {
    Finding finding{.kind = damage.row_lost ? FindingKind::kDamage : FindingKind::kHeaderCopy,
                    .file = name,
                    .offset_bytes = damage.offset,
                    .size_bytes = damage.bytes,
                    .sentence = damage.sentence,
                    .touched = {}};
    if (damage.row_lost) finding.sentence += "; the other checkpoint may have it";
    check.found.push_back({{std::move(finding), false, true}, {}});
    if (damage.uid) check.found.back().touched.push_back({.uid = *damage.uid, .rows = true});
  }
  return check;
}

}  // namespace duramen::tools
