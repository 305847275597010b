#include "segments/format.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "base/bytes.h"

namespace duramen::segments {
namespace {

// Offsets of the checksum words; what stands before them goes into the seed.
constexpr std::size_t kFileChecksumAt = 16;
constexpr std::size_t kRunChecksumAt = 8;

Error Corrupt(const char* what) { return {ErrorCode::kCorruption, what, ""}; }
Error CutOff(const char* what) {
  return {ErrorCode::kShortRead, std::string(what) + " cut off", ""};
}
Error OtherVersion(const char* what, std::uint32_t version) {
  return {ErrorCode::kUnknownVersion,
          std::string(what) + " of format version " + std::to_string(version) +
              "; this release reads version " + std::to_string(kFormatVersion),
          "use the release that wrote it, or a newer one"};
}
Error OtherRun(std::uint32_t version, std::uint32_t compression) {
  const std::string what = version != kCompressedVersion
                               ? "run of format version " + std::to_string(version)
                               : "run compressed by method " + std::to_string(compression);
  return {ErrorCode::kUnknownVersion,
          what + "; this release reads versions 1 and 2, and of these method 1, zstd",
          "use the release that wrote it, or a newer one"};
}

bool SizesFit(const RunHeader& run) {
  const std::uint64_t packed_max = run.count == 1 ? kPackedRunBytesMax : kBlockBytesMax;
  const std::uint64_t raw_max = run.compression == Compression::kNone ? kRunBytesMax : packed_max;
  const bool shrank = run.compression == Compression::kNone
                          ? run.records_bytes == run.raw_bytes
                          : run.records_bytes > 0 && run.records_bytes < run.raw_bytes;
  return shrank && run.raw_bytes <= raw_max && run.raw_bytes % kAlign == 0 &&
         run.records_bytes % kAlign == 0 && run.raw_bytes >= run.count * kRecordHeaderBytes;
}

Status CheckRun(const RunHeader& run, std::uint32_t table_bytes) {
  if (run.kind != RunKind::kAppend && run.kind != RunKind::kSparse) {
    return Corrupt("run of unknown kind");
  }
  if (run.count == 0 || run.count > kRunEntriesMax) return Corrupt("run with no sensible count");
  if (run.first == 0 || run.last < run.first || run.last == UINT64_MAX) {
    return Corrupt("run of impossible indexes");
  }
  const std::uint64_t span = run.last - run.first;
  const bool fits = run.kind == RunKind::kAppend ? span == run.count - 1 && run.cut <= run.first
                                                 : span >= run.count - 1 && run.cut == 0;
  if (!fits) return Corrupt("run whose indexes do not fit its count");
  if (!SizesFit(run) || table_bytes != TableBytes(run.kind, run.count)) {
    return Corrupt("run sizes contradict each other");
  }
  return {};
}

bool InRun(const RecordHeader& record, const RunHeader& run) {
  return record.index >= run.first && record.index <= run.last;
}

}  // namespace

FileContext FileContext::Of(const ServerIdentity& identity, std::uint64_t number,
                            std::uint64_t life) {
  const std::uint64_t seed = FileSeed(identity.system, FileKind::kSegment, life);
  const auto* uid = reinterpret_cast<const std::byte*>(identity.uid.bytes.data());
  return {number, life, seed ^ LoadLe<std::uint64_t>(uid)};
}

void EncodeFileHeader(const FileHeader& header, const ServerIdentity& identity,
                      std::span<std::byte, kFileHeaderBytes> bytes) {
  std::byte* out = bytes.data();
  std::memset(out, 0, bytes.size());
  StoreLe(out + 0, kFileMagic);
  StoreLe(out + 8, kFormatVersion);
  StoreLe(out + 24, identity.system);
  StoreLe(out + 40, identity.uid);
  StoreLe(out + 56, identity.cluster_id);
  StoreLe(out + 64, header.number);
  StoreLe(out + 72, header.life);
  StoreLe(out + 80, header.previous_number);
  StoreLe(out + 88, header.previous.begin);
  StoreLe(out + 96, header.previous.end);
  StoreLe(out + 104, header.previous_epoch);
  StoreLe(out + 112, header.last_bytes);
  StoreLe(out + 120, header.last_number);
  const FileContext context = FileContext::Of(identity, header.number, header.life);
  StoreLe(out + kFileChecksumAt, ChecksumAround(bytes, kFileChecksumAt, SeedAt(context.seed, 0)));
}

ClusterId NamedClusterId(Bytes header) {
  return header.size() < kFileHeaderBytes ? 0 : LoadLe<std::uint64_t>(header.data() + 56);
}

Result<FileHeader> DecodeFileHeader(Bytes bytes, const ServerIdentity& identity,
                                    std::uint64_t number) {
  if (bytes.size() < kFileHeaderBytes) return CutOff("segment header");
  bytes = bytes.first(kFileHeaderBytes);
  const std::byte* in = bytes.data();
  if (LoadLe<std::uint64_t>(in) != kFileMagic) return Corrupt("no segment magic");
  FileHeader header;
  header.life = LoadLe<std::uint64_t>(in + 72);
  const std::uint64_t seed = SeedAt(FileContext::Of(identity, number, header.life).seed, 0);
  if (LoadLe<std::uint64_t>(in + kFileChecksumAt) != ChecksumAround(bytes, kFileChecksumAt, seed)) {
    return Corrupt("segment header checksum differs, or it is another server's");
  }
  const auto version = LoadLe<std::uint32_t>(in + 8);
  if (version != kFormatVersion) return OtherVersion("segment", version);
  header.number = LoadLe<std::uint64_t>(in + 64);
  if (LoadLe<Uid128>(in + 24) != identity.system || LoadLe<Uid128>(in + 40) != identity.uid ||
      LoadLe<std::uint64_t>(in + 56) != identity.cluster_id) {
    return Corrupt("segment of another server");
  }
  if (header.number != number) return Corrupt("segment of another number");
  if (header.life == 0) return Corrupt("segment without a life");
  header.previous_number = LoadLe<std::uint64_t>(in + 80);
  header.previous = {LoadLe<std::uint64_t>(in + 88), LoadLe<std::uint64_t>(in + 96)};
  header.previous_epoch = LoadLe<std::uint64_t>(in + 104);
  header.last_bytes = LoadLe<std::uint64_t>(in + 112);
  header.last_number = LoadLe<std::uint64_t>(in + 120);
  if (header.previous_number >= number || header.last_number >= number) {
    return Corrupt("segment that follows a later one");
  }
  if (header.previous.end < header.previous.begin || header.previous.end == UINT64_MAX) {
    return Corrupt("segment behind impossible indexes");
  }
  return header;
}

void EncodeRunHeader(const RunHeader& run, RunHeaderPlace place, const FileContext& context,
                     std::byte* out) {
  StoreLe(out + 0, place.which == RunEnd::kHeader ? kRunMagic : kFooterMagic);
  const bool compressed = run.compression != Compression::kNone;
  StoreLe(out + 4, static_cast<std::uint16_t>(compressed ? kCompressedVersion : kFormatVersion));
  StoreLe(out + 6, static_cast<std::uint8_t>(run.kind));
  StoreLe(out + 7, static_cast<std::uint8_t>(run.compression));
  StoreLe(out + 16, context.life);
  StoreLe(out + 24, context.number);
  StoreLe(out + 32, run.cut);
  StoreLe(out + 40, run.first);
  StoreLe(out + 48, run.last);
  StoreLe(out + 56, run.epoch);
  StoreLe(out + 64, run.count);
  StoreLe(out + 68, static_cast<std::uint32_t>(TableBytes(run.kind, run.count)));
  StoreLe(out + 72, run.records_bytes | (compressed ? run.raw_bytes << 32 : 0));
  StoreLe(out + 80, run.records_checksum);
  StoreLe(out + 88, run.table_checksum);
  StoreLe(out + 96, run.term);
  const std::uint64_t seed = SeedAt(context.seed, place.offset);
  StoreLe(out + kRunChecksumAt, ChecksumAround({out, kRunHeaderBytes}, kRunChecksumAt, seed));
}

Result<RunHeader> DecodeRunHeader(Bytes bytes, RunHeaderPlace place, const ServerIdentity& identity,
                                  FileContext& context) {
  if (bytes.size() < kRunHeaderBytes) return CutOff("run header");
  bytes = bytes.first(kRunHeaderBytes);
  const std::byte* in = bytes.data();
  const std::uint32_t magic = place.which == RunEnd::kHeader ? kRunMagic : kFooterMagic;
  if (LoadLe<std::uint32_t>(in) != magic) return Corrupt("no run header");
  const auto life = LoadLe<std::uint64_t>(in + 16);
  if (life == 0 || (context.life != 0 && context.life != life)) {
    return Corrupt("run of another life");
  }
  const FileContext own = FileContext::Of(identity, context.number, life);
  const std::uint64_t expected =
      ChecksumAround(bytes, kRunChecksumAt, SeedAt(own.seed, place.offset));
  if (LoadLe<std::uint64_t>(in + kRunChecksumAt) != expected) {
    return Corrupt("run header checksum differs");
  }
  const auto version = LoadLe<std::uint16_t>(in + 4);
  const auto compression = version == kFormatVersion ? 0 : LoadLe<std::uint8_t>(in + 7);
  const bool known =
      version == kFormatVersion || (version == kCompressedVersion && compression == 1);
  if (!known) return OtherRun(version, compression);
  if (LoadLe<std::uint64_t>(in + 24) != context.number) return Corrupt("run of another segment");
  RunHeader run;
  run.kind = static_cast<RunKind>(LoadLe<std::uint8_t>(in + 6));
  run.cut = LoadLe<std::uint64_t>(in + 32);
  run.first = LoadLe<std::uint64_t>(in + 40);
  run.last = LoadLe<std::uint64_t>(in + 48);
  run.epoch = LoadLe<std::uint64_t>(in + 56);
  run.count = LoadLe<std::uint32_t>(in + 64);
  run.compression = static_cast<Compression>(compression);
  run.records_bytes = run.raw_bytes = LoadLe<std::uint64_t>(in + 72);
  if (version == kCompressedVersion) {
    run.raw_bytes = run.records_bytes >> 32;
    run.records_bytes &= UINT32_MAX;
  }
  run.records_checksum = LoadLe<std::uint64_t>(in + 80);
  run.table_checksum = LoadLe<std::uint64_t>(in + 88);
  run.term = LoadLe<std::uint64_t>(in + 96);
  const Status fits = CheckRun(run, LoadLe<std::uint32_t>(in + 68));
  if (!fits.ok()) return fits.error();
  context = own;
  return run;
}

void EncodeRecordHeader(const RecordHeader& record, const FileContext& context,
                        std::uint64_t offset, std::byte* out) {
  StoreLe(out + 8, record.entry_checksum);
  StoreLe(out + 16, record.term);
  StoreLe(out + 24, record.index);
  StoreLe(out + 32, record.payload_bytes);
  StoreLe(out + 36, std::uint32_t{record.kind});
  StoreLe(out, Checksum({out + 8, kRecordHeaderBytes - 8}, SeedAt(context.seed, offset)));
}

Result<RecordHeader> DecodeRecordHeader(Bytes bytes, const FileContext& context,
                                        std::uint64_t offset) {
  if (bytes.size() < kRecordHeaderBytes) return CutOff("record");
  const std::byte* in = bytes.data();
  if (LoadLe<std::uint64_t>(in) !=
      Checksum({in + 8, kRecordHeaderBytes - 8}, SeedAt(context.seed, offset))) {
    return Corrupt("record header checksum differs");
  }
  const RecordHeader record{.entry_checksum = LoadLe<std::uint64_t>(in + 8),
                            .term = LoadLe<std::uint64_t>(in + 16),
                            .index = LoadLe<std::uint64_t>(in + 24),
                            .payload_bytes = LoadLe<std::uint32_t>(in + 32),
                            .kind = LoadLe<std::uint8_t>(in + 36)};
  if (record.payload_bytes > kPayloadBytesMax) return Corrupt("record of impossible size");
  return record;
}

bool PayloadIntact(const RecordHeader& record, ClusterId cluster_id, Bytes payload) {
  return record.entry_checksum ==
         EntryChecksum({cluster_id, record.term, record.index, record.kind}, payload);
}

std::uint64_t ContentChecksum(Bytes bytes, const FileContext& context, std::uint64_t offset) {
  return Checksum(bytes, SeedAt(context.seed, offset));
}

void EncodeTable(RunKind kind, std::span<const TableEntry> entries, std::byte* out) {
  std::memset(out, 0, TableBytes(kind, entries.size()));
  for (const TableEntry& entry : entries) {
    if (kind == RunKind::kSparse) {
      StoreLe(out, entry.index);
      out += 8;
    }
    StoreLe(out, entry.offset);
    out += 4;
  }
}

Result<std::vector<TableEntry>> DecodeTable(Bytes bytes, const RunHeader& run,
                                            const FileContext& context, std::uint64_t offset) {
  const std::uint64_t size = TableBytes(run.kind, run.count);
  if (bytes.size() < size) return CutOff("offset table");
  bytes = bytes.first(size);
  if (ContentChecksum(bytes, context, offset + TableOffset(run)) != run.table_checksum) {
    return Corrupt("offset table checksum differs");
  }
  std::vector<TableEntry> table;
  table.reserve(run.count);
  ByteReader reader(bytes);
  for (std::uint32_t i = 0; i < run.count; ++i) {
    TableEntry entry;
    entry.index = run.kind == RunKind::kSparse ? reader.Get<std::uint64_t>() : run.first + i;
    entry.offset = reader.Get<std::uint32_t>();
    const bool ascends = table.empty() ? entry.offset == 0 && entry.index == run.first
                                       : entry.offset >= table.back().offset + kRecordHeaderBytes &&
                                             entry.index > table.back().index;
    if (!ascends || entry.offset % kAlign != 0 || entry.index > run.last ||
        entry.offset + kRecordHeaderBytes > run.raw_bytes) {
      return Corrupt("offset table contradicts its run");
    }
    table.push_back(entry);
  }
  return table;
}

std::vector<TableEntry> RebuildTable(Bytes records, const RunHeader& run,
                                     const FileContext& context, std::uint64_t offset) {
  records = records.first(std::min<std::size_t>(records.size(), run.raw_bytes));
  std::vector<TableEntry> table;
  std::uint64_t at = 0;
  while (at + kRecordHeaderBytes <= records.size() && table.size() < run.count) {
    const auto record =
        DecodeRecordHeader(records.subspan(at), context, offset + kRunHeaderBytes + at);
    const bool fits =
        record.ok() && InRun(*record, run) && (table.empty() || record->index > table.back().index);
    if (!fits) {
      at += kAlign;  // Records name their index, so one that is found in the distance counts.
      continue;
    }
    if (run.kind == RunKind::kAppend) {
      for (Index lost = run.first + table.size(); lost < record->index; ++lost) {
        table.push_back({lost, kNoRecord});
      }
    }
    table.push_back({record->index, static_cast<std::uint32_t>(at)});
    at += RecordBytes(record->payload_bytes);
  }
  while (run.kind == RunKind::kAppend && table.size() < run.count) {
    table.push_back({run.first + table.size(), kNoRecord});
  }
  return table;
}

std::string FileName(std::uint64_t number) {
  std::string digits = std::to_string(number);
  if (digits.size() < 8) digits.insert(0, 8 - digits.size(), '0');
  return digits + ".seg";
}

std::optional<std::uint64_t> ParseFileName(std::string_view name) {
  constexpr std::string_view kSuffix = ".seg";
  if (name.size() != 8 + kSuffix.size() || !name.ends_with(kSuffix)) return std::nullopt;
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + 8, number);
  if (error != std::errc() || end != name.data() + 8 || number == 0) return std::nullopt;
  return number;
}

}  // namespace duramen::segments
