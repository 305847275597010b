// Reads the records of one landed run from its WAL file: for readers of cold entries, and for the
// flush. Every record is verified on the way.
#pragma once

#include <vector>

#include "wal/batch.h"
#include "wal/landed.h"

namespace duramen::wal {

/// A run and whose it is.
struct OwnedRun {
  LandedRun run;
  std::uint32_t slot = 0;
  RecordOwner owner;
};

class RunReader {
 public:
  /// Reads the run into `buffer`, which outlives the reader; at least kRunHeaderBytes + run.bytes.
  /// Records that cannot be read answer kCorruption, also where the device gives nothing.
  /// Errors: those of ReadAround.
  static Result<RunReader> Open(const OpenWalFile& file, const OwnedRun& run,
                                std::span<std::byte> buffer);
  static std::uint64_t BufferBytes(const LandedRun& run) { return kRunHeaderBytes + run.bytes; }

  /// The device gave no byte of the run.
  bool silent() const { return silent_; }
  bool AtEnd() const { return reader_.AtEnd() || !reader_.resumable(); }
  /// Of the record that Next() reads.
  Index next_index() const { return reader_.next_index(); }
  /// Requires: !AtEnd(). Errors: kCorruption; the next call goes on behind it.
  Result<RecordView> Next() { return reader_.Next(); }
  /// Nobody asks for what lies before it; what can be is not unpacked.
  void SkipTo(Index index) { reader_.SkipTo(index); }
  /// From which payloads of a packed run borrow, besides `buffer`. They are the reader's until
  /// then.
  std::vector<std::vector<std::byte>> TakeFrames() { return reader_.TakeFrames(); }
  /// What Next() will unpack before it answers, and the reader then keeps; 0: nothing.
  std::uint64_t BytesAhead() const { return reader_.BytesAhead(); }

 private:
  RunReader(RecordReader reader, bool silent) : reader_(std::move(reader)), silent_(silent) {}
  RecordReader reader_;
  bool silent_;
};

}  // namespace duramen::wal
