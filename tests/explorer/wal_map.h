// Who owns each byte of an undamaged WAL file, by a walk of wal/FORMAT.md from the front: the
// ground truth of the damage sweep. It asks the codec where things stand and nothing about
// recovery.
//
// Pure. Owned by the sweep; one thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "duramen/types.h"
#include "tests/explorer/model.h"
#include "wal/format.h"

namespace duramen::explorer {

enum class Part : std::uint8_t {
  kUnused,        // behind the last batch
  kFileHeader,    // one of two copies
  kBatchHeader,   // repeated by the closing in all that matters
  kBinding,       // repeated by the closing
  kRunHeader,     // repeated by the closing
  kRecordHeader,  // of an entry or row
  kPayload,       // of an entry or row
  kPadding,       // zeros between records and before the closing
  kClosing,       // header, bindings, summaries, and zeros up to a block; or a run header again
  kTable,         // of a segment or checkpoint: made again from the records
};
const char* PartName(Part part);

/// What is lost with a piece of a file, when everything else is there.
struct Piece {
  Part part = Part::kUnused;
  std::uint64_t begin = 0;  // bytes [begin, end) of the file
  std::uint64_t end = 0;
  std::uint64_t batch = 0;  // number; 0 outside of batches
  LogNumber log = UINT32_MAX;
  bool row = false;
  bool repeat = false;  // of a row: of a run with that flag
  Index index = 0;      // of an entry's record
  Index run_last = 0;   // last index of its run: a lost record header hides what follows it there
  Term term = 0;
  std::uint64_t hash = 0;  // of kind and payload, so all copies of a row share it
};

struct WalMap {
  /// In order, without gaps, up to the end of the file. Of compressed entries each is a piece of
  /// the same bytes.
  std::vector<Piece> pieces;
  std::vector<std::uint64_t> batch_numbers;
  wal::FileHeader header;
  /// The piece at an offset. Requires: inside the file.
  const Piece& At(std::uint64_t offset) const;
};

/// `logs` maps a uid as LogInfo prints it to the log's number. Errors: kCorruption when `bytes` is
/// no WAL file in service.
Result<WalMap> MapWalFile(Bytes bytes, const std::map<std::string, LogNumber>& logs);

}  // namespace duramen::explorer
