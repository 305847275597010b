// Encoding and decoding of one batch. Pure: bytes in, bytes out.
//
// The encoder copies each payload into the batch and verifies its entry checksum over the copy, in
// the same pass [C10, C12]: what was changed in memory is never written. The decoder reads intact
// batches run by run, and damaged ones as far as their runs and closing block allow [B5].
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "wal/frames.h"

namespace duramen::wal {

/// One record on its way into a batch.
struct RecordSource {
  EntryIdentity identity;
  const std::byte* payload = nullptr;
  std::uint32_t payload_bytes = 0;
  std::uint64_t entry_checksum = 0;
};

/// How the payload of a record is copied, where it is not memory of this process alone.
struct PayloadCopy {
  /// False: it cannot be read.
  bool (*copy)(const void* argument, std::byte* to, const std::byte* from,
               std::size_t bytes) = nullptr;
  const void* argument = nullptr;
};

/// Bytes that a batch of this content takes, in whole blocks.
std::uint64_t BatchBytes(std::uint64_t record_bytes, std::uint64_t runs, std::uint64_t bindings);

/// Encodes one batch into a caller's buffer. Order of calls: AddBinding*, (BeginRun, AddRecord*,
/// EndRun)*, Finish. Requires: the buffer holds BatchBytes() of what is added (CHECK).
/// What an encoder collects; given from one batch to the next, it asks the heap for nothing.
struct BatchLists {
  std::vector<Binding> bindings;
  std::vector<RunHeader> runs;
};

class BatchEncoder {
 public:
  BatchEncoder(const FileContext& context, std::uint64_t offset, std::span<std::byte> buffer,
               BatchLists lists = {});
  /// For the next encoder. Requires: this one is finished.
  BatchLists TakeLists() { return {std::move(bindings_), std::move(runs_)}; }
  /// Runs of entries are packed where that pays. It outlives the encoder.
  void PackWith(RunPacker& packer) { packer_ = &packer; }
  void AddBinding(const Binding& binding);
  /// `run.count` and `run.bytes` are filled in by EndRun; marks have neither.
  void BeginRun(const RunHeader& run, const ServerUid& uid);
  /// False, and nothing is added, when the bytes do not match their entry checksum.
  [[nodiscard]] bool AddRecord(const RecordSource& record, PayloadCopy copy = {});
  /// Of the last record that was added, in the batch.
  Bytes last_payload() const {
    return {buffer_.data() + last_at_ + kRecordHeaderBytes, last_bytes_};
  }
  /// The last record is not added. Requires: it was, in this run.
  void TakeBackRecord();
  /// All records of a packed run at once, as they stand in another batch. Requires: they were read
  /// and verified there. False, and nothing is added, if they are no whole frames.
  [[nodiscard]] bool AddFrames(const struct RunView& from, const FileContext& context);
  /// A run that ended up without records is taken back. Returns the run as it was written.
  RunHeader EndRun();
  /// Takes the run back, records and all.
  void AbandonRun();
  /// Offset in the file at which the current run begins.
  std::uint64_t run_offset() const { return offset_ + run_at_; }
  std::uint32_t run_count() const { return static_cast<std::uint32_t>(runs_.size()); }
  /// `header` brings number, flags, durable_upto, previous_checksum and boot. Sets the rest.
  Bytes Finish(BatchHeader& header);

 private:
  void PackRun();

  FileContext context_;
  std::uint64_t offset_;
  std::span<std::byte> buffer_;
  std::size_t at_ = kBatchHeaderBytes;
  std::size_t run_at_ = 0;
  std::size_t last_at_ = 0;     // of the last record
  std::size_t last_bytes_ = 0;  // of its payload
  RunHeader run_;
  ServerUid run_uid_;
  bool in_run_ = false;
  RunPacker* packer_ = nullptr;
  std::uint32_t record_count_ = 0;
  std::uint32_t row_count_ = 0;
  std::vector<Binding> bindings_;
  std::vector<RunHeader> runs_;
};

/// A run inside a batch; borrows from the batch's bytes.
struct RunView {
  RunHeader header;
  std::uint64_t offset = 0;  // of the run header, in the file
  Bytes records;             // what follows the run header
};

struct RecordView {
  Index index = 0;  // of an entry; position in the run for rows
  std::uint8_t kind = 0;
  std::uint64_t entry_checksum = 0;
  std::uint64_t offset = 0;  // of the record header in the file, or of its frame
  Bytes payload;             // of a packed run: until the next frame is opened, unless it is kept
};

/// Walks the records of one run.
class RecordReader {
 public:
  RecordReader(const RunView& run, const FileContext& context, const RecordOwner& owner)
      : run_(run), context_(context), owner_(owner) {}
  bool AtEnd() const { return done_ == run_.header.count; }
  /// Requires: !AtEnd(). Errors: kCorruption. After a bad payload under a good header the next call
  /// goes on behind it (resumable() is true); after a bad header nothing more can be read.
  Result<RecordView> Next();
  bool resumable() const { return resumable_; }
  Index next_index() const { return run_.header.first + done_; }
  /// Of a packed run, frames that end before `index` are stepped over as they are.
  void SkipTo(Index index) { skip_to_ = index; }
  /// From here on what is unpacked stays, until TakeFrames.
  void KeepFrames() { keeps_ = true; }
  /// Payloads that were read borrow from them.
  std::vector<std::vector<std::byte>> TakeFrames();
  /// What the next call of Next() unpacks, for who counts memory; 0: nothing.
  std::uint64_t BytesAhead() const;

 private:
  Result<RecordView> NextPacked();
  Result<FrameHeader> FrameHere() const;
  Status OpenFrame();
  void KeepFrame();
  Result<RecordView> Take(const RecordHeader& header, Bytes bytes, std::uint64_t offset);

  RunView run_;
  FileContext context_;
  RecordOwner owner_;
  std::uint32_t done_ = 0;
  std::size_t at_ = 0;  // in the run, of the next record or frame
  bool resumable_ = true;
  // Of a packed run.
  std::vector<std::byte> frame_;    // records of the one that is open; empty: they are lost
  std::size_t frame_at_ = 0;        // of the next record in it
  std::uint64_t frame_offset_ = 0;  // in the file
  std::uint32_t frame_end_ = 0;     // done_ behind its last record
  Index skip_to_ = 0;
  bool keeps_ = false;
  std::vector<std::vector<std::byte>> kept_;
};

/// The slots that a file has bound so far. Owned by who replays one file.
using SlotTable = std::unordered_map<std::uint32_t, RecordOwner>;

/// A run of a damaged batch with what cannot be read of it.
struct DamagedRun {
  RunHeader header;
  Index first = 0;           // inclusive; for rows 0
  Index last = 0;            // inclusive
  std::uint64_t offset = 0;  // of the run header, in the file
};

/// What a batch holds, intact or not.
struct BatchContents {
  std::vector<Binding> bindings;
  std::vector<Binding> unverified;  // bindings that nothing else in the batch vouches for
  std::vector<RunView> runs;        // readable, in order
  std::vector<DamagedRun> damaged;  // unreadable, by the closing block or the run's own header
  std::vector<RunView> partial;     // damaged runs again, for their readable records
  bool unattributed = false;        // bytes lost of which nothing says whose they were
};

/// The context in which a batch header was found valid: the file's, or the header's own life where
/// the file's is not known.
FileContext ContextOf(const BatchHeader& header, const SystemUuid& system,
                      const FileContext& context);

/// Checks body and closing. `batch` begins at the batch header and may be cut short.
bool BatchIntact(const BatchHeader& header, Bytes batch, const SystemUuid& system,
                 const FileContext& context, std::uint64_t offset);
/// Lists the runs of an intact batch. Requires: BatchIntact. Errors: kCorruption (hostile bytes
/// under good checksums).
Result<BatchContents> ReadIntactBatch(const BatchHeader& header, Bytes batch,
                                      const FileContext& context, std::uint64_t offset);
/// Reads what can be read of a damaged one; `batch` covers as much of it as there is. `slots` holds
/// the bindings of earlier batches of the file.
BatchContents ReadDamagedBatch(Bytes batch, const SystemUuid& system, const FileContext& context,
                               std::uint64_t offset, const SlotTable& slots);

}  // namespace duramen::wal
