// Writes what one server flushes in one round into its segment files.
//
// The writer buffers up to a buffer (or the largest entry) and writes large pieces, one behind the
// other; it syncs nothing. The caller syncs the files of Finish(), and the server's directory if
// any was created; only then it makes the row durable that says so [A6]. Until then what was
// written does not exist: a reader that holds the old list sees none of it, and after an error the
// caller drops the writer, keeps the old list, and begins the next round at next_number(). The
// files of the round that failed are never appended to [B8]; ScanServer calls them leftovers.
//
// Owned by one flush round; one thread. Outlived by Directory and Rng.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/io.h"
#include "base/rng.h"
#include "segments/blocks.h"
#include "segments/segment_list.h"

namespace duramen::segments {

struct SegmentLimits {
  std::uint64_t entries_max = 4096;      // of one file
  std::uint64_t bytes_max = 64'000'000;  // of one file; a larger entry gets one of its own
  std::uint64_t buffer_bytes = 1 << 20;
  Compression compression = Compression::kNone;
  std::uint64_t pack_bytes_min = kPackBytesMin;  // smaller blocks stay as they are
  /// That are compressed at once; one entry at least. As small as the whole block, and unpacked in
  /// a quarter of the time (docs/benchmarks.md). At most kBlockBytesMax.
  std::uint64_t block_bytes = 64 << 10;
};

/// An entry on its way into a segment; borrowed during the call.
struct RecordSource {
  Index index = 0;
  Term term = 0;
  std::uint8_t kind = 0;
  std::uint64_t entry_checksum = 0;
  Bytes payload;
};

struct WriterSetup {
  Directory& directory;  // of the server
  ServerIdentity identity;
  SegmentLimits limits;
  SegmentList list;
  Flushed flushed;                // what the durable row says
  std::uint64_t next_number = 1;  // above every file that was ever begun
  bool may_append = false;        // to the last file: its state is known
  Index floor = 0;  // durable, at the latest with that row; nobody needs what is below
  Rng& rng;         // draws lives
  std::vector<std::byte>* scratch = nullptr;  // to write from; null: memory of its own
  BlockPacker* packer = nullptr;              // likewise
};

struct WrittenFile {
  std::shared_ptr<File> file;
  std::string name;
  bool created = false;  // the directory has to be synced
};

struct WrittenRound {
  std::vector<WrittenFile> files;  // to be synced
  SegmentList list;                // to be shown once the row is durable
  Flushed flushed;                 // what the row has to say
  std::uint64_t bytes = 0;
  std::uint64_t packed_from_bytes = 0;  // of records that were to be compressed: before
  std::uint64_t packed_to_bytes = 0;    // and as they were written, compressed or not
};

/// The run that a writer adds to.
struct OpenRun {
  RunHeader header;
  std::uint64_t offset = 0;  // in the file
  std::vector<TableEntry> table;
};

class SegmentWriter {
 public:
  explicit SegmentWriter(const WriterSetup& setup);
  SegmentWriter(const SegmentWriter&) = delete;
  SegmentWriter& operator=(const SegmentWriter&) = delete;
  /// Consecutive entries; whatever stood at and above `cut` is no more. `cut` is at most the first
  /// index (CHECK). Errors: kCorruption when an entry does not match its checksum, kTooLarge, and
  /// those of writing; after an error all calls answer it.
  Status Append(Index cut, std::uint64_t epoch, std::span<const RecordSource> records);
  /// Entries below the log's begin, ascending.
  Status AppendSparse(std::uint64_t epoch, std::span<const RecordSource> records);
  /// Writes the rest.
  Result<WrittenRound> Finish();
  /// After an error: removes the files that this round created, as far as it can.
  void Abandon();
  /// For the next round, whatever became of this one.
  std::uint64_t next_number() const { return next_number_; }

 private:
  Status Add(const RunHeader& intent, std::span<const RecordSource> records);
  Status AddRecord(const RunHeader& intent, const RecordSource& record);
  /// May it go into the file that is open?
  bool Suits(const RunHeader& intent, const RecordSource& record) const;
  Status BeginFile(Index cut);
  Status ReopenLast();
  Status Create();
  Status CloseFile();
  Status EndBlock(const RecordSource& record);
  void Pack(std::uint64_t start);
  void BeginRun(const RunHeader& intent, const RecordSource& first);
  void EndRun();
  Status WriteBuffer();
  Status Fail(const Error& error);

  Directory& directory_;
  ServerIdentity identity_;
  SegmentLimits limits_;
  Rng& rng_;
  SegmentListEdit list_;
  Flushed flushed_;
  std::uint64_t next_number_;
  bool may_append_;
  const Index floor_;
  std::shared_ptr<File> file_;
  FileContext context_;
  std::uint64_t file_entries_ = 0;
  std::vector<std::byte> own_buffer_;
  std::vector<std::byte>& buffer_;  // of the file, not written yet
  BlockPacker own_packer_;
  BlockPacker& packer_;
  std::uint64_t buffer_offset_ = 0;  // of the file
  std::optional<OpenRun> run_;
  std::vector<WrittenFile> files_;
  std::uint64_t bytes_ = 0;
  std::uint64_t packed_from_bytes_ = 0;
  std::uint64_t packed_to_bytes_ = 0;
  std::optional<Error> failed_;
};

}  // namespace duramen::segments
