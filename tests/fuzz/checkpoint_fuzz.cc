// Hostile checkpoints. Of the first byte bit 0 makes the checksums of the header copies right first
// and bit 1 those of the record headers, payloads and directory blocks that the header then names,
// so that a fuzzer gets past them. What decodes as whole must encode to a checkpoint that says the
// same.
#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "base/checksum.h"
#include "meta/checkpoint.h"
#include "meta/checkpoint_server.h"

namespace {

using namespace duramen;

constexpr std::size_t kBlock = meta::kCheckpointBlockBytes;

void RepairHeader(std::vector<std::byte>& bytes, std::size_t at) {
  std::memset(bytes.data() + at + 24, 0, 16);  // The system of this target.
  const auto sequence = LoadLe<std::uint64_t>(bytes.data() + at + 40);
  const std::uint64_t seed = SeedAt(FileSeed({}, FileKind::kCheckpoint, sequence), at);
  StoreLe(bytes.data() + at + 16,
          Checksum({bytes.data() + at + 24, kBlock - 24}, Checksum({bytes.data() + at, 16}, seed)));
}

void RepairBody(std::vector<std::byte>& bytes) {
  const auto directory = LoadLe<std::uint64_t>(bytes.data() + 104);
  const std::uint64_t seed =
      FileSeed({}, FileKind::kCheckpoint, LoadLe<std::uint64_t>(bytes.data() + 120));
  std::size_t at = 2 * kBlock;
  while (at + 40 <= std::min<std::uint64_t>(bytes.size(), directory)) {
    const auto length = LoadLe<std::uint64_t>(bytes.data() + at + 16);
    if (length > bytes.size() - at - 40) break;
    StoreLe(bytes.data() + at + 24,
            Checksum({bytes.data() + at + 40, length}, SeedAt(seed, at + 40)));
    StoreLe(bytes.data() + at + 32, Checksum({bytes.data() + at, 32}, SeedAt(seed, at)));
    at += 40 + length;
  }
  for (std::uint64_t block = directory; block < bytes.size() && bytes.size() - block >= kBlock;
       block += kBlock) {
    StoreLe(bytes.data() + block,
            Checksum({bytes.data() + block + 8, kBlock - 8}, SeedAt(seed, block)));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size) {
  if (size == 0) return 0;
  const Bytes rest = std::as_bytes(std::span(input, size)).subspan(1);
  std::vector<std::byte> bytes(rest.begin(), rest.end());
  for (std::size_t copy = 0; (input[0] & 1) != 0 && copy < 2; ++copy) {
    if (bytes.size() >= (copy + 1) * kBlock) RepairHeader(bytes, copy * kBlock);
  }
  if ((input[0] & 2) != 0 && bytes.size() >= 2 * kBlock) RepairBody(bytes);
  (void)meta::CheckpointBytes(bytes, {});
  const auto found = meta::DecodeCheckpoint(bytes, {});
  // Rows on their own: what decodes has one encoding.
  const auto rows = meta::DecodeServerRows({}, bytes, 1);
  if (rows.ok()) {
    std::vector<std::byte> again;
    meta::AppendServerRows({}, *rows, again);
    CHECK(again == bytes);
  }
  if (!found.ok() || found->sequence == 0) return 0;
  const std::vector<std::byte> encoded =
      meta::EncodeCheckpoint({}, {.sequence = found->sequence,
                                  .covers = found->covers,
                                  .created_unix_ms = found->created_unix_ms,
                                  .highest_incarnation = found->highest_incarnation,
                                  .servers = found->servers});
  const auto again = meta::DecodeCheckpoint(encoded, {});
  CHECK(again.ok() && again->whole() && again->damage.empty());
  CHECK(again->covers == found->covers && again->servers.size() == found->servers.size());
  return 0;
}
