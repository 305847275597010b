// A whole hostile WAL file: scan, verdict, and what can be read of every batch. The first byte
// says whether batch headers, bodies and file headers get right checksums first.
#include <algorithm>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "tests/wal/memory_file.h"
#include "wal/replay.h"
#include "wal/scan.h"
#include "wal/verdict.h"

namespace {

using namespace duramen;

/// Where a magic stands the checksum behind it is made right, from the inside out.
void Repair(std::vector<std::byte>& bytes) {
  Uid128 system;
  std::uint64_t life = 0;
  if (bytes.size() >= wal::kBlockBytes) {
    std::memcpy(system.bytes.data(), bytes.data() + 24, 16);
    life = LoadLe<std::uint64_t>(bytes.data() + 40);
    const std::uint64_t seed = SeedAt(FileSeed(system, FileKind::kWal, life), 0);
    const std::uint64_t front = Checksum({bytes.data(), 16}, seed);
    StoreLe(bytes.data() + 16, Checksum({bytes.data() + 24, wal::kBlockBytes - 24}, front));
  }
  const wal::FileContext context = wal::FileContext::Of(system, 1, life);
  for (std::size_t at = wal::kFirstBatchOffset; at + wal::kBlockBytes <= bytes.size();
       at += wal::kBlockBytes) {
    std::byte* batch = bytes.data() + at;
    if (LoadLe<std::uint32_t>(batch) != wal::kBatchMagic) continue;
    const std::uint64_t seed = SeedAt(context.seed, at);
    const auto closing = LoadLe<std::uint32_t>(batch + 68);
    if (closing >= wal::kBatchHeaderBytes && at + closing <= bytes.size()) {
      StoreLe(batch + 56,
              Checksum({batch + wal::kBatchHeaderBytes, closing - wal::kBatchHeaderBytes}, seed));
    }
    const std::uint64_t front = Checksum({batch, 8}, seed);
    StoreLe(batch + 8, Checksum({batch + 16, wal::kBatchHeaderBytes - 16}, front));
  }
}

void ReadAll(const wal::FileSummary& summary, const SystemUuid& system,
             const std::vector<std::byte>& bytes) {
  wal::Replay replay;
  wal::SlotTable slots;
  const wal::FileContext context = summary.Context(system);
  const wal::TailVerdict verdict = wal::JudgeTail({&summary, 1});
  for (const wal::JudgedBatch& judged : verdict.batches) {
    if (judged.offset > bytes.size()) continue;
    const Bytes batch = Bytes(bytes).subspan(
        judged.offset, std::min<std::uint64_t>(judged.bytes, bytes.size() - judged.offset));
    const wal::BatchContents contents =
        wal::ReadDamagedBatch(batch, system, context, judged.offset, slots);
    for (const wal::Binding& binding : contents.bindings) {
      slots[binding.slot] = {binding.uid, binding.cluster_id};
    }
    for (const wal::RunView& run : contents.runs) {
      const auto owner = slots.find(run.header.slot);
      if (owner == slots.end()) continue;
      replay.OnRun(run, owner->second, summary.number);
    }
    const auto header = wal::DecodeBatchHeader(batch, system, context, judged.offset);
    if (header.ok() && judged.intact) {
      (void)wal::ReadIntactBatch(*header, batch, context, judged.offset);
    }
  }
  replay.Finish();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size) {
  if (size < 2) return 0;
  const Bytes rest = std::as_bytes(std::span(input, size)).subspan(1);
  std::vector<std::byte> bytes(rest.begin(), rest.end());
  if ((input[0] & 1) != 0) Repair(bytes);
  SystemUuid system;
  if (bytes.size() >= 40) std::memcpy(system.bytes.data(), bytes.data() + 24, 16);
  const testing::MemoryFile file(bytes);
  wal::FileWindow window(file, bytes.size());
  wal::FileSummary summary = wal::ScanHeaders(window, 1, system);
  if (summary.unknown_version) return 0;
  wal::ScanBatches(window, system, summary);
  for (const wal::BatchSummary& batch : summary.batches) {
    if (batch.intact) CHECK(batch.offset + batch.bytes <= bytes.size());
  }
  ReadAll(summary, system, bytes);
  return 0;
}
