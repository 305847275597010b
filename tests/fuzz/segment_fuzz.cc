// A segment of hostile bytes. The first byte says how many of its containers are given right
// checksums (so that what is behind them is reached); the rest is the file. Whatever the scan lists
// can be planned, read and verified without a fault, and nothing is listed above the row's end.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "segments/reader.h"
#include "segments/scan.h"
#include "tests/segments/specimen.h"

namespace {

using namespace duramen;            // NOLINT
using namespace duramen::segments;  // NOLINT
using segments::testing::Identity;

void Seal(std::span<std::byte> bytes, std::size_t checksum_at, std::uint64_t seed) {
  const Bytes all(bytes);
  StoreLe(bytes.data() + checksum_at,
          Checksum(all.subspan(checksum_at + 8), Checksum(all.first(checksum_at), seed)));
}

/// Gives runs, tables and records the checksums that their bytes have.
void Repair(std::vector<std::byte>& file, int containers) {
  if (file.size() < kFileHeaderBytes) return;
  const auto life = LoadLe<std::uint64_t>(file.data() + 72);
  const FileContext context = FileContext::Of(Identity(), 1, life);
  Seal(std::span(file).first(kFileHeaderBytes), 16, SeedAt(context.seed, 0));
  std::size_t at = kFileHeaderBytes;
  for (; containers > 0 && at + kRunHeaderBytes <= file.size(); --containers) {
    std::byte* run = file.data() + at;
    const bool compressed = LoadLe<std::uint16_t>(run + 4) == kCompressedVersion;
    const std::uint64_t stored =
        compressed ? LoadLe<std::uint32_t>(run + 72) : LoadLe<std::uint64_t>(run + 72);
    const std::uint64_t records = std::min<std::uint64_t>(stored, 1 << 20);
    const std::uint32_t table = std::min<std::uint32_t>(LoadLe<std::uint32_t>(run + 68), 1 << 20);
    const std::size_t table_at = at + kRunHeaderBytes + records;
    if (table_at + table <= file.size()) {
      StoreLe(run + 88, ContentChecksum(Bytes(file).subspan(table_at, table), context, table_at));
    }
    if (compressed && table_at <= file.size()) {  // So that the block is unpacked.
      const std::size_t block_at = at + kRunHeaderBytes;
      StoreLe(run + 80, ContentChecksum(Bytes(file).subspan(block_at, records), context, block_at));
    }
    std::size_t record_at = compressed ? table_at : at + kRunHeaderBytes;
    while (record_at + kRecordHeaderBytes <= std::min(table_at, file.size())) {
      std::byte* record = file.data() + record_at;
      StoreLe(record,
              Checksum({record + 8, kRecordHeaderBytes - 8}, SeedAt(context.seed, record_at)));
      record_at += RecordBytes(LoadLe<std::uint32_t>(record + 32));
    }
    Seal({run, kRunHeaderBytes}, 8, SeedAt(context.seed, at));
    at = table_at + table + kRunHeaderBytes;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size) {
  if (size == 0) return 0;
  const Bytes all = std::as_bytes(std::span(input, size));
  auto file = std::make_shared<std::vector<std::byte>>(all.begin() + 1, all.end());
  if (input[0] > 0) Repair(*file, input[0] - 1);
  segments::testing::MemoryDirectory directory;
  directory.files[FileName(1)] = file;
  for (const bool with_row : {false, true}) {
    ScanRequest request{.directory = directory, .identity = Identity()};
    if (with_row) {
      request.authority = Flushed{.segment = 1, .bytes = file->size(), .end = 1000};
      request.begin = 1;
    }
    const Result<ScanResult> scan = ScanServer(request);
    if (!scan.ok()) continue;
    const IndexRange range = scan->list.Range();
    CHECK(!with_row || range.end <= 1000);
    CHECK(VerifyServer(request, scan->list).ok());
    OpenFiles files(directory);
    ReadEntries read;
    if (!range.empty())
      (void)ExecutePlan(PlanRange(scan->list, Identity(), range, 1 << 16), files, read);
    for (const SparseSummary& sparse : scan->list.sparse()) {
      const std::vector<Index> wanted{sparse.first, sparse.last};
      (void)ExecutePlan(PlanSparse(scan->list, Identity(), wanted, 1 << 16), files, read);
    }
  }
  return 0;
}
