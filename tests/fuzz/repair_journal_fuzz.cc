// Hostile journals of repairs and PENDING files. Bit 0 of the first byte chooses which, bit 1 makes
// the checksum right first. What decodes has one encoding, and stays below its roots.
#include <algorithm>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "base/checksum.h"
#include "log/repair_format.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size) {
  using namespace duramen;
  if (size == 0) return 0;
  const Bytes rest = std::as_bytes(std::span(input, size)).subspan(1);
  std::vector<std::byte> bytes(rest.begin(), rest.end());
  if ((input[0] & 2) != 0 && bytes.size() >= 24) {
    const std::uint64_t seed = FileSeed({}, FileKind::kRepair, 0);
    StoreLe(bytes.data() + 16,
            Checksum(Bytes(bytes).subspan(24), Checksum(Bytes(bytes).first(16), seed)));
  }
  if ((input[0] & 1) != 0) {
    const auto pending = log::DecodePendingRepair(bytes);
    if (!pending.ok()) return 0;
    CHECK(log::IsRepairId(pending->id));
    CHECK(log::DecodePendingRepair(log::EncodePendingRepair(*pending)).value() == *pending);
    return 0;
  }
  const auto record = log::DecodeRepairRecord(bytes);
  if (!record.ok()) return 0;
  for (const log::RepairStep& step : record->steps) {
    CHECK(log::IsRepairPath(step.path) && step.path.front() != '/');
    CHECK(step.root == 0 || (step.root == 1 && !record->wal_dir.empty()));
  }
  CHECK(log::DecodeRepairRecord(log::EncodeRepairRecord(*record)).value() == *record);
  return 0;
}
