// How the entries of a server stand in its log, and the first row that says which cluster it
// belongs to. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/types.h"
#include "server/core/configuration.h"
#include "server/core/messages.h"

namespace duramen::server {

/// Kinds of entries in a server's log.
inline constexpr std::uint8_t kCommandKind = 128;  // what the machine applies
inline constexpr std::uint8_t kVersionKind =
    129;  // the no-op of a term, or a raised machine version: u32
inline constexpr std::uint8_t kMembersKind = 130;  // a configuration

/// An entry's bytes on their way between servers.
struct Payload {
  std::uint8_t kind = kCommandKind;
  std::vector<std::byte> bytes;
};

/// What a server is told once, when it comes to be.
struct Birth {
  ClusterId cluster = 0;
  core::Configuration configuration;  // of the log before its first entry
  std::uint32_t machine_version = 0;
};

/// count u16 | per member: uid 16 | role u8 | promote_at u64 | node u32 length and bytes
Payload EncodeSpecial(const core::SpecialEntry& special);
/// The special entry that stands at `index`. Errors: kCorruption: not what EncodeSpecial makes.
Result<core::SpecialEntry> DecodeSpecial(Index index, std::uint8_t kind, Bytes bytes);

/// Whether a message's entries and the payloads beside it say the same. Requires: IsSane of the
/// message.
bool Agrees(const core::AppendEntries& append, const std::vector<Payload>& payloads);

/// What a server that joins a cluster is told by its leader.
struct Invitation {
  Birth birth;
  std::string machine;  // the row of its log that says which
};
std::string EncodeInvitation(const Invitation& invitation);
/// Errors: kCorruption.
Result<Invitation> DecodeInvitation(std::string_view text);

std::vector<std::byte> EncodeBirth(const Birth& birth);
/// Errors: kCorruption.
Result<Birth> DecodeBirth(Bytes bytes);

}  // namespace duramen::server
