#include "log/file_copy.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/try.h"
#include "log/repair_format.h"

namespace duramen::log {
namespace {

/// Fills `piece`. A file that is shorter than its size a moment ago is being written by somebody.
Status ReadPiece(const File& file, std::uint64_t offset, std::span<std::byte> piece) {
  if (TRY(file.Read(offset, piece)) == piece.size()) return {};
  return Error{ErrorCode::kIo, "a file became shorter while it was read", "stop who writes it"};
}

bool IsZeros(Bytes piece) {
  return piece[0] == std::byte{0} &&
         std::memcmp(piece.data(), piece.data() + 1, piece.size() - 1) == 0;
}

}  // namespace

Result<ContentSum> SumOf(const File& file) {
  ContentSum sum;
  sum.size_bytes = TRY(file.SizeBytes());
  std::vector<std::byte> buffer(std::min<std::uint64_t>(kContentPieceBytes, sum.size_bytes));
  for (std::uint64_t at = 0; at < sum.size_bytes; at += buffer.size()) {
    const auto piece =
        std::span(buffer).first(std::min<std::uint64_t>(buffer.size(), sum.size_bytes - at));
    TRY(ReadPiece(file, at, piece));
    sum.checksum = ContentChecksum(sum.checksum, piece);
  }
  return sum;
}

Result<ContentSum> CopyContent(const File& from, File& to, const ContentRange& range) {
  const std::uint64_t size_bytes = TRY(from.SizeBytes());
  ContentSum sum;
  sum.size_bytes = std::min(size_bytes - std::min(size_bytes, range.offset), range.bytes_max);
  if (sum.size_bytes > 0) TRY(to.Truncate(sum.size_bytes));
  std::vector<std::byte> buffer(std::min<std::uint64_t>(kContentPieceBytes, sum.size_bytes));
  for (std::uint64_t at = 0; at < sum.size_bytes; at += buffer.size()) {
    const auto piece =
        std::span(buffer).first(std::min<std::uint64_t>(buffer.size(), sum.size_bytes - at));
    TRY(ReadPiece(from, range.offset + at, piece));
    sum.checksum = ContentChecksum(sum.checksum, piece);
    if (!IsZeros(piece)) TRY(to.Write(at, piece));
  }
  return sum;
}

Result<bool> SameContent(const File& a, const File& b) {
  const std::uint64_t size = TRY(a.SizeBytes());
  if (TRY(b.SizeBytes()) != size) return false;
  const std::uint64_t piece_bytes = std::min<std::uint64_t>(kContentPieceBytes, size);
  std::vector<std::byte> buffer_a(piece_bytes);
  std::vector<std::byte> buffer_b(piece_bytes);
  for (std::uint64_t at = 0; at < size; at += piece_bytes) {
    const std::uint64_t now = std::min(piece_bytes, size - at);
    TRY(ReadPiece(a, at, std::span(buffer_a).first(now)));
    TRY(ReadPiece(b, at, std::span(buffer_b).first(now)));
    if (std::memcmp(buffer_a.data(), buffer_b.data(), now) != 0) return false;
  }
  return true;
}

}  // namespace duramen::log
