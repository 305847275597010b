// Hostile SYSTEM and IDENTITY files. Bit 0 of the first byte chooses which, bit 1 makes the
// checksums right first.
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "base/checksum.h"
#include "log/system_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size) {
  using namespace duramen;
  if (size == 0) return 0;
  const Bytes rest = std::as_bytes(std::span(input, size)).subspan(1);
  std::vector<std::byte> bytes(rest.begin(), rest.end());
  const bool identity = (input[0] & 1) != 0;
  for (std::size_t at = 0; (input[0] & 2) != 0 && at + 4096 <= bytes.size(); at += 4096) {
    Uid128 system;
    std::memcpy(system.bytes.data(), bytes.data() + at + 24, 16);
    const FileKind kind = identity ? FileKind::kIdentity : FileKind::kSystem;
    const std::uint64_t seed = SeedAt(FileSeed(system, kind, 0), at);
    StoreLe(bytes.data() + at + 16,
            Checksum({bytes.data() + at + 24, 4096 - 24}, Checksum({bytes.data() + at, 16}, seed)));
  }
  if (identity) {
    const auto file = log::DecodeIdentityFile(bytes);
    if (file.ok()) (void)log::EncodeIdentityFile(file->content);
    return 0;
  }
  const auto file = log::DecodeSystemFile(bytes);
  if (!file.ok()) return 0;
  const auto again = log::DecodeSystemFile(log::EncodeSystemFile(file->content));
  CHECK(again.ok() && again->content.wal_dirs == file->content.wal_dirs);
  CHECK(again->content.shards == file->content.shards);
  return 0;
}
