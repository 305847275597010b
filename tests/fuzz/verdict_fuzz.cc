// The tail verdict over summaries that no honest WAL makes: it must end, and accept no batch that
// is not intact, linked and unique.
#include <vector>

#include "base/check.h"
#include "wal/verdict.h"

namespace {

/// Takes bytes from the front; zeros when there are no more.
class Source {
 public:
  Source(const std::uint8_t* bytes, std::size_t size) : bytes_(bytes), size_(size) {}
  std::uint8_t Byte() {
    if (size_ == 0) return 0;
    --size_;
    return *bytes_++;
  }
  /// Small numbers mostly; sometimes as large as a decoder lets through.
  std::uint64_t Number() {
    const std::uint8_t byte = Byte();
    if (byte < 240) return byte % 24;
    return ((std::uint64_t{1} << 62) >> (byte - 240)) + Byte() % 4 - 1;
  }
  bool Bit() { return (Byte() & 1) != 0; }

 private:
  const std::uint8_t* bytes_;
  std::size_t size_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size) {
  using namespace duramen::wal;
  Source source(input, size);
  std::vector<FileSummary> files(source.Byte() % 5);
  std::uint64_t number = 0;
  for (FileSummary& file : files) {
    file.number = number += 1 + source.Byte() % 3;
    file.size_bytes = 1 << 20;
    file.life = source.Byte() % 3;
    if (source.Bit()) {
      FileHeader header;
      header.number = file.number;
      header.life = file.life;
      header.predecessor_number = source.Number();
      header.predecessor_life = source.Byte() % 3;
      header.predecessor_end = source.Number();
      header.oldest_live = source.Number();
      header.first_batch = source.Number();
      header.durable_upto = source.Number();
      file.header = header;
    }
    const std::size_t batches = source.Byte() % 6;
    for (std::size_t i = 0; i < batches; ++i) {
      file.batches.push_back({.number = source.Number(),
                              .offset = kFirstBatchOffset + i * kBlockBytes,
                              .bytes = kBlockBytes,
                              .durable_upto = source.Number(),
                              .previous_checksum = source.Byte() % 8u,
                              .checksum = source.Byte() % 8u,
                              .header_ok = source.Bit(),
                              .intact = source.Bit()});
    }
    file.torn_bytes = source.Bit();
  }
  const TailVerdict verdict = JudgeTail(files);
  std::uint64_t last = 0;
  for (const JudgedBatch& batch : verdict.batches) {
    CHECK(batch.file < files.size());
    CHECK(batch.last_number >= batch.number);
    CHECK(batch.number >= last);
    last = batch.last_number;
  }
  return 0;
}
