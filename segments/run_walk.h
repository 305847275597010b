// Which runs stand in a segment file, found by their headers alone; and where damage hides some.
//
// A run whose header is lost is found by its other copy; what stands between the end of one run and
// the next that can be found is a gap. Reads the file, keeps no state but the RunTable, which only
// grows: a table that several threads read is copied before it is grown.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/io.h"
#include "segments/format.h"

namespace duramen::segments {

struct RunPlace {
  std::uint64_t offset = 0;
  RunHeader header;
  Index readable_end = 0;    // behind the last record that the file is long enough for
  bool cut_short = false;    // the file ends inside it
  bool header_lost = false;  // found by its other copy
};

/// Bytes in which no run can be found.
struct RunGap {
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
  std::size_t before_run = 0;  // position of the next run that was found
};

struct RunTable {
  FileContext context;  // life 0 until a header or a run has told it
  std::vector<RunPlace> runs;
  std::vector<RunGap> gaps;
  std::uint64_t walked_bytes = 0;  // from the start of the file
};

/// Entries that a run still holds once the runs behind it have cut theirs.
struct LivePiece {
  std::size_t run = 0;  // position in RunTable::runs
  IndexRange live;
};

/// `walked`, with the name of the file where it is a version that is not known.
Status NameUnknown(const Status& walked, const std::string& path);
/// Goes on from table.walked_bytes (0: at the first run) to `limit_bytes`.
/// Errors: kUnknownVersion, and those of reading.
Status WalkRuns(const File& file, const ServerIdentity& identity, std::uint64_t limit_bytes,
                RunTable& table);
/// Appended entries of `range` in ascending order, by the runs that begin below `limit_bytes`.
std::vector<LivePiece> LivePieces(const RunTable& table, std::uint64_t limit_bytes,
                                  IndexRange range);
/// The newest sparse run that may hold `index`; runs.size() when there is none.
std::size_t FindSparseRun(const RunTable& table, std::uint64_t limit_bytes, Index index);
/// Reads up to `size_bytes` at `offset`; what the file does not have is left out.
Result<std::vector<std::byte>> ReadUpTo(const File& file, std::uint64_t offset,
                                        std::uint64_t size_bytes);
/// The records of a run, not compressed any more, as far as the file has them: of a compressed one
/// all or none. `limit_bytes`: of the file that count. Errors: kCorruption (of a compressed run),
/// those of reading.
Result<std::vector<std::byte>> ReadRecords(const File& file, const FileContext& context,
                                           const RunPlace& run, std::uint64_t limit_bytes);
/// Where the records of a run are: by its table, or from the records if that is damaged [G8].
/// Errors: those of reading.
Result<std::vector<TableEntry>> LoadTable(const File& file, const FileContext& context,
                                          const RunPlace& run, std::uint64_t limit_bytes);

}  // namespace duramen::segments
