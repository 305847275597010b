#include "wal/frames.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/check.h"
#include "base/planted.h"

namespace duramen::wal {
namespace {

/// Larger ones are no smaller, and slower to make (docs/benchmarks.md).
constexpr std::uint64_t kFrameBytes = 64 << 10;
static_assert(kFrameBytes <= kFrameBytesMax);

Error Corrupt(const char* what) { return {ErrorCode::kCorruption, what, ""}; }

/// The records that go into the next frame.
struct Share {
  std::size_t bytes = 0;
  std::uint32_t count = 0;
};

std::size_t BytesOfRecord(const std::byte* record) {
  return RecordBytes(LoadLe<std::uint32_t>(record + 16));
}

Share NextShare(Bytes records) {
  Share share;
  while (share.bytes < records.size()) {
    const std::size_t bytes = BytesOfRecord(records.data() + share.bytes);
    if (share.count > 0 && share.bytes + bytes > kFrameBytes) break;
    share.bytes += bytes;
    ++share.count;
  }
  return share;
}

void SealRecord(std::byte* record, std::uint64_t seed) {
  StoreLe(record, Checksum({record + 8, kRecordHeaderBytes - 8}, seed));
}

void SealFor(std::span<std::byte> frame, const ServerUid& uid) {
  for (std::size_t at = 0; at < frame.size(); at += BytesOfRecord(frame.data() + at)) {
    SealRecord(frame.data() + at, FramedRecordSeed(at, uid));
  }
}

std::uint64_t SeedOf(const FramePlace& place, std::size_t at) {
  return RecordSeed(place.file_seed, place.offset + at, place.uid);
}

}  // namespace

Bytes RunPacker::Pack(std::span<std::byte> records, const FramePlace& place) {
  const std::size_t worth = (records.size() - records.size() / 8) / kRecordAlign * kRecordAlign;
  if (out_.size() < worth) out_.resize(worth);
  const bool pays = PackFrames(records, place, worth);
  packed_from_bytes_ += records.size();
  packed_to_bytes_ += pays ? out_bytes_ : records.size();
  if (pays) return Bytes(out_).first(out_bytes_);
  for (std::size_t at = 0; at < records.size(); at += BytesOfRecord(records.data() + at)) {
    SealRecord(records.data() + at, SeedOf(place, at));
  }
  return {};
}

bool RunPacker::PackFrames(std::span<std::byte> records, const FramePlace& place,
                           std::size_t worth) {
  std::size_t& at = out_bytes_;
  at = 0;
  for (std::span<std::byte> rest = records; !rest.empty();) {
    const Share share = NextShare(rest);
    const std::span<std::byte> raw = rest.first(share.bytes);
    if (at + kFrameHeaderBytes >= worth) return false;
    SealFor(raw, place.uid);
    std::byte* out = out_.data() + at;
    std::byte* body = out + kFrameHeaderBytes;
    const std::size_t size = zstd_.Compress(raw, {body, worth - at - kFrameHeaderBytes});
    if (size == 0 || size >= raw.size()) return false;
    std::fill(body + size, out + FrameBytes(size), std::byte{0});
    EncodeFrameHeader(
        {.body_checksum = Checksum({body, size}, SeedOf(place, at + kFrameHeaderBytes)),
         .packed_bytes = static_cast<std::uint32_t>(size),
         .raw_bytes = static_cast<std::uint32_t>(share.bytes),
         .count = share.count},
        SeedOf(place, at), out);
    at += FrameBytes(size);
    rest = rest.subspan(share.bytes);
  }
  return true;
}

bool MoveFrames(std::span<std::byte> frames, const FramePlace& from, const FramePlace& to) {
  std::size_t at = 0;
  while (at < frames.size()) {
    const std::span<std::byte> rest = frames.subspan(at);
    Result<FrameHeader> frame = DecodeFrameHeader(rest, SeedOf(from, at));
    if (!frame.ok() || FrameBytes(frame->packed_bytes) > rest.size()) return false;
    const Bytes body = rest.subspan(kFrameHeaderBytes, frame->packed_bytes);
    frame->body_checksum = Checksum(body, SeedOf(to, at + kFrameHeaderBytes));
    EncodeFrameHeader(*frame, SeedOf(to, at), rest.data());
    at += FrameBytes(frame->packed_bytes);
  }
  return at == frames.size();
}

Result<std::vector<std::byte>> UnpackFrame(const FrameHeader& frame, Bytes body,
                                           std::uint64_t body_seed) {
  if (body.size() < frame.packed_bytes) return Corrupt("frame runs past its run");
  body = body.first(frame.packed_bytes);
  if (Checksum(body, body_seed) != frame.body_checksum && !Planted(PlantedBug::kFrameUnchecked)) {
    return Corrupt("frame checksum differs");
  }
  if (!ZstdHolds(body, frame.raw_bytes)) return Corrupt("frame has no sensible size");
  std::vector<std::byte> records(frame.raw_bytes);
  if (!ZstdDecompress(body, records)) return Corrupt("frame is not what it says");
  return records;
}

}  // namespace duramen::wal
