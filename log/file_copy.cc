#include "log/file_copy.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/read_around.h"
#include "base/try.h"
#include "log/repair_format.h"

namespace duramen::log {
namespace {

/// Goes over the pieces of a range that may hold anything but zeros.
class Pieces {
 public:
  /// `range` lies inside of the file.
  Pieces(const File& file, const ContentRange& range)
      : file_(file),
        range_(range),
        buffer_(std::min<std::uint64_t>(kContentPieceBytes, range.bytes_max)) {}

  /// The first such piece that does not end before `offset` of the range; behind the range: none.
  Result<std::uint64_t> NextFrom(std::uint64_t offset) const {
    if (offset >= range_.bytes_max) return range_.bytes_max;
    const std::uint64_t next = TRY(file_.NextData(range_.offset + offset)) - range_.offset;
    if (next >= range_.bytes_max) return range_.bytes_max;
    return std::max(offset, next - next % kContentPieceBytes);
  }

  /// A file that is shorter than its size a moment ago is being written by somebody.
  Result<Bytes> Read(std::uint64_t offset) {
    const auto piece = std::span(buffer_).first(
        std::min<std::uint64_t>(buffer_.size(), range_.bytes_max - offset));
    const AroundRead read = TRY(ReadAround(file_, range_.offset + offset, piece));
    unreadable_bytes_ += read.unreadable_bytes;
    if (read.bytes == piece.size()) return Bytes(piece);
    return Error{ErrorCode::kIo, "a file became shorter while it was read", "stop who writes it"};
  }
  std::uint64_t unreadable_bytes() const { return unreadable_bytes_; }

 private:
  const File& file_;
  const ContentRange range_;
  std::vector<std::byte> buffer_;
  std::uint64_t unreadable_bytes_ = 0;
};

/// The sum of a range that lies inside of the file, and its copy unless `to` is null.
Result<ContentSum> Pass(const File& from, const ContentRange& range, File* to) {
  ContentSum sum{.size_bytes = range.bytes_max};
  Pieces pieces(from, range);
  std::uint64_t at = TRY(pieces.NextFrom(0));
  while (at < sum.size_bytes) {
    const Bytes piece = TRY(pieces.Read(at));
    const bool zeros = IsZeros(piece);
    if (!zeros) sum.checksum = ContentChecksum(sum.checksum, at, piece);
    if (!zeros && to != nullptr) TRY(to->Write(at, piece));
    at = TRY(pieces.NextFrom(at + piece.size()));
  }
  sum.unreadable_bytes = pieces.unreadable_bytes();
  return sum;
}

}  // namespace

Result<ContentSum> SumOf(const File& file) {
  const std::uint64_t size_bytes = TRY(file.SizeBytes());
  return Pass(file, {.bytes_max = size_bytes}, nullptr);
}

Result<ContentSum> CopyContent(const File& from, File& to, const ContentRange& range) {
  const std::uint64_t size_bytes = TRY(from.SizeBytes());
  const std::uint64_t rest = size_bytes - std::min(size_bytes, range.offset);
  const ContentRange there{range.offset, std::min(rest, range.bytes_max)};
  if (there.bytes_max > 0) TRY(to.Truncate(there.bytes_max));
  return Pass(from, there, &to);
}

Result<bool> SameContent(const File& a, const File& b) {
  const std::uint64_t size_bytes = TRY(a.SizeBytes());
  if (TRY(b.SizeBytes()) != size_bytes) return false;
  Pieces pieces_a(a, {.bytes_max = size_bytes});
  Pieces pieces_b(b, {.bytes_max = size_bytes});
  std::uint64_t at = 0;
  while (true) {
    at = std::min(TRY(pieces_a.NextFrom(at)), TRY(pieces_b.NextFrom(at)));
    if (at >= size_bytes) return true;
    const Bytes piece_a = TRY(pieces_a.Read(at));
    const Bytes piece_b = TRY(pieces_b.Read(at));
    if (std::memcmp(piece_a.data(), piece_b.data(), piece_a.size()) != 0) return false;
    at += piece_a.size();
  }
}

}  // namespace duramen::log
