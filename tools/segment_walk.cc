#include "tools/segment_walk.h"

#include <algorithm>
#include <cstring>

#include "base/bytes.h"
#include "base/try.h"
#include "segments/run_walk.h"

namespace duramen::tools {
namespace {

constexpr std::uint64_t kWindowBytes = 1 << 20;
// In a segment's header, see segments/FORMAT.md.
constexpr std::size_t kSystemAt = 24;
constexpr std::size_t kUidAt = 40;
constexpr std::size_t kClusterAt = 56;
constexpr std::size_t kNumberAt = 64;

/// Reads one file through a window that moves up.
class Window {
 public:
  Window(const File& file, std::uint64_t limit_bytes) : file_(file), limit_(limit_bytes) {}
  /// As much of it as counts.
  Result<Bytes> At(std::uint64_t offset, std::uint64_t size) {
    if (offset >= limit_) return Bytes{};
    const std::uint64_t end = std::min(limit_ - offset, size) + offset;
    if (offset < offset_ || end > offset_ + bytes_.size()) {
      const std::uint64_t wanted = std::max(end - offset, std::min(kWindowBytes, limit_ - offset));
      bytes_ = TRY(segments::ReadUpTo(file_, offset, wanted));
      offset_ = offset;
    }
    const Bytes rest = Bytes(bytes_).subspan(offset - offset_);
    return rest.first(std::min<std::uint64_t>(rest.size(), end - offset));
  }

 private:
  const File& file_;
  std::uint64_t limit_;
  std::vector<std::byte> bytes_;
  std::uint64_t offset_ = 0;
};

class FileWalk {
 public:
  FileWalk(const SegmentWalk& walk, const segments::SegmentSummary& segment,
           SegmentVisitor& visitor, std::string name)
      : walk_(walk), segment_(segment), visitor_(visitor), name_(std::move(name)) {}

  Status Run(const File& file) {
    // A running store may have cut it since it was listed.
    limit_ = std::min(segment_.bytes, TRY(file.SizeBytes()));
    table_.context = segments::FileContext::Of(walk_.identity, segment_.number, segment_.life);
    TRY(segments::WalkRuns(file, walk_.identity, limit_, table_));
    for (const segments::RunGap& gap : table_.gaps) {
      visitor_.OnSegmentSkipped(name_, gap.offset, gap.bytes);
    }
    const IndexRange live{std::max(segment_.live.begin, walk_.live.begin),
                          std::min(segment_.live.end, walk_.live.end)};
    const std::vector<segments::LivePiece> pieces = LivePieces(table_, limit_, live);
    Window window(file, limit_);
    auto piece = pieces.begin();
    for (std::size_t at = 0; at < table_.runs.size() && visitor_.wants_more(); ++at) {
      const bool has_live = piece != pieces.end() && piece->run == at;
      const IndexRange run_live = has_live ? piece->live : IndexRange{};
      if (has_live) ++piece;
      if (Seen(table_.runs[at])) continue;
      TRY(WalkRun(file, at, run_live, window));
    }
    return {};
  }

 private:
  bool Seen(const segments::RunPlace& run) const {
    return segment_.number < walk_.after_number ||
           (segment_.number == walk_.after_number && run.offset < walk_.after_bytes);
  }

  /// A sparse entry is live where nothing newer holds its index.
  bool SparseLive(std::size_t at, Index index) const {
    if (walk_.list.Find(index) != nullptr) return false;
    const std::vector<std::uint32_t> holders = walk_.list.FindSparse(index);
    return !holders.empty() && holders.front() == segment_.number &&
           segments::FindSparseRun(table_, limit_, index) == at;
  }

  Status WalkRun(const File& file, std::size_t at, IndexRange live, Window& window) {
    const segments::RunPlace& run = table_.runs[at];
    const bool sparse = run.header.kind == segments::RunKind::kSparse;
    if (live.empty() && !sparse && !walk_.all) return {};
    const std::vector<segments::TableEntry> places =
        TRY(segments::LoadTable(file, table_.context, run, limit_));
    const std::uint64_t records_at = segments::RecordsOffset(run.offset);
    const bool compressed = run.header.compression != Compression::kNone;
    std::vector<std::byte> block;
    if (compressed) {
      auto records = segments::ReadRecords(file, table_.context, run, limit_);
      const bool damaged = !records.ok() && records.error().code == ErrorCode::kCorruption;
      if (!records.ok() && !damaged) return records.error();
      if (records.ok()) block = std::move(*records);
    }
    for (std::size_t i = 0; i < places.size() && visitor_.wants_more(); ++i) {
      const bool is_live =
          sparse ? SparseLive(at, places[i].index) : live.Contains(places[i].index);
      if (!is_live && !walk_.all) continue;
      if (places[i].offset == segments::kNoRecord) {
        visitor_.OnSegmentSkipped(name_, run.offset, segments::kRecordHeaderBytes);
        continue;
      }
      const std::uint64_t offset = records_at + places[i].offset;
      if (compressed) {
        const Bytes bytes =
            Bytes(block).subspan(std::min<std::size_t>(places[i].offset, block.size()));
        if (RecordIn(bytes, run, {places[i].index, offset, is_live})) continue;
        visitor_.OnSegmentSkipped(name_, records_at, run.header.records_bytes);
        if (block.empty()) break;  // One stretch of the file held them all.
        continue;
      }
      if (TRY(Record(run, {places[i].index, offset, is_live}, window))) continue;
      const std::uint64_t end = i + 1 < places.size() && places[i + 1].offset != segments::kNoRecord
                                    ? records_at + places[i + 1].offset
                                    : records_at + run.header.records_bytes;
      visitor_.OnSegmentSkipped(name_, offset, end > offset ? end - offset : 0);
    }
    return {};
  }

  struct Place {
    Index index = 0;
    std::uint64_t offset = 0;
    bool live = false;
  };

  /// False: it is not what was written.
  Result<bool> Record(const segments::RunPlace& run, const Place& place, Window& window) {
    const Bytes front = TRY(window.At(place.offset, segments::kRecordHeaderBytes));
    const auto record = segments::DecodeRecordHeader(front, table_.context, place.offset);
    if (!record.ok() || record->index != place.index) return false;
    const std::uint64_t size = segments::kRecordHeaderBytes + record->payload_bytes;
    return RecordIn(TRY(window.At(place.offset, size)), run, place);
  }

  /// At the front of `bytes`. A compressed one is shown where its block stands.
  bool RecordIn(Bytes bytes, const segments::RunPlace& run, const Place& place) {
    const auto record = segments::DecodeRecordHeader(bytes, table_.context, place.offset);
    if (!record.ok() || record->index != place.index) return false;
    bytes = bytes.subspan(segments::kRecordHeaderBytes);
    if (bytes.size() < record->payload_bytes) return false;
    const Bytes payload = bytes.first(record->payload_bytes);
    if (!segments::PayloadIntact(*record, walk_.identity.cluster_id, payload)) return false;
    const bool compressed = run.header.compression != Compression::kNone;
    visitor_.OnSegmentRecord(
        {.file = name_,
         .uid = walk_.identity.uid,
         .run = run.header,
         .offset = compressed ? segments::RecordsOffset(run.offset) : place.offset,
         .record = *record,
         .payload = payload,
         .standing = place.live ? Standing::kLive : Standing::kCut});
    return true;
  }

  const SegmentWalk& walk_;
  const segments::SegmentSummary& segment_;
  SegmentVisitor& visitor_;
  const std::string name_;
  std::uint64_t limit_ = 0;
  segments::RunTable table_;
};

}  // namespace

Status WalkSegments(const SegmentWalk& walk, SegmentVisitor& visitor) {
  for (const segments::SegmentSummary& segment : walk.list.segments()) {
    if (!visitor.wants_more()) break;
    if (segment.number < walk.after_number) continue;
    const std::string name = segments::FileName(segment.number);
    const Result<std::unique_ptr<File>> file = walk.directory->Open(name, OpenFor::kRead);
    if (!file.ok() && file.error().code == ErrorCode::kNotFound) {
      visitor.OnSegmentGone(walk.shown_prefix + name);
      continue;
    }
    if (!file.ok()) return file.error();
    TRY(FileWalk(walk, segment, visitor, walk.shown_prefix + name).Run(**file));
  }
  return {};
}

Status WalkOneSegment(const File& file, const SegmentWalk& walk, SegmentVisitor& visitor) {
  return FileWalk(walk, *walk.list.last(), visitor, walk.shown_prefix).Run(file);
}

Result<std::vector<SegmentUse>> MeasureSegments(const SegmentWalk& walk) {
  std::vector<SegmentUse> uses;
  for (const segments::SegmentSummary& segment : walk.list.segments()) {
    const Result<std::unique_ptr<File>> file =
        walk.directory->Open(segments::FileName(segment.number), OpenFor::kRead);
    if (!file.ok() && file.error().code == ErrorCode::kNotFound) continue;
    if (!file.ok()) return file.error();
    segments::RunTable table{
        .context = segments::FileContext::Of(walk.identity, segment.number, segment.life)};
    TRY(segments::WalkRuns(**file, walk.identity, segment.bytes, table));
    SegmentUse use{.number = segment.number,
                   .bytes = segment.bytes,
                   .live = {std::max(segment.live.begin, walk.live.begin),
                            std::min(segment.live.end, walk.live.end)}};
    for (const segments::LivePiece& piece : LivePieces(table, segment.bytes, use.live)) {
      const segments::RunHeader& run = table.runs[piece.run].header;
      use.live_entries += piece.live.size();
      use.live_bytes += segments::RunBytes(run) * piece.live.size() / run.count;
    }
    for (const segments::RunPlace& run : table.runs) {
      if (run.header.kind == segments::RunKind::kSparse) {
        use.live_bytes += segments::RunBytes(run.header);
      }
    }
    uses.push_back(use);
  }
  return uses;
}

Result<SegmentWalk> LoneSegment(const File& file, const segments::ServerIdentity* beside,
                                std::uint64_t number_by_name) {
  const std::vector<std::byte> front = TRY(segments::ReadUpTo(file, 0, segments::kFileHeaderBytes));
  SegmentWalk walk;
  segments::RunTable table{.context = {.number = number_by_name}};
  bool known = false;
  if (front.size() == segments::kFileHeaderBytes) {
    std::memcpy(walk.identity.system.bytes.data(), front.data() + kSystemAt, 16);
    std::memcpy(walk.identity.uid.bytes.data(), front.data() + kUidAt, 16);
    walk.identity.cluster_id = LoadLe<std::uint64_t>(front.data() + kClusterAt);
    const auto number = LoadLe<std::uint64_t>(front.data() + kNumberAt);
    const auto header = segments::DecodeFileHeader(front, walk.identity, number);
    if (!header.ok() && header.error().code == ErrorCode::kUnknownVersion) return header.error();
    known = header.ok() && number <= segments::kNumberMax;
    if (known) table.context = segments::FileContext::Of(walk.identity, number, header->life);
  }
  if (!known) {
    if (beside == nullptr || number_by_name == 0) {
      return Error{ErrorCode::kCorruption,
                   "the header of the segment cannot be read, and nothing beside it tells whose "
                   "it is",
                   "put it back under servers/UID/ of a copy of its data directory"};
    }
    walk.identity = *beside;
  }
  const std::uint64_t size = TRY(file.SizeBytes());
  TRY(segments::WalkRuns(file, walk.identity, size, table));
  segments::SegmentListEdit edit{segments::SegmentList()};
  edit.AddFile(table.context.number, table.context.life, size);
  for (const segments::RunPlace& run : table.runs) {
    const segments::RunHeader& header = run.header;
    if (run.readable_end <= header.first) continue;
    edit.Apply({.number = table.context.number,
                .life = table.context.life,
                .bytes_end = size,
                .kind = header.kind,
                .cut = header.cut,
                .first = header.first,
                .last = run.readable_end - 1,
                .epoch = header.epoch,
                .count = header.count});
  }
  walk.list = edit.Build();
  walk.live = walk.list.Range();
  return walk;
}

}  // namespace duramen::tools
