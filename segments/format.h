// The bytes of a segment file: file header, runs, records, offset tables. Pure; hostile bytes in.
// segments/FORMAT.md is the same in words.
//
//   | file header | run | run | ... |
//   run: | header | records, each padded to 8 | offset table | the header again |
//
// One flipped byte loses at most one entry: both ends of a run carry its header, a table is rebuilt
// from the records, records carry their index, and a file header that is lost costs only its check.
// Where the records are compressed it loses at most the entries of one run, which is a block.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/checksum.h"
#include "base/types.h"
#include "duramen/result.h"

namespace duramen::segments {

inline constexpr std::uint64_t kFileMagic = 0x3147455341525544ULL;  // "DURASEG1"
inline constexpr std::uint32_t kRunMagic = 0x4E555244;              // "DRUN"
inline constexpr std::uint32_t kFooterMagic = 0x45555244;           // "DRUE"
inline constexpr std::uint32_t kFormatVersion = 1;
inline constexpr std::uint32_t kCompressedVersion = 2;  // of a run alone
inline constexpr std::size_t kFileHeaderBytes = 128;
inline constexpr std::size_t kRunHeaderBytes = 104;
inline constexpr std::size_t kRecordHeaderBytes = 40;
inline constexpr std::uint64_t kAlign = 8;
/// Numbers have 8 digits in names, and are never used twice.
inline constexpr std::uint64_t kNumberMax = 99'999'999;
/// No run and no payload is larger, so that a hostile length allocates no more.
inline constexpr std::uint64_t kRunBytesMax = 1ULL << 30;
inline constexpr std::uint32_t kPayloadBytesMax = 512U << 20;
inline constexpr std::uint32_t kRunEntriesMax = 1U << 20;
/// What is compressed at once; no compressed run has more, unless it is one entry.
inline constexpr std::uint64_t kBlockBytesMax = 256ULL << 10;
/// A larger entry is not compressed. No WAL takes one, so it costs nothing but what hostile sizes
/// would.
inline constexpr std::uint64_t kPackedRunBytesMax = 128ULL << 20;

/// Whose segments: the uid is in every seed, the cluster id in every entry checksum.
struct ServerIdentity {
  SystemUuid system;
  ServerUid uid;
  ClusterId cluster_id = 0;
};

/// Which file bytes belong to; mixed into every container checksum.
struct FileContext {
  std::uint64_t number = 0;
  std::uint64_t life = 0;
  std::uint64_t seed = 0;
  static FileContext Of(const ServerIdentity& identity, std::uint64_t number, std::uint64_t life);
};

/// What the segment before this one held when this one was begun, behind the first cut of this one:
/// so that the loss of a whole file can be put down to exact indexes.
struct FileHeader {
  std::uint64_t number = 0;
  std::uint64_t life = 0;             // random, never 0
  std::uint64_t previous_number = 0;  // 0: none
  IndexRange previous;                // its live entries
  std::uint64_t previous_epoch = 0;   // its newest
  std::uint64_t last_number = 0;      // of the file before this one, live or not; 0: none
  std::uint64_t last_bytes = 0;       // of it that counted: a flush that failed may have left more
};
void EncodeFileHeader(const FileHeader& header, const ServerIdentity& identity,
                      std::span<std::byte, kFileHeaderBytes> out);
/// Errors: kShortRead, kCorruption (also when it is another server's or file's), kUnknownVersion
/// when magic and checksum are right and the version is not ours.
Result<FileHeader> DecodeFileHeader(Bytes bytes, const ServerIdentity& identity,
                                    std::uint64_t number);

/// What stands in the place of the cluster id, verified or not; 0 where there is too little.
ClusterId NamedClusterId(Bytes header);

enum class RunKind : std::uint8_t {
  kAppend = 1,  // consecutive entries; cuts whatever earlier runs hold at and above `cut`
  kSparse = 2,  // live entries below the log's begin, ascending; cuts nothing
};

struct RunHeader {
  RunKind kind = RunKind::kAppend;
  std::uint32_t count = 0;  // records, at least 1
  Index cut = 0;            // append: at most `first`; sparse: 0
  Index first = 0;
  Index last = 0;  // inclusive; append: first + count - 1
  Term term = 0;   // append: of all its entries, so that a start need not read them; sparse: 0
  std::uint64_t epoch = 0;
  Compression compression = Compression::kNone;
  std::uint64_t records_bytes = 0;     // in the file
  std::uint64_t raw_bytes = 0;         // of them before they were compressed
  std::uint64_t records_checksum = 0;  // over all records and their padding, as in the file
  std::uint64_t table_checksum = 0;
  Index end() const { return last + 1; }
  friend bool operator==(const RunHeader&, const RunHeader&) = default;
};
constexpr std::uint64_t TableBytes(RunKind kind, std::uint64_t count) {
  const std::uint64_t entry_bytes = kind == RunKind::kSparse ? 12 : 4;
  return (count * entry_bytes + kAlign - 1) / kAlign * kAlign;
}
/// Where the parts of a run stand, from its start.
constexpr std::uint64_t TableOffset(const RunHeader& run) {
  return kRunHeaderBytes + run.records_bytes;
}
constexpr std::uint64_t FooterOffset(const RunHeader& run) {
  return TableOffset(run) + TableBytes(run.kind, run.count);
}
constexpr std::uint64_t RunBytes(const RunHeader& run) {
  return FooterOffset(run) + kRunHeaderBytes;
}
constexpr std::uint64_t RecordBytes(std::uint64_t payload_bytes) {
  return kRecordHeaderBytes + (payload_bytes + kAlign - 1) / kAlign * kAlign;
}

/// Where a record would stand if its run were not compressed: its checksum is seeded with that.
constexpr std::uint64_t RecordsOffset(std::uint64_t run_offset) {
  return run_offset + kRunHeaderBytes;
}

/// Which of the two copies, and where it stands in the file.
enum class RunEnd : std::uint8_t { kHeader, kFooter };
struct RunHeaderPlace {
  RunEnd which = RunEnd::kHeader;
  std::uint64_t offset = 0;
};
void EncodeRunHeader(const RunHeader& run, RunHeaderPlace place, const FileContext& context,
                     std::byte* out);
/// Of the front of `bytes`. A context of life 0 (the file header is lost) learns the life that
/// stands there. Errors: kShortRead, kCorruption, kUnknownVersion.
Result<RunHeader> DecodeRunHeader(Bytes bytes, RunHeaderPlace place, const ServerIdentity& identity,
                                  FileContext& context);

struct RecordHeader {
  std::uint64_t entry_checksum = 0;
  Term term = 0;
  Index index = 0;
  std::uint32_t payload_bytes = 0;
  std::uint8_t kind = 0;
};
void EncodeRecordHeader(const RecordHeader& record, const FileContext& context,
                        std::uint64_t offset, std::byte* out);
/// Errors: kShortRead, kCorruption.
Result<RecordHeader> DecodeRecordHeader(Bytes bytes, const FileContext& context,
                                        std::uint64_t offset);
/// Does the payload match the entry checksum of its header?
bool PayloadIntact(const RecordHeader& record, ClusterId cluster_id, Bytes payload);

/// Where each record of a run begins, from the first one; kNoRecord for what is lost.
inline constexpr std::uint32_t kNoRecord = UINT32_MAX;
struct TableEntry {
  Index index = 0;
  std::uint32_t offset = 0;
};
/// Of records or of a table, which stand `offset` into the file.
std::uint64_t ContentChecksum(Bytes bytes, const FileContext& context, std::uint64_t offset);
void EncodeTable(RunKind kind, std::span<const TableEntry> entries, std::byte* out);
/// Errors: kShortRead, kCorruption. `offset`: of the run in the file.
Result<std::vector<TableEntry>> DecodeTable(Bytes bytes, const RunHeader& run,
                                            const FileContext& context, std::uint64_t offset);
/// The same from the records alone [G8]: `records` are those of the run, not compressed, as far as
/// there are any.
/// What cannot be read is left out of a sparse table and is kNoRecord in the others.
std::vector<TableEntry> RebuildTable(Bytes records, const RunHeader& run,
                                     const FileContext& context, std::uint64_t offset);

/// "00000012.seg" and back.
std::string FileName(std::uint64_t number);
std::optional<std::uint64_t> ParseFileName(std::string_view name);

}  // namespace duramen::segments
