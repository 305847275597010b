#include "tests/explorer/segment_map.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/try.h"
#include "meta/checkpoint.h"
#include "segments/blocks.h"

namespace duramen::explorer {
namespace {

constexpr std::uint64_t kCheckpointRecordBytes = 40;  // meta/FORMAT.md

// Lays piece after piece.
class Layer {
 public:
  void Lay(std::uint64_t end, Piece piece) {
    if (end <= at_) return;
    piece.begin = at_;
    piece.end = end;
    pieces_.push_back(piece);
    at_ = end;
  }
  /// Pieces that are the same bytes.
  void LayAll(std::uint64_t end, const std::vector<Piece>& pieces) {
    const std::uint64_t begin = at_;
    for (const Piece& piece : pieces) {
      at_ = begin;
      Lay(end, piece);
    }
  }
  std::uint64_t at() const { return at_; }
  std::vector<Piece> Take() { return std::move(pieces_); }

 private:
  std::vector<Piece> pieces_;
  std::uint64_t at_ = 0;
};

struct FoundRun {
  Bytes file;
  const segments::FileContext& context;
  const segments::RunHeader& header;
  std::size_t number;  // in the file, from 1
};

/// A block is the payload of all its entries at once.
Status MapBlock(const FoundRun& found, Layer& layer) {
  const auto& [bytes, context, run, number] = found;
  const std::uint64_t offset = layer.at() - segments::kRunHeaderBytes;
  const std::vector<std::byte> records =
      TRY(segments::Unpack(bytes.subspan(layer.at()), run, context, offset));
  std::vector<Piece> pieces;
  for (std::uint64_t at = 0; at < records.size();) {
    const Bytes rest = Bytes(records).subspan(at);
    const auto record = TRY(segments::DecodeRecordHeader(rest, context, layer.at() + at));
    const Bytes payload = rest.subspan(segments::kRecordHeaderBytes, record.payload_bytes);
    pieces.push_back({.part = Part::kPayload,
                      .batch = number,
                      .index = record.index,
                      .term = record.term,
                      .hash = EntryHash(record.kind, payload)});
    at += segments::RecordBytes(record.payload_bytes);
  }
  CHECK(pieces.size() == run.count);
  layer.LayAll(layer.at() + run.records_bytes, pieces);
  return {};
}

Status MapRun(const FoundRun& found, Layer& layer) {
  const auto& [bytes, context, run, number] = found;
  Piece piece{.batch = number};
  const std::uint64_t start = layer.at();
  piece.part = Part::kRunHeader;
  layer.Lay(start + segments::kRunHeaderBytes, piece);
  const bool compressed = run.compression != Compression::kNone;
  if (compressed) TRY(MapBlock(found, layer));
  for (std::uint32_t i = 0; i < run.count && !compressed; ++i) {
    const std::uint64_t at = layer.at();
    const auto record = TRY(segments::DecodeRecordHeader(bytes.subspan(at), context, at));
    const std::uint64_t payload_end = at + segments::kRecordHeaderBytes + record.payload_bytes;
    Piece part = piece;
    part.index = record.index;
    part.term = record.term;
    part.hash = EntryHash(record.kind,
                          bytes.subspan(at + segments::kRecordHeaderBytes, record.payload_bytes));
    part.part = Part::kRecordHeader;
    layer.Lay(at + segments::kRecordHeaderBytes, part);
    part.part = Part::kPayload;
    layer.Lay(payload_end, part);
    layer.Lay(at + segments::RecordBytes(record.payload_bytes),
              {.part = Part::kPadding, .batch = piece.batch});
  }
  CHECK(layer.at() == start + segments::TableOffset(run));
  piece.part = Part::kTable;
  layer.Lay(start + segments::FooterOffset(run), piece);
  piece.part = Part::kClosing;
  layer.Lay(start + segments::RunBytes(run), piece);
  return {};
}

}  // namespace

Result<SegmentMap> MapSegment(Bytes bytes, const segments::ServerIdentity& identity,
                              std::uint64_t number, const meta::FlushedRow& flushed) {
  const std::size_t file_bytes = bytes.size();
  if (number >= flushed.segment) {
    bytes = bytes.first(number == flushed.segment ? flushed.segment_bytes : 0);
  }
  if (bytes.empty()) return SegmentMap{.number = number, .pieces = {}, .runs = {}};
  const auto header = TRY(segments::DecodeFileHeader(bytes, identity, number));
  auto context = segments::FileContext::Of(identity, number, header.life);
  SegmentMap map{.number = number, .pieces = {}, .runs = {}};
  Layer layer;
  layer.Lay(segments::kFileHeaderBytes, {.part = Part::kFileHeader});
  while (layer.at() < bytes.size()) {
    const auto run = TRY(segments::DecodeRunHeader(
        bytes.subspan(layer.at()), {segments::RunEnd::kHeader, layer.at()}, identity, context));
    map.runs.push_back({run.cut, run.first, run.last, run.epoch});
    TRY(MapRun({bytes, context, run, map.runs.size()}, layer));
  }
  layer.Lay(file_bytes, {.part = Part::kUnused});
  map.pieces = layer.Take();
  return map;
}

Result<std::vector<Piece>> MapCheckpoint(Bytes bytes, const SystemUuid& system,
                                         const std::map<std::string, LogNumber>& logs) {
  const meta::DecodedCheckpoint content = TRY(meta::DecodeCheckpoint(bytes, system));
  Layer layer;
  layer.Lay(meta::kCheckpointBlockBytes, {.part = Part::kFileHeader});
  layer.Lay(meta::kCheckpointHeaderBytes, {.part = Part::kFileHeader});
  for (const meta::CheckpointServer& server : content.servers) {
    const auto named = logs.find(server.uid.ToString());
    const LogNumber log = named == logs.end() ? UINT32_MAX : named->second;
    const auto length = LoadLe<std::uint64_t>(bytes.data() + layer.at() + 16);
    layer.Lay(layer.at() + kCheckpointRecordBytes, {.part = Part::kRecordHeader, .log = log});
    const std::uint64_t end = layer.at() + length;
    layer.Lay(layer.at() + 8, {.part = Part::kPadding, .log = log});  // its highest sequence
    while (layer.at() < end) {
      ByteReader reader(bytes.subspan(layer.at()));
      const auto kind = reader.Get<std::uint8_t>();
      std::vector<std::byte> row(8);  // As in the WAL: the sequence, then the row.
      StoreLe(row.data(), reader.Get<std::uint64_t>());
      const auto row_bytes = reader.Get<std::uint32_t>();
      const Bytes payload = bytes.subspan(layer.at() + 13, row_bytes);
      row.insert(row.end(), payload.begin(), payload.end());
      Piece piece{.part = Part::kPayload, .log = log, .row = true};
      piece.hash = EntryHash(kind, row);
      layer.Lay(layer.at() + 13 + row_bytes, piece);
    }
  }
  layer.Lay(content.size_bytes - meta::kCheckpointBlockBytes, {.part = Part::kPadding});
  layer.Lay(content.size_bytes, {.part = Part::kTable});
  layer.Lay(bytes.size(), {.part = Part::kUnused});
  return layer.Take();
}

}  // namespace duramen::explorer
