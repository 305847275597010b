#include "wal/scan.h"

#include <algorithm>

#include "base/bytes.h"

namespace duramen::wal {
namespace {

/// In a file that is in service every byte is looked at: a file system that takes what it has not
/// written yet for a hole would cost acknowledged batches. Others are of any size.
std::uint64_t NextBlock(const FileWindow& window, const FileSummary& summary, std::uint64_t at) {
  return summary.header ? at : window.NextBlock(at);
}

constexpr std::uint64_t kWindowBytes = 1 << 20;

/// A closing inside [begin, end) whose batch header cannot be read tells of that batch.
void FindClosings(FileWindow& window, const SystemUuid& system, FileSummary& summary,
                  std::pair<std::uint64_t, std::uint64_t> range) {
  const FileContext context = summary.Context(system);
  const auto [begin, end] = range;
  for (std::uint64_t at = begin; at < end; at += kSectorBytes) {
    if (at % kBlockBytes == 0) at = NextBlock(window, summary, at);
    if (at >= end) return;
    const Bytes front = window.At(at, kClosingHeaderBytes);
    if (front.size() < kClosingHeaderBytes) return;
    if (LoadLe<std::uint32_t>(front.data()) != kClosingMagic) continue;
    const auto batch_bytes = LoadLe<std::uint32_t>(front.data() + 56);
    const auto closing_offset = LoadLe<std::uint32_t>(front.data() + 60);
    if (closing_offset >= batch_bytes || batch_bytes > kBatchBytesMax) continue;
    const Result<ClosingHeader> closing =
        DecodeClosing(window.At(at, batch_bytes - closing_offset), system, context, at);
    if (!closing.ok() || at - closing->closing_offset < begin) continue;
    summary.batches.push_back({.number = closing->number,
                               .offset = at - closing->closing_offset,
                               .bytes = closing->batch_bytes,
                               .durable_upto = closing->durable_upto,
                               .checksum = closing->batch_checksum});
    summary.end_offset = at - closing->closing_offset + closing->batch_bytes;
  }
}

bool HoldsClosing(Bytes block) {
  for (std::size_t at = 0; at + sizeof kClosingMagic <= block.size(); at += kSectorBytes) {
    if (LoadLe<std::uint32_t>(block.data() + at) == kClosingMagic) return true;
  }
  return false;
}

}  // namespace

Bytes FileWindow::At(std::uint64_t offset, std::uint64_t bytes) {
  if (offset >= size_bytes_) return {};
  bytes = std::min(bytes, size_bytes_ - offset);
  if (offset < start_ || offset + bytes > start_ + filled_) Fill(offset, bytes);
  return Bytes(buffer_.get() + (offset - start_), bytes);
}

std::uint64_t FileWindow::NextBlock(std::uint64_t offset) const {
  if (offset >= start_ && offset < start_ + filled_) return offset;  // No need to ask.
  const Result<std::uint64_t> next = file_.NextData(offset);
  return next.ok() ? std::max(offset, *next - *next % kBlockBytes) : offset;
}

void FileWindow::Fill(std::uint64_t offset, std::uint64_t bytes) {
  const std::uint64_t wanted = std::min(std::max(bytes, kWindowBytes), size_bytes_ - offset);
  start_ = offset;
  if (wanted > capacity_) {
    buffer_ = std::make_unique_for_overwrite<std::byte[]>(wanted);
    capacity_ = wanted;
  }
  filled_ = wanted;
  const std::span<std::byte> window(buffer_.get(), wanted);
  const Result<std::size_t> read = file_.Read(offset, window);
  if (read.ok() && *read == wanted) {
    bytes_read_ += wanted;
    return;
  }
  if (!read.ok() && read.error().code != ErrorCode::kIo && !refused_) refused_ = read.error();
  // Block by block, so that one unreadable block does not hide its neighbours.
  std::ranges::fill(window, std::byte{0});
  for (std::uint64_t at = 0; at < wanted; at += kBlockBytes) {
    const std::uint64_t size = std::min(kBlockBytes, wanted - at);
    const Result<std::size_t> block = file_.Read(offset + at, window.subspan(at, size));
    if (!block.ok()) {
      if (block.error().code != ErrorCode::kIo && !refused_) refused_ = block.error();
      std::ranges::fill(window.subspan(at, size), std::byte{0});
      unreadable_bytes_ += size;
    } else {
      bytes_read_ += *block;
    }
  }
}

FileSummary ScanHeaders(FileWindow& window, std::uint64_t number, const SystemUuid& system) {
  FileSummary summary;
  summary.number = number;
  summary.size_bytes = summary.file_bytes = window.size_bytes();
  for (std::uint64_t copy = 0; copy < kHeaderCopies; ++copy) {
    Result<FileHeader> header = DecodeFileHeader(window.At(copy * kBlockBytes, kBlockBytes), copy);
    if (!header.ok()) {
      if (header.error().code == ErrorCode::kUnknownVersion) {
        summary.unknown_version = header.error();
      }
      continue;
    }
    if (!system.is_nil() && header->system != system) continue;
    if (header->number != number) {
      summary.former_header = true;
      continue;
    }
    summary.copy_ok[copy] = true;
    if (!summary.header) {
      summary.header = *header;
      summary.life = header->life;
    }
  }
  return summary;
}

void ScanBatches(FileWindow& window, const SystemUuid& system, FileSummary& summary,
                 std::uint64_t end_offset) {
  const std::uint64_t limit = std::min(summary.scan_bytes(), end_offset);
  std::uint64_t at = kFirstBatchOffset;
  std::uint64_t gap_begin = at;
  bool closings = false;  // In the gap: most have none, and are not read again.
  for (at = NextBlock(window, summary, at); at < limit; at = NextBlock(window, summary, at)) {
    const Bytes front = window.At(at, std::min(kBlockBytes, limit - at));
    if (front.size() < kBatchHeaderBytes || LoadLe<std::uint32_t>(front.data()) != kBatchMagic) {
      closings = closings || HoldsClosing(front);
      at += kBlockBytes;
      continue;
    }
    const FileContext context = summary.Context(system);
    const Result<BatchHeader> header = DecodeBatchHeader(front, system, context, at);
    if (!header.ok()) {
      const bool own_life = LoadLe<std::uint64_t>(front.data() + 24) == summary.number;
      summary.torn_bytes = summary.torn_bytes || own_life;
      closings = closings || HoldsClosing(front);
      at += kBlockBytes;
      continue;
    }
    if (summary.life == 0) summary.life = header->life;
    if (header->boot < kNumberMax)
      summary.highest_boot = std::max(summary.highest_boot, header->boot);
    if (closings) FindClosings(window, system, summary, {gap_begin, at});
    const Bytes batch = window.At(at, header->batch_bytes);
    summary.batches.push_back({.number = header->number,
                               .offset = at,
                               .bytes = header->batch_bytes,
                               .durable_upto = header->durable_upto,
                               .previous_checksum = header->previous_checksum,
                               .checksum = header->checksum,
                               .flags = header->flags,
                               .header_ok = true,
                               .intact = BatchIntact(*header, batch, system, context, at)});
    summary.torn_bytes = false;
    at += header->batch_bytes;
    gap_begin = at;
    closings = false;
    summary.end_offset = at;
  }
  if (closings && summary.life != 0) FindClosings(window, system, summary, {gap_begin, limit});
  summary.bytes_read = window.bytes_read();
}

}  // namespace duramen::wal
