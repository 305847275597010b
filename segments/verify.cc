// VerifyServer and VerifyLoneSegment of scan.h: every byte that counts, against every checksum
// there is.
#include <algorithm>
#include <memory>
#include <utility>

#include "base/try.h"
#include "segments/blocks.h"
#include "segments/run_walk.h"
#include "segments/scan.h"

namespace duramen::segments {
namespace {

class Verify {
 public:
  Verify(const ServerIdentity& identity, bool alone) : identity_(identity), alone_(alone) {}

  Result<VerifyResult> Server(const Directory& directory, const SegmentList& list) {
    for (const SegmentSummary& segment : list.segments()) {
      const auto file = TRY(directory.Open(FileName(segment.number), OpenFor::kRead));
      TRY(VerifyFile(*file, segment));
    }
    return std::move(result_);
  }

  Result<VerifyResult> Lone(const File& file, const SegmentSummary& segment) {
    TRY(VerifyFile(file, segment));
    return std::move(result_);
  }

 private:
  Finding& Report(IndexRange at_bytes, IndexRange lost, std::string sentence) {
    result_.findings.push_back(
        {.kind = lost.empty() ? FindingKind::kHarmless : FindingKind::kDamage,
         .file = name_,
         .offset = at_bytes.begin,
         .bytes = at_bytes.size(),
         .lost = lost,
         .sentence = std::move(sentence)});
    return result_.findings.back();
  }

  Status VerifyFile(const File& file, const SegmentSummary& segment) {
    name_ = FileName(segment.number);
    const std::vector<std::byte> front = TRY(ReadUpTo(file, 0, kFileHeaderBytes));
    const auto header = DecodeFileHeader(front, identity_, segment.number);
    if (!header.ok()) Report({0, kFileHeaderBytes}, {}, header.error().message);
    RunTable table{.context = FileContext::Of(identity_, segment.number, segment.life)};
    TRY(WalkRuns(file, identity_, segment.bytes, table));
    for (const RunGap& gap : table.gaps) {
      Report({gap.offset, gap.offset + gap.bytes}, {}, "no run can be read in these bytes")
          .sparse_suspect = true;
    }
    const std::vector<LivePiece> pieces = LivePieces(table, segment.bytes, segment.live);
    auto piece = pieces.begin();
    for (std::size_t at = 0; at < table.runs.size(); ++at) {
      const bool live = piece != pieces.end() && piece->run == at;
      TRY(VerifyRun(file, table, at, live ? piece->live : IndexRange{}));
      if (live) ++piece;
    }
    result_.bytes += segment.bytes;
    return {};
  }

  Status VerifyRun(const File& file, const RunTable& table, std::size_t at, IndexRange live) {
    const RunPlace& run = table.runs[at];
    const FileContext& context = table.context;
    const RunHeader& header = run.header;
    const std::vector<std::byte> bytes = TRY(
        ReadUpTo(file, run.offset, std::min(RunBytes(header), table.walked_bytes - run.offset)));
    const Bytes all(bytes);
    const auto part = [&](std::uint64_t from, std::uint64_t size) {
      from = std::min<std::uint64_t>(from, all.size());
      return all.subspan(from, std::min<std::uint64_t>(size, all.size() - from));
    };
    const IndexRange whole{run.offset, run.offset + RunBytes(header)};
    if (run.cut_short) {
      const IndexRange lost{run.readable_end, header.end()};
      const bool told = alone_ && header.kind == RunKind::kAppend;  // Else the scan has said it.
      Report(whole, told ? lost : IndexRange{}, "the file ends inside this run");
    }
    if (run.header_lost) Report(whole, {}, "the run header is damaged; its copy was read");
    FileContext own = context;
    const std::uint64_t footer = FooterOffset(header);
    const auto copy = DecodeRunHeader(part(footer, kRunHeaderBytes),
                                      {RunEnd::kFooter, run.offset + footer}, identity_, own);
    const bool copy_good = copy.ok() && *copy == header;
    if (!copy_good && !run.cut_short) {
      Report({run.offset + footer, whole.end}, {}, "the copy of a run header is damaged");
    }
    const Bytes table_bytes = part(TableOffset(header), TableBytes(header.kind, header.count));
    const Bytes stored = part(kRunHeaderBytes, header.records_bytes);
    const bool compressed = header.compression != Compression::kNone;
    std::vector<std::byte> unpacked;
    if (compressed) {
      auto records = Unpack(stored, header, context, run.offset);
      if (!records.ok()) {
        OnBlockLost(run, live, records.error().message);
        return {};
      }
      unpacked = std::move(*records);
    }
    const Bytes records = compressed ? Bytes(unpacked) : stored;
    const auto offsets = DecodeTable(table_bytes, header, context, run.offset);
    if (!offsets.ok() && !run.cut_short) {
      Report({run.offset + TableOffset(header), run.offset + footer}, {},
             "an offset table is damaged; it is made again from the records");
    }
    const bool records_good = VerifyRecords(
        run, context, records,
        {live, offsets.ok() ? *offsets : RebuildTable(records, header, context, run.offset)});
    const std::uint64_t records_at = RecordsOffset(run.offset);
    if (records_good && !run.cut_short && !compressed &&
        ContentChecksum(records, context, records_at) != header.records_checksum) {
      Report({records_at, records_at + records.size()}, {}, "bytes between records changed");
    }
    return {};
  }

  /// All that a compressed run holds stands or falls together. What the end of the file cuts off is
  /// told already.
  void OnBlockLost(const RunPlace& run, IndexRange live, const std::string& why) {
    live.end = std::min(live.end, run.readable_end);
    const bool sparse = run.header.kind == RunKind::kSparse;
    if (run.cut_short && !sparse) return;
    const IndexRange place{RecordsOffset(run.offset), run.offset + TableOffset(run.header)};
    if (sparse) {
      Report(place, {}, "sparse entries cannot be read: " + why).sparse_suspect = true;
    } else if (live.empty()) {
      Report(place, {}, "entries that nothing needs any more cannot be read: " + why);
    } else {
      Report(place, live,
             "entries " + std::to_string(live.begin) + " to " + std::to_string(live.end - 1) +
                 " cannot be read: " + why);
    }
  }

  struct Wanted {
    IndexRange live;  // of an append run
    std::vector<TableEntry> table;
  };

  /// Were all of them good?
  bool VerifyRecords(const RunPlace& run, const FileContext& context, Bytes records,
                     const Wanted& wanted) {
    bool good = true;
    for (const TableEntry& entry : wanted.table) {
      if (entry.index >= run.readable_end) break;
      const std::uint64_t at = run.offset + kRunHeaderBytes + entry.offset;
      if (RecordGood(entry, context, records, at)) {
        ++result_.entries;
        continue;
      }
      good = false;
      const bool sparse = run.header.kind == RunKind::kSparse;
      const bool is_live = sparse || wanted.live.Contains(entry.index);
      const bool placed = entry.offset != kNoRecord;
      Report(placed ? IndexRange{at, at + kRecordHeaderBytes}
                    : IndexRange{run.offset, run.offset + RunBytes(run.header)},
             is_live ? IndexRange{entry.index, entry.index + 1} : IndexRange{},
             "entry " + std::to_string(entry.index) +
                 (is_live ? " is damaged" : " is damaged; nothing needs it any more"));
    }
    if (run.header.kind == RunKind::kSparse && wanted.table.size() < run.header.count) {
      good = false;
      Report({run.offset, run.offset + RunBytes(run.header)}, {},
             "records of a sparse run are lost")
          .sparse_suspect = true;
    }
    return good;
  }

  bool RecordGood(const TableEntry& entry, const FileContext& context, Bytes records,
                  std::uint64_t at) const {
    if (entry.offset == kNoRecord || entry.offset > records.size()) return false;
    const Bytes bytes = records.subspan(entry.offset);
    const auto record = DecodeRecordHeader(bytes, context, at);
    if (!record.ok() || record->index != entry.index) return false;
    if (kRecordHeaderBytes + record->payload_bytes > bytes.size()) return false;
    return PayloadIntact(*record, identity_.cluster_id,
                         bytes.subspan(kRecordHeaderBytes, record->payload_bytes));
  }

  const ServerIdentity& identity_;
  const bool alone_;
  VerifyResult result_;
  std::string name_;
};

}  // namespace

Result<VerifyResult> VerifyServer(const ScanRequest& request, const SegmentList& list) {
  return Verify(request.identity, false).Server(request.directory, list);
}

Result<VerifyResult> VerifyLoneSegment(const File& file, const ServerIdentity& identity,
                                       const SegmentSummary& segment) {
  return Verify(identity, true).Lone(file, segment);
}

}  // namespace duramen::segments
