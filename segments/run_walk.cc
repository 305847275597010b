#include "segments/run_walk.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/read_around.h"
#include "base/try.h"
#include "segments/blocks.h"

namespace duramen::segments {
namespace {

constexpr std::uint64_t kWindowBytes = 4096;       // headers of small runs come many to a read
constexpr std::uint64_t kSearchBytes = 256 << 10;  // of one read while looking for a run

struct Walk {
  const File& file;
  const ServerIdentity& identity;
  std::uint64_t limit_bytes;
  RunTable& table;
  std::vector<std::byte> window = {};
  std::uint64_t window_offset = 0;

  Result<Bytes> At(std::uint64_t offset, std::uint64_t size_bytes, std::uint64_t ahead_bytes) {
    const std::uint64_t end = std::min(offset + size_bytes, limit_bytes);
    if (offset < window_offset || end > window_offset + window.size()) {
      const std::uint64_t wanted = std::max(end - offset, ahead_bytes);
      window = TRY(ReadUpTo(file, offset, std::min(wanted, limit_bytes - offset)));
      window_offset = offset;
    }
    const Bytes rest = Bytes(window).subspan(offset - window_offset);
    return rest.first(std::min<std::uint64_t>(rest.size(), end - offset));
  }
};

/// `at`, or where the hole that it lies in ends. A multiple of kAlign, as `at` is.
Result<std::uint64_t> BehindHole(const Walk& walk, std::uint64_t at) {
  const bool known = at >= walk.window_offset && at < walk.window_offset + walk.window.size();
  if (known) return at;
  const std::uint64_t next = std::min(TRY(walk.file.NextData(at)), walk.limit_bytes);
  return std::max(at, next - next % kAlign);
}

/// Of a compressed run that is damaged, none.
Result<std::vector<std::byte>> ReadableRecords(const File& file, const FileContext& context,
                                               const RunPlace& run, std::uint64_t limit_bytes) {
  Result<std::vector<std::byte>> records = ReadRecords(file, context, run, limit_bytes);
  if (!records.ok() && records.error().code == ErrorCode::kCorruption) {
    return std::vector<std::byte>();
  }
  return records;
}

/// A run that begins before the limit and ends behind it: how far its records are there.
Status MeasureCutShort(Walk& walk, RunPlace& run) {
  const std::uint64_t records_at = RecordsOffset(run.offset);
  run.cut_short = true;
  run.readable_end = run.header.first;
  const std::vector<std::byte> records =
      TRY(ReadableRecords(walk.file, walk.table.context, run, walk.limit_bytes));
  const auto table = RebuildTable(records, run.header, walk.table.context, run.offset);
  for (const TableEntry& entry : table) {
    if (entry.offset == kNoRecord) continue;
    const Bytes bytes = Bytes(records).subspan(entry.offset);
    const auto record = DecodeRecordHeader(bytes, walk.table.context, records_at + entry.offset);
    if (!record.ok() || kRecordHeaderBytes + record->payload_bytes > bytes.size()) break;
    run.readable_end = entry.index + 1;
  }
  return {};
}

/// Takes the run in and moves behind it.
Status Accept(Walk& walk, RunPlace run) {
  run.readable_end = run.header.end();
  const std::uint64_t end = run.offset + RunBytes(run.header);
  if (end > walk.limit_bytes) TRY(MeasureCutShort(walk, run));
  walk.table.runs.push_back(run);
  walk.table.walked_bytes = std::min(end, walk.limit_bytes);
  return {};
}

/// The first run at or behind `from` that can be found by either copy of its header.
Result<bool> Search(Walk& walk, std::uint64_t from) {
  for (std::uint64_t at = from; at + kRunHeaderBytes <= walk.limit_bytes; at += kAlign) {
    at = TRY(BehindHole(walk, at));
    const Bytes bytes = TRY(walk.At(at, kRunHeaderBytes, kSearchBytes));
    if (bytes.size() < kRunHeaderBytes) break;
    const auto magic = LoadLe<std::uint32_t>(bytes.data());
    if (magic != kRunMagic && magic != kFooterMagic) continue;
    const RunEnd which = magic == kRunMagic ? RunEnd::kHeader : RunEnd::kFooter;
    const auto header = DecodeRunHeader(bytes, {which, at}, walk.identity, walk.table.context);
    if (!header.ok()) continue;
    RunPlace run{.offset = at, .header = *header};
    if (which == RunEnd::kFooter) {
      if (FooterOffset(*header) > at - from) continue;  // Of a run that began before.
      run.offset = at - FooterOffset(*header);
      run.header_lost = true;
    }
    if (run.offset > from) {
      walk.table.gaps.push_back({from, run.offset - from, walk.table.runs.size()});
    }
    TRY(Accept(walk, run));
    return true;
  }
  return false;
}

}  // namespace

Result<std::vector<std::byte>> ReadUpTo(const File& file, std::uint64_t offset,
                                        std::uint64_t size_bytes) {
  std::vector<std::byte> bytes(size_bytes);
  bytes.resize(TRY(ReadAround(file, offset, bytes)).bytes);
  return bytes;
}

Status NameUnknown(const Status& walked, const std::string& path) {
  if (walked.ok() || walked.error().code != ErrorCode::kUnknownVersion) return walked;
  return Error{ErrorCode::kUnknownVersion, path + ": " + walked.error().message,
               walked.error().hint};
}

Status WalkRuns(const File& file, const ServerIdentity& identity, std::uint64_t limit_bytes,
                RunTable& table) {
  limit_bytes = std::min(limit_bytes, TRY(file.SizeBytes()));
  Walk walk{file, identity, limit_bytes, table};
  table.walked_bytes = std::max<std::uint64_t>(table.walked_bytes, kFileHeaderBytes);
  while (table.walked_bytes < limit_bytes) {
    const std::uint64_t at = table.walked_bytes;
    const Bytes bytes = TRY(walk.At(at, kRunHeaderBytes, kWindowBytes));
    const auto header = DecodeRunHeader(bytes, {RunEnd::kHeader, at}, identity, table.context);
    if (header.ok()) {
      TRY(Accept(walk, {.offset = at, .header = *header}));
      continue;
    }
    if (header.error().code == ErrorCode::kUnknownVersion) return header.error();
    if (!TRY(Search(walk, at))) {
      table.gaps.push_back({at, limit_bytes - at, table.runs.size()});
      table.walked_bytes = limit_bytes;
    }
  }
  return {};
}

Result<std::vector<std::byte>> ReadRecords(const File& file, const FileContext& context,
                                           const RunPlace& run, std::uint64_t limit_bytes) {
  const std::uint64_t records_at = RecordsOffset(run.offset);
  const std::uint64_t there = limit_bytes - std::min(limit_bytes, records_at);
  std::vector<std::byte> bytes =
      TRY(ReadUpTo(file, records_at, std::min(there, run.header.records_bytes)));
  if (run.header.compression == Compression::kNone) return bytes;
  return Unpack(bytes, run.header, context, run.offset);
}

std::vector<LivePiece> LivePieces(const RunTable& table, std::uint64_t limit_bytes,
                                  IndexRange range) {
  std::vector<LivePiece> pieces;
  Index ceiling = range.end;
  for (std::size_t at = table.runs.size(); at-- > 0;) {
    const RunPlace& run = table.runs[at];
    if (run.offset >= limit_bytes || run.header.kind != RunKind::kAppend) continue;
    const IndexRange live{std::max(run.header.first, range.begin),
                          std::min(run.readable_end, ceiling)};
    if (!live.empty()) pieces.push_back({at, live});
    ceiling = std::min(ceiling, run.header.cut);
  }
  std::ranges::reverse(pieces);
  return pieces;
}

std::size_t FindSparseRun(const RunTable& table, std::uint64_t limit_bytes, Index index) {
  for (std::size_t at = table.runs.size(); at-- > 0;) {
    const RunPlace& run = table.runs[at];
    if (run.offset >= limit_bytes) continue;
    if (run.header.kind == RunKind::kAppend) {
      if (run.header.cut <= index) break;  // All older ones are cut there.
      continue;
    }
    if (index >= run.header.first && index < run.readable_end) return at;
  }
  return table.runs.size();
}

Result<std::vector<TableEntry>> LoadTable(const File& file, const FileContext& context,
                                          const RunPlace& run, std::uint64_t limit_bytes) {
  if (!run.cut_short) {
    const std::vector<std::byte> bytes = TRY(ReadUpTo(
        file, run.offset + TableOffset(run.header), TableBytes(run.header.kind, run.header.count)));
    auto table = DecodeTable(bytes, run.header, context, run.offset);
    if (table.ok()) return table;
  }
  const std::vector<std::byte> records = TRY(ReadableRecords(file, context, run, limit_bytes));
  return RebuildTable(records, run.header, context, run.offset);
}

}  // namespace duramen::segments
