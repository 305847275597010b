// What every role does with every message, for each relation of its term to the receiver's: the
// table that Core::Step goes by, that docs/raft-messages.md prints, and that a test holds the core
// against, cell by cell [R4]. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "server/core/messages.h"

namespace duramen::core {

enum class RoleKind : std::uint8_t { kFollower, kPreCandidate, kCandidate, kLeader, kDown };
enum class TermRelation : std::uint8_t { kOlder, kSame, kNewer };

enum class Disposition : std::uint8_t {
  kDrop,    // means nothing here, or comes too late
  kRefuse,  // answered with the receiver's term, changes nothing
  kHandle,  // dealt with in this role
  kYield,   // the receiver follows the sender, then deals with it
  kAdopt,   // takes over the term (durably before anything leaves), follows nobody yet, then deals
            // with it
};

inline constexpr std::size_t kRoleKinds = 5;
inline constexpr std::size_t kMessageKinds = std::variant_size_v<MessageBody>;

Disposition DispositionOf(RoleKind role, std::size_t message_kind, TermRelation relation);

std::string_view NameOf(RoleKind role);
std::string_view NameOf(TermRelation relation);
std::string_view NameOf(Disposition disposition);
std::string_view NameOfMessage(std::size_t message_kind);

}  // namespace duramen::core
