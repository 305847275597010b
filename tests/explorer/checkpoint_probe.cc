#include "tests/explorer/checkpoint_probe.h"

#include <cstring>
#include <string>
#include <vector>

#include "meta/checkpoint_files.h"
#include "tests/explorer/subject.h"

namespace duramen::explorer {
namespace {

constexpr std::size_t kUuidAt = 24;  // in a header of meta/FORMAT.md
constexpr std::uint64_t kFirstPayload = meta::kCheckpointHeaderBytes + 40;

// The checkpoint in a file, if it is whole.
std::optional<meta::DecodedCheckpoint> WholeIn(const sim::Image& image, sim::Node node) {
  if (node == 0) return std::nullopt;
  std::vector<std::byte> bytes(image.content(node).size_bytes());
  image.content(node).Read(0, bytes);
  if (bytes.size() < meta::kCheckpointHeaderBytes) return std::nullopt;
  SystemUuid system;
  std::memcpy(system.bytes.data(), bytes.data() + kUuidAt, system.bytes.size());
  Result<meta::DecodedCheckpoint> content = meta::DecodeCheckpoint(bytes, system);
  if (!content.ok() || !content->damage.empty()) return std::nullopt;
  return std::move(*content);
}

}  // namespace

std::optional<sim::Image> WithoutNewestRow(const sim::Image& image) {
  const std::string meta = std::string(kDataDir) + "/meta/";
  const sim::Node a = image.FindPath(meta + meta::kCheckpointNames[0]);
  const sim::Node b = image.FindPath(meta + meta::kCheckpointNames[1]);
  const auto in_a = WholeIn(image, a);
  const auto in_b = WholeIn(image, b);
  if (!in_a || !in_b) return std::nullopt;
  const bool a_is_newer = in_a->sequence > in_b->sequence;
  if ((a_is_newer ? in_a : in_b)->servers.empty()) return std::nullopt;
  sim::Image damaged = image;
  sim::FileContent& content = damaged.MutableContent(a_is_newer ? a : b);
  std::byte byte{};
  content.Read(kFirstPayload, {&byte, 1});
  byte ^= std::byte{0x10};
  content.Write(kFirstPayload, {&byte, 1});
  return damaged;
}

}  // namespace duramen::explorer
