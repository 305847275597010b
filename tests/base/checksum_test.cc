// Rule C1: no field of an entry's identity and no place of a container can change unnoticed.
#include "base/checksum.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/rng.h"

namespace duramen {
namespace {

constexpr EntryIdentity kIdentity{.cluster_id = 11, .term = 12, .index = 13, .kind = 200};

TEST(EntryChecksum, C1_EveryBitOfEveryIdentityFieldCounts) {
  const std::string payload = "enqueue an order";
  std::set<std::uint64_t> seen = {EntryChecksum(kIdentity, AsBytes(payload))};
  std::size_t changes = 1;
  const auto add = [&](const EntryIdentity& identity) {
    seen.insert(EntryChecksum(identity, AsBytes(payload)));
    ++changes;
  };
  for (int bit = 0; bit < 64; ++bit) {
    EntryIdentity changed = kIdentity;
    changed.cluster_id ^= 1ULL << bit;
    add(changed);
    changed = kIdentity;
    changed.term ^= 1ULL << bit;
    add(changed);
    changed = kIdentity;
    changed.index ^= 1ULL << bit;
    add(changed);
  }
  for (int bit = 0; bit < 8; ++bit) {
    EntryIdentity changed = kIdentity;
    changed.kind = static_cast<std::uint8_t>(changed.kind ^ 1 << bit);
    add(changed);
  }
  EXPECT_EQ(seen.size(), changes);
}

TEST(EntryChecksum, C1_FieldsDoNotStandForEachOther) {
  // A small grid of neighbours: swapped or shifted fields must not collide.
  std::set<std::uint64_t> seen;
  std::size_t entries = 0;
  for (std::uint64_t cluster = 0; cluster < 8; ++cluster) {
    for (std::uint64_t term = 0; term < 8; ++term) {
      for (std::uint64_t index = 0; index < 8; ++index) {
        for (std::uint8_t kind = 0; kind < 8; ++kind) {
          for (std::size_t size = 0; size < 8; ++size) {
            const std::vector<std::byte> payload(size);
            seen.insert(EntryChecksum({cluster, term, index, kind}, payload));
            ++entries;
          }
        }
      }
    }
  }
  EXPECT_EQ(seen.size(), entries);
}

TEST(EntryChecksum, C1_EveryPayloadBitAndTheLengthCount) {
  for (const std::size_t size : {1, 3, 8, 16, 17, 128, 129, 240, 241, 1024, 5000}) {
    std::vector<std::byte> payload(size, std::byte{0x5A});
    std::set<std::uint64_t> seen = {EntryChecksum(kIdentity, payload)};
    for (std::size_t at = 0; at < size; ++at) {
      payload[at] ^= std::byte{1};
      seen.insert(EntryChecksum(kIdentity, payload));
      payload[at] ^= std::byte{1};
    }
    EXPECT_EQ(seen.size(), size + 1);
    // Zeros at the end are bytes too.
    std::vector<std::byte> longer = payload;
    longer.push_back(std::byte{0});
    EXPECT_NE(EntryChecksum(kIdentity, payload), EntryChecksum(kIdentity, longer));
  }
}

TEST(EntryChecksum, ItsValuesAreAFormat) {
  // Written down once. A change of these numbers makes every stored entry unreadable.
  EXPECT_EQ(EntryChecksum({}, {}), 5288231584382360749ULL);
  EXPECT_EQ(EntryChecksum(kIdentity, AsBytes("enqueue an order")), 7597224364306013814ULL);
  EXPECT_EQ(Checksum(AsBytes("duramen"), 7), 14917344406365695943ULL);
  SystemUuid system;
  system.bytes[0] = 1;
  EXPECT_EQ(SeedAt(FileSeed(system, FileKind::kWal, 9), 4096), 12370436958379993538ULL);
}

TEST(Checksum, C1_SystemKindLifeAndPlaceAreInTheSeed) {
  Rng rng(3);
  const SystemUuid system = rng.NextUid();
  std::set<std::uint64_t> seeds;
  std::size_t places = 0;
  for (const SystemUuid& uuid : {system, rng.NextUid()}) {
    for (const FileKind kind : {FileKind::kSystem, FileKind::kWal, FileKind::kIdentity}) {
      for (std::uint64_t life = 1; life <= 5; ++life) {
        for (std::uint64_t offset = 0; offset < 20 * 4096; offset += 4096) {
          seeds.insert(SeedAt(FileSeed(uuid, kind, life), offset));
          ++places;
        }
      }
    }
  }
  EXPECT_EQ(seeds.size(), places);
  EXPECT_NE(Checksum(AsBytes("x"), 1), Checksum(AsBytes("x"), 2));
  EXPECT_NE(Checksum({}, 1), Checksum({}, 2));
}

}  // namespace
}  // namespace duramen
