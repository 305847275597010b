// The damage sweep: a small store of two sealed WAL files, a third in use, and SYSTEM, and another
// one of segments and checkpoints, and every byte of them changed in every way that disks are known
// for. Each time the store must open with identical content, or say exactly what is lost.
//
// What must be said is computed from the undamaged bytes (wal_map.h): an entry whose payload or
// record header was touched is lost; one behind a touched record header in the same run may be;
// headers of files, batches and runs, bindings and closings are there twice, so nothing is lost
// with one of them. In segments an entry is named by the error of its read; a run of which both
// headers are lost is named by the start, with what it may have cut. A checkpoint costs nothing.
// Forbidden: an entry that is gone or changed and that no finding covers; a
// finding that names a log or a range that the damage cannot have touched; a store that does not
// open; a crash; a hang.
//
// Owned by the test; one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/explorer/model.h"
#include "tests/explorer/segment_map.h"
#include "tests/explorer/subject.h"
#include "tests/explorer/wal_map.h"
#include "sim/sim_file_system.h"

namespace duramen::explorer {

enum class FileSort : std::uint8_t { kWal, kSystem, kSegment, kCheckpoint };

struct SpecimenFile {
  std::string path;  // "/data/wal/0000000000000001.wal"
  FileSort sort = FileSort::kWal;
  std::vector<std::byte> bytes;
  WalMap map;          // of all but SYSTEM its pieces, of WAL files the rest too
  SegmentMap segment;  // of segments, without the pieces
};

enum class SpecimenKind : std::uint8_t {
  kWal,       // no checkpoint can be made, so all WAL files stay
  kRecycled,  // the first WAL files have gone; rows stand in checkpoints, and the newest in the WAL
  kSegments,  // the same, with small segments that were cut and gone on with
  kPackedWal,           // as kWal, with packed runs
  kCompressedSegments,  // as kSegments, with compressed runs
};

struct Specimen {
  sim::Image image;
  SubjectSizes sizes;
  Logs logs;  // what an undamaged start shows
  std::map<std::string, LogNumber> uids;
  std::vector<SpecimenFile> wal_files;    // in service, by number; all but the last are sealed
  std::vector<SpecimenFile> other_files;  // SYSTEM, segments by log and number, checkpoints
};
/// Errors are those of the store.
Result<Specimen> MakeSpecimen(std::uint64_t seed, SpecimenKind kind = SpecimenKind::kWal);

/// Damages an entry in the WAL so that its log is faulty, writes on until that WAL is recycled, and
/// starts again. Returns what is wrong then; empty: nothing.
Result<std::string> FaultOutlivesTheWal(const Specimen& specimen);

/// Entries that were overwritten during a flush do not come back when the new ones rot. Returns
/// what is wrong; empty: nothing.
Result<std::string> OverwrittenStaysDead();
/// Entries that a flush overtook in their ring are written, and what was appended.
Result<std::string> WaitingOutlivesAFlush();

enum class Damage : std::uint8_t {
  kBitFlipped,
  kZeroByte,
  kOnesByte,
  kCutHere,
  kSectorZeroed,      // once for each sector
  kSectorsSwapped,    // with the next one
  kOtherFilesSector,  // the same place of another file of its sort
  kGarbageAppended,   // once for each file
  kCount,
};
const char* DamageName(Damage damage);

struct SweepTally {
  std::uint64_t opens = 0;
  std::uint64_t unchanged = 0;  // mutations that changed nothing
  std::uint64_t identical = 0;  // identical content
  std::uint64_t reported = 0;   // content lost, and exactly that reported
  std::uint64_t refused = 0;    // SYSTEM unreadable, and said so
  std::map<std::string, std::uint64_t> by_damage;
  /// The first of each sort (texts that differ in numbers only), and how many there were.
  std::map<std::string, std::pair<std::string, std::uint64_t>> failures;
};

/// Bytes [begin, end) of a file that are not what they were, or not there.
struct Change {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

class DamageSweep {
 public:
  explicit DamageSweep(const Specimen& specimen) : specimen_(specimen) {}
  /// Sweeps the first two WAL files and SYSTEM: a bit of every `stride`th byte flipped; of these
  /// the file cut at every second, every third zeros and ones; and all sectors.
  void Run(std::uint64_t stride);
  /// The same for all segments and checkpoints.
  void RunFlushed(std::uint64_t stride);
  /// One mutation; `file` counts the WAL files, then the others.
  void Try(std::size_t file, Damage damage, std::uint64_t offset);
  /// Of each row all copies at once, in whatever files they stand.
  void RunRows();
  /// The store is open and the bytes change under it: what it reads is right, or an error.
  void RotUnderAnOpenStore(std::uint64_t stride);
  const SweepTally& tally() const { return tally_; }
  /// WAL files first, then the others.
  const SpecimenFile& FileAt(std::size_t file) const;
  std::size_t file_count() const {
    return specimen_.wal_files.size() + specimen_.other_files.size();
  }
  /// The disk with one mutation; nothing when that changes nothing.
  std::optional<sim::Image> DamagedImage(std::size_t file, Damage damage,
                                         std::uint64_t offset) const;

 private:
  struct Expected {
    std::map<LogNumber, std::vector<Index>> lost;          // must be covered by findings
    std::map<LogNumber, std::pair<Index, Index>> touched;  // may be named, with at most this range
    std::map<LogNumber, bool> rows;                        // rows of these may be named
    bool anything = false;                                 // attribution itself was destroyed
    bool exact = false;  // no damage is reported without a range of what was hit
  };
  struct Place {
    std::string path;
    std::uint64_t offset = 0;
    bool in_checkpoint = false;
  };
  void TryRow(LogNumber log, const std::vector<Place>& copies);
  void Fail(const std::string& where, const std::string& text);
  const SpecimenFile& OtherOf(const SpecimenFile& file) const;
  void SweepFile(std::size_t file, std::uint64_t stride);
  static std::vector<Change> ChangesOf(Bytes before, Bytes after);
  Expected ExpectedOf(const SpecimenFile& file, const std::vector<Change>& changes,
                      std::uint64_t size_bytes) const;
  Expected ExpectedOfSegment(const SpecimenFile& file, const std::vector<Change>& changes,
                             std::uint64_t size_bytes) const;
  void TouchLostRuns(const SpecimenFile& file, const std::vector<int>& ends_lost,
                     Expected& expected) const;
  std::uint64_t EpochBefore(const SpecimenFile& file) const;
  std::vector<std::byte> Damaged(const SpecimenFile& file, Damage damage,
                                 std::uint64_t offset) const;
  Expected ExpectedFrom(const SpecimenFile& file, const std::vector<Change>& changes) const;
  bool IsLive(const Piece& piece) const;
  sim::Image ImageWith(const SpecimenFile& file, Bytes bytes,
                       const std::vector<Change>& changes) const;
  std::string JudgeOpened(const LogStore& store, const Expected& expected, bool& identical) const;
  std::string JudgeLog(const LogStore& store, LogNumber log, const Expected& expected,
                       bool& identical) const;
  std::string JudgeFindings(const LogStore& store, const Expected& expected) const;
  LogNumber NumberOf(const TouchedRange& range) const;
  const Specimen& specimen_;
  SweepTally tally_;
};

}  // namespace duramen::explorer
