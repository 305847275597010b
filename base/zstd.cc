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

bool ZstdDecompress(Bytes in, std::span<std::byte> out) {
  thread_local std::unique_ptr<ZSTD_DCtx, void (*)(ZSTD_DCtx*)> context(ZSTD_createDCtx(),
                                                                        FreeDecompressor);
  CHECK(context != nullptr);
  const std::size_t size =
      ZSTD_decompressDCtx(context.get(), out.data(), out.size(), in.data(), in.size());
  return ZSTD_isError(size) == 0 && size == out.size();
}

}  // namespace duramen
