// A good WAL file with bytes changed: the input is a list of {offset u16, value u8}. Whatever is
// read of it as good must be what was written there, and everything must end.
#include <algorithm>
#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "tests/wal/wal_image.h"
#include "wal/replay.h"

namespace duramen::wal {
namespace {

const testing::ImageBuilder& Specimen() {
  static const testing::ImageBuilder specimen = [] {
    testing::ImageBuilder image(1, 5);
    FileHeader header;
    header.first_batch = 1;
    image.Header(header);
    image.Next({{.log = 0, .first = 1, .payloads = {"one", "two", std::string(300, 'x')}},
                {.log = 1, .first = 7, .payloads = {"seven"}}});
    image.Next({{.log = 0, .kind = RunKind::kOverwrite, .first = 2, .term = 3, .payloads = {"2"}}});
    image.Next({{.log = 1, .kind = RunKind::kTruncateSuffix, .first = 7}});
    image.Next({{.log = 2, .first = 1, .payloads = {std::string(5000, 'y'), ""}}});
    return image;
  }();
  return specimen;
}

std::string PackedText(Index index) { return std::to_string(index) + std::string(500, 'p'); }

/// One packed run of two frames.
const testing::ImageBuilder& PackedSpecimen() {
  static const testing::ImageBuilder specimen = [] {
    testing::ImageBuilder image(1, 5, 1 << 20);
    image.packs = true;
    testing::RunSpec run{.log = 0, .first = 1};
    for (Index index = 1; index <= 700; ++index) run.payloads.push_back(PackedText(index));
    image.bytes.resize(image.Next({run}).end() + kBlockBytes);
    image.Header({.version = kPackedVersion, .system = {}, .first_batch = 1});
    return image;
  }();
  return specimen;
}

void CheckPackedRun(const RunView& run, const FileContext& context, const RecordOwner& owner) {
  RecordReader reader(run, context, owner);
  while (!reader.AtEnd() && reader.resumable()) {
    const Result<RecordView> record = reader.Next();
    CHECK(!record.ok() || AsText(record->payload) == PackedText(record->index));
  }
}

void CheckRun(const RunView& run, const FileContext& context, const RecordOwner& owner,
              const std::vector<std::byte>& good) {
  RecordReader reader(run, context, owner);
  while (!reader.AtEnd() && reader.resumable()) {
    const Result<RecordView> record = reader.Next();
    if (!record.ok()) continue;
    const auto at = good.begin() + static_cast<std::ptrdiff_t>(record->offset + kRecordHeaderBytes);
    CHECK(std::equal(record->payload.begin(), record->payload.end(), at));
  }
}

void Read(const std::vector<std::byte>& bytes, const FileSummary& summary, bool packed) {
  const SystemUuid system = testing::TestSystem();
  const FileContext context = summary.Context(system);
  SlotTable slots;
  Replay replay;
  for (const BatchSummary& batch : summary.batches) {
    const Bytes there = Bytes(bytes).subspan(batch.offset);
    BatchContents contents = ReadDamagedBatch(there, system, context, batch.offset, slots);
    if (batch.intact) {
      const BatchHeader header = *DecodeBatchHeader(there, system, context, batch.offset);
      contents = *ReadIntactBatch(header, there, context, batch.offset);
    }
    for (const Binding& binding : contents.bindings) {
      slots[binding.slot] = {binding.uid, binding.cluster_id};
    }
    for (const RunView& run : contents.runs) {
      const auto owner = slots.find(run.header.slot);
      if (owner == slots.end()) continue;
      if (packed) CheckPackedRun(run, context, owner->second);
      if (!packed) CheckRun(run, context, owner->second, Specimen().bytes);
      replay.OnRun(run, owner->second, summary.number);
    }
  }
}

}  // namespace
}  // namespace duramen::wal

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size) {
  using namespace duramen::wal;  // NOLINT
  for (const bool packed : {false, true}) {
    std::vector<std::byte> bytes = packed ? PackedSpecimen().bytes : Specimen().bytes;
    duramen::ByteReader patches(std::as_bytes(std::span(input, size)));
    while (patches.remaining() >= 3) {
      const std::size_t at = patches.Get<std::uint16_t>() % bytes.size();
      bytes[at] = patches.Get<std::byte>();
    }
    const FileSummary summary = testing::Scan(bytes, 1);
    const TailVerdict verdict = JudgeTail({&summary, 1});
    CHECK(verdict.chain.size() <= 1);
    Read(bytes, summary, packed);
  }
  return 0;
}
