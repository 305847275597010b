#include "wal/format.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "base/bytes.h"
#include "base/planted.h"

namespace duramen::wal {
namespace {

Error Corrupt(const char* what) { return {ErrorCode::kCorruption, what, ""}; }

// Offsets of the checksum words; everything after them is covered.
constexpr std::size_t kFileChecksumAt = 16;
constexpr std::size_t kContainerChecksumAt = 8;

std::uint64_t FileHeaderChecksum(Bytes block, const SystemUuid& system, std::uint64_t life,
                                 std::uint64_t copy) {
  const std::uint64_t seed = SeedAt(FileSeed(system, FileKind::kWal, life), copy * kBlockBytes);
  return ChecksumAround(block, kFileChecksumAt, seed);
}

}  // namespace

void EncodeFileHeader(const FileHeader& header, std::uint64_t copy,
                      std::span<std::byte, kBlockBytes> block) {
  std::memset(block.data(), 0, block.size());
  std::byte* out = block.data();
  StoreLe(out + 0, kFileMagic);
  StoreLe(out + 8, header.version);
  StoreLe(out + 24, header.system);
  StoreLe(out + 40, header.life);
  StoreLe(out + 48, header.number);
  StoreLe(out + 56, header.size_bytes);
  StoreLe(out + 64, header.boot);
  StoreLe(out + 72, header.predecessor_number);
  StoreLe(out + 80, header.predecessor_life);
  StoreLe(out + 88, header.predecessor_end);
  StoreLe(out + 96, header.predecessor_checksum);
  StoreLe(out + 104, header.oldest_live);
  StoreLe(out + 112, header.first_batch);
  StoreLe(out + 120, header.durable_upto);
  StoreLe(out + 128, header.sync_method);
  StoreLe(out + 136, header.unix_ms);
  StoreLe(out + kFileChecksumAt, FileHeaderChecksum(block, header.system, header.life, copy));
}

Result<FileHeader> DecodeFileHeader(Bytes block, std::uint64_t copy) {
  if (block.size() < kBlockBytes) return Error{ErrorCode::kShortRead, "file header cut off", ""};
  block = block.first(kBlockBytes);
  const std::byte* in = block.data();
  if (LoadLe<std::uint64_t>(in) != kFileMagic) return Corrupt("no file header magic");
  FileHeader header;
  header.system = LoadLe<Uid128>(in + 24);
  header.life = LoadLe<std::uint64_t>(in + 40);
  const std::uint64_t expected = FileHeaderChecksum(block, header.system, header.life, copy);
  if (LoadLe<std::uint64_t>(in + kFileChecksumAt) != expected) {
    return Corrupt("file header checksum differs");
  }
  const auto version = LoadLe<std::uint32_t>(in + 8);
  header.version = version;
  if (version != kFormatVersion && version != kPackedVersion) {
    return Error{
        ErrorCode::kUnknownVersion,
        "WAL file of format version " + std::to_string(version) + ", this release reads 1 and 2",
        "open it with the release that wrote it or a newer one"};
  }
  header.number = LoadLe<std::uint64_t>(in + 48);
  header.size_bytes = LoadLe<std::uint64_t>(in + 56);
  header.boot = LoadLe<std::uint64_t>(in + 64);
  header.predecessor_number = LoadLe<std::uint64_t>(in + 72);
  header.predecessor_life = LoadLe<std::uint64_t>(in + 80);
  header.predecessor_end = LoadLe<std::uint64_t>(in + 88);
  header.predecessor_checksum = LoadLe<std::uint64_t>(in + 96);
  header.oldest_live = LoadLe<std::uint64_t>(in + 104);
  header.first_batch = LoadLe<std::uint64_t>(in + 112);
  header.durable_upto = LoadLe<std::uint64_t>(in + 120);
  for (const std::uint64_t number :
       {header.number, header.predecessor_number, header.predecessor_end, header.oldest_live,
        header.first_batch, header.durable_upto, header.boot}) {
    if (number > kNumberMax) return Corrupt("file header number out of range");
  }
  header.sync_method = LoadLe<std::uint32_t>(in + 128);
  header.unix_ms = LoadLe<std::int64_t>(in + 136);
  return header;
}

std::uint64_t EncodeBatchHeader(const BatchHeader& header, std::uint64_t seed, std::byte* out) {
  StoreLe(out + 0, kBatchMagic);
  StoreLe(out + 4, static_cast<std::uint16_t>(kFormatVersion));
  StoreLe(out + 6, header.flags);
  StoreLe(out + 16, header.life);
  StoreLe(out + 24, header.file_number);
  StoreLe(out + 32, header.number);
  StoreLe(out + 40, header.durable_upto);
  StoreLe(out + 48, header.previous_checksum);
  StoreLe(out + 56, header.body_checksum);
  StoreLe(out + 64, header.batch_bytes);
  StoreLe(out + 68, header.closing_offset);
  StoreLe(out + 72, header.run_count);
  StoreLe(out + 76, header.binding_count);
  StoreLe(out + 80, header.record_count);
  StoreLe(out + 84, header.row_count);
  StoreLe(out + 88, header.body_bytes);
  StoreLe(out + 92, std::uint32_t{0});
  StoreLe(out + 96, header.boot);
  StoreLe(out + 104, std::uint64_t{0});
  const std::uint64_t checksum =
      ChecksumAround({out, kBatchHeaderBytes}, kContainerChecksumAt, seed);
  StoreLe(out + kContainerChecksumAt, checksum);
  return checksum;
}

Result<BatchHeader> DecodeBatchHeader(Bytes bytes, const SystemUuid& system,
                                      const FileContext& context, std::uint64_t offset) {
  if (bytes.size() < kBatchHeaderBytes) {
    return Error{ErrorCode::kShortRead, "batch header cut off", ""};
  }
  const std::byte* in = bytes.data();
  if (LoadLe<std::uint32_t>(in) != kBatchMagic) return Corrupt("no batch header magic");
  BatchHeader header;
  header.life = LoadLe<std::uint64_t>(in + 16);
  header.file_number = LoadLe<std::uint64_t>(in + 24);
  // A batch of another life, or of another file, does not exist [A13].
  const bool any_life = context.life == 0 || Planted(PlantedBug::kLifeIgnored);
  if (header.file_number != context.number && !Planted(PlantedBug::kLifeIgnored)) {
    return Corrupt("batch of another file");
  }
  if (!any_life && header.life != context.life) return Corrupt("batch of another life");
  const std::uint64_t file_seed =
      any_life ? FileSeed(system, FileKind::kWal, header.life) : context.seed;
  header.checksum = LoadLe<std::uint64_t>(in + kContainerChecksumAt);
  if (header.checksum !=
      ChecksumAround({in, kBatchHeaderBytes}, kContainerChecksumAt, SeedAt(file_seed, offset))) {
    return Corrupt("batch header checksum differs");
  }
  header.flags = LoadLe<std::uint16_t>(in + 6);
  header.number = LoadLe<std::uint64_t>(in + 32);
  header.durable_upto = LoadLe<std::uint64_t>(in + 40);
  header.previous_checksum = LoadLe<std::uint64_t>(in + 48);
  header.body_checksum = LoadLe<std::uint64_t>(in + 56);
  header.batch_bytes = LoadLe<std::uint32_t>(in + 64);
  header.closing_offset = LoadLe<std::uint32_t>(in + 68);
  header.run_count = LoadLe<std::uint32_t>(in + 72);
  header.binding_count = LoadLe<std::uint32_t>(in + 76);
  header.record_count = LoadLe<std::uint32_t>(in + 80);
  header.row_count = LoadLe<std::uint32_t>(in + 84);
  header.body_bytes = LoadLe<std::uint32_t>(in + 88);
  header.boot = LoadLe<std::uint64_t>(in + 96);
  const std::uint64_t closing =
      ClosingBytes(header.run_count, header.binding_count) + header.closing_offset;
  const bool sizes_fit = header.batch_bytes % kBlockBytes == 0 && header.batch_bytes > 0 &&
                         header.batch_bytes <= kBatchBytesMax &&
                         header.closing_offset % kSectorBytes == 0 &&
                         closing <= header.batch_bytes && header.body_bytes >= kBatchHeaderBytes &&
                         header.body_bytes <= header.closing_offset;
  if (!sizes_fit) return Corrupt("batch header sizes contradict each other");
  if (header.number > kNumberMax || header.durable_upto > kNumberMax) {
    return Corrupt("batch number out of range");
  }
  return header;
}

void EncodeBinding(const Binding& binding, std::byte* out) {
  StoreLe(out, binding.slot);
  StoreLe(out + 4, std::uint32_t{0});
  StoreLe(out + 8, binding.cluster_id);
  StoreLe(out + 16, binding.uid);
}

Binding DecodeBinding(const std::byte* bytes) {
  return {LoadLe<std::uint32_t>(bytes), LoadLe<std::uint64_t>(bytes + 8),
          LoadLe<Uid128>(bytes + 16)};
}

const char* RunKindName(RunKind kind) {
  switch (kind) {
    case RunKind::kNext:
      return "next";
    case RunKind::kOverwrite:
      return "overwrite";
    case RunKind::kJump:
      return "jump";
    case RunKind::kSparse:
      return "sparse";
    case RunKind::kRows:
      return "rows";
    case RunKind::kTruncateSuffix:
      return "truncate_suffix";
    case RunKind::kReset:
      return "reset";
    case RunKind::kFloor:
      return "floor";
    case RunKind::kBounds:
      return "bounds";
  }
  return "unknown";
}

void EncodeRunHeader(const RunHeader& run, std::uint64_t seed, std::byte* out) {
  EncodeRunSummary(run, out + 8);
  StoreLe(out, Checksum({out + 8, kRunSummaryBytes}, seed));
}

Result<RunHeader> DecodeRunHeader(Bytes bytes, std::uint64_t seed) {
  if (bytes.size() < kRunHeaderBytes) return Error{ErrorCode::kShortRead, "run cut off", ""};
  if (LoadLe<std::uint64_t>(bytes.data()) != Checksum({bytes.data() + 8, kRunSummaryBytes}, seed)) {
    return Corrupt("run header checksum differs");
  }
  return DecodeRunSummary(bytes.data() + 8);
}

void EncodeRunSummary(const RunHeader& run, std::byte* out) {
  StoreLe(out, run.slot);
  StoreLe(out + 4, run.count);
  StoreLe(out + 8, run.first);
  StoreLe(out + 16, run.term);
  StoreLe(out + 24, run.epoch);
  StoreLe(out + 32, run.bytes);
  StoreLe(out + 36, static_cast<std::uint8_t>(run.kind));
  StoreLe(out + 37, run.flags);
  StoreLe(out + 38, std::uint16_t{0});
}

Result<RunHeader> DecodeRunSummary(const std::byte* bytes) {
  RunHeader run;
  run.slot = LoadLe<std::uint32_t>(bytes);
  run.count = LoadLe<std::uint32_t>(bytes + 4);
  run.first = LoadLe<std::uint64_t>(bytes + 8);
  run.term = LoadLe<std::uint64_t>(bytes + 16);
  run.epoch = LoadLe<std::uint64_t>(bytes + 24);
  run.bytes = LoadLe<std::uint32_t>(bytes + 32);
  const auto kind = LoadLe<std::uint8_t>(bytes + 36);
  run.flags = LoadLe<std::uint8_t>(bytes + 37);
  if (kind < 1 || kind > 9) return Corrupt("run of unknown kind");
  run.kind = static_cast<RunKind>(kind);
  if (IsMark(run.kind) != (run.count == 0)) return Corrupt("run count does not fit its kind");
  const bool packed = (run.flags & kRunPacked) != 0;
  if (packed && !IsEntries(run.kind)) return Corrupt("packed run of no entries");
  if (packed && run.count > kBatchBytesMax / kRecordHeaderBytes) {
    return Corrupt("packed run of more entries than a batch can hold");
  }
  if (!packed && run.bytes < run.count * kRecordHeaderBytes) {
    return Corrupt("run shorter than its records");
  }
  if (run.first > UINT64_MAX - run.count) return Corrupt("run past the last index");
  if (run.first == 0 && run.kind != RunKind::kRows) return Corrupt("run at index 0");
  return run;
}

std::uint64_t RecordSeed(std::uint64_t file_seed, std::uint64_t offset, const ServerUid& uid) {
  return SeedAt(file_seed, offset) ^
         LoadLe<std::uint64_t>(reinterpret_cast<const std::byte*>(uid.bytes.data()));
}

void EncodeRecordHeader(const RecordHeader& record, std::uint64_t seed, std::byte* out) {
  StoreLe(out + 8, record.entry_checksum);
  StoreLe(out + 16, record.payload_bytes);
  StoreLe(out + 20, std::uint32_t{record.kind});
  StoreLe(out, Checksum({out + 8, kRecordHeaderBytes - 8}, seed));
}

Result<RecordHeader> DecodeRecordHeader(Bytes bytes, std::uint64_t seed) {
  if (bytes.size() < kRecordHeaderBytes) return Error{ErrorCode::kShortRead, "record cut off", ""};
  const std::byte* in = bytes.data();
  if (LoadLe<std::uint64_t>(in) != Checksum({in + 8, kRecordHeaderBytes - 8}, seed)) {
    return Corrupt("record header checksum differs");
  }
  return RecordHeader{LoadLe<std::uint64_t>(in + 8), LoadLe<std::uint32_t>(in + 16),
                      LoadLe<std::uint8_t>(in + 20)};
}

void EncodeFrameHeader(const FrameHeader& frame, std::uint64_t seed, std::byte* out) {
  StoreLe(out + 8, frame.body_checksum);
  StoreLe(out + 16, frame.packed_bytes);
  StoreLe(out + 20, frame.raw_bytes);
  StoreLe(out + 24, frame.count);
  StoreLe(out + 28, std::uint32_t{0});
  StoreLe(out, Checksum({out + 8, kFrameHeaderBytes - 8}, seed));
}

Result<FrameHeader> DecodeFrameHeader(Bytes bytes, std::uint64_t seed) {
  if (bytes.size() < kFrameHeaderBytes) return Error{ErrorCode::kShortRead, "frame cut off", ""};
  const std::byte* in = bytes.data();
  if (LoadLe<std::uint64_t>(in) != Checksum({in + 8, kFrameHeaderBytes - 8}, seed)) {
    return Corrupt("frame header checksum differs");
  }
  const FrameHeader frame{LoadLe<std::uint64_t>(in + 8), LoadLe<std::uint32_t>(in + 16),
                          LoadLe<std::uint32_t>(in + 20), LoadLe<std::uint32_t>(in + 24)};
  const std::uint64_t raw_max = frame.count == 1 ? kPlannedBytesMax : kFrameBytesMax;
  if (frame.count == 0 || frame.raw_bytes > raw_max || frame.raw_bytes % kRecordAlign != 0 ||
      frame.raw_bytes / kRecordHeaderBytes < frame.count || frame.packed_bytes == 0 ||
      frame.packed_bytes >= frame.raw_bytes) {
    return Corrupt("frame of impossible size");
  }
  return frame;
}

bool RunIsOf(const RunHeader& run, Bytes records, std::uint64_t seed) {
  return (run.flags & kRunPacked) != 0 ? DecodeFrameHeader(records, seed).ok()
                                       : DecodeRecordHeader(records, seed).ok();
}

void EncodeClosing(const ClosingHeader& closing, std::uint64_t seed, std::byte* out) {
  StoreLe(out + 0, kClosingMagic);
  StoreLe(out + 4, kFormatVersion);
  StoreLe(out + 16, closing.life);
  StoreLe(out + 24, closing.file_number);
  StoreLe(out + 32, closing.number);
  StoreLe(out + 40, closing.durable_upto);
  StoreLe(out + 48, closing.batch_checksum);
  StoreLe(out + 56, closing.batch_bytes);
  StoreLe(out + 60, closing.closing_offset);
  StoreLe(out + 64, closing.run_count);
  StoreLe(out + 68, closing.binding_count);
  StoreLe(out + 72, std::uint64_t{0});
  const std::size_t size = closing.batch_bytes - closing.closing_offset;
  StoreLe(out + kContainerChecksumAt, ChecksumAround({out, size}, kContainerChecksumAt, seed));
}

Result<ClosingHeader> DecodeClosing(Bytes bytes, const SystemUuid& system,
                                    const FileContext& context, std::uint64_t offset) {
  if (bytes.size() < kClosingHeaderBytes) {
    return Error{ErrorCode::kShortRead, "closing cut off", ""};
  }
  const std::byte* in = bytes.data();
  if (LoadLe<std::uint32_t>(in) != kClosingMagic) return Corrupt("no closing magic");
  ClosingHeader closing;
  closing.life = LoadLe<std::uint64_t>(in + 16);
  closing.file_number = LoadLe<std::uint64_t>(in + 24);
  if (closing.file_number != context.number) return Corrupt("closing of another file");
  if (context.life != 0 && closing.life != context.life) return Corrupt("closing of another life");
  closing.number = LoadLe<std::uint64_t>(in + 32);
  closing.durable_upto = LoadLe<std::uint64_t>(in + 40);
  closing.batch_checksum = LoadLe<std::uint64_t>(in + 48);
  closing.batch_bytes = LoadLe<std::uint32_t>(in + 56);
  closing.closing_offset = LoadLe<std::uint32_t>(in + 60);
  closing.run_count = LoadLe<std::uint32_t>(in + 64);
  closing.binding_count = LoadLe<std::uint32_t>(in + 68);
  const std::uint64_t needed = ClosingBytes(closing.run_count, closing.binding_count);
  if (closing.closing_offset >= closing.batch_bytes || closing.closing_offset > offset ||
      closing.batch_bytes % kBlockBytes != 0 || closing.batch_bytes > kBatchBytesMax ||
      needed > closing.batch_bytes - closing.closing_offset) {
    return Corrupt("closing sizes contradict each other");
  }
  if (closing.number > kNumberMax || closing.durable_upto > kNumberMax) {
    return Corrupt("batch number out of range");
  }
  const std::size_t size = closing.batch_bytes - closing.closing_offset;
  if (bytes.size() < size) return Error{ErrorCode::kShortRead, "closing cut off", ""};
  const std::uint64_t file_seed =
      context.life != 0 ? context.seed : FileSeed(system, FileKind::kWal, closing.life);
  if (LoadLe<std::uint64_t>(in + kContainerChecksumAt) !=
      ChecksumAround({in, size}, kContainerChecksumAt, SeedAt(file_seed, offset))) {
    return Corrupt("closing checksum differs");
  }
  return closing;
}

std::string FileName(std::uint64_t number) {
  char digits[20];
  const auto end = std::to_chars(digits, digits + sizeof digits, number).ptr;
  const auto count = static_cast<std::size_t>(end - digits);
  std::string name(count < 16 ? 16 - count : 0, '0');
  name.append(digits, count);
  return name + ".wal";
}

std::string KeptFileName(std::uint64_t number) { return FileName(number) + ".kept"; }

std::optional<std::uint64_t> ParseFileName(std::string_view name) {
  constexpr std::string_view kSuffix = ".wal";
  if (name.size() < 16 + kSuffix.size() || !name.ends_with(kSuffix)) return std::nullopt;
  name.remove_suffix(kSuffix.size());
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error != std::errc() || end != name.data() + name.size() || number == 0) return std::nullopt;
  if (FileName(number).size() != name.size() + kSuffix.size()) return std::nullopt;
  return number;
}

}  // namespace duramen::wal
