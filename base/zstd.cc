#include "base/zstd.h"

#include <zstd.h>

#include "base/check.h"

namespace duramen {
namespace {

constexpr int kLevel = 1;

void FreeCompressor(ZSTD_CCtx* context) { (void)ZSTD_freeCCtx(context); }
void FreeDecompressor(ZSTD_DCtx* context) { (void)ZSTD_freeDCtx(context); }

}  // namespace

ZstdCompressor::ZstdCompressor() : context_(nullptr, FreeCompressor) {}
ZstdCompressor::~ZstdCompressor() = default;
ZstdCompressor::ZstdCompressor(ZstdCompressor&&) noexcept = default;
ZstdCompressor& ZstdCompressor::operator=(ZstdCompressor&&) noexcept = default;

std::size_t ZstdCompressor::Compress(Bytes in, std::span<std::byte> out) {
  if (context_ == nullptr) context_.reset(ZSTD_createCCtx());
  if (context_ == nullptr) return 0;  // Without memory things are left as they are.
  const std::size_t size =
      ZSTD_compressCCtx(context_.get(), out.data(), out.size(), in.data(), in.size(), kLevel);
  return ZSTD_isError(size) != 0 ? 0 : size;
}

std::size_t ZstdCompressor::held_bytes() const {
  return context_ == nullptr ? 0 : ZSTD_sizeof_CCtx(context_.get());
}

bool ZstdHolds(Bytes in, std::uint64_t bytes) {
  // RFC 8878, 3.1.1.2: what a block becomes, and the bytes of one that repeats a byte.
  constexpr std::uint64_t kBlockMax = 128 << 10;
  constexpr std::uint64_t kBlockBytesMin = 4;
  return ZSTD_getFrameContentSize(in.data(), in.size()) == bytes &&
         bytes <= in.size() / kBlockBytesMin * kBlockMax &&
         ZSTD_findFrameCompressedSize(in.data(), in.size()) == in.size();
}

bool ZstdDecompress(Bytes in, std::span<std::byte> out) {
  thread_local std::unique_ptr<ZSTD_DCtx, void (*)(ZSTD_DCtx*)> context(ZSTD_createDCtx(),
                                                                        FreeDecompressor);
  CHECK(context != nullptr);
  const std::size_t size =
      ZSTD_decompressDCtx(context.get(), out.data(), out.size(), in.data(), in.size());
  return ZSTD_isError(size) == 0 && size == out.size();
}

}  // namespace duramen
