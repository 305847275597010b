#include "tests/explorer/wal_map.h"

#include <algorithm>

#include "base/check.h"
#include "base/try.h"
#include "wal/batch.h"

namespace duramen::explorer {
namespace {

// Walks one file and lays piece after piece.
class Mapper {
 public:
  Mapper(Bytes bytes, const std::map<std::string, LogNumber>& logs) : bytes_(bytes), logs_(logs) {}

  Result<WalMap> Map() {
    map_.header = TRY(wal::DecodeFileHeader(bytes_.first(wal::kBlockBytes), 0));
    context_ = wal::FileContext::Of(map_.header.system, map_.header.number, map_.header.life);
    Lay({.part = Part::kFileHeader, .end = wal::kBlockBytes});
    Lay({.part = Part::kFileHeader, .end = wal::kFirstBatchOffset});
    while (at_ + wal::kBlockBytes <= bytes_.size()) {
      const Bytes rest = bytes_.subspan(at_);
      const auto header = wal::DecodeBatchHeader(rest, map_.header.system, context_, at_);
      if (!header.ok() || !wal::BatchIntact(*header, rest, map_.header.system, context_, at_))
        break;
      TRY(MapBatch(*header, rest));
    }
    Lay({.part = Part::kUnused, .end = bytes_.size()});
    return std::move(map_);
  }

 private:
  void Lay(Piece piece) {
    if (piece.end <= at_) return;
    piece.begin = at_;
    piece.batch = batch_;
    map_.pieces.push_back(piece);
    at_ = piece.end;
  }

  Status MapBatch(const wal::BatchHeader& header, Bytes batch) {
    const std::uint64_t start = at_;
    batch_ = header.number;
    map_.batch_numbers.push_back(batch_);
    const wal::BatchContents contents = TRY(wal::ReadIntactBatch(header, batch, context_, start));
    for (const wal::Binding& binding : contents.bindings) {
      slots_[binding.slot] = {binding.uid, binding.cluster_id};
    }
    Lay({.part = Part::kBatchHeader, .end = start + wal::kBatchHeaderBytes});
    Lay({.part = Part::kBinding,
         .end = start + wal::kBatchHeaderBytes + header.binding_count * wal::kBindingBytes});
    for (const wal::RunView& run : contents.runs) TRY(MapRun(run));
    Lay({.part = Part::kPadding, .end = start + header.closing_offset});
    // Its checksum covers the zeros behind it too.
    Lay({.part = Part::kClosing, .end = start + header.batch_bytes});
    batch_ = 0;
    return {};
  }

  Status MapRun(const wal::RunView& run) {
    CHECK(run.offset == at_);
    const auto owner = slots_.find(run.header.slot);
    CHECK(owner != slots_.end());
    const auto named = logs_.find(owner->second.uid.ToString());
    const LogNumber log = named == logs_.end() ? UINT32_MAX : named->second;
    const bool row = run.header.kind == wal::RunKind::kRows;
    const bool entries = wal::IsEntries(run.header.kind);
    const Index run_last = entries ? run.header.first + run.header.count - 1 : 0;
    Lay({.part = Part::kRunHeader, .end = at_ + wal::kRunHeaderBytes, .log = log, .row = row});
    if ((run.header.flags & wal::kRunPacked) != 0) return MapFrames(run, owner->second, log);
    wal::RecordReader reader(run, context_, owner->second);
    while (!reader.AtEnd()) {
      const wal::RecordView record = TRY(reader.Next());
      CHECK(record.offset == at_);
      Piece piece{.part = Part::kRecordHeader, .log = log, .row = row, .run_last = run_last};
      piece.repeat = (run.header.flags & wal::kRunRepeat) != 0;
      piece.hash = EntryHash(record.kind, record.payload);
      if (entries) {
        piece.index = record.index;
        piece.term = run.header.term;
      }
      piece.end = at_ + wal::kRecordHeaderBytes;
      Lay(piece);
      piece.part = Part::kPayload;
      piece.end = at_ + record.payload.size();
      Lay(piece);
      Lay({.part = Part::kPadding, .end = record.offset + wal::RecordBytes(record.payload.size())});
    }
    // A run that is no rows and no entries (bounds) may have a body of its own.
    Lay({.part = Part::kPadding, .end = run.offset + wal::kRunHeaderBytes + run.header.bytes});
    return {};
  }

  /// A frame's header hides what follows it in its run, as that of a record does; its body is the
  /// payload of all records in it at once.
  Status MapFrames(const wal::RunView& run, const wal::RecordOwner& owner, LogNumber log) {
    wal::RecordReader reader(run, context_, owner);
    while (!reader.AtEnd()) {
      const auto frame = TRY(wal::DecodeFrameHeader(
          bytes_.subspan(at_), wal::RecordSeed(context_.seed, at_, owner.uid)));
      std::vector<Piece> records;
      for (std::uint32_t i = 0; i < frame.count; ++i) {
        const wal::RecordView record = TRY(reader.Next());
        records.push_back({.log = log,
                           .index = record.index,
                           .run_last = run.header.first + run.header.count - 1,
                           .term = run.header.term,
                           .hash = EntryHash(record.kind, record.payload)});
      }
      LayAll(records, Part::kRecordHeader, at_ + wal::kFrameHeaderBytes);
      LayAll(records, Part::kPayload, at_ + frame.packed_bytes);
      const std::uint64_t frame_bytes = wal::FrameBytes(frame.packed_bytes);
      Lay({.part = Part::kPadding,
           .end = at_ + frame_bytes - wal::kFrameHeaderBytes - frame.packed_bytes});
    }
    CHECK(at_ == run.offset + wal::kRunHeaderBytes + run.header.bytes);
    return {};
  }

  /// Pieces that are the same bytes.
  void LayAll(const std::vector<Piece>& pieces, Part part, std::uint64_t end) {
    const std::uint64_t begin = at_;
    for (Piece piece : pieces) {
      at_ = begin;
      piece.part = part;
      piece.end = end;
      Lay(piece);
    }
  }

  Bytes bytes_;
  const std::map<std::string, LogNumber>& logs_;
  wal::FileContext context_;
  wal::SlotTable slots_;
  WalMap map_;
  std::uint64_t at_ = 0;
  std::uint64_t batch_ = 0;
};

}  // namespace

const char* PartName(Part part) {
  static constexpr const char* kNames[] = {
      "unused space",  "file header", "batch header", "binding", "run header",
      "record header", "payload",     "padding",      "closing", "table"};
  return kNames[static_cast<std::size_t>(part)];
}

const Piece& WalMap::At(std::uint64_t offset) const {
  const auto piece = std::partition_point(pieces.begin(), pieces.end(),
                                          [offset](const Piece& p) { return p.end <= offset; });
  CHECK(piece != pieces.end());
  return *piece;
}

Result<WalMap> MapWalFile(Bytes bytes, const std::map<std::string, LogNumber>& logs) {
  if (bytes.size() < wal::kFirstBatchOffset) {
    return Error{ErrorCode::kCorruption, "too short for a WAL file", ""};
  }
  return Mapper(bytes, logs).Map();
}

}  // namespace duramen::explorer
