// Hostile closings; the first byte says whether the checksum is made right first.
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "wal/batch.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size) {
  using namespace duramen;
  if (size < 1 + wal::kClosingHeaderBytes) return 0;
  const Bytes rest = std::as_bytes(std::span(input, size)).subspan(1);
  std::vector<std::byte> bytes(rest.begin(), rest.end());
  const std::uint64_t offset = 16 * wal::kBlockBytes;
  const wal::FileContext context = wal::FileContext::Of(Uid128{}, 1, 5);
  if ((input[0] & 1) != 0) {
    StoreLe(bytes.data() + 16, context.life);
    StoreLe(bytes.data() + 24, context.number);
    const std::uint64_t length = std::uint64_t{LoadLe<std::uint32_t>(bytes.data() + 56)} -
                                 LoadLe<std::uint32_t>(bytes.data() + 60);
    if (length >= wal::kClosingHeaderBytes && length <= bytes.size()) {
      const std::uint64_t front = Checksum({bytes.data(), 8}, SeedAt(context.seed, offset));
      StoreLe(bytes.data() + 8, Checksum({bytes.data() + 16, length - 16}, front));
    }
  }
  const Result<wal::ClosingHeader> closing = wal::DecodeClosing(bytes, Uid128{}, context, offset);
  if (!closing.ok()) return 0;
  CHECK(closing->batch_bytes - closing->closing_offset <= bytes.size());
  CHECK(wal::ClosingBytes(closing->run_count, closing->binding_count) <= bytes.size());
  return 0;
}
