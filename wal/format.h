// The bytes of a WAL file: headers of files, batches, runs, records and closing blocks. Pure.
// wal/FORMAT.md is the same in words; tests/testdata/v1 holds golden files.
//
// A file is two header blocks and then batches, each on whole 4 KiB blocks:
//   | file header | file header (copy) | batch | batch | ... | room kept for a seal |
//   batch: | batch header | bindings | runs, each a header and its records | zeros to a sector |
//          | closing: header, bindings again, all runs again | zeros to a block |
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/checksum.h"
#include "base/types.h"
#include "duramen/result.h"

namespace duramen::wal {

inline constexpr std::uint64_t kBlockBytes = 4096;
inline constexpr std::uint64_t kSectorBytes = 512;
inline constexpr std::uint64_t kHeaderCopies = 2;
inline constexpr std::uint64_t kFirstBatchOffset = kHeaderCopies * kBlockBytes;
inline constexpr std::uint64_t kSealReserveBytes = kBlockBytes;
inline constexpr std::uint32_t kFormatVersion = 1;
inline constexpr std::uint32_t kPackedVersion = 2;  // of a file that may hold packed runs
inline constexpr std::uint64_t kFileMagic = 0x314C415741525544ULL;  // "DURAWAL1"
inline constexpr std::uint32_t kBatchMagic = 0x54414244;            // "DBAT"
inline constexpr std::uint32_t kClosingMagic = 0x444E4544;          // "DEND"
inline constexpr std::size_t kBatchHeaderBytes = 112;
inline constexpr std::size_t kBindingBytes = 32;
inline constexpr std::size_t kRunHeaderBytes = 48;
inline constexpr std::size_t kRecordHeaderBytes = 24;
inline constexpr std::size_t kClosingHeaderBytes = 80;
inline constexpr std::size_t kRunSummaryBytes = 40;
inline constexpr std::uint64_t kRecordAlign = 8;
/// No batch is larger, so that a hostile length allocates no more.
inline constexpr std::uint64_t kBatchBytesMax = 256ULL << 20;
/// Numbers of files and batches stay below it, so that hostile ones overflow nowhere.
inline constexpr std::uint64_t kNumberMax = 1ULL << 62;

/// Which file and which of its lives bytes belong to; mixed into every checksum of the file.
struct FileContext {
  std::uint64_t number = 0;
  std::uint64_t life = 0;
  std::uint64_t seed = 0;
  static FileContext Of(const SystemUuid& system, std::uint64_t number, std::uint64_t life) {
    return {number, life, FileSeed(system, FileKind::kWal, life)};
  }
};

/// A file and the last batch of it that counts.
struct FileEnd {
  std::uint64_t file = 0;  // number; 0: none
  std::uint64_t life = 0;
  std::uint64_t batch = 0;
  std::uint64_t checksum = 0;  // of that batch's header
};

/// Records of a packed run are compressed so many at a time, unless one alone is larger.
inline constexpr std::uint64_t kFrameBytesMax = 256ULL << 10;
/// What is planned into one batch, so also one record with its header: of the largest file. Of the
/// file that a frame stands in its size says nothing, as recovery copies frames into smaller ones.
inline constexpr std::uint64_t kPlannedBytesMax = kBatchBytesMax / 2;  // Repeats may come on top.
inline constexpr std::size_t kFrameHeaderBytes = 32;

/// Written when the file enters service; a file without one for its number is a spare. Two copies
/// stand in the first two blocks; each block is under one checksum as a whole.
struct FileHeader {
  std::uint32_t version = kFormatVersion;
  SystemUuid system;
  std::uint64_t life = 0;
  std::uint64_t number = 0;
  std::uint64_t size_bytes = 0;
  std::uint64_t boot = 0;
  std::uint64_t predecessor_number = 0;  // 0: none
  std::uint64_t predecessor_life = 0;
  std::uint64_t predecessor_end = 0;       // its last batch that counts
  std::uint64_t predecessor_checksum = 0;  // header checksum of that batch
  std::uint64_t oldest_live = 0;           // a file from here on that is missing is damage
  std::uint64_t first_batch = 0;
  std::uint64_t durable_upto = 0;
  std::uint32_t sync_method = 0;
  std::int64_t unix_ms = 0;
};

/// Fills one block. `copy` is 0 or 1 and is part of the seed.
void EncodeFileHeader(const FileHeader& header, std::uint64_t copy,
                      std::span<std::byte, kBlockBytes> block);
/// Errors: kCorruption; kUnknownVersion when the magic is right and the version is not ours.
Result<FileHeader> DecodeFileHeader(Bytes block, std::uint64_t copy);

enum BatchFlags : std::uint16_t { kBatchSeal = 1, kBatchCopied = 2 };

struct BatchHeader {
  std::uint16_t flags = 0;
  std::uint64_t checksum = 0;  // of this header; the next batch repeats it
  std::uint64_t life = 0;
  std::uint64_t file_number = 0;
  std::uint64_t number = 0;
  std::uint64_t durable_upto = 0;       // highest batch durable with all before it
  std::uint64_t previous_checksum = 0;  // of the batch before it in the chain
  std::uint64_t body_checksum = 0;      // of everything between header and closing
  std::uint32_t batch_bytes = 0;        // whole blocks
  std::uint32_t closing_offset = 0;     // from the start of the batch; whole sectors
  std::uint32_t run_count = 0;
  std::uint32_t binding_count = 0;
  std::uint32_t record_count = 0;
  std::uint32_t row_count = 0;
  std::uint32_t body_bytes = 0;  // before the zeros that pad to a sector
  std::uint64_t boot = 0;
};

/// Writes kBatchHeaderBytes and returns the header's checksum.
std::uint64_t EncodeBatchHeader(const BatchHeader& header, std::uint64_t seed, std::byte* out);
/// Checks everything that can be checked without the body: magic, version, checksum, life and file
/// (when `context.life` is 0 the life is taken from the header), and sizes against each other.
/// `offset` is the batch's place in the file. Errors: kCorruption, kShortRead.
Result<BatchHeader> DecodeBatchHeader(Bytes bytes, const SystemUuid& system,
                                      const FileContext& context, std::uint64_t offset);

/// A slot stands for one server within one file; its first batch there says which.
struct Binding {
  std::uint32_t slot = 0;
  ClusterId cluster_id = 0;
  ServerUid uid;
};
/// Whose records are verified: the uid for their place, the cluster id for the entry itself.
struct RecordOwner {
  ServerUid uid;
  ClusterId cluster_id = 0;
};
void EncodeBinding(const Binding& binding, std::byte* out);
Binding DecodeBinding(const std::byte* bytes);

enum class RunKind : std::uint8_t {
  kNext = 1,            // entries that follow the log's last
  kOverwrite = 2,       // entries that cut everything at and above their first
  kJump = 3,            // entries that begin a log after a snapshot
  kSparse = 4,          // live entries below the log's begin; cut nothing
  kRows = 5,            // records whose payload is {row sequence u64, row}
  kTruncateSuffix = 6,  // first = new end; no records
  kReset = 7,           // first = new begin, term = the term before it; no records
  kFloor = 8,           // first = new begin, term = the term before it; no records
  kBounds = 9,          // a log's state, carried: first = begin, term = the term before it, one
                        // record with payload {end u64, last term u64}
};
constexpr bool IsEntries(RunKind kind) {
  return kind >= RunKind::kNext && kind <= RunKind::kSparse;
}
constexpr bool IsMark(RunKind kind) {
  return kind >= RunKind::kTruncateSuffix && kind <= RunKind::kFloor;
}
const char* RunKindName(RunKind kind);

enum RunFlags : std::uint8_t {
  kRunRepeat = 1,   // rows of the batch before, again in another block
  kRunCarried = 2,  // rows again, because their file is about to be recycled
  kRunPacked = 4,   // entries: their records are compressed, frame by frame
};

struct RunHeader {
  std::uint32_t slot = 0;
  std::uint32_t count = 0;  // records
  std::uint64_t first = 0;  // index of the first entry; see RunKind for the others
  std::uint64_t term = 0;
  std::uint64_t epoch = 0;
  std::uint32_t bytes = 0;  // of all records
  RunKind kind = RunKind::kNext;
  std::uint8_t flags = 0;
  friend bool operator==(const RunHeader&, const RunHeader&) = default;
};
void EncodeRunHeader(const RunHeader& run, std::uint64_t seed, std::byte* out);
/// Errors: kCorruption, kShortRead.
Result<RunHeader> DecodeRunHeader(Bytes bytes, std::uint64_t seed);
void EncodeRunSummary(const RunHeader& run, std::byte* out);
/// Errors: kCorruption when a field is out of its range.
Result<RunHeader> DecodeRunSummary(const std::byte* bytes);

struct RecordHeader {
  std::uint64_t entry_checksum = 0;
  std::uint32_t payload_bytes = 0;
  std::uint8_t kind = 0;
};
/// The seed of a record's own checksum: its place and whose it is.
std::uint64_t RecordSeed(std::uint64_t file_seed, std::uint64_t offset, const ServerUid& uid);
void EncodeRecordHeader(const RecordHeader& record, std::uint64_t seed, std::byte* out);
Result<RecordHeader> DecodeRecordHeader(Bytes bytes, std::uint64_t seed);
constexpr std::uint64_t RecordBytes(std::uint64_t payload_bytes) {
  return kRecordHeaderBytes + (payload_bytes + kRecordAlign - 1) / kRecordAlign * kRecordAlign;
}

/// Stands in front of some records of a packed run. Under its own checksum as they are under
/// theirs, so that reading goes on behind one whose body is damaged.
struct FrameHeader {
  std::uint64_t body_checksum = 0;  // of the bytes as they stand in the file
  std::uint32_t packed_bytes = 0;   // of the body, without its padding
  std::uint32_t raw_bytes = 0;      // of the records
  std::uint32_t count = 0;          // of records
};
void EncodeFrameHeader(const FrameHeader& frame, std::uint64_t seed, std::byte* out);
/// Errors: kCorruption, also where sizes are out of range; kShortRead.
Result<FrameHeader> DecodeFrameHeader(Bytes bytes, std::uint64_t seed);
constexpr std::uint64_t FrameBytes(std::uint64_t packed_bytes) {
  return kFrameHeaderBytes + (packed_bytes + kRecordAlign - 1) / kRecordAlign * kRecordAlign;
}
/// Of a record `at` bytes into the records of its frame: the frame says where it stands.
inline std::uint64_t FramedRecordSeed(std::uint64_t at, const ServerUid& uid) {
  return RecordSeed(0, at, uid);
}
/// Do the checksums of its first record or frame fit the server that `seed`, of that place, is made
/// of [C7]?
bool RunIsOf(const RunHeader& run, Bytes records, std::uint64_t seed);

/// What the closing says besides the bindings and runs that it repeats.
struct ClosingHeader {
  std::uint64_t life = 0;
  std::uint64_t file_number = 0;
  std::uint64_t number = 0;
  std::uint64_t durable_upto = 0;
  std::uint64_t batch_checksum = 0;  // the batch header's, so that the chain survives its loss
  std::uint32_t batch_bytes = 0;
  std::uint32_t closing_offset = 0;
  std::uint32_t run_count = 0;
  std::uint32_t binding_count = 0;
};
constexpr std::uint64_t ClosingBytes(std::uint64_t runs, std::uint64_t bindings) {
  return kClosingHeaderBytes + bindings * kBindingBytes + runs * kRunSummaryBytes;
}
/// Writes the header and the checksum over [out, out + batch_bytes - closing_offset), in which
/// bindings and summaries must stand already.
void EncodeClosing(const ClosingHeader& closing, std::uint64_t seed, std::byte* out);
/// `bytes` begins at the closing and may be longer. Errors: kCorruption, kShortRead.
Result<ClosingHeader> DecodeClosing(Bytes bytes, const SystemUuid& system,
                                    const FileContext& context, std::uint64_t offset);

/// "0000000000000012.wal" and back.
std::string FileName(std::uint64_t number);
/// Of a file that is kept for its damaged bytes and is no WAL file any more.
std::string KeptFileName(std::uint64_t number);
inline constexpr std::string_view kKeptSuffix = ".wal.kept";
std::optional<std::uint64_t> ParseFileName(std::string_view name);

}  // namespace duramen::wal
