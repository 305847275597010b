#include "server/entry.h"

#include <array>
#include <string>
#include <utility>

#include "base/bytes.h"
#include "base/try.h"

namespace duramen::server {
namespace {

void PutConfiguration(ByteWriter& writer, const core::Configuration& configuration) {
  writer.Put(static_cast<std::uint16_t>(configuration.members.size()));
  for (const core::Member& member : configuration.members) {
    writer.Put(member.uid.bytes);
    writer.Put(static_cast<std::uint8_t>(member.role));
    writer.Put(member.promote_at);
    writer.PutString(member.node);
  }
}

core::Configuration GetConfiguration(ByteReader& reader) {
  core::Configuration configuration;
  const auto count = reader.Get<std::uint16_t>();
  for (std::uint16_t at = 0; at < count && at <= core::kMembersMax && reader.ok(); ++at) {
    core::Member member;
    member.uid.bytes = reader.Get<std::array<std::uint8_t, 16>>();
    member.role = static_cast<core::MemberRole>(reader.Get<std::uint8_t>());
    member.promote_at = reader.Get<Index>();
    member.node = reader.GetString();
    configuration.members.push_back(std::move(member));
  }
  return configuration;
}

Error Corrupt(std::string what) {
  return {ErrorCode::kCorruption, std::move(what),
          "the bytes passed their checksum, so a newer or a wrong writer made them"};
}

}  // namespace

Payload EncodeSpecial(const core::SpecialEntry& special) {
  Payload payload{.kind = special.configuration ? kMembersKind : kVersionKind};
  ByteWriter writer(payload.bytes);
  if (special.configuration) {
    PutConfiguration(writer, *special.configuration);
  } else {
    writer.Put(special.machine_version);
  }
  return payload;
}

Result<core::SpecialEntry> DecodeSpecial(Index index, std::uint8_t kind, Bytes bytes) {
  ByteReader reader(bytes);
  core::SpecialEntry special{.index = index};
  if (kind == kMembersKind) {
    special.configuration = GetConfiguration(reader);
    if (reader.AtEnd() && special.configuration->IsValid()) return special;
  } else if (kind == kVersionKind) {
    special.machine_version = reader.Get<std::uint32_t>();
    if (reader.AtEnd()) return special;
  }
  return Corrupt("entry " + std::to_string(index) + " of kind " + std::to_string(kind) +
                 " is no configuration and no machine version");
}

bool Agrees(const core::AppendEntries& append, const std::vector<Payload>& payloads) {
  const Index begin = append.previous.index + 1;
  if (payloads.size() != append.end() - begin) return false;
  auto special = append.specials.begin();
  for (Index index = begin; index < append.end(); ++index) {
    const Payload& payload = payloads[index - begin];
    const bool said = special != append.specials.end() && special->index == index;
    if (said != (payload.kind != kCommandKind)) return false;
    if (!said) continue;
    const Result<core::SpecialEntry> decoded = DecodeSpecial(index, payload.kind, payload.bytes);
    if (!decoded.ok() || !(*decoded == *special)) return false;
    ++special;
  }
  return true;
}

std::vector<std::byte> EncodeBirth(const Birth& birth) {
  std::vector<std::byte> bytes;
  ByteWriter writer(bytes);
  writer.Put(birth.cluster);
  writer.Put(birth.machine_version);
  PutConfiguration(writer, birth.configuration);
  return bytes;
}

Result<Birth> DecodeBirth(Bytes bytes) {
  ByteReader reader(bytes);
  Birth birth{.cluster = reader.Get<ClusterId>(),
              .configuration = {},
              .machine_version = reader.Get<std::uint32_t>()};
  birth.configuration = GetConfiguration(reader);
  if (!reader.AtEnd() || !birth.configuration.IsValid()) {
    return Corrupt("the row that says which cluster a server belongs to cannot be read");
  }
  return birth;
}

/// birth u32 length and bytes | machine, to the end
std::string EncodeInvitation(const Invitation& invitation) {
  const std::vector<std::byte> birth = EncodeBirth(invitation.birth);
  std::vector<std::byte> bytes;
  ByteWriter writer(bytes);
  writer.Put(static_cast<std::uint32_t>(birth.size()));
  writer.PutBytes(birth);
  writer.PutBytes(AsBytes(invitation.machine));
  return std::string(AsText(bytes));
}

Result<Invitation> DecodeInvitation(std::string_view text) {
  const Bytes bytes = AsBytes(text);
  ByteReader reader(bytes);
  const auto length = reader.Get<std::uint32_t>();
  if (!reader.ok() || length > bytes.size() - sizeof length) {
    return Error{ErrorCode::kCorruption, "an invitation is too short", ""};
  }
  const Birth birth = TRY(DecodeBirth(bytes.subspan(sizeof length, length)));
  return Invitation{birth, std::string(AsText(bytes.subspan(sizeof length + length)))};
}

}  // namespace duramen::server
