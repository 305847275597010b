// Hostile run and record bytes. The first byte chooses: checksums as they are, or made right first,
// so that the fuzzer gets behind them.
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "wal/batch.h"

namespace {

/// Gives the frames of a packed run the checksums that their bytes have.
void SealFrames(std::vector<std::byte>& bytes, const duramen::wal::FileContext& context,
                const duramen::ServerUid& uid) {
  using namespace duramen;  // NOLINT
  std::size_t at = wal::kRunHeaderBytes;
  while (at + wal::kFrameHeaderBytes <= bytes.size()) {
    std::byte* frame = bytes.data() + at;
    const std::uint64_t packed_bytes = LoadLe<std::uint32_t>(frame + 16);
    const std::uint64_t body_at = at + wal::kFrameHeaderBytes;
    if (body_at + packed_bytes <= bytes.size()) {
      const Bytes body = Bytes(bytes).subspan(body_at, packed_bytes);
      StoreLe(frame + 8,
              Checksum(body, wal::RecordSeed(context.seed, wal::kBlockBytes + body_at, uid)));
    }
    StoreLe(frame, Checksum({frame + 8, wal::kFrameHeaderBytes - 8},
                            wal::RecordSeed(context.seed, wal::kBlockBytes + at, uid)));
    at += wal::FrameBytes(packed_bytes);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size) {
  using namespace duramen;
  if (size < 1 + wal::kRunHeaderBytes) return 0;
  const bool repair = (input[0] & 1) != 0;
  const Bytes rest = std::as_bytes(std::span(input, size)).subspan(1);
  std::vector<std::byte> bytes(rest.begin(), rest.end());
  const wal::FileContext context = wal::FileContext::Of(Uid128{}, 1, 5);
  const wal::RecordOwner owner;
  const std::uint64_t seed = SeedAt(context.seed, wal::kBlockBytes);
  if (repair) {
    StoreLe(bytes.data(), Checksum({bytes.data() + 8, wal::kRunSummaryBytes}, seed));
  }
  const Result<wal::RunHeader> run = wal::DecodeRunHeader(bytes, seed);
  if (!run.ok()) return 0;
  std::byte summary[wal::kRunSummaryBytes];
  wal::EncodeRunSummary(*run, summary);
  CHECK(wal::DecodeRunSummary(summary).value() == *run);
  const bool packed = (run->flags & wal::kRunPacked) != 0;
  if (repair && packed) SealFrames(bytes, context, owner.uid);
  if (repair && !packed) {
    std::size_t at = wal::kRunHeaderBytes;
    for (std::uint32_t i = 0; i < run->count && at + wal::kRecordHeaderBytes <= bytes.size(); ++i) {
      const std::uint64_t record = wal::RecordSeed(context.seed, wal::kBlockBytes + at, owner.uid);
      StoreLe(bytes.data() + at, Checksum({bytes.data() + at + 8, 16}, record));
      at += wal::RecordBytes(LoadLe<std::uint32_t>(bytes.data() + at + 16));
    }
  }
  const wal::RunView view{.header = *run,
                          .offset = wal::kBlockBytes,
                          .records = Bytes(bytes).subspan(wal::kRunHeaderBytes)};
  wal::RecordReader reader(view, context, owner);
  while (!reader.AtEnd() && reader.resumable()) {
    const Result<wal::RecordView> record = reader.Next();
    if (record.ok() && !packed) CHECK(record->payload.size() <= bytes.size());
  }
  return 0;
}
