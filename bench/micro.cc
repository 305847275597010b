// The parts of the write and read path one by one, under Google Benchmark: nanoseconds per entry,
// and what limits them. What a whole store does `duramen bench` says.
#include <benchmark/benchmark.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/checksum.h"
#include "base/ring.h"
#include "base/rng.h"
#include "base/shared_memory.h"
#include "memtable/arena.h"
#include "memtable/block_pool.h"
#include "memtable/mem_table.h"
#include "segments/blocks.h"
#include "wal/batch.h"
#include "wal/landed.h"

namespace duramen {
namespace {

constexpr std::uint64_t kBudgetBytes = 1 << 30;
constexpr std::uint8_t kKind = 128;

std::vector<std::byte> RandomBytes(std::size_t size) {
  Rng rng(1);
  std::vector<std::byte> bytes(size);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(rng.Below(256));
  return bytes;
}

void CountEntries(benchmark::State& state, std::uint64_t entries, std::size_t bytes) {
  state.SetItemsProcessed(static_cast<std::int64_t>(entries));
  state.SetBytesProcessed(static_cast<std::int64_t>(entries * bytes));
}

void BM_EntryChecksum(benchmark::State& state) {
  const std::vector<std::byte> payload = RandomBytes(static_cast<std::size_t>(state.range(0)));
  Index index = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(EntryChecksum({1, 1, ++index, kKind}, payload));
  }
  CountEntries(state, index, payload.size());
}
BENCHMARK(BM_EntryChecksum)->Arg(64)->Arg(256)->Arg(4096)->Arg(65536);

void BM_RingPushAndRelease(benchmark::State& state) {
  constexpr std::uint32_t kRecords = 16384;
  SharedMemory memory = SharedMemory::Anonymous(RingBytes(kRecords)).value();
  RingCreate(memory.bytes(), kRecords);
  RingProducer producer = RingProducer::Attach(memory.bytes()).value();
  RingConsumer consumer = RingConsumer::Attach(memory.bytes()).value();
  const auto group = static_cast<std::size_t>(state.range(0));
  const std::vector<std::byte> records(group * kRingRecordBytes);
  std::byte record[kRingRecordBytes];
  std::uint64_t pushed = 0;
  for (auto _ : state) {
    const std::uint64_t last = producer.Push(records).value();
    for (std::uint64_t at = last - group + 1; at <= last; ++at) consumer.Copy(at, record);
    consumer.Release(last);
    pushed += group;
  }
  CountEntries(state, pushed, kRingRecordBytes);
}
BENCHMARK(BM_RingPushAndRelease)->Arg(1)->Arg(10)->Arg(100);

/// 1,000 runs of 10 entries, as the WAL encodes them: copy, and verify over the copy.
void BM_EncodeBatch(benchmark::State& state) {
  constexpr std::uint32_t kRuns = 800;
  constexpr std::uint32_t kPerRun = 10;
  const std::vector<std::byte> payload = RandomBytes(static_cast<std::size_t>(state.range(0)));
  const std::uint64_t record_bytes = wal::RecordBytes(payload.size()) * kRuns * kPerRun;
  std::vector<std::byte> buffer(wal::BatchBytes(record_bytes, kRuns, 0));
  const wal::FileContext context = wal::FileContext::Of({}, 1, 11);
  std::vector<std::uint64_t> checksums;
  for (Index index = 1; index <= kPerRun; ++index) {
    checksums.push_back(EntryChecksum({1, 1, index, kKind}, payload));
  }
  std::uint64_t entries = 0;
  for (auto _ : state) {
    wal::BatchEncoder encoder(context, wal::kFirstBatchOffset, buffer);
    for (std::uint32_t run = 0; run < kRuns; ++run) {
      encoder.BeginRun({.slot = run, .first = 1, .term = 1}, {});
      for (Index index = 1; index <= kPerRun; ++index) {
        const bool good =
            encoder.AddRecord({.identity = {1, 1, index, kKind},
                               .payload = payload.data(),
                               .payload_bytes = static_cast<std::uint32_t>(payload.size()),
                               .entry_checksum = checksums[index - 1]});
        if (!good) state.SkipWithError("a checksum differs");
      }
      (void)encoder.EndRun();
    }
    wal::BatchHeader header;
    benchmark::DoNotOptimize(encoder.Finish(header));
    entries += kRuns * kPerRun;
  }
  CountEntries(state, entries, payload.size());
}
BENCHMARK(BM_EncodeBatch)->Arg(64)->Arg(256)->Arg(4096);

/// Commands as services write them, of about 256 bytes; or noise.
std::vector<std::byte> Command(Rng& rng, bool noise) {
  if (noise) {
    std::vector<std::byte> bytes(256);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(rng.Next());
    return bytes;
  }
  const auto number = [&](std::uint64_t below) { return std::to_string(rng.Below(below)); };
  const std::string text = R"({"command":"transfer","id":")" + number(UINT64_MAX) +
                           R"(","from":"account-)" + number(100'000) + R"(","to":"account-)" +
                           number(100'000) + R"(","amount":)" + number(1'000'000) +
                           R"(,"currency":"EUR","at":"2026-11-22T18:)" + number(60) + ":" +
                           number(60) + R"(Z","trace":")" + number(UINT64_MAX) +
                           R"(","retries":0,"note":"settled by batch )" + number(1000) + "\"}";
  const auto* bytes = reinterpret_cast<const std::byte*>(text.data());
  return {bytes, bytes + text.size()};
}

/// One run of `range(0)` commands, encoded and packed (range(2) = 1) or not.
void BM_PackRun(benchmark::State& state) {
  Rng rng(1);
  std::vector<std::vector<std::byte>> payloads;
  std::vector<std::uint64_t> checksums;
  std::uint64_t record_bytes = 0;
  for (Index index = 1; index <= static_cast<Index>(state.range(0)); ++index) {
    payloads.push_back(Command(rng, state.range(1) != 0));
    checksums.push_back(EntryChecksum({1, 1, index, kKind}, payloads.back()));
    record_bytes += wal::RecordBytes(payloads.back().size());
  }
  std::vector<std::byte> buffer(wal::BatchBytes(record_bytes, 1, 0));
  const wal::FileContext context = wal::FileContext::Of({}, 1, 11);
  wal::RunPacker packer;
  std::uint64_t entries = 0;
  for (auto _ : state) {
    wal::BatchEncoder encoder(context, wal::kFirstBatchOffset, buffer);
    if (state.range(2) != 0) encoder.PackWith(packer);
    encoder.BeginRun({.slot = 1, .first = 1, .term = 1}, {});
    for (std::size_t i = 0; i < payloads.size(); ++i) {
      const bool good =
          encoder.AddRecord({.identity = {1, 1, i + 1, kKind},
                             .payload = payloads[i].data(),
                             .payload_bytes = static_cast<std::uint32_t>(payloads[i].size()),
                             .entry_checksum = checksums[i]});
      if (!good) state.SkipWithError("a checksum differs");
    }
    (void)encoder.EndRun();
    wal::BatchHeader header;
    benchmark::DoNotOptimize(encoder.Finish(header));
    entries += payloads.size();
  }
  CountEntries(state, entries, record_bytes / payloads.size());
  if (packer.packed_from_bytes() == 0) return;
  state.counters["left"] = static_cast<double>(packer.packed_to_bytes()) /
                           static_cast<double>(packer.packed_from_bytes());
}
BENCHMARK(BM_PackRun)->ArgsProduct({{16, 64, 1024}, {0, 1}, {0, 1}});

/// A block of a segment, by its size in KiB: what packing costs, or unpacking (range(2) = 1).
void BM_SegmentBlock(benchmark::State& state) {
  Rng rng(1);
  std::vector<std::byte> records;
  while (records.size() < static_cast<std::size_t>(state.range(0)) << 10) {
    std::vector<std::byte> one = Command(rng, state.range(1) != 0);
    one.resize(segments::RecordBytes(one.size()));
    records.insert(records.end(), one.begin(), one.end());
  }
  records.resize(static_cast<std::size_t>(state.range(0)) << 10);
  segments::BlockPacker packer;
  const Bytes packed = packer.Pack(records);
  const segments::FileContext context{.number = 1, .life = 2, .seed = 3};
  segments::RunHeader run{.count = 2, .compression = Compression::kZstd};
  run.records_bytes = packed.size();
  run.raw_bytes = records.size();
  run.records_checksum = segments::ContentChecksum(packed, context, segments::RecordsOffset(0));
  for (auto _ : state) {
    if (state.range(2) == 0) {
      benchmark::DoNotOptimize(packer.Pack(records));
    } else {
      benchmark::DoNotOptimize(segments::Unpack(packed, run, context, 0));
    }
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(records.size()));
  const double left = packed.empty() ? 1 : static_cast<double>(packed.size());
  state.counters["left"] = packed.empty() ? 1 : left / static_cast<double>(records.size());
}
BENCHMARK(BM_SegmentBlock)->ArgsProduct({{4, 16, 64, 256}, {0}, {0, 1}})->Args({256, 1, 0});

void BM_ArenaStore(benchmark::State& state) {
  MemoryBudget budget(kBudgetBytes, 0);
  memtable::Arena arena(budget, {});
  const std::vector<std::byte> payload = RandomBytes(static_cast<std::size_t>(state.range(0)));
  std::uint64_t stored = 0;
  for (auto _ : state) {
    const memtable::ArenaSpan span = arena.Store(1, payload, BudgetUse::kEntries).value();
    arena.NotePosition(span.chunk, ++stored);
    if (stored % 8192 != 0) continue;
    arena.NoteDurable(stored, 1);
    (void)arena.Free({.recycled_file = 1});
  }
  arena.NoteDurable(stored, 1);
  (void)arena.Free({.recycled_file = 1});
  CountEntries(state, stored, payload.size());
}
BENCHMARK(BM_ArenaStore)->Arg(64)->Arg(256)->Arg(4096);

/// Appends to one table of many, and the floor follows.
void BM_MemTableAppend(benchmark::State& state) {
  MemoryBudget budget(kBudgetBytes, 0);
  memtable::BlockPool pool(budget);
  memtable::MemTable table(pool);
  const auto group = static_cast<std::size_t>(state.range(0));
  const std::vector<memtable::Slot> slots(group, {1, 0, 256, kKind});
  Index next = 1;
  for (auto _ : state) {
    const memtable::TermRun term{next, 1};
    if (!table.Append(next, slots, {&term, 1}).ok()) state.SkipWithError("no memory");
    next += group;
    if (next % 1024 < group) table.CutPrefix(next - group);
  }
  CountEntries(state, next, 0);
}
BENCHMARK(BM_MemTableAppend)->Arg(1)->Arg(10)->Arg(100);

void BM_MemTableLocate(benchmark::State& state) {
  constexpr Index kEntries = 100'000;
  MemoryBudget budget(kBudgetBytes, 0);
  memtable::BlockPool pool(budget);
  memtable::MemTable table(pool);
  const std::vector<memtable::Slot> slots(kEntries, {1, 0, 256, kKind});
  const memtable::TermRun term{1, 1};
  if (!table.Append(1, slots, {&term, 1}).ok()) state.SkipWithError("no memory");
  Rng rng(2);
  memtable::EntryLocation location;
  for (auto _ : state) {
    const Index index = 1 + rng.Below(kEntries);
    benchmark::DoNotOptimize(table.Locate({index, index + 1}, {&location, 1}));
  }
}
BENCHMARK(BM_MemTableLocate);

/// One run a log and batch, floors following.
void BM_LandedApply(benchmark::State& state) {
  constexpr std::uint32_t kLogs = 1000;
  wal::LandedIndex landed;
  using Kind = wal::LandedIndex::Change::Kind;
  std::vector<wal::LandedIndex::Change> changes;
  Index first = 1;
  std::uint64_t runs = 0;
  for (auto _ : state) {
    changes.clear();
    for (std::uint32_t slot = 0; slot < kLogs; ++slot) {
      changes.push_back({Kind::kAdd, slot, 0, {.file = 1, .first = first, .count = 10, .term = 1}});
      if (first % 1000 == 1) changes.push_back({Kind::kFloor, slot, first, {}});
    }
    landed.Apply(changes);
    first += 10;
    runs += kLogs;
  }
  CountEntries(state, runs, 0);
}
BENCHMARK(BM_LandedApply);

}  // namespace
}  // namespace duramen

BENCHMARK_MAIN();
