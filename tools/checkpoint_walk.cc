#include "tools/checkpoint_walk.h"

#include <algorithm>
#include <cstring>

#include "base/bytes.h"
#include "base/try.h"
#include "segments/run_walk.h"

namespace duramen::tools {
namespace {

constexpr std::uint64_t kMagic = 0x3150'4B43'4152'5544ULL;  // "DURACKP1"
constexpr std::size_t kSystemAt = 24;
constexpr std::size_t kRecordHeaderBytes = 40;

/// Records stand one behind the other; where one says nothing sensible the rest has no place.
std::map<ServerUid, std::uint64_t> Places(Bytes bytes, const meta::DecodedCheckpoint& content) {
  std::map<ServerUid, std::uint64_t> places;
  std::uint64_t at = meta::kCheckpointHeaderBytes;
  while (at + kRecordHeaderBytes <= bytes.size() && places.size() < content.servers.size()) {
    Uid128 uid;
    std::memcpy(uid.bytes.data(), bytes.data() + at, uid.bytes.size());
    const auto length = LoadLe<std::uint64_t>(bytes.data() + at + 16);
    if (length > bytes.size() - at - kRecordHeaderBytes) break;
    const auto known = std::ranges::find(content.servers, ServerUid{uid},
                                         [](const auto& server) { return server.uid; });
    if (known != content.servers.end()) places[ServerUid{uid}] = at;
    at += kRecordHeaderBytes + length;
  }
  return places;
}

}  // namespace

SystemUuid SystemOfCheckpoint(Bytes front) {
  for (std::size_t at = 0; at < meta::kCheckpointHeaderBytes; at += meta::kCheckpointBlockBytes) {
    if (front.size() < at + kSystemAt + 16) break;
    if (LoadLe<std::uint64_t>(front.data() + at) != kMagic) continue;
    SystemUuid system;
    std::memcpy(system.bytes.data(), front.data() + at + kSystemAt, system.bytes.size());
    return system;
  }
  return {};
}

Result<CheckpointImage> ReadCheckpointImage(const File& file, const SystemUuid& system) {
  const std::vector<std::byte> header =
      TRY(segments::ReadUpTo(file, 0, meta::kCheckpointHeaderBytes));
  const std::uint64_t size = TRY(meta::CheckpointBytes(header, system));
  const std::uint64_t there = TRY(file.SizeBytes());
  const std::vector<std::byte> bytes = TRY(segments::ReadUpTo(file, 0, std::min(size, there)));
  CheckpointImage image;
  image.content = TRY(meta::DecodeCheckpoint(bytes, system));
  image.offsets = Places(bytes, image.content);
  return image;
}

std::vector<CheckpointRow> RowsOf(const meta::ServerRows& rows) {
  std::vector<CheckpointRow> all;
  const auto add = [&](const meta::Row& row) {
    const meta::RowStamp& stamp = rows.stamp(meta::KindOf(row));
    if (stamp.present()) all.push_back({stamp.sequence, row});
  };
  add(rows.identity);
  add(rows.vote);
  add(rows.last_applied);
  add(rows.bounds);
  for (const auto& [key, value] : rows.values) {
    all.push_back({value.stamp.sequence, meta::ValueRow{key, value.value}});
  }
  add(rows.faulty);
  add(meta::TombstoneRow{});
  add(rows.flushed);
  return all;
}

}  // namespace duramen::tools
